/*
 * Many clients in one process, each with a lease: what a client costs in memory, threads, connections and, while it has
 * nothing to do, in processor time; and that all of it is gone after the close, though the leases keep their handles.
 * Run by tests/c_programs.rs and benches/many_clients.py. FLOATLEASE_CONFIG is a config without hardware_id, of a real
 * server; usage: many_clients COUNT IDLE_SECONDS.
 */
#include "expect.h"
#include "holdings.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <string.h>
#include <time.h>

struct one {
    floatlease_client *client;
    floatlease_lease *lease;
};

static double seconds_by(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct one opened(const char *config, long number)
{
    char own[4096];
    struct one one = {NULL, NULL};

    /* The device is another member before the closing brace. */
    HOLD(strlen(config) + 64 < sizeof own && config[strlen(config) - 1] == '}');
    snprintf(own, sizeof own, "%.*s,\"hardware_id\":\"desk-%ld\"}", (int)strlen(config) - 1, config, number);
    EXPECT(floatlease_client_open(own, &one.client, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_activate_license(one.client, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_acquire(one.client, NULL, &one.lease, NULL), FLOATLEASE_OK);
    return one;
}

/* Waits until the threads and the connections are gone; the slots are released in the background. */
static double until_gone(struct holdings before)
{
    double began = seconds_by(CLOCK_MONOTONIC), took = 0;

    for (;;) {
        struct holdings now = held();

        took = seconds_by(CLOCK_MONOTONIC) - began;
        if (now.threads <= before.threads && now.files <= before.files)
            return took;
        if (took > 120)
            fprintf(stderr, "%ld threads and %ld files are left\n", now.threads, now.files);
        HOLD(took <= 120);
        usleep(10000);
    }
}

int main(int argc, char **argv)
{
    HOLD(argc == 3);
    const char *config = getenv("FLOATLEASE_CONFIG");
    long count = atol(argv[1]), idle_s = atol(argv[2]);
    struct one *all = calloc((size_t)count, sizeof *all);
    HOLD(config && count > 0 && all);

    /* What the library needs once is no client's. */
    struct holdings bare = held();
    struct one first = opened(config, count);
    floatlease_client_close(first.client);
    floatlease_lease_free(first.lease);
    until_gone(bare);
    struct holdings before = held();

    for (long number = 0; number < count; number++)
        all[number] = opened(config, number);
    struct holdings open = held();
    double idle_from = seconds_by(CLOCK_PROCESS_CPUTIME_ID);
    sleep((unsigned)idle_s);
    double idle_used_s = seconds_by(CLOCK_PROCESS_CPUTIME_ID) - idle_from;
    for (long number = 0; number < count; number++)
        HOLD(floatlease_lease_state(all[number].lease) == FLOATLEASE_STATE_ACTIVE);

    double close_from = seconds_by(CLOCK_MONOTONIC);
    for (long number = 0; number < count; number++)
        floatlease_client_close(all[number].client);
    double close_s = seconds_by(CLOCK_MONOTONIC) - close_from, gone_s = until_gone(before);
    struct holdings closed = held();
    for (long number = 0; number < count; number++)
        floatlease_lease_free(all[number].lease);
    free(all);
#ifdef __GLIBC__
    /* What the allocator keeps for later is nobody's. With MALLOC_ARENA_MAX=1 it can give nearly all of it back. */
    malloc_trim(0);
#endif
    struct holdings freed = held();

    printf("{\"clients\":%ld,\"idle_s\":%ld,\"threads\":%ld,\"files\":%ld,\"resident_kb_a_client\":%.1f,"
           "\"idle_processor_ms_a_second\":%.3f,\"close_us_a_client\":%.1f,\"gone_s\":%.2f,\"threads_after_close\":%ld,"
           "\"files_after_close\":%ld,\"resident_kb_after_free\":%ld}\n",
           count, idle_s, open.threads - before.threads, open.files - before.files,
           (double)(open.resident_kb - before.resident_kb) / (double)count, idle_used_s * 1000 / (double)idle_s,
           close_s * 1e6 / (double)count, gone_s, closed.threads - before.threads, closed.files - before.files,
           freed.resident_kb - before.resident_kb);
    fflush(stdout);
    HOLD(open.threads - before.threads <= count);
    return 0;
}
