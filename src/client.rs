//! A client: performs operations, repeats failed requests, and corrects the clock.

use crate::config::Config;
use crate::diagnose;
use crate::error::{Error, Outcome};
use crate::http::{Call, Http, InFlight, Stop, Waiter};
use crate::model;
use crate::oauth::{Token, Tokens};
use crate::offline;
use crate::operations::{OFFLINE_FILES, OPERATIONS, Operation};
use crate::order::Orders;
use crate::random;
use crate::reachability::Reachability;
use crate::reply::judge;
use crate::request::Request;
use crate::send::{SignedDate, send};
use crate::server_clock::ServerClock;
use crate::status::Status;
use crate::strict;
use crate::uptime;
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Maximum number of requests that one call sends.
const MAX_ATTEMPTS: u32 = 4;

/// Pause before the second attempt. It doubles before each further attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Pause before a request that was overtaken more than once, so that requests stop overtaking each other. It grows with
/// each time, until [`MOST_PAUSES_WHEN_OVERTAKEN`].
///
/// A host that asks from many threads causes that. One of the requests always gets through, so each of them does in time.
const PAUSE_WHEN_OVERTAKEN: Duration = Duration::from_millis(10);

/// How many of these pauses the longest pause has.
const MOST_PAUSES_WHEN_OVERTAKEN: u32 = 32;

/// The time between two values of a `Date` header, which tells whole seconds.
const DATE_STEP: TimeDelta = TimeDelta::seconds(1);

/// Maximum error of a clock that shows the local time as UTC; see [`Client::believable_skew`].
const MAX_TIME_ZONE_OFFSET: TimeDelta = TimeDelta::hours(15);

/// A client for one product, one device and one server. Any thread may call any method at any time.
#[derive(Debug)]
pub struct Client {
    config: Config,
    http: Http,
    /// The access tokens, if the config authorises by an OAuth client.
    tokens: Option<Tokens>,
    /// Milliseconds to add to this machine's clock to get the server's.
    clock_offset_ms: AtomicI64,
    /// The authorisation of the last second in which a request was sent.
    signed: Mutex<Option<Arc<SignedDate>>>,
    /// True if the server books a consumption once for each `Idempotency-Key`; `None` until a reply has shown it.
    supports_idempotency: Mutex<Option<bool>>,
    orders: Orders,
    server_clock: Arc<ServerClock>,
    reachability: Reachability,
}

impl Client {
    /// Opens a client. `docs/configuration.md` lists the keys of the config.
    ///
    /// Reads the environment's proxy and certificate settings and the hardware id. Makes no connection.
    pub fn open(config_json: &str) -> Result<Client, Error> {
        Client::with(Config::parse(config_json)?)
    }

    pub(crate) fn with(config: Config) -> Result<Client, Error> {
        let http = Http::new(&config)?;
        let tokens = Tokens::of(&config, &http)?;
        let knows_server = config.base_url.starts_with("https:") || config.is_local_server();
        Ok(Client {
            config,
            http,
            tokens,
            clock_offset_ms: AtomicI64::new(0),
            signed: Mutex::default(),
            supports_idempotency: Mutex::default(),
            orders: Orders::new(knows_server),
            server_clock: Arc::new(ServerClock::new(knows_server)),
            reachability: Reachability::new(jittered),
        })
    }

    /// Performs one operation of [`OPERATIONS`] and returns the server's object as it arrived, or writes or reads a file of
    /// offline activation.
    pub fn call(&self, operation: &str, request_json: &str) -> Result<String, Error> {
        if let Some(operation) = Operation::of_file(operation) {
            return self.call_offline(operation, request_json);
        }
        let request = self.prepare(operation, request_json)?;
        let in_flight = self.begin(Waiter::Host, request.timeout);
        self.perform(&in_flight.call, request).map(|answer| answer.text)
    }

    /// Writes or reads a file of offline activation. Sends nothing.
    pub(crate) fn call_offline(&self, operation: &'static Operation, request_json: &str) -> Result<String, Error> {
        offline::call(operation, &self.config, request_json, self.server_clock.date().unwrap_or_else(model::now))
    }

    /// Performs a request, and gives it an order number if its operation needs one.
    ///
    /// Equal requests that run on several threads share one number. The server takes them for repetitions, so it
    /// refuses none of them because another thread was faster.
    pub(crate) fn perform(&self, call: &Call, mut request: Request) -> Result<Answer, Error> {
        if !request.operation.is_ordered() {
            return self.ask(call, &request);
        }
        let under_way = self.orders.begin(request.operation.name, request.content.clone());
        let mut refused = 0;
        self.ask_in_order(call, &mut request, &mut || {
            refused = under_way.number(refused);
            Ok(refused)
        })
    }

    /// Returns the config that the client was opened with.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Returns true if the server books a consumption once for each `Idempotency-Key`; `None` until a reply has shown
    /// it.
    pub(crate) fn supports_idempotency(&self) -> Option<bool> {
        *self.supports_idempotency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the result of [`Client::supports_idempotency`], from a reply or from a file that keeps it.
    pub(crate) fn set_supports_idempotency(&self, supports: bool) {
        *self.supports_idempotency.lock().unwrap_or_else(PoisonError::into_inner) = Some(supports);
    }

    /// Returns the server's clock, which every verified reply sets.
    pub(crate) fn server_clock(&self) -> Arc<ServerClock> {
        Arc::clone(&self.server_clock)
    }

    /// Returns whether the server is known to be away, which every request of this client notes.
    pub(crate) fn reachability(&self) -> &Reachability {
        &self.reachability
    }

    /// Checks a request and completes it from the config. Sends nothing.
    pub(crate) fn prepare(&self, operation: &str, request_json: &str) -> Result<Request, Error> {
        let operation = Operation::named(operation).ok_or_else(|| unknown_operation(operation, &[]))?;
        Request::prepare(operation, &self.config, request_json)
    }

    /// Begins a call of this thread. Several [`Client::ask`] may share its deadline.
    pub(crate) fn begin(&self, waiter: Waiter, timeout: Duration) -> InFlight {
        self.http.begin(waiter, timeout)
    }

    /// Returns the order number for the next request about a slot; see [`Orders::draw`].
    pub(crate) fn draw_order(&self, last: u64) -> u64 {
        self.orders.draw(last)
    }

    /// Sends a request, and repeats it until a reply decides or the deadline of the request or call passes.
    pub(crate) fn ask(&self, call: &Call, request: &Request) -> Result<Answer, Error> {
        let started = Instant::now();
        let mut attempts = 0;
        call.limit_request(Some(request.timeout));
        let result = self.retry(call, request, &mut attempts);
        call.limit_request(None);
        result.map_err(|mut error| {
            (error.attempts, error.elapsed) = (attempts, started.elapsed());
            error.operation = Some(request.operation.name);
            error
        })
    }

    /// Sends a request with an order number, as [`Client::ask`] does. `draw` returns the number.
    ///
    /// The server refuses a number that is lower than one it has seen for the slot. Then this machine's clock was
    /// behind, or another thread or process was faster, and this function draws a higher number and sends again. It
    /// stops when the call has ended.
    pub(crate) fn ask_in_order(
        &self,
        call: &Call,
        request: &mut Request,
        draw: &mut dyn FnMut() -> Result<u64, Error>,
    ) -> Result<Answer, Error> {
        let (mut overtaken, mut earlier) = (0_u32, Outcome::NotSent);
        loop {
            request.order = Some(draw().map_err(|error| error.after(earlier))?);
            let error = match self.ask(call, request).map_err(|error| error.after(earlier)) {
                Err(error) if error.status == Status::OrderOutdated => error,
                answer => return answer,
            };
            earlier = error.outcome;
            overtaken = overtaken.saturating_add(1);
            // At first a clock that was behind is the likely cause. After that, other calls are about the same slot.
            let pauses = if overtaken == 1 { 0 } else { overtaken.min(MOST_PAUSES_WHEN_OVERTAKEN) };
            match call.pause(jittered(PAUSE_WHEN_OVERTAKEN * pauses)).and_then(|()| call.left()) {
                Ok(_) => {}
                Err(Stop::Timeout) => return Err(error),
                Err(Stop::Cancelled) => return Err(Error::new(Status::Cancelled).with_outcome(error.outcome)),
            }
        }
    }

    /// Ends every call in flight with [`Status::Cancelled`], and every later call too, and closes the connections.
    pub fn shut(&self) {
        self.http.shut();
        self.close_connections();
    }

    /// Returns true once [`Client::shut`] was called.
    pub(crate) fn is_shut(&self) -> bool {
        self.http.is_shut()
    }

    /// Ends every call in flight with [`Status::Cancelled`]. Later calls are not touched.
    pub fn cancel(&self) {
        self.http.cancel_all();
    }

    /// Uses no connection again that was made before, as after a sleep of the machine.
    pub(crate) fn forget_connections(&self) {
        self.http.forget_connections();
        self.tokens.iter().for_each(Tokens::forget_connections);
    }

    /// Closes the connections, those in use once their requests have ended. A later request makes a new one.
    pub(crate) fn close_connections(&self) {
        self.http.close_connections();
        self.tokens.iter().for_each(Tokens::close_connections);
    }

    /// Tests each step of the way to the server, and returns a report as one JSON object. Takes no slot; the report
    /// holds no secret.
    ///
    /// # Errors
    /// [`Status::Cancelled`] if another thread cancels it.
    pub fn diagnose(&self) -> Result<String, Error> {
        self.diagnose_with(None)
    }

    /// Does the same, with the check of the stored files.
    pub(crate) fn diagnose_with(&self, storage: Option<diagnose::Check>) -> Result<String, Error> {
        diagnose::report(&self.config, &self.http, self.tokens.as_ref(), storage)
    }

    /// Sends a request until a reply decides, a failure must not be repeated, or time is up.
    fn retry(&self, call: &Call, request: &Request, attempts: &mut u32) -> Result<Answer, Error> {
        let mut offset_ms = self.clock_offset_ms.load(Ordering::Relaxed);
        let mut corrected = false;
        let mut in_doubt = false;
        // The number of the token that the server has refused.
        let mut refused_token = 0;
        loop {
            *attempts += 1;
            let (begun_at, is_over) = (Instant::now(), call.left().is_err());
            let attempt = self.attempt(call, request, TimeDelta::milliseconds(offset_ms), refused_token);
            if !is_over {
                self.reachability.note(begun_at, &attempt.as_ref().map_err(|failed| &failed.error));
            }
            let error = match attempt {
                Ok(answer) => {
                    // Other calls use the server's time only after a verified reply.
                    self.clock_offset_ms.store(offset_ms, Ordering::Relaxed);
                    return Ok(Answer { unanswered_attempt: in_doubt, ..answer });
                }
                Err(Failed { clock_skew_ms: Some(skew_ms), .. }) if !corrected => {
                    (corrected, offset_ms) = (true, skew_ms);
                    continue;
                }
                // Once only: a server that refuses a fresh token too would refuse any.
                Err(Failed { refused_token: Some(number), .. }) if refused_token == 0 => {
                    refused_token = number;
                    continue;
                }
                Err(Failed { error, .. }) => told_of_correction(error, corrected),
            };
            // A refusal does not tell whether the server carried out an earlier attempt.
            let error = if in_doubt { error.with_outcome(Outcome::Unknown) } else { error };
            in_doubt |= error.outcome == Outcome::Unknown;
            let pause = pause_before_next(&error, request.operation, *attempts);
            let (Some(pause), Ok(left)) = (pause, call.left()) else {
                return Err(error);
            };
            if pause >= left {
                return Err(error);
            }
            if call.sleep(pause) == Err(Stop::Cancelled) {
                return Err(Error::new(Status::Cancelled).with_outcome(error.outcome));
            }
        }
    }

    /// Sends one authorised request and judges its reply.
    fn attempt(&self, call: &Call, request: &Request, offset: TimeDelta, refused_token: u64) -> Result<Answer, Failed> {
        let signed = self.authorised(call, offset, refused_token)?;
        let (sent_uptime_ms, sent_at) = (uptime::now_ms(), model::now());
        let reply = send(&self.http, call, &self.config, request, &signed)?;
        let server_time = reply.date.as_deref().and_then(model::parse_http_date);
        let skew = server_time.and_then(|time| self.believable_skew(time, sent_at));
        let judged = judge(request, &reply, &self.config, signed.token().map(Token::to_secret).as_ref());
        if request.operation.is_consumption() {
            // A server repeats the key that it used. A refusal without the key may come from a gateway before it.
            let heeded = request.idempotency_key.is_some() && reply.idempotency_key == request.idempotency_key;
            if judged.is_ok() || heeded && judged.as_ref().is_err_and(Error::is_refusal) {
                self.set_supports_idempotency(heeded);
            }
        }
        match judged {
            Ok(text) => {
                let in_order = request.order.is_some() && reply.order == request.order;
                // Not by the wall clock, which may be set while the reply is on its way.
                let date_at_sending = skew.and_then(|skew| sent_at.checked_add_signed(skew));
                date_at_sending.into_iter().for_each(|date| self.server_clock.note(date, sent_uptime_ms));
                Ok(Answer { text, signature: reply.signature, in_order, unanswered_attempt: false })
            }
            Err(mut error) => {
                if matches!(error.status, Status::ServerError | Status::ReplyNotApi) {
                    error.detail = error.detail.take().or_else(|| self.http.passed_on_by());
                }
                // A server also repeats the number when it refuses before it compares or stores the number.
                let has_decided = error.is_refusal();
                error.in_order = has_decided && request.order.is_some() && reply.order == request.order;
                error.highest_order.into_iter().for_each(|highest| self.orders.note_refusal(highest));
                // Another date is tried only if the server has certainly done nothing.
                let refused = |status: Status| error.status == status && error.outcome == Outcome::Rejected;
                let clock_skew_ms =
                    skew.filter(|_| refused(Status::DateHeaderDiff)).map(|skew| skew.num_milliseconds());
                let is_about_token = refused(Status::OauthTokenExpired) || refused(Status::OauthTokenMalformed);
                let refused_token = signed.token().filter(|_| is_about_token).map(|token| token.number);
                Err(Failed { error, clock_skew_ms, refused_token })
            }
        }
    }

    /// Returns how far the server's clock is ahead of ours at most, or `None` if the time is not believable.
    ///
    /// A `Date` header was written after the request was sent at `sent_at`, and up to [`DATE_STEP`] after the second that
    /// it tells. A license must not last longer here than at the server, so the latest possible time counts.
    ///
    /// An authorisation covers the date alone. An attacker who answers with a future time could collect authorisations
    /// for that time. TLS proves who answers; without TLS a clock may be wrong by a time zone and no more.
    fn believable_skew(&self, server_time: DateTime<Utc>, sent_at: DateTime<Utc>) -> Option<TimeDelta> {
        const SANE_YEARS: std::ops::RangeInclusive<i32> = 2020..=2100;
        // Anybody may have written the date, and chrono ends the process's thread at a date beyond its years.
        if !SANE_YEARS.contains(&server_time.year()) {
            return None;
        }
        let skew = server_time + DATE_STEP - sent_at;
        let proven = self.config.base_url.starts_with("https:");
        (proven || skew <= MAX_TIME_ZONE_OFFSET).then_some(skew)
    }

    /// Returns the current date with the proof that a request may be made: a signature, or an access token.
    ///
    /// The API signs only the date, so one signature serves a whole second.
    fn authorised(&self, call: &Call, offset: TimeDelta, refused_token: u64) -> Result<Arc<SignedDate>, Error> {
        let tokens = self.tokens.as_ref();
        let token = tokens.map(|tokens| tokens.get(&self.http, &self.config, call, refused_token)).transpose()?;
        let now = model::now().checked_add_signed(offset).unwrap_or_else(model::now);
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match &*signed {
            Some(signed) if signed.is_of(now, token.as_ref()) => Arc::clone(signed),
            _ => Arc::clone(signed.insert(Arc::new(SignedDate::new(&self.config, token, now)))),
        })
    }
}

/// A reply that was verified.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The server's object as it arrived.
    pub(crate) text: String,
    /// The reply's signature over these bytes.
    pub(crate) signature: Option<String>,
    /// The server repeated the request's order number, so it ignores requests that were sent before.
    pub(crate) in_order: bool,
    /// An earlier attempt of this request got no reply, so the server may still carry it out.
    pub(crate) unanswered_attempt: bool,
}

/// The failure of one attempt.
struct Failed {
    error: Error,
    /// How far the server's clock is ahead, if the server refused the request's date.
    clock_skew_ms: Option<i64>,
    /// The number of the request's access token, if the server refused that.
    refused_token: Option<u64>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed { error, clock_skew_ms: None, refused_token: None }
    }
}

/// Adds to the refusal of a date whether the library had corrected it.
fn told_of_correction(error: Error, corrected: bool) -> Error {
    if error.status != Status::DateHeaderDiff {
        return error;
    }
    let what = if corrected {
        "The server refused the date also after the library had corrected it."
    } else {
        "The library could not correct it: the reply tells no date, or one that is not believed without TLS."
    };
    let said = error.detail.as_deref().map(|said| format!("{}. ", said.trim_end_matches('.'))).unwrap_or_default();
    error.with_detail(said + what)
}

/// Returns the pause before the next attempt; `None` if a repetition must not happen or would not help.
///
/// A request that may have reached the server is repeated only if that changes nothing there. A second check is
/// harmless; a second borrow or consumption is not.
fn pause_before_next(error: &Error, operation: &Operation, attempts: u32) -> Option<Duration> {
    let may_help = matches!(
        error.status,
        Status::Dns
            | Status::Connect
            | Status::Proxy
            | Status::Timeout
            | Status::ConnectionLost
            | Status::ReplyTruncated
            | Status::RateLimited
            | Status::ServerError
            | Status::ServerInternalError
            | Status::OutOfResources
    );
    let harmless = error.outcome != Outcome::Unknown || operation.idempotent;
    // A server that names the time has counted the request against a limit, which many clients may share that start
    // together. It is asked until the call ends.
    let is_told_when = error.status == Status::RateLimited && error.retry_after.is_some();
    if !may_help || !harmless || attempts >= MAX_ATTEMPTS && !is_told_when {
        return None;
    }
    let ours = jittered(FIRST_PAUSE * 2_u32.pow((attempts - 1).min(MAX_ATTEMPTS)));
    // Many clients are told the same time, and must not all come back at once.
    Some(error.retry_after.unwrap_or_default() + ours)
}

/// Returns a random pause from half to three halves of `pause`, so that many clients do not retry at the same moment.
pub(crate) fn jittered(pause: Duration) -> Duration {
    pause / 2 + pause.mul_f64(f64::from(chance()) / 1000.0)
}

/// Returns a random number from 0 to 999. It is for jitter, not for secrets.
pub(crate) fn chance() -> u16 {
    let mut bytes = [0; 2];
    // Without random numbers a pause is as long as any other client's.
    let _ = random::fill(&mut bytes);
    u16::from_le_bytes(bytes) % 1000
}

/// Returns the error for an unknown operation. `others` are the names that the caller knows besides [`OPERATIONS`].
pub(crate) fn unknown_operation(name: &str, others: &[&'static str]) -> Error {
    let shown: String = name.chars().take(40).collect();
    let known = OPERATIONS.iter().chain(OFFLINE_FILES).map(|operation| operation.name).chain(others.iter().copied());
    let hint = match strict::nearest(name, known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "docs/operations.md lists all of them.".to_owned(),
    };
    Error::because(Status::UnknownOperation, format!("\"{shown}\" is not an operation: {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: Status, outcome: Outcome) -> Error {
        Error::new(status).with_outcome(outcome)
    }

    #[test]
    fn only_what_is_harmless_is_repeated() {
        let ask = Operation::named("check_license").unwrap();
        let take = Operation::named("borrow_license").unwrap();
        for (status, outcome, asks, takes) in [
            (Status::Connect, Outcome::NotSent, true, true),
            (Status::OutOfResources, Outcome::NotSent, true, true),
            (Status::ConnectionLost, Outcome::Unknown, true, false),
            (Status::ServerError, Outcome::Unknown, true, false),
            (Status::RateLimited, Outcome::Rejected, true, true),
            (Status::ReplySignature, Outcome::Unknown, false, false),
            (Status::FloatingNotAvailable, Outcome::Rejected, false, false),
            (Status::Cancelled, Outcome::NotSent, false, false),
        ] {
            let error = error(status, outcome);
            assert_eq!(pause_before_next(&error, ask, 1).is_some(), asks, "{status:?}");
            assert_eq!(pause_before_next(&error, take, 1).is_some(), takes, "{status:?}");
            assert_eq!(pause_before_next(&error, ask, MAX_ATTEMPTS), None, "{status:?}");
        }
    }

    #[test]
    fn refusal_that_names_a_time_is_repeated_until_the_call_ends() {
        let ask = Operation::named("check_license").unwrap();
        let mut limited = error(Status::RateLimited, Outcome::Rejected);
        limited.retry_after = Some(Duration::from_secs(1));
        for attempts in [MAX_ATTEMPTS, 40] {
            assert!(pause_before_next(&limited, ask, attempts).is_some_and(|pause| pause < Duration::from_secs(10)));
        }
        limited.status = Status::ServerError;
        assert_eq!(pause_before_next(&limited, ask, MAX_ATTEMPTS), None);
    }

    #[test]
    fn the_servers_pause_is_honoured_and_ours_grows_with_jitter() {
        let ask = Operation::named("check_license").unwrap();
        let mut limited = error(Status::RateLimited, Outcome::Rejected);
        limited.retry_after = Some(Duration::from_secs(7));
        let pause = pause_before_next(&limited, ask, 1).unwrap().saturating_sub(Duration::from_secs(7));
        assert!(pause >= FIRST_PAUSE / 2 && pause <= FIRST_PAUSE * 3 / 2, "{pause:?} more than the server says");
        let lost = error(Status::Connect, Outcome::NotSent);
        for attempts in 1..MAX_ATTEMPTS {
            let middle = FIRST_PAUSE * 2_u32.pow(attempts - 1);
            let pause = pause_before_next(&lost, ask, attempts).unwrap();
            assert!(pause >= middle / 2 && pause <= middle * 3 / 2);
        }
    }
}
