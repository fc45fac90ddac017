/// @file floatlease.hpp
/// floatlease for C++17: take, hold and give back floating (concurrent) licenses.
///
///     c++ -std=c++17 game.cpp -lfloatlease
///
///     floatlease::Client client;
///     if (const floatlease::Result opened = client.open(config); !opened)
///         return complain(opened.text("message"), opened.text("advice"));
///
///     floatlease::Lease lease;
///     if (client.acquire_lease(lease, "{\"feature\":\"MESH\"}")) ...
///     if (lease.is_licensed()) ...        at no cost, in every frame
///
/// A thin layer over floatlease.h, which is the manual: each function here is the one of the same name there, with the
/// same requests, replies and statuses. Header-only; no exception, no RTTI, nothing to link but the C library.
///
/// Failure   Whatever can fail returns a Result, and the compiler warns if nobody looks at it. What such a call gives
///           besides (an opened client, a lease, a ticket) it writes into an object of yours, and only if it succeeds:
///           there is no value that could be taken without its Result, as an `Opened<T>` would have one.
/// Owning    Client, Lease, String and Result move and are never copied. A default-made or moved-from Client or Lease
///           answers FLOATLEASE_E_HANDLE, as one does that was closed. It is never a crash.
/// Const     As with a pointer, const is the object that holds the handle, not what the handle stands for.
/// Threads   Any function from any thread at any time; but while an object is moved, opened anew or destroyed, no other
///           thread may use that object.
/// Statuses  The macros of floatlease.h: FLOATLEASE_OK, FLOATLEASE_E_... Expect numbers that they do not know.

#ifndef FLOATLEASE_HPP
#define FLOATLEASE_HPP

// MSVC says 199711L unless it is told /Zc:__cplusplus.
#if defined(_MSVC_LANG) ? _MSVC_LANG < 201703L : __cplusplus < 201703L
#error "floatlease.hpp needs C++17: -std=c++17 or /std:c++17"
#endif

#include <floatlease.h>
#include <floatlease_json.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace floatlease {

/// Whether the library that was loaded fits this header. Ask once, at the start.
[[nodiscard]] inline bool compatible() noexcept
{
    return floatlease_abi_version() == FLOATLEASE_ABI_VERSION;
}

/// The library's version, for example "0.1.0".
[[nodiscard]] inline std::string_view version() noexcept
{
    return floatlease_version();
}

/// How a lease stands. In lower case, because there are programs in which None or ACTIVE are macros. Expect numbers
/// that have no name here.
enum class State : floatlease_state {
    none = 0,                                ///< No open lease.
    active = FLOATLEASE_STATE_ACTIVE,        ///< Confirmed by the server within its timeout: run.
    degraded = FLOATLEASE_STATE_DEGRADED,    ///< A renewal failed, the slot is still yours: perhaps a quiet notice.
    grace = FLOATLEASE_STATE_GRACE,          ///< The slot is no longer surely yours: run, and save.
    borrowed = FLOATLEASE_STATE_BORROWED,    ///< Yours until a date, network or not: run.
    lost = FLOATLEASE_STATE_LOST,            ///< Over: stop licensed work; the document is still the user's.
    released = FLOATLEASE_STATE_RELEASED,    ///< Given back.
};

/// Whether licensed work may go on.
[[nodiscard]] constexpr bool is_licensed(State state) noexcept
{
    return state >= State::active && state <= State::borrowed;
}

/// "ACTIVE" and so on, as in events; "NONE" for no open lease, "UNKNOWN_STATE" for what has no name.
[[nodiscard]] constexpr std::string_view name_of(State state) noexcept
{
    switch (state) {
    case State::none: return "NONE";
    case State::active: return "ACTIVE";
    case State::degraded: return "DEGRADED";
    case State::grace: return "GRACE";
    case State::borrowed: return "BORROWED";
    case State::lost: return "LOST";
    case State::released: return "RELEASED";
    }
    return "UNKNOWN_STATE";
}

/// A text that the library gave out. Freed when this is destroyed.
class String {
public:
    /// How the library that a text came from frees it.
    using Deleter = void (*)(char *);

    /// None.
    String() noexcept = default;

    /// Takes `text` over, which may be NULL.
    explicit String(char *text, Deleter deleter = floatlease_string_free) noexcept : text_(text, deleter) {}

    /// The text, "" if there is none. It lives as long as this does, and a NUL follows it.
    [[nodiscard]] std::string_view view() const noexcept
    {
        return text_ ? std::string_view(text_.get()) : std::string_view("");
    }

    /// The same for functions that want it so; never NULL.
    [[nodiscard]] const char *c_str() const noexcept { return text_ ? text_.get() : ""; }

private:
    std::unique_ptr<char, Deleter> text_{nullptr, floatlease_string_free};
};

/// A text for the library: a literal or a std::string as it is, a std::string_view copied, because no NUL need follow
/// it. nullptr is no text; as a request it stands for {}. A NUL inside is FLOATLEASE_E_BAD_VALUE, for the C library would
/// take what stands before it for the whole.
class Text {
public:
    /// A literal, or nullptr.
    Text(const char *text) noexcept : text_(text) {}
    /// A string, which must outlive the call.
    Text(const std::string &text) noexcept : text_(text.c_str()), is_whole_(ends_at_its_nul(text)) {}
    /// What the library gave out.
    Text(const String &text) noexcept : text_(text.c_str()) {}
    /// A copy.
    Text(std::string_view text) : copy_(text), text_(copy_.c_str()), is_whole_(ends_at_its_nul(text)) {}
    Text(const Text &) = delete;
    Text &operator=(const Text &) = delete;

    /// For the C function.
    [[nodiscard]] const char *c_str() const noexcept { return text_; }
    /// Whether the C function takes all of it: no NUL is inside.
    [[nodiscard]] bool is_whole() const noexcept { return is_whole_; }

private:
    static bool ends_at_its_nul(std::string_view text) noexcept { return text.find('\0') == std::string_view::npos; }

    std::string copy_;
    const char *text_;
    bool is_whole_ = true;
};

/// What a call came to: a status, and the server's answer or an error object as JSON. True if it succeeded.
class [[nodiscard]] Result {
public:
    /// Of a status and its JSON.
    Result(floatlease_status number, String text) noexcept : status_(number), json_(std::move(text)) {}

    /// FLOATLEASE_OK or one of FLOATLEASE_E_..., or a number that is none of them.
    [[nodiscard]] floatlease_status status() const noexcept { return status_; }
    /// Whether the call succeeded.
    [[nodiscard]] bool ok() const noexcept { return status_ == FLOATLEASE_OK; }
    /// Whether the call succeeded.
    explicit operator bool() const noexcept { return ok(); }
    /// The name of the status: "OK", "FLOATING_NOT_AVAILABLE", ... A NUL follows it.
    [[nodiscard]] std::string_view name() const noexcept { return floatlease_status_name(status_); }

    /// The JSON text; "" where a call gives none. It lives as long as this does, and a NUL follows it.
    [[nodiscard]] std::string_view json() const noexcept { return json_.view(); }
    /// A member of it as a text; of an error "message", "advice", "outcome", ... See floatlease::text.
    [[nodiscard]] std::string text(std::string_view key) const { return floatlease::text(json(), key); }
    /// A member of it as a number; of an error "http_status", "retry_after_ms", ... See floatlease::number.
    [[nodiscard]] std::int64_t number(std::string_view key) const { return floatlease::number(json(), key); }
    /// A member of it as it stands, for what is nested. See floatlease::member.
    [[nodiscard]] std::string_view member(std::string_view key) const { return floatlease::member(json(), key); }

private:
    floatlease_status status_;
    String json_;
};

/// Not for you.
namespace detail {

/// The error object for a text that has a NUL inside, as the library would write it. Nothing was asked.
inline Result refuse_nul() noexcept
{
    // Never freed, and never written to: String takes only a text that it might free.
    static char error[] = R"({"status":7,"name":"BAD_VALUE","category":"usage",)"
                          R"("message":"A text must not hold a NUL: what follows it would be lost.",)"
                          R"("advice":"Correct the value as the message says.","retryable":false,)"
                          R"("retry_after_ms":null,"outcome":"not_sent","http_status":null,"server_code":null,)"
                          R"("attempts":0,"elapsed_ms":0})";

    return Result(FLOATLEASE_E_BAD_VALUE, String(error, [](char *) {}));
}

/// Whether a C function takes all of an argument.
inline bool is_whole(const Text &text) noexcept { return text.is_whole(); }
template <class Argument>
bool is_whole(const Argument &) noexcept
{
    return true;
}

/// An argument as a C function wants it.
inline const char *for_c(const Text &text) noexcept { return text.c_str(); }
template <class Argument>
Argument for_c(const Argument &argument) noexcept
{
    return argument;
}

/// Calls a function that takes these and `char **json_out`.
template <class Function, class... Arguments>
Result ask(Function *function, const Arguments &...arguments)
{
    if (!(is_whole(arguments) && ...))
        return refuse_nul();
    char *json = nullptr;
    const floatlease_status status = function(for_c(arguments)..., &json);

    return Result(status, String(json));
}

} // namespace detail

/// What Client::next_event gives: an event, or nothing, or a failure. True if it is an event.
class [[nodiscard]] Event : public Result {
public:
    using Result::Result;

    /// Whether an event came.
    explicit operator bool() const noexcept { return ok() && !json().empty(); }
    /// What happened: "COMPLETED", "GRACE_STARTED", ... "" if nothing did. Expect kinds that you do not know.
    [[nodiscard]] std::string kind() const { return ok() ? text("event") : std::string(); }
};

/// Names a submitted call.
using Ticket = std::uint64_t;

/// A held slot of a license or a feature, or several. Destroyed, it is freed: nothing is waited for, and what is still
/// held is given back in the background. To have it given back before you go on, take a ScopedLease.
class Lease {
public:
    /// None: see Client::acquire_lease.
    Lease() noexcept = default;
    /// Takes a handle of the C library over.
    explicit Lease(floatlease_lease *taken) noexcept : handle_(taken) {}

    /// How it stands. Wait-free: no lock, no memory, no system call (but one on Linux before 4.14); for every frame and for
    /// an audio thread.
    [[nodiscard]] State state() const noexcept { return State{floatlease_lease_state(handle())}; }

    /// Whether licensed work may go on: the state is active, degraded, grace or borrowed. Wait-free, like state.
    [[nodiscard]] bool is_licensed() const noexcept { return floatlease::is_licensed(state()); }

    /// How long until licensed work must stop. Wait-free too. Go by the state: see floatlease_lease_remaining.
    [[nodiscard]] std::chrono::milliseconds remaining() const noexcept
    {
        return std::chrono::milliseconds(floatlease_lease_remaining(handle()));
    }

    /// All that is known of it. Local.
    Result info() const { return detail::ask(floatlease_lease_info, handle()); }
    /// Renews it now, whoever keeps it alive.
    Result renew() const { return detail::ask(floatlease_lease_renew, handle()); }
    /// Gives it back, borrowed or not, and waits for the server: "timeout_ms" of the acquire at most.
    Result release() const { return detail::ask(floatlease_lease_release, handle()); }

    /// Makes it this machine's until a date, with or without a network. Needs "storage_dir" in the config.
    Result borrow(const Text &request = nullptr) const
    {
        return detail::ask(floatlease_lease_borrow, handle(), request);
    }

    /// Frees it now. Waits for nothing. Twice is allowed. (Not `free`, which is a macro in some debug builds.)
    void close() noexcept { floatlease_lease_free(handle()); }
    /// For functions of floatlease.h. Still this object's.
    [[nodiscard]] floatlease_lease *handle() const noexcept { return handle_.get(); }

private:
    struct Free {
        void operator()(floatlease_lease *lease) const noexcept { floatlease_lease_free(lease); }
    };

    std::unique_ptr<floatlease_lease, Free> handle_;
};

/// A lease that is given back at the end of the scope, which waits for the server: "timeout_ms" of the acquire at most,
/// by default that of the config (15 s). What is borrowed stays so: only Lease::release ends a borrow. Declare it after
/// its Client, so that it ends first: once the client is closed, what it held is given back in the background.
class ScopedLease {
public:
    /// None.
    ScopedLease() noexcept = default;
    /// Takes a lease over.
    explicit ScopedLease(Lease lease) noexcept : lease_(std::move(lease)) {}
    /// Takes over what another one has.
    ScopedLease(ScopedLease &&) noexcept = default;
    /// Gives the one that it has back first.
    ScopedLease &operator=(ScopedLease &&other) noexcept
    {
        if (this != &other) {
            give_back();
            lease_ = std::move(other.lease_);
        }
        return *this;
    }
    ~ScopedLease() { give_back(); }

    /// The lease; still this object's.
    [[nodiscard]] Lease &operator*() noexcept { return lease_; }
    /// The lease; still this object's.
    [[nodiscard]] const Lease &operator*() const noexcept { return lease_; }
    /// A function of the lease.
    Lease *operator->() noexcept { return &lease_; }
    /// A function of the lease.
    const Lease *operator->() const noexcept { return &lease_; }

private:
    // If the server can't be reached, time gives the slot back: there is nothing else to do about a failure.
    void give_back() noexcept
    {
        if (const State state = lease_.state(); state != State::none && state != State::borrowed)
            floatlease_lease_release(lease_.handle(), nullptr);
    }

    Lease lease_;
};

/// One product, one device, one server. Destroyed, it is closed: nothing is waited for. Requests are JSON objects, and
/// may be left out: everything comes from the config then.
class Client {
public:
    /// Closed: see open.
    Client() noexcept = default;
    /// Takes a handle of the C library over.
    explicit Client(floatlease_client *opened) noexcept : handle_(opened) {}

    /// Opens a client, in the place of the one there was. Touches no network. If it fails, that one stays.
    Result open(const Text &config)
    {
        floatlease_client *opened = nullptr;
        Result result = detail::ask(floatlease_client_open, config, &opened);

        if (opened)
            handle_.reset(opened);
        return result;
    }

    /// Closes it now. Waits for nothing; its leases are over. Twice is allowed.
    void close() noexcept { floatlease_client_close(handle()); }
    /// Wakes every call in flight on this client; to be called from another thread.
    Result cancel() const noexcept { return Result(floatlease_client_cancel(handle()), String()); }
    /// For functions of floatlease.h. Still this object's.
    [[nodiscard]] floatlease_client *handle() const noexcept { return handle_.get(); }

    /// Makes this device known to the license. Must precede everything below.
    Result activate_license(const Text &request = nullptr) const { return ask(floatlease_activate_license, request); }
    /// Asks how the license stands; if it floats, takes this device's slot, or renews it.
    Result check_license(const Text &request = nullptr) const { return ask(floatlease_check_license, request); }
    /// Makes the license forget this device.
    Result deactivate_license(const Text &request = nullptr) const
    {
        return ask(floatlease_deactivate_license, request);
    }
    /// Keeps the license's slot until a date, network or not.
    Result borrow_license(const Text &request = nullptr) const { return ask(floatlease_borrow_license, request); }
    /// Gives the license's slot back, borrowed or not.
    Result release_license(const Text &request = nullptr) const { return ask(floatlease_release_license, request); }
    /// Asks how a feature stands; if it floats, takes this device's slot, or renews it. Needs "feature".
    Result check_feature(const Text &request) const { return ask(floatlease_check_feature, request); }
    /// Keeps a feature's slot until a date, network or not. Needs "feature".
    Result borrow_feature(const Text &request) const { return ask(floatlease_borrow_feature, request); }
    /// Gives a feature's slot back, borrowed or not. Needs "feature".
    Result release_feature(const Text &request) const { return ask(floatlease_release_feature, request); }
    /// Books consumptions on a license.
    Result add_consumption(const Text &request = nullptr) const { return ask(floatlease_add_consumption, request); }
    /// Books consumptions on a feature. Needs "feature".
    Result add_feature_consumption(const Text &request) const
    {
        return ask(floatlease_add_feature_consumption, request);
    }
    /// Describes the product.
    Result product_details(const Text &request = nullptr) const { return call("product_details", request); }
    /// Books the consumptions that wait.
    Result sync_consumptions(const Text &request = nullptr) const { return call("sync_consumptions", request); }

    /// Performs an operation by its name.
    Result call(const Text &operation, const Text &request = nullptr) const
    {
        return detail::ask(floatlease_call, handle(), operation, request);
    }

    /// Tries each step from here to the server's signature and tells how it went.
    Result diagnose() const { return detail::ask(floatlease_client_diagnose, handle()); }

    /// Takes a slot, or several, and keeps them. `lease` frees the one that it had; if this fails, it keeps it.
    Result acquire_lease(Lease &lease, const Text &request = nullptr) const
    {
        floatlease_lease *acquired = nullptr;
        Result result = detail::ask(floatlease_lease_acquire, handle(), request, &acquired);

        if (acquired)
            lease = Lease(acquired);
        return result;
    }

    /// Has a call done in the background: any that call knows, or "lease_acquire", "lease_renew", "lease_borrow",
    /// "lease_release". Returns at once; its completion is an event with this ticket.
    Result submit(Ticket &ticket, const Text &operation, const Text &request = nullptr) const
    {
        if (!operation.is_whole() || !request.is_whole())
            return detail::refuse_nul();
        Ticket submitted = 0;
        const floatlease_status status = floatlease_submit(handle(), operation.c_str(), request.c_str(), &submitted);

        if (status == FLOATLEASE_OK)
            ticket = submitted;
        return Result(status, String());
    }

    /// Ends a submitted call as soon as it can be; its completion says how far it got.
    Result cancel(Ticket ticket) const noexcept { return Result(floatlease_cancel(handle(), ticket), String()); }

    /// Takes over what a submitted "lease_acquire" has taken, as acquire_lease does.
    Result accept_lease(Lease &lease, Ticket ticket) const
    {
        floatlease_lease *accepted = nullptr;
        Result result = detail::ask(floatlease_lease_accept, handle(), ticket, &accepted);

        if (accepted)
            lease = Lease(accepted);
        return result;
    }

    /// The oldest event that was not read yet; waits for one at most so long, by default not at all.
    ///
    ///     while (const floatlease::Event event = client.next_event())
    Event next_event(std::chrono::milliseconds wait = std::chrono::milliseconds::zero()) const
    {
        char *json = nullptr;
        const floatlease_status status = floatlease_next_event(handle(), milliseconds_of(wait), &json);

        return Event(status, String(json));
    }

    /// Puts the clock of this client's leases ahead, as a sleep of the machine would: for tests.
    Result advance_clock(std::chrono::milliseconds by) const noexcept
    {
        floatlease_status status = FLOATLEASE_OK;

        do {
            const std::uint32_t part = milliseconds_of(by);

            status = floatlease_client_advance_clock(handle(), part);
            by -= std::chrono::milliseconds(part);
        } while (status == FLOATLEASE_OK && by.count() > 0);
        return Result(status, String());
    }

private:
    using Verb = floatlease_status(floatlease_client *, const char *, char **);

    struct Close {
        void operator()(floatlease_client *client) const noexcept { floatlease_client_close(client); }
    };

    // As many as the C library takes: 49 days.
    static std::uint32_t milliseconds_of(std::chrono::milliseconds time) noexcept
    {
        const auto count = time.count();

        return count <= 0 ? 0 : count >= UINT32_MAX ? UINT32_MAX : static_cast<std::uint32_t>(count);
    }

    Result ask(Verb *verb, const Text &request) const { return detail::ask(verb, handle(), request); }

    std::unique_ptr<floatlease_client, Close> handle_;
};

} // namespace floatlease

#endif
