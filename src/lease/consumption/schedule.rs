//! The licenses with queued consumptions, and when the thread looks at each.

use crate::lease::license_ref::LicenseRef;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The licenses with queued consumptions, and when each is to be looked at.
#[derive(Default)]
pub(crate) struct Schedule {
    state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    jobs: Vec<Job>,
    pub(super) has_thread: bool,
    pub(super) is_closed: bool,
}

/// To send the queued consumptions of one license.
pub(super) struct Job {
    pub(super) license_ref: Arc<LicenseRef>,
    /// Time limit for each request.
    pub(super) timeout: Duration,
    pub(super) due_at: Instant,
    /// How often it failed in a row.
    pub(super) failures: u32,
}

impl Schedule {
    /// Ends the thread once it has nothing under way.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.jobs.clear();
        self.changed.notify_all();
    }

    /// Waits for the next job; `None` if the thread is to end.
    pub(super) fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            let Some(due_at) = state.due_at() else {
                state.has_thread = false;
                return None;
            };
            let now = Instant::now();
            if let Some(job) = state.pop_due(now) {
                return Some(job);
            }
            state = self
                .changed
                .wait_timeout(state, due_at.saturating_duration_since(now))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When the next job is due.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.jobs.iter().map(|job| job.due_at).min()
    }

    /// Removes the job that is due longest, if any is.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Job> {
        let (at, job) = self.jobs.iter().enumerate().min_by_key(|(_, job)| job.due_at)?;
        (job.due_at <= now).then_some(at).map(|at| self.jobs.swap_remove(at))
    }

    /// Adds a job. One for the same license is done at the earlier of both times.
    pub(super) fn add(&mut self, job: Job) {
        if self.is_closed {
            return;
        }
        let prefix = job.license_ref.file_prefix();
        match self.jobs.iter_mut().find(|known| known.license_ref.file_prefix() == prefix) {
            Some(known) => *known = Job { due_at: known.due_at.min(job.due_at), ..job },
            None => self.jobs.push(job),
        }
    }
}
