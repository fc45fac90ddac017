/*
 * Many renewals of one lease, each half of the slot's time after the last by the client's own clock, and what the process
 * holds meanwhile: memory, threads, files must be after all of them what they were after the first hundredth.
 * Run by tests/c_programs.rs and benches/renewals.py. FLOATLEASE_CONFIG names a real server; usage: renewals HOW COUNT,
 * where HOW is the lease's "keep_alive".
 */
#include "expect.h"
#include "holdings.h"

#include <string.h>

/* What an allocator may waver by; a leak of a byte per renewal is more, in a million. */
#define MOST_GROWTH_KB 256

/* A number of the lease's info. */
static long long told(floatlease_lease *lease, const char *name)
{
    char key[32], *json = NULL;
    long long number = -1;

    EXPECT(floatlease_lease_info(lease, &json), FLOATLEASE_OK);
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *member = strstr(json, key);
    HOLD(member && sscanf(member + strlen(key), "%lld", &number) == 1);
    floatlease_string_free(json);
    return number;
}

/* One renewal, when it is due; whoever does it, the host is told of it. */
static void renewed(floatlease_client *client, floatlease_lease *lease, int by_host)
{
    char *json = NULL;

    EXPECT(floatlease_client_advance_clock(client, (uint32_t)told(lease, "renews_in_ms") + 1), FLOATLEASE_OK);
    if (by_host)
        EXPECT(floatlease_lease_renew(lease, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_next_event(client, by_host ? 0 : 20000, &json), FLOATLEASE_OK);
    if (!json || !strstr(json, "\"event\":\"RENEWED\""))
        fprintf(stderr, "instead of a renewal: %s\n", json ? json : "nothing");
    HOLD(json && strstr(json, "\"event\":\"RENEWED\""));
    floatlease_string_free(json);
    HOLD(floatlease_lease_state(lease) == FLOATLEASE_STATE_ACTIVE);
}

int main(int argc, char **argv)
{
    HOLD(argc == 3);
    const char *how = argv[1];
    long count = atol(argv[2]), marks[] = {count / 100, count / 10, count}, done = 0;
    char request[64], *json = NULL;
    floatlease_client *client = NULL;
    floatlease_lease *lease = NULL;
    struct holdings at[3];

    HOLD(marks[0] > 0);
    snprintf(request, sizeof request, "{\"keep_alive\":\"%s\"}", how);
    EXPECT(floatlease_client_open(getenv("FLOATLEASE_CONFIG"), &client, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_activate_license(client, NULL, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_lease_acquire(client, request, &lease, NULL), FLOATLEASE_OK);
    for (int mark = 0; mark < 3; mark++) {
        for (; done < marks[mark]; done++)
            renewed(client, lease, strcmp(how, "host") == 0);
        at[mark] = held();
    }
    EXPECT(floatlease_lease_release(lease, NULL), FLOATLEASE_OK);
    EXPECT(floatlease_next_event(client, 0, &json), FLOATLEASE_OK);
    HOLD(json == NULL);
    floatlease_lease_free(lease);
    floatlease_client_close(client);

    printf("{\"keep_alive\":\"%s\",\"renewals\":%ld", how, count);
    const char *const names[] = {"1", "10", "100"};
    for (int mark = 0; mark < 3; mark++)
        printf(",\"at_%s_percent\":{\"resident_kb\":%ld,\"threads\":%ld,\"files\":%ld}", names[mark],
               at[mark].resident_kb, at[mark].threads, at[mark].files);
    puts("}");
    fflush(stdout);
    HOLD(at[2].resident_kb <= at[0].resident_kb + MOST_GROWTH_KB);
    HOLD(at[2].threads == at[0].threads && at[2].threads == (strcmp(how, "host") == 0 ? 1 : 2));
    HOLD(at[2].files == at[0].files);
    return 0;
}
