//! Whether the server is known to be away, as the requests of a client have found out.
//!
//! A server that is away costs each request its time limit. The first request that finds it away therefore notes that here,
//! and calls whose work can wait do not try again before a pause has passed. The pause begins with a second and doubles with
//! each further failure, up to a minute. Any answer of the server to this client ends it.

use crate::error::{Error, Outcome};
use crate::status::{Category, Status};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Mean pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Mean pause after many failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After the pause, the server still counts as away for this long, so that the thread that tries it can begin.
const GRACE: Duration = Duration::from_secs(1);
/// Number of replies lost in a row after which the server is away. A single reply is also lost by a server that restarts.
const MOST_LOST: u32 = 4;
/// The least time that a request has waited for its reply when it shows that the server is away. A shorter time limit of
/// the host may be too short for a server that is well.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// What the requests of a client have found out about the way to the server.
#[derive(Debug)]
pub(crate) struct Reachability {
    /// Makes a pause differ from client to client, so that they do not all come back at the same moment.
    jitter: fn(Duration) -> Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the server has answered last.
    answered_at: Option<Instant>,
    /// The number of replies that were lost since then.
    lost: u32,
    outage: Option<Outage>,
}

#[derive(Debug)]
struct Outage {
    /// The failure that was noted last.
    error: Error,
    pause: Duration,
    retry_at: Instant,
    /// The number of threads that try the server now.
    probes: usize,
}

/// The right to try a server that is away. Until this is dropped, the server counts as away for other calls.
pub(crate) struct Probe<'a>(&'a Reachability);

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if let Some(outage) = &mut self.0.state().outage {
            outage.probes = outage.probes.saturating_sub(1);
        }
    }
}

impl Reachability {
    pub(crate) fn new(jitter: fn(Duration) -> Duration) -> Reachability {
        Reachability { jitter, state: Mutex::default() }
    }

    /// Notes the end of a request that began at `begun_at`. The failure of the host's own making, such as a cancel, tells
    /// nothing about the server.
    pub(crate) fn note<T>(&self, begun_at: Instant, result: &Result<T, &Error>) {
        match result {
            Ok(_) => self.note_answer(),
            Err(error) if error.server_code.is_some() || error.status == Status::RateLimited => self.note_answer(),
            Err(error) if is_failure_to_reach(error, begun_at) => self.note_failure(begun_at, error),
            Err(_) => {}
        }
    }

    /// Returns why the server is away, if it is known to be.
    pub(crate) fn outage(&self) -> Option<Error> {
        let state = self.state();
        let outage = state.outage.as_ref()?;
        (outage.probes > 0 || Instant::now() < outage.retry_at + GRACE).then(|| outage.error.clone())
    }

    /// Returns the time until a server that is away is to be tried again.
    pub(crate) fn pause_left(&self) -> Option<Duration> {
        let retry_at = self.state().outage.as_ref()?.retry_at;
        Some(retry_at.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    /// Begins to try a server that may be away.
    pub(crate) fn probe(&self) -> Probe<'_> {
        self.state().outage.iter_mut().for_each(|outage| outage.probes += 1);
        Probe(self)
    }

    fn note_answer(&self) {
        *self.state() = State { answered_at: Some(Instant::now()), ..State::default() };
    }

    fn note_failure(&self, begun_at: Instant, error: &Error) {
        let mut state = self.state();
        if state.answered_at.is_some_and(|answered_at| begun_at < answered_at) {
            // The server has answered another request meanwhile.
            return;
        }
        if error.outcome == Outcome::Unknown && error.status != Status::Timeout {
            state.lost += 1;
            if state.lost < MOST_LOST {
                return;
            }
        }
        let (pause, probes) = match &state.outage {
            None => (FIRST_PAUSE, 0),
            // Requests that were under way at the same time tell of the same failure.
            Some(outage) if begun_at < outage.retry_at => (outage.pause, outage.probes),
            Some(outage) => ((outage.pause * 2).min(LONGEST_PAUSE), outage.probes),
        };
        let retry_at = Instant::now() + (self.jitter)(pause);
        state.outage = Some(Outage { error: error.clone(), pause, retry_at, probes });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_failure_to_reach(error: &Error, begun_at: Instant) -> bool {
    let is_of_network = error.status.row().category == Category::Network && error.status != Status::Cancelled;
    let has_waited = error.status != Status::Timeout || begun_at.elapsed() >= LEAST_WAIT;
    is_of_network && has_waited && error.http_status.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reachability() -> Reachability {
        Reachability::new(|pause| pause)
    }

    fn fail(reachability: &Reachability, status: Status, outcome: Outcome) {
        let begun_at = Instant::now();
        reachability.note::<()>(begun_at, &Err(&Error::new(status).with_outcome(outcome)));
    }

    /// Moves the end of the pause to this moment.
    fn end_pause(reachability: &Reachability) {
        reachability.state().outage.as_mut().unwrap().retry_at = Instant::now();
    }

    #[test]
    fn refused_connection_shows_that_server_is_away() {
        let reachability = reachability();
        assert!(reachability.outage().is_none());
        fail(&reachability, Status::Connect, Outcome::NotSent);
        assert_eq!(reachability.outage().map(|error| error.status), Some(Status::Connect));
        assert!(reachability.pause_left().is_some_and(|left| left <= FIRST_PAUSE));
    }

    #[test]
    fn answer_ends_outage() {
        let reachability = reachability();
        fail(&reachability, Status::Connect, Outcome::NotSent);
        reachability.note(Instant::now(), &Ok(()));
        assert!(reachability.outage().is_none());
        fail(&reachability, Status::Connect, Outcome::NotSent);
        let mut refusal = Error::new(Status::LicenseExpired).with_outcome(Outcome::Rejected);
        refusal.server_code = Some("license_expired".to_owned());
        reachability.note::<()>(Instant::now(), &Err(&refusal));
        assert!(reachability.outage().is_none());
    }

    #[test]
    fn page_of_a_proxy_is_neither_answer_nor_failure() {
        let reachability = reachability();
        let mut page = Error::new(Status::ServerError).with_outcome(Outcome::Unknown);
        page.http_status = Some(503);
        reachability.note::<()>(Instant::now(), &Err(&page));
        assert!(reachability.outage().is_none());
        fail(&reachability, Status::Connect, Outcome::NotSent);
        reachability.note::<()>(Instant::now(), &Err(&page));
        assert!(reachability.outage().is_some());
    }

    #[test]
    fn pause_doubles_up_to_a_minute() {
        let reachability = reachability();
        let mut pauses_s = Vec::new();
        for _ in 0..8 {
            fail(&reachability, Status::Connect, Outcome::NotSent);
            // Another request that failed at the same time.
            fail(&reachability, Status::Connect, Outcome::NotSent);
            pauses_s.push(reachability.state().outage.as_ref().unwrap().pause.as_secs());
            end_pause(&reachability);
        }
        assert_eq!(pauses_s, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn lost_replies_show_an_outage_only_in_a_row() {
        let reachability = reachability();
        for number in 1..=MOST_LOST {
            assert!(reachability.outage().is_none(), "{number}");
            fail(&reachability, Status::ConnectionLost, Outcome::Unknown);
        }
        assert!(reachability.outage().is_some());
        reachability.note(Instant::now(), &Ok(()));
        fail(&reachability, Status::ConnectionLost, Outcome::Unknown);
        assert!(reachability.outage().is_none());
    }

    #[test]
    fn time_limit_and_cancel_of_host_show_nothing() {
        let reachability = reachability();
        fail(&reachability, Status::Timeout, Outcome::Unknown);
        fail(&reachability, Status::Cancelled, Outcome::NotSent);
        fail(&reachability, Status::OutOfResources, Outcome::NotSent);
        assert!(reachability.outage().is_none());
    }

    #[test]
    fn failure_older_than_an_answer_shows_nothing() {
        let reachability = reachability();
        let begun_at = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        reachability.note(begun_at, &Ok(()));
        let error = Error::new(Status::Connect);
        reachability.note::<()>(begun_at, &Err(&error));
        assert!(reachability.outage().is_none());
    }

    #[test]
    fn server_counts_as_away_while_it_is_probed() {
        let reachability = reachability();
        fail(&reachability, Status::Connect, Outcome::NotSent);
        reachability.state().outage.as_mut().unwrap().retry_at = Instant::now() - 2 * GRACE;
        assert!(reachability.outage().is_none());
        let probe = reachability.probe();
        assert!(reachability.outage().is_some());
        drop(probe);
        assert!(reachability.outage().is_none());
    }
}
