// The C++ headers: who owns what, what a misuse comes to, and that nothing gets lost on the way. It is run as it is,
// under the address and undefined behaviour sanitizers, and under valgrind.
#include "expect.hpp"

#include <floatlease_sandbox.hpp>

#include <atomic>
#include <dlfcn.h>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

using namespace std::chrono_literals;
using floatlease::Client, floatlease::Event, floatlease::Lease, floatlease::Result, floatlease::Sandbox;
using floatlease::ScopedLease, floatlease::State, floatlease::String, floatlease::Ticket;

template <class T>
constexpr bool only_moves = std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T>
                            && !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;

static_assert(only_moves<Client> && only_moves<Lease> && only_moves<ScopedLease> && only_moves<String>);
static_assert(only_moves<Result> && only_moves<Event> && only_moves<Sandbox>);
static_assert(!std::is_convertible_v<Result, bool> && !std::is_convertible_v<Event, bool>);

// What the libraries are really asked for: the program's own functions come before theirs.
static std::atomic<int> freed_by_client{0}, freed_by_sandbox{0};
static std::uint64_t advanced_ms = 0;

template <class Function>
static Function *of_library(const char *name)
{
    return reinterpret_cast<Function *>(dlsym(RTLD_NEXT, name));
}

extern "C" void floatlease_string_free(char *string)
{
    ++freed_by_client;
    of_library<decltype(floatlease_string_free)>("floatlease_string_free")(string);
}

extern "C" void floatlease_sandbox_string_free(char *string)
{
    ++freed_by_sandbox;
    of_library<decltype(floatlease_sandbox_string_free)>("floatlease_sandbox_string_free")(string);
}

extern "C" floatlease_status floatlease_client_advance_clock(floatlease_client *client, std::uint32_t by_ms)
{
    advanced_ms += by_ms;
    return of_library<decltype(floatlease_client_advance_clock)>("floatlease_client_advance_clock")(client, by_ms);
}

/// A sandbox, and a client of it on my-desk that the license knows.
struct Desk {
    Sandbox sandbox;
    Client client;

    Desk()
    {
        EXPECT(sandbox.start("{\"rate\":0}"), FLOATLEASE_OK);
        // A deadline that passes by itself on a busy machine would show nothing.
        std::string config(sandbox.client_config("{\"hardware_id\":\"my-desk\"}").json());

        EXPECT(client.open(config.insert(1, "\"timeout_ms\":600000,\"connect_timeout_ms\":600000,")), FLOATLEASE_OK);
        EXPECT(client.activate_license(), FLOATLEASE_OK);
    }

    bool holds_a_slot() const
    {
        const Result slots = sandbox.control("GET /slots");

        EXPECT(slots, FLOATLEASE_OK);
        return slots.json().find("my-desk") != std::string_view::npos;
    }
};

/// Moves by a reference, which no compiler takes for a mistake.
template <class T>
static void move_to_itself(T &object)
{
    T &same = object;

    object = std::move(same);
}

static void what_is_empty_or_closed_is_a_status_everywhere(const Client &client, const Lease &lease)
{
    Lease other;
    Ticket ticket = 7;

    using Verb = Result (Client::*)(const floatlease::Text &) const;
    for (const Verb verb :
         {&Client::activate_license, &Client::check_license, &Client::deactivate_license, &Client::borrow_license,
          &Client::release_license, &Client::check_feature, &Client::borrow_feature, &Client::release_feature,
          &Client::add_consumption, &Client::add_feature_consumption, &Client::product_details,
          &Client::sync_consumptions})
        EXPECT((client.*verb)("{}"), FLOATLEASE_E_HANDLE);
    EXPECT(client.call("check_license"), FLOATLEASE_E_HANDLE);
    const std::string message = client.call("check_license").text("message");
    HOLD(!message.empty() && client.submit(ticket, "check_license").text("message") == message);
    HOLD(client.cancel().text("message") == message && client.cancel(ticket).text("message") == message);
    HOLD(client.advance_clock(1h).text("message") == message);
    EXPECT(client.diagnose(), FLOATLEASE_E_HANDLE);
    EXPECT(client.cancel(), FLOATLEASE_E_HANDLE);
    EXPECT(client.acquire_lease(other), FLOATLEASE_E_HANDLE);
    EXPECT(client.accept_lease(other, 1), FLOATLEASE_E_HANDLE);
    EXPECT(client.submit(ticket, "check_license"), FLOATLEASE_E_HANDLE);
    EXPECT(client.cancel(ticket), FLOATLEASE_E_HANDLE);
    EXPECT(client.advance_clock(1h), FLOATLEASE_E_HANDLE);
    EXPECT(client.release_all(1s), FLOATLEASE_E_HANDLE);
    std::chrono::milliseconds next{7};
    EXPECT(client.work(0ms, next), FLOATLEASE_E_HANDLE);
    HOLD(next.count() == -1);
    HOLD(client.events_waiting() == 0);
    HOLD(ticket == 7 && !other.handle());
    const Event event = client.next_event(1s);
    HOLD(!event && event.status() == FLOATLEASE_E_HANDLE && event.kind().empty() && event.name() == "HANDLE");

    EXPECT(lease.info(), FLOATLEASE_E_HANDLE);
    EXPECT(lease.renew(), FLOATLEASE_E_HANDLE);
    EXPECT(lease.borrow(), FLOATLEASE_E_HANDLE);
    EXPECT(lease.release(), FLOATLEASE_E_HANDLE);
    HOLD(lease.state() == State::none && lease.remaining() == 0ms);
}

static void moved_from_and_closed(void)
{
    const Desk desk;
    Client client;
    Lease lease;

    what_is_empty_or_closed_is_a_status_everywhere(client, lease);
    EXPECT(client.open(desk.sandbox.client_config().json()), FLOATLEASE_OK);
    EXPECT(client.activate_license(), FLOATLEASE_OK);
    EXPECT(client.acquire_lease(lease), FLOATLEASE_OK);
    move_to_itself(client);
    move_to_itself(lease);
    HOLD(lease.state() == State::active && lease.remaining() > 2h);
    EXPECT(lease.renew(), FLOATLEASE_OK);

    Client new_client = std::move(client);
    Lease new_lease = std::move(lease);
    what_is_empty_or_closed_is_a_status_everywhere(client, lease);
    EXPECT(new_client.check_license(), FLOATLEASE_OK);
    EXPECT(new_lease.info(), FLOATLEASE_OK);

    // A lease outlives its client, and what was closed may be closed again, also by the destructor.
    new_client.close();
    new_client.close();
    HOLD(new_lease.state() == State::released);
    EXPECT(new_lease.renew(), FLOATLEASE_E_LEASE_OVER);
    new_lease.close();
    new_lease.close();
    what_is_empty_or_closed_is_a_status_everywhere(new_client, new_lease);
    new_client = Client();
    new_lease = Lease();
    what_is_empty_or_closed_is_a_status_everywhere(new_client, new_lease);
}

static void a_failure_leaves_what_there_was(void)
{
    Desk desk;
    Lease lease;

    EXPECT(desk.client.acquire_lease(lease), FLOATLEASE_OK);
    floatlease_lease *const before = lease.handle();
    EXPECT(desk.client.acquire_lease(lease, "{\"feature\":\"NONE\"}"), FLOATLEASE_E_INVALID_LICENSE_FEATURE_CODE);
    EXPECT(desk.client.accept_lease(lease, 77), FLOATLEASE_E_TICKET);
    HOLD(lease.handle() == before && lease.state() == State::active);
    EXPECT(desk.client.open("{\"prodct\":\"XY\"}"), FLOATLEASE_E_UNKNOWN_KEY);
    EXPECT(desk.client.open(nullptr), FLOATLEASE_E_NULL_POINTER);
    EXPECT(desk.sandbox.start("{\"prests\":1}"), FLOATLEASE_E_SANDBOX);
    EXPECT(desk.client.check_license(), FLOATLEASE_OK);

    // Success replaces it, and the one before is freed.
    EXPECT(desk.client.acquire_lease(lease, "{\"feature\":\"MESH\"}"), FLOATLEASE_OK);
    HOLD(lease.handle() != before && floatlease_lease_state(before) == 0);
    EXPECT(desk.client.open(desk.sandbox.client_config().json()), FLOATLEASE_OK);
    HOLD(lease.state() == State::released);
    desk.sandbox.stop();
    desk.sandbox.stop();
    EXPECT(desk.sandbox.control("GET /slots"), FLOATLEASE_E_HANDLE);
}

static void a_scoped_lease_gives_back_what_a_lease_only_frees(void)
{
    const Desk desk;

    {
        Lease lease;

        EXPECT(desk.client.acquire_lease(lease, "{\"release_on_close_ms\":0}"), FLOATLEASE_OK);
    }
    HOLD(desk.holds_a_slot());
    {
        ScopedLease scoped;

        EXPECT(desk.client.acquire_lease(*scoped, "{\"release_on_close_ms\":0}"), FLOATLEASE_OK);
        HOLD(scoped->state() == State::active && std::as_const(scoped)->is_licensed());
        ScopedLease other(std::move(scoped));

        move_to_itself(other);
        HOLD(desk.holds_a_slot() && other->state() == State::active && (*std::as_const(other)).remaining() > 0ms);
    }
    HOLD(!desk.holds_a_slot());
    {
        ScopedLease scoped;

        EXPECT(desk.client.acquire_lease(*scoped, "{\"release_on_close_ms\":0}"), FLOATLEASE_OK);
        scoped = ScopedLease();
        HOLD(!desk.holds_a_slot());
    }
    {
        // Nobody answers: it waits as long as the acquire said, and no longer.
        ScopedLease scoped;

        EXPECT(desk.client.acquire_lease(*scoped, "{\"timeout_ms\":3000,\"release_on_close_ms\":0}"), FLOATLEASE_OK);
        EXPECT(desk.sandbox.fault("{\"do\":{\"before\":\"hang\"}}"), FLOATLEASE_OK);
    }
    EXPECT(desk.sandbox.clear_faults(), FLOATLEASE_OK);
    HOLD(desk.holds_a_slot());
}

static void what_is_borrowed_outlives_the_scope(const char *folder)
{
    const Desk desk;
    Client client;
    std::string config(desk.sandbox.client_config("{\"hardware_id\":\"my-desk\"}").json());

    config.insert(1, "\"storage_dir\":" + floatlease::json_string(folder) + ",");
    EXPECT(client.open(config), FLOATLEASE_OK);
    {
        ScopedLease scoped;

        EXPECT(client.acquire_lease(*scoped), FLOATLEASE_OK);
        const Result borrowed = scoped->borrow();
        EXPECT(borrowed, FLOATLEASE_OK);
        HOLD(borrowed.text("borrowed_until").substr(0, 2) == "20" && scoped->state() == State::borrowed);
    }
    HOLD(desk.holds_a_slot());
    Lease lease;

    EXPECT(client.acquire_lease(lease), FLOATLEASE_OK);
    EXPECT(lease.release(), FLOATLEASE_OK);
    HOLD(!desk.holds_a_slot() && lease.state() == State::released);
}

static void submitted(void)
{
    const Desk desk;
    Ticket acquire = 0, hanging = 0, unread = 0;
    Lease lease;

    EXPECT(desk.client.submit(acquire, "lease_acquire", "{\"feature\":\"MESH\"}"), FLOATLEASE_OK);
    HOLD(acquire != 0);
    const Event completed = desk.client.next_event(100s);
    HOLD(completed && completed.kind() == "COMPLETED" && completed.number("status") == FLOATLEASE_OK);
    HOLD(completed.number("ticket") == static_cast<std::int64_t>(acquire));
    EXPECT(desk.client.accept_lease(lease, acquire), FLOATLEASE_OK);
    HOLD(lease.state() == State::active);
    const Event none = desk.client.next_event();
    HOLD(!none && none.ok() && none.json().empty() && none.kind().empty());

    EXPECT(desk.sandbox.fault(R"({"match":{"operation":"check_license"},"do":{"before":"hang"}})"), FLOATLEASE_OK);
    EXPECT(desk.client.submit(hanging, "check_license"), FLOATLEASE_OK);
    EXPECT(desk.client.cancel(hanging), FLOATLEASE_OK);
    const Event cancelled = desk.client.next_event(100s);
    HOLD(cancelled.number("ticket") == static_cast<std::int64_t>(hanging));
    HOLD(floatlease::text(cancelled.member("error"), "name") == "CANCELLED");
    EXPECT(desk.client.cancel(hanging), FLOATLEASE_E_TICKET);

    // Nobody reads its completion.
    EXPECT(desk.client.submit(unread, "check_feature", "{\"feature\":\"MESH\"}"), FLOATLEASE_OK);
}

static void everything_is_released_by_one_call(void)
{
    const Desk desk;
    Lease license, mesh;

    EXPECT(desk.client.acquire_lease(license), FLOATLEASE_OK);
    EXPECT(desk.client.acquire_lease(mesh, "{\"feature\":\"MESH\"}"), FLOATLEASE_OK);
    const std::string numbers = "[" + license.info().text("lease") + "," + mesh.info().text("lease") + "]";
    const Result everything = desk.client.release_all(100s);
    EXPECT(everything, FLOATLEASE_OK);
    HOLD(everything.member("released") == numbers);
    HOLD(everything.member("kept") == "[]" && everything.member("left") == "[]");
    HOLD(license.state() == State::released && mesh.state() == State::released);
    HOLD(!desk.holds_a_slot());

    // What can't be released in time is told, and is no failure.
    EXPECT(desk.client.acquire_lease(license), FLOATLEASE_OK);
    EXPECT(desk.sandbox.fault("{\"do\":{\"before\":\"hang\"}}"), FLOATLEASE_OK);
    const Result nothing = desk.client.release_all(200ms);
    EXPECT(nothing, FLOATLEASE_OK);
    HOLD(nothing.member("released") == "[]");
    HOLD(floatlease::text(nothing.member("left").substr(1), "name") == "TIMEOUT");
    HOLD(license.state() != State::released);

    // More milliseconds than 32 bits hold do not become one.
    EXPECT(desk.client.release_all(std::chrono::milliseconds((1ll << 32) + 1)), FLOATLEASE_E_BAD_VALUE);
    EXPECT(desk.client.release_all(-1ms), FLOATLEASE_E_BAD_VALUE);
}

static void events_that_wait_are_counted_without_reading_them(void)
{
    const Desk desk;
    Ticket ticket = 0;

    HOLD(desk.client.events_waiting() == 0);
    EXPECT(desk.client.submit(ticket, "product_details"), FLOATLEASE_OK);
    EXPECT(desk.client.submit(ticket, "product_details"), FLOATLEASE_OK);
    for (int naps = 0; desk.client.events_waiting() < 2; std::this_thread::sleep_for(1ms))
        HOLD(++naps < 60000);
    HOLD(desk.client.next_event() && desk.client.events_waiting() == 1);
    HOLD(desk.client.next_event() && desk.client.events_waiting() == 0);
}

static void time_passes_for_the_server_and_the_client(void)
{
    Desk desk;
    Lease lease;

    EXPECT(desk.client.acquire_lease(lease), FLOATLEASE_OK);
    EXPECT(desk.sandbox.fault("{\"do\":{\"before\":\"refuse\"}}"), FLOATLEASE_OK);
    EXPECT(desk.sandbox.advance(119min), FLOATLEASE_OK);
    HOLD(desk.holds_a_slot() && lease.remaining() > 2h);
    EXPECT(desk.sandbox.advance(2min, desk.client), FLOATLEASE_OK);
    HOLD(!desk.holds_a_slot() && lease.remaining() > 2h && lease.remaining() <= 123min);

    // Further than one call of the C function can, and never back.
    advanced_ms = 0;
    EXPECT(desk.client.advance_clock(24h * 60), FLOATLEASE_OK);
    HOLD(advanced_ms == 60ull * 86400000 && lease.remaining() == 0ms);
    EXPECT(desk.client.advance_clock(-1h), FLOATLEASE_OK);
    HOLD(advanced_ms == 60ull * 86400000);
    desk.sandbox.stop();
    EXPECT(desk.sandbox.advance(1h, desk.client), FLOATLEASE_E_HANDLE);
    HOLD(advanced_ms == 60ull * 86400000);
}

static void each_library_frees_its_own(void)
{
    Desk desk;

    freed_by_client = freed_by_sandbox = 0;
    EXPECT(desk.sandbox.start("{\"presets\":true}"), FLOATLEASE_OK);
    EXPECT(desk.sandbox.control("GET /slots"), FLOATLEASE_OK);
    HOLD(freed_by_client == 0 && freed_by_sandbox == 2);
    EXPECT(desk.client.check_license("{"), FLOATLEASE_E_JSON);
    HOLD(freed_by_client == 1 && freed_by_sandbox == 2);
}

static void a_wait_ends_when_another_thread_says_so(void)
{
    const Desk desk;
    std::atomic<bool> over{false};
    floatlease_status status = FLOATLEASE_OK;
    std::thread waiting([&] {
        status = desk.client.next_event(std::chrono::hours(24 * 365)).status();
        over = true;
    });

    while (!over) {
        EXPECT(desk.client.cancel(), FLOATLEASE_OK);
        std::this_thread::sleep_for(1ms);
    }
    waiting.join();
    HOLD(status == FLOATLEASE_E_CANCELLED);
    const Result report = desk.client.diagnose();
    HOLD(report.ok() && report.text("ok") == "true");
}

static void results(void)
{
    const Result unknown(123456, String());
    HOLD(!unknown && unknown.status() == 123456 && unknown.name() == "UNKNOWN_STATUS");
    HOLD(unknown.json().empty() && unknown.json().data()[0] == '\0' && unknown.text("message").empty());
    HOLD(floatlease::name_of(State{99}) == "UNKNOWN_STATE" && !floatlease::is_licensed(State{99}));
    const State all[] = {State::none,     State::active, State::degraded, State::grace,
                         State::borrowed, State::lost,   State::released};
    std::string names;

    for (const State state : all)
        names.append(floatlease::name_of(state)).append(floatlease::is_licensed(state) ? "+ " : "- ");
    HOLD(names == "NONE- ACTIVE+ DEGRADED+ GRACE+ BORROWED+ LOST- RELEASED- ");

    const Desk desk;
    Result refused = desk.client.check_feature("{\"feature\":\"NONE\"}");
    HOLD(!refused && refused.name() == "INVALID_LICENSE_FEATURE_CODE" && refused.number("status") == refused.status());
    HOLD(refused.text("outcome") == "rejected" && refused.number("http_status") == 400 && refused.text("advice") != "");
    const Result moved = std::move(refused);
    HOLD(moved.text("outcome") == "rejected" && refused.json().empty());
    HOLD(floatlease::compatible() && floatlease::version() == floatlease_version());
}

static void texts_of_every_kind_arrive_whole(void)
{
    const Desk desk;
    const std::string device = "a \"desk\" \\ of Zoë, \U0001f600\x01\n";
    const std::string request = "{\"hardware_id\":" + floatlease::json_string(device) + "}";
    const std::string longer = request + "and more";

    EXPECT(desk.client.activate_license(request), FLOATLEASE_OK);
    EXPECT(desk.client.check_license(std::string_view(longer).substr(0, request.size())), FLOATLEASE_OK);
    const Result slots = desk.sandbox.control(std::string("GET /slots"));
    const std::string_view slot = slots.member("slots").substr(1);
    HOLD(floatlease::text(slot, "hardware_id") == device);
    EXPECT(desk.client.release_license("{\"hardware_id\":" + floatlease::json_string(device) + "}"), FLOATLEASE_OK);

    // A quote in a feature's name can't smuggle a member in, and what is no UTF-8 stays none.
    const std::string feature = "MESH\",\"hardware_id\":\"other";
    EXPECT(desk.client.check_feature("{\"feature\":" + floatlease::json_string(feature) + "}"),
           FLOATLEASE_E_INVALID_LICENSE_FEATURE_CODE);
    EXPECT(desk.client.check_feature("{\"feature\":" + floatlease::json_string("\xff") + "}"), FLOATLEASE_E_UTF8);
    EXPECT(desk.client.check_license(std::string_view()), FLOATLEASE_E_JSON);

    // A mebibyte or so in, and out again.
    const std::string many(900000, 'x');
    const Result wrong =
        desk.client.check_license("{\"hardware_id\":" + floatlease::json_string(many) + ",\"" + many + "\":1}");
    EXPECT(wrong, FLOATLEASE_E_UNKNOWN_KEY);
    EXPECT(desk.sandbox.fault(R"({"match":{"operation":"check_license"},"do":{"reply":"huge"}})"), FLOATLEASE_OK);
    EXPECT(desk.client.check_license("{\"hardware_id\":\"my-desk\"}"), FLOATLEASE_E_REPLY_TOO_LARGE);
    const Result calls = desk.sandbox.control("GET /openapi.json");
    HOLD(calls.json().size() > 20000 && calls.text("openapi").substr(0, 2) == "3.");
}

static void a_nul_inside_a_text_is_refused_and_nothing_is_asked(void)
{
    Desk desk;
    Client other;
    Sandbox started;
    Lease lease;
    Ticket ticket = 77;
    const std::string none = std::string("{}") + '\0', config = std::string("{") + '\0' + "}";
    const std::string operation = std::string("add_consumption") + '\0' + "s";
    const std::string_view view = operation;

    EXPECT(desk.client.acquire_lease(lease), FLOATLEASE_OK);
    EXPECT(desk.sandbox.fault(R"({"do":{"before":"hang"}})"), FLOATLEASE_OK);
    EXPECT(other.open(config), FLOATLEASE_E_BAD_VALUE);
    EXPECT(desk.client.call(operation), FLOATLEASE_E_BAD_VALUE);
    EXPECT(desk.client.call(view), FLOATLEASE_E_BAD_VALUE);
    EXPECT(desk.client.call("add_consumption", none), FLOATLEASE_E_BAD_VALUE);
    EXPECT(desk.client.check_license(none), FLOATLEASE_E_BAD_VALUE);
    EXPECT(desk.client.product_details(none), FLOATLEASE_E_BAD_VALUE);
    EXPECT(desk.client.submit(ticket, operation), FLOATLEASE_E_BAD_VALUE);
    EXPECT(desk.client.submit(ticket, "add_consumption", none), FLOATLEASE_E_BAD_VALUE);
    EXPECT(desk.client.acquire_lease(lease, none), FLOATLEASE_E_BAD_VALUE);
    EXPECT(lease.borrow(none), FLOATLEASE_E_BAD_VALUE);
    EXPECT(started.start(none), FLOATLEASE_E_BAD_VALUE);
    EXPECT(desk.sandbox.control(std::string("DELETE /faults") + '\0'), FLOATLEASE_E_BAD_VALUE);
    EXPECT(desk.sandbox.fault(none), FLOATLEASE_E_BAD_VALUE);
    HOLD(ticket == 77 && lease.state() == State::active && !other.handle() && !started.handle());

    const Result refused = desk.client.call(operation);
    HOLD(refused.name() == "BAD_VALUE" && refused.number("status") == FLOATLEASE_E_BAD_VALUE);
    HOLD(refused.text("outcome") == "not_sent" && refused.text("category") == "usage");
    HOLD(refused.text("message") == "A text must not hold a NUL: what follows it would be lost.");
    HOLD(refused.text("name") == "BAD_VALUE" && !refused.text("advice").empty());

    // One that stands behind the text is not part of it.
    EXPECT(desk.sandbox.clear_faults(), FLOATLEASE_OK);
    EXPECT(desk.client.call(view.substr(0, 15), "{}"), FLOATLEASE_E_LICENSE_NOT_CONSUMPTION);
}

int main(int argc, char **argv)
{
    HOLD(argc == 2);
    moved_from_and_closed();
    a_failure_leaves_what_there_was();
    a_scoped_lease_gives_back_what_a_lease_only_frees();
    what_is_borrowed_outlives_the_scope(argv[1]);
    submitted();
    everything_is_released_by_one_call();
    events_that_wait_are_counted_without_reading_them();
    time_passes_for_the_server_and_the_client();
    each_library_frees_its_own();
    a_wait_ends_when_another_thread_says_so();
    results();
    texts_of_every_kind_arrive_whole();
    a_nul_inside_a_text_is_refused_and_nothing_is_asked();
    std::printf("%d checks hold\n", checks);
}
