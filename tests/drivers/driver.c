/* Performs scenarios through the C functions: driver FILE.json... */
#include "steps.h"
#include "verbs.h"

static floatlease_sandbox *sandbox;
static floatlease_client *clients[MOST];
static floatlease_lease *leases[MOST];
static uint64_t tickets[MOST];

/* Takes a text of the library over. */
static struct answer answer(floatlease_status status, char *json, void (*free_json)(char *))
{
    struct answer answer = {status, json ? strdup(json) : NULL};

    free_json(json);
    return answer;
}

static struct answer sandbox_start(const char *options)
{
    char *json;
    floatlease_status status = floatlease_sandbox_start(options, &sandbox, &json);

    return answer(status, json, floatlease_sandbox_string_free);
}

static struct answer sandbox_control(const char *call, const char *request)
{
    char *json;
    floatlease_status status = floatlease_sandbox_control(sandbox, call, request, &json);

    return answer(status, json, floatlease_sandbox_string_free);
}

static void sandbox_stop(void)
{
    floatlease_sandbox_stop(sandbox);
}

static struct answer client_open(int client, const char *config)
{
    char *json;
    floatlease_status status = floatlease_client_open(config, &clients[client], &json);

    return answer(status, json, floatlease_string_free);
}

static void client_close(int client)
{
    floatlease_client_close(clients[client]);
}

static struct answer client_call(int client, const char *operation, const char *request)
{
    char *json;
    floatlease_status status;

    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(verbs[i].name, operation)) {
            status = verbs[i].perform(clients[client], request, &json);
            return answer(status, json, floatlease_string_free);
        }
    status = floatlease_call(clients[client], operation, request, &json);
    return answer(status, json, floatlease_string_free);
}

static struct answer client_advance(int client, uint32_t by_ms)
{
    return (struct answer){floatlease_client_advance_clock(clients[client], by_ms), NULL};
}

static struct answer client_submit(int client, int ticket, const char *operation, const char *request)
{
    return (struct answer){floatlease_submit(clients[client], operation, request, &tickets[ticket]), NULL};
}

static struct answer client_cancel(int client, int ticket)
{
    return (struct answer){floatlease_cancel(clients[client], tickets[ticket]), NULL};
}

static struct answer client_next_event(int client, uint32_t wait_ms)
{
    char *json;
    floatlease_status status = floatlease_next_event(clients[client], wait_ms, &json);

    return answer(status, json, floatlease_string_free);
}

static struct answer lease_acquire(int lease, int client, const char *request)
{
    char *json;
    floatlease_status status = floatlease_lease_acquire(clients[client], request, &leases[lease], &json);

    return answer(status, json, floatlease_string_free);
}

static struct answer lease_accept(int lease, int client, int ticket)
{
    char *json;
    floatlease_status status = floatlease_lease_accept(clients[client], tickets[ticket], &leases[lease], &json);

    return answer(status, json, floatlease_string_free);
}

static struct answer lease_info(int lease)
{
    char *json;
    floatlease_status status = floatlease_lease_info(leases[lease], &json);

    return answer(status, json, floatlease_string_free);
}

static struct answer lease_renew(int lease)
{
    char *json;
    floatlease_status status = floatlease_lease_renew(leases[lease], &json);

    return answer(status, json, floatlease_string_free);
}

static struct answer lease_borrow(int lease, const char *request)
{
    char *json;
    floatlease_status status = floatlease_lease_borrow(leases[lease], request, &json);

    return answer(status, json, floatlease_string_free);
}

static struct answer lease_release(int lease)
{
    char *json;
    floatlease_status status = floatlease_lease_release(leases[lease], &json);

    return answer(status, json, floatlease_string_free);
}

static floatlease_state lease_state(int lease)
{
    return floatlease_lease_state(leases[lease]);
}

static void lease_free(int lease)
{
    floatlease_lease_free(leases[lease]);
}

static uint64_t ticket_number(int ticket)
{
    return tickets[ticket];
}

int main(int argc, char **argv)
{
    return perform_all(argc - 1, argv + 1);
}
