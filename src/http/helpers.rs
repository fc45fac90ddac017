//! Helper threads, for work of the system that knows neither a deadline nor a cancel.
//!
//! A call waits for an answer no longer than the call lasts. The thread goes on without it, because nothing can end it.
//! Calls that ask the same question wait for the same thread. An answer that came after its last call had gone is kept
//! for a while: otherwise calls that are shorter than the work would never get one.

use super::call::{Call, Stop};
use std::fmt::Debug;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Upper bound for the threads of one kind of work. Without it, a server that shows another certificate at each
/// connection could have any number of threads started.
const MOST_THREADS: usize = 8;

/// How long an answer is kept that no call waited for.
const ANSWER_KEPT_FOR: Duration = Duration::from_secs(30);

/// Said, because the standard library would ask the environment.
const STACK_BYTES: usize = 2 * 1024 * 1024;

const CANCEL_NOTICED_WITHIN: Duration = Duration::from_millis(20);

/// One kind of work.
pub(super) trait Work: Debug + Send + Sync + 'static {
    /// As debuggers show it; Linux has room for 15 characters.
    const THREAD_NAME: &str;
    type Question: Clone + Debug + PartialEq + Send + 'static;
    type Answer: Clone + Debug + Send + 'static;

    /// Answers a question, and may take any time for it.
    fn answer(&self, question: &Self::Question) -> Self::Answer;
}

/// Why a call got no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The call is over.
    Stopped(Stop),
    /// No thread could be started, or it panicked.
    NoThread(io::Error),
}

/// The threads that do one kind of work for one client.
#[derive(Debug)]
pub(super) struct Helpers<W: Work> {
    work: W,
    tasks: Mutex<Tasks<W>>,
}

/// What was asked, and how far its answer is.
type Tasks<W> = Vec<(<W as Work>::Question, Arc<Task<<W as Work>::Answer>>)>;

/// A question that a thread works on, and its answer for every call that waits.
#[derive(Debug)]
struct Task<A> {
    progress: Mutex<Progress<A>>,
    progressed: Condvar,
}

#[derive(Debug)]
enum Progress<A> {
    Running,
    Answered { answer: A, at: Instant },
    Panicked,
}

impl<W: Work> Helpers<W> {
    pub(super) fn new(work: W) -> Arc<Helpers<W>> {
        Arc::new(Helpers { work, tasks: Mutex::default() })
    }

    /// The work itself, for whatever of it needs no thread.
    pub(super) fn work(&self) -> &W {
        &self.work
    }

    /// Waits for the answer to `question` while `call` lasts.
    pub(super) fn ask(self: &Arc<Self>, question: &W::Question, call: &Call) -> Result<W::Answer, Unanswered> {
        loop {
            if let Some(task) = self.task_of(question).map_err(Unanswered::NoThread)? {
                return task.wait(call);
            }
            // Every thread is busy with other questions.
            call.pause(CANCEL_NOTICED_WITHIN).map_err(Unanswered::Stopped)?;
        }
    }

    /// The task that answers `question`, begun here if there is none; `None` while there are too many threads.
    fn task_of(self: &Arc<Self>, question: &W::Question) -> io::Result<Option<Arc<Task<W::Answer>>>> {
        let mut tasks = self.tasks();
        tasks.retain(|(_, task)| !task.progress().is_outdated());
        if let Some(index) = tasks.iter().position(|(asked, _)| asked == question) {
            let task = Arc::clone(&tasks[index].1);
            if !task.progress().is_running() {
                tasks.swap_remove(index);
            }
            return Ok(Some(task));
        }
        if tasks.iter().filter(|(_, task)| task.progress().is_running()).count() >= MOST_THREADS {
            return Ok(None);
        }
        let task = Arc::new(Task { progress: Mutex::new(Progress::Running), progressed: Condvar::new() });
        let (helpers, asked, answered) = (Arc::clone(self), question.clone(), Arc::clone(&task));
        thread::Builder::new().name(W::THREAD_NAME.to_owned()).stack_size(STACK_BYTES).spawn(move || {
            // Calls would wait until their deadline for an answer that never comes.
            let answer = catch_unwind(AssertUnwindSafe(|| helpers.work.answer(&asked)));
            helpers.finish(answered, answer.ok());
        })?;
        tasks.push((question.clone(), Arc::clone(&task)));
        Ok(Some(task))
    }

    /// Gives the answer to every call that waits. A call that asks later gets it only if none waits now.
    fn finish(&self, task: Arc<Task<W::Answer>>, answer: Option<W::Answer>) {
        let mut tasks = self.tasks();
        // The list has the task, this thread has it, and so has each call that waits.
        let is_awaited = Arc::strong_count(&task) > 2;
        if is_awaited || answer.is_none() {
            tasks.retain(|(_, listed)| !Arc::ptr_eq(listed, &task));
        }
        *task.progress() = match answer {
            Some(answer) => Progress::Answered { answer, at: Instant::now() },
            None => Progress::Panicked,
        };
        task.progressed.notify_all();
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks<W>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Clone> Task<A> {
    fn wait(&self, call: &Call) -> Result<A, Unanswered> {
        let mut progress = self.progress();
        loop {
            match &*progress {
                Progress::Running => {}
                Progress::Answered { answer, .. } => return Ok(answer.clone()),
                Progress::Panicked => return Err(Unanswered::NoThread(io::Error::other("a helper thread panicked"))),
            }
            let left = call.left().map_err(Unanswered::Stopped)?.min(CANCEL_NOTICED_WITHIN);
            progress = self.progressed.wait_timeout(progress, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl<A> Task<A> {
    fn progress(&self) -> MutexGuard<'_, Progress<A>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A> Progress<A> {
    fn is_running(&self) -> bool {
        matches!(self, Progress::Running)
    }

    fn is_outdated(&self) -> bool {
        matches!(self, Progress::Answered { at, .. } if at.elapsed() > ANSWER_KEPT_FOR)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::http::call::{Calls, InFlight, Waiter};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The time of a call that must not end by itself, and of one that must.
    pub(in crate::http) const PATIENCE: Duration = Duration::from_secs(60);
    const BRIEFLY: Duration = Duration::from_millis(30);

    /// Work that hangs until the test lets it go on.
    #[derive(Debug, Default)]
    pub(in crate::http) struct Gate {
        begun: AtomicUsize,
        is_open: Mutex<bool>,
        opened: Condvar,
    }

    impl Gate {
        /// How often the work was begun.
        pub(in crate::http) fn begun(&self) -> usize {
            self.begun.load(Ordering::SeqCst)
        }

        pub(in crate::http) fn pass(&self) {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let is_open = self.is_open.lock().unwrap();
            drop(self.opened.wait_while(is_open, |is_open| !*is_open).unwrap());
        }

        pub(in crate::http) fn open(&self) {
            *self.is_open.lock().unwrap() = true;
            self.opened.notify_all();
        }
    }

    impl<W: Work> Helpers<W> {
        /// How many calls wait for the first question.
        pub(in crate::http) fn waiting(&self) -> usize {
            // The list has the task too, and so has its thread.
            self.tasks().first().map_or(0, |(_, task)| Arc::strong_count(task).saturating_sub(2))
        }
    }

    /// Doubles a number; panics at 13.
    #[derive(Debug, Default)]
    struct Doubling(Gate);

    impl Work for Doubling {
        const THREAD_NAME: &str = "doubling";
        type Question = usize;
        type Answer = usize;

        fn answer(&self, number: &usize) -> usize {
            self.0.pass();
            assert_ne!(*number, 13, "on purpose");
            number * 2
        }
    }

    fn helpers() -> Arc<Helpers<Doubling>> {
        Helpers::new(Doubling::default())
    }

    fn begin(timeout: Duration) -> InFlight {
        Arc::new(Calls::default()).begin(Waiter::Host, Instant::now() + timeout)
    }

    pub(in crate::http) fn wait_until(what: impl Fn() -> bool) {
        while !what() {
            thread::yield_now();
        }
    }

    #[test]
    fn call_stops_waiting_at_its_deadline() {
        let helpers = helpers();
        let result = helpers.ask(&1, &begin(BRIEFLY).call);
        assert!(matches!(result, Err(Unanswered::Stopped(Stop::Timeout))));
        helpers.work.0.open();
    }

    #[test]
    fn calls_with_one_question_share_one_thread() {
        let helpers = helpers();
        thread::scope(|scope| {
            let asking = || scope.spawn(|| helpers.ask(&21, &begin(PATIENCE).call).unwrap());
            let calls: Vec<_> = (0..8).map(|_| asking()).collect();
            wait_until(|| helpers.waiting() == calls.len());
            helpers.work.0.open();
            for call in calls {
                assert_eq!(call.join().unwrap(), 42);
            }
        });
        assert_eq!(helpers.work.0.begun(), 1);
        assert!(helpers.tasks().is_empty(), "a call that asks later asks anew");
    }

    #[test]
    fn answer_that_came_too_late_serves_next_call() {
        let helpers = helpers();
        helpers.ask(&21, &begin(BRIEFLY).call).unwrap_err();
        helpers.work.0.open();
        wait_until(|| helpers.tasks().iter().all(|(_, task)| !task.progress().is_running()));
        assert_eq!(helpers.ask(&21, &begin(PATIENCE).call).unwrap(), 42);
        assert_eq!(helpers.work.0.begun(), 1);
        assert!(helpers.tasks().is_empty(), "an answer that was given is not kept");
    }

    #[test]
    fn questions_beyond_the_most_threads_wait() {
        let helpers = helpers();
        for number in 0..MOST_THREADS {
            helpers.ask(&number, &begin(BRIEFLY).call).unwrap_err();
        }
        let result = helpers.ask(&MOST_THREADS, &begin(BRIEFLY).call);
        assert!(matches!(result, Err(Unanswered::Stopped(Stop::Timeout))));
        assert_eq!(helpers.tasks().len(), MOST_THREADS);
        helpers.work.0.open();
        assert_eq!(helpers.ask(&MOST_THREADS, &begin(PATIENCE).call).unwrap(), 2 * MOST_THREADS);
    }

    #[test]
    fn panic_is_told_and_forgotten() {
        let helpers = helpers();
        helpers.work.0.open();
        let result = helpers.ask(&13, &begin(PATIENCE).call);
        assert!(matches!(result, Err(Unanswered::NoThread(_))));
        assert!(helpers.tasks().is_empty());
    }
}
