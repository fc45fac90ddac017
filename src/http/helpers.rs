//! Helper threads, for work of the system that knows neither a deadline nor a cancel.
//!
//! A call waits for an answer no longer than the call lasts. The thread goes on without it, because nothing can end it.
//! Calls that ask the same question wait for the same thread.

use super::call::{Call, Stop};
use crate::config::Threads;
use crate::thread;
use std::fmt::Debug;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Upper bound for the threads of one kind of work. Without it, a server that shows another certificate at each
/// connection could have any number of threads started.
const MOST_THREADS: usize = 8;

/// How long an answer is kept that no call waited for.
const ANSWER_KEPT_FOR: Duration = Duration::from_secs(30);

/// How long later calls wait for a thread that another call has started. After this long the system probably never answers
/// it, and the next call starts another one.
const SHARED_FOR: Duration = Duration::from_secs(60);

const CANCEL_NOTICED_WITHIN: Duration = Duration::from_millis(20);

/// One kind of work.
pub(super) trait Work: Debug + Send + Sync + 'static {
    const THREAD_NAME: &str;
    /// True if an answer that came after its last call had gone is kept for the next call. Calls that are shorter than the
    /// work would never get one otherwise.
    const KEEPS_LATE_ANSWERS: bool;
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
    /// No thread could be started.
    NoThread(io::Error),
    /// The thread panicked.
    Panicked,
}

/// The threads that do one kind of work for one client.
#[derive(Debug)]
pub(super) struct Helpers<W: Work> {
    work: W,
    tasks: Mutex<Tasks<W>>,
}

/// Questions, and the progress of their answers.
type Tasks<W> = Vec<(<W as Work>::Question, Arc<Task<<W as Work>::Answer>>)>;

/// A question that a thread works on, and its answer for every call that waits.
#[derive(Debug)]
struct Task<A> {
    progress: Mutex<Progress<A>>,
    progressed: Condvar,
}

#[derive(Debug)]
enum Progress<A> {
    Running { since: Instant },
    Answered { answer: A, at: Instant, at_wall: SystemTime },
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

    /// Waits for the answer to `question` while `call` lasts. With threads of the host alone, the work is done on this one,
    /// and may take longer.
    pub(super) fn ask(self: &Arc<Self>, question: &W::Question, call: &Call) -> Result<W::Answer, Unanswered> {
        if call.threads == Threads::Host {
            return Ok(self.work.answer(question));
        }
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
        let is_shared = |task: &Task<_>| !task.progress().is_hanging();
        if let Some(index) = tasks.iter().position(|(asked, task)| asked == question && is_shared(task)) {
            let task = Arc::clone(&tasks[index].1);
            if !task.progress().is_running() {
                tasks.swap_remove(index);
            }
            return Ok(Some(task));
        }
        if tasks.iter().filter(|(_, task)| task.progress().is_running()).count() >= MOST_THREADS {
            return Ok(None);
        }
        let task = Arc::new(Task {
            progress: Mutex::new(Progress::Running { since: Instant::now() }),
            progressed: Condvar::new(),
        });
        let (helpers, asked, answered) = (Arc::clone(self), question.clone(), Arc::clone(&task));
        let body = move || {
            // Without this, calls would wait until their deadline for an answer that never comes.
            let answer = catch_unwind(AssertUnwindSafe(|| helpers.work.answer(&asked)));
            // Dropping a panic's payload could panic again.
            helpers.finish(answered, answer.map_err(std::mem::forget).ok());
        };
        thread::start_named(W::THREAD_NAME, Box::new(body))?;
        tasks.push((question.clone(), Arc::clone(&task)));
        Ok(Some(task))
    }

    /// Gives the answer to every call that waits. A call that asks later gets it only if none waits now.
    fn finish(&self, task: Arc<Task<W::Answer>>, answer: Option<W::Answer>) {
        let mut tasks = self.tasks();
        // The list has the task, this thread has it, and so has each call that waits.
        let is_awaited = Arc::strong_count(&task) > 2;
        if is_awaited || answer.is_none() || !W::KEEPS_LATE_ANSWERS {
            tasks.retain(|(_, listed)| !Arc::ptr_eq(listed, &task));
        }
        *task.progress() = match answer {
            Some(answer) => Progress::Answered { answer, at: Instant::now(), at_wall: SystemTime::now() },
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
                Progress::Running { .. } => {}
                Progress::Answered { answer, .. } => return Ok(answer.clone()),
                Progress::Panicked => return Err(Unanswered::Panicked),
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
        matches!(self, Progress::Running { .. })
    }

    fn is_hanging(&self) -> bool {
        matches!(self, Progress::Running { since } if since.elapsed() > SHARED_FOR)
    }

    /// Returns true for an answer that is too old. The monotonic clock may stand still while the machine sleeps, and the
    /// wall clock may be set, so the age must be small by both.
    fn is_outdated(&self) -> bool {
        let Progress::Answered { at, at_wall, .. } = self else { return false };
        let is_recent = |age: Duration| age <= ANSWER_KEPT_FOR;
        !(is_recent(at.elapsed()) && at_wall.elapsed().is_ok_and(is_recent))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::http::call::{Calls, InFlight, Waiter};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

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
    struct Doubling<const KEEPS_LATE_ANSWERS: bool>(Gate);

    impl<const KEEPS_LATE_ANSWERS: bool> Work for Doubling<KEEPS_LATE_ANSWERS> {
        const THREAD_NAME: &str = "doubling";
        const KEEPS_LATE_ANSWERS: bool = KEEPS_LATE_ANSWERS;
        type Question = usize;
        type Answer = usize;

        fn answer(&self, number: &usize) -> usize {
            self.0.pass();
            assert_ne!(*number, 13, "on purpose");
            number * 2
        }
    }

    fn helpers() -> Arc<Helpers<Doubling<true>>> {
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
    fn answer_that_came_too_late_is_forgotten_if_not_kept() {
        let helpers = Helpers::new(Doubling::<false>::default());
        helpers.ask(&21, &begin(BRIEFLY).call).unwrap_err();
        helpers.work.0.open();
        wait_until(|| helpers.tasks().is_empty());
        assert_eq!(helpers.ask(&21, &begin(PATIENCE).call).unwrap(), 42);
        assert_eq!(helpers.work.0.begun(), 2);
    }

    #[test]
    fn kept_answer_is_outdated_by_either_clock() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let is_outdated = |at, at_wall| Progress::Answered { answer: (), at, at_wall }.is_outdated();
        let hour = Duration::from_secs(3600);
        assert!(!is_outdated(now, wall));
        assert!(is_outdated(now, wall - hour), "the machine has slept");
        assert!(is_outdated(now, wall + hour), "the wall clock was set back");
        assert!(now.checked_sub(hour).is_none_or(|before| is_outdated(before, wall)));
    }

    #[test]
    fn question_whose_thread_hangs_for_long_gets_another_thread() {
        let helpers = helpers();
        helpers.ask(&21, &begin(BRIEFLY).call).unwrap_err();
        let Some(long_ago) = Instant::now().checked_sub(SHARED_FOR * 2) else { return };
        *helpers.tasks()[0].1.progress() = Progress::Running { since: long_ago };
        helpers.ask(&21, &begin(BRIEFLY).call).unwrap_err();
        wait_until(|| helpers.work.0.begun() == 2);
        helpers.work.0.open();
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
        assert!(matches!(result, Err(Unanswered::Panicked)));
        assert!(helpers.tasks().is_empty());
    }
}
