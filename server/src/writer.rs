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
use crate::domain::{Change, Command, Outcome, State};
use crate::store::{Store, StoreError};

/// So often it is written that the server runs, while nothing else is: what a crash may add to everybody's slots.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// Bounds the memory of a transaction and the first client's wait.
const LARGEST_BATCH: usize = 4096;

/// A command and where its answer goes. Dropping `answer` tells the client that the outcome is unknown.
struct Job {
    command: Command,
    answer: oneshot::Sender<Outcome>,
}

/// Hands commands to the writer's thread, which ends when the last clone of this is dropped.
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
        let (jobs, waiting) = mpsc::channel();
        let work = move || {
            let _ended = ended;
            Loop { state, store, clock, now }.run(&waiting)
        };
        let thread = thread::Builder::new().name("writer".to_owned()).spawn(work);
        Ok((Writer { jobs }, thread.map_err(|error| StoreError(format!("can't start the writer's thread: {error}")))?))
    }

    /// The outcome once it is on disk; `None` if it could not be kept.
    pub(crate) async fn apply(&self, command: Command) -> Option<Outcome> {
        let (answer, outcome) = oneshot::channel();
        self.jobs.send(Job { command, answer }).ok()?;
        outcome.await.ok()
    }
}

struct Loop {
    state: State,
    store: Box<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Licence time never goes backwards while the server runs, whatever the clock does.
    now: DateTime<Utc>,
}

impl Loop {
    fn run(mut self, jobs: &Receiver<Job>) -> Result<(), StoreError> {
        loop {
            match jobs.recv_timeout(ALIVE_EVERY) {
                Ok(first) => self.batch(std::iter::once(first).chain(jobs.try_iter()).take(LARGEST_BATCH))?,
                Err(RecvTimeoutError::Timeout) => {
                    self.warn_of_a_clock_moved_back();
                    self.keep(Vec::new())?;
                }
                Err(RecvTimeoutError::Disconnected) => return self.keep(Vec::new()),
            }
        }
    }

    fn batch(&mut self, jobs: impl Iterator<Item = Job>) -> Result<(), StoreError> {
        let mut changes = Vec::new();
        let mut outcomes = Vec::new();
        for job in jobs {
            self.now = later(Some(self.now), self.clock.as_ref());
            let outcome = self.state.apply(&job.command, self.now, &mut changes);
            outcomes.push((job.answer, outcome));
        }
        let recently = |at| self.now - at < TimeDelta::from_std(ALIVE_EVERY).unwrap_or_default();
        if !changes.is_empty() || !self.state.alive_at().is_some_and(recently) {
            self.keep(changes)?;
        }
        for (answer, outcome) in outcomes {
            // A client that has gone needs no answer.
            let _ = answer.send(outcome);
        }
        Ok(())
    }

    fn warn_of_a_clock_moved_back(&self) {
        let behind = self.now - self.clock.now();
        if behind > TimeDelta::minutes(1) {
            tracing::warn!(
                "the clock was moved back by {} s, so no slot expires until then; restart the server when it is right",
                behind.num_seconds()
            );
        }
    }

    fn keep(&mut self, mut changes: Vec<Change>) -> Result<(), StoreError> {
        self.now = later(Some(self.now), self.clock.as_ref());
        changes.push(self.state.alive(self.now));
        self.store.commit(&changes)
    }
}

fn later(than: Option<DateTime<Utc>>, clock: &dyn Clock) -> DateTime<Utc> {
    let now = whole_millis(clock.now());
    than.map_or(now, |than| than.max(now))
}
