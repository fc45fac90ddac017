//! The types of the C ABI, its version and its strings, and the tables behind its handles.

use crate::error::Error;
use crate::ffi::call::{self, floatlease_status, quietly};
use crate::ffi::handle::{Handles, Kind};
use crate::lease::{Lease, Session};
use crate::status::Status;
use std::ffi::c_char;
use std::sync::Arc;

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

pub(super) static CLIENTS: Handles<Session> = Handles::new(Kind::Client);
pub(super) static LEASES: Handles<Lease> = Handles::new(Kind::Lease);

/// Returns the client behind a handle.
pub(super) fn client(handle: *mut floatlease_client) -> Result<Arc<Session>, Error> {
    CLIENTS.get(handle.addr())
}

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
