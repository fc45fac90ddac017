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
/// A thin layer over floatlease.h, which is the manual: each function here calls the one of a like name there, or
/// floatlease_call with its own name, with the same requests, replies and statuses. Header-only; no exception, no RTTI,
/// nothing to link but the C library.
///
/// Failure   Every function that can fail returns a Result, and the compiler warns if the caller ignores it. A client, a
///           lease or a ticket is written into an object of yours, and only if the call succeeds. So there is no value
///           that a program could take without looking at the Result.
/// Owning    Client, Lease, String and Result can be moved, but not copied. A default-made, moved-from or closed Client
///           or Lease answers FLOATLEASE_E_HANDLE; using it is never a crash.
/// Const     As with a pointer, const concerns the object that holds the handle, not the client or lease behind it.
/// Threads   Any thread may call any function at any time. But while an object is moved, opened again or destroyed, no
///           other thread may use that object.
/// Statuses  The macros of floatlease.h: FLOATLEASE_OK, FLOATLEASE_E_... Expect numbers that have no macro.

#ifndef FLOATLEASE_HPP
#define FLOATLEASE_HPP

// __cplusplus is 199711L in MSVC, unless /Zc:__cplusplus is given.
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

/// Returns whether the library that was loaded fits this header. Call it once, at the start.
[[nodiscard]] inline bool compatible() noexcept
{
    return floatlease_abi_version() == FLOATLEASE_ABI_VERSION;
}

/// Returns the version of the library, for example "0.1.0".
[[nodiscard]] inline std::string_view version() noexcept
{
    return floatlease_version();
}

/// The state of a lease. The names are in lower case, because None or ACTIVE are macros in many programs. Expect
/// numbers that have no name here.
enum class State : floatlease_state {
    none = 0,                             ///< There is no open lease.
    active = FLOATLEASE_STATE_ACTIVE,     ///< The server confirmed the slot within its timeout. Your program runs.
    degraded = FLOATLEASE_STATE_DEGRADED, ///< The last renewal failed, but the slot is still yours. Your program runs.
    grace = FLOATLEASE_STATE_GRACE,       ///< Another device may have the slot by now. Save the user's work.
    borrowed = FLOATLEASE_STATE_BORROWED, ///< The slot is yours until a date, with or without a network.
    lost = FLOATLEASE_STATE_LOST,         ///< The lease is lost. Stop licensed work; the document is still the user's.
    released = FLOATLEASE_STATE_RELEASED, ///< The slot was given back.
};

/// Returns whether licensed work may go on in a state: in active, degraded, grace and borrowed.
[[nodiscard]] constexpr bool is_licensed(State state) noexcept
{
    return state >= State::active && state <= State::borrowed;
}

/// Returns the name of a state as events spell it, for example "ACTIVE"; "UNKNOWN_STATE" for a number without a name.
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

/// A text that the library has allocated. Its destructor frees it.
class String {
public:
    /// The function of the library that frees a text.
    using Deleter = void (*)(char *);

    /// Holds no text.
    String() noexcept = default;

    /// Takes over `text`, which may be NULL.
    explicit String(char *text, Deleter deleter = floatlease_string_free) noexcept : text_(text, deleter) {}

    /// Returns the text, "" if there is none. It lives as long as this object, and a NUL follows it.
    [[nodiscard]] std::string_view view() const noexcept
    {
        return text_ ? std::string_view(text_.get()) : std::string_view("");
    }

    /// Returns the text for functions that take a C string; never NULL.
    [[nodiscard]] const char *c_str() const noexcept { return text_ ? text_.get() : ""; }

private:
    std::unique_ptr<char, Deleter> text_{nullptr, floatlease_string_free};
};

/// A text argument: a literal or a std::string is used as it is, a std::string_view is copied, because no NUL has to
/// follow it. nullptr is no text; as a request it means {}. A text with a NUL inside is refused with
/// FLOATLEASE_E_BAD_VALUE, because a C function would read only what stands before the NUL.
class Text {
public:
    /// Uses a literal; nullptr is no text.
    Text(const char *text) noexcept : text_(text) {}
    /// Uses a string, which must outlive the call.
    Text(const std::string &text) noexcept : text_(text.c_str()), is_whole_(ends_at_its_nul(text)) {}
    /// Uses a text of the library, which must outlive the call.
    Text(const String &text) noexcept : text_(text.c_str()) {}
    /// Copies a text.
    Text(std::string_view text) : copy_(text), text_(copy_.c_str()), is_whole_(ends_at_its_nul(text)) {}
    Text(const Text &) = delete;
    Text &operator=(const Text &) = delete;

    /// Returns the text as a C function takes it.
    [[nodiscard]] const char *c_str() const noexcept { return text_; }
    /// Returns whether no NUL is inside, so that a C function reads all of it.
    [[nodiscard]] bool is_whole() const noexcept { return is_whole_; }

private:
    static bool ends_at_its_nul(std::string_view text) noexcept { return text.find('\0') == std::string_view::npos; }

    std::string copy_;
    const char *text_;
    bool is_whole_ = true;
};

/// The result of a call: a status, and the reply or an error object as JSON. It converts to true if the call succeeded.
class [[nodiscard]] Result {
public:
    /// Makes a result of a status and its JSON.
    Result(floatlease_status number, String text) noexcept : status_(number), json_(std::move(text)) {}

    /// Returns FLOATLEASE_OK, one of FLOATLEASE_E_..., or a number that is newer than this header.
    [[nodiscard]] floatlease_status status() const noexcept { return status_; }
    /// Returns whether the call succeeded.
    [[nodiscard]] bool ok() const noexcept { return status_ == FLOATLEASE_OK; }
    /// Returns whether the call succeeded.
    explicit operator bool() const noexcept { return ok(); }
    /// Returns the name of the status, for example "FLOATING_NOT_AVAILABLE". A NUL follows it.
    [[nodiscard]] std::string_view name() const noexcept { return floatlease_status_name(status_); }

    /// Returns the JSON text, "" if the call gives none. It lives as long as this object, and a NUL follows it.
    [[nodiscard]] std::string_view json() const noexcept { return json_.view(); }
    /// Returns a member of the JSON as a text. Errors have "message", "advice", "outcome" and more.
    [[nodiscard]] std::string text(std::string_view key) const { return floatlease::text(json(), key); }
    /// Returns a member of the JSON as an integer, 0 if it is none. Errors have "http_status", "retry_after_ms" and
    /// more.
    [[nodiscard]] std::int64_t number(std::string_view key) const { return floatlease::number(json(), key); }
    /// Returns a member of the JSON as JSON text, for nested values; "" if there is none.
    [[nodiscard]] std::string_view member(std::string_view key) const { return floatlease::member(json(), key); }

private:
    floatlease_status status_;
    String json_;
};

/// Internals of this header. Programs do not use them.
namespace detail {

/// Returns the error for a text with a NUL inside, as the library would write it. No request was made.
inline Result refuse_nul() noexcept
{
    // String takes a pointer to non-const; this text is neither freed nor written to.
    static char error[] = R"({"status":7,"name":"BAD_VALUE","category":"usage",)"
                          R"("message":"A text must not hold a NUL: what follows it would be lost.",)"
                          R"("advice":"Correct the value as the message says.","retryable":false,)"
                          R"("retry_after_ms":null,"outcome":"not_sent","http_status":null,"server_code":null,)"
                          R"("attempts":0,"elapsed_ms":0})";

    return Result(FLOATLEASE_E_BAD_VALUE, String(error, [](char *) {}));
}

/// Returns whether a C function reads all of an argument.
inline bool is_whole(const Text &text) noexcept { return text.is_whole(); }
template <class Argument>
bool is_whole(const Argument &) noexcept
{
    return true;
}

/// Returns an argument as a C function takes it.
inline const char *for_c(const Text &text) noexcept { return text.c_str(); }
template <class Argument>
Argument for_c(const Argument &argument) noexcept
{
    return argument;
}

/// Calls a C function that takes these arguments and `char **json_out`.
template <class Function, class... Arguments>
Result ask(Function *function, const Arguments &...arguments)
{
    if (!(is_whole(arguments) && ...))
        return refuse_nul();
    char *json = nullptr;
    const floatlease_status status = function(for_c(arguments)..., &json);

    return Result(status, String(json));
}

/// Returns the result of a function that gives no error object. If the client is closed, the library says so in the
/// error object of another function: no operation has an empty name, so that one does nothing.
inline Result explained(floatlease_client *client, floatlease_status status) noexcept
{
    char *json = nullptr;

    if (status == FLOATLEASE_E_HANDLE || status == FLOATLEASE_E_FORKED)
        floatlease_call(client, "", nullptr, &json);
    return Result(status, String(json));
}

} // namespace detail

/// The result of Client::next_event: an event, no event, or a failure. It converts to true if it is an event.
class [[nodiscard]] Event : public Result {
public:
    using Result::Result;

    /// Returns whether an event came.
    explicit operator bool() const noexcept { return ok() && !json().empty(); }
    /// Returns the kind of the event, for example "GRACE_STARTED"; "" if none came. Expect kinds that you do not know.
    [[nodiscard]] std::string kind() const { return ok() ? text("event") : std::string(); }
};

/// The number that names a submitted call.
using Ticket = std::uint64_t;

/// One or more slots of a license or of its features, which the library keeps for your program. Its destructor waits
/// for nothing: the library gives the slots back in the background. A ScopedLease waits until they are given back.
class Lease {
public:
    /// Holds no lease: Client::acquire_lease takes one.
    Lease() noexcept = default;
    /// Takes over a handle of the C library.
    explicit Lease(floatlease_lease *taken) noexcept : handle_(taken) {}

    /// Returns the state of the lease. It never waits: no lock, no memory, no system call (but one on Linux before
    /// 4.14). Call it in every frame, or in an audio thread.
    [[nodiscard]] State state() const noexcept { return State{floatlease_lease_state(handle())}; }

    /// Returns whether licensed work may go on: the state is active, degraded, grace or borrowed. It never waits.
    [[nodiscard]] bool is_licensed() const noexcept { return floatlease::is_licensed(state()); }

    /// Returns the time until licensed work must stop. It never waits. After a sleep of the machine it may be 0 for
    /// some seconds while the server is asked, so decide by the state.
    [[nodiscard]] std::chrono::milliseconds remaining() const noexcept
    {
        return std::chrono::milliseconds(floatlease_lease_remaining(handle()));
    }

    /// Returns everything that the library knows about the lease, without asking the server.
    Result info() const { return detail::ask(floatlease_lease_info, handle()); }
    /// Renews the lease now, and waits for the server. Needed with "keep_alive":"host" only.
    Result renew() const { return detail::ask(floatlease_lease_renew, handle()); }
    /// Gives the slots back, borrowed or not, and waits for the server, for "timeout_ms" of the acquire at most.
    Result release() const { return detail::ask(floatlease_lease_release, handle()); }

    /// Borrows all slots of the lease, or none: this machine needs no network until "borrowed_until". The config needs
    /// a "storage_dir".
    Result borrow(const Text &request = nullptr) const
    {
        return detail::ask(floatlease_lease_borrow, handle(), request);
    }

    /// Closes the lease at once, without waiting for the server. Closing twice is allowed. (It is not called `free`,
    /// which is a macro in some debug builds.)
    void close() noexcept { floatlease_lease_free(handle()); }
    /// Returns the handle for functions of floatlease.h. This object still owns it.
    [[nodiscard]] floatlease_lease *handle() const noexcept { return handle_.get(); }

private:
    struct Free {
        void operator()(floatlease_lease *lease) const noexcept { floatlease_lease_free(lease); }
    };

    std::unique_ptr<floatlease_lease, Free> handle_;
};

/// A lease whose slots are given back at the end of the scope. The destructor waits for the server, for "timeout_ms" of
/// the acquire at most, by default that of the config (15 s). Borrowed slots stay borrowed: only Lease::release ends a
/// borrow. Declare it after its Client, so that it is destroyed first: a closed client gives slots back in the
/// background.
class ScopedLease {
public:
    /// Holds no lease.
    ScopedLease() noexcept = default;
    /// Takes over a lease.
    explicit ScopedLease(Lease lease) noexcept : lease_(std::move(lease)) {}
    /// Takes over the lease of another object.
    ScopedLease(ScopedLease &&) noexcept = default;
    /// Gives its lease back, and then takes over the lease of another object.
    ScopedLease &operator=(ScopedLease &&other) noexcept
    {
        if (this != &other) {
            give_back();
            lease_ = std::move(other.lease_);
        }
        return *this;
    }
    ~ScopedLease() { give_back(); }

    /// Returns the lease, which this object still owns.
    [[nodiscard]] Lease &operator*() noexcept { return lease_; }
    /// Returns the lease, which this object still owns.
    [[nodiscard]] const Lease &operator*() const noexcept { return lease_; }
    /// Gives access to the members of the lease.
    Lease *operator->() noexcept { return &lease_; }
    /// Gives access to the members of the lease.
    const Lease *operator->() const noexcept { return &lease_; }

private:
    // A failure is ignored: if the server can't be reached, it frees the slot after its timeout.
    void give_back() noexcept
    {
        if (const State state = lease_.state(); state != State::none && state != State::borrowed)
            floatlease_lease_release(lease_.handle(), nullptr);
    }

    Lease lease_;
};

/// A client: one product, one device, one server. Its destructor closes it without waiting. Requests are JSON objects;
/// what a request leaves out is taken from the config.
class Client {
public:
    /// Makes a closed client: open opens it.
    Client() noexcept = default;
    /// Takes over a handle of the C library.
    explicit Client(floatlease_client *opened) noexcept : handle_(opened) {}

    /// Opens a client, and then closes the one that this object had; if it fails, that one stays open. It touches no
    /// network.
    Result open(const Text &config)
    {
        floatlease_client *opened = nullptr;
        Result result = detail::ask(floatlease_client_open, config, &opened);

        if (opened)
            handle_.reset(opened);
        return result;
    }

    /// Closes the client and its leases at once, without waiting for the server. Closing twice is allowed.
    void close() noexcept { floatlease_client_close(handle()); }
    /// Cancels every call in flight on this client. Call it from another thread. Leases go on.
    Result cancel() const noexcept { return detail::explained(handle(), floatlease_client_cancel(handle())); }
    /// Returns the handle for functions of floatlease.h. This object still owns it.
    [[nodiscard]] floatlease_client *handle() const noexcept { return handle_.get(); }

    /// Makes this device known to the license. It takes no slot. Call it once on each machine, before all other
    /// operations.
    Result activate_license(const Text &request = nullptr) const { return ask(floatlease_activate_license, request); }
    /// Asks the server about the license. On a floating license this takes this device's slot, or renews it.
    Result check_license(const Text &request = nullptr) const { return ask(floatlease_check_license, request); }
    /// Makes the license forget this device. The server frees all its slots, borrowed ones too.
    Result deactivate_license(const Text &request = nullptr) const
    {
        return ask(floatlease_deactivate_license, request);
    }
    /// Borrows the license: its slot is this device's until "borrowed_until", with or without a network.
    Result borrow_license(const Text &request = nullptr) const { return ask(floatlease_borrow_license, request); }
    /// Gives the license's slot back, borrowed or not.
    Result release_license(const Text &request = nullptr) const { return ask(floatlease_release_license, request); }
    /// Asks the server about a feature. If the feature floats, this takes this device's slot of it, or renews it. The
    /// request needs "feature".
    Result check_feature(const Text &request) const { return ask(floatlease_check_feature, request); }
    /// Borrows a feature whose slot this device holds already. The request needs "feature".
    Result borrow_feature(const Text &request) const { return ask(floatlease_borrow_feature, request); }
    /// Gives a feature's slot back, borrowed or not. The request needs "feature".
    Result release_feature(const Text &request) const { return ask(floatlease_release_feature, request); }
    /// Books consumptions on a license of type consumption: all of them or none.
    Result add_consumption(const Text &request = nullptr) const { return ask(floatlease_add_consumption, request); }
    /// Books consumptions on a feature that counts: all of them or none. The request needs "feature".
    Result add_feature_consumption(const Text &request) const
    {
        return ask(floatlease_add_feature_consumption, request);
    }
    /// Asks the server about the product: its names, its trials, its latest version.
    Result product_details(const Text &request = nullptr) const { return call("product_details", request); }
    /// Gives this device a trial of the product, or returns the one that it has. "license" of the reply is the key.
    Result trial_key(const Text &request = nullptr) const { return call("trial_key", request); }
    /// Lists the versions of the product that the license includes, the newest first, as "items".
    Result versions(const Text &request = nullptr) const { return call("versions", request); }
    /// Tells where the file of a version is, by default of the newest.
    Result installation_file(const Text &request = nullptr) const { return call("installation_file", request); }
    /// Lists the licenses that are active on this device, as "items".
    Result device_licenses(const Text &request = nullptr) const { return call("device_licenses", request); }
    /// Lists the values that the server keeps for this device, as "items".
    Result get_device_variables(const Text &request = nullptr) const { return call("get_device_variables", request); }
    /// Keeps values for this device at the server, and returns them as "items". The request needs "variables".
    Result track_device_variables(const Text &request) const { return call("track_device_variables", request); }
    /// Changes the password of the user. The request needs "new_password". The client's config keeps the old password,
    /// so open a new client.
    Result change_password(const Text &request) const { return call("change_password", request); }
    /// Lists the licenses of the product that the user may use, as "items". It needs no device and no activation.
    Result user_licenses(const Text &request = nullptr) const { return call("user_licenses", request); }
    /// Tells where a user signs in by single sign-on. The request needs "customer_account_code".
    Result sso_url(const Text &request) const { return call("sso_url", request); }
    /// Activates the licenses of a bundle on this device. "product" names the bundle, if the config has
    /// no "bundle_code".
    Result activate_bundle(const Text &request = nullptr) const { return call("activate_bundle", request); }
    /// Checks the licenses of a bundle. It takes this device's slots of those that float, or renews them.
    Result check_bundle(const Text &request = nullptr) const { return call("check_bundle", request); }
    /// Makes the licenses of a bundle forget this device. The server frees all its slots of them, borrowed ones too.
    Result deactivate_bundle(const Text &request = nullptr) const { return call("deactivate_bundle", request); }
    /// Books the consumptions that are queued because the server could not be reached.
    Result sync_consumptions(const Text &request = nullptr) const { return call("sync_consumptions", request); }

    /// Performs an operation by its name, and waits for the reply.
    Result call(const Text &operation, const Text &request = nullptr) const
    {
        return detail::ask(floatlease_call, handle(), operation, request);
    }

    /// Checks each step from this machine to the server's signature, and returns what it found. It takes no slot.
    Result diagnose() const { return detail::ask(floatlease_client_diagnose, handle()); }

    /// Takes a slot, or the slots of several features, and keeps them: the library renews them in time. On success the
    /// lease that `lease` had is closed; on failure it stays. With "activate":true a machine that is new to the license
    /// is activated first; otherwise the status is FLOATLEASE_E_DEVICE_NOT_FOUND there.
    Result acquire_lease(Lease &lease, const Text &request = nullptr) const
    {
        floatlease_lease *acquired = nullptr;
        Result result = detail::ask(floatlease_lease_acquire, handle(), request, &acquired);

        if (acquired)
            lease = Lease(acquired);
        return result;
    }

    /// Releases every lease of this client at once, for the end of a program, and waits for `within` at most, which is
    /// from 1 ms to 1 h. Borrows are kept. The reply names leases by their numbers; what is left is no error:
    ///
    ///     {"released":[1],"kept":[2],"left":[{"lease":3,"status":21,"name":"CONNECT","reason":"..."}]}
    Result release_all(std::chrono::milliseconds within) const
    {
        return detail::ask(floatlease_client_release_all, handle(), milliseconds_of(within));
    }

    /// Performs an operation in the background, and returns at once: one that `call` knows, or "lease_acquire",
    /// "lease_renew", "lease_borrow", "lease_release", "release_all". The completion is an event with this ticket. Up
    /// to 64 calls run at the same time ("max_parallel" in the config), and 1,000 may be under way or unread. The
    /// deadline of a call counts from here, and what releases or renews waits for no other call.
    Result submit(Ticket &ticket, const Text &operation, const Text &request = nullptr) const
    {
        if (!operation.is_whole() || !request.is_whole())
            return detail::refuse_nul();
        Ticket submitted = 0;
        const floatlease_status status = floatlease_submit(handle(), operation.c_str(), request.c_str(), &submitted);

        if (status == FLOATLEASE_OK)
            ticket = submitted;
        return detail::explained(handle(), status);
    }

    /// Cancels a submitted call. Its completion comes within 50 ms and says how far the call got.
    Result cancel(Ticket ticket) const noexcept
    {
        return detail::explained(handle(), floatlease_cancel(handle(), ticket));
    }

    /// Takes over the lease of a submitted "lease_acquire", once its completion was read. On success the lease that
    /// `lease` had is closed; on failure it stays.
    Result accept_lease(Lease &lease, Ticket ticket) const
    {
        floatlease_lease *accepted = nullptr;
        Result result = detail::ask(floatlease_lease_accept, handle(), ticket, &accepted);

        if (accepted)
            lease = Lease(accepted);
        return result;
    }

    /// Returns the oldest event that was not read yet, and waits for one for `wait` at most, by default not at all.
    ///
    ///     while (const floatlease::Event event = client.next_event())
    Event next_event(std::chrono::milliseconds wait = std::chrono::milliseconds::zero()) const
    {
        char *json = nullptr;
        const floatlease_status status = floatlease_next_event(handle(), milliseconds_of(wait), &json);

        return Event(status, String(json));
    }

    /// Returns how many events wait for next_event; 0 for a closed client. It never waits and takes no lock. With
    /// leases of "keep_alive":"host" it counts no transition that is due: next_event applies the time first.
    [[nodiscard]] std::uint32_t events_waiting() const noexcept { return floatlease_events_waiting(handle()); }

    /// Does what is due on the calling thread, for a client with "threads":"host", and begins nothing after `longest`.
    /// `next` becomes the time until something is due again; negative if nothing is.
    Result work(std::chrono::milliseconds longest, std::chrono::milliseconds &next) const noexcept
    {
        std::int64_t next_ms = -1;
        const floatlease_status status = floatlease_work(handle(), milliseconds_of(longest), &next_ms);

        next = std::chrono::milliseconds(next_ms);
        return detail::explained(handle(), status);
    }

    /// Moves the clock of this client's leases forward, as a sleep of the machine would. For tests.
    Result advance_clock(std::chrono::milliseconds by) const noexcept
    {
        floatlease_status status = FLOATLEASE_OK;

        do {
            const std::uint32_t part = milliseconds_of(by);

            status = floatlease_client_advance_clock(handle(), part);
            by -= std::chrono::milliseconds(part);
        } while (status == FLOATLEASE_OK && by.count() > 0);
        return detail::explained(handle(), status);
    }

private:
    using Verb = floatlease_status(floatlease_client *, const char *, char **);

    struct Close {
        void operator()(floatlease_client *client) const noexcept { floatlease_client_close(client); }
    };

    // Returns the milliseconds of a time, at most as many as the C library takes: 49 days.
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
