//! Acquiring, reading, renewing, borrowing, releasing and freeing leases.

use crate::error::{Error, Outcome};
use crate::ffi::call::{self, floatlease_status, guard, optional_text, quietly};
use crate::ffi::exports::library::{LEASES, client, floatlease_client, floatlease_lease, floatlease_state};
use crate::lease::{Lease, remaining_ms};
use std::ffi::c_char;

/// Gives out a handle for a lease.
fn lease_handle(lease: Lease) -> Result<usize, Error> {
    LEASES.insert_with_writer(|writer| {
        lease.publish_to(writer);
        lease
    })
}

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
///     tag                  string   any text of up to 256 bytes; events and infos of the lease repeat it
///     activate             boolean  true: a device that is new to the license is activated first; default false
///     keep_alive           string   "thread" (default): a thread of the client renews at half of the slot's timeout.
///                                   "host": no thread; your program calls floatlease_lease_renew, see docs/leases.md
///     grace_ms             integer  how long work may go on when the slot may be lost; 0 to 86400000, default 300000
///     borrow_ending_hours  integer  how long before their ends BORROW_ENDING and EXPIRING are reported; 0 to 8760,
///                                   default 2
///     wait_ms              integer  how long to queue while all slots are taken, or the server can't be reached; 0 to
///                                   86400000, default 0
///     release_on_close_ms  integer  how long the library tries to release the slot in the background after
///                                   floatlease_lease_free or floatlease_client_close; 0 to 3600000, default 5000; 0
///                                   releases nothing, nor does "keep_alive":"host"
///     timeout_ms           integer  deadline of each request about this lease, renewals too; 1 to 3600000, default:
///                                   the config's. A call may take three times as long for each slot
///
/// Reply: as for floatlease_lease_info.
///
/// Errors:
/// - FLOATLEASE_E_FLOATING_NOT_AVAILABLE: no slot is free.
/// - FLOATLEASE_E_DEVICE_NOT_FOUND: the device is new to the license: acquire with "activate":true.
/// - With "activate":true, the errors of floatlease_activate_license, such as
///   FLOATLEASE_E_LICENSE_ACTIVATED_MAX_TIMES. "outcome" is about the slot: if the device was activated and the slot
///   could not be had, "message" says so.
/// - FLOATLEASE_E_NOT_FLOATING: an on-premise server of the vendor counts the slots. This library does not speak its
///   API.
/// - FLOATLEASE_E_STORAGE: storage_dir can't be written to. Nothing was sent.
/// - FLOATLEASE_E_STORAGE_DAMAGED, FLOATLEASE_E_STORAGE_FOREIGN, FLOATLEASE_E_CLOCK_MOVED_BACK, FLOATLEASE_E_NO_PROOF:
///   the server can't be reached, and the files in storage_dir do not prove a borrow. Connect to the network.
///
/// "activate":true costs no request on a device that the server knows. The activation has the deadline and the cancel
/// of the acquire, and is tried once; if its reply is lost, the slot is asked for all the same. What it needs must be
/// in the config or the request, such as the password of a user. A renewal activates nothing.
///
/// A license or feature that does not float needs no slot, and is acquired all the same. With storage_dir, all
/// processes of this user that use the same folder share the slot, and a borrow is proven at the next start without a
/// network.
///
/// On success *lease_out is a handle: free it with floatlease_lease_free. On failure it is NULL. Blocks for
/// three times timeout_ms at most for each slot, and for wait_ms in addition; floatlease_submit does not block.
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
/// In BORROWED it ends at borrowed_until by the server's clock, or a little earlier, never later. In GRACE it is the
/// rest of grace_ms. After a sleep of the computer it may be 0 for some seconds, while the library asks the server. The
/// state decides, not this number.
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
///     {"lease":1,"features":[],"tag":null,"state":"ACTIVE","remaining_ms":7500000,"renews_in_ms":3600000,"status":0,
///      "name":"OK","reason":null,"borrowed_until":null,"keep_alive":"thread","slots":[{"feature":null,"reply":{…}}]}
///
///     lease              the lease's number in events and in floatlease_submit
///     features           the features of the lease; empty: the license's own slot
///     tag                the tag of the acquire; null without one
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
/// The library releases a slot that is still held in the background, within release_on_close_ms; not if that is 0, nor
/// for a lease with "keep_alive":"host". A borrow stays,
/// whether the lease or a verb of this client made it. Call floatlease_lease_release before the process ends, because
/// the background work ends with the process.
///
/// This function uses no network and waits for nothing, so it is safe in a finalizer. Freeing NULL, freeing twice, or
/// in a forked child does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_lease_free(lease: *mut floatlease_lease) {
    quietly(|| drop(LEASES.remove(lease.addr())));
}
