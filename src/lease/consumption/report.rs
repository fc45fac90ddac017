//! The reply and the event that tell what became of queued consumptions.

use crate::error::Error;
use crate::lease::consumption::entry::{EntryState, QueuedConsumption};
use crate::lease::consumption::sync::SyncResult;
use crate::model;
use crate::status::Status;
use chrono::DateTime;
use serde::Serialize;

/// The event CONSUMPTIONS_SYNCED, and the reply of `sync_consumptions`.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    event: &'static str,
    booked: u64,
    refused: Vec<Told<'a>>,
    unknown: Vec<Told<'a>>,
    pub(crate) waiting: usize,
    pub(crate) status: i32,
    pub(crate) name: &'static str,
    pub(crate) reason: Option<String>,
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
    /// `results` are those that are told, and `waiting` is the number of consumptions that are still queued.
    pub(crate) fn new(result: &SyncResult, results: &'a [QueuedConsumption], waiting: usize) -> Report<'a> {
        let status = result.failure.as_ref().map_or(Status::Ok, |error| error.status);
        let is_refused = |entry: &&QueuedConsumption| matches!(entry.state, EntryState::Refused(_));
        let (refused, unknown): (Vec<_>, Vec<_>) = results.iter().partition(is_refused);
        Report {
            event: "CONSUMPTIONS_SYNCED",
            booked: result.count,
            refused: refused.into_iter().filter_map(Told::new).collect(),
            unknown: unknown.into_iter().filter_map(Told::new).collect(),
            waiting,
            status: status.number(),
            name: status.row().name,
            reason: result.failure.as_ref().map(Error::message),
        }
    }

    pub(crate) fn text(&self) -> String {
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
