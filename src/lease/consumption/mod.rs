//! Consumptions that are queued while the server can't be reached: the host's requests, replies and events.
//!
//! | module | its job |
//! |---|---|
//! | `sync` | sends queued consumptions, each once and in order |
//! | `queue` | stores them, and how each stands |

mod queue;
mod sync;

pub(crate) use sync::is_for_another_license;

use crate::config::checked_millis;
use crate::error::Error;
use crate::http::Waiter;
use crate::json;
use crate::lease::background::ticket::Ticket;
use crate::lease::consumption::queue::{ConsumptionQueue, EntryState, QueuedConsumption};
use crate::lease::consumption::sync::{ConsumptionSync, SyncResult};
use crate::lease::context::Shared;
use crate::lease::license_ref::{LicenseRef, take_license_keys};
use crate::lease::storage::disk::make_folder;
use crate::model;
use crate::operations::{Kind, Operation};
use crate::request::OF_ONE_LICENSE;
use crate::status::{Category, Status};
use crate::strict::{self, Object};
use chrono::DateTime;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// The name of the call that sends queued consumptions and tells of those that were refused.
pub(crate) const SYNC: &str = "sync_consumptions";

/// Time limit for sending queued consumptions in the background, where no caller waits.
const BACKGROUND: Duration = Duration::from_secs(10 * 60);

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

/// Books consumptions, or queues them until they can be booked. `license_id` is the license of a lease of the same user.
pub(crate) fn add(
    shared: &Shared,
    operation: &str,
    mut given: Object,
    license_id: Option<u64>,
    ticket: Option<&Ticket>,
) -> Result<String, Error> {
    let folder = folder(shared, operation)?;
    given.retain(|key, value| !value.is_null() || OF_ONE_LICENSE.contains(&key.as_str()));
    let text = Zeroizing::new(serde_json::to_string(&given).unwrap_or_default());
    // An invalid request is refused before anything is queued.
    let request = shared.client.prepare(operation, &text)?;
    let key = request.idempotency_key.clone().unwrap_or_default();
    let extra = given.remove("extra");
    let license_ref = LicenseRef::new(&shared.client, take_license_keys(&mut given))?;
    for control in ["timeout_ms", "idempotency_key"] {
        given.remove(control);
    }
    given.extend(license_id.map(|id| ("license_id".to_owned(), id.into())));
    given.extend(extra.map(|extra| ("extra".to_owned(), extra)));

    let in_flight = shared.begin_host_call(request.timeout, ticket);
    let mut sync = ConsumptionSync::new(shared.context(&license_ref, &in_flight.call, request.timeout), folder)?;
    let mut result = sync.run(Some(QueuedConsumption {
        key: key.clone(),
        operation: operation.to_owned(),
        parameters: given,
        at_ms: shared.clock.wall().timestamp_millis(),
        state: EntryState::Waiting,
    }))?;
    let own = result.own.take();
    let report = Report::new(&result, &result.results, &mut sync);
    if result.count > 0 || !result.results.is_empty() {
        shared.events.push(report.text());
    }
    own.unwrap_or_else(|| {
        Ok(json::object(&[
            ("queued", true.into()),
            ("queued_consumptions", report.waiting.into()),
            ("idempotency_key", key.into()),
            ("status", report.status.into()),
            ("name", report.name.into()),
            ("reason", report.reason.into()),
        ]))
    })
}

/// Sends the queued consumptions of a license. Tells of all that were refused, once.
pub(crate) fn sync(shared: &Shared, request_json: &str, ticket: Option<&Ticket>) -> Result<String, Error> {
    let folder = folder(shared, SYNC)?;
    let mut given = strict::parse_object("the request", request_json)?;
    let timeout = match given.remove("timeout_ms").filter(|value| !value.is_null()) {
        Some(value) => checked_millis("timeout_ms", value.as_u64())?,
        None => shared.client.config().timeout,
    };
    let license_keys = take_license_keys(&mut given);
    strict::check(SYNC, &mut given, &[("timeout_ms", Kind::Integer)])?;
    let license_ref = LicenseRef::new(&shared.client, license_keys)?;
    let in_flight = shared.begin_host_call(timeout, ticket);
    let mut sync = ConsumptionSync::new(shared.context(&license_ref, &in_flight.call, timeout), folder)?;
    let result = sync.run(None)?;
    // A network failure is part of the reply. The caller, or this machine's administrator, must mend any other.
    let is_for_the_caller = |error: &&Error| {
        let category = error.status.row().category;
        matches!(category, Category::Usage | Category::Local | Category::Internal) || error.status == Status::Cancelled
    };
    if let Some(error) = result.failure.as_ref().filter(is_for_the_caller) {
        return Err(error.clone());
    }
    let results: Vec<_> = sync.queue().entries()?.iter().filter(|entry| !entry.is_open()).cloned().collect();
    let report = Report::new(&result, &results, &mut sync).text();
    let keys: Vec<_> = results.into_iter().map(|entry| entry.key).collect();
    sync.queue().done(keys)?;
    Ok(report)
}

/// Sends queued consumptions after a lease has reached the server, and queues an event with the result.
pub(crate) fn sync_in_background(shared: &Shared, license_ref: &LicenseRef, timeout: Duration) {
    let Some(folder) = shared.folder() else { return };
    let in_flight = shared.client.begin(Waiter::Library, BACKGROUND);
    let Ok(mut sync) = ConsumptionSync::new(shared.context(license_ref, &in_flight.call, timeout), folder) else {
        return;
    };
    let something_waits = sync.queue().first_open().map(|first| first.is_some());
    let result = match something_waits.and_then(|some| some.then(|| sync.run(None)).transpose()) {
        Ok(None) => return,
        Ok(Some(result)) => result,
        Err(error) => SyncResult { failure: Some(error), ..SyncResult::default() },
    };
    let is_local = result.failure.as_ref().is_some_and(|error| error.status.row().category == Category::Local);
    if result.count > 0 || !result.results.is_empty() || is_local {
        shared.events.push(Report::new(&result, &result.results, &mut sync).text());
    }
}

/// Returns whether consumptions of this license may be queued: whether there is a file for them.
pub(crate) fn may_have_any(shared: &Shared, license_ref: &LicenseRef) -> bool {
    let folder = shared.folder();
    folder.is_some_and(|folder| ConsumptionQueue::path(folder, license_ref).exists())
}

fn folder<'a>(shared: &'a Shared, operation: &str) -> Result<&'a Path, Error> {
    let folder = shared.folder().ok_or_else(|| {
        let message = format!("What {operation} keeps outlives the process, so \"storage_dir\" must be in the config.");
        Error::because(Status::MissingKey, message)
    })?;
    make_folder(folder)?;
    Ok(folder)
}

/// The event CONSUMPTIONS_SYNCED, and the reply of [`SYNC`].
#[derive(Serialize)]
struct Report<'a> {
    event: &'static str,
    booked: u64,
    refused: Vec<Told<'a>>,
    unknown: Vec<Told<'a>>,
    waiting: usize,
    status: i32,
    name: &'static str,
    reason: Option<String>,
}

/// Consumptions that were not booked, or perhaps not.
#[derive(Serialize)]
struct Told<'a> {
    operation: &'a str,
    feature: Option<&'a str>,
    consumptions: i64,
    idempotency_key: &'a str,
    at: Option<String>,
    status: i32,
    name: &'static str,
    server_code: Option<&'a str>,
    reason: &'a str,
}

impl<'a> Report<'a> {
    fn new(result: &SyncResult, results: &'a [QueuedConsumption], sync: &mut ConsumptionSync) -> Report<'a> {
        let open = |entries: &[QueuedConsumption]| entries.iter().filter(|entry| entry.is_open()).count();
        let status = result.failure.as_ref().map_or(Status::Ok, |error| error.status);
        let is_refused = |entry: &&QueuedConsumption| matches!(entry.state, EntryState::Refused(_));
        let (refused, unknown): (Vec<_>, Vec<_>) = results.iter().partition(is_refused);
        Report {
            event: "CONSUMPTIONS_SYNCED",
            booked: result.count,
            refused: refused.into_iter().filter_map(Told::new).collect(),
            unknown: unknown.into_iter().filter_map(Told::new).collect(),
            // If the queue can't be read, the reason says so.
            waiting: sync.queue().entries().map_or(0, open),
            status: status.number(),
            name: status.row().name,
            reason: result.failure.as_ref().map(Error::message),
        }
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Told<'_> {
    fn new(entry: &QueuedConsumption) -> Option<Told<'_>> {
        let (EntryState::Refused(rejection) | EntryState::Unknown(rejection)) = &entry.state else { return None };
        Some(Told {
            operation: &entry.operation,
            feature: entry.feature(),
            consumptions: entry.amount(),
            idempotency_key: &entry.key,
            at: DateTime::from_timestamp_millis(entry.at_ms).map(model::format_time),
            status: rejection.status,
            name: Status::of_number(rejection.status).map_or("UNKNOWN_STATUS", |status| status.row().name),
            server_code: rejection.server_code.as_deref(),
            reason: &rejection.reason,
        })
    }
}
