// Performs scenarios through the C++ classes: driver FILE.json...
#include "steps.h"
#include "verbs.hpp"

#include <floatlease_sandbox.hpp>

#include <string_view>

using floatlease::Client, floatlease::Result, floatlease::Text;

static floatlease::Sandbox sandbox;
static Client clients[MOST];
static floatlease::Lease leases[MOST];
static floatlease::Ticket tickets[MOST];

static answer answer_of(const Result &result)
{
    return {result.status(), result.json().empty() ? nullptr : strdup(result.json().data())};
}

static answer sandbox_start(const char *options)
{
    return answer_of(sandbox.start(options));
}

static answer sandbox_control(const char *call, const char *request)
{
    return answer_of(sandbox.control(call, request));
}

static void sandbox_stop()
{
    sandbox.stop();
}

static answer client_open(int client, const char *config)
{
    return answer_of(clients[client].open(config));
}

static void client_close(int client)
{
    clients[client].close();
}

static answer client_call(int client, const char *operation, const char *request)
{
    for (const Verb &verb : verbs)
        if (verb.name == operation)
            return answer_of((clients[client].*verb.perform)(request));
    return answer_of(clients[client].call(operation, request));
}

static answer client_advance(int client, uint32_t by_ms)
{
    return answer_of(clients[client].advance_clock(std::chrono::milliseconds(by_ms)));
}

static answer client_submit(int client, int ticket, const char *operation, const char *request)
{
    return answer_of(clients[client].submit(tickets[ticket], operation, request));
}

static answer client_cancel(int client, int ticket)
{
    return answer_of(clients[client].cancel(tickets[ticket]));
}

static answer client_next_event(int client, uint32_t wait_ms)
{
    return answer_of(clients[client].next_event(std::chrono::milliseconds(wait_ms)));
}

static answer lease_acquire(int lease, int client, const char *request)
{
    return answer_of(clients[client].acquire_lease(leases[lease], request));
}

static answer lease_accept(int lease, int client, int ticket)
{
    return answer_of(clients[client].accept_lease(leases[lease], tickets[ticket]));
}

static answer lease_info(int lease)
{
    return answer_of(leases[lease].info());
}

static answer lease_renew(int lease)
{
    return answer_of(leases[lease].renew());
}

static answer lease_borrow(int lease, const char *request)
{
    return answer_of(leases[lease].borrow(request));
}

static answer lease_release(int lease)
{
    return answer_of(leases[lease].release());
}

static floatlease_state lease_state(int lease)
{
    return static_cast<floatlease_state>(leases[lease].state());
}

static void lease_free(int lease)
{
    leases[lease].close();
}

static uint64_t ticket_number(int ticket)
{
    return tickets[ticket];
}

int main(int argc, char **argv)
{
    return perform_all(argc - 1, argv + 1);
}
