//! The thread that sends queued consumptions when the server may be back: at the ends of the pauses of a server that is
//! away, and after a lease has reached the server. It ends when nothing is queued any more.

use crate::client::jittered;
use crate::error::Error;
use crate::http::Waiter;
use crate::lease::consumption::consumptions::Consumptions;
use crate::lease::consumption::queue::ConsumptionQueue;
use crate::lease::consumption::report::Report;
use crate::lease::consumption::schedule::Job;
use crate::lease::consumption::sync::{ConsumptionSync, SyncResult};
use crate::lease::license_ref::LicenseRef;
use crate::status::Category;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time limit for sending queued consumptions in the background, where no caller waits.
const BACKGROUND: Duration = Duration::from_secs(10 * 60);
/// Mean pause after a failure that does not tell that the server is away. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Consumptions {
    /// Sends the queued consumptions of a license in the background, now. `timeout` limits each request.
    pub(crate) fn sync_now(self: &Arc<Consumptions>, license_ref: &LicenseRef, timeout: Duration) {
        let has_file = self.shared.folder().is_some_and(|folder| ConsumptionQueue::path(folder, license_ref).exists());
        if has_file {
            self.schedule(license_ref, timeout, Duration::ZERO);
        }
    }

    /// Sends the queued consumptions of a license in the background, after a pause.
    pub(super) fn sync_later(self: &Arc<Consumptions>, license_ref: &LicenseRef, timeout: Duration) {
        let pause = self.shared.client.reachability().pause_left();
        self.schedule(license_ref, timeout, pause.unwrap_or_else(|| jittered(FIRST_PAUSE)));
    }

    fn schedule(self: &Arc<Consumptions>, license_ref: &LicenseRef, timeout: Duration, pause: Duration) {
        // The host of a call may have less time than a request needs.
        let timeout = timeout.max(self.shared.client.config().timeout);
        let license_ref = Arc::new(license_ref.clone());
        let mut state = self.schedule.state();
        state.add(Job { license_ref, timeout, due_at: Instant::now() + pause, failures: 0 });
        if !state.has_thread && !state.is_closed {
            let consumptions = Arc::clone(self);
            // Without a thread, the next call that finds consumptions queued tries to start one.
            state.has_thread = self.shared.start_thread(move || consumptions.run()).is_ok();
        }
        self.schedule.changed.notify_all();
    }

    fn run(&self) {
        while let Some(job) = self.schedule.next() {
            self.run_and_reschedule(job);
        }
    }

    fn run_and_reschedule(&self, mut job: Job) {
        if let Some(pause) = self.run_job(&mut job) {
            job.due_at = Instant::now() + pause;
            self.schedule.state().add(job);
        }
    }

    /// Sends on this thread, which is the host's, what is due. False if nothing is.
    pub(crate) fn work(&self) -> bool {
        let job = self.schedule.state().pop_due(Instant::now());
        let is_due = job.is_some();
        job.into_iter().for_each(|job| self.run_and_reschedule(job));
        is_due
    }

    /// Returns when [`Consumptions::work`] has something to do, if nothing is queued before.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.schedule.state().due_at()
    }

    /// Sends what is queued, and queues an event with the result. Returns when to try again; `None` if nothing is left.
    fn run_job(&self, job: &mut Job) -> Option<Duration> {
        let reachability = self.shared.client.reachability();
        if let Some(left) = reachability.pause_left() {
            return Some(left);
        }
        let _probe = reachability.probe();
        let (result, waiting) = self.send_backlog(job);
        let is_local = result.failure.as_ref().is_some_and(|error| error.status.row().category == Category::Local);
        let is_news = result.count > 0 || !result.results.is_empty() || is_local && job.failures == 0;
        if is_news {
            self.shared.events.push(Report::new(&result, &result.results, waiting).text());
        }
        job.failures = if result.failure.is_some() { job.failures.saturating_add(1) } else { 0 };
        let error = result.failure.as_ref()?;
        let pause = jittered((FIRST_PAUSE * 2_u32.pow(job.failures.min(7) - 1)).min(LONGEST_PAUSE));
        let asked_for = result.retry_after.or(error.retry_after).unwrap_or_default();
        Some(reachability.pause_left().unwrap_or_else(|| pause.max(asked_for)))
    }

    /// Returns the result, and how many consumptions are still queued.
    fn send_backlog(&self, job: &Job) -> (SyncResult, usize) {
        let failed = |error: Error| (SyncResult { failure: Some(error), ..SyncResult::default() }, 0);
        let Some(folder) = self.shared.folder() else { return (SyncResult::default(), 0) };
        // A thread of the host has other things to do.
        let limit = if self.shared.has_no_threads() { job.timeout } else { BACKGROUND };
        let in_flight = self.shared.client.begin(Waiter::Library, limit);
        let context = self.shared.context(&job.license_ref, &in_flight.call, job.timeout);
        let queue = match self.queue(folder, &job.license_ref) {
            Ok(queue) => queue,
            Err(error) => return failed(error),
        };
        let mut sync = ConsumptionSync::new(context, &queue, self.existing_caller_name());
        match sync.send_backlog() {
            Ok(()) => (sync.result, queue.count_open()),
            Err(error) => failed(error),
        }
    }
}
