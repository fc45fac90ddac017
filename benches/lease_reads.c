/* What a look at a lease costs, for every frame and for an audio thread: its state and its remaining time. The second
   argument, of one look alone, is for callgrind, which counts instructions and not time. */

#include "floatlease_client.h"

#include <string.h>

static double state_ns(floatlease_lease *lease, long looks)
{
    double start = wall_us();
    for (long i = 0; i < looks; i++)
        if (floatlease_lease_state(lease) != FLOATLEASE_STATE_ACTIVE)
            fail("the lease is not active", NULL);
    return (wall_us() - start) * 1000 / (double)looks;
}

static double remaining_ns(floatlease_lease *lease, long looks)
{
    double start = wall_us();
    for (long i = 0; i < looks; i++)
        if (floatlease_lease_remaining(lease) <= 0)
            fail("the lease has no time left", NULL);
    return (wall_us() - start) * 1000 / (double)looks;
}

int main(int argc, char **argv)
{
    long looks = argc > 1 ? atol(argv[1]) : 1;
    const char *only = argc > 2 ? argv[2] : "";
    floatlease_client *client = open_client();
    floatlease_lease *lease;
    char *json;
    insist(floatlease_activate_license(client, NULL, &json), &json);
    insist(floatlease_lease_acquire(client, NULL, &lease, &json), &json);
    double state = strcmp(only, "remaining") ? state_ns(lease, looks) : 0;
    double remaining = strcmp(only, "state") ? remaining_ns(lease, looks) : 0;
    printf("{\"state_ns\":%.2f,\"remaining_ns\":%.2f}\n", state, remaining);
    floatlease_lease_free(lease);
    floatlease_client_close(client);
}
