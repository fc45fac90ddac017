//! The client's functions, exported with the feature `exports`. `include/floatlease.h` is generated from this file and
//! the status table; its conventions stand at the header's top (`cbindgen.toml`).

use super::call::{self, floatlease_status, guard, optional_text, quietly, text};
use super::handle::{Handles, Kind};
use crate::error::{Error, Outcome};
use crate::lease::{Lease, Session, remaining_ms};
use crate::status::Status;
use std::ffi::c_char;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// The ABI's major version: this header belongs to libraries that return the same.
pub const FLOATLEASE_ABI_VERSION: u32 = 1;

/// A client: one product, one device, one server. A token, not an address.
pub struct floatlease_client {
    _token: [u8; 0],
}

/// A lease: a held slot of a license or a feature, or several. A token, not an address.
pub struct floatlease_lease {
    _token: [u8; 0],
}

/// How a lease stands: FLOATLEASE_STATE_…, or 0 for what is no open lease. Never an error.
pub type floatlease_state = i32;

/// Confirmed by the server within its timeout: run.
pub const FLOATLEASE_STATE_ACTIVE: i32 = 1;
/// The last renewal failed, the slot is still yours: run; perhaps a quiet notice.
pub const FLOATLEASE_STATE_DEGRADED: i32 = 2;
/// The slot is no longer surely yours, your own grace_ms counts down: run, and ask the user to save.
pub const FLOATLEASE_STATE_GRACE: i32 = 3;
/// Yours until a date, network or not: run.
pub const FLOATLEASE_STATE_BORROWED: i32 = 4;
/// Over: stop licensed work; the document is still the user's.
pub const FLOATLEASE_STATE_LOST: i32 = 5;
/// Given back.
pub const FLOATLEASE_STATE_RELEASED: i32 = 6;

static CLIENTS: Handles<Session> = Handles::new(Kind::Client);
static LEASES: Handles<Lease> = Handles::new(Kind::Lease);

/// The client under a handle.
fn client(handle: *mut floatlease_client) -> Result<Arc<Session>, Error> {
    CLIENTS.get(handle.addr())
}

/// A handle for a lease.
fn lease_handle(lease: Lease) -> Result<usize, Error> {
    LEASES.insert_with_writer(|writer| {
        lease.publish_to(writer);
        lease
    })
}

/// One verb: a client, a request that may be null, a reply.
///
/// # Safety
/// `request_json` is null or a NUL-terminated string; `json_out` as for [`guard`].
unsafe fn verb(
    handle: *mut floatlease_client,
    operation: &str,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the caller promises.
    unsafe {
        guard(json_out, Outcome::Unknown, || {
            client(handle)?.call(operation, optional_text("request_json", request_json)?.unwrap_or("{}"))
        })
    }
}

/* ------------------------------------------------------------------------------------------------ the library -- */

/// The ABI's major version of the library that was loaded. Compare it with FLOATLEASE_ABI_VERSION.
#[unsafe(no_mangle)]
pub extern "C" fn floatlease_abi_version() -> u32 {
    FLOATLEASE_ABI_VERSION
}

/// The library's version, for example "0.1.0". Static: not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn floatlease_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The name of a status, for example "FLOATING_NOT_AVAILABLE"; "UNKNOWN_STATUS" for a number that is none. Static:
/// not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn floatlease_status_name(status: floatlease_status) -> *const c_char {
    Status::of_number(status).map_or(c"UNKNOWN_STATUS", Status::c_name).as_ptr()
}

/// Frees a string that a function put into json_out. NULL is ignored. Each string is freed once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_string_free(string: *mut c_char) {
    // SAFETY: as the header's conventions ask of the caller.
    quietly(|| unsafe { call::free(string) });
}

/* -------------------------------------------------------------------------------------------------- a client -- */

/// Opens a client. Touches no network, starts no thread, writes no file; reads the environment here and nowhere
/// else (proxy variables, SSL_CERT_FILE).
///
/// config_json is one object. Unknown keys are errors; a null member counts as absent.
///
///     product              required: the product's short code
///     license_key          names the license; or
///     username, password   for user-based products; or
///     id_token | code      with customer_account_code: an SSO token or code
///     redirect_uri         optional, goes with an SSO code
///     license_id           optional integer: which of several licenses of a user
///     bundle_code          optional: the bundle the license came with
///     api_key, shared_key  required: the keys of the vendor's account
///     base_url             default "https://api.licensespring.com/api/v4"
///     public_key           PEM public key or certificate that proves replies; required for any other base_url
///     verify               "on" (default) or "off": believe replies without proof
///     hardware_id          names this device; default: derived from an id of the system, see
///                          floatlease_client_diagnose
///     timeout_ms           deadline of a call that names none; default 15000
///     connect_timeout_ms   the most of it for name, connection and TLS together; default 5000
///     proxy                "env" (default), "none" or "http://name:password@host:port"; from the environment it is
///                          not used for a server on this machine
///     tls_roots            "platform" (default), "bundled" or PEM certificates. On Windows and macOS "platform" leaves
///                          the check of certificates to the system, which may ask the network for revocations: neither
///                          the deadline nor a cancel ends that
///     allow_http           true: plain http:// also to other machines
///     storage_dir          the absolute path of a folder on a local disk, made if need be, for what leases and
///                          consumptions keep beyond the process: see floatlease_lease_acquire,
///                          floatlease_add_consumption. Without it no file is ever written
///     app_name, app_version   the host program, for the server's logs
///
/// On success *client_out is a handle for floatlease_client_close and *json_out "{}". On failure *client_out is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_client_open(
    config_json: *const c_char,
    client_out: *mut *mut floatlease_client,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe {
        call::open(&CLIENTS, "client_out", client_out, json_out, || {
            Ok((Session::open(text("config_json", config_json)?, call::contain)?, "{}".to_owned()))
        })
    }
}

/// Wakes every call in flight on this client, floatlease_client_diagnose and floatlease_next_event too: each returns
/// FLOATLEASE_E_CANCELLED. Calls made later are not touched, nor are renewals of leases, nor submitted calls whose turn
/// has not come: floatlease_cancel ends those.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_client_cancel(client: *mut floatlease_client) -> floatlease_status {
    // SAFETY: no pointer is followed.
    unsafe {
        guard(ptr::null_mut(), Outcome::NotSent, || {
            self::client(client)?.cancel();
            Ok(String::new())
        })
    }
}

/// Closes a client. Local: touches no network and waits for nothing. Calls in flight on other threads are cancelled, and
/// its leases are over: RELEASED. What they held is given back in the background, each within its release_on_close_ms,
/// but for those that the host keeps alive; what is borrowed stays borrowed. Their handles are still yours to free, before or after.
/// Closing NULL, twice, or in a forked child does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_client_close(client: *mut floatlease_client) {
    quietly(|| {
        if let Ok(client) = CLIENTS.remove(client.addr()) {
            client.close();
        }
    });
}

/// Tries each step from here to the server's signature and tells how it went. Takes no slot; the report holds no
/// secret. Returns FLOATLEASE_OK whenever there is a report:
///
///     {"ok":false,"version":"0.1.0","base_url":"…","product":"…","hardware_id":"…","checks":[
///      {"check":"dns","verdict":"ok","ms":1.2,"detail":"…"}, …]}
///
/// Checks: hardware_id, proxy, dns, tcp, tls, http, clock_skew, authorisation, signature. Verdicts: ok, warning,
/// failed, skipped. "ok" is false if any check failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_client_diagnose(
    client: *mut floatlease_client,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe { guard(json_out, Outcome::NotSent, || self::client(client)?.client().diagnose()) }
}

/* ----------------------------------------------------------------------------------------------------- verbs -- */

/// Makes this device known to the license. Takes no slot. Must precede everything below.
///
/// Own keys: variables (object), and what the device tells of itself: os_ver, hostname, os_hostname, ip, ip_local,
/// mac_address, app_ver, vm_info (strings), is_vm (boolean).
/// Reply: the license object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_activate_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe { verb(client, "activate_license", request_json, json_out) }
}

/// Asks how the license stands. On a floating license this takes this device's slot, or renews it; a device never
/// has more than one. FLOATLEASE_E_FLOATING_NOT_AVAILABLE if none is free.
///
/// Own keys: include_expired_features (boolean), env, channel, and those of floatlease_activate_license but variables.
/// Reply: the license object, with floating_in_use_devices, is_borrowed, borrowed_until.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_check_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe { verb(client, "check_license", request_json, json_out) }
}

/// Makes the license forget this device; all its slots are free, borrowed ones too.
///
/// Own keys: variables (object). Reply: {"message":"license_deactivated"}.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_deactivate_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe { verb(client, "deactivate_license", request_json, json_out) }
}

/// Borrows the license: its slot is this device's until borrowed_until, with or without a network. Takes a slot if
/// need be. Borrowing again moves the date.
///
/// Own keys: borrowed_until, a date in the forms of the conventions, or null (default): as long as the license allows.
/// Reply: {"borrowed_until":…,"max_borrow_time":hours,"device_id":…,"license_id":…,"floating_in_use_devices":…}.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_borrow_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe { verb(client, "borrow_license", request_json, json_out) }
}

/// Gives the license's slot back, borrowed or not. FLOATLEASE_E_FLOATING_NOT_AVAILABLE if this device held none.
///
/// Own keys: none. Reply: {}.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_release_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe { verb(client, "release_license", request_json, json_out) }
}

/// Asks how a feature stands. If it floats, this takes this device's slot of the feature, or renews it.
///
/// Own keys: feature (required), include_metadata_string (boolean).
/// Reply: the feature with license_id; on floating features also floating_in_use_devices.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_check_feature(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe { verb(client, "check_feature", request_json, json_out) }
}

/// Borrows a feature whose slot this device holds already (floatlease_check_feature takes it).
///
/// Own keys: feature (required), borrowed_until as for floatlease_borrow_license. Reply: as there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_borrow_feature(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe { verb(client, "borrow_feature", request_json, json_out) }
}

/// Gives a feature's slot back, borrowed or not. FLOATLEASE_E_FLOATING_FEATURE_DEVICE_NOT_IN_USE if this device held
/// none.
///
/// Own keys: feature (required). Reply: {}.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_release_feature(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe { verb(client, "release_feature", request_json, json_out) }
}

/// Books consumptions on a license of type consumption: all of them or none. If the outcome is "unknown", try again with
/// the same "idempotency_key" where the server is floatlease-server; the vendor's cloud knows no repetition, so ask for
/// total_consumptions there before you try again.
///
/// Own keys: consumptions (integer, default 1, negative if the license allows it), max_overages (integer),
/// allow_overages (boolean), event (array of one string), ignore_events (boolean), offline ("queue").
/// Reply: total_consumptions, max_consumptions and the license's limits.
///
/// With "offline":"queue", and "storage_dir" in the config, nothing is lost if the server can't be reached: what is asked
/// for is on disk before it is sent, and is booked later, behind what waits already, by this process or another:
///
///     {"queued":true,"queued_consumptions":3,"idempotency_key":"…","status":21,"name":"CONNECT","reason":"…"}
///
/// is then the reply, with FLOATLEASE_OK; the middle one counts what waits of this license on this device, the last three
/// say why. What the server refuses is an error as ever, and is not kept. A consumption is booked once: after a lost reply
/// floatlease-server is asked again under the same key, for six days; any other server is asked for its total before and after, by
/// floatlease_check_license or floatlease_check_feature (a slot that this takes of what floats is given back at once,
/// unless a lease of this machine holds it). Such a server may still book what it was asked for until 30 s after the
/// request was sent, or until its timeout_ms if that is longer; so long the consumption stays queued, with all behind it.
/// If the total is as it was, and the license allows no negative consumptions, the consumption is sent again. Any other
/// total may be another device's doing, even one that has risen by the same amount: then it is
/// FLOATLEASE_E_CONNECTION_LOST with the outcome "unknown", and never repeated. The same "idempotency_key" again is the
/// same wish while it waits, and at floatlease-server once it is booked too; for other consumptions it is
/// FLOATLEASE_E_BAD_VALUE as long as the first wait or are to be told. Whoever else books on this machine is waited for,
/// until the deadline; a consumption is kept then, if its turn did not come.
///
/// What waits is booked, with the event "offline_floating_consumptions_sync", by "sync_consumptions" of floatlease_call,
/// before the next consumption with "offline":"queue", and when a lease of this license with "keep_alive":"thread" was
/// acquired or renewed. FLOATLEASE_E_QUEUE_FULL at 10,000 entries or 8 MiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_add_consumption(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe { verb(client, "add_consumption", request_json, json_out) }
}

/// Books consumptions on a consumption feature, as floatlease_add_consumption does on a license.
///
/// Own keys: feature (required), consumptions, event, offline. Reply: total_consumptions, max_consumptions and the
/// feature's limits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_add_feature_consumption(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe { verb(client, "add_feature_consumption", request_json, json_out) }
}

/// Performs an operation by name: each of the functions above without its prefix ("borrow_license"), and
/// "product_details" (own keys: include_latest_version, include_custom_fields, env), which has no function; and
/// "sync_consumptions" (no keys but those that name license and device, and timeout_ms for all of it), which books what
/// waits, see floatlease_add_consumption:
///
///     {"event":"CONSUMPTIONS_SYNCED","booked":2,"refused":[{"operation":"add_feature_consumption","feature":"MESH",
///      "consumptions":7,"idempotency_key":"…","at":"2026-09-27T23:30:48.016Z","status":151,
///      "name":"FEATURE_NOT_ENOUGH_CONSUMPTIONS","server_code":"feature_not_enough_consumptions","reason":"…"}],
///      "unknown":[],"waiting":0,"status":0,"name":"OK","reason":null}
///
/// "refused" were not booked, of "unknown" nobody can tell: each is kept until this reply has told it once. "waiting" are
/// left because of "reason", such as no network, which is no error here. Leases have functions of their own, and
/// floatlease_submit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_call(
    client: *mut floatlease_client,
    operation: *const c_char,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe {
        guard(json_out, Outcome::Unknown, || {
            let client = self::client(client)?;
            let operation = text("operation", operation)?;
            #[cfg(feature = "test-panic")]
            assert_ne!(operation, "panic_for_test");
            client.call(operation, optional_text("request_json", request_json)?.unwrap_or("{}"))
        })
    }
}

/* ------------------------------------------------------------------------------------------- without waiting -- */

/// Does a call in the background. operation is any that floatlease_call knows, "sync_consumptions" too, or
/// "lease_acquire", "lease_renew", "lease_borrow", "lease_release", whose requests are those of the functions; the last
/// three take the number of the lease as "lease" besides, and may have a "timeout_ms". Returns at once; what is wrong with
/// the request is told by the completion, and the call's deadline counts from the moment its turn comes. Up to four are
/// done at the same time.
///
/// *ticket_out names the call in floatlease_cancel and in its completion, which is an event:
///
///     {"event":"COMPLETED","ticket":7,"status":0,"reply":{…}}   or   {…,"status":141,"error":{…}}
///
/// Each ticket is completed exactly once, also if it is cancelled, with the client open. FLOATLEASE_E_TOO_MANY_CALLS if
/// 1,000 are under way or were not read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_submit(
    client: *mut floatlease_client,
    operation: *const c_char,
    request_json: *const c_char,
    ticket_out: *mut u64,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe {
        if !ticket_out.is_null() {
            *ticket_out = 0;
        }
        guard(ptr::null_mut(), Outcome::NotSent, || {
            let client = self::client(client)?;
            let operation = text("operation", operation)?;
            let request = optional_text("request_json", request_json)?.unwrap_or("{}");
            if ticket_out.is_null() {
                return Err(call::null("ticket_out"));
            }
            *ticket_out = client.submit(operation, request)?;
            Ok(String::new())
        })
    }
}

/// Ends a submitted call as soon as it can be, within 50 ms (name resolution excepted); its completion says how far it
/// got. FLOATLEASE_E_TICKET if it is done already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_cancel(client: *mut floatlease_client, ticket: u64) -> floatlease_status {
    // SAFETY: no pointer is followed.
    unsafe {
        guard(ptr::null_mut(), Outcome::NotSent, || {
            self::client(client)?.cancel_submitted(ticket)?;
            Ok(String::new())
        })
    }
}

/// Gives the oldest event that was not read yet; waits for one wait_ms at most, 0: not at all. FLOATLEASE_OK with
/// *json_out NULL: none came; json_out itself must not be NULL. Completions of floatlease_submit stand above; leases tell:
///
///     {"event":"GRACE_STARTED","lease":1,"state":"GRACE","remaining_ms":300000,"status":21,"name":"CONNECT",
///      "reason":"…","borrowed_until":null,"at":"2026-09-27T23:30:48.016Z"}
///
///     DEGRADED       a renewal failed; the slot is still yours
///     RENEWED        it was renewed
///     GRACE_STARTED  the slot is no longer surely yours: save
///     LOST           save, and stop licensed work; the library goes on asking
///     REGAINED       after GRACE_STARTED or LOST, it is yours again
///     BORROW_ENDING  the borrow ends in borrow_ending_hours or less
///     EXPIRING       the license, or a feature, expires in borrow_ending_hours or less
///     WAITING        an acquire with wait_ms queues: asks_again_in_ms and left_ms, and no state
///
/// and CONSUMPTIONS_SYNCED tells, as the reply of "sync_consumptions" does, what was booked or refused besides.
///
/// "lease" is the number that floatlease_lease_acquire and floatlease_lease_info tell; "status", "name" and "reason" are
/// of the last failure, 0, "OK" and null without one. Events of leases are kept for you to the number of 1,000, the
/// newest; if any were dropped, the next one says how many: "missed":n. Expect events and members that this header does
/// not know. FLOATLEASE_E_CANCELLED if floatlease_client_cancel came while it waited, FLOATLEASE_E_HANDLE once the client
/// is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_next_event(
    client: *mut floatlease_client,
    wait_ms: u32,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe {
        call::guard_optional(json_out, Outcome::NotSent, &mut || {
            if json_out.is_null() {
                return Err(Error::because(Status::NullPointer, "json_out must not be NULL: the event would be lost."));
            }
            self::client(client)?.next_event(Duration::from_millis(wait_ms.into()))
        })
    }
}

/// Puts the clock of this client's leases ahead by so many milliseconds, as a sleep of the machine would. For tests,
/// beside the same advance of a sandbox's clock. It can only bring ends nearer; nothing puts it back, and a client that is
/// opened later begins with the system's clock. Deadlines of calls and wait_ms go by real time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_client_advance_clock(
    client: *mut floatlease_client,
    by_ms: u32,
) -> floatlease_status {
    // SAFETY: no pointer is followed.
    unsafe {
        guard(ptr::null_mut(), Outcome::NotSent, || {
            self::client(client)?.advance_clock(by_ms);
            Ok(String::new())
        })
    }
}

/* --------------------------------------------------------------------------------------------------- a lease -- */

/// Takes a slot, or several, and keeps them: renews in time, tells when that fails, comes back when it can. The device
/// must be known to the license: FLOATLEASE_E_DEVICE_NOT_FOUND asks for floatlease_activate_license, once. docs/leases.md
/// draws the states and says what to do in each.
///
/// Own keys, all optional; besides them those that name license and device, "extra", and "timeout_ms", here the deadline
/// of each request about the lease, renewals too. A call has the time of three for each slot, which it needs where a borrow
/// is to be proven; most are done with one.
///
///     feature              the floating feature to take; without it, the license's own slot
///     features             several, 64 at most: all of them or none
///     keep_alive           "thread" (default): one thread for all leases of this client renews at half of the slot's
///                          timeout; while it waits for an answer, another looks after the other leases. "host": no
///                          thread; call floatlease_lease_renew when renews_in_ms is 0, and floatlease_next_event every
///                          second or so, which then moves the state as time goes by; release before you free, for
///                          nobody gives the slot back in the background
///     grace_ms             how long you may run on when the slot is no longer surely yours; default 300000, 86400000 at
///                          most, 0: not at all
///     borrow_ending_hours  how long before its end a borrow is announced to end, and a license or a feature to expire;
///                          default 2, 8760 at most
///     wait_ms              how long to queue for a slot while all are taken, or the server can't be asked: asks again,
///                          ever more seldom up to every 15 s, and tells WAITING and why; default 0, 86400000 at most
///     release_on_close_ms  how long the slot may still be given back after floatlease_lease_free and
///                          floatlease_client_close, if the process lives on; default 5000, 3600000 at most, 0 leaves it
///                          to the next start or the server's timeout
///
/// With "storage_dir" in the config the slot is shared by all processes of this machine and user that use the same
/// folder: the last one out gives it back, also after the others were killed; what a killed process held is taken over or
/// given back by the next acquire; and a borrow is proven by the server's signed replies, so that the next start needs no
/// network. While the server can't be asked, files that can't be believed are refused (FLOATLEASE_E_STORAGE_DAMAGED,
/// …_STORAGE_FOREIGN, …_CLOCK_MOVED_BACK, …_NO_PROOF); once it can, it decides, and a damaged file is moved aside. None is
/// deleted. Without a folder the leases of one client share a slot, and nothing outlives the process.
///
/// On success *lease_out is a handle for floatlease_lease_free and *json_out what floatlease_lease_info tells.
/// FLOATLEASE_E_FLOATING_NOT_AVAILABLE if no slot is free. What does not float needs no slot and is acquired all the same;
/// FLOATLEASE_E_NOT_FLOATING if it floats on a server that the vendor runs at the site, which this library does not know.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_acquire(
    client: *mut floatlease_client,
    request_json: *const c_char,
    lease_out: *mut *mut floatlease_lease,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe {
        call::open_at(lease_out, "lease_out", json_out, Outcome::Unknown, || {
            let client = self::client(client)?;
            let (lease, info) = client.acquire(optional_text("request_json", request_json)?.unwrap_or("{}"))?;
            Ok((lease_handle(lease)?, info))
        })
    }
}

/// Gives the handle of the lease that a submitted "lease_acquire" has taken, once its completion was read. One that is
/// never accepted is held until the client is closed. FLOATLEASE_E_TICKET if that call has taken none, or it was accepted
/// already. *json_out is what floatlease_lease_info tells.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_accept(
    client: *mut floatlease_client,
    ticket: u64,
    lease_out: *mut *mut floatlease_lease,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe {
        call::open_at(lease_out, "lease_out", json_out, Outcome::NotSent, || {
            let lease = self::client(client)?.accept(ticket)?;
            let info = lease.info();
            Ok((lease_handle(lease)?, info))
        })
    }
}

/// How a lease stands. Wait-free: no lock, no memory, no system call (but one on Linux before 4.14); for every frame and for
/// an audio thread.
/// 0 if the handle is no open lease, or was inherited through fork. Work goes on in ACTIVE, DEGRADED, GRACE and BORROWED.
#[unsafe(no_mangle)]
pub extern "C" fn floatlease_lease_state(lease: *mut floatlease_lease) -> floatlease_state {
    let state = LEASES.state_cell(lease.addr()).and_then(|(state_cell, generation)| state_cell.state(generation));
    state.map_or(0, |state| state as i32)
}

/// Milliseconds until licensed work must stop, 0 when it must; in GRACE, what is left of it. Wait-free like
/// floatlease_lease_state; it reads the system's clock. After a sleep of the machine it may be 0 for some seconds while the
/// server is asked, and the state still as before: go by the state.
#[unsafe(no_mangle)]
pub extern "C" fn floatlease_lease_remaining(lease: *mut floatlease_lease) -> i64 {
    let until = LEASES.state_cell(lease.addr()).and_then(|(state_cell, generation)| state_cell.runs_until(generation));
    until.map_or(0, remaining_ms)
}

/// All that is known of a lease. Local.
///
///     {"lease":1,"state":"ACTIVE","remaining_ms":7500000,"renews_in_ms":3600000,"status":0,"name":"OK","reason":null,
///      "borrowed_until":null,"keep_alive":"thread","slots":[{"feature":null,"reply":{…}}]}
///
/// "lease" is its number in events; "slots" are its slots with the server's last reply about each (null if it was not
/// asked since this process began); "renews_in_ms" is null when it is not going to be renewed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_info(
    lease: *mut floatlease_lease,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe { guard(json_out, Outcome::NotSent, || Ok(LEASES.get(lease.addr())?.info())) }
}

/// Renews a lease now, whoever keeps it alive. Its state says what a failure means; FLOATLEASE_E_LEASE_OVER once it was
/// given back. *json_out is what floatlease_lease_info tells.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_renew(
    lease: *mut floatlease_lease,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe { guard(json_out, Outcome::Unknown, || LEASES.get(lease.addr())?.renew("{}")) }
}

/// Borrows a lease: its slots are this machine's until borrowed_until, with or without a network, in this process and in
/// those to come. All of its slots or none, so leave out of the lease what may not be borrowed. Needs "storage_dir". On
/// failure the lease goes on as it was, and a borrow that runs already stands until its own date; if the outcome is
/// "unknown", borrow again. One that was to end sooner then counts until the earlier date, until the server is asked.
///
/// Own keys: borrowed_until, a date in the forms of the conventions, or null (default): as long as the license allows;
/// timeout_ms. *json_out is what floatlease_lease_info tells, with borrowed_until.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_borrow(
    lease: *mut floatlease_lease,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe {
        guard(json_out, Outcome::Unknown, || {
            LEASES.get(lease.addr())?.borrow(optional_text("request_json", request_json)?.unwrap_or("{}"))
        })
    }
}

/// Gives the slots of a lease back, borrowed or not; the server hears of it only if no other process of this machine
/// holds them too. A borrow that another process has made, and this lease has not heard of, stays. A server that no
/// longer knows the license, the feature or the device has nothing to let go of: the lease is RELEASED, and "name" and
/// "reason" say so. Does not depend on "storage_dir", except for a borrow. On failure the lease is still held; if a part
/// of its slots was given back it is LOST, until they are taken again, and the outcome is "unknown": release again. If
/// the answer was lost, the server is asked soon whether the slot is still yours. *json_out is what
/// floatlease_lease_info tells: RELEASED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_release(
    lease: *mut floatlease_lease,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe { guard(json_out, Outcome::Unknown, || LEASES.get(lease.addr())?.release("{}")) }
}

/// Frees the handle of a lease. Local: touches no network and waits for nothing, so it is safe in a finalizer. A slot
/// that is still held is given back in the background within release_on_close_ms; a borrow stays, whether the lease or a
/// verb of this client made it. At the end of a process
/// call floatlease_lease_release first: what is in the background ends with it. Freeing NULL, twice, or in a forked child
/// does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_free(lease: *mut floatlease_lease) {
    quietly(|| drop(LEASES.remove(lease.addr())));
}
