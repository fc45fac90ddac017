/*
 * Children with the same process id as the process that opened a handle, or that they were told so: what they inherit
 * must be FORKED all the same, and their parent's slot must stay its own. Run by tests/c_programs.rs with a way to get
 * such a child; FLOATLEASE_CONFIG names a server.
 *
 *   pretended   getpid always answers 1, which every kernel allows
 *   namespace   a child in a new pid namespace: both are 1, as in a container
 *   dead        a grandchild that gets the id of the process that opened the handle, and has ended
 */
#define _GNU_SOURCE
#include "expect.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_pretended;

/* Takes the place of the C library's, for the shared library too. */
pid_t getpid(void)
{
    return is_pretended ? 1 : (pid_t)syscall(SYS_getpid);
}

static floatlease_client *client;
static floatlease_lease *lease;

static void open_both(void)
{
    EXPECT(floatlease_client_open(getenv("FLOATLEASE_CONFIG"), &client, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    /* Without a thread: a process that has several may not enter a namespace. */
    EXPECT(floatlease_lease_acquire(client, "{\"keep_alive\":\"host\"}", &lease, NULL), FLOATLEASE_OK);
}

/* In a child: nothing that it inherited is its own, before and after it has something of its own. */
static void expect_nothing_inherited(void)
{
    floatlease_client *own = NULL;

    for (int round = 0; round < 2; round++) {
        HOLD(floatlease_lease_state(lease) == 0);
        HOLD(floatlease_lease_remaining(lease) == 0);
        EXPECT(floatlease_lease_info(lease, NULL), FLOATLEASE_E_FORKED);
        EXPECT(floatlease_lease_renew(lease, NULL), FLOATLEASE_E_FORKED);
        EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_E_FORKED);
        EXPECT(floatlease_check_license(client, NULL, NULL), FLOATLEASE_E_FORKED);
        EXPECT(floatlease_release_license(client, NULL, NULL), FLOATLEASE_E_FORKED);
        EXPECT(floatlease_client_cancel(client), FLOATLEASE_E_FORKED);
        floatlease_lease_free(lease);
        floatlease_client_close(client);
        if (!own)
            EXPECT(floatlease_client_open(getenv("FLOATLEASE_CONFIG"), &own, NULL), FLOATLEASE_OK);
        HOLD(own != client);
    }
    EXPECT(floatlease_client_cancel(own), FLOATLEASE_OK);
    floatlease_client_close(own);
}

/* Waits for this child, or any for -1, and that it ended well. */
static void end_well(pid_t child)
{
    int status = 0;

    HOLD(waitpid(child, &status, 0) > 0);
    HOLD(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The children of this process will be in a namespace of their own. A kernel that refuses has to be told from a fault. */
static void enter_namespace(void)
{
    if (unshare(CLONE_NEWPID) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0)
        return;
    printf("refused: unshare: %s\n", strerror(errno));
    exit(0);
}

/* Opens both here, and lets a child find that they are not its own. */
static void a_child(int in_namespace)
{
    pid_t parent = getpid();

    open_both();
    if (in_namespace)
        enter_namespace();
    pid_t child = fork();
    if (child == 0) {
        HOLD(getpid() == parent);
        expect_nothing_inherited();
        _exit(0);
    }
    end_well(child);
    HOLD(floatlease_lease_state(lease) == FLOATLEASE_STATE_ACTIVE);
    EXPECT(floatlease_lease_renew(lease, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_OK);
    floatlease_lease_free(lease);
    floatlease_client_close(client);
}

/* The first of a namespace, which makes its child 1 of another. */
static void same_in_namespace(void)
{
    enter_namespace();
    pid_t child = fork();
    if (child == 0) {
        HOLD(getpid() == 1);
        a_child(1);
        exit(0);
    }
    end_well(child);
}

/* Forks a child that has this id. */
static pid_t fork_as(pid_t id)
{
    struct clone_args how = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&id, .set_tid_size = 1};

    return (pid_t)syscall(SYS_clone3, &how, sizeof how);
}

/* Waits until a pipe's writer has ended. */
static void read_to_end(int from)
{
    char none;

    HOLD(read(from, &none, 1) == 0);
    close(from);
}

/* In a process whose parent has opened both and will be gone: a child gets the id of that. */
static void heir(pid_t opener, int opener_is_gone)
{
    read_to_end(opener_is_gone);
    pid_t child = fork_as(opener);
    if (child == 0) {
        HOLD(getpid() == opener);
        expect_nothing_inherited();
        _exit(0);
    }
    if (child < 0 && (errno == EPERM || errno == ENOSYS)) {
        printf("refused: clone3: %s\n", strerror(errno));
        exit(0);
    }
    end_well(child);
    _exit(0);
}

static void same_as_a_dead_one(void)
{
    int gone[2];

    enter_namespace();
    pid_t first = fork();
    if (first == 0) {
        HOLD(pipe(gone) == 0);
        pid_t opener = fork();
        if (opener == 0) {
            close(gone[1]);
            open_both();
            pid_t own = getpid();
            if (fork() == 0)
                heir(own, gone[0]);
            _exit(0);
        }
        close(gone[0]);
        end_well(opener);
        close(gone[1]);
        end_well(-1); /* whoever is left: the heir, which the first of a namespace adopts */
        exit(0);
    }
    end_well(first);
}

int main(int count, char **arguments)
{
    HOLD(count == 2);
    if (strcmp(arguments[1], "pretended") == 0) {
        is_pretended = 1;
        a_child(0);
    } else if (strcmp(arguments[1], "namespace") == 0) {
        same_in_namespace();
    } else {
        same_as_a_dead_one();
    }
    printf("same_id: %d checks hold\n", checks);
    return 0;
}
