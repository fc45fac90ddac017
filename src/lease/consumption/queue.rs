//! The queued consumptions of one license on one device, and those whose result the host has not heard yet.
//!
//! Any process may add one. Only the process that sends them changes the others; see [`crate::lease::consumption::sync`].
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

/// The most consumptions in the queue.
const MOST_ENTRIES: usize = 10_000;
/// The most outdated lines in the file before it is compacted.
const MOST_IDLE_LINES: usize = 1_000;
/// A writer holds the lock for one write only. After this long it is probably suspended, so the call gives up.
const PATIENCE: Duration = Duration::from_secs(2);

/// One request for consumptions, and its state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct QueuedConsumption {
    /// The `Idempotency-Key` of the request, which identifies it in the queue too.
    pub(crate) key: String,
    pub(crate) operation: String,
    /// The members of the request that do not name license or device.
    pub(crate) parameters: Object,
    /// When the host asked for them, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    pub(crate) state: EntryState,
}

/// The state of queued consumptions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) enum EntryState {
    /// The server has not booked them.
    Waiting,
    /// The server was asked to book them, and its answer is not known.
    InDoubt {
        /// The server's total before that request, if it was asked for.
        total_before: Option<i64>,
        at_ms: i64,
        /// How long after `at_ms` a server without idempotency keys may still book them.
        life_ms: i64,
    },
    /// The server has refused them.
    Refused(Rejection),
    /// It can't be found out whether the server has booked them.
    Unknown(Rejection),
}

/// Why consumptions are not booked, or perhaps not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Rejection {
    pub(crate) status: i32,
    pub(crate) server_code: Option<String>,
    pub(crate) reason: String,
}

impl EntryState {
    /// A variant without members is stored as its name.
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
                // Missing in files of earlier versions.
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
        // No server books more than this type holds.
        self.parameters.get("consumptions").map_or(1, |amount| amount.as_i64().unwrap_or(i64::MAX))
    }

    pub(crate) fn feature(&self) -> Option<&str> {
        self.parameters.get("feature").and_then(Value::as_str)
    }

    /// The license of the consumptions, if it is known. A user may have several licenses.
    pub(crate) fn license_id(&self) -> Option<u64> {
        self.parameters.get("license_id").and_then(Value::as_u64)
    }

    /// Returns whether the consumptions are still to be sent or to be asked about.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, EntryState::Waiting | EntryState::InDoubt { .. })
    }

    /// Returns whether two requests are the same. The license may have become known between them.
    fn is_same_request(&self, other: &QueuedConsumption) -> bool {
        let wanted = |entry: &QueuedConsumption| {
            let mut parameters = entry.parameters.clone();
            parameters.remove("license_id");
            parameters
        };
        self.operation == other.operation && wanted(self) == wanted(other)
    }
}

/// A line of the file.
#[derive(Serialize)]
enum LogLine {
    /// Consumptions that were queued behind the others.
    Queued(QueuedConsumption),
    /// The new state of the consumptions of this key.
    State(String, EntryState),
    /// The consumptions of these keys are booked, or the host has heard of their result.
    Done(Vec<String>),
    Server(Server),
}

/// The capability of the server at this address.
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

/// The queue, as it was when the file was read last.
pub(crate) struct ConsumptionQueue {
    log: AppendLog,
    process_lock: ProcessLock,
    path: PathBuf,
    entries: Vec<QueuedConsumption>,
    server: Option<Server>,
}

impl ConsumptionQueue {
    /// The queue of this license on this device. Does not open the file yet.
    pub(crate) fn new(folder: &Path, license_ref: &LicenseRef) -> Result<ConsumptionQueue, Error> {
        let path = ConsumptionQueue::path(folder, license_ref);
        let log = AppendLog::new(path.clone(), &license_ref.product, &license_ref.hardware_id)?;
        let process_lock = ProcessLock::on_disk(folder, &format!("{}consumption", license_ref.file_prefix()));
        Ok(ConsumptionQueue { log, process_lock, path, entries: Vec::new(), server: None })
    }

    /// The path of the file.
    pub(crate) fn path(folder: &Path, license_ref: &LicenseRef) -> PathBuf {
        folder.join(format!("{}license.consumption", license_ref.file_prefix()))
    }

    /// Adds consumptions, on disk. The same request again changes nothing, unless the server has refused it before: then it
    /// is queued again.
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

    /// All queued consumptions, oldest first.
    pub(crate) fn entries(&mut self) -> Result<&[QueuedConsumption], Error> {
        self.lock()?;
        Ok(&self.entries)
    }

    /// The oldest consumptions that are still to be sent or to be asked about.
    pub(crate) fn first_open(&mut self) -> Result<Option<QueuedConsumption>, Error> {
        Ok(self.entries()?.iter().find(|entry| entry.is_open()).cloned())
    }

    /// Stores the state of queued consumptions.
    pub(crate) fn set_state(&mut self, entry: &QueuedConsumption) -> Result<(), Error> {
        let _guard = self.lock()?;
        self.note(LogLine::State(entry.key.clone(), entry.state.clone()))
    }

    /// Removes the consumptions of these keys.
    pub(crate) fn done(&mut self, keys: Vec<String>) -> Result<(), Error> {
        let _guard = self.lock()?;
        if keys.is_empty() { Ok(()) } else { self.note(LogLine::Done(keys)) }
    }

    /// Exchanges with the client whether the server supports idempotency keys.
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

    /// Locks other writers out, and reads what they have written.
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
            // Everything is stored already. A failure to compact is made up for by a later write.
            let _ = self.compact();
        }
        Ok(())
    }

    /// Replaces the file by one without outdated lines.
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
