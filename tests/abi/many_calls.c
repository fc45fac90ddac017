/*
 * Many submitted calls at once. `many_calls holdings COUNT` submits calls to a server that never answers, and prints what
 * the process holds while they are under way and eleven seconds after their end. `many_calls rate COUNT` submits calls to
 * a real server, as many at a time as may be under way, and prints how many end in a second.
 * Run by tests/c_programs.rs and benches/many_calls.py. FLOATLEASE_CONFIG is the config.
 */
#include "expect.h"
#include "holdings.h"

#include <string.h>
#include <time.h>

enum { MOST_UNDER_WAY = 1000 };

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void submit(floatlease_client *client)
{
    uint64_t ticket;

    EXPECT(floatlease_submit(client, "product_details", NULL, &ticket), FLOATLEASE_OK);
}

/* Waits for the end of one call. */
static void complete(floatlease_client *client)
{
    char *json;

    EXPECT(floatlease_next_event(client, 60000, &json), FLOATLEASE_OK);
    HOLD(json && strstr(json, "COMPLETED"));
    floatlease_string_free(json);
}

static void print_holdings(const char *name, struct holdings before)
{
    struct holdings now = held();

    printf("\"threads%s\":%ld,\"resident_kb%s\":%ld,\"files%s\":%ld", name, now.threads - before.threads, name,
           now.resident_kb - before.resident_kb, name, now.files - before.files);
}

static void measure_holdings(floatlease_client *client, long count)
{
    struct holdings before = held();

    for (long i = 0; i < count; i++)
        submit(client);
    /* Each call has its thread and its connection by then. */
    sleep(2);
    printf("{");
    print_holdings("", before);
    EXPECT(floatlease_client_cancel(client), FLOATLEASE_OK);
    for (long i = 0; i < count; i++)
        complete(client);
    sleep(11);
    printf(",");
    print_holdings("_after", before);
    printf("}\n");
}

static void measure_rate(floatlease_client *client, long count)
{
    double began = seconds();
    long submitted = 0;

    for (long completed = 0; completed < count; completed++) {
        while (submitted < count && submitted - completed < MOST_UNDER_WAY) {
            submit(client);
            submitted++;
        }
        complete(client);
    }
    printf("{\"calls_a_second\":%.0f}\n", (double)count / (seconds() - began));
}

int main(int argc, char **argv)
{
    const char *config = getenv("FLOATLEASE_CONFIG");
    floatlease_client *client;

    HOLD(argc == 3 && config);
    EXPECT(floatlease_client_open(config, &client, NULL), FLOATLEASE_OK);
    if (strcmp(argv[1], "rate") == 0)
        measure_rate(client, atol(argv[2]));
    else
        measure_holdings(client, atol(argv[2]));
    floatlease_client_close(client);
    return 0;
}
