//! The exported functions of the client, behind the feature `exports`.
//!
//! `build.rs` generates `include/floatlease.h` from this file, the status table, and `manual.txt`, which is the
//! comment at the header's top. A comment here is written for C: summary, request keys, reply, errors, then what is
//! special.

use super::call::{self, floatlease_status, guard, optional_text, quietly, text};
use super::handle::{Handles, Kind};
use crate::error::{Error, Outcome};
use crate::lease::{Lease, Session, remaining_ms};
use crate::status::Status;
use std::ffi::c_char;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// The ABI's major version. This header fits libraries whose floatlease_abi_version returns the same number.
pub const FLOATLEASE_ABI_VERSION: u32 = 1;

/// A client: one product, one device, one server. The pointer is a token, not an address.
pub struct floatlease_client {
    _token: [u8; 0],
}

/// A lease: one slot or several that the library keeps. The pointer is a token, not an address.
pub struct floatlease_lease {
    _token: [u8; 0],
}

/// The state of a lease: FLOATLEASE_STATE_…, or 0 if the handle is invalid. It is never an error.
pub type floatlease_state = i32;

/// The server has confirmed the slot within its timeout: run.
pub const FLOATLEASE_STATE_ACTIVE: i32 = 1;
/// The last renewal failed, and the slot is still held: run, and perhaps show a notice.
pub const FLOATLEASE_STATE_DEGRADED: i32 = 2;
/// Another device may have the slot, and grace_ms counts down: save now, and run.
pub const FLOATLEASE_STATE_GRACE: i32 = 3;
/// The slot is borrowed until a date, with or without a network: run.
pub const FLOATLEASE_STATE_BORROWED: i32 = 4;
/// The slot is lost: stop licensed work. The user keeps access to the document.
pub const FLOATLEASE_STATE_LOST: i32 = 5;
/// The lease was released, or its client closed.
pub const FLOATLEASE_STATE_RELEASED: i32 = 6;

static CLIENTS: Handles<Session> = Handles::new(Kind::Client);
static LEASES: Handles<Lease> = Handles::new(Kind::Lease);

/// Returns the client behind a handle.
fn client(handle: *mut floatlease_client) -> Result<Arc<Session>, Error> {
    CLIENTS.get(handle.addr())
}

/// Gives out a handle for a lease.
fn lease_handle(lease: Lease) -> Result<usize, Error> {
    LEASES.insert_with_writer(|writer| {
        lease.publish_to(writer);
        lease
    })
}

/// Performs one operation. A null request means `{}`.
///
/// # Safety
/// `request_json` is null or a NUL-terminated string; `json_out` as for [`guard`].
unsafe fn verb(
    handle: *mut floatlease_client,
    operation: &str,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of this function's comment.
    unsafe {
        guard(json_out, Outcome::Unknown, || {
            client(handle)?.call(operation, optional_text("request_json", request_json)?.unwrap_or("{}"))
        })
    }
}

/* ------------------------------------------------------------------------------------------------ the library -- */

/// Returns the ABI's major version of the loaded library. Compare it with FLOATLEASE_ABI_VERSION before other calls.
#[unsafe(no_mangle)]
pub extern "C" fn floatlease_abi_version() -> u32 {
    FLOATLEASE_ABI_VERSION
}

/// Returns the library's version, for example "0.1.0". The string is static: do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn floatlease_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Returns the name of a status, for example "FLOATING_NOT_AVAILABLE", or "UNKNOWN_STATUS" for an unknown number. The
/// string is static: do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn floatlease_status_name(status: floatlease_status) -> *const c_char {
    Status::of_number(status).map_or(c"UNKNOWN_STATUS", Status::c_name).as_ptr()
}

/// Frees a string that a function wrote to json_out. NULL is ignored. Free each string once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_string_free(string: *mut c_char) {
    // SAFETY: the caller keeps the rules of the header's manual.
    quietly(|| unsafe { call::free(string) });
}

/* -------------------------------------------------------------------------------------------------- a client -- */

/// Opens a client for one product, one device and one server.
///
/// config_json is one object. An unknown key is an error that names the nearest known key. docs/configuration.md has
/// examples.
///
///     key                     type       meaning
///     product                 string     required: the product's short code
///     api_key, shared_key     strings    required: the keys of the vendor's account
///     license_key             string     names the license; one of this and the next two is required
///     username, password      strings    name the license of a user-based product
///     id_token or code        string     names it by SSO, with customer_account_code; redirect_uri may go with code
///     license_id              integer    which of several licenses of a user
///     bundle_code             string     the bundle that the license came with
///     base_url                string     the server's API; default "https://api.licensespring.com/api/v4"
///     public_key              string     PEM public key or certificate that verifies replies; required for any other
///                                        base_url
///     verify                  string     "on" (default) or "off": accept replies without verification
///     hardware_id             string     names this device; default: derived from an id of the system, which
///                                        floatlease_client_diagnose reports
///     timeout_ms              integer    deadline of a call that names none, 1 to 3600000; default 15000
///     connect_timeout_ms      integer    limit for resolving the name, connecting and TLS together; default 5000
///     proxy                   string     "env" (default), "none" or "http://name:password@host:port"; a proxy of the
///                                        environment is not used for a server on this machine
///     tls_roots               string     "platform" (default), "bundled" or PEM certificates
///     allow_http              boolean    true: allow plain http:// to another machine too
///     storage_dir             string     absolute path of a folder on a local disk, for what leases and consumptions keep
///                                        beyond the process; created if missing; default: no file is written
///     app_name, app_version   strings    your program, for the server's logs
///
/// On Windows and macOS, "platform" lets the system verify certificates on a thread of its own. The system may ask the
/// network for revocations; a call waits for that only until its deadline or a cancel.
///
/// Reply: {}
///
/// Errors:
/// - FLOATLEASE_E_UNKNOWN_KEY, FLOATLEASE_E_WRONG_TYPE, FLOATLEASE_E_BAD_VALUE, FLOATLEASE_E_MISSING_KEY,
///   FLOATLEASE_E_CONFLICTING_KEYS: the config is wrong; message names the key.
/// - FLOATLEASE_E_NO_PUBLIC_KEY: base_url is not the vendor's cloud, and public_key is missing.
/// - FLOATLEASE_E_INSECURE_URL: base_url is plain http:// to another machine.
/// - FLOATLEASE_E_HARDWARE_ID: the system has no stable id; set hardware_id.
///
/// On success *client_out is a handle: close it with floatlease_client_close. On failure it is NULL. This function
/// uses no network, starts no thread and writes no file. It reads the environment (proxy variables, SSL_CERT_FILE); no
/// other function does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_client_open(
    config_json: *const c_char,
    client_out: *mut *mut floatlease_client,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe {
        call::open(&CLIENTS, "client_out", client_out, json_out, || {
            Ok((Session::open(text("config_json", config_json)?, call::contain)?, "{}".to_owned()))
        })
    }
}

/// Cancels every call in flight on this client: each returns FLOATLEASE_E_CANCELLED within 50 ms.
///
/// It also ends floatlease_client_diagnose and floatlease_next_event. It does not touch later calls, renewals of
/// leases, or submitted calls that have not started: floatlease_cancel ends those.
///
/// Errors:
/// - FLOATLEASE_E_HANDLE: the client is closed.
///
/// Call it from any thread. It does not wait for the cancelled calls to return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_client_cancel(client: *mut floatlease_client) -> floatlease_status {
    // SAFETY: this function dereferences no pointer.
    unsafe {
        guard(ptr::null_mut(), Outcome::NotSent, || {
            self::client(client)?.cancel();
            Ok(String::new())
        })
    }
}

/// Closes a client and ends its leases.
///
/// Calls in flight on other threads are cancelled. The client's leases become RELEASED. The library releases their
/// slots in the background, each within its release_on_close_ms, except for leases with "keep_alive":"host". A
/// borrowed slot stays borrowed. You still free the handles of the leases, before or after.
///
/// This function uses no network and waits for nothing. Closing NULL, closing twice, or in a forked child does
/// nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_client_close(client: *mut floatlease_client) {
    quietly(|| {
        if let Ok(client) = CLIENTS.remove(client.addr()) {
            client.close();
        }
    });
}

/// Tests each step of the way to the server, and reports how each went. Takes no slot.
///
/// Reply: the report, which holds no secret.
///
///     {"ok":false,"version":"0.1.0","base_url":"…","product":"…","hardware_id":"…","checks":[
///      {"check":"dns","verdict":"ok","ms":1.2,"detail":"…"}, …]}
///
///     check      hardware_id, proxy, dns, tcp, tls, http, clock_skew, authorisation or signature
///     verdict    ok, warning, failed or skipped
///     ok         false if the verdict of any check is failed
///
/// Errors: a failed check is not an error, because the report tells it.
/// - FLOATLEASE_E_CANCELLED: floatlease_client_cancel was called meanwhile.
///
/// Blocks until the config's timeout_ms at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_client_diagnose(
    client: *mut floatlease_client,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { guard(json_out, Outcome::NotSent, || self::client(client)?.client().diagnose()) }
}

/* ----------------------------------------------------------------------------------------------------- verbs -- */

/// Activates the license on this device. Every other operation on the license needs that first, once. Takes no slot.
///
/// Request keys, all optional, besides the common keys:
///
///     key                            type     meaning
///     variables                      object   values that the server keeps for this device
///     os_ver, hostname, os_hostname, ip, ip_local, mac_address,
///     app_ver, vm_info               strings  what the device reports about itself
///     is_vm                          boolean  true: the device is a virtual machine
///
/// Reply: the license.
///
///     {"id":1,"license_type":"…","license_active":true,"is_floating_cloud":true,"floating_users":2,
///      "floating_timeout":120,"validity_period":"…","product_features":[…],"device_id":1,"hardware_id":"…",…}
///
/// Errors:
/// - FLOATLEASE_E_LICENSE_NOT_FOUND: the license_key or user is wrong, or belongs to another product.
/// - FLOATLEASE_E_LICENSE_ACTIVATED_MAX_TIMES: the license is active on as many devices as it allows.
/// - FLOATLEASE_E_LICENSE_EXPIRED, FLOATLEASE_E_LICENSE_NOT_ENABLED, FLOATLEASE_E_LICENSE_NOT_ACTIVE: ask the vendor.
///
/// Blocks until the deadline at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_activate_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "activate_license", request_json, json_out) }
}

/// Returns the license. On a floating license this takes this device's slot, or renews it; a device never has two.
///
/// Request keys, all optional, besides the common keys:
///
///     key                            type     meaning
///     include_expired_features       boolean  true: list expired features too
///     env, channel                   strings  which version of the product to describe
///     os_ver, hostname, os_hostname, ip, ip_local, mac_address,
///     app_ver, vm_info               strings  what the device reports about itself
///     is_vm                          boolean  true: the device is a virtual machine
///
/// Reply: the license.
///
///     {"id":1,"license_type":"…","is_expired":false,"validity_period":"…","is_floating_cloud":true,"floating_users":2,
///      "floating_timeout":120,"floating_in_use_devices":1,"is_borrowed":false,"borrowed_until":null,
///      "max_borrow_time":24,"product_features":[{"code":"MESH",…}],…}
///
/// floating_timeout is in minutes: check again before it passes, or the server frees the slot.
///
/// Errors:
/// - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: no slot is free.
/// - FLOATLEASE_E_DEVICE_NOT_FOUND: call floatlease_activate_license first.
/// - FLOATLEASE_E_LICENSE_EXPIRED, FLOATLEASE_E_LICENSE_NOT_ENABLED, FLOATLEASE_E_LICENSE_NOT_ACTIVE: ask the vendor.
///
/// Blocks until the deadline at most. floatlease_lease_acquire takes a slot and keeps it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_check_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "check_license", request_json, json_out) }
}

/// Deactivates the license on this device. All slots of the device become free, borrowed ones too.
///
/// Request keys, all optional, besides the common keys:
///
///     key        type     meaning
///     variables  object   values that the server keeps for this device
///
/// Reply: {"message":"license_deactivated"}
///
/// Errors:
/// - FLOATLEASE_E_DEVICE_NOT_FOUND: the device was not active. There is nothing to do.
///
/// Blocks until the deadline at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_deactivate_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "deactivate_license", request_json, json_out) }
}

/// Borrows the license: its slot belongs to this device until a date, with or without a network. Takes a slot if the
/// device has none. Borrowing again moves the date.
///
/// Request keys, all optional, besides the common keys:
///
///     key             type            meaning
///     borrowed_until  string or null  the end of the borrow; null (default): as long as the license allows
///
/// Reply:
///
///     {"borrowed_until":"2026-09-27T23:30:48.016Z","max_borrow_time":24,"license_id":1,"device_id":1,
///      "floating_in_use_devices":1,…}
///
/// max_borrow_time is in hours.
///
/// Errors:
/// - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: no slot is free.
/// - FLOATLEASE_E_LICENSE_BORROW_NOT_ALLOWED: the license does not allow borrowing.
/// - FLOATLEASE_E_BORROW_UNTIL_NOT_VALID: the date is past, or too far away.
/// - FLOATLEASE_E_BAD_DATE: borrowed_until is not a date in a form of the conventions.
///
/// Blocks until the deadline at most. Use floatlease_lease_borrow if the next start of your program must need no
/// network.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_borrow_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "borrow_license", request_json, json_out) }
}

/// Releases the license's slot, borrowed or not.
///
/// Request keys: the common keys only.
///
/// Reply: {}
///
/// Errors:
/// - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: the device held no slot. There is nothing to do.
///
/// Blocks until the deadline at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_release_license(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "release_license", request_json, json_out) }
}

/// Returns a feature. If the feature floats, this takes this device's slot of it, or renews the slot.
///
/// Request keys, besides the common keys:
///
///     key                      type     meaning
///     feature                  string   required: the feature's code
///     include_metadata_string  boolean  true: add the metadata as one string too
///
/// Reply: the feature; the members from floating_users on only if it floats.
///
///     {"license_id":1,"id":7,"code":"MESH","name":"…","feature_type":"activation","expiry_date":null,"is_expired":false,
///      "is_floating_cloud":true,"floating_users":2,"floating_timeout":120,"floating_in_use_devices":1,
///      "is_borrowed":false,"borrowed_until":null,…}
///
/// Errors:
/// - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: no slot of the feature is free.
/// - FLOATLEASE_E_INVALID_LICENSE_FEATURE_CODE: the license does not have this feature.
/// - FLOATLEASE_E_DEVICE_NOT_FOUND: call floatlease_activate_license first.
///
/// Blocks until the deadline at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_check_feature(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "check_feature", request_json, json_out) }
}

/// Borrows a feature whose slot this device holds. floatlease_check_feature takes the slot.
///
/// Request keys, besides the common keys:
///
///     key             type            meaning
///     feature         string          required: the feature's code
///     borrowed_until  string or null  the end of the borrow; null (default): as long as the feature allows
///
/// Reply:
///
///     {"borrowed_until":"2026-09-27T23:30:48.016Z","max_borrow_time":24,"license_id":1,"device_id":1,
///      "floating_in_use_devices":1,…}
///
/// Errors:
/// - FLOATLEASE_E_FLOATING_FEATURE_DEVICE_NOT_IN_USE: call floatlease_check_feature first.
/// - FLOATLEASE_E_FEATURE_BORROW_NOT_ALLOWED: the feature does not allow borrowing.
/// - FLOATLEASE_E_FEATURE_NOT_FLOATING: the feature does not float, so use it without borrowing.
/// - FLOATLEASE_E_BORROW_UNTIL_NOT_VALID: the date is past, or too far away.
///
/// Blocks until the deadline at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_borrow_feature(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "borrow_feature", request_json, json_out) }
}

/// Releases a feature's slot, borrowed or not.
///
/// Request keys, besides the common keys:
///
///     key      type    meaning
///     feature  string  required: the feature's code
///
/// Reply: {}
///
/// Errors:
/// - FLOATLEASE_E_FLOATING_FEATURE_DEVICE_NOT_IN_USE: the device held no slot. There is nothing to do.
/// - FLOATLEASE_E_FEATURE_NOT_FLOATING: the feature has no slots. There is nothing to do.
///
/// Blocks until the deadline at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_release_feature(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "release_feature", request_json, json_out) }
}

/// Books consumptions on a license of type consumption: all of them or none.
///
/// Request keys, all optional, besides the common keys:
///
///     key              type     meaning
///     consumptions     integer  how many; default 1; negative if the license allows it
///     allow_overages   boolean  sets whether the license's total may exceed max_consumptions
///     max_overages     integer  sets by how much
///     event            array    "consumption_add" (default) or "offline_floating_consumptions_sync", as the only element
///     ignore_events    boolean  passed on to the server
///     offline          string   "queue": keep the consumption on disk if the server can't be reached
///
/// Reply:
///
///     {"id":1,"total_consumptions":5,"max_consumptions":100,"allow_overages":false,"max_overages":0,…}
///
/// With "offline":"queue" and no connection the status is FLOATLEASE_OK, and the reply says why the consumption waits:
///
///     {"queued":true,"queued_consumptions":3,"idempotency_key":"…","status":21,"name":"CONNECT","reason":"…"}
///
/// Errors:
/// - FLOATLEASE_E_LICENSE_NOT_ENOUGH_CONSUMPTIONS: too few are left; nothing was booked.
/// - FLOATLEASE_E_LICENSE_NOT_CONSUMPTION: the license does not count consumptions.
/// - FLOATLEASE_E_CONNECTION_LOST and others with outcome "unknown": the server may have booked them. With
///   floatlease-server, repeat the call with the same idempotency_key. With the vendor's cloud, read
///   total_consumptions by floatlease_check_license before you repeat it.
/// - FLOATLEASE_E_MISSING_KEY: "offline" needs storage_dir in the config.
/// - FLOATLEASE_E_QUEUE_FULL: 10,000 consumptions or 8 MiB are queued.
/// - FLOATLEASE_E_BAD_VALUE: the idempotency_key belongs to another queued consumption.
///
/// Blocks until the deadline at most. docs/offline-consumption.md explains the queue: when it is sent, and how a lost
/// reply is resolved.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_add_consumption(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "add_consumption", request_json, json_out) }
}

/// Books consumptions on a consumption feature: all of them or none.
///
/// Request keys, besides the common keys:
///
///     key           type     meaning
///     feature       string   required: the feature's code
///     consumptions  integer  how many; default 1; negative if the feature allows it
///     event         array    "consumption_add" (default) or "offline_floating_consumptions_sync", as the only element
///     offline       string   "queue": as for floatlease_add_consumption
///
/// Reply, or the one of a queued consumption as for floatlease_add_consumption:
///
///     {"id":7,"license_id":1,"total_consumptions":5,"max_consumptions":100,"allow_overages":false,"max_overages":0,…}
///
/// Errors, besides those of floatlease_add_consumption:
/// - FLOATLEASE_E_FEATURE_NOT_ENOUGH_CONSUMPTIONS: too few are left; nothing was booked.
/// - FLOATLEASE_E_UNSUPPORTED_PRODUCT_FEATURE: the product does not have this feature.
///
/// Blocks until the deadline at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_add_feature_consumption(
    client: *mut floatlease_client,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { verb(client, "add_feature_consumption", request_json, json_out) }
}

/// Performs an operation by its name. docs/operations.md lists all names.
///
/// operation is the name of a function above without its prefix, such as "borrow_license", or one of two more:
///
///     operation            request keys                                 reply
///     "product_details"    include_latest_version (boolean),            {"short_code":"…",…}
///                          include_custom_fields (boolean),
///                          env (string)
///     "sync_consumptions"  those that name license and device;          the object below
///                          timeout_ms is for the whole of it
///
/// "sync_consumptions" books what is queued (docs/offline-consumption.md). Each consumption that was refused, or whose
/// outcome is unknown, is reported once:
///
///     {"event":"CONSUMPTIONS_SYNCED","booked":2,"refused":[{"operation":"add_feature_consumption","feature":"MESH",
///      "consumptions":7,"idempotency_key":"…","at":"2026-09-27T23:30:48.016Z","status":151,
///      "name":"FEATURE_NOT_ENOUGH_CONSUMPTIONS","server_code":"feature_not_enough_consumptions","reason":"…"}],
///      "unknown":[],"waiting":0,"status":0,"name":"OK","reason":null}
///
/// "waiting" counts what is still queued because of "reason". A missing network is a reason, not an error.
///
/// Errors, besides those of the operation:
/// - FLOATLEASE_E_UNKNOWN_OPERATION: there is no operation of this name; message names the nearest.
///
/// Blocks until the deadline at most. Leases have functions of their own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_call(
    client: *mut floatlease_client,
    operation: *const c_char,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
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

/// Runs a call in the background and returns at once.
///
/// operation is a name for floatlease_call, or one of these:
///
///     operation        request keys
///     "lease_acquire"  as for floatlease_lease_acquire
///     "lease_renew"    lease (integer, required: its number), timeout_ms
///     "lease_release"  lease (integer, required: its number), timeout_ms
///     "lease_borrow"   lease (integer, required: its number), timeout_ms, borrowed_until
///
/// *ticket_out names the call in floatlease_cancel and in its completion. The completion is an event of
/// floatlease_next_event:
///
///     {"event":"COMPLETED","ticket":7,"status":0,"reply":{…}}
///     {"event":"COMPLETED","ticket":7,"status":141,"error":{…}}
///
/// Each ticket is completed exactly once while the client is open, also if it is cancelled. A mistake in the request
/// is reported by the completion too. After a "lease_acquire", call floatlease_lease_accept.
///
/// Errors:
/// - FLOATLEASE_E_TOO_MANY_CALLS: 1,000 calls are under way, or their completions were not read.
/// - FLOATLEASE_E_HANDLE: the client is closed.
///
/// Does not block. Up to four calls run at a time; the deadline of a call counts from its start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_submit(
    client: *mut floatlease_client,
    operation: *const c_char,
    request_json: *const c_char,
    ticket_out: *mut u64,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
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

/// Cancels a submitted call. Its completion arrives within 50 ms, unless the system is resolving a host name, and
/// tells how far the call got.
///
/// Errors:
/// - FLOATLEASE_E_TICKET: the call is done already.
///
/// Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_cancel(client: *mut floatlease_client, ticket: u64) -> floatlease_status {
    // SAFETY: this function dereferences no pointer.
    unsafe {
        guard(ptr::null_mut(), Outcome::NotSent, || {
            self::client(client)?.cancel_submitted(ticket)?;
            Ok(String::new())
        })
    }
}

/// Returns the oldest unread event, or waits for one. wait_ms limits the wait; 0 does not wait.
///
/// *json_out is NULL with FLOATLEASE_OK if no event came. json_out itself must not be NULL. An event is a completion
/// of floatlease_submit, the event CONSUMPTIONS_SYNCED of floatlease_call, or an event of a lease:
///
///     {"event":"GRACE_STARTED","lease":1,"state":"GRACE","remaining_ms":300000,"status":21,"name":"CONNECT",
///      "reason":"…","borrowed_until":null,"at":"2026-09-27T23:30:48.016Z"}
///
///     event          what happened, and what to do
///     DEGRADED       a renewal failed; the slot is still held
///     RENEWED        the server confirmed the slot
///     GRACE_STARTED  another device may have the slot: save now
///     LOST           save, and stop licensed work; the library keeps asking for the slot
///     REGAINED       after GRACE_STARTED or LOST, the slot is held again
///     BORROW_ENDING  the borrow ends in borrow_ending_hours or less
///     EXPIRING       the license or a feature expires in borrow_ending_hours or less
///     WAITING        an acquire with wait_ms queues: see asks_again_in_ms and left_ms; there is no state
///
/// "lease" is the number from floatlease_lease_acquire and floatlease_lease_info. "status", "name" and "reason"
/// describe the last failure: 0, "OK" and null without one. The library keeps the newest 1,000 events of leases. If it
/// dropped any, the next event has "missed" with their number.
///
/// Errors:
/// - FLOATLEASE_E_CANCELLED: floatlease_client_cancel was called during the wait.
/// - FLOATLEASE_E_HANDLE: the client is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_next_event(
    client: *mut floatlease_client,
    wait_ms: u32,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe {
        call::guard_optional(json_out, Outcome::NotSent, &mut || {
            if json_out.is_null() {
                return Err(Error::because(Status::NullPointer, "json_out must not be NULL: the event would be lost."));
            }
            self::client(client)?.next_event(Duration::from_millis(wait_ms.into()))
        })
    }
}

/// Advances the clock of this client's leases by by_ms milliseconds, as a sleep of the computer would. For tests.
///
/// Advance a sandbox's clock by the same time. An advance can't be undone; a client that is opened later begins with
/// the system's clock. Deadlines of calls and wait_ms follow real time.
///
/// Errors:
/// - FLOATLEASE_E_HANDLE: the client is closed.
///
/// Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_client_advance_clock(
    client: *mut floatlease_client,
    by_ms: u32,
) -> floatlease_status {
    // SAFETY: this function dereferences no pointer.
    unsafe {
        guard(ptr::null_mut(), Outcome::NotSent, || {
            self::client(client)?.advance_clock(by_ms);
            Ok(String::new())
        })
    }
}

/* --------------------------------------------------------------------------------------------------- a lease -- */

/// Takes one slot or several, and keeps them: the library renews them in time, reports failures, and recovers after
/// them.
///
/// docs/leases.md draws the states of a lease, and says what to do in each.
///
/// Request keys, all optional. Besides them: the common keys that name license and device, and extra.
///
///     key                  type     meaning
///     feature              string   the floating feature to take; without it, the license's own slot
///     features             array    up to 64 features instead, all or none
///     keep_alive           string   "thread" (default): a thread of the client renews at half of the slot's timeout.
///                                   "host": no thread; your program calls floatlease_lease_renew, see docs/leases.md
///     grace_ms             integer  how long work may go on when the slot may be lost; 0 to 86400000, default 300000
///     borrow_ending_hours  integer  how long before their ends BORROW_ENDING and EXPIRING are reported; 0 to 8760,
///                                   default 2
///     wait_ms              integer  how long to queue while all slots are taken, or the server can't be reached; 0 to
///                                   86400000, default 0
///     release_on_close_ms  integer  how long the library tries to release the slot in the background after
///                                   floatlease_lease_free or floatlease_client_close; 0 to 3600000, default 5000
///     timeout_ms           integer  deadline of each request about this lease, renewals too; 1 to 3600000, default:
///                                   the config's. A call may take three times as long for each slot
///
/// Reply: as for floatlease_lease_info.
///
/// Errors:
/// - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: no slot is free.
/// - FLOATLEASE_E_DEVICE_NOT_FOUND: call floatlease_activate_license once, then acquire again.
/// - FLOATLEASE_E_NOT_FLOATING: an on-premise server of the vendor counts the slots. This library does not speak its
///   API.
/// - FLOATLEASE_E_STORAGE: storage_dir can't be written to. Nothing was sent.
/// - FLOATLEASE_E_STORAGE_DAMAGED, FLOATLEASE_E_STORAGE_FOREIGN, FLOATLEASE_E_CLOCK_MOVED_BACK, FLOATLEASE_E_NO_PROOF:
///   the server can't be reached, and the files in storage_dir do not prove a borrow. Connect to the network.
///
/// A license or feature that does not float needs no slot, and is acquired all the same. With storage_dir, all
/// processes of this user that use the same folder share the slot, and a borrow is proven at the next start without a
/// network.
///
/// On success *lease_out is a handle: free it with floatlease_lease_free. On failure it is NULL. Blocks until the
/// deadline, and for wait_ms in addition; floatlease_submit does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_acquire(
    client: *mut floatlease_client,
    request_json: *const c_char,
    lease_out: *mut *mut floatlease_lease,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe {
        call::open_at(lease_out, "lease_out", json_out, Outcome::Unknown, || {
            let client = self::client(client)?;
            let (lease, info) = client.acquire(optional_text("request_json", request_json)?.unwrap_or("{}"))?;
            Ok((lease_handle(lease)?, info))
        })
    }
}

/// Returns the handle of the lease that a submitted "lease_acquire" has taken. Call it once its completion was read.
///
/// Reply: as for floatlease_lease_info.
///
/// Errors:
/// - FLOATLEASE_E_TICKET: the call took no lease, or the lease was accepted before.
///
/// On success *lease_out is a handle: free it with floatlease_lease_free. A lease that is never accepted is held until
/// the client is closed. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_accept(
    client: *mut floatlease_client,
    ticket: u64,
    lease_out: *mut *mut floatlease_lease,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe {
        call::open_at(lease_out, "lease_out", json_out, Outcome::NotSent, || {
            let lease = self::client(client)?.accept(ticket)?;
            let info = lease.info();
            Ok((lease_handle(lease)?, info))
        })
    }
}

/// Returns the state of a lease: FLOATLEASE_STATE_ACTIVE and so on, or 0 if the handle is invalid.
///
/// Licensed work goes on in ACTIVE, DEGRADED, GRACE and BORROWED. 0 means that the handle is closed, invented, or was
/// inherited through fork.
///
/// Wait-free: no lock, no allocation, and no system call except on Linux before 4.14. Call it in every frame, or on an
/// audio thread.
#[unsafe(no_mangle)]
pub extern "C" fn floatlease_lease_state(lease: *mut floatlease_lease) -> floatlease_state {
    let state = LEASES.state_cell(lease.addr()).and_then(|(state_cell, generation)| state_cell.state(generation));
    state.map_or(0, |state| state as i32)
}

/// Returns the milliseconds until licensed work must stop; 0 if it must stop now, or the handle is invalid.
///
/// In GRACE it is the rest of grace_ms. After a sleep of the computer it may be 0 for some seconds, while the library
/// asks the server. The state decides, not this number.
///
/// Wait-free like floatlease_lease_state; it reads the system's clock.
#[unsafe(no_mangle)]
pub extern "C" fn floatlease_lease_remaining(lease: *mut floatlease_lease) -> i64 {
    let until = LEASES.state_cell(lease.addr()).and_then(|(state_cell, generation)| state_cell.runs_until(generation));
    until.map_or(0, remaining_ms)
}

/// Returns everything that is known about a lease.
///
/// Reply:
///
///     {"lease":1,"state":"ACTIVE","remaining_ms":7500000,"renews_in_ms":3600000,"status":0,"name":"OK","reason":null,
///      "borrowed_until":null,"keep_alive":"thread","slots":[{"feature":null,"reply":{…}}]}
///
///     lease              the lease's number in events and in floatlease_submit
///     renews_in_ms       time until the next renewal; null if none is due
///     status             the last failure, with name and reason; 0, "OK" and null without one
///     slots              each slot, with the server's last reply about it; null if this process has not asked yet
///
/// Errors:
/// - FLOATLEASE_E_HANDLE: the lease is freed.
///
/// Uses no network and does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_info(
    lease: *mut floatlease_lease,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { guard(json_out, Outcome::NotSent, || Ok(LEASES.get(lease.addr())?.info())) }
}

/// Renews a lease now, with either keep_alive.
///
/// Reply: as for floatlease_lease_info.
///
/// Errors: read the state after a failure, because most failures only make the lease DEGRADED.
/// - FLOATLEASE_E_LEASE_OVER: the lease was released, or its client closed.
///
/// Blocks for three times timeout_ms at most for each slot.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_renew(
    lease: *mut floatlease_lease,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { guard(json_out, Outcome::Unknown, || LEASES.get(lease.addr())?.renew("{}")) }
}

/// Borrows a lease: its slots belong to this computer until a date, with or without a network, in this process and
/// later ones.
///
/// All slots of the lease are borrowed or none. The config needs storage_dir.
///
/// Request keys, all optional; no others are allowed:
///
///     key             type            meaning
///     borrowed_until  string or null  the end of the borrow; null (default): as long as the license allows
///     timeout_ms      integer         deadline of each request, 1 to 3600000; default: the lease's
///
/// Reply: as for floatlease_lease_info, with borrowed_until.
///
/// Errors: the lease goes on as before, and an earlier borrow stays valid until its own date.
/// - FLOATLEASE_E_LICENSE_BORROW_NOT_ALLOWED, FLOATLEASE_E_FEATURE_BORROW_NOT_ALLOWED: acquire a lease without this
///   slot.
/// - FLOATLEASE_E_BORROW_UNTIL_NOT_VALID: the date is past, or too far away.
/// - FLOATLEASE_E_MISSING_KEY: storage_dir is missing from the config.
/// - Any error with outcome "unknown": borrow again. Until the server answers, the earlier of both dates counts.
///
/// Blocks for three times timeout_ms at most for each slot.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_borrow(
    lease: *mut floatlease_lease,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe {
        guard(json_out, Outcome::Unknown, || {
            LEASES.get(lease.addr())?.borrow(optional_text("request_json", request_json)?.unwrap_or("{}"))
        })
    }
}

/// Releases the slots of a lease, borrowed or not. The lease becomes RELEASED.
///
/// The library tells the server only if no other process of this computer holds the slots too. A borrow that another
/// process made, and that this lease has not seen, stays. If the server no longer knows the license, feature or
/// device, the lease is RELEASED as well, and "name" and "reason" say why.
///
/// Reply: as for floatlease_lease_info.
///
/// Errors: the lease is still held.
/// - FLOATLEASE_E_STORAGE: the borrow can't be ended while storage_dir can't be written to.
/// - Any error with outcome "unknown": release again. If part of the slots was released, the lease is LOST until the
///   library has taken them again. If the reply was lost, the library soon asks the server whether the slot is held.
///
/// Blocks for timeout_ms at most for each slot. docs/leases.md says how to end a program.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_release(
    lease: *mut floatlease_lease,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { guard(json_out, Outcome::Unknown, || LEASES.get(lease.addr())?.release("{}")) }
}

/// Frees the handle of a lease.
///
/// The library releases a slot that is still held in the background, within release_on_close_ms. A borrow stays,
/// whether the lease or a verb of this client made it. Call floatlease_lease_release before the process ends, because
/// the background work ends with the process.
///
/// This function uses no network and waits for nothing, so it is safe in a finalizer. Freeing NULL, freeing twice, or
/// in a forked child does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_free(lease: *mut floatlease_lease) {
    quietly(|| drop(LEASES.remove(lease.addr())));
}
