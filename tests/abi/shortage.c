/*
 * A process that has no descriptor, thread or memory left: each call says so by one status, which names the resource, and
 * works again once there is some. Run by tests/hosts.rs with the resource. FLOATLEASE_CONFIG names a server and a
 * storage_dir, FLOATLEASE_NAMED_CONFIG a server whose name must be looked up, FLOATLEASE_TLS_CONFIG one with TLS and the
 * system's authorities, FLOATLEASE_ANONYMOUS_CONFIG one without a hardware_id.
 */
#define _GNU_SOURCE
#include "host.h"

#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_FILES 256

static const char queued[] = "{\"feature\":\"RENDER-MINUTES\",\"consumptions\":1,\"offline\":\"queue\"}";

static int taken[MOST_FILES], taken_count;

static void take_all_descriptors(void)
{
    struct rlimit limit = {MOST_FILES, MOST_FILES};
    int descriptor;

    HOLD(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while ((descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
        HOLD(taken_count < MOST_FILES);
        taken[taken_count++] = descriptor;
    }
}

static void give_descriptors_back(void)
{
    while (taken_count > 0)
        close(taken[--taken_count]);
}

/* Nothing was sent, it may be tried again, and the message says what is missing. Frees the text. */
static void expect_shortage(floatlease_status status, char **json, const char *resource)
{
    EXPECT(status, FLOATLEASE_E_OUT_OF_RESOURCES);
    HOLD(*json && strstr(*json, "\"OUT_OF_RESOURCES\""));
    HOLD(strstr(*json, "\"retryable\":true") != NULL);
    HOLD(freed_text_has(*json, resource, "\"not_sent\""));
    *json = NULL;
}

static void expect_unopened(const char *variable, const char *resource)
{
    floatlease_client *client = NULL;
    char *json = NULL;

    HOLD(getenv(variable) != NULL);
    expect_shortage(floatlease_client_open(getenv(variable), &client, &json), &json, resource);
    HOLD(client == NULL);
}

static void expect_unleased(floatlease_client *client, const char *request, const char *resource)
{
    floatlease_lease *lease = NULL;
    char *json = NULL;
    floatlease_status status = floatlease_lease_acquire(client, request, &lease, &json);

    expect_shortage(status, &json, resource);
    HOLD(lease == NULL);
}

static void expect_unchecked(floatlease_client *client, const char *resource)
{
    char *json = NULL;

    expect_shortage(floatlease_check_license(client, NULL, &json), &json, resource);
}

/* A submit has no text, so its completion has it. */
static void expect_uncompleted(floatlease_client *client, const char *resource)
{
    uint64_t ticket = 0;
    char *json = NULL, wanted[64];

    EXPECT(floatlease_submit(client, "check_license", NULL, &ticket), FLOATLEASE_OK);
    HOLD(ticket != 0);
    EXPECT(floatlease_next_event(client, 20000, &json), FLOATLEASE_OK);
    snprintf(wanted, sizeof wanted, "\"ticket\":%d,\"status\":%d,", (int)ticket, FLOATLEASE_E_OUT_OF_RESOURCES);
    HOLD(json && strstr(json, wanted));
    expect_shortage(FLOATLEASE_E_OUT_OF_RESOURCES, &json, resource);
}

static void without_descriptors(void)
{
    static const char resource[] = "No file descriptor is left";
    floatlease_client *client = client_of("FLOATLEASE_CONFIG"), *named = client_of("FLOATLEASE_NAMED_CONFIG");
    floatlease_client *leasing = activated_of("FLOATLEASE_CONFIG");
    floatlease_lease *held = leased_of(leasing, "{\"feature\":\"MESH\"}");
    char *json = NULL;

    take_all_descriptors();
    expect_unopened("FLOATLEASE_ANONYMOUS_CONFIG", resource);
    expect_unopened("FLOATLEASE_TLS_CONFIG", resource);
    expect_unchecked(client, resource);
    expect_unchecked(named, resource);
    expect_unleased(client, NULL, resource);
    expect_uncompleted(client, resource);
    expect_shortage(floatlease_add_feature_consumption(client, queued, &json), &json, resource);
    EXPECT(floatlease_client_diagnose(client, &json), FLOATLEASE_OK);
    HOLD(freed_text_has(json, "\"check\":\"tcp\",\"verdict\":\"failed\"", resource));
    /* A lease that has its connection is kept and given back. */
    EXPECT(floatlease_lease_renew(held, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_release(held, &json), FLOATLEASE_OK);
    floatlease_string_free(json);
    floatlease_lease_free(held);
    give_descriptors_back();

    EXPECT(floatlease_check_license(client, NULL, NULL), FLOATLEASE_OK);
    held = leased_of(client, NULL);
    EXPECT(floatlease_lease_release(held, NULL), FLOATLEASE_OK);
    floatlease_lease_free(held);
    floatlease_client_close(leasing);
    floatlease_client_close(named);
    floatlease_client_close(client);
}

/* An ordinary user has a limit of threads; root has none. */
static void become_ordinary_user(void)
{
    if (getuid() == 0) {
        HOLD(setgroups(0, NULL) == 0);
        HOLD(setresgid(65534, 65534, 65534) == 0);
        HOLD(setresuid(65534, 65534, 65534) == 0);
    }
}

static void *nothing(void *argument)
{
    return argument;
}

static void without_threads(void)
{
    static const char resource[] = "No thread can be started";
    struct rlimit before, limit;
    floatlease_client *client, *named;
    floatlease_lease *lease;
    pthread_t thread;

    become_ordinary_user();
    client = activated_of("FLOATLEASE_CONFIG");
    named = client_of("FLOATLEASE_NAMED_CONFIG");
    HOLD(getrlimit(RLIMIT_NPROC, &before) == 0);
    limit = before;
    limit.rlim_cur = 0;
    HOLD(setrlimit(RLIMIT_NPROC, &limit) == 0);
    HOLD(pthread_create(&thread, NULL, nothing, NULL) != 0);
    expect_unleased(client, "{\"timeout_ms\":2000}", resource);
    expect_uncompleted(client, resource);
    expect_unchecked(named, resource);
    /* Its host keeps this one alive, so it needs no thread. */
    lease = leased_of(client, "{\"keep_alive\":\"host\"}");
    EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_OK);
    floatlease_lease_free(lease);
    HOLD(setrlimit(RLIMIT_NPROC, &before) == 0);

    lease = leased_of(client, NULL);
    EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_OK);
    floatlease_lease_free(lease);
    floatlease_client_close(named);
    floatlease_client_close(client);
}

static size_t mapped_bytes(void)
{
    size_t pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");

    HOLD(statm && fscanf(statm, "%zu", &pages) == 1);
    fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void leave_memory_of(size_t bytes)
{
    struct rlimit limit;

    HOLD(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = mapped_bytes() + bytes;
    HOLD(setrlimit(RLIMIT_AS, &limit) == 0);
}

/* Reads the system's authorities, which takes much memory in small pieces. */
static void open_with_room_of(size_t bytes)
{
    floatlease_client *client = NULL;
    char *json = NULL;
    floatlease_status status;

    leave_memory_of(bytes);
    status = floatlease_client_open(getenv("FLOATLEASE_TLS_CONFIG"), &client, &json);
    if (status != FLOATLEASE_OK)
        expect_shortage(status, &json, "No memory is left");
}

/* So does a handshake. */
static void connect_with_room_of(size_t bytes)
{
    floatlease_client *client = client_of("FLOATLEASE_TLS_CONFIG");
    char *json = NULL;
    floatlease_status status;

    leave_memory_of(bytes);
    status = floatlease_check_license(client, NULL, &json);
    /* The server's answer to a device that it does not know. */
    if (status != FLOATLEASE_E_DEVICE_NOT_FOUND)
        expect_shortage(status, &json, "No memory is left");
}

/* However much is missing, the process lives on. */
static void lack_of_memory_ends_no_process(void (*call_with_room_of)(size_t))
{
    for (size_t bytes = 0; bytes <= 1024 * 1024; bytes += 32 * 1024) {
        int status = -1;
        pid_t child = fork();

        if (child == 0) {
            call_with_room_of(bytes);
            _exit(0);
        }
        HOLD(child > 0 && waitpid(child, &status, 0) == child);
        if (status != 0)
            fprintf(stderr, "with room for %zu bytes\n", bytes);
        HOLD(status == 0);
    }
}

static void without_memory(void)
{
    static const char resource[] = "no memory is left";
    floatlease_client *client;
    struct rlimit before;

    lack_of_memory_ends_no_process(open_with_room_of);
    lack_of_memory_ends_no_process(connect_with_room_of);
    client = activated_of("FLOATLEASE_CONFIG");
    HOLD(getrlimit(RLIMIT_AS, &before) == 0);
    /* Room for what a call needs, but not for a thread's stack. */
    leave_memory_of(256 * 1024);
    expect_unleased(client, NULL, resource);
    expect_uncompleted(client, resource);
    HOLD(setrlimit(RLIMIT_AS, &before) == 0);
    EXPECT(floatlease_check_license(client, NULL, NULL), FLOATLEASE_OK);
    floatlease_client_close(client);
}

int main(int argc, char **argv)
{
    const char *resource = argc > 1 ? argv[1] : "";

    if (strcmp(resource, "descriptors") == 0)
        without_descriptors();
    else if (strcmp(resource, "threads") == 0)
        without_threads();
    else if (strcmp(resource, "memory") == 0)
        without_memory();
    else
        HOLD(!"a resource is named");
    printf("shortage of %s: %d checks hold\n", resource, checks);
    return 0;
}
