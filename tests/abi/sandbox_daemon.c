/*
 * A sandbox in a process without standard input, output and error: their numbers are no descriptor of its connections.
 * Run by tests/hosts.rs.
 */
#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* What this process writes and reads at these numbers reaches nothing. */
static void expect_nothing_behind_standard_streams(void)
{
    char byte;

    for (int number = 0; number <= 2; number++) {
        HOLD(write(number, "a line of the log\n", 18) < 0 && errno == EBADF);
        HOLD(read(number, &byte, 1) < 0 && errno == EBADF);
    }
}

int main(void)
{
    int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100), err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);

    stderr = fdopen(err, "w");
    HOLD(stderr != NULL);
    setvbuf(stderr, NULL, _IONBF, 0);
    for (int number = 0; number <= 2; number++)
        close(number);
    struct sandbox sandbox = started();
    floatlease_client *client = client_on(sandbox, "daemon");
    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    expect_nothing_behind_standard_streams();
    EXPECT(floatlease_check_license(client, NULL, NULL), FLOATLEASE_OK);
    floatlease_client_close(client);
    stopped(sandbox);
    for (int number = 0; number <= 2; number++)
        HOLD(fcntl(number, F_GETFD) < 0 && errno == EBADF);
    dprintf(out, "sandbox_daemon: %d checks hold\n", checks);
    return 0;
}
