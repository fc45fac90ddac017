/*
 * Everything about leases and submitted calls at once, from many threads, for as many seconds as the argument says: for
 * ThreadSanitizer, and for whatever only happens when all meets. FLOATLEASE_CONFIG names a real server.
 * Run by `make test-tsan` and tests/c_programs.rs.
 */
#include "expect.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define EACH 2

static floatlease_client *client;
static _Atomic(floatlease_lease *) shared;
static atomic_int ended;
static atomic_long done;

static unsigned chance(unsigned *seed, unsigned below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 16) % below;
}

/* Whatever meets whatever: it may be refused, cancelled or too late, but it is never a mistake of ours. */
static floatlease_status fine(floatlease_status status)
{
    HOLD(status != FLOATLEASE_E_INTERNAL && status != FLOATLEASE_E_JSON && status != FLOATLEASE_E_FORKED);
    atomic_fetch_add(&done, 1);
    return status;
}

static const char *how(unsigned *seed)
{
    static const char *const requests[] = {"{}", "{\"keep_alive\":\"host\"}", "{\"feature\":\"MESH\"}",
                                           "{\"features\":[\"MESH\",\"SOLVER\"],\"release_on_close_ms\":0}"};

    return requests[chance(seed, 4)];
}

/* Takes leases, uses and leaves them in every way; now and then it is the one that all look at. */
static void *hold_leases(void *start)
{
    unsigned seed = (unsigned)(uintptr_t)start;

    while (!atomic_load(&ended)) {
        floatlease_lease *lease = NULL;
        char *json = NULL;

        fine(floatlease_lease_acquire(client, how(&seed), &lease, &json));
        floatlease_string_free(json);
        for (unsigned i = chance(&seed, 4); i > 0; i--) {
            fine(floatlease_lease_renew(lease, NULL));
            fine(floatlease_lease_info(lease, &json));
            floatlease_string_free(json);
        }
        if (chance(&seed, 2))
            fine(floatlease_lease_release(lease, NULL));
        floatlease_lease_free(atomic_exchange(&shared, lease));
    }
    return NULL;
}

static void *look(void *unused)
{
    while (!atomic_load(&ended)) {
        floatlease_lease *lease = atomic_load(&shared);
        floatlease_state state = floatlease_lease_state(lease);
        char *json = NULL;

        HOLD(state >= 0 && state <= FLOATLEASE_STATE_RELEASED);
        HOLD(floatlease_lease_remaining(lease) >= 0);
        fine(floatlease_lease_info(lease, &json));
        floatlease_string_free(json);
    }
    return unused;
}

static void *submit(void *start)
{
    static const char *const operations[] = {"check_license", "lease_acquire", "lease_renew", "product_details"};
    unsigned seed = (unsigned)(uintptr_t)start;

    while (!atomic_load(&ended)) {
        unsigned which = chance(&seed, 4);
        uint64_t ticket = 0;

        fine(floatlease_submit(client, operations[which], which == 2 ? "{\"lease\":1}" : "{}", &ticket));
        if (chance(&seed, 3) == 0)
            fine(floatlease_cancel(client, ticket));
        if (chance(&seed, 50) == 0)
            fine(floatlease_client_cancel(client));
        usleep(chance(&seed, 2000));
    }
    return NULL;
}

/* Reads what is told, and takes what was acquired in the background. */
static void *read_events(void *unused)
{
    while (!atomic_load(&ended)) {
        static const char member[] = "\"ticket\":";
        floatlease_lease *lease = NULL;
        char *json = NULL;

        fine(floatlease_next_event(client, 20, &json));
        const char *ticket = json ? strstr(json, member) : NULL;
        if (ticket && fine(floatlease_lease_accept(client, strtoull(ticket + strlen(member), NULL, 10), &lease, NULL)) == 0)
            floatlease_lease_free(lease);
        floatlease_string_free(json);
    }
    return unused;
}

/* Time passes in leaps, so that the keeper has work. */
static void *pass_time(void *unused)
{
    while (!atomic_load(&ended)) {
        fine(floatlease_client_advance_clock(client, 5400000));
        usleep(20000);
    }
    return unused;
}

static void *close_it(void *other)
{
    usleep(500);
    floatlease_client_close(other);
    return NULL;
}

/* Clients that are closed while everything about them is under way. */
static void *open_and_close(void *start)
{
    unsigned seed = (unsigned)(uintptr_t)start;

    while (!atomic_load(&ended)) {
        floatlease_client *other = NULL;
        floatlease_lease *lease = NULL;
        pthread_t closer;
        uint64_t ticket;

        EXPECT(floatlease_client_open(getenv("FLOATLEASE_CONFIG"), &other, NULL), FLOATLEASE_OK);
        fine(floatlease_lease_acquire(other, how(&seed), &lease, NULL));
        fine(floatlease_submit(other, "lease_acquire", "{}", &ticket));
        fine(floatlease_client_advance_clock(other, 5400000));
        HOLD(pthread_create(&closer, NULL, close_it, other) == 0);
        fine(floatlease_lease_renew(lease, NULL));
        fine(floatlease_submit(other, "check_license", NULL, &ticket));
        fine(floatlease_lease_release(lease, NULL));
        floatlease_lease_free(lease);
        pthread_join(closer, NULL);
        floatlease_client_close(other);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static void *(*const roles[])(void *) = {hold_leases, look, submit, read_events, pass_time, open_and_close};
    enum { ROLES = sizeof roles / sizeof *roles };
    pthread_t threads[ROLES * EACH];

    HOLD(argc == 2);
    EXPECT(floatlease_client_open(getenv("FLOATLEASE_CONFIG"), &client, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    for (uintptr_t i = 0; i < ROLES * EACH; i++)
        HOLD(pthread_create(&threads[i], NULL, roles[i % ROLES], (void *)(i + 1)) == 0);
    sleep((unsigned)atoi(argv[1]));
    atomic_store(&ended, 1);
    for (int i = 0; i < ROLES * EACH; i++)
        pthread_join(threads[i], NULL);
    floatlease_lease_free(atomic_load(&shared));
    floatlease_client_close(client);
    printf("stress: %ld calls\n", atomic_load(&done));
    return 0;
}
