//! Writes of many calls to one queue at the same time, which share one flush to the disk.
//!
//! The first call that has a change writes it. Calls that come meanwhile leave their changes, and the first of them writes
//! all of these together. So each change is on the disk after two flushes at most, however many calls there are.

use crate::client::Client;
use crate::error::Error;
use crate::lease::consumption::entry::QueuedConsumption;
use crate::lease::consumption::queue::{Change, ConsumptionQueue, Written};
use crate::status::Status;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// One queue, shared by the calls of a client.
pub(crate) struct GroupCommit {
    queue: Mutex<ConsumptionQueue>,
    pending: Mutex<Pending>,
    written: Condvar,
}

#[derive(Default)]
struct Pending {
    last_number: u64,
    /// The changes that no call is writing yet, each with its number if a call waits for the result.
    changes: Vec<(Option<u64>, Change)>,
    /// The results that their calls have not taken yet, by the number of the change.
    results: Vec<(u64, Result<Written, Error>)>,
    /// The keys of consumptions that are going to be removed by changes that no call waits for.
    leaving: BTreeSet<String>,
    /// True while a call writes.
    is_writing: bool,
    /// The last write could not make a removal, so it is tried again with the next write and not at once.
    has_failed: bool,
}

/// Ends the writing of a call, whatever becomes of it, so that the others do not wait for ever.
struct Writing<'a> {
    commit: &'a GroupCommit,
    /// The number of each change, if a call waits for its result.
    awaited: Vec<Option<u64>>,
    changes: Vec<Change>,
    results: Vec<Result<Written, Error>>,
    /// The keys of consumptions that are removed.
    leaving: BTreeSet<String>,
}

impl Writing<'_> {
    /// Takes the removals that could not be written and leaves their keys to be removed. Their result is known, so the
    /// consumptions must not be sent again; the next write tries again.
    fn take_failed_removals(&mut self) -> Vec<(Option<u64>, Change)> {
        let changes = std::mem::take(&mut self.changes).into_iter().enumerate();
        let failed = changes.filter(|(at, _)| self.results.get(*at).is_none_or(Result::is_err));
        let removals = failed.filter_map(|(_, change)| match change {
            Change::Done(keys) if keys.iter().any(|key| self.leaving.contains(key)) => Some(keys),
            _ => None,
        });
        let removals: Vec<_> = removals.collect();
        for key in removals.iter().flatten() {
            self.leaving.remove(key);
        }
        removals.into_iter().map(|keys| (None, Change::Done(keys))).collect()
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let failed = self.take_failed_removals();
        let mut pending = self.commit.pending();
        pending.is_writing = false;
        pending.has_failed = !failed.is_empty();
        pending.changes.splice(0..0, failed);
        pending.leaving.retain(|key| !self.leaving.contains(key));
        let mut results = std::mem::take(&mut self.results).into_iter();
        for number in &self.awaited {
            let result = results.next().unwrap_or_else(|| Err(Error::because(Status::Internal, "A write has ended.")));
            pending.results.extend(number.map(|number| (number, result)));
        }
        self.commit.written.notify_all();
    }
}

impl GroupCommit {
    pub(crate) fn new(queue: ConsumptionQueue) -> GroupCommit {
        GroupCommit { queue: Mutex::new(queue), pending: Mutex::default(), written: Condvar::new() }
    }

    /// Makes a change. It is on the disk when this returns. Waits for no server.
    ///
    /// # Errors
    /// The change is refused, or the file can't be read or written.
    pub(crate) fn write(&self, client: &Client, change: Change) -> Result<Written, Error> {
        self.write_awaited(client, self.pending(), change)
    }

    fn write_awaited<'a>(
        &'a self,
        client: &Client,
        mut pending: MutexGuard<'a, Pending>,
        change: Change,
    ) -> Result<Written, Error> {
        pending.last_number += 1;
        let number = pending.last_number;
        pending.changes.push((Some(number), change));
        loop {
            if let Some(at) = pending.results.iter().position(|(known, _)| *known == number) {
                let (_, result) = pending.results.swap_remove(at);
                return result;
            }
            pending = if pending.is_writing {
                self.written.wait(pending).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.write_pending(client, pending)
            };
        }
    }

    /// Removes the consumptions of this key, whose result is known, and waits until they are removed. No other call takes
    /// them for consumptions to be sent. If the file can't be written, the next write tries again.
    ///
    /// # Errors
    /// The file can't be read or written.
    pub(crate) fn remove(&self, client: &Client, key: String) -> Result<(), Error> {
        let mut pending = self.pending();
        pending.leaving.insert(key.clone());
        self.write_awaited(client, pending, Change::Done(vec![key])).map(drop)
    }

    /// Returns whether a removal could not be written, or no call has written it yet.
    pub(crate) fn has_removals(&self) -> bool {
        !self.pending().leaving.is_empty()
    }

    /// Does the same, but if another call is writing, this does not wait until that call has removed them. If that never
    /// happens because the process is killed, it must do no harm.
    pub(crate) fn remove_later(&self, client: &Client, key: String) {
        let mut pending = self.pending();
        pending.leaving.insert(key.clone());
        pending.changes.push((None, Change::Done(vec![key])));
        if !pending.is_writing {
            drop(self.write_pending(client, pending));
        }
    }

    /// Calls `read` with the consumptions that are still to be sent or to be asked about, as they were read or written
    /// last, oldest first.
    pub(crate) fn with_open<T>(&self, read: impl FnOnce(&mut dyn Iterator<Item = &QueuedConsumption>) -> T) -> T {
        let queue = self.queue();
        let pending = self.pending();
        read(&mut queue.entries().iter().filter(|entry| entry.is_open() && !pending.leaving.contains(&entry.key)))
    }

    /// Calls `read` with the entries as they were read or written last.
    pub(crate) fn with_entries<T>(&self, read: impl FnOnce(&[QueuedConsumption]) -> T) -> T {
        read(self.queue().entries())
    }

    /// Writes everything that is pending. Goes on as long as there are changes that no call waits for: any other is
    /// written by its own call.
    fn write_pending<'a>(&'a self, client: &Client, mut pending: MutexGuard<'a, Pending>) -> MutexGuard<'a, Pending> {
        loop {
            pending.is_writing = true;
            let (awaited, changes): (Vec<_>, Vec<_>) = std::mem::take(&mut pending.changes).into_iter().unzip();
            let leaving = pending.leaving.clone();
            drop(pending);
            let mut writing = Writing { commit: self, awaited, changes, results: Vec::new(), leaving };
            writing.results = self.queue().write(client, &writing.changes);
            drop(writing);
            pending = self.pending();
            if pending.is_writing
                || pending.has_failed
                || pending.changes.is_empty()
                || pending.changes.iter().any(|(number, _)| number.is_some())
            {
                return pending;
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, ConsumptionQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
