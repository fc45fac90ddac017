/* Opens a client, holds a lease, looks at its state, and gives it back. FLOATLEASE_CONFIG holds the client's config. */
#include <floatlease.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    floatlease_client *client = NULL;
    floatlease_lease *lease = NULL;
    floatlease_status status = floatlease_client_open(getenv("FLOATLEASE_CONFIG"), &client, NULL);

    if (status == FLOATLEASE_OK)
        status = floatlease_lease_acquire(client, "{\"activate\":true}", &lease, NULL);
    if (floatlease_lease_state(lease) == FLOATLEASE_STATE_ACTIVE)
        printf("licensed for %d minutes\n", (int)(floatlease_lease_remaining(lease) / 60000));
    if (status == FLOATLEASE_OK)
        status = floatlease_lease_release(lease, NULL);
    printf("%s\n", floatlease_status_name(status));
    floatlease_lease_free(lease);
    floatlease_client_close(client);
    return status != FLOATLEASE_OK;
}
