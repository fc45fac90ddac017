/// @file floatlease_sandbox.hpp
/// A license server inside your test, for C++17: with a clock that the test sets and faults that it injects.
///
///     floatlease::Sandbox sandbox;
///     floatlease::Client client;
///     bool ready = sandbox.start() && client.open(sandbox.client_config().json());
///     ...
///     sandbox.advance(2h, client)                              hours pass at once, for the server and for the client
///     sandbox.fault("{\"do\":{\"after_commit\":\"reset\"}}")   a reply is lost
///
/// A thin layer over floatlease_sandbox.h, in the manner of floatlease.hpp. For tests only: never ship it inside a
/// product, for it grants licenses to whoever asks.

#ifndef FLOATLEASE_SANDBOX_HPP
#define FLOATLEASE_SANDBOX_HPP

#include <floatlease.hpp>
#include <floatlease_sandbox.h>

namespace floatlease {

/// A license server in this process. Destroyed, it is stopped.
class Sandbox {
public:
    /// None: see start.
    Sandbox() noexcept = default;

    /// Starts a sandbox, in the place of the one there was; it answers when this returns. Its JSON tells what a client
    /// needs. If it fails, the other one stays.
    Result start(const Text &options = nullptr)
    {
        if (!options.is_whole())
            return detail::refuse_nul();
        floatlease_sandbox *started = nullptr;
        char *json = nullptr;
        const floatlease_status status = floatlease_sandbox_start(options.c_str(), &started, &json);

        if (started)
            handle_.reset(started);
        return Result(status, String(json, floatlease_sandbox_string_free));
    }

    /// Stops it now. Twice is allowed.
    void stop() noexcept { floatlease_sandbox_stop(handle()); }

    /// A call of the control interface, for example "GET /slots".
    Result control(const Text &method_path, const Text &request = nullptr) const
    {
        if (!method_path.is_whole() || !request.is_whole())
            return detail::refuse_nul();
        char *json = nullptr;
        const floatlease_status status =
            floatlease_sandbox_control(handle(), method_path.c_str(), request.c_str(), &json);

        return Result(status, String(json, floatlease_sandbox_string_free));
    }

    /// A config for Client::open; `request` may name the device: {"hardware_id":"my-desk"}.
    Result client_config(const Text &request = nullptr) const { return control("GET /client_config", request); }

    /// Lets time pass for the server.
    Result advance(std::chrono::milliseconds by) const
    {
        return control("POST /clock/advance", "{\"by\":\"" + std::to_string(by.count()) + "ms\"}");
    }

    /// Lets time pass for the server and for the leases of a client of it, as it does in life.
    Result advance(std::chrono::milliseconds by, const Client &client) const
    {
        Result advanced = advance(by);

        return advanced ? client.advance_clock(by) : std::move(advanced);
    }

    /// Has something go wrong, in the words of "POST /faults".
    Result fault(const Text &request) const { return control("POST /faults", request); }
    /// Nothing goes wrong any more.
    Result clear_faults() const { return control("DELETE /faults"); }
    /// For functions of floatlease_sandbox.h. Still this object's.
    [[nodiscard]] floatlease_sandbox *handle() const noexcept { return handle_.get(); }

private:
    struct Stop {
        void operator()(floatlease_sandbox *sandbox) const noexcept { floatlease_sandbox_stop(sandbox); }
    };

    std::unique_ptr<floatlease_sandbox, Stop> handle_;
};

} // namespace floatlease

#endif
