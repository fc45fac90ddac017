/* Borrow and release through the C ABI, as one step. */

#include "floatlease_client.h"

static void borrow_and_release(void *context)
{
    char *json;
    insist(floatlease_borrow_license(context, NULL, &json), &json);
    insist(floatlease_release_license(context, NULL, &json), &json);
}

int main(int argc, char **argv)
{
    floatlease_client *client = open_client();
    char *json;
    insist(floatlease_activate_license(client, NULL, &json), &json);
    measure(argc, argv, borrow_and_release, client);
    floatlease_client_close(client);
}
