//! The queue of one license as the calls of a client share it, and which consumptions a call may send now.

use crate::error::Error;
use crate::lease::consumption::caller_lock::KnownCallers;
use crate::lease::consumption::entry::QueuedConsumption;
use crate::lease::consumption::group_commit::GroupCommit;
use crate::lease::consumption::queue::ConsumptionQueue;
use crate::lease::consumption::turns::{SendMode, Turns};
use crate::lease::license_ref::LicenseRef;
use crate::lease::storage::process_lock::ProcessLock;
use std::path::{Path, PathBuf};

/// The most consumptions that are marked as about to be sent with one write.
const MOST_AT_ONCE: usize = 32;

/// The queue of one license, shared by the calls of a client.
pub(crate) struct LicenseQueue {
    folder: PathBuf,
    pub(crate) commit: GroupCommit,
    pub(crate) turns: Turns,
}

/// The call that is going to send consumptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// No call waits for their result, so any may send them.
    Nobody,
    /// Another call of this client.
    Sibling,
    /// A call of another client.
    OtherClient,
}

impl LicenseQueue {
    /// The queue of this license on this device. Does not open the file yet.
    pub(crate) fn new(folder: &Path, license_ref: &LicenseRef) -> Result<LicenseQueue, Error> {
        let lock = ProcessLock::on_disk(folder, &format!("{}sync", license_ref.file_prefix()));
        let queue = ConsumptionQueue::new(folder, license_ref)?;
        Ok(LicenseQueue { folder: folder.to_owned(), commit: GroupCommit::new(queue), turns: Turns::new(lock) })
    }

    /// Returns how many consumptions are still to be sent or to be asked about.
    pub(crate) fn count_open(&self) -> usize {
        self.commit.with_open(|entries| entries.count())
    }

    /// Returns the consumptions of this key as they are stored.
    pub(crate) fn find(&self, key: &str) -> Option<QueuedConsumption> {
        self.commit.with_entries(|entries| entries.iter().find(|entry| entry.key == key).cloned())
    }

    /// Returns how a call may send now; `None` if other calls have to send first. `own` is the key that the call waits
    /// for: consumptions that are older and that no call waits for come before it. Without one, the call sends only those
    /// that no call waits for.
    pub(crate) fn wanted(&self, own: Option<&str>, alone: bool, known: &mut KnownCallers) -> Option<SendMode> {
        let (mut sibling, mut backlog) = (false, false);
        self.scan(own, known, |_, claim| {
            sibling |= claim == Claim::Sibling;
            backlog = claim == Claim::Nobody;
            !(backlog || alone && sibling && own.is_some())
        });
        let must_wait = alone && sibling && (backlog || own.is_some());
        (!must_wait).then_some(SendMode { alone, backlog: backlog || own.is_none() })
    }

    /// Returns whether there is something to send that no call waits for.
    pub(crate) fn has_backlog(&self, known: &mut KnownCallers) -> bool {
        !self.backlog(None, false, known).is_empty()
    }

    /// Returns the next consumptions to send that no call waits for, those before `own` if there is one. One at a time if
    /// they are sent alone, because each tells the total for the next.
    pub(crate) fn backlog(&self, own: Option<&str>, alone: bool, known: &mut KnownCallers) -> Vec<QueuedConsumption> {
        let mut found = Vec::new();
        let most = if alone { 1 } else { MOST_AT_ONCE };
        self.scan(own, known, |entry, claim| {
            if claim == Claim::Nobody {
                found.push(entry.clone());
            }
            found.len() < most && !(alone && claim == Claim::Sibling)
        });
        found
    }

    /// Calls `visit` with the consumptions that are still to be sent, oldest first, up to those of the key `own`. Stops
    /// when `visit` returns false.
    fn scan(
        &self,
        own: Option<&str>,
        known: &mut KnownCallers,
        mut visit: impl FnMut(&QueuedConsumption, Claim) -> bool,
    ) {
        self.commit.with_open(|entries| {
            self.turns.with_awaited(|awaited| {
                for entry in entries.take_while(|entry| own != Some(entry.key.as_str())) {
                    let claim = match &entry.caller {
                        _ if awaited.contains(&entry.key) => Claim::Sibling,
                        Some(caller) if known.is_alive(&self.folder, caller) => Claim::OtherClient,
                        _ => Claim::Nobody,
                    };
                    if !visit(entry, claim) {
                        return;
                    }
                }
            });
        });
    }
}
