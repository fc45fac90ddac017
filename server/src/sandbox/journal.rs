//! The journal of a world: what was asked and answered, and what happened to the licences, in order.

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

/// Older entries are forgotten.
const MOST_ENTRIES: usize = 10_000;

/// What is kept of a world's past, in memory.
#[derive(Debug)]
pub(crate) struct Journal {
    entries: Mutex<Entries>,
    names: Mutex<Names>,
    /// What leaves no trace in the store, until the next commit.
    due: Mutex<Vec<(DateTime<Utc>, EventRecord)>>,
}

#[derive(Debug, Default)]
struct Entries {
    kept: VecDeque<Entry>,
    last_seq: u64,
    forgotten: u64,
}

/// How licenses and devices are called, by their numbers.
#[derive(Debug)]
struct Names {
    licenses: HashMap<u64, String>,
    devices: HashMap<u64, String>,
}

/// A line of the journal.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Entry {
    /// Its number; they go up without a gap.
    pub(crate) seq: u64,
    /// When it was written, by the machine's clock.
    pub(crate) real_time: String,
    /// When it happened, by the world's clock.
    pub(crate) time: String,
    /// What it is about.
    #[serde(flatten)]
    pub(crate) body: EntryBody,
}

/// What a line is about.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum EntryBody {
    /// A request, and what became of it.
    Request(Box<RequestRecord>),
    /// Something that happened to a license, kept by the server.
    Event(EventRecord),
}

/// A request, and what became of it. Holds no password and no token.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct RequestRecord {
    /// HTTP method.
    pub(crate) method: String,
    /// Path, without the query.
    pub(crate) path: String,
    /// Name of the operation, if it was one.
    pub(crate) operation: Option<&'static str>,
    /// The license key in it.
    pub(crate) license_key: Option<String>,
    /// The user in it.
    pub(crate) username: Option<String>,
    /// The device in it.
    pub(crate) hardware_id: Option<String>,
    /// The feature in it.
    pub(crate) feature: Option<String>,
    /// The number in its `FloatLease-Order`.
    pub(crate) order: Option<u64>,
    /// HTTP status of the reply; null if none was sent.
    pub(crate) status: Option<u16>,
    /// The code of the refusal, if it was one.
    pub(crate) code: Option<String>,
    /// Number of the fault that happened to it.
    pub(crate) fault_id: Option<u64>,
    /// What that fault does, for example `after_commit.truncate`.
    pub(crate) fault: Option<String>,
    /// How long it took, in real time.
    pub(crate) elapsed_ms: u64,
    /// What was expected of a signature that was refused.
    pub(crate) near_miss: Option<NearMiss>,
}

/// Something that happened to a license.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct EventRecord {
    /// `slot_taken`, `slot_released`, `slot_expired`, `borrowed`, `borrow_ended`, `activated`, `deactivated`,
    /// `consumed`, or, from advances, `consumption_period_began`, `license_started`, `license_expired`,
    /// `feature_expired`.
    pub(crate) event: &'static str,
    /// Which license: its key, or its first user.
    pub(crate) license: String,
    /// Which of its features; null is the license itself.
    pub(crate) feature: Option<String>,
    /// To which device, where it is one's.
    pub(crate) hardware_id: Option<String>,
    /// How much was consumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) amount: Option<i64>,
    /// Until when it was borrowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<String>,
}

/// What a request says, as far as it is kept: nothing that is right is longer, and the journal must not grow without
/// end.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 1024;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Members that entries are matched by.
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

/// Entries whose members have these values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter(Map<String, Value>);

impl Filter {
    pub(crate) fn new(members: Map<String, Value>) -> Result<Filter, ControlError> {
        match members.keys().find(|key| !FILTERS.contains(&key.as_str())) {
            None => Ok(Filter(members)),
            Some(unknown) => {
                let message = format!("`filter`: {unknown:?} is none of {}", FILTERS.join(", "));
                Err(ControlError::invalid(message))
            }
        }
    }

    /// The members in which the entry differs.
    fn differences(&self, entry: &Entry) -> Vec<String> {
        let json = serde_json::to_value(entry).unwrap_or_default();
        let member = |name: &String| json.get(name).cloned().unwrap_or_default();
        let different = self.0.iter().filter(|(name, value)| member(name) != **value);
        different.map(|(name, value)| format!("{name} is {}, not {value}", member(name))).collect()
    }

    /// Whether the entry is of the kind that is asked for: what a request has, an event may lack.
    fn is_about(&self, entry: &Entry) -> bool {
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

    pub(crate) fn add_request(&self, time: DateTime<Utc>, note: RequestRecord) {
        self.add(time, EntryBody::Request(Box::new(note)));
    }

    /// What time alone has done, as the journal calls it.
    pub(crate) fn note_of(&self, due: &Due) -> EventRecord {
        let names = self.names();
        let hardware_id = due.device_id.and_then(|id| names.devices.get(&id).cloned());
        names.note(due.kind.name(), due.license_id, due.feature.as_deref(), hardware_id)
    }

    /// Writes down what leaves no trace in the store, with the next commit.
    pub(crate) fn add_due(&self, due: &Due) {
        let note = self.note_of(due);
        self.due().push((due.at, note));
    }

    /// Writes down the events of a commit and what is due, by the time at which they happened: an advance of the clock
    /// passes both in turns.
    fn keep_all(&self, changes: &[Change]) {
        let mut events = std::mem::take(&mut *self.due());
        events.extend(changes.iter().filter_map(|change| self.keep(change)));
        events.sort_by_key(|(time, _)| *time);
        for (time, note) in events {
            self.add(time, EntryBody::Event(note));
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

    /// Learns the names of devices, and how an event is called.
    fn keep(&self, change: &Change) -> Option<(DateTime<Utc>, EventRecord)> {
        match change {
            Change::Device { hardware_id, device, .. } => {
                self.names().devices.insert(device.id, hardware_id.clone());
                None
            }
            Change::Happened(event) => Some((event.at, self.names().event(event))),
            _ => None,
        }
    }

    /// Entries after number `after`, `limit` at most, and how many were forgotten altogether.
    pub(crate) fn after(&self, after: u64, limit: usize) -> (Vec<Entry>, u64) {
        let entries = self.entries();
        let found = entries.kept.iter().filter(|entry| entry.seq > after).take(limit).cloned().collect();
        (found, entries.forgotten)
    }

    /// Forgets all entries, on purpose.
    pub(crate) fn clear(&self) {
        let mut entries = self.entries();
        entries.kept.clear();
        entries.forgotten = 0;
    }

    /// How many entries fit, and how many were forgotten altogether.
    pub(crate) fn count(&self, filter: &Filter) -> (u64, u64) {
        let entries = self.entries();
        let fitting = entries.kept.iter().filter(|entry| filter.differences(entry).is_empty());
        (fitting.count() as u64, entries.forgotten)
    }

    /// The entries that nearly fit, newest first, a sentence each.
    pub(crate) fn nearly(&self, filter: &Filter) -> Vec<String> {
        let entries = self.entries();
        let of_kind = entries.kept.iter().rev().filter(|entry| filter.is_about(entry));
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
        let note = self.note(event.kind.name(), event.license_id, event.feature.as_deref(), hardware_id);
        match event.kind {
            EventKind::Consumed { amount } => EventRecord { amount: Some(amount), ..note },
            EventKind::Borrowed { until } => EventRecord { until: Some(format_time(until)), ..note },
            _ => note,
        }
    }

    fn note(&self, event: &'static str, id: u64, feature: Option<&str>, hardware_id: Option<String>) -> EventRecord {
        let license = self.licenses.get(&id).cloned().unwrap_or_default();
        EventRecord { event, license, feature: feature.map(str::to_owned), hardware_id, amount: None, until: None }
    }
}

/// A store that tells the journal what it has kept.
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
        self.journal.keep_all(changes);
        Ok(())
    }
}
