// Prints what C++ reads of each reply: replies CONFIG CASES, as replies.c does, and after another tab an object with what
// text(), number() and member() give for each member that is to be read. It performs all cases twice: by the methods, and
// in the background.
#include "verbs.hpp"

#include <floatlease.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

using floatlease::Client, floatlease::Result, floatlease::Text, floatlease::json_string;

struct Case {
    std::string operation, request;
    std::vector<std::string> members;
};

static std::vector<Case> cases_in(const char *path)
{
    std::vector<Case> cases;
    std::ifstream file(path);

    for (std::string line; std::getline(file, line);) {
        const std::size_t first = line.find('\t'), second = line.find('\t', first + 1);
        Case one{line.substr(0, first), line.substr(first + 1, second - first - 1), {}};

        for (std::size_t at = second; at != std::string::npos;) {
            const std::size_t end = line.find(' ', at + 1);

            one.members.push_back(line.substr(at + 1, end == std::string::npos ? end : end - at - 1));
            at = end;
        }
        cases.push_back(std::move(one));
    }
    return cases;
}

static std::string read(std::string_view json, const std::vector<std::string> &members)
{
    std::string all;

    for (const std::string &name : members) {
        all += all.empty() ? "{" : ",";
        all += json_string(name) + ":[" + json_string(floatlease::text(json, name)) + ","
               + std::to_string(floatlease::number(json, name)) + ","
               + json_string(floatlease::member(json, name)) + "]";
    }
    return all + "}";
}

static void print(std::string_view name, std::string_view json, const Case &one)
{
    const std::string members = read(json, one.members);

    std::printf("%.*s\t%.*s\t%s\n", static_cast<int>(name.size()), name.data(), static_cast<int>(json.size()),
                json.data(), members.c_str());
}

static void perform(const Client &client, const Case &one)
{
    if (one.operation == "lease_acquire") {
        floatlease::Lease lease;
        const Result acquired = client.acquire_lease(lease, one.request);

        if (acquired)
            static_cast<void>(lease.release());
        return print(acquired.name(), acquired.json(), one);
    }
    for (const Verb &verb : verbs)
        if (verb.name == one.operation) {
            const Result result = (client.*verb.perform)(one.request);

            return print(result.name(), result.json(), one);
        }
    std::abort();
}

static void submit(const Client &client, const Case &one)
{
    floatlease::Ticket ticket = 0;

    if (!client.submit(ticket, one.operation, one.request))
        std::abort();
    for (;;) {
        const floatlease::Event event = client.next_event(std::chrono::seconds(30));

        if (!event)
            std::abort();
        if (event.kind() != "COMPLETED")
            continue;
        floatlease::Lease lease;

        if (one.operation == "lease_acquire" && client.accept_lease(lease, ticket))
            static_cast<void>(lease.release());
        const auto status = static_cast<floatlease_status>(event.number("status"));

        return print(floatlease_status_name(status), event.member(status == FLOATLEASE_OK ? "reply" : "error"), one);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return EXIT_FAILURE;
    for (const auto way : {perform, submit}) {
        Client client;

        if (!client.open(argv[1]))
            return EXIT_FAILURE;
        for (const Case &one : cases_in(argv[2]))
            way(client, one);
    }
}
