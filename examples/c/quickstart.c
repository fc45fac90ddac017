/*
 * floatlease quick start: take, borrow and give back a floating license and a floating feature, count consumption,
 * and see what happens when every slot is taken.
 *
 *     make demo                                          builds and runs this against a server of its own
 *     cc quickstart.c -lfloatlease -o quickstart         builds it against an installed library
 *     floatlease-server exec -- ./quickstart             runs it against a fresh server
 *
 * FLOATLEASE_CONFIG holds the client's configuration as one JSON object; a product would have its own in the code:
 *
 *     {"product":"XY", "license_key":"AAAA-BBBB-CCCC-DDDD", "api_key":"...", "shared_key":"..."}
 */
#include <floatlease.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef floatlease_status verb(floatlease_client *, const char *, char **);

/* Copies the value of the first member called `name`; good enough to print, no replacement for a JSON parser. */
static const char *member(const char *json, const char *name, char *value, size_t size)
{
    char key[64];
    const char *from;
    size_t length = 0;

    snprintf(key, sizeof key, "\"%s\":", name);
    from = json ? strstr(json, key) : NULL;
    if (from) {
        from += strlen(key);
        length = *from == '"' ? strcspn(++from, "\"") : strcspn(from, ",}");
    }
    snprintf(value, size, "%.*s", (int)length, from ? from : "");
    return value;
}

/* Performs one verb and tells how it went. */
static floatlease_status step(floatlease_client *client, const char *name, verb *perform, const char *request,
                              const char *shown)
{
    char *json = NULL;
    char value[512];
    char shown_names[128];
    floatlease_status status = perform(client, request, &json);

    printf("  %-24s", name);
    if (status == FLOATLEASE_OK) {
        printf(" ok");
        snprintf(shown_names, sizeof shown_names, "%s", shown);
        for (char *part = strtok(shown_names, " "); part; part = strtok(NULL, " "))
            printf("  %s %s", part, member(json, part, value, sizeof value));
        printf("\n");
    } else {
        printf(" refused: %s\n", floatlease_status_name(status));
        printf("    what happened: %s\n", member(json, "message", value, sizeof value));
        printf("    what to do:    %s\n", member(json, "advice", value, sizeof value));
    }
    floatlease_string_free(json);
    return status;
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    if (!value) {
        fprintf(stderr, "%s is not set; run this by: floatlease-server exec -- ./quickstart\n", name);
        exit(2);
    }
    return value;
}

int main(void)
{
    const char *config = environment("FLOATLEASE_CONFIG");
    floatlease_client *client = NULL;
    char *json = NULL;
    char feature[128], counter[128], counted[128], text[64];
    int failures = 0;

    if (floatlease_abi_version() != FLOATLEASE_ABI_VERSION) {
        fprintf(stderr, "libfloatlease is of another ABI than floatlease.h\n");
        return 2;
    }
    if (floatlease_client_open(config, &client, &json) != FLOATLEASE_OK) {
        fprintf(stderr, "%s\n", json);
        floatlease_string_free(json);
        return 1;
    }
    floatlease_string_free(json);
    printf("floatlease %s\n", floatlease_version());

    snprintf(feature, sizeof feature, "{\"feature\":\"%s\"}", environment("FLOATLEASE_FEATURE"));
    snprintf(counter, sizeof counter, "{\"feature\":\"%s\",\"consumptions\":5}",
             environment("FLOATLEASE_CONSUMPTION_FEATURE"));
    snprintf(counted, sizeof counted, "{\"license_key\":\"%s\",\"consumptions\":3}",
             environment("FLOATLEASE_CONSUMPTION_LICENSE_KEY"));

    printf("\nThis machine takes a slot of the license, borrows it for a trip and gives it back:\n");
    failures += step(client, "activate_license", floatlease_activate_license, NULL, "device_id") != 0;
    failures += step(client, "check_license", floatlease_check_license, NULL,
                     "floating_in_use_devices floating_users") != 0;
    failures += step(client, "borrow_license", floatlease_borrow_license, NULL,
                     "borrowed_until floating_in_use_devices") != 0;
    failures += step(client, "release_license", floatlease_release_license, NULL, "") != 0;

    printf("\nThe same with a feature of the license:\n");
    failures += step(client, "check_feature", floatlease_check_feature, feature,
                     "code floating_in_use_devices floating_users") != 0;
    failures += step(client, "borrow_feature", floatlease_borrow_feature, feature,
                     "borrowed_until floating_in_use_devices") != 0;
    failures += step(client, "release_feature", floatlease_release_feature, feature, "") != 0;

    printf("\nConsumption, on a feature and on a license that counts:\n");
    failures += step(client, "add_feature_consumption", floatlease_add_feature_consumption, counter,
                     "total_consumptions max_consumptions") != 0;
    member(counted, "license_key", text, sizeof text);
    {
        char activation[128];
        snprintf(activation, sizeof activation, "{\"license_key\":\"%s\"}", text);
        failures += step(client, "activate_license", floatlease_activate_license, activation, "license_type") != 0;
    }
    failures += step(client, "add_consumption", floatlease_add_consumption, counted,
                     "total_consumptions max_consumptions") != 0;

    printf("\nColleagues take slots until none is left:\n");
    floatlease_status taken = FLOATLEASE_OK;
    for (int machine = 1; machine <= 100 && taken == FLOATLEASE_OK; machine++) {
        char request[64];
        snprintf(request, sizeof request, "{\"hardware_id\":\"office-%d\"}", machine);
        printf(" office-%d\n", machine);
        failures += step(client, "activate_license", floatlease_activate_license, request, "device_id") != 0;
        taken = step(client, "check_license", floatlease_check_license, request,
                     "floating_in_use_devices floating_users");
    }
    failures += taken != FLOATLEASE_E_FLOATING_NOT_AVAILABLE;

    printf("\nA colleague goes home, and this machine gets the slot:\n");
    failures += step(client, "release_license", floatlease_release_license, "{\"hardware_id\":\"office-1\"}", "") != 0;
    failures += step(client, "check_license", floatlease_check_license, NULL,
                     "floating_in_use_devices floating_users") != 0;
    failures += step(client, "deactivate_license", floatlease_deactivate_license, NULL, "message") != 0;

    floatlease_client_close(client);
    printf("\n%s\n", failures ? "Something went wrong: see above." : "Done.");
    return failures ? 1 : 0;
}
