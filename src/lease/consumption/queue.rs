//! The consumptions of one license on one device that wait to be booked, and those of which the host must still hear.
//!
//! Any process may add one; whoever changes others has the turn to book them, see [`crate::lease::consumption::sync`].
//!
//! The names of the members and variants are part of the file's format. `tests/data/recorded.consumption` pins them: a test
//! reads this file, and compares its JSON with what is written today. Attributes would only repeat the names.

use crate::client::Client;
use crate::error::Error;
use crate::lease::license_ref::LicenseRef;
use crate::lease::slot::LONGEST_LIFE_MS;
use crate::lease::storage::append_log::AppendLog;
use crate::lease::storage::json::{self, StoredObject};
use crate::lease::storage::process_lock::{ProcessLock, ProcessLockGuard};
use crate::status::Status;
use crate::strict::Object;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// So many are kept.
const MOST_ENTRIES: usize = 10_000;
/// Lines that say nothing any more, before the file is written anew.
const MOST_IDLE_LINES: usize = 1_000;
/// Who stands in the gate writes a line, no more; longer than this and he was stopped there.
const PATIENCE: Duration = Duration::from_secs(2);

/// Consumptions as they were asked for, and how they stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct QueuedConsumption {
    /// Their `Idempotency-Key`, which also names them here.
    pub(crate) key: String,
    pub(crate) operation: String,
    /// Of the request, what does not say whose license it is.
    pub(crate) parameters: Object,
    /// When they were asked for, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    pub(crate) state: EntryState,
}

/// How they stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) enum EntryState {
    /// The server has surely not booked them.
    Waiting,
    /// It was asked to, and may have done so.
    InDoubt {
        /// What was consumed before, if that was asked.
        total_before: Option<i64>,
        at_ms: i64,
        /// How long after that it may still do so, if it knows no keys.
        life_ms: i64,
    },
    /// It has refused.
    Refused(Rejection),
    /// Nobody will ever know.
    Unknown(Rejection),
}

/// Why they are not booked, or not surely.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Rejection {
    pub(crate) status: i32,
    pub(crate) server_code: Option<String>,
    pub(crate) reason: String,
}

impl EntryState {
    /// A variant without members is kept as its name.
    fn from_stored(stored: &Value) -> Option<EntryState> {
        if stored == "Waiting" {
            return Some(EntryState::Waiting);
        }
        let state = StoredObject::new(stored.as_object()?);
        let variant = state.variant()?;
        let stored = state.object(variant)?;
        match variant {
            "InDoubt" => Some(EntryState::InDoubt {
                total_before: stored.optional("total_before", StoredObject::number)?,
                at_ms: stored.number("at_ms")?,
                // Journals from before this was kept do not have it.
                life_ms: stored.optional("life_ms", StoredObject::number)?.unwrap_or(LONGEST_LIFE_MS),
            }),
            "Refused" => Rejection::from_stored(stored).map(EntryState::Refused),
            "Unknown" => Rejection::from_stored(stored).map(EntryState::Unknown),
            _ => None,
        }
    }
}

impl Rejection {
    fn from_stored(stored: StoredObject) -> Option<Rejection> {
        Some(Rejection {
            status: stored.number("status")?.try_into().ok()?,
            server_code: stored.optional("server_code", StoredObject::text)?,
            reason: stored.text("reason")?,
        })
    }
}

impl QueuedConsumption {
    fn from_stored(stored: StoredObject) -> Option<QueuedConsumption> {
        Some(QueuedConsumption {
            key: stored.text("key")?,
            operation: stored.text("operation")?,
            parameters: stored.any("parameters")?.as_object()?.clone(),
            at_ms: stored.number("at_ms")?,
            state: EntryState::from_stored(stored.any("state")?)?,
        })
    }

    pub(crate) fn amount(&self) -> i64 {
        // No server books more than fits, so what doesn't is told as the most that does.
        self.parameters.get("consumptions").map_or(1, |amount| amount.as_i64().unwrap_or(i64::MAX))
    }

    pub(crate) fn feature(&self) -> Option<&str> {
        self.parameters.get("feature").and_then(Value::as_str)
    }

    /// The license they are of, if it is known: a user may have several.
    pub(crate) fn license_id(&self) -> Option<u64> {
        self.parameters.get("license_id").and_then(Value::as_u64)
    }

    /// Whether there is anything left to be done for them.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, EntryState::Waiting | EntryState::InDoubt { .. })
    }

    /// Which license it is may have been found out between the two.
    fn is_same_request(&self, other: &QueuedConsumption) -> bool {
        let wanted = |entry: &QueuedConsumption| {
            let mut parameters = entry.parameters.clone();
            parameters.remove("license_id");
            parameters
        };
        self.operation == other.operation && wanted(self) == wanted(other)
    }
}

/// What the file says, line by line.
#[derive(Serialize)]
enum LogLine {
    /// A new entry, behind the others.
    Queued(QueuedConsumption),
    /// How the entry of this key stands now.
    State(String, EntryState),
    /// The entries of these keys are booked, or the host has heard of them.
    Done(Vec<String>),
    Server(Server),
}

/// What is known of the server.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Server {
    base_url: String,
    supports_idempotency: bool,
}

impl LogLine {
    fn from_stored(stored: StoredObject) -> Option<LogLine> {
        let variant = stored.variant()?;
        match variant {
            "Queued" => QueuedConsumption::from_stored(stored.object(variant)?).map(LogLine::Queued),
            "State" => match stored.any(variant)?.as_array()?.as_slice() {
                [Value::String(key), state] => Some(LogLine::State(key.clone(), EntryState::from_stored(state)?)),
                _ => None,
            },
            "Done" => {
                let keys = stored.any(variant)?.as_array()?.iter();
                keys.map(|key| key.as_str().map(str::to_owned)).collect::<Option<_>>().map(LogLine::Done)
            }
            "Server" => Server::from_stored(stored.object(variant)?).map(LogLine::Server),
            _ => None,
        }
    }
}

impl Server {
    fn from_stored(stored: StoredObject) -> Option<Server> {
        Some(Server { base_url: stored.text("base_url")?, supports_idempotency: stored.flag("supports_idempotency")? })
    }
}

/// The entries, as of the last look into the file.
pub(crate) struct ConsumptionQueue {
    log: AppendLog,
    process_lock: ProcessLock,
    path: PathBuf,
    entries: Vec<QueuedConsumption>,
    server: Option<Server>,
}

impl ConsumptionQueue {
    /// That of this license on this device; touches nothing yet.
    pub(crate) fn new(folder: &Path, license_ref: &LicenseRef) -> Result<ConsumptionQueue, Error> {
        let path = ConsumptionQueue::path(folder, license_ref);
        let log = AppendLog::new(path.clone(), &license_ref.product, &license_ref.hardware_id)?;
        let process_lock = ProcessLock::on_disk(folder, &format!("{}consumption", license_ref.file_prefix()));
        Ok(ConsumptionQueue { log, process_lock, path, entries: Vec::new(), server: None })
    }

    /// Where it is.
    pub(crate) fn path(folder: &Path, license_ref: &LicenseRef) -> PathBuf {
        folder.join(format!("{}license.consumption", license_ref.file_prefix()))
    }

    /// Adds one, on disk. The same wish again is the same entry, unless the server has refused it: then it is a new one.
    pub(crate) fn add(&mut self, entry: QueuedConsumption) -> Result<(), Error> {
        let _guard = self.lock()?;
        match self.entries.iter().find(|known| known.key == entry.key) {
            Some(known) if !known.is_same_request(&entry) => {
                let message = "\"idempotency_key\" names other consumptions, which wait to be booked or to be told of by \
                               sync_consumptions; give every new wish a new one.";
                return Err(Error::because(Status::BadValue, message));
            }
            Some(QueuedConsumption { state: EntryState::Refused(_), .. }) => {
                self.note(LogLine::Done(vec![entry.key.clone()]))?
            }
            Some(_) => return Ok(()),
            None => {}
        }
        if self.entries.len() >= MOST_ENTRIES {
            return Err(Error::because(Status::QueueFull, format!("They are {MOST_ENTRIES}.")));
        }
        let line = LogLine::Queued(entry);
        self.log.check_room(text(&line)?.len())?;
        self.note(line)
    }

    /// All entries, in the order in which they were asked for.
    pub(crate) fn entries(&mut self) -> Result<&[QueuedConsumption], Error> {
        self.lock()?;
        Ok(&self.entries)
    }

    /// The next for which something is to be done.
    pub(crate) fn first_open(&mut self) -> Result<Option<QueuedConsumption>, Error> {
        Ok(self.entries()?.iter().find(|entry| entry.is_open()).cloned())
    }

    /// Notes how an entry stands now.
    pub(crate) fn stands(&mut self, entry: &QueuedConsumption) -> Result<(), Error> {
        let _guard = self.lock()?;
        self.note(LogLine::State(entry.key.clone(), entry.state.clone()))
    }

    /// Nobody needs to know any more of the entries of these keys.
    pub(crate) fn done(&mut self, keys: Vec<String>) -> Result<(), Error> {
        let _guard = self.lock()?;
        if keys.is_empty() { Ok(()) } else { self.note(LogLine::Done(keys)) }
    }

    /// Exchanges with the client what is known of the server.
    pub(crate) fn share_with(&mut self, client: &Client) -> Result<(), Error> {
        let _guard = self.lock()?;
        let base_url = &client.config().base_url;
        match (client.supports_idempotency(), self.server.as_ref().filter(|server| server.base_url == *base_url)) {
            (None, Some(server)) => client.set_supports_idempotency(server.supports_idempotency),
            (Some(honours), known) if known.is_none_or(|server| server.supports_idempotency != honours) => {
                self.note(LogLine::Server(Server { base_url: base_url.clone(), supports_idempotency: honours }))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Keeps other writers away, and reads what they have written.
    fn lock(&mut self) -> Result<ProcessLockGuard, Error> {
        let begun = Instant::now();
        let guard = self.process_lock.lock(&mut |pause| {
            std::thread::sleep(pause);
            if begun.elapsed() < PATIENCE {
                return Ok(());
            }
            Err(Error::because(Status::Storage, "Another process keeps the list of consumptions locked."))
        })?;
        let unread = self.log.read()?;
        if unread.was_replaced {
            (self.entries, self.server) = (Vec::new(), None);
        }
        for line in unread.lines {
            let Some(line) = json::parse(&line).and_then(|line| LogLine::from_stored(StoredObject::new(&line))) else {
                self.log.forget();
                let message = format!("{} was written by another version of floatlease.", self.path.display());
                return Err(Error::because(Status::StorageDamaged, message));
            };
            self.apply(line);
        }
        Ok(guard)
    }

    fn note(&mut self, line: LogLine) -> Result<(), Error> {
        self.log.append(&text(&line)?)?;
        self.apply(line);
        let idle = (self.log.lines() as usize).saturating_sub(self.entries.len());
        if idle > MOST_IDLE_LINES || self.entries.is_empty() && idle > 1 {
            // It is all there already; what can't be written shorter now can be another time.
            let _ = self.compact();
        }
        Ok(())
    }

    /// Writes down anew what still says something.
    fn compact(&mut self) -> Result<(), Error> {
        let server = self.server.iter().cloned().map(LogLine::Server);
        let lines = server.chain(self.entries.iter().cloned().map(LogLine::Queued)).map(|line| text(&line));
        self.log.replace(&lines.collect::<Result<Vec<_>, Error>>()?)
    }

    fn apply(&mut self, line: LogLine) {
        match line {
            LogLine::Queued(entry) => self.entries.push(entry),
            LogLine::State(key, state) => {
                if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) {
                    entry.state = state;
                }
            }
            LogLine::Done(keys) => self.entries.retain(|entry| !keys.contains(&entry.key)),
            LogLine::Server(server) => self.server = Some(server),
        }
    }
}

fn text(line: &LogLine) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(line).map_err(|_| Error::because(Status::Internal, "A line has no text."))
}

#[cfg(test)]
mod tests;
