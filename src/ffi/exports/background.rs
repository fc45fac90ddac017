//! Calls in the background, and the events of a client.

use crate::error::{Error, Outcome};
use crate::ffi::call::{self, floatlease_status, guard, optional_text, text};
use crate::ffi::exports::library::{CLIENTS, client, floatlease_client};
use crate::status::Status;
use std::ffi::c_char;
use std::ptr;
use std::time::Duration;

/// Runs a call in the background and returns at once.
///
/// operation is a name for floatlease_call, or one of these:
///
///     operation        request keys
///     "lease_acquire"  as for floatlease_lease_acquire
///     "lease_renew"    lease (integer, required: its number), timeout_ms
///     "lease_release"  lease (integer, required: its number), timeout_ms
///     "lease_borrow"   lease (integer, required: its number), timeout_ms, borrowed_until
///     "release_all"    timeout_ms (integer); see floatlease_client_release_all
///
/// *ticket_out names the call in floatlease_cancel and in its completion. The completion is an event of
/// floatlease_next_event:
///
///     {"event":"COMPLETED","ticket":7,"status":0,"reply":{…}}
///     {"event":"COMPLETED","ticket":7,"status":141,"error":{…}}
///
/// Each ticket is completed exactly once while the client is open, also if it is cancelled. A mistake in the request
/// is reported by the completion too, and so is a thread that the system does not start. After a "lease_acquire", call
/// floatlease_lease_accept.
///
/// Errors:
/// - FLOATLEASE_E_TOO_MANY_CALLS: 1,000 calls are under way, or their completions were not read.
/// - FLOATLEASE_E_HANDLE: the client is closed.
///
/// Does not block. Up to max_parallel calls run at a time, 64 unless the config says otherwise. Calls that release or
/// renew (release_…, deactivate_…, lease_release, lease_renew) never wait for others. The deadline of a call counts from
/// this function: a call whose turn never comes ends with FLOATLEASE_E_TIMEOUT. A lease_acquire that waits for a slot
/// takes no place meanwhile.
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

/// Cancels a submitted call. Its completion arrives within 50 ms, and tells how far the call got.
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
///     {"event":"GRACE_STARTED","lease":1,"features":["MESH"],"tag":null,"state":"GRACE","remaining_ms":300000,
///      "status":21,"name":"CONNECT","reason":"…","borrowed_until":null,"at":"2026-09-27T23:30:48.016Z"}
///     {"event":"WAITING","ticket":7,"lease":2,"features":["SOLVER"],"tag":"main window","status":141,
///      "name":"FLOATING_NOT_AVAILABLE","reason":"…","asks_again_in_ms":1000,"left_ms":60000}
///
///     event          what happened, and what to do
///     DEGRADED       a renewal failed; the slot is still held
///     RENEWED        the server confirmed the slot
///     GRACE_STARTED  another device may have the slot: save now
///     LOST           save, and stop licensed work; the library keeps asking for the slot
///     REGAINED       after GRACE_STARTED or LOST, the slot is held again
///     BORROW_ENDING  the borrow ends in borrow_ending_hours or less
///     EXPIRING       the license or a feature expires in borrow_ending_hours or less
///     WAITING        an acquire with wait_ms queues: see asks_again_in_ms and left_ms; there is no state. "ticket" is
///                    that of floatlease_submit, and is missing for an acquire on a thread of yours
///
/// Each event of a lease has "lease", the number from floatlease_lease_acquire and floatlease_lease_info, "features",
/// which is empty for the license's own slot, and "tag", the tag of the acquire or null. Tell events apart by "event"
/// first, because WAITING and COMPLETED both have a ticket. "status", "name" and "reason" describe the last failure: 0,
/// "OK" and null without one. The library keeps the newest 1,000 events of leases. If it dropped any, the next event
/// has "missed" with their number.
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

/// Returns how many events of a client wait to be read by floatlease_next_event; 0 for a handle that is closed or invalid.
///
/// With leases of "keep_alive":"host" it counts no transition that is due: floatlease_next_event applies the time first.
///
/// Wait-free like floatlease_lease_state. A game that looks at this number in every frame takes no lock in a frame without
/// news.
#[unsafe(no_mangle)]
pub extern "C" fn floatlease_events_waiting(client: *mut floatlease_client) -> u32 {
    let cell = CLIENTS.state_cell(client.addr());
    cell.map_or(0, |(state_cell, generation)| state_cell.count(generation))
}

/// Does what is due on the calling thread, for a client with "threads":"host": submitted calls, renewals of leases, releases
/// in the background, and bookings of queued consumptions.
///
/// It does one thing after the other until nothing is due, and begins nothing after max_ms; at least one thing is done if
/// one is due. A request takes as long as its deadline allows, so use short ones (timeout_ms), or several threads: any
/// number of them may call this function at the same time, and each does something else. While one call waits for the
/// server on the only thread, leases are renewed late.
///
/// *next_ms_out is the time in milliseconds until something is due again, unless a call is submitted before; -1 if nothing
/// is. It may be NULL. A client that only acquires and releases leases is due about every half of a slot's timeout.
///
/// Errors:
/// - FLOATLEASE_E_BAD_VALUE: the config does not say "threads":"host".
/// - FLOATLEASE_E_HANDLE: the client is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn floatlease_work(
    client: *mut floatlease_client,
    max_ms: u32,
    next_ms_out: *mut i64,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules of the header's manual.
    unsafe {
        if !next_ms_out.is_null() {
            *next_ms_out = -1;
        }
        guard(ptr::null_mut(), Outcome::Unknown, || {
            let next = self::client(client)?.work(Duration::from_millis(max_ms.into()))?;
            if let (false, Some(next)) = (next_ms_out.is_null(), next) {
                // Rounded up, so that something is due by then.
                *next_ms_out = i64::try_from(next.as_micros().div_ceil(1000)).unwrap_or(i64::MAX);
            }
            Ok(String::new())
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
