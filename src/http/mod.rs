//! One exchange with the server. The only place that knows ureq.
//!
//! ureq's own timeouts, resolver and TCP transport are not used: with any timeout set it starts a thread for each
//! request, and nothing in it can be woken. Deadlines and cancelling live in [`call`], sockets in [`transport`]. Nor is its
//! TLS: it would verify certificates on the call's thread, for as long as the system likes.

mod buffers;
mod call;
mod dial;
mod failure;
mod helpers;
mod kept;
mod no_proxy;
mod proxy;
mod resolver;
mod secure;
mod socket;
mod tls;
mod transport;
mod tunnel;
#[cfg(any(windows, target_vendor = "apple", test))]
mod verifier;

pub(crate) use call::{Call, Calls, InFlight, Stop, Trace, Waiter, pause_call_of_thread};

use crate::config::{Config, Threads, TlsRoots};
use crate::error::{Error, Outcome};
use crate::model::parse_order;
use crate::operations::Method;
use crate::status::{Category, Status};
use kept::Kept;
use proxy::Proxy;
use resolver::Names;
use rustls::ClientConfig;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use ureq::config::AutoHeaderValue;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, RETRY_AFTER};
use ureq::http::{HeaderValue, Request, StatusCode};
use ureq::{Agent, Body};

/// The longest reply that is read. Replies of the API are far shorter.
const LONGEST_REPLY_BYTES: u64 = 1024 * 1024;

/// How many connections are kept at least, for calls on the host's own threads.
const LEAST_KEPT_CONNECTIONS: usize = 4;

/// Carries a reply's v2 signature.
static LICENSE_SIGNATURE: HeaderName = HeaderName::from_static("licensesignature");

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// [`crate::model::ORDER`] as this library spells header names.
static ORDER: HeaderName = HeaderName::from_static("floatlease-order");

/// Connections to one server.
#[derive(Debug)]
pub(crate) struct Http {
    /// The connections that are kept. Another one takes its place to close them, because an agent that ureq shuts down
    /// makes no connection any more.
    agent: Mutex<Agent>,
    calls: Arc<Calls>,
    kept: Arc<Kept>,
    names: Names,
    route: Route,
    /// Which authorities are trusted, in words.
    pub(crate) roots: String,
}

/// The way to the server.
#[derive(Debug, Clone)]
struct Route {
    proxy: Option<Arc<Proxy>>,
    /// `None` if neither the server nor the proxy speaks TLS.
    tls: Option<Arc<ClientConfig>>,
    /// The time limit of a new connection: for resolving the name, connecting and TLS together.
    connect_timeout: Duration,
    user_agent: String,
    /// True if the server speaks plain `http`, so that a proxy passes requests on.
    is_plain: bool,
}

/// A request.
pub(crate) struct Exchange<'a> {
    pub(crate) method: Method,
    /// True if the server may carry it out twice without harm.
    pub(crate) may_be_repeated: bool,
    pub(crate) url: &'a str,
    /// `Date` and `Authorization`. A request that fetches a token or asks where to has neither.
    pub(crate) authorization: Option<(&'a str, &'a str)>,
    pub(crate) content_type: &'static str,
    pub(crate) idempotency_key: Option<&'a str>,
    pub(crate) order: Option<u64>,
    pub(crate) body: &'a str,
}

/// A reply, whatever its status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// `LicenseSignature`.
    pub(crate) signature: Option<String>,
    /// `Idempotency-Key`, as a server repeats it that knows what it means.
    pub(crate) idempotency_key: Option<String>,
    /// `FloatLease-Order`: the request's own number from a server that knows it, a higher one with a refusal.
    pub(crate) order: Option<u64>,
    /// `Date`.
    pub(crate) date: Option<String>,
    /// `Retry-After`, in seconds or as a date; a date is for the caller to subtract.
    pub(crate) retry_after: Option<String>,
}

/// Why nothing came back.
#[derive(Debug)]
pub(crate) struct Lost {
    status: Status,
    detail: Option<String>,
    outcome: Outcome,
    /// The status line, if at least that came.
    http_status: Option<u16>,
}

impl From<Lost> for Error {
    fn from(lost: Lost) -> Error {
        let mut error = Error::new(lost.status).with_outcome(lost.outcome);
        (error.detail, error.http_status) = (lost.detail, lost.http_status);
        error
    }
}

impl Http {
    /// Prepares connections as `config` says; connects to nothing yet. The only place that reads the environment:
    /// proxy variables and `SSL_CERT_FILE`.
    pub(crate) fn new(config: &Config) -> Result<Http, Error> {
        Http::to_server(config, &config.base_url, Arc::new(Calls::new(config.threads)), None)
    }

    /// Prepares connections to another server. They share the calls of this one, and its trusted authorities.
    pub(crate) fn to_other_server(&self, config: &Config, url: &str) -> Result<Http, Error> {
        let tls = self.route.tls.clone().map(|tls| (tls, self.roots.clone()));
        Http::to_server(config, url, Arc::clone(&self.calls), tls)
    }

    /// Prepares connections to the server of a URL. `tls` is the setting of another server, with its authorities in words.
    fn to_server(
        config: &Config,
        url: &str,
        calls: Arc<Calls>,
        tls: Option<(Arc<ClientConfig>, String)>,
    ) -> Result<Http, Error> {
        let proxy = Proxy::to(config, url)?.map(Arc::new);
        let is_plain = url.starts_with("http:");
        let needs_tls = !is_plain || proxy.as_ref().is_some_and(|proxy| proxy.is_secure());
        let (tls, roots) = match (tls, &config.tls_roots) {
            (Some((tls, roots)), _) => (Some(tls), roots),
            (None, TlsRoots::Platform | TlsRoots::Bundled) if !needs_tls => (None, "none".to_owned()),
            (None, chosen) => tls::client_config(chosen, &calls).map(|(tls, roots)| (Some(tls), roots))?,
        };
        // A burst of submitted calls finds the connections of the one before. Without threads of the library, nothing would
        // close them later.
        let of_burst = if config.threads == Threads::Library { config.max_parallel } else { 0 };
        let kept_connections = of_burst.max(LEAST_KEPT_CONNECTIONS);
        let settings = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // ureq would read the environment by rules of its own.
            .proxy(None)
            .user_agent(config.user_agent())
            .accept("application/json")
            .accept_encoding(AutoHeaderValue::None)
            .timeout_global(None)
            .timeout_await_100(None)
            .max_idle_connections(kept_connections)
            .max_idle_connections_per_host(kept_connections)
            .max_idle_age(Duration::from_secs(60))
            .max_response_header_size(buffers::LONGEST_HEAD_BYTES)
            .build();
        let (connect_timeout, user_agent) = (config.connect_timeout, config.user_agent());
        Ok(Http::with_parts(settings, calls, Route { proxy, tls, connect_timeout, user_agent, is_plain }, roots))
    }

    /// Copies the settings and shares the calls, without a connection yet.
    pub(crate) fn unconnected(&self) -> Http {
        let tls = self.route.tls.as_deref().map(tls::without_sessions);
        let route = Route { tls, ..self.route.clone() };
        Http::with_parts(self.agent().config().clone(), Arc::clone(&self.calls), route, self.roots.clone())
    }

    fn with_parts(settings: ureq::config::Config, calls: Arc<Calls>, route: Route, roots: String) -> Http {
        let kept = Arc::new(Kept::new(route.connect_timeout));
        let names = Names::new();
        let agent = Mutex::new(new_agent(settings, &calls, &kept, &names, &route));
        Http { agent, calls, kept, names, route, roots }
    }

    fn agent(&self) -> MutexGuard<'_, Agent> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The proxy's host and port, if there is one, without its credentials.
    pub(crate) fn proxy_address(&self) -> Option<String> {
        self.route.proxy.as_ref().map(|proxy| proxy.address())
    }

    /// Says in a sentence which setting names the proxy, if there is one.
    pub(crate) fn proxy_origin(&self) -> Option<String> {
        self.route.proxy.as_ref().map(|proxy| proxy.origin())
    }

    /// Says which proxy has passed a reply on, if there is one that may have made the reply itself: TLS would show that.
    pub(crate) fn passed_on_by(&self) -> Option<String> {
        self.proxy_origin().filter(|_| self.route.is_plain)
    }

    /// Uses no connection again that was made before.
    pub(crate) fn forget_connections(&self) {
        self.kept.forget_all();
    }

    /// Closes each connection that is kept now, and each one in use once its request has ended. A later request makes a
    /// new one.
    pub(crate) fn close_connections(&self) {
        let mut agent = self.agent();
        let fresh = new_agent(agent.config().clone(), &self.calls, &self.kept, &self.names, &self.route);
        let closed = std::mem::replace(&mut *agent, fresh);
        // Requests go on while the sockets are closed, which happens here: a request under way has an agent of its own.
        drop(agent);
        drop(closed);
    }

    /// Registers a call of this thread that ends by itself after `timeout`. A thread has one at a time.
    pub(crate) fn begin(&self, waiter: Waiter, timeout: Duration) -> InFlight {
        self.calls.begin(waiter, std::time::Instant::now() + timeout)
    }

    /// Cancels every call but those that release leases, and every call that begins later.
    pub(crate) fn shut(&self) {
        self.calls.shut();
    }

    /// Returns true once [`Http::shut`] was called.
    pub(crate) fn is_shut(&self) -> bool {
        self.calls.is_shut()
    }

    /// Ends every call that the host waits for.
    pub(crate) fn cancel_all(&self) {
        self.calls.cancel_all();
    }

    /// Sends one request and reads its reply, within the deadline of `call`, which must be this thread's.
    pub(crate) fn exchange(&self, call: &Call, exchange: &Exchange) -> Result<Reply, Lost> {
        self.kept.begin_request();
        call.begin_attempt(exchange.may_be_repeated);
        let result = self.run(call, exchange);
        let has_reused = call.end_attempt();
        if has_reused && result.is_err() {
            // What has ended this kept connection may have ended the others too, and each would cost as much again.
            self.kept.forget_all();
        }
        result
    }

    fn run(&self, call: &Call, exchange: &Exchange) -> Result<Reply, Lost> {
        let lost = |error: &ureq::Error, http_status: Option<u16>| {
            let (status, detail) = failure::verdict(error);
            let detail = match status {
                Status::TlsUnknownCa => Some(format!("Trusted are {}. {}", self.roots, detail.unwrap_or_default())),
                _ => detail,
            };
            let outcome = if call.was_sent() { Outcome::Unknown } else { Outcome::NotSent };
            Lost { status, detail: self.with_proxy(status, detail), outcome, http_status }
        };
        let mut request =
            Request::builder().uri(exchange.url).header(CONTENT_TYPE, HeaderValue::from_static(exchange.content_type));
        if let Some((date, authorization)) = exchange.authorization {
            request = request.header(DATE, date).header(AUTHORIZATION, authorization);
        }
        if let Some(key) = exchange.idempotency_key {
            request = request.header(&IDEMPOTENCY_KEY, key);
        }
        if let Some(order) = exchange.order {
            request = request.header(&ORDER, order);
        }
        // Its pool is the one that the connection returns to.
        let agent = self.agent().clone();
        let response = match exchange.method {
            Method::Get => agent.run(request.method("GET").body(()).map_err(|e| lost(&e.into(), None))?),
            Method::Post => {
                let body = exchange.body.as_bytes();
                agent.run(request.method("POST").body(body).map_err(|e| lost(&e.into(), None))?)
            }
        };
        let (parts, body) = response.map_err(|error| lost(&error, None))?.into_parts();
        if let (StatusCode::PROXY_AUTHENTICATION_REQUIRED, Some(proxy)) = (parts.status, self.passed_on_by()) {
            // The proxy has not passed the request on.
            let (status, outcome) = (Status::ProxyAuth, Outcome::Rejected);
            return Err(Lost { status, detail: Some(proxy), outcome, http_status: Some(parts.status.as_u16()) });
        }
        let body = read(body, parts.status).map_err(|error| match error {
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Lost {
                status: Status::ReplyTruncated,
                detail: None,
                outcome: Outcome::Unknown,
                http_status: Some(parts.status.as_u16()),
            },
            error => lost(&error, Some(parts.status.as_u16())),
        })?;
        Ok(Reply {
            status: parts.status.as_u16(),
            body,
            signature: header(&parts.headers, &LICENSE_SIGNATURE),
            idempotency_key: header(&parts.headers, &IDEMPOTENCY_KEY),
            order: header(&parts.headers, &ORDER).as_deref().and_then(parse_order),
            date: header(&parts.headers, &DATE),
            retry_after: header(&parts.headers, &RETRY_AFTER),
        })
    }

    /// Adds to a failure on the way which setting has led it through a proxy.
    fn with_proxy(&self, status: Status, detail: Option<String>) -> Option<String> {
        match &self.route.proxy {
            Some(proxy) if status.row().category == Category::Network && status != Status::Cancelled => {
                let words = detail.map(|detail| format!(" {detail}")).unwrap_or_default();
                Some(format!("{}{words}", proxy.origin()))
            }
            _ => detail,
        }
    }
}

/// Makes an agent that has no connection yet.
fn new_agent(
    settings: ureq::config::Config,
    calls: &Arc<Calls>,
    kept: &Arc<Kept>,
    names: &Names,
    route: &Route,
) -> Agent {
    let connect = transport::Connect {
        calls: Arc::clone(calls),
        kept: Arc::clone(kept),
        names: names.clone(),
        route: route.clone(),
    };
    Agent::with_parts(settings, connect, resolver::Later)
}

fn read(body: Body, status: StatusCode) -> Result<Vec<u8>, ureq::Error> {
    // The body of a redirect is not needed.
    if status.is_redirection() {
        return Ok(Vec::new());
    }
    body.into_with_config().limit(LONGEST_REPLY_BYTES).read_to_vec()
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    std::str::from_utf8(headers.get(name)?.as_bytes()).ok().map(str::to_owned)
}
