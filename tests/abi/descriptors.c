/*
 * A daemon that has closed standard input, output and error: no descriptor of the library takes their numbers. Run by
 * tests/hosts.rs, with the argument "logging" for a thread that writes to them all the time, as the log of a daemon may.
 * FLOATLEASE_CONFIG names a server and a storage_dir, FLOATLEASE_NAMED_CONFIG a server whose name can't be resolved.
 */
#define _GNU_SOURCE
#include "host.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <unistd.h>

static _Atomic int has_ended;
static _Atomic long lines;

/* What is written and read here must not reach anything of the library. */
static void *log_all_the_time(void *nothing)
{
    char byte;

    while (!has_ended) {
        for (int number = 0; number <= 2; number++) {
            HOLD(write(number, "a line of the log\n", 18) < 0 && errno == EBADF);
            HOLD(read(number, &byte, 1) < 0 && errno == EBADF);
            lines++;
        }
    }
    return nothing;
}

static void use_everything(void)
{
    static const char queued[] = "{\"feature\":\"RENDER-MINUTES\",\"consumptions\":1,\"offline\":\"queue\"}";
    floatlease_client *client = activated_of("FLOATLEASE_CONFIG");
    floatlease_lease *lease = leased_of(client, NULL);
    floatlease_status booked = floatlease_add_feature_consumption(client, queued, NULL);

    HOLD(booked != FLOATLEASE_E_STORAGE && booked != FLOATLEASE_E_STORAGE_DAMAGED);
    EXPECT(floatlease_lease_renew(lease, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_borrow(lease, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_client_diagnose(client, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_OK);
    floatlease_lease_free(lease);
    floatlease_client_close(client);
}

/* Several threads, so that one closes what it has taken while another opens something. */
static void *connect_all_the_time(void *nothing)
{
    for (int round = 0; round < 200; round++) {
        floatlease_client *client = client_of("FLOATLEASE_CONFIG");

        EXPECT(floatlease_check_license(client, NULL, NULL), FLOATLEASE_OK);
        floatlease_client_close(client);
    }
    return nothing;
}

static void connect_from_threads(void)
{
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        HOLD(pthread_create(&threads[i], NULL, connect_all_the_time, NULL) == 0);
    for (int i = 0; i < 4; i++)
        HOLD(pthread_join(threads[i], NULL) == 0);
}

static void look_up_a_name(void)
{
    floatlease_client *client = client_of("FLOATLEASE_NAMED_CONFIG");

    HOLD(floatlease_check_license(client, "{\"timeout_ms\":2000}", NULL) != FLOATLEASE_OK);
    floatlease_client_close(client);
}

static int gets_streams;

/* The library has taken the numbers of the standard streams while the C library looks a name up. */
int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict found)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

    HOLD(symbol != NULL);
    memcpy(&next, &symbol, sizeof next);
    for (int number = 0; gets_streams && number <= 2; number++) {
        int null = open("/dev/null", O_RDWR);

        HOLD(null > 2 && dup2(null, number) == number && close(null) == 0);
    }
    return next(name, service, hints, found);
}

/* As a program does that becomes a daemon meanwhile: its streams stay its own. */
static void put_streams_in_the_places(void)
{
    gets_streams = 1;
    look_up_a_name();
    for (int number = 0; number <= 2; number++) {
        HOLD(fcntl(number, F_GETFD) == 0);
        HOLD(close(number) == 0);
    }
}

int main(int argc, char **argv)
{
    int is_logging = argc > 1 && strcmp(argv[1], "logging") == 0;
    int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100), err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
    pthread_t logger;

    stderr = fdopen(err, "w");
    HOLD(stderr != NULL);
    setvbuf(stderr, NULL, _IONBF, 0);
    for (int number = 0; number <= 2; number++)
        close(number);
    /* For a test that traces system calls. */
    getppid();
    if (is_logging)
        HOLD(pthread_create(&logger, NULL, log_all_the_time, NULL) == 0);
    for (int round = 0; round < (is_logging ? 50 : 1); round++)
        use_everything();
    if (is_logging)
        connect_from_threads();
    look_up_a_name();
    has_ended = 1;
    if (is_logging)
        HOLD(pthread_join(logger, NULL) == 0 && lines > 0);
    getppid();
    for (int number = 0; number <= 2; number++)
        HOLD(fcntl(number, F_GETFD) < 0 && errno == EBADF);
    put_streams_in_the_places();
    dprintf(out, "descriptors: %d checks hold\n", checks);
    return 0;
}
