//! The sandbox's C ABI. `include/floatlease_sandbox.h` is generated from this file.
//!
//! The header's conventions are in `cbindgen.toml`. The guard and the handles are the client's, the sandbox is the server's.
// The header's conventions hold for all functions, so no function repeats them.
#![allow(clippy::missing_safety_doc)]
#![allow(non_camel_case_types)]

use floatlease::ffi::call::{self, floatlease_status, guard, optional_text, quietly, text};
use floatlease::ffi::handle::{Handles, Kind};
use floatlease::{Error, Outcome, Status};
use floatlease_server::sandbox::{Sandbox, SandboxError};
use std::ffi::c_char;

/// A sandbox: a license server in this process. A token, not an address.
pub struct floatlease_sandbox {
    _token: [u8; 0],
}

static SANDBOXES: Handles<Sandbox> = Handles::new(Kind::Sandbox);

/// Starts a sandbox; it answers when this returns.
///
/// options_json is one object, or NULL for {}. An unknown key is an error; every key may be left out:
///
///     catalogue      what is licensed to whom: an object with the members of examples/catalogue.toml, or the text of
///                    such a file; its times may be relative, as in "now+30days". Default: that file
///     presets        true: an easy way to provoke each refusal of the API; json_out lists them
///     now            the sandbox's time at its beginning, "2028-02-29T12:00:00Z" or "now-1h"; default: the real time
///     rate           how it passes: 1 (default) is real time, 60 lets a minute pass in a second, 0 stands still
///     date_check     "real" (default) or "world": which clock the Date of requests is held against
///     order          false: FloatLease-Order is ignored, as by the vendor's cloud; default: true
///     idempotency    false: Idempotency-Key is ignored likewise; default: true
///     faults         an array of faults, as for "POST /faults"
///     port           the API's port; default 0, a free one
///     control_port   a port for the control interface too, for other processes; 0 is a free one; default: none
///
/// On success *sandbox_out is a handle for floatlease_sandbox_stop and *json_out tells what a client needs: base_url,
/// api_key, shared_key, public_key, product, license_key, client_config and more. On failure *sandbox_out is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_sandbox_start(
    options_json: *const c_char,
    sandbox_out: *mut *mut floatlease_sandbox,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    call::threads_are_ours();
    // SAFETY: as the header's conventions ask of the caller.
    unsafe {
        call::open(&SANDBOXES, "sandbox_out", sandbox_out, json_out, || {
            Sandbox::start(optional_text("options_json", options_json)?.unwrap_or("{}")).map_err(refused)
        })
    }
}

/// Controls a sandbox: its clock, its faults, what it has seen. No client and no fault gets in its way.
///
/// method_path is a method and a path, for example "POST /clock/advance"; request_json the call's JSON text, or NULL
/// where it takes none. "GET /openapi.json" lists every call.
/// Reply: the call's own. FLOATLEASE_E_SANDBOX if it was refused or what it asserts is not so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_sandbox_control(
    sandbox: *mut floatlease_sandbox,
    method_path: *const c_char,
    request_json: *const c_char,
    json_out: *mut *mut c_char,
) -> floatlease_status {
    // SAFETY: as the header's conventions ask of the caller.
    unsafe {
        guard(json_out, Outcome::Unknown, || {
            let sandbox = SANDBOXES.get(sandbox.addr())?;
            let (call, body) = (text("method_path", method_path)?, optional_text("request_json", request_json)?);
            sandbox.control(call, body.unwrap_or_default()).map_err(refused)
        })
    }
}

/// Stops a sandbox within a second: closes every connection, forgets everything. Stopping NULL, twice, or in a forked
/// child does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_sandbox_stop(sandbox: *mut floatlease_sandbox) {
    quietly(|| {
        if let Ok(sandbox) = SANDBOXES.remove(sandbox.addr()) {
            // The sandbox has stopped in any case, and its data need not be kept.
            let _ = sandbox.stop();
        }
    });
}

/// Frees a string that a function of this library put into json_out. NULL is ignored. Each string is freed once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_sandbox_string_free(string: *mut c_char) {
    // SAFETY: as the header's conventions ask of the caller.
    quietly(|| unsafe { call::free(string) });
}

/// Converts a sandbox's error to one of the client's statuses.
fn refused(error: SandboxError) -> Error {
    let (status, why, outcome) = match error {
        SandboxError::Json(why) => (Status::Json, why, Outcome::NotSent),
        SandboxError::Refused(why) | SandboxError::Unavailable(why) => (Status::Sandbox, why, Outcome::Rejected),
        SandboxError::Internal(why) => (Status::Internal, why, Outcome::Unknown),
    };
    Error::because(status, why).with_outcome(outcome)
}
