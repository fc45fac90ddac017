/*
 * Each thread that the library starts: it blocks the host's signals from its first instruction on, has a name that
 * docs/leases.md lists, and a stack of its own size, and the environment is read in floatlease_client_open alone. Run by
 * tests/hosts.rs. The program defines pthread_create, getaddrinfo and getenv itself, so the library calls these.
 * FLOATLEASE_CONFIG names a server and a storage_dir, FLOATLEASE_NAMED_CONFIG the same server by the name host.test.
 */
#define _GNU_SOURCE
#include "host.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>

static _Atomic int started, looked_up, is_open, read_when_open;

static void find_next(const char *name, void *function)
{
    void *found = dlsym(RTLD_NEXT, name);

    HOLD(found != NULL);
    memcpy(function, &found, sizeof found);
}

static int is_of_library(void *address)
{
    Dl_info of;

    return dladdr(address, &of) && strstr(of.dli_fname, "libfloatlease.so") != NULL;
}

/* Whether this thread blocks the host's signals, and leaves those that report its own faults. */
static int blocks_signals_of_host(void)
{
    static const int of_host[] = {SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGCHLD, SIGPROF, SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ};
    sigset_t blocked;

    HOLD(pthread_sigmask(SIG_SETMASK, NULL, &blocked) == 0);
    for (size_t i = 0; i < sizeof of_host / sizeof *of_host; i++)
        if (!sigismember(&blocked, of_host[i]))
            return 0;
    return !sigismember(&blocked, SIGSEGV) && !sigismember(&blocked, SIGABRT);
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes, void *(*start)(void *),
                   void *restrict argument)
{
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

    find_next("pthread_create", &next);
    if (is_of_library(__builtin_return_address(0))) {
        size_t bytes = 0;

        /* A new thread blocks what its creator does. */
        HOLD(blocks_signals_of_host());
        HOLD(attributes && pthread_attr_getstacksize(attributes, &bytes) == 0);
        /* The larger size is for host names and certificates. */
        HOLD(bytes == 512 * 1024 || bytes == 2 * 1024 * 1024);
        started++;
    }
    return next(thread, attributes, start, argument);
}

int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict found)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    char thread[16];

    find_next("getaddrinfo", &next);
    HOLD(pthread_getname_np(pthread_self(), thread, sizeof thread) == 0);
    HOLD(strcmp(thread, "floatlease-dns") == 0);
    HOLD(blocks_signals_of_host());
    looked_up++;
    return next(strcmp(name, "host.test") == 0 ? "127.0.0.1" : name, service, hints, found);
}

char *getenv(const char *name)
{
    char *(*next)(const char *);

    find_next("getenv", &next);
    if (is_open && is_of_library(__builtin_return_address(0)))
        read_when_open++;
    return next(name);
}

int main(void)
{
    floatlease_client *client = client_of("FLOATLEASE_CONFIG"), *named = client_of("FLOATLEASE_NAMED_CONFIG");
    floatlease_lease *lease;
    sigset_t before, after;
    uint64_t ticket;
    char *json = NULL;

    HOLD(pthread_sigmask(SIG_SETMASK, NULL, &before) == 0);
    is_open = 1;
    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_check_license(named, NULL, NULL), FLOATLEASE_OK);
    HOLD(looked_up == 1 && started == 1);
    lease = leased_of(client, NULL);
    HOLD(started == 2);
    EXPECT(floatlease_submit(client, "check_license", NULL, &ticket), FLOATLEASE_OK);
    EXPECT(floatlease_next_event(client, 20000, &json), FLOATLEASE_OK);
    HOLD(freed_text_has(json, "\"COMPLETED\"", "\"status\":0,"));
    HOLD(started == 3);
    /* Released by a thread of its own. */
    floatlease_lease_free(lease);
    HOLD(started == 4);
    HOLD(read_when_open == 0);
    HOLD(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
    for (int signal = 1; signal < 32; signal++)
        HOLD(sigismember(&before, signal) == sigismember(&after, signal));
    floatlease_client_close(client);
    floatlease_client_close(named);
    printf("guest_threads: %d checks hold\n", checks);
    return 0;
}
