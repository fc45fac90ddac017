//! A client: config in, verbs out.

use crate::config::Config;
use crate::diagnose;
use crate::error::{Error, Outcome};
use crate::http::{Call, Http, InFlight, Stop, Waiter};
use crate::model;
use crate::operations::{OPERATIONS, Operation};
use crate::order::Orders;
use crate::reply::judge;
use crate::request::Request;
use crate::send::{SignedDate, send};
use crate::status::Status;
use crate::strict;
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often one call asks at most.
const MOST_ATTEMPTS: u32 = 4;

/// The pause before the second attempt; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How often a request may be overtaken by later ones about the same slot, as when a host asks from many threads. One of
/// them always gets through, so this many are overtaken only by as many others.
const MOST_OVERTAKEN: u32 = 32;

/// The pause of a request that was overtaken more than once, so that those who overtake each other come apart.
const PAUSE_WHEN_OVERTAKEN: Duration = Duration::from_millis(10);

/// Clocks that show the local time as UTC are off by so much; see [`Client::believable_skew`].
const FURTHEST_TIME_ZONE: TimeDelta = TimeDelta::hours(15);

/// One product, one device, one server. Any method from any thread at any time.
#[derive(Debug)]
pub struct Client {
    config: Config,
    http: Http,
    /// What to add to this machine's clock to get the server's.
    clock_offset_ms: AtomicI64,
    /// The last second's authorisation.
    signed: Mutex<Option<Arc<SignedDate>>>,
    /// Whether the server books a consumption once for each key, once it has shown it.
    supports_idempotency: Mutex<Option<bool>>,
    orders: Orders,
}

impl Client {
    /// Opens a client. Reads the config (docs/configuration.md has its keys), the environment's proxy and certificate
    /// settings, and the hardware id; connects to nothing.
    pub fn open(config_json: &str) -> Result<Client, Error> {
        Client::with(Config::parse(config_json)?)
    }

    pub(crate) fn with(config: Config) -> Result<Client, Error> {
        let http = Http::new(&config)?;
        let orders = Orders::new(config.base_url.starts_with("https:") || config.is_local_server());
        Ok(Client {
            config,
            http,
            clock_offset_ms: AtomicI64::new(0),
            signed: Mutex::default(),
            supports_idempotency: Mutex::default(),
            orders,
        })
    }

    /// Performs one operation of [`OPERATIONS`] and returns the server's object as it came.
    pub fn call(&self, operation: &str, request_json: &str) -> Result<String, Error> {
        let request = self.prepare(operation, request_json)?;
        let in_flight = self.begin(Waiter::Host, request.timeout);
        self.perform(&in_flight.call, request).map(|answer| answer.text)
    }

    /// Performs a request that has no place in the order of requests yet, and gives it one if its operation needs it.
    ///
    /// The same request that is under way on another thread has the same place: to the server it is a repetition, so
    /// that a host that asks from many threads is not refused because they overtake each other.
    pub(crate) fn perform(&self, call: &Call, mut request: Request) -> Result<Answer, Error> {
        if !request.operation.ordered {
            return self.ask(call, &request);
        }
        let under_way = self.orders.begin(request.operation.name, request.content.clone());
        let mut refused = 0;
        self.ask_in_order(call, &mut request, &mut || {
            refused = under_way.place(refused);
            Ok(refused)
        })
    }

    /// What the client was opened with.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Whether the server books a consumption once for each `Idempotency-Key`; `None` if it has not shown it yet.
    pub(crate) fn supports_idempotency(&self) -> Option<bool> {
        *self.supports_idempotency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, as somebody remembers it, or as the server shows it.
    pub(crate) fn set_supports_idempotency(&self, honours: bool) {
        *self.supports_idempotency.lock().unwrap_or_else(PoisonError::into_inner) = Some(honours);
    }

    /// Checks a request and completes it; sends nothing.
    pub(crate) fn prepare(&self, operation: &str, request_json: &str) -> Result<Request, Error> {
        let operation = Operation::named(operation).ok_or_else(|| unknown_operation(operation, &[]))?;
        Request::prepare(operation, &self.config, request_json)
    }

    /// Begins a call of this thread, which may [`Client::ask`] more than once.
    pub(crate) fn begin(&self, waiter: Waiter, timeout: Duration) -> InFlight {
        self.http.begin(waiter, timeout)
    }

    /// The order number of the next request about a slot; see [`Orders::draw`].
    pub(crate) fn draw_order(&self, last: u64) -> u64 {
        self.orders.draw(last)
    }

    /// Asks until there is an answer that decides, as long as the request and the call allow.
    pub(crate) fn ask(&self, call: &Call, request: &Request) -> Result<Answer, Error> {
        let started = Instant::now();
        let mut attempts = 0;
        call.limit_request(Some(request.timeout));
        let result = self.persist(call, request, &mut attempts);
        call.limit_request(None);
        result.map_err(|mut error| {
            (error.attempts, error.elapsed) = (attempts, started.elapsed());
            error.operation = Some(request.operation.name);
            error
        })
    }

    /// The same for a request that a late one could undo, or that could itself come late: `draw` gives its place in the
    /// order of all requests about its slot. If the server has seen a later one, this machine's clock was behind, or
    /// another thread or process was faster, and the request is sent once more in a place further on. A request that
    /// nobody waits for any more is not.
    pub(crate) fn ask_in_order(
        &self,
        call: &Call,
        request: &mut Request,
        draw: &mut dyn FnMut() -> Result<u64, Error>,
    ) -> Result<Answer, Error> {
        let mut overtaken = 0;
        loop {
            request.order = Some(draw()?);
            let error = match self.ask(call, request) {
                Err(error) if error.status == Status::OrderOutdated && overtaken < MOST_OVERTAKEN => error,
                answer => return answer,
            };
            overtaken += 1;
            // The first time, a clock that was behind is the likely cause. After that, other calls are about the same slot.
            let pause = if overtaken == 1 { Duration::ZERO } else { jittered(PAUSE_WHEN_OVERTAKEN) };
            if call.left().is_err() || call.sleep(pause).is_err() {
                return Err(error);
            }
        }
    }

    /// Ends every call in flight with [`Status::Cancelled`], and every one that has been begun and not got that far.
    pub fn shut(&self) {
        self.http.shut();
    }

    /// Ends every call in flight with [`Status::Cancelled`]; calls made later are not touched.
    pub fn cancel(&self) {
        self.http.cancel_all();
    }

    /// Tries each step from here to the server's signature and tells how it went, as one JSON object. Takes no slot
    /// and holds no secret.
    ///
    /// # Errors
    /// [`Status::Cancelled`].
    pub fn diagnose(&self) -> Result<String, Error> {
        diagnose::report(&self.config, &self.http)
    }

    /// Repeats what may be repeated, until it is done, definite, or out of time.
    fn persist(&self, call: &Call, request: &Request, attempts: &mut u32) -> Result<Answer, Error> {
        let mut offset_ms = self.clock_offset_ms.load(Ordering::Relaxed);
        let mut corrected = false;
        let mut in_doubt = false;
        loop {
            *attempts += 1;
            let error = match self.attempt(call, request, TimeDelta::milliseconds(offset_ms)) {
                Ok(answer) => {
                    // The server's word for its time counts for other calls only once it has proven who it is.
                    self.clock_offset_ms.store(offset_ms, Ordering::Relaxed);
                    return Ok(Answer { unanswered_attempt: in_doubt, ..answer });
                }
                Err(Failed { clock_skew_ms: Some(skew_ms), .. }) if !corrected => {
                    (corrected, offset_ms) = (true, skew_ms);
                    continue;
                }
                Err(Failed { error, .. }) => error,
            };
            // A refusal tells nothing of an earlier attempt, which may have been carried out.
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

    /// One signed request and its judged reply.
    fn attempt(&self, call: &Call, request: &Request, offset: TimeDelta) -> Result<Answer, Failed> {
        let reply = send(&self.http, call, &self.config, request, &self.signed(offset))?;
        let server_time = reply.date.as_deref().and_then(model::parse_http_date);
        let skew = server_time.and_then(|time| self.believable_skew(time));
        let judged = judge(request, &reply, &self.config);
        if request.operation.is_consumption() {
            // A server repeats the key that it has heeded. A refusal without it may come from what stands before it.
            let heeded = request.idempotency_key.is_some() && reply.idempotency_key == request.idempotency_key;
            if judged.is_ok() || heeded && judged.as_ref().is_err_and(Error::is_refusal) {
                self.set_supports_idempotency(heeded);
            }
        }
        match judged {
            Ok(text) => {
                let in_order = request.order.is_some() && reply.order == request.order;
                Ok(Answer { text, signature: reply.signature, skew, in_order, unanswered_attempt: false })
            }
            Err(mut error) => {
                // A server repeats the number also where it refuses before it looks at the order, or could not keep it.
                let has_decided = error.is_refusal();
                error.in_order = has_decided && request.order.is_some() && reply.order == request.order;
                error.highest_order.into_iter().for_each(|highest| self.orders.note_refusal(highest));
                // Another date is tried only if the server has surely done nothing.
                let refused = error.status == Status::DateHeaderDiff && error.outcome == Outcome::Rejected;
                Err(Failed { error, clock_skew_ms: skew.filter(|_| refused).map(|skew| skew.num_milliseconds()) })
            }
        }
    }

    /// How far the server's clock is ahead of ours, unless somebody merely says so.
    ///
    /// Whoever answers could name a time of the future and so collect authorisations for it: they cover nothing but
    /// the date. TLS says who answers; without it a clock is believed to be off by a wrong time zone and no more.
    fn believable_skew(&self, server_time: DateTime<Utc>) -> Option<TimeDelta> {
        const SANE_YEARS: std::ops::RangeInclusive<i32> = 2020..=2100;
        let skew = server_time - Utc::now();
        let proven = self.config.base_url.starts_with("https:");
        let believable = SANE_YEARS.contains(&server_time.year()) && (proven || skew <= FURTHEST_TIME_ZONE);
        believable.then_some(skew)
    }

    /// The date of now and its signature: the API signs nothing else, so they serve for a whole second.
    fn signed(&self, offset: TimeDelta) -> Arc<SignedDate> {
        let now = Utc::now().checked_add_signed(offset).unwrap_or_else(Utc::now);
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        match &*signed {
            Some(signed) if signed.is_of(now) => Arc::clone(signed),
            _ => Arc::clone(signed.insert(Arc::new(SignedDate::new(&self.config, now)))),
        }
    }
}

/// A reply that was judged to be true.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The server's object as it came.
    pub(crate) text: String,
    /// The signature that came with it, over its very bytes.
    pub(crate) signature: Option<String>,
    /// How far the server's clock is ahead of ours, if it said so and can be believed.
    pub(crate) skew: Option<TimeDelta>,
    /// The server repeated the request's order number, so it carries out nothing that was sent before it.
    pub(crate) in_order: bool,
    /// An earlier attempt of the same request got no reply, so the server may carry it out late.
    pub(crate) unanswered_attempt: bool,
}

/// How one attempt failed.
struct Failed {
    error: Error,
    /// The server refused the request's date, and its clock is so much ahead.
    clock_skew_ms: Option<i64>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed { error, clock_skew_ms: None }
    }
}

/// How long to wait before trying again; `None` if it must not, or would not help.
///
/// What may have reached the server is repeated only if that changes nothing: asking twice is harmless, borrowing or
/// consuming twice is not.
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
    );
    let harmless = error.outcome != Outcome::Unknown || operation.idempotent;
    if !may_help || !harmless || attempts >= MOST_ATTEMPTS {
        return None;
    }
    let ours = jittered(FIRST_PAUSE * 2_u32.pow(attempts - 1));
    Some(error.retry_after.map_or(ours, |theirs| theirs.max(ours)))
}

/// Between half and three halves of `pause`, so that a thousand clients do not come back in step.
pub(crate) fn jittered(pause: Duration) -> Duration {
    pause / 2 + pause.mul_f64(f64::from(chance()) / 1000.0)
}

/// A number from 0 to 999: for scatter, not for secrets.
pub(crate) fn chance() -> u16 {
    (RandomState::new().build_hasher().finish() % 1000) as u16
}

/// `others` are known here besides the verbs.
pub(crate) fn unknown_operation(name: &str, others: &[&'static str]) -> Error {
    let shown: String = name.chars().take(40).collect();
    let known = OPERATIONS.iter().map(|operation| operation.name).chain(others.iter().copied());
    let hint = match strict::nearest(name, known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "see the table of operations in the header.".to_owned(),
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
            assert_eq!(pause_before_next(&error, ask, MOST_ATTEMPTS), None, "{status:?}");
        }
    }

    #[test]
    fn the_servers_pause_is_honoured_and_ours_grows_with_jitter() {
        let ask = Operation::named("check_license").unwrap();
        let mut limited = error(Status::RateLimited, Outcome::Rejected);
        limited.retry_after = Some(Duration::from_secs(7));
        assert_eq!(pause_before_next(&limited, ask, 1), Some(Duration::from_secs(7)));
        let lost = error(Status::Connect, Outcome::NotSent);
        for attempts in 1..MOST_ATTEMPTS {
            let middle = FIRST_PAUSE * 2_u32.pow(attempts - 1);
            let pause = pause_before_next(&lost, ask, attempts).unwrap();
            assert!(pause >= middle / 2 && pause <= middle * 3 / 2);
        }
    }
}
