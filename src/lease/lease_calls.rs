//! Calls about a lease that is held: what renews, borrows and releases it.

use crate::config::checked_millis;
use crate::error::Error;
use crate::lease::background::ticket::{Priority, Ticket};
use crate::lease::lease_inner::{LeaseInner, MOST_REQUESTS, timeout_of_all};
use crate::lease::manager::LeaseManager;
use crate::lease::slot::ReleaseMode;
use crate::operations::Kind;
use crate::status::Status;
use crate::strict::{self, Object};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// An operation on a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseOperation {
    Renew,
    Borrow,
    Release,
    /// Releases what is not borrowed.
    ReleaseKeepingBorrows,
}

impl LeaseOperation {
    /// Those that may be submitted.
    pub(crate) const SUBMITTED: [LeaseOperation; 3] =
        [LeaseOperation::Renew, LeaseOperation::Borrow, LeaseOperation::Release];

    /// The name in messages, and in a submit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LeaseOperation::Renew => "lease_renew",
            LeaseOperation::Borrow => "lease_borrow",
            LeaseOperation::Release => "lease_release",
            LeaseOperation::ReleaseKeepingBorrows => "lease_release_keeping_borrows",
        }
    }

    /// What keeps or releases a slot waits for no call that only asks.
    pub(crate) fn priority(self) -> Priority {
        if self == LeaseOperation::Borrow { Priority::Normal } else { Priority::High }
    }

    fn releases(self) -> bool {
        matches!(self, LeaseOperation::Release | LeaseOperation::ReleaseKeepingBorrows)
    }
}

/// Runs an operation on a lease. `given` is its request.
pub(crate) fn run(
    manager: &Arc<LeaseManager>,
    lease: &Arc<LeaseInner>,
    operation: LeaseOperation,
    mut given: Object,
    ticket: Option<&Ticket>,
) -> Result<String, Error> {
    let own: &[(&str, Kind)] =
        if operation == LeaseOperation::Borrow { &[("borrowed_until", Kind::TimeOrNull)] } else { &[] };
    strict::check(operation.name(), &mut given, &[&[("timeout_ms", Kind::Integer)], own].concat())?;
    let (timeout, timeout_of_call) = timeouts(lease, operation, given.remove("timeout_ms").as_ref())?;
    let in_flight = manager.shared.begin_host_call(timeout_of_call, ticket);
    let call = &in_flight.call;
    let done = match operation {
        LeaseOperation::Renew => {
            let renewed = lease.cancellable(call, || lease.renew(call, timeout));
            lease.tick();
            if renewed.is_err() {
                // A lease that is lost may have released slots.
                manager.repeat_release_later(lease);
            }
            manager.release_stray_license_slot(lease);
            renewed
        }
        LeaseOperation::Borrow => {
            let until = given.remove("borrowed_until").unwrap_or(Value::Null);
            if manager.shared.folder().is_none() {
                let message = "A borrow outlives the process, so \"storage_dir\" must be in the config.";
                return Err(Error::because(Status::MissingKey, message));
            }
            let borrowed = lease.cancellable(call, || lease.borrow(call, timeout, &until));
            manager.release_stray_license_slot(lease);
            borrowed
        }
        LeaseOperation::Release | LeaseOperation::ReleaseKeepingBorrows => {
            let keeps_borrows = operation == LeaseOperation::ReleaseKeepingBorrows;
            let mode = if keeps_borrows { ReleaseMode::KeepBorrow } else { ReleaseMode::ReturnBorrow };
            let released = lease.release(call, timeout, mode);
            manager.repeat_release_later(lease);
            released
        }
    };
    // Even a failure may have changed when the lease needs a thread next.
    manager.wake();
    done.map(|()| lease.info())
}

/// Runs an operation on the lease that its request names by number.
pub(crate) fn run_submitted(
    manager: &Arc<LeaseManager>,
    operation: LeaseOperation,
    request_json: &str,
    ticket: &Ticket,
) -> Result<String, Error> {
    let mut given = strict::parse_object("the request", request_json)?;
    let lease = named_lease(manager, given.remove("lease").as_ref()).ok_or_else(|| {
        let message = format!("\"lease\" of {} must be the number of a lease that is held.", operation.name());
        Error::because(Status::BadValue, message)
    })?;
    run(manager, &lease, operation, given, Some(ticket))
}

fn named_lease(manager: &LeaseManager, number: Option<&Value>) -> Option<Arc<LeaseInner>> {
    number.and_then(Value::as_u64).and_then(|id| manager.find(id))
}

/// How long such a call may last. A request that is wrong is refused when the call runs.
pub(crate) fn time_limit(manager: &LeaseManager, operation: LeaseOperation, request_json: &str) -> Duration {
    let given = strict::parse_object("the request", request_json).unwrap_or_default();
    let lease = named_lease(manager, given.get("lease"));
    let limit = lease.and_then(|lease| timeouts(&lease, operation, given.get("timeout_ms")).ok());
    limit.map_or(manager.shared.client.config().timeout, |(_, timeout_of_call)| timeout_of_call)
}

/// The time limit of each request, and of the whole call. A limit of the host's own is one for the whole call.
fn timeouts(
    lease: &LeaseInner,
    operation: LeaseOperation,
    timeout_ms: Option<&Value>,
) -> Result<(Duration, Duration), Error> {
    match timeout_ms {
        Some(value) => {
            let timeout = checked_millis("timeout_ms", value.as_u64())?;
            Ok((timeout, timeout))
        }
        None => {
            let requests = if operation.releases() { 1 } else { MOST_REQUESTS };
            Ok((lease.timeout, timeout_of_all(lease.timeout, lease.slot_names.len() * requests)))
        }
    }
}
