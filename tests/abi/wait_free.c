/*
 * floatlease_lease_state and floatlease_lease_remaining wait for nothing: no system call, no memory, no lock.
 * FLOATLEASE_CONFIG names a real server. Run by tests/c_programs.rs, which looks with strace at what happens between the
 * two calls of getppid.
 */
#define _GNU_SOURCE
#include "expect.h"

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#define LOOKS 100000

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

/* Counted here for the library too, which finds these first. */
static _Atomic long allocations;

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    allocations++;
    return __libc_realloc(memory, size);
}

void free(void *memory)
{
    allocations++;
    __libc_free(memory);
}

static floatlease_lease *volatile lease;
static volatile sig_atomic_t looks;

/* In the middle of whatever the only thread does: a lock that it holds would never be given up. */
static void look(int number)
{
    (void)number;
    floatlease_state state = floatlease_lease_state(lease);
    int64_t remaining = floatlease_lease_remaining(lease);

    if (state < 0 || state > FLOATLEASE_STATE_RELEASED || remaining < 0)
        _exit(9);
    looks++;
}

static void in_every_moment(floatlease_client *client)
{
    struct sigaction action = {.sa_handler = look, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 100}, {0, 100}}, never = {{0, 0}, {0, 0}};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    while (looks < 5000) {
        floatlease_lease *next = NULL;
        char *json = NULL;

        EXPECT(floatlease_lease_acquire(client, "{\"keep_alive\":\"host\",\"release_on_close_ms\":0}", &next, NULL),
               FLOATLEASE_OK);
        floatlease_lease_free(lease);
        lease = next;
        for (int i = 0; i < 100; i++) {
            EXPECT(floatlease_lease_info(lease, &json), FLOATLEASE_OK);
            floatlease_string_free(json);
            EXPECT(floatlease_client_advance_clock(client, 1), FLOATLEASE_OK);
        }
    }
    setitimer(ITIMER_REAL, &never, NULL);
}

int main(void)
{
    floatlease_client *client = NULL;
    floatlease_lease *first = NULL;

    EXPECT(floatlease_client_open(getenv("FLOATLEASE_CONFIG"), &client, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_acquire(client, "{\"keep_alive\":\"host\"}", &first, NULL), FLOATLEASE_OK);
    lease = first;
    HOLD(allocations > 0);

    long before = allocations;
    int active = 0, running = 0;
    getppid();
    for (int i = 0; i < LOOKS; i++)
        active += floatlease_lease_state(lease) == FLOATLEASE_STATE_ACTIVE;
    for (int i = 0; i < LOOKS; i++)
        running += floatlease_lease_remaining(lease) > 0;
    getppid();
    HOLD(allocations == before);
    HOLD(active == LOOKS && running == LOOKS);

    in_every_moment(client);
    floatlease_lease_free(lease);
    floatlease_client_close(client);
    printf("wait_free: %d checks hold\n", checks);
    return 0;
}
