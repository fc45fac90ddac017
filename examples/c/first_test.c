/* The first test of docs/testing-your-integration.md: two colleagues have the two slots, so a third gets none. */
#include <floatlease_sandbox.h>

#include <stdio.h>

int main(void)
{
    floatlease_sandbox *sandbox;
    floatlease_client *client;
    char *config;

    if (floatlease_sandbox_start(NULL, &sandbox, NULL) != FLOATLEASE_OK)
        return 1;
    floatlease_sandbox_control(sandbox, "GET /client_config", NULL, &config);
    floatlease_client_open(config, &client, NULL);

    for (int number = 1; number <= 3; number++) {
        char device[32];

        snprintf(device, sizeof device, "{\"hardware_id\":\"office-%d\"}", number);
        floatlease_activate_license(client, device, NULL);
        printf("%s %s\n", device, floatlease_status_name(floatlease_check_license(client, device, NULL)));
    }
    floatlease_client_close(client);
    floatlease_sandbox_string_free(config);
    floatlease_sandbox_stop(sandbox);
    return 0;
}
