//! The submitted calls that no thread is running: those whose turn has not come, and those that pause between two tries.

use crate::error::Error;
use crate::lease::background::ticket::{Priority, Ticket};
use crate::status::Status;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// The work of a submitted call. It is run again after each pause that it asks for.
pub(crate) type BackgroundCall = Box<dyn FnMut(Turn) -> Progress + Send>;

/// What a submitted call is to do.
pub(crate) enum Turn<'a> {
    /// To go on.
    Run(&'a Ticket),
    /// To end with this error between two runs, without asking anybody. It may add to the error what it knows.
    Stop(Error),
}

/// A call that needs no pause.
pub(crate) fn without_pause(mut run: impl FnMut(&Ticket) -> Result<String, Error> + Send + 'static) -> BackgroundCall {
    Box::new(move |turn| {
        Progress::Done(match turn {
            Turn::Run(ticket) => run(ticket),
            Turn::Stop(error) => Err(error),
        })
    })
}

/// How far a submitted call has got.
pub(crate) enum Progress {
    /// It is done, with the JSON object of its reply.
    Done(Result<String, Error>),
    /// It is to be run again at this moment, and needs no thread until then.
    PausedUntil(Instant),
}

/// A submitted call.
pub(super) struct SubmittedCall {
    pub(super) ticket: Arc<Ticket>,
    run: BackgroundCall,
    /// How often all calls had been cancelled when this one began to run.
    cancels: u64,
    has_begun: bool,
}

impl SubmittedCall {
    pub(super) fn new(ticket: Arc<Ticket>, run: BackgroundCall) -> SubmittedCall {
        SubmittedCall { ticket, run, cancels: 0, has_begun: false }
    }

    pub(super) fn run(&mut self) -> Progress {
        (self.run)(Turn::Run(&self.ticket))
    }

    /// The error that ends the call before its next run.
    pub(super) fn stopped(&mut self, error: Error) -> Error {
        if !self.has_begun {
            return error;
        }
        match (self.run)(Turn::Stop(error)) {
            Progress::Done(Err(error)) => error,
            Progress::Done(Ok(_)) | Progress::PausedUntil(_) => Error::new(Status::Cancelled),
        }
    }
}

/// The calls of one priority.
#[derive(Default)]
struct Lane {
    /// The calls that wait for their turn, in order.
    queued: VecDeque<SubmittedCall>,
    running: usize,
}

/// The submitted calls that no thread is running, and how many are running.
pub(super) struct CallQueue {
    /// The most calls of one priority that run at the same time.
    max_parallel: usize,
    normal: Lane,
    high: Lane,
    /// The calls that pause, and when each goes on.
    paused: Vec<(Instant, SubmittedCall)>,
    /// How often all calls were cancelled.
    cancels: u64,
}

impl CallQueue {
    pub(super) fn new(max_parallel: usize) -> CallQueue {
        CallQueue { max_parallel, normal: Lane::default(), high: Lane::default(), paused: Vec::new(), cancels: 0 }
    }

    fn lane(&mut self, priority: Priority) -> &mut Lane {
        match priority {
            Priority::Normal => &mut self.normal,
            Priority::High => &mut self.high,
        }
    }

    fn lanes(&self) -> [&Lane; 2] {
        [&self.high, &self.normal]
    }

    /// Adds a call at the end of its line.
    pub(super) fn add(&mut self, call: SubmittedCall) {
        self.lane(call.ticket.priority).queued.push_back(call);
    }

    /// Adds a call that goes on at this moment. Returns it instead if it was cancelled while it ran.
    pub(super) fn pause(&mut self, call: SubmittedCall, until: Instant) -> Option<SubmittedCall> {
        if call.cancels != self.cancels || call.ticket.is_cancelled() {
            return Some(call);
        }
        self.paused.push((until, call));
        None
    }

    /// Removes the next call whose turn has come, and counts it as running until [`CallQueue::end`].
    pub(super) fn begin_next(&mut self, now: Instant) -> Option<SubmittedCall> {
        while let Some(at) = self.paused.iter().position(|(until, _)| *until <= now) {
            let (_, call) = self.paused.swap_remove(at);
            self.add(call);
        }
        let priority = [Priority::High, Priority::Normal].into_iter().find(|priority| self.may_begin(*priority))?;
        let lane = self.lane(priority);
        let next = lane.queued.pop_front()?;
        lane.running += 1;
        Some(SubmittedCall { cancels: self.cancels, has_begun: true, ..next })
    }

    fn may_begin(&mut self, priority: Priority) -> bool {
        let max_parallel = self.max_parallel;
        let lane = self.lane(priority);
        !lane.queued.is_empty() && lane.running < max_parallel
    }

    /// Returns whether the turn of a call has come.
    pub(super) fn may_begin_any(&self) -> bool {
        self.lanes().into_iter().any(|lane| !lane.queued.is_empty() && lane.running < self.max_parallel)
    }

    /// Notes that a call of this priority is not running any more.
    pub(super) fn end(&mut self, priority: Priority) {
        self.lane(priority).running -= 1;
    }

    /// Removes a call whose deadline has passed before its turn has come.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<SubmittedCall> {
        [&mut self.high, &mut self.normal].into_iter().find_map(|lane| {
            let at = lane.queued.iter().position(|call| call.ticket.deadline <= now)?;
            lane.queued.remove(at)
        })
    }

    /// Removes the call of this ticket, if no thread is running it.
    pub(super) fn remove(&mut self, ticket: u64) -> Option<SubmittedCall> {
        if let Some(at) = self.paused.iter().position(|(_, call)| call.ticket.number == ticket) {
            return Some(self.paused.swap_remove(at).1);
        }
        [&mut self.high, &mut self.normal].into_iter().find_map(|lane| {
            let at = lane.queued.iter().position(|call| call.ticket.number == ticket)?;
            lane.queued.remove(at)
        })
    }

    /// Cancels the calls that pause and those that are about to, and removes those that no thread is running. A call whose
    /// pause is over pauses until its turn comes.
    pub(super) fn cancel_paused(&mut self) -> Vec<SubmittedCall> {
        self.cancels += 1;
        let mut removed: Vec<_> = self.paused.drain(..).map(|(_, call)| call).collect();
        for lane in [&mut self.high, &mut self.normal] {
            let (begun, others) = std::mem::take(&mut lane.queued).into_iter().partition(|call| call.has_begun);
            lane.queued = others;
            removed.extend::<VecDeque<_>>(begun);
        }
        removed
    }

    /// Removes every call that no thread is running.
    pub(super) fn remove_all(&mut self) -> Vec<SubmittedCall> {
        let mut removed = self.cancel_paused();
        removed.extend([&mut self.high, &mut self.normal].into_iter().flat_map(|lane| lane.queued.drain(..)));
        removed
    }

    /// Returns how many calls are running.
    pub(super) fn running(&self) -> usize {
        self.lanes().into_iter().map(|lane| lane.running).sum()
    }

    /// Returns how many idle threads the calls need: one for each call that may begin now, and one that waits until the
    /// others begin or expire.
    pub(super) fn needed_threads(&self) -> usize {
        let may_begin = |lane: &Lane| lane.queued.len().min(self.max_parallel.saturating_sub(lane.running));
        let (begins, queued) = self
            .lanes()
            .into_iter()
            .fold((0, 0), |(begins, queued), lane| (begins + may_begin(lane), queued + lane.queued.len()));
        begins + usize::from(queued > begins || !self.paused.is_empty())
    }

    /// Returns when a paused call goes on or a queued one expires, if there is any.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let expire = self.lanes().into_iter().flat_map(|lane| &lane.queued).map(|call| call.ticket.deadline);
        expire.chain(self.paused.iter().map(|(until, _)| *until)).min()
    }
}
