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

/* Performs one verb and prints its result. `shown` names members of the reply, with spaces between. */
static floatlease_status step(floatlease_client *client, const char *who, const char *name, verb *perform,
                              const char *request, const char *shown)
{
    char *json = NULL;
    char names[128], value[512];
    floatlease_status status = perform(client, request, &json);

    printf("  %-13s %-24s", who, name);
    if (status == FLOATLEASE_OK) {
        printf(" ok");
        snprintf(names, sizeof names, "%s", shown);
        for (char *part = strtok(names, " "); part; part = strtok(NULL, " "))
            printf("  %s=%s", part, member(json, part, value, sizeof value));
        printf("\n");
    } else {
        printf(" refused: %s\n", floatlease_status_name(status));
        printf("      what happened: %s\n", member(json, "message", value, sizeof value));
        printf("      what to do:    %s\n", member(json, "advice", value, sizeof value));
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
    char feature[128], counter[128], counting[128], counted[128];
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
    snprintf(counting, sizeof counting, "{\"license_key\":\"%s\"}",
             environment("FLOATLEASE_CONSUMPTION_LICENSE_KEY"));
    snprintf(counted, sizeof counted, "{\"license_key\":\"%s\",\"consumptions\":3}",
             environment("FLOATLEASE_CONSUMPTION_LICENSE_KEY"));

    const char *me = "this machine";
    const char *slots = "floating_in_use_devices floating_users";
    const char *borrow = "borrowed_until floating_in_use_devices";
    const char *total = "total_consumptions max_consumptions";

    printf("\nA slot of the license, borrowed for a trip and given back:\n");
    failures += step(client, me, "activate_license", floatlease_activate_license, NULL, "device_id") != 0;
    failures += step(client, me, "check_license", floatlease_check_license, NULL, slots) != 0;
    failures += step(client, me, "borrow_license", floatlease_borrow_license, NULL, borrow) != 0;
    failures += step(client, me, "release_license", floatlease_release_license, NULL, "") != 0;

    printf("\nThe same with a feature of the license:\n");
    failures += step(client, me, "check_feature", floatlease_check_feature, feature, slots) != 0;
    failures += step(client, me, "borrow_feature", floatlease_borrow_feature, feature, borrow) != 0;
    failures += step(client, me, "release_feature", floatlease_release_feature, feature, "") != 0;

    printf("\nConsumption, on a feature and on a license that counts:\n");
    failures += step(client, me, "add_feature_consumption", floatlease_add_feature_consumption, counter, total) != 0;
    failures += step(client, me, "activate_license", floatlease_activate_license, counting, "license_type") != 0;
    failures += step(client, me, "add_consumption", floatlease_add_consumption, counted, total) != 0;

    printf("\nColleagues take slots until none is left:\n");
    floatlease_status taken = FLOATLEASE_OK;
    for (int number = 1; number <= 100 && taken == FLOATLEASE_OK; number++) {
        char colleague[16], request[64];

        snprintf(colleague, sizeof colleague, "office-%d", number);
        snprintf(request, sizeof request, "{\"hardware_id\":\"%s\"}", colleague);
        failures += step(client, colleague, "activate_license", floatlease_activate_license, request, "device_id") != 0;
        taken = step(client, colleague, "check_license", floatlease_check_license, request, slots);
    }
    failures += taken != FLOATLEASE_E_FLOATING_NOT_AVAILABLE;

    printf("\nOne of them goes home, and this machine gets the slot:\n");
    failures += step(client, "office-1", "release_license", floatlease_release_license,
                     "{\"hardware_id\":\"office-1\"}", "") != 0;
    failures += step(client, me, "check_license", floatlease_check_license, NULL, slots) != 0;
    failures += step(client, me, "deactivate_license", floatlease_deactivate_license, NULL, "message") != 0;

    floatlease_client_close(client);
    printf("\n%s\n", failures ? "Something went wrong: see above." : "Done.");
    return failures ? 1 : 0;
}
