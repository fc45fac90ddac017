/*
 * What a lease promises where no more threads can be started, as at a limit of processes: an acquire that can't be kept
 * alive asks the server for nothing, and what is held is given back by the threads that there are. Run by
 * tests/c_programs.rs. The program defines pthread_create and getaddrinfo itself, so the libraries call these.
 */
#define _GNU_SOURCE
#include "sandbox.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <unistd.h>

/* As long as 127.0.0.1, in whose place it is put. */
#define NAMED_HOST "host.test"

/* How many threads the client's library may still start. */
static _Atomic int threads_left;
/* How many it was refused. */
static _Atomic int threads_refused;

/* The C library's own function of this name. */
static void find_next(const char *name, void *function)
{
    void *found = dlsym(RTLD_NEXT, name);

    HOLD(found != NULL);
    memcpy(function, &found, sizeof found);
}

/* Whether this address is in the client's library, not in the sandbox's or the C library. */
static int is_of_client(void *address)
{
    Dl_info of;

    return dladdr(address, &of) && strstr(of.dli_fname, "libfloatlease.so") != NULL;
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes, void *(*start)(void *),
                   void *restrict argument)
{
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

    if (is_of_client(__builtin_return_address(0)) && threads_left-- <= 0) {
        threads_refused++;
        return EAGAIN;
    }
    find_next("pthread_create", &next);
    return next(thread, attributes, start, argument);
}

int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict found)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

    find_next("getaddrinfo", &next);
    return next(name && strcmp(name, NAMED_HOST) == 0 ? "127.0.0.1" : name, service, hints, found);
}

static void refuse_threads_after(int count)
{
    threads_left = count;
    threads_refused = 0;
}

static void control(struct sandbox sandbox, const char *method_path, const char *request)
{
    EXPECT(floatlease_sandbox_control(sandbox.handle, method_path, request, NULL), FLOATLEASE_OK);
}

static const char ANY[] = "\"hardware_id\"", OF_LICENSE[] = "\"feature\":null", OF_MESH[] = "\"feature\":\"MESH\"";

/* Whether the server counts such a slot. */
static int counts(struct sandbox sandbox, const char *slot)
{
    char *json = NULL;

    EXPECT(floatlease_sandbox_control(sandbox.handle, "GET /slots", NULL, &json), FLOATLEASE_OK);
    int found = strstr(json, slot) != NULL;
    floatlease_sandbox_string_free(json);
    return found;
}

static void wait_until_freed(struct sandbox sandbox, const char *slot)
{
    double end = seconds_now() + 20;

    while (counts(sandbox, slot)) {
        HOLD(seconds_now() < end);
        usleep(10000);
    }
}

/* An activated client, whose library may start any thread yet. */
static floatlease_client *activated(struct sandbox sandbox, const char *hardware_id, const char *more)
{
    floatlease_client *client = client_with(sandbox, hardware_id, more);

    refuse_threads_after(1000);
    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    return client;
}

/* A lease that a thread keeps alive, after which no more can be started. */
static floatlease_lease *kept_by_the_last_thread(struct sandbox sandbox, floatlease_client *client)
{
    floatlease_lease *lease = NULL;

    EXPECT(floatlease_lease_acquire(client, NULL, &lease, NULL), FLOATLEASE_OK);
    HOLD(counts(sandbox, ANY));
    refuse_threads_after(0);
    return lease;
}

static void acquire_without_thread_asks_nothing(struct sandbox sandbox)
{
    floatlease_client *client = activated(sandbox, "acquire", "");
    floatlease_lease *lease = NULL;
    char *json = NULL;

    refuse_threads_after(0);
    EXPECT(floatlease_lease_acquire(client, NULL, &lease, &json), FLOATLEASE_E_OUT_OF_RESOURCES);
    HOLD(threads_refused > 0);
    HOLD(lease == NULL);
    HOLD(json && strstr(json, "\"not_sent\""));
    floatlease_string_free(json);
    HOLD(!counts(sandbox, ANY));
    control(sandbox, "POST /journal/expect", "{\"filter\":{\"operation\":\"check_license\"},\"times\":0}");

    /* What its host keeps alive needs none. */
    EXPECT(floatlease_lease_acquire(client, "{\"keep_alive\":\"host\"}", &lease, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_OK);
    HOLD(!counts(sandbox, ANY));
    floatlease_lease_free(lease);
    floatlease_client_close(client);
}

static void release_without_thread_frees_slot(struct sandbox sandbox)
{
    floatlease_client *client = activated(sandbox, "release", "");
    floatlease_lease *lease = kept_by_the_last_thread(sandbox, client);

    EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_OK);
    HOLD(!counts(sandbox, ANY));
    floatlease_lease_free(lease);
    floatlease_client_close(client);
}

static void free_without_thread_frees_slot(struct sandbox sandbox)
{
    floatlease_client *client = activated(sandbox, "free", "");

    floatlease_lease_free(kept_by_the_last_thread(sandbox, client));
    wait_until_freed(sandbox, ANY);
    HOLD(threads_refused > 0);
    floatlease_client_close(client);
}

/* The thread goes on for the lease that is left. */
static void free_of_one_lease_keeps_the_other(struct sandbox sandbox)
{
    floatlease_client *client = activated(sandbox, "two", "");
    floatlease_lease *feature = NULL, *license = NULL;
    char *json = NULL;

    EXPECT(floatlease_lease_acquire(client, "{\"feature\":\"MESH\"}", &feature, NULL), FLOATLEASE_OK);
    license = kept_by_the_last_thread(sandbox, client);
    floatlease_lease_free(license);
    wait_until_freed(sandbox, OF_LICENSE);
    HOLD(counts(sandbox, OF_MESH));
    EXPECT(floatlease_client_advance_clock(client, 62 * 60 * 1000), FLOATLEASE_OK);
    EXPECT(floatlease_next_event(client, 20000, &json), FLOATLEASE_OK);
    HOLD(json && strstr(json, "\"event\":\"RENEWED\""));
    floatlease_string_free(json);
    HOLD(floatlease_lease_state(feature) == FLOATLEASE_STATE_ACTIVE);
    floatlease_lease_free(feature);
    wait_until_freed(sandbox, ANY);
    floatlease_client_close(client);
}

static void close_without_thread_frees_slot(struct sandbox sandbox)
{
    floatlease_client *client = activated(sandbox, "close", "");
    floatlease_lease *lease = kept_by_the_last_thread(sandbox, client);

    floatlease_client_close(client);
    wait_until_freed(sandbox, ANY);
    HOLD(threads_refused > 0);
    floatlease_lease_free(lease);
}

/* The server takes the slot, and its replies are lost: the thread that would have kept the lease alive gives it back. */
static void acquire_in_doubt_without_thread_frees_slot(struct sandbox sandbox)
{
    static const char lost[] = "{\"match\":{\"operation\":\"check_license\"},\"do\":{\"after_commit\":\"reset\"}}";
    floatlease_client *client = activated(sandbox, "doubt", "");
    floatlease_lease *lease = NULL;
    char *json = NULL;

    control(sandbox, "POST /faults", lost);
    refuse_threads_after(1);
    EXPECT(floatlease_lease_acquire(client, NULL, &lease, &json), FLOATLEASE_E_CONNECTION_LOST);
    HOLD(lease == NULL);
    HOLD(json && strstr(json, "\"unknown\""));
    floatlease_string_free(json);
    wait_until_freed(sandbox, ANY);
    HOLD(threads_refused > 0);
    control(sandbox, "POST /journal/expect", "{\"filter\":{\"event\":\"slot_taken\"},\"at_least\":1}");
    control(sandbox, "DELETE /faults", NULL);
    floatlease_client_close(client);
}

/* A name is looked up by a thread of its own, unless there is a connection; where none can be started, the addresses of
   last time do. */
static void server_with_a_name_hears_of_the_release(struct sandbox sandbox)
{
    static const char lost[] = "{\"match\":{\"operation\":\"check_license\"},\"do\":{\"after_commit\":\"close\"}}";
    struct sandbox named = {sandbox.handle, strdup(sandbox.json)};

    for (char *found; (found = strstr(named.json, "127.0.0.1"));)
        memcpy(found, NAMED_HOST, strlen(NAMED_HOST));
    floatlease_client *client = activated(named, "named", ",\"allow_http\":true");
    floatlease_lease *lease = NULL;

    EXPECT(floatlease_lease_acquire(client, "{\"timeout_ms\":2000}", &lease, NULL), FLOATLEASE_OK);
    /* From now on there is no connection. */
    control(sandbox, "POST /faults", lost);
    EXPECT(floatlease_lease_renew(lease, NULL), FLOATLEASE_E_CONNECTION_LOST);
    control(sandbox, "DELETE /faults", NULL);
    HOLD(counts(sandbox, ANY));
    refuse_threads_after(0);
    EXPECT(floatlease_lease_renew(lease, NULL), FLOATLEASE_OK);
    HOLD(threads_refused > 0);
    floatlease_lease_free(lease);
    wait_until_freed(sandbox, ANY);
    floatlease_client_close(client);
    free(named.json);
}

int main(void)
{
    static void (*const tests[])(struct sandbox) = {
        acquire_without_thread_asks_nothing,  release_without_thread_frees_slot, free_without_thread_frees_slot,
        free_of_one_lease_keeps_the_other,    close_without_thread_frees_slot,   acquire_in_doubt_without_thread_frees_slot,
        server_with_a_name_hears_of_the_release,
    };

    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        struct sandbox sandbox = started();

        tests[i](sandbox);
        stopped(sandbox);
    }
    printf("no_threads: %d checks hold\n", checks);
    return 0;
}
