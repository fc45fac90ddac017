//! Holds a lease while a command runs, and passes on what happens meanwhile.
//!
//! The thread of `run` decides everything. Other threads tell it what happens, through one channel: a signal, an event of
//! the library, the end of the command, and the end of a call of the library that may take its time.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use floatlease::lease::{Lease, Session, caught};
use floatlease::status::Category;
use floatlease::{Error, Status};
use serde_json::{Value, json};

use crate::arguments::{LeaseArguments, OnLoss};
use crate::child::{self, Child, NotStarted};
use crate::commands::{acquire_request, millis, settle};
use crate::exit_code;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::{self, Received};

/// How long to wait for an event before the next wait begins.
const EVENT_WAIT: Duration = Duration::from_secs(60 * 60);
/// How often a call is cancelled until it ends. The first time may have been before it began.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);

/// What one of the threads tells.
enum Happening {
    Signal(Received),
    /// An event of the library, as JSON.
    Event(String),
    /// The acquire is done.
    Acquired(Result<Lease, Error>),
    /// The command has ended.
    Ended(io::Result<ExitStatus>),
    /// The release is done.
    Released(Result<(), Error>),
}

/// Holds a lease while the command runs. Returns the exit code.
pub(crate) fn run(session: Session, arguments: &LeaseArguments, output: &Output) -> Result<u8, Failure> {
    let (tell, happenings) = mpsc::channel();
    let told = tell.clone();
    // Before any other thread starts, so that no signal ends the process between the acquire and the release.
    let caught_signals = signals::catch(move |received| drop(told.send(Happening::Signal(received))));
    caught_signals.map_err(|error| shortage(&format!("Signals can't be caught: {error}.")))?;
    let session = Arc::new(session);
    tell_events(&session, tell.clone())?;
    let run = Run { session: &session, arguments, output, tell, happenings };
    let result = run.acquire().and_then(|acquired| match acquired {
        Acquired::Lease(lease) => run.hold(lease),
        Acquired::StoppedBy(code) => Ok(code),
    });
    session.close();
    result
}

fn shortage(message: &str) -> Error {
    Error::because(Status::OutOfResources, message)
}

/// Reads the events of the library on a thread of its own.
fn tell_events(session: &Arc<Session>, tell: Sender<Happening>) -> Result<(), Error> {
    let session = Arc::clone(session);
    in_background(move || {
        loop {
            match session.next_event(EVENT_WAIT) {
                Ok(Some(event)) => drop(tell.send(Happening::Event(event))),
                Ok(None) => {}
                // A call was cancelled, and the lease goes on.
                Err(error) if error.status == Status::Cancelled => {}
                Err(_) => return,
            }
        }
    })
}

fn in_background(work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started = thread::Builder::new().spawn(work);
    started.map(drop).map_err(|error| shortage(&format!("A thread can't be started: {error}.")))
}

/// What came of the acquire.
enum Acquired {
    Lease(Lease),
    /// A signal has ended the wait. This is the exit code.
    StoppedBy(u8),
}

/// One run of the command.
struct Run<'a> {
    session: &'a Arc<Session>,
    arguments: &'a LeaseArguments,
    output: &'a Output,
    tell: Sender<Happening>,
    happenings: Receiver<Happening>,
}

impl Run<'_> {
    /// Takes the slots, unless a signal ends the wait for them.
    fn acquire(&self) -> Result<Acquired, Failure> {
        let (session, request) = (Arc::clone(self.session), self.request());
        self.call(move || session.acquire(&request).map(|(lease, _)| lease), Happening::Acquired)?;
        let (mut stopped_by, mut is_waiting) = (None, false);
        loop {
            match self.next(stopped_by.is_some()) {
                Some(Happening::Signal(signal)) if signal.is_end => {
                    stopped_by = Some(child::of_signal(signal.number));
                }
                Some(Happening::Event(event)) if !is_waiting && event.starts_with(r#"{"event":"WAITING""#) => {
                    is_waiting = true;
                    self.output.warn(&format!("no license yet, waiting: {}", reason(&parsed(&event))));
                }
                Some(Happening::Acquired(Ok(lease))) => {
                    return Ok(match stopped_by.or_else(|| self.came_meanwhile()) {
                        None => Acquired::Lease(lease),
                        Some(code) => {
                            self.release(lease)?;
                            Acquired::StoppedBy(code)
                        }
                    });
                }
                Some(Happening::Acquired(Err(error))) => {
                    settle(self.session, &self.arguments.features, &error);
                    return stopped_by.map(Acquired::StoppedBy).ok_or_else(|| error.into());
                }
                _ => {}
            }
        }
    }

    /// Returns the exit code of a signal that has come by now. A key of the terminal reaches the processes that are there
    /// when it is pressed, so the command would not get it.
    fn came_meanwhile(&self) -> Option<u8> {
        self.happenings.try_iter().find_map(|happening| match happening {
            Happening::Signal(signal) if signal.is_end => Some(child::of_signal(signal.number)),
            Happening::Event(event) => {
                // No lease is lost as soon as it is acquired, so no event asks for an end.
                let _ = self.react(&parsed(&event));
                None
            }
            _ => None,
        })
    }

    fn request(&self) -> String {
        let LeaseArguments { features, wait, grace, .. } = self.arguments;
        let times = [("wait_ms", *wait), ("grace_ms", *grace)];
        let more: Vec<_> = times.into_iter().filter_map(|(key, time)| Some((key, millis(time?)))).collect();
        acquire_request(features, &more)
    }

    /// Runs the command, and releases the lease when it has ended.
    fn hold(&self, lease: Lease) -> Result<u8, Failure> {
        let tell = self.tell.clone();
        let started = Child::start(&self.arguments.command, move |status| drop(tell.send(Happening::Ended(status))));
        let ended = started.map(|child| self.attend(&child));
        self.release(lease)?;
        ended.map_err(|NotStarted { code, message }| Failure::usage(Status::BadValue, message).with_code(code))
    }

    /// Passes on signals and reacts to events until the command has ended. Returns the exit code.
    fn attend(&self, child: &Child) -> u8 {
        let mut stopped_by_loss = None;
        loop {
            match self.next(false) {
                Some(Happening::Signal(signal)) if !signal.reaches_command => child.pass_on(signal.number),
                Some(Happening::Event(event)) => {
                    if let Some(code) = self.react(&parsed(&event)) {
                        stopped_by_loss = Some(code);
                        child.stop();
                    }
                }
                Some(Happening::Ended(status)) => {
                    return stopped_by_loss.unwrap_or_else(|| status.map_or(exit_code::NO, child::exit_code));
                }
                _ => {}
            }
        }
    }

    /// Tells the user of an event. Returns an exit code if the command must end.
    fn react(&self, event: &Value) -> Option<u8> {
        let is_stopped = self.arguments.on_loss == OnLoss::Stop;
        let sentence = match event["event"].as_str().unwrap_or_default() {
            "GRACE_STARTED" => {
                let left = Duration::from_secs(event["remaining_ms"].as_u64().unwrap_or_default() / 1000);
                let then = if is_stopped { "is ended" } else { "has no license" };
                format!(
                    "the license is lost: {} In {} the command {then}.",
                    reason(event),
                    humantime::format_duration(left)
                )
            }
            "LOST" => {
                let then = if is_stopped { "The command is ended." } else { "The command goes on without a license." };
                format!("the license is lost: {} {then}", reason(event))
            }
            "REGAINED" => "the license is back.".to_owned(),
            "BORROW_ENDING" => {
                format!("the borrow ends at {}.", event["borrowed_until"].as_str().unwrap_or("its date"))
            }
            "EXPIRING" => "the license expires soon.".to_owned(),
            _ => return None,
        };
        self.output.warn(&sentence);
        (is_stopped && event["event"] == "LOST").then(|| code_of(event))
    }

    /// Releases the lease. Borrows stay. A signal that asks to end cuts the release short.
    ///
    /// # Errors
    /// No thread can be started.
    fn release(&self, lease: Lease) -> Result<(), Failure> {
        let release = move || lease.release_keeping_borrows("{}").map(drop);
        self.call(release, Happening::Released)?;
        let mut is_stopped = false;
        loop {
            match self.next(is_stopped) {
                Some(Happening::Signal(signal)) => is_stopped |= signal.is_end,
                Some(Happening::Released(released)) => {
                    if let Err(error) = released {
                        self.output.warn(&format!(
                            "the slot is not given back: {} The next floatlease on this machine settles it, or the \
                             server frees it after its timeout.",
                            error.message()
                        ));
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    /// Makes a call of the library on a thread of its own, which tells its result.
    fn call<T: 'static>(
        &self,
        call: impl FnOnce() -> Result<T, Error> + Send + 'static,
        told_as: fn(Result<T, Error>) -> Happening,
    ) -> Result<(), Error> {
        let tell = self.tell.clone();
        in_background(move || {
            let (mut call, mut result) = (Some(call), None);
            let contained = caught(&mut || result = call.take().map(|call| call()));
            // Without an answer, `next` would wait for ever.
            let defect = || Err(Error::because(Status::Internal, contained.err().unwrap_or_default()));
            drop(tell.send(told_as(result.unwrap_or_else(defect))));
        })
    }

    /// Waits for what happens next. If the user wants an end, cancels the call under way again and again.
    fn next(&self, is_stopped: bool) -> Option<Happening> {
        if !is_stopped {
            // This keeps a sender, so the channel stays open.
            return self.happenings.recv().ok();
        }
        self.session.cancel();
        self.happenings.recv_timeout(CANCEL_INTERVAL).ok()
    }
}

fn parsed(event: &str) -> Value {
    serde_json::from_str(event).unwrap_or(json!({}))
}

/// Why an event came, as a sentence.
fn reason(event: &Value) -> &str {
    event["reason"].as_str().unwrap_or("the server did not say why.")
}

/// The exit code of the status in an event.
fn code_of(event: &Value) -> u8 {
    let status = event["status"].as_i64().and_then(|number| Status::of_number(i32::try_from(number).ok()?));
    let category = status.map(|status| status.row().category).filter(|category| *category != Category::Ok);
    exit_code::of(category.unwrap_or(Category::License))
}
