//! The queued consumptions of one license on one device, and those whose result the host has not heard yet.
//!
//! Any process may add one. Only the process that sends them changes the others; see [`crate::lease::consumption::turns`].

use crate::client::Client;
use crate::error::Error;
use crate::lease::consumption::entry::{EntryState, QueuedConsumption};
use crate::lease::consumption::log_line::{LogLine, Server};
use crate::lease::license_ref::LicenseRef;
use crate::lease::storage::append_log::AppendLog;
use crate::lease::storage::json::{self, StoredObject};
use crate::lease::storage::process_lock::{ProcessLock, ProcessLockGuard};
use crate::status::Status;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The most consumptions in the queue that are still to be sent or to be asked about. Those whose result the host has not
/// heard yet are limited by the length of the file only.
const MOST_ENTRIES: usize = 10_000;
/// The most outdated changes in the file before it is compacted.
const MOST_OUTDATED: usize = 1_000;
/// The same for a file with no other content. To compact it after each consumption would cost more than the consumption.
const MOST_OUTDATED_WHEN_EMPTY: usize = 100;
/// The length from which an empty file is compacted earlier, and another one if most of it is outdated.
const LONG_WHEN_EMPTY_BYTES: u64 = 64 << 10;
const LONG_BYTES: u64 = 4 << 20;
/// A writer holds the lock for one write only. After this long it is probably suspended, so the call gives up.
const PATIENCE: Duration = Duration::from_secs(2);

/// A change of the queue.
pub(crate) enum Change {
    /// Adds consumptions. The same request again changes nothing, unless the server has refused it before: then it is
    /// queued again.
    Add {
        entry: Box<QueuedConsumption>,
        /// How long the request may live that is about to be sent. A server that supports idempotency keys is sent the
        /// request right away, so the consumptions are in doubt from the beginning. `None` if no request follows.
        life_ms: Option<i64>,
    },
    /// Stores the states of queued consumptions, by their keys.
    States(Vec<(String, EntryState)>),
    /// Notes that no call of this client waits for the consumptions of this key any more. If they were never sent, they are
    /// not in doubt.
    Release { key: String, caller: String, was_sent: bool },
    /// Removes the consumptions of these keys.
    Done(Vec<String>),
    /// Removes the consumptions whose result is known, so that the host can be told: all of them, or those of this key.
    /// Another call may have queued refused ones again meanwhile; these stay.
    Tell(Option<String>),
    /// Only reads what other processes have written.
    Nothing,
}

/// The result of a change.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// How the added consumptions stand.
    pub(crate) state: EntryState,
    /// They were not in the queue before.
    pub(crate) is_new: bool,
    /// Nothing is to be sent but what calls of the same client wait for.
    pub(crate) is_first: bool,
    /// The consumptions that were removed because the host is going to be told of them.
    pub(crate) told: Vec<QueuedConsumption>,
}

impl Written {
    fn new(state: EntryState) -> Written {
        Written { state, is_new: false, is_first: false, told: Vec::new() }
    }
}

/// The queue, as it was when the file was read last.
pub(crate) struct ConsumptionQueue {
    log: AppendLog,
    process_lock: ProcessLock,
    path: PathBuf,
    entries: Vec<QueuedConsumption>,
    server: Option<Server>,
    /// The number of changes that the file contains.
    stored_changes: usize,
    /// The length of the entries that are about to be added.
    added_bytes: usize,
}

impl ConsumptionQueue {
    /// The queue of this license on this device. Does not open the file yet.
    pub(crate) fn new(folder: &Path, license_ref: &LicenseRef) -> Result<ConsumptionQueue, Error> {
        let path = ConsumptionQueue::path(folder, license_ref);
        let log = AppendLog::new(path.clone(), &license_ref.product, &license_ref.hardware_id)?;
        let process_lock = ProcessLock::on_disk(folder, &format!("{}consumption", license_ref.file_prefix()));
        Ok(ConsumptionQueue {
            log,
            process_lock,
            path,
            entries: Vec::new(),
            server: None,
            stored_changes: 0,
            added_bytes: 0,
        })
    }

    /// The path of the file.
    pub(crate) fn path(folder: &Path, license_ref: &LicenseRef) -> PathBuf {
        folder.join(format!("{}license.consumption", license_ref.file_prefix()))
    }

    /// All queued consumptions as the file was read last, oldest first.
    pub(crate) fn entries(&self) -> &[QueuedConsumption] {
        &self.entries
    }

    /// Makes changes, with one write that is on the disk when this returns. Returns the result of each, in this order; a
    /// change that is refused keeps no other from being made.
    ///
    /// Client and file exchange whether the server supports idempotency keys.
    pub(crate) fn write(&mut self, client: &Client, changes: &[Change]) -> Vec<Result<Written, Error>> {
        let _guard = match self.lock() {
            Ok(guard) => guard,
            Err(error) => return changes.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut lines = Vec::new();
        self.added_bytes = 0;
        self.share_with(client, &mut lines);
        let mut results: Vec<_> = changes.iter().map(|change| self.make(client, change, &mut lines)).collect();
        if let Err(error) = self.store(lines) {
            self.read_anew();
            results.iter_mut().filter(|result| result.is_ok()).for_each(|result| *result = Err(error.clone()));
        }
        results
    }

    /// Makes one change in memory, and adds its lines to those that are to be stored.
    fn make(&mut self, client: &Client, change: &Change, lines: &mut Vec<LogLine>) -> Result<Written, Error> {
        let mut note = |queue: &mut ConsumptionQueue, line: LogLine| {
            queue.apply(line.clone());
            lines.push(line);
        };
        match change {
            Change::Add { entry, life_ms } => {
                let mut entry = QueuedConsumption::clone(entry);
                if let (Some(true), Some(life_ms)) = (client.supports_idempotency(), *life_ms) {
                    entry.state = EntryState::InDoubt { total_before: None, at_ms: entry.at_ms, life_ms };
                }
                let is_refused = match self.find_same(&entry)? {
                    Some(EntryState::Refused(_)) => true,
                    Some(state) => return Ok(Written::new(state)),
                    None => false,
                };
                let open = self.entries.iter().filter(|entry| entry.is_open());
                if self.entries.len() >= MOST_ENTRIES && open.count() >= MOST_ENTRIES {
                    return Err(Error::because(Status::QueueFull, format!("They are {MOST_ENTRIES}.")));
                }
                let is_of_others = |other: &QueuedConsumption| other.is_open() && other.caller != entry.caller;
                let is_first = !self.entries.iter().any(is_of_others);
                let (key, state) = (entry.key.clone(), entry.state.clone());
                let line = LogLine::Queued(entry);
                let added_bytes = self.added_bytes + line.text()?.len();
                self.log.check_room(added_bytes)?;
                self.added_bytes = added_bytes;
                if is_refused {
                    note(self, LogLine::Done(vec![key]));
                }
                note(self, line);
                return Ok(Written { is_new: true, is_first, ..Written::new(state) });
            }
            Change::States(states) => {
                states.iter().for_each(|(key, state)| note(self, LogLine::State(key.clone(), state.clone())));
            }
            Change::Release { key, caller, was_sent } => {
                let is_meant = |entry: &&QueuedConsumption| entry.key == *key && entry.caller.as_ref() == Some(caller);
                if let Some(state) = self.entries.iter().find(is_meant).map(|entry| entry.state.clone()) {
                    let state = if *was_sent { state } else { EntryState::Waiting };
                    note(self, LogLine::State(key.clone(), state));
                }
            }
            Change::Done(keys) if keys.is_empty() => {}
            Change::Done(keys) => note(self, LogLine::Done(keys.clone())),
            Change::Tell(key) => {
                let is_told =
                    |entry: &&QueuedConsumption| !entry.is_open() && key.as_ref().is_none_or(|key| *key == entry.key);
                let told: Vec<_> = self.entries.iter().filter(is_told).cloned().collect();
                if !told.is_empty() {
                    note(self, LogLine::Done(told.iter().map(|entry| entry.key.clone()).collect()));
                }
                return Ok(Written { told, ..Written::new(EntryState::Waiting) });
            }
            Change::Nothing => {}
        }
        Ok(Written::new(EntryState::Waiting))
    }

    /// Returns the state of the same request, if it is in the queue.
    fn find_same(&self, entry: &QueuedConsumption) -> Result<Option<EntryState>, Error> {
        match self.entries.iter().find(|known| known.key == entry.key) {
            Some(known) if !known.is_same_request(entry) => Err(names_other_consumptions()),
            known => Ok(known.map(|known| known.state.clone())),
        }
    }

    /// Exchanges with the client whether the server supports idempotency keys.
    fn share_with(&mut self, client: &Client, lines: &mut Vec<LogLine>) {
        let base_url = &client.config().base_url;
        match (client.supports_idempotency(), self.server.as_ref().filter(|server| server.base_url == *base_url)) {
            (None, Some(server)) => client.set_supports_idempotency(server.supports_idempotency),
            (Some(honours), known) if known.is_none_or(|server| server.supports_idempotency != honours) => {
                let server = Server { base_url: base_url.clone(), supports_idempotency: honours };
                lines.push(LogLine::Server(server.clone()));
                self.apply(LogLine::Server(server));
            }
            _ => {}
        }
    }

    /// Locks other writers out, and reads what they have written.
    fn lock(&mut self) -> Result<ProcessLockGuard, Error> {
        let begun = Instant::now();
        let guard = self.process_lock.lock(&mut |pause| {
            std::thread::sleep(pause / 8);
            if begun.elapsed() < PATIENCE {
                return Ok(());
            }
            Err(Error::because(Status::Storage, "Another process keeps the list of consumptions locked."))
        })?;
        self.read_changes()?;
        Ok(guard)
    }

    /// Makes the entries those of the file, because a write has failed and they are ahead of it. No other call may send
    /// what its own call is told to be not stored. If the file can't be read, there are no entries until the next write.
    fn read_anew(&mut self) {
        self.log.forget();
        (self.entries, self.server, self.stored_changes) = (Vec::new(), None, 0);
        if self.read_changes().is_err() {
            self.log.forget();
            (self.entries, self.server, self.stored_changes) = (Vec::new(), None, 0);
        }
    }

    /// Reads what other processes have written.
    fn read_changes(&mut self) -> Result<(), Error> {
        let unread = self.log.read()?;
        if unread.was_replaced {
            (self.entries, self.server, self.stored_changes) = (Vec::new(), None, 0);
        }
        for line in unread.lines {
            let Some(line) = json::parse(&line).and_then(|line| LogLine::from_stored(StoredObject::new(&line))) else {
                self.log.forget();
                let message = format!("{} was written by another version of floatlease.", self.path.display());
                return Err(Error::because(Status::StorageDamaged, message));
            };
            self.apply(line);
        }
        Ok(())
    }

    /// Writes lines that are applied already.
    fn store(&mut self, mut lines: Vec<LogLine>) -> Result<(), Error> {
        let line = match lines.pop() {
            None => return Ok(()),
            Some(line) if lines.is_empty() => line,
            Some(line) => {
                lines.push(line);
                LogLine::Batch(lines)
            }
        };
        self.log.append(&line.text()?)?;
        if self.is_mostly_outdated() {
            // Everything is stored already. A failure to compact is made up for by a later write.
            let _ = self.compact();
        }
        Ok(())
    }

    fn is_mostly_outdated(&self) -> bool {
        let outdated = self.stored_changes.saturating_sub(self.entries.len());
        if self.entries.is_empty() {
            return outdated > MOST_OUTDATED_WHEN_EMPTY || self.log.length() > LONG_WHEN_EMPTY_BYTES;
        }
        outdated > MOST_OUTDATED || self.log.length() > LONG_BYTES && outdated > self.entries.len()
    }

    /// Replaces the file by one without outdated lines.
    fn compact(&mut self) -> Result<(), Error> {
        let server = self.server.iter().cloned().map(LogLine::Server);
        let lines = server.chain(self.entries.iter().cloned().map(LogLine::Queued));
        let lines = lines.map(|line| line.text()).collect::<Result<Vec<_>, Error>>()?;
        self.log.replace(&lines)?;
        self.stored_changes = lines.len();
        Ok(())
    }

    fn apply(&mut self, line: LogLine) {
        self.stored_changes += usize::from(!matches!(line, LogLine::Batch(_)));
        match line {
            LogLine::Queued(entry) => self.entries.push(entry),
            LogLine::State(key, state) => {
                if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) {
                    (entry.state, entry.caller) = (state, None);
                }
            }
            LogLine::Done(keys) => self.entries.retain(|entry| !keys.contains(&entry.key)),
            LogLine::Server(server) => self.server = Some(server),
            LogLine::Batch(lines) => lines.into_iter().for_each(|line| self.apply(line)),
        }
    }
}

/// The error of a request whose key is that of other consumptions in the queue.
pub(super) fn names_other_consumptions() -> Error {
    let message = "\"idempotency_key\" names other consumptions, which wait to be booked or to be told of by \
                   sync_consumptions; give every new wish a new one.";
    Error::because(Status::BadValue, message)
}

#[cfg(test)]
mod tests;
