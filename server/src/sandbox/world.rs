//! A world: keys, data, clock, faults and journal of its own, behind the port of all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use floatlease::model::{ORDER, format_http_date, parse_http_date, parse_order};
use hyper::header::{self, HeaderValue};
use hyper::{Response, Version};
use serde_json::Value;

use super::connection_info::ConnectionInfo;
use super::control_error::ControlError;
use super::fault::{self, AfterCommit, Before, FaultAction, FaultList, MatchedFault};
use super::journal::{Journal, JournalingStore, RequestRecord, shortened};
use super::keys::{random_text, signing_key};
use super::near_miss::NearMiss;
use super::options::{DateCheck, WorldOptions, check_rate};
use super::presets::Presets;
use super::request_info::RequestInfo;
use super::time_spec::{BEYOND, is_of_world};
use crate::catalogue::{ApiKey, Catalogue};
use crate::clock::{Clock, ControlledClock, whole_millis};
use crate::domain::{Due, DueKind, Holding};
use crate::http::{RawConnection, ReceivedRequest, Service, ServiceParts, ServiceThread, WireAction, echo};
use crate::openapi;
use crate::store::SqliteStore;
use crate::writer::Transaction;

/// A world that nobody uses ends after so long.
const IDLE: Duration = Duration::from_secs(600);

/// A world.
pub(crate) struct World {
    pub(crate) id: String,
    pub(crate) info: ConnectionInfo,
    pub(crate) journal: Arc<Journal>,
    pub(crate) presets: Option<Presets>,
    /// API keys that lead here.
    pub(crate) api_keys: Vec<String>,
    service: Service,
    clock: Arc<ControlledClock>,
    faults: Mutex<FaultList>,
    date_check: Mutex<DateCheck>,
    /// Headers of requests that the service is not shown.
    ignored_headers: Vec<&'static str>,
    /// The last reply that was signed, for replays.
    previous: Mutex<Option<Response<Vec<u8>>>>,
    used: Mutex<Instant>,
    idle: Duration,
}

/// Where to move a clock.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AdvanceTarget {
    By(TimeDelta),
    To(DateTime<Utc>),
    ToNext,
}

/// What comes of a request.
enum Delivery {
    Reply(Response<Vec<u8>>),
    Late(Duration, Response<Vec<u8>>),
    RequestSchema(Vec<WireAction>),
}

impl World {
    /// Starts one. `facts` are what a client needs besides the keys: `base_url` first.
    pub(crate) fn start(
        id: String,
        options: &WorldOptions,
        base_url: &str,
        control_url: Option<String>,
        more_keys: Vec<ApiKey>,
    ) -> Result<(World, ServiceThread), ControlError> {
        let internal = |error: std::io::Error| ControlError::internal(error.to_string());
        let rate = check_rate(options.rate.unwrap_or(1.0))?;
        let start = options.start()?;
        let presets = options.presets.then(|| Presets::new(&id));
        let mut catalogue = options.catalogue(start, presets.as_ref())?;
        let (api_key, shared_key) = (random_text(24), random_text(40));
        let of_presets = presets.iter().flat_map(|presets| presets.api_keys.iter().cloned());
        for key in of_presets.chain(more_keys) {
            catalogue.add_api_key(key);
        }
        catalogue.add_api_key(ApiKey {
            key: api_key.clone(),
            shared_key: shared_key.clone(),
            read_only: false,
            revoked: false,
            products: None,
        });
        let api_keys = catalogue.api_keys().map(|key| key.key.clone()).collect();
        let journal = Journal::new(&catalogue);
        let clock = Arc::new(ControlledClock::new(whole_millis(start), rate));
        let store = SqliteStore::in_memory().map_err(|error| ControlError::internal(error.to_string()))?;
        let parts = ServiceParts {
            catalogue,
            store: Box::new(JournalingStore { store, journal: Arc::clone(&journal) }),
            clock: Arc::<ControlledClock>::clone(&clock),
            key: signing_key().map_err(internal)?,
            unsigned: false,
            base_url: base_url.to_owned(),
            describe: openapi::v4,
        };
        let (service, thread) = Service::start(parts).map_err(|error| ControlError::internal(error.to_string()))?;
        let mut facts = vec![
            ("base_url", base_url.to_owned()),
            ("api_key", api_key),
            ("shared_key", shared_key),
            ("public_key", service.public_key().to_owned()),
        ];
        facts.extend(control_url.map(|url| ("control_url", url)));
        let world = World {
            id,
            info: ConnectionInfo::new(facts, &service.catalogue),
            journal,
            presets,
            api_keys,
            service,
            clock,
            faults: Mutex::default(),
            date_check: Mutex::new(options.date_check),
            ignored_headers: options.ignored_headers(),
            previous: Mutex::default(),
            used: Mutex::new(Instant::now()),
            idle: options.idle_s.map_or(IDLE, |seconds| Duration::from_secs(seconds.into())),
        };
        for fault in world.presets.iter().flat_map(Presets::faults) {
            world.faults().add_preset(fault, start)?;
        }
        for fault in &options.faults {
            world.faults().add(fault.clone(), start)?;
        }
        Ok((world, thread))
    }

    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.service.catalogue
    }

    /// The world's time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        whole_millis(self.clock.now())
    }

    pub(crate) fn clock(&self) -> &ControlledClock {
        &self.clock
    }

    pub(crate) fn date_check(&self) -> MutexGuard<'_, DateCheck> {
        lock(&self.date_check)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, FaultList> {
        lock(&self.faults)
    }

    /// Notes that somebody uses it.
    pub(crate) fn touch(&self) {
        *lock(&self.used) = Instant::now();
    }

    /// Whether nobody has used it for too long.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.used).elapsed() > self.idle
    }

    /// Answers a request, or does to its line what a fault says. What is begun is ended even if the client has gone
    /// meanwhile: a server that is slow takes the slot all the same.
    pub(crate) async fn reply(
        self: Arc<Self>,
        request: ReceivedRequest,
        connection: RawConnection,
    ) -> Response<Vec<u8>> {
        match tokio::spawn(async move { self.answer(request).await }).await {
            Ok(Delivery::Send(reply)) => reply,
            Ok(Delivery::SendLater(delay, reply)) => {
                tokio::time::sleep(delay).await;
                reply
            }
            Ok(Delivery::Hijack(actions)) => match connection.hijack(actions).await {},
            // A defect, or the end of the server.
            Err(_) => match connection.hijack(vec![WireAction::Close]).await {},
        }
    }

    async fn answer(&self, mut request: ReceivedRequest) -> Delivery {
        self.touch();
        let started = Instant::now();
        let info = RequestInfo::new(&request);
        for name in &self.ignored_headers {
            request.head.headers.remove(*name);
        }
        let matched = self.faults().find(&info, self.now());
        let (delivery, outcome) = match &matched {
            None => {
                let reply = self.normal_reply(&request).await;
                let refusal = self.refusal(&reply, &request);
                (Delivery::Send(reply), refusal)
            }
            Some(matched) => self.faulty_reply(matched, &request, &info).await,
        };
        let note = RequestRecord {
            method: request.head.method.to_string(),
            path: shortened(request.path()),
            operation: info.operation,
            license_key: info.text("license_key").map(shortened),
            username: info.text("username").map(shortened),
            hardware_id: info.text("hardware_id").map(shortened),
            feature: info.text("feature").map(shortened),
            order: info.header(ORDER).and_then(parse_order),
            fault_id: matched.as_ref().map(|matched| matched.id),
            fault: matched.as_ref().map(|matched| matched.action.name()),
            elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            status: match &delivery {
                Delivery::Send(reply) | Delivery::SendLater(_, reply) => Some(reply.status().as_u16()),
                Delivery::Hijack(_) => None,
            },
            ..outcome
        };
        self.journal.add_request(self.now(), note);
        delivery
    }

    /// As a server without faults answers.
    async fn normal_reply(&self, request: &ReceivedRequest) -> Response<Vec<u8>> {
        let of_world = *self.date_check() == DateCheck::World;
        let now = if of_world { self.now() } else { Utc::now() };
        let reply = self.dated(self.service.reply(request, now).await);
        if reply.headers().contains_key("LicenseSignature") {
            *lock(&self.previous) = Some(reply.clone());
        }
        reply
    }

    /// The reply with the world's `Date`, if that of requests is held against the world's clock.
    fn dated(&self, mut reply: Response<Vec<u8>>) -> Response<Vec<u8>> {
        if *self.date_check() == DateCheck::World
            && let Ok(date) = HeaderValue::try_from(format_http_date(self.now()))
        {
            reply.headers_mut().insert(header::DATE, date);
        }
        reply
    }

    async fn faulty_reply(
        &self,
        matched: &MatchedFault,
        request: &ReceivedRequest,
        info: &RequestInfo,
    ) -> (Delivery, RequestRecord) {
        match &matched.action {
            FaultAction::Before(Before::Delay(_)) => tokio::time::sleep(matched.delay).await,
            FaultAction::Before(fault) => {
                let reply = |mut reply| {
                    // The server's own refusal, unlike a page of a proxy's, repeats what the request was named by.
                    if let Before::Code(_) | Before::UndocumentedCode(_) = fault {
                        echo(request, &mut reply);
                    }
                    Delivery::Send(marked(self.dated(reply), matched, true))
                };
                return (fault::before(fault).map_or_else(Delivery::Hijack, reply), RequestRecord::default());
            }
            FaultAction::AfterCommit(_) | FaultAction::Reply(_) => {}
        }
        let previous = lock(&self.previous).clone();
        let reply = self.normal_reply(request).await;
        let refusal = self.refusal(&reply, request);
        let delivery = match &matched.action {
            FaultAction::AfterCommit(AfterCommit::Delay(_)) => {
                Delivery::SendLater(matched.delay, marked(reply, matched, true))
            }
            FaultAction::AfterCommit(fault) => {
                let mut reply = marked(reply, matched, true);
                let closes = closes(request);
                if closes {
                    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                let actions = fault::actions(fault, &reply).map(|mut actions| {
                    if closes
                        && !matches!(actions.last(), Some(WireAction::Close | WireAction::Reset | WireAction::Hold))
                    {
                        actions.push(WireAction::Close);
                    }
                    actions
                });
                actions.map_or(Delivery::Send(reply), Delivery::Hijack)
            }
            FaultAction::Reply(fault) => {
                let altered = fault::alter(fault, &reply, info, previous, |body| self.service.sign(body));
                let applied = altered.is_some();
                Delivery::Send(marked(altered.unwrap_or(reply), matched, applied))
            }
            FaultAction::Before(_) => Delivery::Send(marked(reply, matched, true)),
        };
        (delivery, refusal)
    }

    /// What the journal says of a refusal.
    fn refusal(&self, reply: &Response<Vec<u8>>, request: &ReceivedRequest) -> RequestRecord {
        if reply.status().is_success() {
            return RequestRecord::default();
        }
        let body: Value = serde_json::from_slice(reply.body()).unwrap_or_default();
        let code = body.get("code").and_then(Value::as_str).map(str::to_owned);
        let near_miss = code.as_deref().and_then(|code| {
            let date = reply.headers().get(header::DATE).and_then(|date| parse_http_date(date.to_str().ok()?));
            let key = self.catalogue().api_key(&request.authorization("apikey")?)?;
            NearMiss::of(code, request, &key.shared_key, date.unwrap_or_else(Utc::now))
        });
        RequestRecord { code, near_miss, ..RequestRecord::default() }
    }

    /// Moves the clock forward. Everything due on the way happens at its time, and has happened when this returns.
    pub(crate) async fn advance(&self, target: AdvanceTarget) -> Result<Vec<Due>, ControlError> {
        let clock = Arc::clone(&self.clock);
        let journal = Arc::clone(&self.journal);
        self.work(move |transaction| {
            let due = advance_time(transaction, &clock, target)?;
            // The store keeps the events of slots; the rest goes into the journal with them.
            let untraced = due.iter().filter(|due| !matches!(due.kind, DueKind::SlotExpires | DueKind::BorrowEnds));
            untraced.for_each(|due| journal.add_due(due));
            // Not every advance changes anything else, and the journal is written by a commit.
            transaction.changes.push(transaction.state.heartbeat(*transaction.now));
            Ok(due)
        })
        .await?
    }

    /// Sets the clock as an administrator does whose machine's clock was wrong: no time has passed for anybody.
    pub(crate) async fn jump(&self, by: TimeDelta) -> Result<(), ControlError> {
        let clock = Arc::clone(&self.clock);
        self.work(move |transaction| {
            let to = of_world(clock.now().checked_add_signed(by))?;
            clock.set(to);
            transaction.jump_to(whole_millis(to));
            Ok(())
        })
        .await?
    }

    /// What comes next if nobody does anything.
    pub(crate) async fn next_due(&self) -> Result<Vec<Due>, ControlError> {
        self.work(|transaction| transaction.state.next_due(*transaction.now)).await
    }

    /// Who holds what, and what is wrong.
    pub(crate) async fn audit(&self) -> Result<(Vec<Holding>, Vec<String>), ControlError> {
        self.work(|transaction| {
            (transaction.state.holdings(*transaction.now), transaction.state.violations(*transaction.now))
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> T + Send + 'static,
    ) -> Result<T, ControlError> {
        let broken =
            || ControlError::internal("this world's data could not be kept, so it has stopped; make another one");
        self.service.writer.work(work).await.ok_or_else(broken)
    }
}

/// Whether the connection is to end with the reply to this request. HTTP sees to it, except where a fault writes the reply.
fn closes(request: &ReceivedRequest) -> bool {
    let named = |name: &str| {
        let values = request.head.headers.get_all(header::CONNECTION);
        let mut options = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        options.any(|option| option.trim().eq_ignore_ascii_case(name))
    };
    let kept = request.head.version == Version::HTTP_11 || named("keep-alive");
    named("close") || !kept
}

/// Lets time pass up to the target, from one instant at which something is due to the next.
fn advance_time(
    transaction: &mut Transaction<'_>,
    clock: &ControlledClock,
    target: AdvanceTarget,
) -> Result<Vec<Due>, ControlError> {
    let Transaction { state, now, changes } = transaction;
    state.free_expired(**now, changes);
    let target = match target {
        AdvanceTarget::By(by) => now.checked_add_signed(by),
        AdvanceTarget::To(to) => Some(whole_millis(to)),
        AdvanceTarget::ToNext => match state.next_due(**now).first() {
            Some(due) => Some(due.at),
            None => {
                return Err(ControlError::conflict(
                    "nothing is due, however long you wait; advance `by` or `to` instead",
                ));
            }
        },
    };
    let target = of_world(target)?;
    if target < **now {
        return Err(ControlError::conflict("a clock advances forward only; use /clock/jump to set it back"));
    }
    let mut all = Vec::new();
    loop {
        let next = state.next_due(**now);
        let Some(at) = next.first().map(|due| due.at).filter(|at| *at <= target) else { break };
        **now = at;
        state.free_expired(at, changes);
        all.extend(next);
    }
    **now = target;
    clock.set(target);
    Ok(all)
}

/// A time that the clock may be moved to.
fn of_world(time: Option<DateTime<Utc>>) -> Result<DateTime<Utc>, ControlError> {
    time.filter(is_of_world).ok_or_else(|| ControlError::conflict(BEYOND))
}

/// Says in the reply that a fault was at work, or would have been if it could.
fn marked(mut reply: Response<Vec<u8>>, matched: &MatchedFault, applied: bool) -> Response<Vec<u8>> {
    let applied = if applied { "" } else { " not-applicable" };
    let text = format!("{} {}{applied}", matched.id, matched.action.name());
    reply.headers_mut().extend(HeaderValue::try_from(text).ok().map(|text| (HEADER.clone(), text)));
    reply
}

static HEADER: header::HeaderName = header::HeaderName::from_static("x-sandbox-fault");

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
