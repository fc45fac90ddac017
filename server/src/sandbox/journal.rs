//! The journal of a world: requests, replies and license events, in order.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use floatlease::model::format_time;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::control_error::ControlError;
use super::near_miss::NearMiss;
use crate::catalogue::Catalogue;
use crate::domain::{Change, Due, Event, EventKind};
use crate::store::{Store, StoreError};

/// Upper bound for entries. The oldest are forgotten.
const MOST_ENTRIES: usize = 10_000;

/// The journal of one world, in memory.
#[derive(Debug)]
pub(crate) struct Journal {
    entries: Mutex<Entries>,
    names: Mutex<Names>,
    /// Events that the store does not keep, until the next commit.
    due: Mutex<Vec<(DateTime<Utc>, EventRecord)>>,
}

#[derive(Debug, Default)]
struct Entries {
    kept: VecDeque<Entry>,
    last_seq: u64,
    forgotten: u64,
}

/// The names of licenses and devices, by number.
#[derive(Debug)]
struct Names {
    licenses: HashMap<u64, String>,
    devices: HashMap<u64, String>,
}

/// An entry of the journal.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Entry {
    /// The entry's number. Numbers go up without a gap.
    pub(crate) seq: u64,
    /// The time of the entry, by the computer's clock.
    pub(crate) real_time: String,
    /// The time of the request or event, by the world's clock.
    pub(crate) time: String,
    /// The request or the event.
    #[serde(flatten)]
    pub(crate) body: EntryBody,
}

/// The request or the event of an entry.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum EntryBody {
    /// A request and its reply.
    Request(Box<RequestRecord>),
    /// An event of a license.
    Event(EventRecord),
}

/// A request and its reply, without passwords and tokens.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct RequestRecord {
    /// The HTTP method.
    pub(crate) method: String,
    /// The path, without the query.
    pub(crate) path: String,
    /// The operation's name, if the request asked for one.
    pub(crate) operation: Option<&'static str>,
    /// The license key in the request.
    pub(crate) license_key: Option<String>,
    /// The user in the request.
    pub(crate) username: Option<String>,
    /// The device in the request.
    pub(crate) hardware_id: Option<String>,
    /// The feature in the request.
    pub(crate) feature: Option<String>,
    /// The number in the request's `FloatLease-Order`.
    pub(crate) order: Option<u64>,
    /// The HTTP status of the reply; null if no reply was sent.
    pub(crate) status: Option<u16>,
    /// The code of the refusal, if the request was refused.
    pub(crate) code: Option<String>,
    /// The number of the fault that happened to the request.
    pub(crate) fault_id: Option<u64>,
    /// The name of that fault, for example `after_commit.truncate`.
    pub(crate) fault: Option<String>,
    /// The duration of the request, in real time.
    pub(crate) elapsed_ms: u64,
    /// The explanation of a refused signature.
    pub(crate) near_miss: Option<NearMiss>,
}

/// An event of a license.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct EventRecord {
    /// `slot_taken`, `slot_released`, `slot_expired`, `borrowed`, `borrow_ended`, `activated`, `deactivated` or
    /// `consumed`. An advance of the clock adds `consumption_period_began`, `license_started`, `license_expired` and
    /// `feature_expired`.
    pub(crate) event: &'static str,
    /// The license's key, or its first user.
    pub(crate) license: String,
    /// The feature; null for the license itself.
    pub(crate) feature: Option<String>,
    /// The device, if the event is about one.
    pub(crate) hardware_id: Option<String>,
    /// The amount that was consumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) amount: Option<i64>,
    /// The end of the borrow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<String>,
}

/// Members by which entries can be filtered.
pub(crate) const FILTERS: [&str; 15] = [
    "kind",
    "method",
    "path",
    "operation",
    "license_key",
    "username",
    "hardware_id",
    "feature",
    "order",
    "status",
    "code",
    "fault_id",
    "fault",
    "event",
    "license",
];

/// A filter for entries whose members have these values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter(Map<String, Value>);

impl Filter {
    pub(crate) fn new(members: Map<String, Value>) -> Result<Filter, ControlError> {
        match members.keys().find(|key| !FILTERS.contains(&key.as_str())) {
            None => Ok(Filter(members)),
            Some(unknown) => {
                let message = format!("`filter`: unknown member {unknown:?}, expected one of {}", FILTERS.join(", "));
                Err(ControlError::invalid(message))
            }
        }
    }

    /// Returns a description of each member in which the entry differs.
    fn differences(&self, entry: &Entry) -> Vec<String> {
        let json = serde_json::to_value(entry).unwrap_or_default();
        let member = |name: &String| json.get(name).cloned().unwrap_or_default();
        let different = self.0.iter().filter(|(name, value)| member(name) != **value);
        different.map(|(name, value)| format!("{name} is {}, not {value}", member(name))).collect()
    }

    /// Returns whether the entry has all members of the filter. An event may lack members of a request.
    fn has_all_members(&self, entry: &Entry) -> bool {
        let json = serde_json::to_value(entry).unwrap_or_default();
        self.0.keys().all(|name| json.get(name).is_some())
    }
}

impl Journal {
    pub(crate) fn new(catalogue: &Catalogue) -> Arc<Journal> {
        let licenses = catalogue.licenses().iter().map(|license| (license.id, license.name().to_owned()));
        let names = Names { licenses: licenses.collect(), devices: HashMap::new() };
        Arc::new(Journal { entries: Mutex::default(), names: Mutex::new(names), due: Mutex::default() })
    }

    pub(crate) fn add_request(&self, time: DateTime<Utc>, record: RequestRecord) {
        self.add(time, EntryBody::Request(Box::new(record)));
    }

    /// Returns the record of an event that time alone causes.
    pub(crate) fn record_of(&self, due: &Due) -> EventRecord {
        let names = self.names();
        let hardware_id = due.device_id.and_then(|id| names.devices.get(&id).cloned());
        names.record(due.kind.name(), due.license_id, due.feature.as_deref(), hardware_id)
    }

    /// Adds an event that the store does not keep, with the next commit.
    pub(crate) fn add_due(&self, due: &Due) {
        let record = self.record_of(due);
        self.due().push((due.at, record));
    }

    /// Adds the events of a commit and those that time alone caused, sorted by time. An advance of the clock passes both
    /// in turn.
    fn add_commit(&self, changes: &[Change]) {
        let mut events = std::mem::take(&mut *self.due());
        events.extend(changes.iter().filter_map(|change| self.event_of(change)));
        events.sort_by_key(|(time, _)| *time);
        for (time, record) in events {
            self.add(time, EntryBody::Event(record));
        }
    }

    fn add(&self, time: DateTime<Utc>, body: EntryBody) {
        let mut entries = self.entries();
        entries.last_seq += 1;
        let entry = Entry { seq: entries.last_seq, real_time: format_time(Utc::now()), time: format_time(time), body };
        entries.kept.push_back(entry);
        if entries.kept.len() > MOST_ENTRIES {
            entries.kept.pop_front();
            entries.forgotten += 1;
        }
    }

    /// Remembers the name of a new device, or returns the record of an event.
    fn event_of(&self, change: &Change) -> Option<(DateTime<Utc>, EventRecord)> {
        match change {
            Change::Device { hardware_id, device, .. } => {
                self.names().devices.insert(device.id, hardware_id.clone());
                None
            }
            Change::Happened(event) => Some((event.at, self.names().event(event))),
            _ => None,
        }
    }

    /// Returns up to `limit` entries after number `after`, and how many entries were forgotten altogether.
    pub(crate) fn after(&self, after: u64, limit: usize) -> (Vec<Entry>, u64) {
        let entries = self.entries();
        let found = entries.kept.iter().filter(|entry| entry.seq > after).take(limit).cloned().collect();
        (found, entries.forgotten)
    }

    /// Removes all entries. They do not count as forgotten.
    pub(crate) fn clear(&self) {
        let mut entries = self.entries();
        entries.kept.clear();
        entries.forgotten = 0;
    }

    /// Returns how many entries match, and how many entries were forgotten altogether.
    pub(crate) fn count(&self, filter: &Filter) -> (u64, u64) {
        let entries = self.entries();
        let matching = entries.kept.iter().filter(|entry| filter.differences(entry).is_empty());
        (matching.count() as u64, entries.forgotten)
    }

    /// Returns a sentence for each of the newest entries that differ from the filter in one member only.
    pub(crate) fn near_matches(&self, filter: &Filter) -> Vec<String> {
        let entries = self.entries();
        let of_kind = entries.kept.iter().rev().filter(|entry| filter.has_all_members(entry));
        let nearly = of_kind.filter_map(|entry| match filter.differences(entry).as_slice() {
            [difference] => Some(format!("entry {}: {difference}", entry.seq)),
            _ => None,
        });
        nearly.take(3).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self) -> MutexGuard<'_, Vec<(DateTime<Utc>, EventRecord)>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn event(&self, event: &Event) -> EventRecord {
        let hardware_id = self.devices.get(&event.device_id).cloned();
        let record = self.record(event.kind.name(), event.license_id, event.feature.as_deref(), hardware_id);
        match event.kind {
            EventKind::Consumed { amount } => EventRecord { amount: Some(amount), ..record },
            EventKind::Borrowed { until } => EventRecord { until: Some(format_time(until)), ..record },
            _ => record,
        }
    }

    fn record(&self, event: &'static str, id: u64, feature: Option<&str>, hardware_id: Option<String>) -> EventRecord {
        let license = self.licenses.get(&id).cloned().unwrap_or_default();
        EventRecord { event, license, feature: feature.map(str::to_owned), hardware_id, amount: None, until: None }
    }
}

/// A store that passes each commit on to the journal.
pub(crate) struct JournalingStore<S> {
    pub(crate) store: S,
    pub(crate) journal: Arc<Journal>,
}

impl<S: Store> Store for JournalingStore<S> {
    fn load(&mut self) -> Result<Vec<Change>, StoreError> {
        self.store.load()
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.store.commit(changes)?;
        self.journal.add_commit(changes);
        Ok(())
    }
}
