/*
 * A sandbox leaves nothing behind: many are started, used and stopped, and then the process has the threads,
 * descriptors and files that it had before, and no more memory than after the first of them. Run by
 * tests/c_programs.rs in an empty folder; the argument says how many.
 */
#define _GNU_SOURCE
#include "sandbox.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connection that sends `bytes` and leaves it at that. */
static int connected(struct sandbox sandbox, const char *bytes)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned port = 0;
    const char *url;

    text_of(sandbox.json, "base_url", &url);
    HOLD(sscanf(url, "http://127.0.0.1:%u/api/v4", &port) == 1);
    address.sin_port = htons((unsigned short)port);
    HOLD(connect(connection, (struct sockaddr *)&address, sizeof address) == 0);
    HOLD(send(connection, bytes, strlen(bytes), MSG_NOSIGNAL) == (ssize_t)strlen(bytes));
    return connection;
}

/* So many rounds fill the allocator's caches and whatever is set up once. */
#define WARM_UP 50
/* How much more may be resident after the other 150: less than one leaked page in each of them would make, many times
   what the allocator's rounding does (20 kB). */
#define GROWTH_KB 512

static int entries(const char *folder)
{
    DIR *directory = opendir(folder);
    int count = 0;

    HOLD(directory != NULL);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* A joined thread may stay listed for a moment, until the kernel has done with it. */
static int threads_after_a_moment(int wanted)
{
    for (int i = 0; i < 100 && entries("/proc/self/task") > wanted; i++)
        usleep(5000);
    return entries("/proc/self/task");
}

static long resident_kb(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;

    HOLD(file && fscanf(file, "%*s %ld", &pages) == 1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void one_round(void)
{
    struct sandbox sandbox = started();
    floatlease_client *client = client_on(sandbox, "sandbox-1");

    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_check_license(client, NULL, NULL), FLOATLEASE_OK);
    stopped(sandbox);
    floatlease_client_close(client);
}

static void stopped_within_a_second(struct sandbox sandbox)
{
    double from = seconds_now();

    stopped(sandbox);
    HOLD(seconds_now() - from < 1.0);
}

static void *waits_for_a_reply(void *client)
{
    char *json = NULL;
    floatlease_status status = floatlease_borrow_license(client, "{\"timeout_ms\":60000}", &json);

    HOLD(status == FLOATLEASE_E_CONNECTION_LOST && strstr(json, "\"outcome\":\"unknown\""));
    floatlease_string_free(json);
    return NULL;
}

/* Clients that keep a connection, are in the middle of a request, or wait for a reply: none of them holds it up. */
static void stopped_whatever_its_clients_do(void)
{
    static const char half_a_head[] = "GET /api/v4/check_license?product=XY HTTP/1.1\r\nHost: 127.0.0.1\r\n";
    static const char half_a_body[] = "POST /api/v4/activate_license HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                      "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    struct sandbox sandbox = started();
    floatlease_client *client = client_on(sandbox, "sandbox-1");
    int silent = connected(sandbox, ""), head = connected(sandbox, half_a_head), body = connected(sandbox, half_a_body);
    static const char *const waits[] = {
        "{\"match\":{\"hardware_id\":\"sandbox-0\"},\"do\":{\"before\":\"hang\"}}",
        "{\"match\":{\"hardware_id\":\"sandbox-1\"},\"do\":{\"before\":{\"delay\":{\"fixed_ms\":60000}}}}",
        "{\"match\":{\"hardware_id\":\"sandbox-2\"},\"do\":{\"after_commit\":{\"delay\":{\"fixed_ms\":60000}}}}",
    };
    floatlease_client *clients[3];
    pthread_t waiting[3];
    char byte, name[16];

    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    for (int i = 0; i < 3; i++) {
        EXPECT(floatlease_sandbox_control(sandbox.handle, "POST /faults", waits[i], NULL), FLOATLEASE_OK);
        snprintf(name, sizeof name, "sandbox-%d", i);
        clients[i] = client_on(sandbox, name);
        HOLD(pthread_create(&waiting[i], NULL, waits_for_a_reply, clients[i]) == 0);
    }
    usleep(200000);
    stopped_within_a_second(sandbox);
    for (int i = 0; i < 3; i++) {
        pthread_join(waiting[i], NULL);
        floatlease_client_close(clients[i]);
    }
    HOLD(recv(silent, &byte, 1, 0) <= 0);
    HOLD(recv(head, &byte, 1, 0) <= 0);
    HOLD(recv(body, &byte, 1, 0) <= 0);
    close(silent);
    close(head);
    close(body);
    floatlease_client_close(client);
}

/* A client that has gone when its reply is written: that must not raise SIGPIPE, which would end the host. */
static void forsaken_by_its_clients(void)
{
    static const char twenty_times[] = "GET /api/v4/nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    struct linger reset = {1, 0};
    struct sandbox sandbox = started();
    char requests[20 * sizeof twenty_times] = "";

    for (int i = 0; i < 20; i++)
        strcat(requests, twenty_times);
    for (int i = 0; i < 200; i++) {
        int connection = connected(sandbox, requests);

        usleep((useconds_t)(i % 20) * 50);
        if (i % 2)
            setsockopt(connection, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(connection);
    }
    stopped_within_a_second(sandbox);
}

int main(int count, char **arguments)
{
    int rounds = count > 1 ? atoi(arguments[1]) : 200;
    int threads = entries("/proc/self/task"), descriptors = entries("/proc/self/fd"), files = entries(".");
    long warm = 0, end;

    signal(SIGPIPE, SIG_DFL);
    stopped_whatever_its_clients_do();
    forsaken_by_its_clients();
    for (int i = 0; i < rounds; i++) {
        if (i == WARM_UP)
            warm = resident_kb();
        one_round();
    }
    end = resident_kb();
    HOLD(threads_after_a_moment(threads) == threads);
    HOLD(entries("/proc/self/fd") == descriptors);
    HOLD(entries(".") == files);
    printf("%d sandboxes: %ld kB resident after %d, %ld kB at the end\n", rounds, warm, WARM_UP, end);
    HOLD(rounds <= WARM_UP || end - warm < GROWTH_KB);
    return 0;
}
