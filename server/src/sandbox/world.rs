//! One world: a server with keys, data, clock, faults and journal of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use floatlease::model::{ORDER, format_http_date, parse_http_date, parse_order};
use hyper::header::{self, HeaderValue};
use hyper::{Response, Version};
use serde_json::Value;

use super::connection_info::ConnectionInfo;
use super::control_error::ControlError;
use super::fault::{self, AfterCommit, Before, Fault, FaultAction, FaultList, MatchedFault};
use super::journal::{Journal, JournalingStore, RequestRecord};
use super::keys::{random_text, signing_key};
use super::near_miss::NearMiss;
use super::options::{DateCheck, WorldOptions, check_rate};
use super::presets::Presets;
use super::request_info::{RequestInfo, shortened};
use super::time_spec::{OUT_OF_RANGE, is_in_range};
use crate::catalogue::{ApiKey, Catalogue, ClientSecret, OauthClient};
use crate::clock::{Clock, ControlledClock, whole_millis};
use crate::domain::{Due, DueKind, Holding};
use crate::http::{RateLimits, RawConnection, ReceivedRequest, Service, ServiceParts, ServiceThread, WireAction, echo};
use crate::openapi;
use crate::store::SqliteStore;
use crate::writer::Transaction;

/// Default time after which a world ends that nobody has used.
const DEFAULT_IDLE_TIME: Duration = Duration::from_secs(600);

/// A world: one server of the sandbox, as its clients see it.
pub(crate) struct World {
    pub(crate) id: String,
    pub(crate) info: ConnectionInfo,
    pub(crate) journal: Arc<Journal>,
    pub(crate) presets: Option<Presets>,
    /// API keys and OAuth clients whose requests are for this world.
    pub(crate) clients: Vec<String>,
    service: Service,
    clock: Arc<ControlledClock>,
    faults: Mutex<FaultList>,
    date_check: Mutex<DateCheck>,
    /// Request headers that are hidden from the service.
    ignored_headers: Vec<&'static str>,
    /// The last signed reply, for replays.
    previous: Mutex<Option<Response<Vec<u8>>>>,
    last_used: Mutex<Instant>,
    idle_time: Duration,
}

/// The time that a clock is to be advanced to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AdvanceTarget {
    By(TimeDelta),
    To(DateTime<Utc>),
    ToNext,
}

/// The way in which a request is answered.
enum Delivery {
    Send(Response<Vec<u8>>),
    SendLater(Duration, Response<Vec<u8>>),
    Hijack(Vec<WireAction>),
}

impl World {
    /// Starts a world, and returns it with its writer's thread. Besides its own API key, it accepts `more_keys`.
    pub(crate) fn start(
        id: String,
        options: &WorldOptions,
        base_url: &str,
        control_url: Option<String>,
        more_keys: Vec<ApiKey>,
    ) -> Result<(World, ServiceThread), ControlError> {
        let rate = check_rate(options.rate.unwrap_or(1.0))?;
        let start = options.start()?;
        let presets = options.presets.then(|| Presets::new(&id));
        let mut catalogue = options.catalogue(start, presets.as_ref())?;
        let api_key = new_api_key();
        let of_presets = presets.iter().flat_map(|presets| presets.api_keys.iter().cloned());
        for key in of_presets.chain(more_keys).chain([api_key.clone()]) {
            catalogue.add_api_key(key);
        }
        let (client_id, client_secret) = (format!("auth-company-{}", random_text(24)), random_text(40));
        catalogue.add_oauth_client(new_oauth_client(&client_id, &client_secret));
        let oauth_clients = catalogue.oauth_clients().map(|client| client.client_id.clone());
        let clients = catalogue.api_keys().map(|key| key.key.clone()).chain(oauth_clients).collect();
        let journal = Journal::new(&catalogue);
        let clock = Arc::new(ControlledClock::new(whole_millis(start), rate));
        let (service, thread) = start_service(catalogue, &journal, &clock, base_url)?;
        let mut facts = vec![
            ("base_url", base_url.to_owned()),
            ("api_key", api_key.key),
            ("shared_key", api_key.shared_key),
            ("client_id", client_id),
            ("client_secret", client_secret),
            ("public_key", service.public_key().to_owned()),
        ];
        facts.extend(control_url.map(|url| ("control_url", url)));
        let world = World {
            id,
            info: ConnectionInfo::new(facts, &service.catalogue),
            journal,
            presets,
            clients,
            service,
            clock,
            faults: Mutex::default(),
            date_check: Mutex::new(options.date_check),
            ignored_headers: options.ignored_headers(),
            previous: Mutex::default(),
            last_used: Mutex::new(Instant::now()),
            idle_time: options.idle_s.map_or(DEFAULT_IDLE_TIME, |seconds| Duration::from_secs(seconds.into())),
        };
        world.add_faults(&options.faults, start)?;
        Ok((world, thread))
    }

    /// Adds the faults of the presets and those of the options.
    fn add_faults(&self, faults: &[Fault], now: DateTime<Utc>) -> Result<(), ControlError> {
        for fault in self.presets.iter().flat_map(Presets::faults) {
            self.faults().add_preset(fault, now)?;
        }
        for fault in faults {
            self.faults().add(fault.clone(), now)?;
        }
        Ok(())
    }

    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.service.catalogue
    }

    /// Returns the world's time.
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

    /// Notes that the world is in use.
    pub(crate) fn touch(&self) {
        *lock(&self.last_used) = Instant::now();
    }

    /// Returns whether nobody has used the world for its idle time.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.last_used).elapsed() > self.idle_time
    }

    /// Answers a request, or does to its connection what a fault demands.
    ///
    /// An operation that has begun is completed even if the client closes the connection meanwhile: a slow server takes
    /// the slot all the same.
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
            // The task has panicked, or the server is being stopped.
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
        let (delivery, refusal) = match &matched {
            None => {
                let reply = self.normal_reply(&request).await;
                let refusal = self.refusal(&reply, &request);
                (Delivery::Send(reply), refusal)
            }
            Some(matched) => self.faulty_reply(matched, &request, &info).await,
        };
        let record = RequestRecord {
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
            status: delivery.status(),
            ..refusal
        };
        self.journal.add_request(self.now(), record);
        delivery
    }

    /// Replies as a server without faults does.
    async fn normal_reply(&self, request: &ReceivedRequest) -> Response<Vec<u8>> {
        let of_world = *self.date_check() == DateCheck::World;
        let now = if of_world { self.now() } else { Utc::now() };
        let reply = self.dated(self.service.reply(request, now).await);
        if reply.headers().contains_key("LicenseSignature") {
            *lock(&self.previous) = Some(reply.clone());
        }
        reply
    }

    /// Gives the reply the world's `Date`, if the `Date` of requests is compared with the world's clock.
    fn dated(&self, mut reply: Response<Vec<u8>>) -> Response<Vec<u8>> {
        if *self.date_check() == DateCheck::World
            && let Ok(date) = HeaderValue::try_from(format_http_date(self.now()))
        {
            reply.headers_mut().insert(header::DATE, date);
        }
        reply
    }

    /// Replies as the matched fault demands. The record holds what the journal says of a refusal.
    async fn faulty_reply(
        &self,
        matched: &MatchedFault,
        request: &ReceivedRequest,
        info: &RequestInfo,
    ) -> (Delivery, RequestRecord) {
        match &matched.action {
            FaultAction::Before(Before::Delay(_)) => tokio::time::sleep(matched.delay).await,
            FaultAction::Before(fault) => {
                return (self.reply_before(fault, matched, request), RequestRecord::default());
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
            FaultAction::AfterCommit(fault) => delivery_on_wire(fault, marked(reply, matched, true), closes(request)),
            FaultAction::Reply(fault) => {
                let altered = fault::alter(fault, &reply, info, previous, |body| self.service.sign(body));
                let applied = altered.is_some();
                Delivery::Send(marked(altered.unwrap_or(reply), matched, applied))
            }
            FaultAction::Before(_) => Delivery::Send(marked(reply, matched, true)),
        };
        (delivery, refusal)
    }

    /// Replies in place of the operation.
    fn reply_before(&self, fault: &Before, matched: &MatchedFault, request: &ReceivedRequest) -> Delivery {
        let reply = |mut reply| {
            // The server's own refusal repeats the request's key and number, unlike a proxy's page.
            if let Before::Code(_) | Before::UndocumentedCode(_) = fault {
                echo(request, &mut reply);
            }
            Delivery::Send(marked(self.dated(reply), matched, true))
        };
        fault::before(fault).map_or_else(Delivery::Hijack, reply)
    }

    /// Returns the part of the journal's record that explains a refusal.
    fn refusal(&self, reply: &Response<Vec<u8>>, request: &ReceivedRequest) -> RequestRecord {
        if reply.status().is_success() {
            return RequestRecord::default();
        }
        let body: Value = serde_json::from_slice(reply.body()).unwrap_or_default();
        // The token endpoint has codes of its own.
        let code = body.get("code").or(body.get("error")).and_then(Value::as_str).map(str::to_owned);
        let near_miss = code.as_deref().and_then(|code| {
            let date = reply.headers().get(header::DATE).and_then(|date| parse_http_date(date.to_str().ok()?));
            let key = self.catalogue().api_key(&request.authorization("apikey")?)?;
            NearMiss::explain(code, request, &key.shared_key, date.unwrap_or_else(Utc::now))
        });
        RequestRecord { code, near_miss, ..RequestRecord::default() }
    }

    /// Expires every access token that was issued so far.
    pub(crate) fn expire_tokens(&self) {
        self.service.expire_tokens();
    }

    /// Moves the clock forward. Everything that is due on the way happens at its time, before this returns.
    pub(crate) async fn advance(&self, target: AdvanceTarget) -> Result<Vec<Due>, ControlError> {
        let clock = Arc::clone(&self.clock);
        let journal = Arc::clone(&self.journal);
        self.work(move |transaction| {
            let due = advance_time(transaction, &clock, target)?;
            // The store keeps the events of slots. The journal gets the other events together with them.
            let untraced = due.iter().filter(|due| !matches!(due.kind, DueKind::SlotExpires | DueKind::BorrowEnds));
            untraced.for_each(|due| journal.add_due(due));
            // A commit writes the journal, so there must be a change even if nothing else has changed.
            transaction.changes.push(transaction.state.heartbeat(*transaction.now));
            Ok(due)
        })
        .await?
    }

    /// Sets the clock as an administrator corrects a computer's clock: for clients, no time has passed.
    pub(crate) async fn jump(&self, by: TimeDelta) -> Result<(), ControlError> {
        let clock = Arc::clone(&self.clock);
        self.work(move |transaction| {
            let to = check_time(clock.now().checked_add_signed(by))?;
            clock.set(to);
            transaction.jump_to(whole_millis(to));
            Ok(())
        })
        .await?
    }

    /// Returns the next events that time alone causes.
    pub(crate) async fn next_due(&self) -> Result<Vec<Due>, ControlError> {
        self.work(|transaction| transaction.state.next_due(*transaction.now)).await
    }

    /// Returns all slots that are held, and all violations of what must always be true.
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
            || ControlError::internal("this world has stopped, because its data could not be kept; make another world");
        self.service.writer.work(work).await.ok_or_else(broken)
    }
}

impl Delivery {
    /// Returns the HTTP status that the client gets to see.
    fn status(&self) -> Option<u16> {
        match self {
            Delivery::Send(reply) | Delivery::SendLater(_, reply) => Some(reply.status().as_u16()),
            Delivery::Hijack(_) => None,
        }
    }
}

/// Makes an API key of its own for a world.
fn new_api_key() -> ApiKey {
    ApiKey { key: random_text(24), shared_key: random_text(40), read_only: false, revoked: false, products: None }
}

/// Makes an OAuth client of its own for a world.
fn new_oauth_client(client_id: &str, secret: &str) -> OauthClient {
    OauthClient {
        client_id: client_id.to_owned(),
        secret: ClientSecret::of(secret),
        previous_secret: None,
        licenses: None,
        read_only: false,
        revoked: false,
        products: None,
    }
}

/// Starts the service of a world, with a store in memory.
fn start_service(
    catalogue: Catalogue,
    journal: &Arc<Journal>,
    clock: &Arc<ControlledClock>,
    base_url: &str,
) -> Result<(Service, ServiceThread), ControlError> {
    let store = SqliteStore::in_memory().map_err(|error| ControlError::internal(error.to_string()))?;
    let parts = ServiceParts {
        rate_limits: RateLimits::default(),
        catalogue,
        store: Box::new(JournalingStore { store, journal: Arc::clone(journal) }),
        clock: Arc::<ControlledClock>::clone(clock),
        key: signing_key().map_err(|error| ControlError::internal(error.to_string()))?,
        unsigned: false,
        base_url: base_url.to_owned(),
        describe: openapi::v4,
    };
    Service::start(parts).map_err(|error| ControlError::internal(error.to_string()))
}

/// Returns how a fault lets a finished reply through. `closes` ends the connection after it.
fn delivery_on_wire(fault: &AfterCommit, mut reply: Response<Vec<u8>>, closes: bool) -> Delivery {
    if closes {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let Some(mut actions) = fault::wire_actions(fault, &reply) else { return Delivery::Send(reply) };
    if closes && !matches!(actions.last(), Some(WireAction::Close | WireAction::Reset | WireAction::Hold)) {
        actions.push(WireAction::Close);
    }
    Delivery::Hijack(actions)
}

/// Returns whether the connection is to end with the reply to this request. hyper ends it, except where a fault writes
/// the reply.
fn closes(request: &ReceivedRequest) -> bool {
    let named = |name: &str| {
        let values = request.head.headers.get_all(header::CONNECTION);
        let mut options = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        options.any(|option| option.trim().eq_ignore_ascii_case(name))
    };
    let kept = request.head.version == Version::HTTP_11 || named("keep-alive");
    named("close") || !kept
}

/// Advances time to the target, from one instant at which something is due to the next.
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
                return Err(ControlError::conflict("nothing is due, now or later; advance `by` or `to` instead"));
            }
        },
    };
    let target = check_time(target)?;
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

/// Refuses a time that no world's clock may show.
fn check_time(time: Option<DateTime<Utc>>) -> Result<DateTime<Utc>, ControlError> {
    time.filter(is_in_range).ok_or_else(|| ControlError::conflict(OUT_OF_RANGE))
}

/// Adds a header to the reply that names the fault, and tells if it could not be applied.
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
