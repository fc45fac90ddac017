//! The sandbox's C ABI: four functions around the server's `Sandbox`.
//!
//! `build.rs` generates `include/floatlease_sandbox.h` from this file and `manual.txt`. The guard around each function
//! and the handles are the client's.
// The header's manual states the safety rules once for all functions.
#![allow(clippy::missing_safety_doc)]
#![allow(non_camel_case_types)]

use floatlease::ffi::Placeholders;
use floatlease::ffi::call::{self, floatlease_status, guard, optional_text, quietly, text};
use floatlease::ffi::handle::{Handles, Kind};
use floatlease::{Error, Outcome, Status};
use floatlease_server::sandbox::{Sandbox, SandboxError};
use std::ffi::c_char;

/// A sandbox: a license server in this process. A token, not an address.
pub struct floatlease_sandbox {
    _token: [u8; 0],
}

/// A sandbox inside its host's process.
struct Guest {
    sandbox: Sandbox,
    /// A host without standard streams, as a daemon's test is, would write its log into a connection of the sandbox.
    _taken: Placeholders,
}

static SANDBOXES: Handles<Guest> = Handles::new(Kind::Sandbox);

/// Starts a sandbox. It answers requests when this function returns.
///
/// options_json is one object, or NULL for {}. An unknown key is an error. Every key is optional:
///
///     key            type              meaning
///     catalogue      object or string  which licenses there are: an object with the members of examples/catalogue.toml,
///                                      or the text of such a file; its times may be relative, as in "now+30days";
///                                      default: examples/catalogue.toml
///     presets        boolean           true adds licenses that provoke each refusal of the API; json_out lists them
///     now            string            the sandbox's first time, "2028-02-29T12:00:00Z" or "now-1h"; default: real time
///     rate           number            speed of its clock: 1 (default) is real time, 60 a minute each second, 0 stopped
///     date_check     string            clock that the Date of requests is compared with: "real" (default) or "world"
///     order          boolean           false: ignore FloatLease-Order, as the vendor's cloud does; default: true
///     idempotency    boolean           false: ignore Idempotency-Key, as the vendor's cloud does; default: true
///     faults         array             faults from the start, each as for "POST /faults"
///     port           integer           port of the API; default 0: a free one
///     control_port   integer           port of the control interface for other processes, 0 for a free one;
///                                      default: none
///
/// Reply: what a client needs to connect.
///
///     {"base_url":"…","api_key":"…","shared_key":"…","public_key":"…","product":"…","license_key":"…",
///      "client_config":{…},"presets":[…],…}
///
/// Errors:
/// - FLOATLEASE_E_JSON: options_json is not one JSON object.
/// - FLOATLEASE_E_SANDBOX: an option is invalid, or the port is in use; message names it.
///
/// On success *sandbox_out is a handle: stop it with floatlease_sandbox_stop. On failure it is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_sandbox_start(
    options_json: *const c_char,
    sandbox_out: *mut *mut floatlease_sandbox,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    call::threads_are_ours();
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe {
        call::open(&SANDBOXES, "sandbox_out", sandbox_out, json_out, || {
            let options = optional_text("options_json", options_json)?.unwrap_or("{}");
            let taken = Placeholders::take();
            let (sandbox, text) = Sandbox::start(options).map_err(refused)?;
            Ok((Guest { sandbox, _taken: taken }, text))
        })
    }
}

/// Controls a sandbox: moves its clock, injects faults, reads what it has seen. Faults do not affect this call.
///
/// method_path is a method and a path, for example "POST /clock/advance". request_json is the JSON text of that call, or
/// NULL where it takes none. "GET /openapi.json" lists every call; docs/testing-your-integration.md explains the usual
/// ones.
///
/// Reply: the JSON of that call.
///
/// Errors:
/// - FLOATLEASE_E_JSON: request_json is not one JSON object.
/// - FLOATLEASE_E_SANDBOX: the sandbox refused the call, or an expectation did not hold; message says why.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_sandbox_control(
    sandbox: *mut floatlease_sandbox,
    method_path: *const c_char,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe {
        guard(json_out, Outcome::Unknown, || {
            let guest = SANDBOXES.get(sandbox.addr())?;
            let (call, body) = (text("method_path", method_path)?, optional_text("request_json", request_json)?);
            guest.sandbox.control(call, body.unwrap_or_default()).map_err(refused)
        })
    }
}

/// Stops a sandbox within a second: closes every connection and drops all data. Stopping NULL, stopping twice, or in a
/// forked child does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_sandbox_stop(sandbox: *mut floatlease_sandbox) {
    quietly(|| {
        if let Ok(guest) = SANDBOXES.remove(sandbox.addr()) {
            // The sandbox has stopped even if this reports an error, and its data is not kept.
            let _ = guest.sandbox.stop();
        }
    });
}

/// Frees a string that a function of this library wrote to json_out. NULL is ignored. Free each string once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_sandbox_string_free(string: *mut c_char) {
    // SAFETY: the caller keeps the rules of the header's manual.
    quietly(|| unsafe { call::free(string) });
}

/// Converts the sandbox's error into one of the client's statuses.
fn refused(error: SandboxError) -> Error {
    let (status, why, outcome) = match error {
        SandboxError::Json(why) => (Status::Json, why, Outcome::NotSent),
        SandboxError::Refused(why) | SandboxError::Unavailable(why) => (Status::Sandbox, why, Outcome::Rejected),
        SandboxError::Internal(why) => (Status::Internal, why, Outcome::Unknown),
    };
    Error::because(status, why).with_outcome(outcome)
}
