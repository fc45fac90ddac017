//! Opening, cancelling, closing and diagnosing a client.

use crate::error::Outcome;
use crate::ffi::call::{self, floatlease_status, guard, quietly, text};
use crate::ffi::exports::library::{CLIENTS, client, floatlease_client};
use crate::lease::Session;
use std::ffi::c_char;
use std::ptr;

/// Opens a client for one product, one device and one server.
///
/// config_json is one object. An unknown key is an error that names the nearest known key. docs/configuration.md has
/// examples.
///
///     key                     type       meaning
///     product                 string     required: the product's short code
///     api_key, shared_key     strings    the keys of the vendor's account; required, or the next two
///     client_id,              strings    an OAuth client of the vendor; the library fetches and renews access tokens
///     client_secret
///     oauth_url               string     address of the token endpoint; default: the server names it
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
///     max_parallel            integer    the most calls of floatlease_submit that run at a time, 1 to 1000; default 64
///     threads                 string     "library" (default), or "host": the library starts no thread, and the program
///                                        calls floatlease_work
///     proxy                   string     "env" (default), "none" or "http://name:password@host:port"; a proxy of the
///                                        environment is not used for a server on this machine: docs/proxies.md
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
/// - FLOATLEASE_E_INSECURE_URL: base_url or oauth_url is plain http:// to another machine.
/// - FLOATLEASE_E_HARDWARE_ID: the system has no stable id; set hardware_id.
/// - FLOATLEASE_E_OUT_OF_RESOURCES: a file that it reads can't be opened for lack of a descriptor; try again later.
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
        call::open_at(client_out, "client_out", json_out, Outcome::NotSent, || {
            let session = Session::open(text("config_json", config_json)?, call::contain)?;
            let token = CLIENTS.insert_with_writer(|writer| {
                session.publish_events_to(writer);
                session
            })?;
            Ok((token, "{}".to_owned()))
        })
    }
}

/// Cancels every call in flight on this client: each returns FLOATLEASE_E_CANCELLED within 50 ms.
///
/// It also ends floatlease_client_diagnose and floatlease_next_event, and submitted acquires that wait for a slot. It does
/// not touch later calls, renewals of leases, or submitted calls whose turn has not come: floatlease_cancel ends those.
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

/// Releases every lease of a client at once and within a time, for the end of a program. Borrows are kept.
///
/// It cancels acquires that are under way, and refuses new ones with FLOATLEASE_E_CANCELLED meanwhile. It releases up to
/// max_parallel leases side by side, those too that are being released in the background or whose handle is closed
/// meanwhile. If the server can't be reached it tries again as long as timeout_ms lasts, from 1 to 3600000. Handles stay;
/// leases that are released become RELEASED.
///
/// Reply: the numbers of leases as in floatlease_lease_info.
///
///     {"released":[1],"kept":[2],"left":[{"lease":3,"status":21,"name":"CONNECT","reason":"…"}]}
///
///     kept    leases that are borrowed: the slot stays borrowed until its date
///     left    leases that were not released in time, and those whose release was refused: the library keeps them until
///             the program ends; then the server frees their slots after their timeout, or the next start does
///
/// Errors: what is left is no error, because the reply tells it.
/// - FLOATLEASE_E_BAD_VALUE: timeout_ms is out of range.
/// - FLOATLEASE_E_CANCELLED: floatlease_client_cancel was called meanwhile, or floatlease_cancel with its ticket.
/// - FLOATLEASE_E_HANDLE: the client is closed.
///
/// Slots that verbs have taken, and not leases, are not known to it: release those by verbs. Blocks until timeout_ms at
/// most; "release_all" of floatlease_submit does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_client_release_all(
    client: *mut floatlease_client,
    timeout_ms: u32,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe { guard(json_out, Outcome::Unknown, || self::client(client)?.release_all(timeout_ms)) }
}

/// Closes a client and ends its leases.
///
/// Calls in flight on other threads are cancelled. A call that comes later returns FLOATLEASE_E_HANDLE, and its message
/// says that the client was closed. The client's connections are closed. Its leases become RELEASED. The library releases
/// their slots in the background, each within its release_on_close_ms, except for leases with "keep_alive":"host". The
/// connections that this takes are closed afterwards. A borrowed slot stays borrowed. You still free the handles of the
/// leases, before or after.
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

/// Tests the files in storage_dir and each step of the way to the server, and reports how each went. Takes no slot.
///
/// Reply: the report, which holds no secret.
///
///     {"ok":false,"version":"0.1.0","base_url":"…","product":"…","hardware_id":"…","checks":[
///      {"check":"dns","verdict":"ok","ms":1.2,"detail":"…"}, …]}
///
///     check      hardware_id, storage, token_endpoint (with client_id only), proxy, dns, tcp, tls, http, clock_skew,
///                authorisation or signature
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
    unsafe { guard(json_out, Outcome::NotSent, || self::client(client)?.diagnose()) }
}
