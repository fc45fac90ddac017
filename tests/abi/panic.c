/* A panic inside a verb is a status; the client, the process and stderr are none the worse for it. */
#include <floatlease.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    floatlease_client *client = NULL;
    char *json = NULL;

    if (floatlease_client_open(getenv("FLOATLEASE_CONFIG"), &client, NULL) != FLOATLEASE_OK)
        return 2;
    for (int i = 0; i < 100; i++) {
        if (floatlease_call(client, "panic_for_test", NULL, &json) != FLOATLEASE_E_INTERNAL)
            return 3;
        if (!json || !strstr(json, "\"INTERNAL\"") || !strstr(json, "src/ffi/exports/") || !strstr(json, "\"unknown\""))
            return 4;
        floatlease_string_free(json);
    }
    if (floatlease_activate_license(client, NULL, NULL) != FLOATLEASE_OK)
        return 5;
    floatlease_client_close(client);
    puts("contained");
    return 0;
}
