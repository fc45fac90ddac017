//! Consumptions that are queued while the server can't be reached: the host's requests, replies and events.
//!
//! A consumption is on the disk before anything else happens. Then its own call sends it, unless the server is known to be
//! away: a thread of the library sends it later.
//!
//! | module | its job |
//! |---|---|
//! | `sync_thread`, `schedule` | sends what is queued when the server may be back; which license when |
//! | `consumptions`, `report` | the queues of a client; what hosts are told of queued consumptions |
//! | `sync` | sends what a call waits for, and what no call waits for |
//! | `sender` | sends one request until its result is known |
//! | `license_queue` | the queue of one license, and which call may send which consumptions |
//! | `turns` | which process sends now, and whether one call or many |
//! | `group_commit` | writes of many calls that share one flush to the disk |
//! | `queue`, `log_line`, `entry` | the file, its lines, and how each consumption stands |
//! | `caller_lock` | which clients have calls that wait |
//!
//! Its sets are sorted: one by hashes would open a file for random numbers on an old kernel, and that file may become a
//! standard stream of a daemon.

mod caller_lock;
mod consumptions;
mod entry;
mod group_commit;
mod license_queue;
mod log_line;
mod queue;
mod report;
mod schedule;
mod sender;
mod sync;
mod sync_thread;
mod turns;

pub(crate) use consumptions::Consumptions;
pub(crate) use sender::is_for_another_license;

use crate::config::checked_millis;
use crate::error::Error;
use crate::json;
use crate::lease::background::ticket::Ticket;
use crate::lease::consumption::caller_lock::KnownCallers;
use crate::lease::consumption::entry::{EntryState, QueuedConsumption};
use crate::lease::consumption::license_queue::LicenseQueue;
use crate::lease::consumption::queue::{Change, names_other_consumptions};
use crate::lease::consumption::report::Report;
use crate::lease::consumption::sync::{ConsumptionSync, Own, SyncResult, settled};
use crate::lease::context::{Shared, consumption_life_ms};
use crate::lease::license_ref::{LicenseRef, take_license_keys};
use crate::lease::storage::disk::make_folder;
use crate::operations::{Kind, Operation};
use crate::request::OF_ONE_LICENSE;
use crate::status::{Category, Status};
use crate::strict::{self, Object};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// The name of the call that sends queued consumptions and tells of those that were refused.
pub(crate) const SYNC: &str = "sync_consumptions";

/// Returns the request of consumptions that may be queued, without the key `offline` that says so.
pub(crate) fn may_be_queued(operation: &Operation, request_json: &str) -> Option<Object> {
    if !operation.is_consumption() {
        return None;
    }
    let mut given: Object = serde_json::from_str(request_json).ok()?;
    let queue = given.get("offline").and_then(Value::as_str) == Some("queue");
    if !queue {
        return None;
    }
    given.remove("offline");
    Some(given)
}

impl Consumptions {
    /// Books consumptions, or queues them until they can be booked. `license_id` is the license of a lease of the same
    /// user.
    pub(crate) fn add(
        self: &Arc<Consumptions>,
        operation: &str,
        given: Object,
        license_id: Option<u64>,
        ticket: Option<&Ticket>,
    ) -> Result<String, Error> {
        let shared = &*self.shared;
        let folder = self.folder(operation)?;
        let Prepared { license_ref, timeout, mut entry } = prepare(shared, operation, given, license_id)?;
        let key = entry.key.clone();
        let in_flight = shared.begin_host_call(timeout, ticket);
        let context = shared.context(&license_ref, &in_flight.call, timeout);
        let queue = self.queue(folder, &license_ref)?;
        let awaited = match queue.turns.begin(&context, &key) {
            Ok(awaited) => awaited,
            Err(error) => return reply_without_turn(&queue, &entry, error),
        };
        let outage = shared.client.reachability().outage();
        // While the server is away, no call waits for the result.
        let caller = if outage.is_none() { self.caller_name(folder)? } else { None };
        // The wait for the turn may have taken long.
        (entry.at_ms, entry.caller) = (shared.clock.wall().timestamp_millis(), caller.clone());
        // Nor does one whose client was closed meanwhile: it sends nothing.
        let life_ms = caller.is_some().then(|| consumption_life_ms(timeout));
        let added = queue.commit.write(&shared.client, Change::Add { entry: Box::new(entry.clone()), life_ms })?;
        // The outcome of the same request may be unknown from before. Sending it again would not find out more.
        if let Some(error) = settled(&added.state) {
            queue.commit.write(&shared.client, Change::Tell(Some(key)))?;
            return Err(error);
        }
        let mut sync = ConsumptionSync::new(context, &queue, caller.clone());
        let is_first_try = added.is_new && added.state != EntryState::Waiting;
        let own = Own {
            is_first_try,
            is_first: added.is_first,
            entry: QueuedConsumption { state: added.state.clone(), ..entry },
        };
        let sent = match outage {
            Some(error) => {
                sync.result.failure = Some(error);
                None
            }
            None => sync.send_own(own),
        };
        let was_sent = sync.has_sent_own || !is_first_try;
        let result = sync.result;
        if let (None, Some(caller)) = (&sent, caller) {
            // If this fails, other processes send the consumptions once this client is closed.
            let _ = queue.commit.write(&shared.client, Change::Release { key: key.clone(), caller, was_sent });
        }
        self.keep_if_unfinished(&queue);
        drop(awaited);
        if sent.is_none() || !added.is_first && queue.has_backlog(&mut KnownCallers::new(self.existing_caller_name())) {
            self.sync_later(&license_ref, timeout);
        }
        if result.count > 0 || !result.results.is_empty() {
            shared.events.push(Report::new(&result, &result.results, queue.count_open()).text());
        }
        sent.unwrap_or_else(|| Ok(queued_reply(&queue, key, &result)))
    }

    /// Sends the queued consumptions of a license. Tells of all that were refused, once.
    pub(crate) fn sync(self: &Arc<Consumptions>, request_json: &str, ticket: Option<&Ticket>) -> Result<String, Error> {
        let shared = &*self.shared;
        let folder = self.folder(SYNC)?;
        let mut given = strict::parse_object("the request", request_json)?;
        let timeout = match given.remove("timeout_ms").filter(|value| !value.is_null()) {
            Some(value) => checked_millis("timeout_ms", value.as_u64())?,
            None => shared.client.config().timeout,
        };
        let license_keys = take_license_keys(&mut given);
        strict::check(SYNC, &mut given, &[("timeout_ms", Kind::Integer)])?;
        let license_ref = LicenseRef::new(&shared.client, license_keys)?;
        let in_flight = shared.begin_host_call(timeout, ticket);
        let context = shared.context(&license_ref, &in_flight.call, timeout);
        let queue = self.queue(folder, &license_ref)?;
        let mut sync = ConsumptionSync::new(context, &queue, self.existing_caller_name());
        sync.send_backlog_patiently()?;
        let result = sync.result;
        // A network failure is part of the reply. The caller, or this machine's administrator, must mend any other.
        let is_for_the_caller = |error: &&Error| {
            let category = error.status.row().category;
            matches!(category, Category::Usage | Category::Local | Category::Internal)
                || error.status == Status::Cancelled
        };
        if let Some(error) = result.failure.as_ref().filter(is_for_the_caller) {
            return Err(error.clone());
        }
        let told = queue.commit.write(&shared.client, Change::Tell(None))?.told;
        Ok(Report::new(&result, &told, queue.count_open()).text())
    }

    fn folder(&self, operation: &str) -> Result<&Path, Error> {
        let folder = self.shared.folder().ok_or_else(|| {
            let message =
                format!("What {operation} keeps outlives the process, so \"storage_dir\" must be in the config.");
            Error::because(Status::MissingKey, message)
        })?;
        make_folder(folder)?;
        Ok(folder)
    }
}

/// A request for consumptions, checked and taken apart.
struct Prepared {
    license_ref: LicenseRef,
    timeout: Duration,
    entry: QueuedConsumption,
}

/// Checks a request. One that is invalid is refused before anything is queued.
fn prepare(shared: &Shared, operation: &str, mut given: Object, license_id: Option<u64>) -> Result<Prepared, Error> {
    given.retain(|key, value| !value.is_null() || OF_ONE_LICENSE.contains(&key.as_str()));
    let text = Zeroizing::new(serde_json::to_string(&given).unwrap_or_default());
    let request = shared.client.prepare(operation, &text)?;
    let extra = given.remove("extra");
    let license_ref = LicenseRef::new(&shared.client, take_license_keys(&mut given))?;
    for control in ["timeout_ms", "idempotency_key"] {
        given.remove(control);
    }
    given.extend(license_id.map(|id| ("license_id".to_owned(), id.into())));
    given.extend(extra.map(|extra| ("extra".to_owned(), extra)));
    let entry = QueuedConsumption {
        key: request.idempotency_key.clone().unwrap_or_default(),
        operation: operation.to_owned(),
        parameters: given,
        at_ms: shared.clock.wall().timestamp_millis(),
        state: EntryState::Waiting,
        caller: None,
    };
    Ok(Prepared { license_ref, timeout: request.timeout, entry })
}

/// Returns the reply of a call whose consumptions stay queued, because of the failure in `result`.
fn queued_reply(queue: &LicenseQueue, key: String, result: &SyncResult) -> String {
    let report = Report::new(result, &[], queue.count_open());
    json::object(&[
        ("queued", true.into()),
        ("queued_consumptions", report.waiting.into()),
        ("idempotency_key", key.into()),
        ("status", report.status.into()),
        ("name", report.name.into()),
        ("reason", report.reason.into()),
    ])
}

/// Returns the reply of a call that is over before an earlier call with the same key has ended. `failure` is why it is
/// over. The consumptions of the earlier call are queued, or just being queued, or their result is known by now.
fn reply_without_turn(queue: &LicenseQueue, entry: &QueuedConsumption, failure: Error) -> Result<String, Error> {
    match queue.find(&entry.key) {
        Some(known) if !known.is_same_request(entry) => Err(names_other_consumptions()),
        Some(known) if known.is_open() => {
            let result = SyncResult { failure: Some(failure), ..SyncResult::default() };
            Ok(queued_reply(queue, entry.key.clone(), &result))
        }
        _ => Err(failure.with_unknown_outcome()),
    }
}
