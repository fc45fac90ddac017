//! The one writer: takes whatever waits as a batch, applies it, keeps it in one transaction, and only then answers.
//!
//! One transaction for a batch makes durability nearly free: the more clients wait, the fewer commits each of them costs.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::oneshot;

use crate::clock::{Clock, whole_millis};
use crate::domain::{Change, State};
use crate::store::{Store, StoreError};

/// So often it is written that the server runs, while nothing else is: what a crash may add to everybody's slots.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// The loop looks at the clock at least every [`HEARTBEAT_INTERVAL`]; a step longer than this is none of its own.
const LONGEST_STEP: TimeDelta = TimeDelta::seconds(30);
/// Bounds the memory of a transaction and the first client's wait.
const LARGEST_BATCH: usize = 4096;

/// What a job works on.
pub(crate) struct Transaction<'w> {
    /// Everything up to now, of this batch too.
    pub(crate) state: &'w mut State,
    /// Licence time. A job may only move it forward, and answers for what is due by then.
    pub(crate) now: &'w mut DateTime<Utc>,
    /// What the job changes: kept before it is answered.
    pub(crate) changes: &'w mut Vec<Change>,
}

impl Transaction<'_> {
    /// Licence time after the clock has jumped. A machine that was suspended, moved or set to another time is to its
    /// clients a server that did not run: slots keep what they had left.
    pub(crate) fn jump_to(&mut self, to: DateTime<Utc>) {
        if (to - *self.now).abs() > LONGEST_STEP {
            self.changes.push(self.state.heartbeat(*self.now));
            *self.now = to;
            self.changes.extend(self.state.resume(to));
        }
    }
}

/// Tells the client. Dropped instead of called, it tells him that the outcome is unknown.
type Answer = Box<dyn FnOnce() + Send>;
type Job = Box<dyn FnOnce(&mut Transaction<'_>) -> Answer + Send>;

/// Hands jobs to the writer's thread, which ends when the last clone of this is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    jobs: Sender<Job>,
}

/// The writer's thread.
pub(crate) type WriterThread = JoinHandle<Result<(), StoreError>>;

impl Writer {
    /// Recovers the state from the store, makes up for the downtime, and starts the thread. `ended` fires when the
    /// thread ends for whatever reason.
    pub(crate) fn start(
        mut store: Box<dyn Store>,
        recover: impl FnOnce(Vec<Change>) -> State,
        clock: Arc<dyn Clock>,
        ended: oneshot::Sender<()>,
    ) -> Result<(Writer, WriterThread), StoreError> {
        let mut state = recover(store.load()?);
        // Licence time starts anew from the clock, also backwards: a clock that once was wrong must not stop it for ever.
        let now = whole_millis(clock.now());
        store.commit(&state.resume(now))?;
        for (license_id, devices, slots) in state.orphans() {
            tracing::warn!(
                "the data knows {devices} devices and {slots} slots in use of license {license_id}, which the catalogue \
                 has not; if it was renamed, give it `id = {license_id}`"
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

    /// What the work answers, once what it changed is on disk; `None` if that could not be kept.
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
    /// Licence time never goes backwards in small steps; a jump is made up for.
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

    /// Moves licence time to the clock's and makes up for a jump. This is the only reading of the clock for the batch: a
    /// second one could be on the other side of a jump, which would expire slots instead of being made up for. The jobs
    /// were received before it, so none of them is dated before it was sent.
    fn read_clock(&mut self) -> Result<(), StoreError> {
        let to = whole_millis(self.clock.now());
        if !self.clock.jumps_are_downtime() || (to - self.now).abs() <= LONGEST_STEP {
            self.now = self.now.max(to);
            return Ok(());
        }
        tracing::warn!("the clock has jumped by {} s; slots keep what they had left", (to - self.now).num_seconds());
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
