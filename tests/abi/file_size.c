/*
 * A host that may write no file (`ulimit -f 0`): the library's own writes fail, and no SIGXFSZ of theirs reaches the host.
 * Run by tests/hosts.rs. FLOATLEASE_CONFIG names a server and a storage_dir.
 */
#define _GNU_SOURCE
#include "host.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

static volatile sig_atomic_t caught;

static void catch(int signal)
{
    (void)signal;
    caught++;
}

static void limit_files_to(rlim_t bytes)
{
    struct rlimit limit = {bytes, RLIM_INFINITY};

    HOLD(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void expect_no_file(floatlease_client *client)
{
    static const char queued[] = "{\"feature\":\"RENDER-MINUTES\",\"consumptions\":1,\"offline\":\"queue\"}";
    floatlease_lease *lease = NULL;
    char *json = NULL;

    EXPECT(floatlease_lease_acquire(client, NULL, &lease, &json), FLOATLEASE_E_STORAGE);
    HOLD(lease == NULL);
    HOLD(freed_text_has(json, "ulimit -f", "\"not_sent\""));
    EXPECT(floatlease_add_feature_consumption(client, queued, &json), FLOATLEASE_E_STORAGE);
    HOLD(freed_text_has(json, "ulimit -f", "\"STORAGE\""));
}

static int is_pending(void)
{
    sigset_t pending;

    HOLD(sigpending(&pending) == 0);
    return sigismember(&pending, SIGXFSZ);
}

/* By default, the signal ends the process. */
static void default_host_lives_on(floatlease_client *client)
{
    HOLD(signal(SIGXFSZ, SIG_DFL) != SIG_ERR);
    expect_no_file(client);
}

static void handler_of_host_is_not_called(floatlease_client *client)
{
    HOLD(signal(SIGXFSZ, catch) != SIG_ERR);
    expect_no_file(client);
    HOLD(caught == 0);
    HOLD(raise(SIGXFSZ) == 0);
    HOLD(caught == 1);
}

/* A signal of the host's own that waits is neither lost nor joined by another. */
static void waiting_signal_of_host_stays(floatlease_client *client)
{
    sigset_t signal_set, before, after;

    sigemptyset(&signal_set);
    sigaddset(&signal_set, SIGXFSZ);
    HOLD(pthread_sigmask(SIG_BLOCK, &signal_set, &before) == 0);
    expect_no_file(client);
    HOLD(!is_pending());
    HOLD(raise(SIGXFSZ) == 0);
    expect_no_file(client);
    HOLD(is_pending());
    HOLD(pthread_sigmask(SIG_SETMASK, &before, &after) == 0);
    HOLD(sigismember(&after, SIGXFSZ) == 1);
    HOLD(caught == 2);
}

int main(void)
{
    floatlease_client *client = activated_of("FLOATLEASE_CONFIG");
    floatlease_lease *lease;

    limit_files_to(0);
    default_host_lives_on(client);
    handler_of_host_is_not_called(client);
    waiting_signal_of_host_stays(client);
    limit_files_to(RLIM_INFINITY);
    lease = leased_of(client, NULL);
    /* What is held is given back, also where nothing can be stored. */
    limit_files_to(0);
    EXPECT(floatlease_lease_renew(lease, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_OK);
    HOLD(caught == 2);
    floatlease_lease_free(lease);
    floatlease_client_close(client);
    limit_files_to(RLIM_INFINITY);
    printf("file_size: %d checks hold\n", checks);
    return 0;
}
