/* A borrow through the C ABI. Whether replies are verified is the config's choice. */

#include "floatlease_client.h"

static void borrow(void *context)
{
    char *json;
    insist(floatlease_borrow_license(context, NULL, &json), &json);
}

int main(int argc, char **argv)
{
    floatlease_client *client = open_client();
    measure(argc, argv, borrow, client);
    floatlease_client_close(client);
}
