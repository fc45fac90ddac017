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
/// A thin layer over floatlease_sandbox.h, in the manner of floatlease.hpp. For tests only: never ship it in a product,
/// because it grants a license to every program that asks.

#ifndef FLOATLEASE_SANDBOX_HPP
#define FLOATLEASE_SANDBOX_HPP

#include <floatlease.hpp>
#include <floatlease_sandbox.h>

namespace floatlease {

/// A license server in this process. Its destructor stops it.
class Sandbox {
public:
    /// Makes a sandbox without a server: start starts one.
    Sandbox() noexcept = default;

    /// Starts a server, and then stops the one that this object had; if it fails, that one goes on. The server accepts
    /// requests when this returns. The JSON describes it for clients: base_url, public_key, license_key and more.
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

    /// Stops the server within a second. Stopping twice is allowed.
    void stop() noexcept { floatlease_sandbox_stop(handle()); }

    /// Performs a call of the control interface, for example "GET /slots".
    Result control(const Text &method_path, const Text &request = nullptr) const
    {
        if (!method_path.is_whole() || !request.is_whole())
            return detail::refuse_nul();
        char *json = nullptr;
        const floatlease_status status =
            floatlease_sandbox_control(handle(), method_path.c_str(), request.c_str(), &json);

        return Result(status, String(json, floatlease_sandbox_string_free));
    }

    /// Returns a config for Client::open. `request` may name the device: {"hardware_id":"my-desk"}.
    Result client_config(const Text &request = nullptr) const { return control("GET /client_config", request); }

    /// Lets time pass at once for the server.
    Result advance(std::chrono::milliseconds by) const
    {
        return control("POST /clock/advance", "{\"by\":\"" + std::to_string(by.count()) + "ms\"}");
    }

    /// Lets time pass at once for the server and for the leases of a client.
    Result advance(std::chrono::milliseconds by, const Client &client) const
    {
        Result advanced = advance(by);

        return advanced ? client.advance_clock(by) : std::move(advanced);
    }

    /// Injects a fault. The request is that of "POST /faults".
    Result fault(const Text &request) const { return control("POST /faults", request); }
    /// Ends all faults.
    Result clear_faults() const { return control("DELETE /faults"); }
    /// Returns the handle for functions of floatlease_sandbox.h. This object still owns it.
    [[nodiscard]] floatlease_sandbox *handle() const noexcept { return handle_.get(); }

private:
    struct Stop {
        void operator()(floatlease_sandbox *sandbox) const noexcept { floatlease_sandbox_stop(sandbox); }
    };

    std::unique_ptr<floatlease_sandbox, Stop> handle_;
};

} // namespace floatlease

#endif
