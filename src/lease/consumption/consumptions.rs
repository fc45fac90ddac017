//! The queues of a client, and what its calls share.

use crate::error::Error;
use crate::lease::consumption::caller_lock::CallerLock;
use crate::lease::consumption::license_queue::LicenseQueue;
use crate::lease::consumption::schedule::Schedule;
use crate::lease::context::Shared;
use crate::lease::license_ref::LicenseRef;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The queued consumptions of a client.
pub(crate) struct Consumptions {
    pub(super) shared: Arc<Shared>,
    /// The queues that calls use now, by the beginning of their files' names.
    queues: Mutex<Vec<(String, Weak<LicenseQueue>)>>,
    /// The queues with removals that could not be written. They are kept for the next call, which tries again.
    unfinished: Mutex<Vec<Arc<LicenseQueue>>>,
    caller: Mutex<Caller>,
    pub(super) schedule: Schedule,
}

/// By what other processes know whether this client has calls that wait.
#[derive(Default)]
struct Caller {
    lock: Option<CallerLock>,
    is_closed: bool,
}

impl Consumptions {
    pub(crate) fn new(shared: Arc<Shared>) -> Consumptions {
        Consumptions {
            shared,
            queues: Mutex::default(),
            unfinished: Mutex::default(),
            caller: Mutex::default(),
            schedule: Schedule::default(),
        }
    }

    /// Ends the thread, and leaves the consumptions of all calls to other processes. Waits for nothing.
    pub(crate) fn close(&self) {
        self.schedule.close();
        let mut caller = self.caller();
        caller.is_closed = true;
        caller.lock.take().into_iter().for_each(CallerLock::remove);
    }

    /// The queue of a license, shared with the other calls that use it now.
    pub(super) fn queue(&self, folder: &Path, license_ref: &LicenseRef) -> Result<Arc<LicenseQueue>, Error> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        self.unfinished().retain(|queue| queue.commit.has_removals());
        let prefix = license_ref.file_prefix();
        if let Some(queue) = queues.iter().find(|(known, _)| *known == prefix).and_then(|(_, queue)| queue.upgrade()) {
            return Ok(queue);
        }
        queues.retain(|(_, queue)| queue.strong_count() > 0);
        let queue = Arc::new(LicenseQueue::new(folder, license_ref)?);
        queues.push((prefix, Arc::downgrade(&queue)));
        Ok(queue)
    }

    /// Keeps a queue for the next call if it has removals that could not be written.
    pub(super) fn keep_if_unfinished(&self, queue: &Arc<LicenseQueue>) {
        let mut unfinished = self.unfinished();
        if queue.commit.has_removals() && !unfinished.iter().any(|known| Arc::ptr_eq(known, queue)) {
            unfinished.push(Arc::clone(queue));
        }
    }

    fn unfinished(&self) -> MutexGuard<'_, Vec<Arc<LicenseQueue>>> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name by which other processes know that this client has calls that wait. `None` once the client is closed.
    pub(super) fn caller_name(&self, folder: &Path) -> Result<Option<String>, Error> {
        let mut caller = self.caller();
        if caller.is_closed {
            return Ok(None);
        }
        if caller.lock.as_ref().is_none_or(|lock| !lock.is_in_place()) {
            caller.lock = Some(CallerLock::new(folder)?);
        }
        Ok(caller.lock.as_ref().map(|lock| lock.name.clone()))
    }

    pub(super) fn existing_caller_name(&self) -> Option<String> {
        self.caller().lock.as_ref().map(|lock| lock.name.clone())
    }

    fn caller(&self) -> MutexGuard<'_, Caller> {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
