//! The client's functions, exported with the feature `exports`. `include/floatlease.h` is generated from this file and
//! the status table; its conventions stand at the header's top (`cbindgen.toml`).

use super::call::{self, floatlease_status, guard, optional_text, quietly, text};
use super::handle::{Handles, Kind};
use crate::client::Client;
use crate::error::{Error, Outcome};
use crate::status::Status;
use std::ffi::c_char;
use std::ptr;
use std::sync::Arc;

/// The ABI's major version: this header belongs to libraries that return the same.
pub const FLOATLEASE_ABI_VERSION: u32 = 1;

/// A client: one product, one device, one server. A token, not an address.
pub struct floatlease_client {
    _token: [u8; 0],
}

static CLIENTS: Handles<Client> = Handles::new(Kind::Client);

/// The client under a handle.
fn client(handle: *mut floatlease_client) -> Result<Arc<Client>, Error> {
    CLIENTS.get(handle.addr())
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
///     tls_roots            "platform" (default), "bundled" or PEM certificates
///     allow_http           true: plain http:// also to other machines
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
            Ok((Client::open(text("config_json", config_json)?)?, "{}".to_owned()))
        })
    }
}

/// Wakes every call in flight on this client, floatlease_client_diagnose too: each returns FLOATLEASE_E_CANCELLED.
/// Calls made later are not touched.
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

/// Closes a client. Local: touches no network and waits for nothing. Calls in flight on other threads are cancelled.
/// Closing NULL, twice, or in a forked child does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_client_close(client: *mut floatlease_client) {
    quietly(|| {
        if let Ok(client) = CLIENTS.remove(client.addr()) {
            client.shut();
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
    unsafe { guard(json_out, Outcome::NotSent, || Ok(self::client(client)?.diagnose())) }
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
/// allow_overages (boolean), event (array of one string), ignore_events (boolean).
/// Reply: total_consumptions, max_consumptions and the license's limits.
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
/// Own keys: feature (required), consumptions, event. Reply: total_consumptions, max_consumptions and the feature's
/// limits.
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
/// "product_details" (own keys: include_latest_version, include_custom_fields, env), which has no function.
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
