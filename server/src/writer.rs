//! The writer thread: applies all waiting jobs as a batch, keeps their changes in one transaction, and then answers.
//!
//! One transaction for a batch makes durability cheap: the more clients wait, the fewer commits each of them costs.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::oneshot;

use crate::clock::{Clock, whole_millis};
use crate::domain::{Change, State};
use crate::store::{Store, StoreError};

/// Time between two heartbeats while nothing else is written. A crash may make all slots last longer by this time.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// Longest step of the clock that counts as time that has passed. The loop reads it every [`HEARTBEAT_INTERVAL`].
const LONGEST_STEP: TimeDelta = TimeDelta::seconds(30);
/// Upper bound for the jobs of a batch, which bounds its memory and the wait of its first client.
const LARGEST_BATCH: usize = 4096;

/// The transaction that a job takes part in.
pub(crate) struct Transaction<'w> {
    /// The state after all jobs so far, including those of this batch.
    pub(crate) state: &'w mut State,
    /// License time. A job may only move it forward, and must then apply what is due by then.
    pub(crate) now: &'w mut DateTime<Utc>,
    /// The changes of the batch. They are kept before the job is answered.
    pub(crate) changes: &'w mut Vec<Change>,
}

impl Transaction<'_> {
    /// Sets license time after a jump of the clock, if the step is one.
    ///
    /// To clients, a computer that was suspended or set to another time is a server that did not run. So slots keep the
    /// time that they had left.
    pub(crate) fn jump_to(&mut self, to: DateTime<Utc>) {
        if (to - *self.now).abs() > LONGEST_STEP {
            self.changes.push(self.state.heartbeat(*self.now));
            *self.now = to;
            self.changes.extend(self.state.resume(to));
        }
    }
}

/// Sends the result to the client. If it is dropped uncalled, the client learns that the outcome is unknown.
type Answer = Box<dyn FnOnce() + Send>;
type Job = Box<dyn FnOnce(&mut Transaction<'_>) -> Answer + Send>;

/// A handle by which jobs are sent to the writer's thread, which ends when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    jobs: Sender<Job>,
}

/// The writer's thread.
pub(crate) type WriterThread = JoinHandle<Result<(), StoreError>>;

impl Writer {
    /// Recovers the state from the store, makes up for the downtime, and starts the thread.
    ///
    /// `ended` is dropped when the thread ends, for whatever reason.
    pub(crate) fn start(
        mut store: Box<dyn Store>,
        recover: impl FnOnce(Vec<Change>) -> State,
        clock: Arc<dyn Clock>,
        ended: oneshot::Sender<()>,
    ) -> Result<(Writer, WriterThread), StoreError> {
        let mut state = recover(store.load()?);
        // License time starts from the clock, even if that is earlier: a clock that was once ahead must not stop it.
        let now = whole_millis(clock.now());
        let mut changes = state.resume(now);
        let (edits, notes) = state.apply_edits(now);
        changes.extend(edits);
        store.commit(&changes)?;
        for note in notes {
            tracing::warn!("{note}");
        }
        for (license_id, devices, slots) in state.orphans() {
            tracing::warn!(
                "license {license_id} is missing in the catalogue, but the data holds {devices} devices and {slots} slots in use \
                 of it; if it was renamed, give it `id = {license_id}`"
            );
        }
        let (jobs, waiting) = mpsc::channel();
        let work = move || {
            let _ended = ended;
            WriterLoop { state, store, clock, now }.run(&waiting)
        };
        let thread = thread::Builder::new().name("writer".to_owned()).spawn(work);
        Ok((Writer { jobs }, thread.map_err(|error| StoreError(format!("can't start the writer's thread: {error}")))?))
    }

    /// Runs a job, and returns its result after its changes are on disk; `None` if they could not be kept.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let job = |transaction: &mut Transaction<'_>| -> Answer {
            let result = work(transaction);
            Box::new(move || {
                // A client that has gone needs no answer.
                let _ = answer.send(result);
            })
        };
        self.jobs.send(Box::new(job)).ok()?;
        answered.await.ok()
    }
}

struct WriterLoop {
    state: State,
    store: Box<dyn Store>,
    clock: Arc<dyn Clock>,
    /// License time. It never goes backwards in small steps, and a jump is made up for.
    now: DateTime<Utc>,
}

impl WriterLoop {
    fn run(mut self, jobs: &Receiver<Job>) -> Result<(), StoreError> {
        loop {
            let waited = jobs.recv_timeout(HEARTBEAT_INTERVAL);
            let ended = matches!(waited, Err(RecvTimeoutError::Disconnected));
            let batch: Vec<Job> = waited.into_iter().chain(jobs.try_iter()).take(LARGEST_BATCH).collect();
            self.read_clock()?;
            if batch.is_empty() {
                self.commit(Vec::new())?
            } else {
                self.batch(batch)?
            }
            if ended {
                return Ok(());
            }
        }
    }

    fn batch(&mut self, jobs: Vec<Job>) -> Result<(), StoreError> {
        let mut changes = Vec::new();
        let mut answers = Vec::new();
        for job in jobs {
            answers.push(job(&mut Transaction { state: &mut self.state, now: &mut self.now, changes: &mut changes }));
        }
        let recently = |at| self.now - at < TimeDelta::from_std(HEARTBEAT_INTERVAL).unwrap_or_default();
        if !changes.is_empty() || !self.state.last_heartbeat().is_some_and(recently) {
            self.commit(changes)?;
        }
        for answer in answers {
            answer();
        }
        Ok(())
    }

    /// Sets license time to the clock's, and makes up for a jump.
    ///
    /// The clock is read once for each batch. A second reading could be after a jump, which would expire slots instead of
    /// being made up for. The jobs were received before the reading, so none is applied before the time it was sent.
    fn read_clock(&mut self) -> Result<(), StoreError> {
        let to = whole_millis(self.clock.now());
        if !self.clock.jumps_are_downtime() || (to - self.now).abs() <= LONGEST_STEP {
            self.now = self.now.max(to);
            return Ok(());
        }
        tracing::warn!(
            "the clock has jumped by {} s; slots keep the time that they had left",
            (to - self.now).num_seconds()
        );
        let mut changes = Vec::new();
        Transaction { state: &mut self.state, now: &mut self.now, changes: &mut changes }.jump_to(to);
        self.store.commit(&changes)
    }

    fn commit(&mut self, mut changes: Vec<Change>) -> Result<(), StoreError> {
        changes.push(self.state.heartbeat(self.now));
        self.store.commit(&changes)
    }
}

#[cfg(test)]
mod tests;
