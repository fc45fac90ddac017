// Helpers for the tests of the larger examples: a sandbox, the time, and colleagues. Time passes for the server and for
// the client's leases alike; the library's thread does what is due in the background, so it is waited for.
#ifndef SCENE_HPP
#define SCENE_HPP

#include <floatlease_sandbox.hpp>

#include "common.hpp"

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>

using namespace std::chrono_literals;

inline void hold(bool so, const char *file, int line, const char *condition)
{
    if (!so) {
        std::cerr << file << ':' << line << ": not so: " << condition << std::endl;
        std::exit(1);
    }
}

#define HOLD(...) hold(static_cast<bool>(__VA_ARGS__), __FILE__, __LINE__, #__VA_ARGS__)

/// Waits for what comes of itself: not long, but longer than any machine should need.
#define SOON(...)                                                              \
    for (int naps = 0; !(__VA_ARGS__); std::this_thread::sleep_for(1ms))       \
        hold(++naps < 60000, __FILE__, __LINE__, "soon " #__VA_ARGS__)

/// A sandbox whose clock stands still, for a program on the machine my-desk.
class Scene {
public:
    Scene() { HOLD(sandbox.start(R"({"rate":0})")); }
    explicit Scene(const char *options) { HOLD(sandbox.start(options)); }

    /// Returns the config of a client on that machine. Deadlines go by real time, and the machine that tests may be busy:
    /// none passes by itself.
    std::string config(std::string_view desk = "my-desk") const
    {
        std::string config = control("GET /client_config", "{\"hardware_id\":" + floatlease::json_string(desk) + "}");

        return config.insert(1, R"("timeout_ms":600000,"connect_timeout_ms":600000,)");
    }

    /// A call of the control interface that must succeed.
    std::string control(const char *call, const floatlease::Text &request = nullptr) const
    {
        const floatlease::Result result = sandbox.control(call, request);

        if (!result)
            std::cerr << call << ": " << result.json() << '\n';
        HOLD(result);
        return std::string(result.json());
    }

    /// Time passes at once, as it does while the machine sleeps.
    void pass(std::chrono::minutes time, const floatlease::Client &client)
    {
        HOLD(sandbox.advance(time, client));
        passed_ += time;
    }

    /// A client that is opened later begins with the system's clock, so it must be told what has passed already.
    void tell_time(const floatlease::Client &client) const { HOLD(client.advance_clock(passed_)); }

    /// Nothing gets through from my-desk; colleagues notice nothing.
    void outage() const
    {
        control("POST /faults/profile", R"({"profile":"outage","match":{"hardware_id":"my-desk"}})");
    }

    /// A call of a colleague's machine, which is a client of its own.
    template <class... Request>
    floatlease::Result colleague(const char *desk, const char *operation, const Request &...request) const
    {
        floatlease::Client client;

        HOLD(client.open(config(desk)));
        return client.call(operation, request...);
    }

    /// Two colleagues take the two slots.
    void colleagues_come() const
    {
        for (const char *desk : {"office-1", "office-2"}) {
            HOLD(colleague(desk, "activate_license"));
            HOLD(colleague(desk, "check_license"));
        }
    }

    int slots_of_my_desk() const
    {
        const std::string slots = control("GET /slots");
        int count = 0;

        for (auto at = slots.find("\"my-desk\""); at != std::string::npos; at = slots.find("\"my-desk\"", at + 1))
            ++count;
        return count;
    }

    /// The server is back, if it was away; nothing impossible has happened, and the program left no slot behind, nor
    /// did its earlier starts.
    void end() const
    {
        HOLD(sandbox.clear_faults());
        SOON(control("GET /invariants").find("\"hardware_id\":\"my-desk\"") == std::string::npos);
        HOLD(sandbox.control("GET /invariants").text("ok") == "true");
    }

    floatlease::Sandbox sandbox;

private:
    std::chrono::minutes passed_{0};
};

#endif
