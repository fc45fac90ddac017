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
mod resolver;
mod secure;
mod socket;
mod tls;
mod transport;
#[cfg(any(windows, target_vendor = "apple", test))]
mod verifier;

pub(crate) use call::{Call, Calls, InFlight, Stop, Trace, Waiter, pause_call_of_thread};

use crate::config::{Config, ProxyChoice, TlsRoots};
use crate::error::Error;
use crate::model::parse_order;
use crate::operations::Method;
use crate::status::Status;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use ureq::config::AutoHeaderValue;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, RETRY_AFTER};
use ureq::http::{HeaderValue, Request, StatusCode};
use ureq::{Agent, Body, Proxy, ProxyProtocol};

/// The longest reply that is read. Replies of the API are far shorter.
const LONGEST_REPLY_BYTES: u64 = 1024 * 1024;

/// Carries a reply's v2 signature.
static LICENSE_SIGNATURE: HeaderName = HeaderName::from_static("licensesignature");

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// [`crate::model::ORDER`] as this library spells header names.
static ORDER: HeaderName = HeaderName::from_static("floatlease-order");

/// Connections to one server.
#[derive(Debug)]
pub(crate) struct Http {
    agent: Agent,
    calls: Arc<Calls>,
    connect_timeout: Duration,
    /// Without TLS.
    is_plain: bool,
    /// `None` if neither the server nor the proxy speaks TLS.
    tls: Option<Arc<ClientConfig>>,
    /// The proxy's host and port, if there is one, without its credentials.
    pub(crate) proxy: Option<String>,
    /// Which authorities are trusted, in words.
    pub(crate) roots: String,
}

/// A request.
pub(crate) struct Exchange<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a str,
    pub(crate) date: &'a str,
    pub(crate) authorization: &'a str,
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
    pub(crate) status: Status,
    pub(crate) detail: Option<String>,
    /// True if a byte of the request may have left this machine.
    pub(crate) sent: bool,
    /// The status line, if at least that came.
    pub(crate) http_status: Option<u16>,
}

impl Http {
    /// Copies the settings and shares the calls, without a connection yet.
    pub(crate) fn unconnected(&self) -> Http {
        let tls = self.tls.as_deref().map(tls::without_sessions);
        let connector = transport::connector(&self.calls, self.connect_timeout, self.is_plain, tls.clone());
        Http {
            agent: Agent::with_parts(self.agent.config().clone(), connector, resolver::Later),
            calls: Arc::clone(&self.calls),
            connect_timeout: self.connect_timeout,
            is_plain: self.is_plain,
            tls,
            proxy: self.proxy.clone(),
            roots: self.roots.clone(),
        }
    }

    /// Prepares connections as `config` says; connects to nothing yet. The only place that reads the environment:
    /// proxy variables and `SSL_CERT_FILE`.
    pub(crate) fn new(config: &Config) -> Result<Http, Error> {
        let proxy = choose_proxy(config)?;
        let is_plain = config.base_url.starts_with("http:");
        let needs_tls = !is_plain || proxy.as_ref().is_some_and(|proxy| proxy.protocol() == ProxyProtocol::Https);
        let calls = Arc::new(Calls::default());
        let (tls, roots) = match &config.tls_roots {
            TlsRoots::Platform | TlsRoots::Bundled if !needs_tls => (None, "none".to_owned()),
            chosen => tls::client_config(chosen, &calls).map(|(tls, roots)| (Some(tls), roots))?,
        };
        let proxy_name = proxy.as_ref().map(|proxy| format!("{}:{}", proxy.host(), proxy.port()));
        let settings = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .user_agent(config.user_agent())
            .accept("application/json")
            .accept_encoding(AutoHeaderValue::None)
            .timeout_global(None)
            .timeout_await_100(None)
            .max_idle_connections(4)
            .max_idle_connections_per_host(4)
            .max_idle_age(Duration::from_secs(60))
            .max_response_header_size(buffers::LONGEST_HEAD_BYTES)
            .build();
        let connector = transport::connector(&calls, config.connect_timeout, is_plain, tls.clone());
        let agent = Agent::with_parts(settings, connector, resolver::Later);
        Ok(Http { agent, calls, connect_timeout: config.connect_timeout, is_plain, tls, proxy: proxy_name, roots })
    }

    /// Registers a call of this thread that ends by itself after `timeout`. A thread has one at a time.
    pub(crate) fn begin(&self, waiter: Waiter, timeout: Duration) -> InFlight {
        self.calls.begin(waiter, std::time::Instant::now() + timeout)
    }

    /// Cancels every call but those that release leases, and every call that begins later.
    pub(crate) fn shut(&self) {
        self.calls.shut();
    }

    /// Ends every call that the host waits for.
    pub(crate) fn cancel_all(&self) {
        self.calls.cancel_all();
    }

    /// Sends one request and reads its reply, within the deadline of `call`, which must be this thread's.
    pub(crate) fn exchange(&self, call: &Call, exchange: &Exchange) -> Result<Reply, Lost> {
        call.begin_attempt();
        let result = self.run(call, exchange);
        call.end_attempt();
        result
    }

    fn run(&self, call: &Call, exchange: &Exchange) -> Result<Reply, Lost> {
        let lost = |error: &ureq::Error, http_status: Option<u16>| {
            let (status, detail) = failure::verdict(error);
            let detail = match status {
                Status::TlsUnknownCa => Some(format!("Trusted are {}. {}", self.roots, detail.unwrap_or_default())),
                _ => detail,
            };
            Lost { status, detail, sent: call.was_sent(), http_status }
        };
        let mut request = Request::builder()
            .uri(exchange.url)
            .header(DATE, exchange.date)
            .header(AUTHORIZATION, exchange.authorization)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = exchange.idempotency_key {
            request = request.header(&IDEMPOTENCY_KEY, key);
        }
        if let Some(order) = exchange.order {
            request = request.header(&ORDER, order);
        }
        let response = match exchange.method {
            Method::Get => self.agent.run(request.method("GET").body(()).map_err(|e| lost(&e.into(), None))?),
            Method::Post => {
                let body = exchange.body.as_bytes();
                self.agent.run(request.method("POST").body(body).map_err(|e| lost(&e.into(), None))?)
            }
        };
        let (parts, body) = response.map_err(|error| lost(&error, None))?.into_parts();
        let body = read(body, parts.status).map_err(|error| match error {
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Lost {
                status: Status::ReplyTruncated,
                detail: None,
                sent: true,
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

/// The proxy to use. The environment's is not asked for what this machine serves itself, nor for what `NO_PROXY` names.
fn choose_proxy(config: &Config) -> Result<Option<Proxy>, Error> {
    let refuse =
        |what: &str| Err(Error::because(Status::BadValue, format!("{what}; it must be like http://host:3128.")));
    let proxy = match &config.proxy {
        ProxyChoice::Direct => None,
        ProxyChoice::Env if config.is_local_server() => None,
        ProxyChoice::Env => match Proxy::try_from_env() {
            // An invalid proxy is an error: the administrator who named it does not expect a direct connection.
            None if PROXY_VARIABLES.iter().any(|name| std::env::var_os(name).is_some_and(|url| !url.is_empty())) => {
                return refuse("the proxy in the environment is not a valid URL");
            }
            proxy => proxy.filter(|proxy| !config.base_url.parse().is_ok_and(|url| proxy.is_no_proxy(&url))),
        },
        ProxyChoice::Url(url) => match Proxy::new(url.expose()) {
            Ok(proxy) if !proxy.host().is_empty() => Some(proxy),
            _ => return refuse("\"proxy\" in the config is not a proxy's URL"),
        },
    };
    match &proxy {
        Some(found) if !matches!(found.protocol(), ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https) => {
            refuse("the proxy must be an http or https proxy")
        }
        // ureq takes what is no number for a port that was left out, and would send the credentials to port 80.
        Some(found) if !has_usable_port(found.uri().authority().map_or("", |authority| authority.as_str())) => {
            refuse("the proxy's port must be a number from 1 to 65535")
        }
        _ => Ok(proxy),
    }
}

/// Returns whether the port of `user:password@host:port` is valid, if one is named.
fn has_usable_port(authority: &str) -> bool {
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    let behind_address = host_and_port.rsplit(']').next().unwrap_or_default();
    let port = behind_address.split_once(':').map(|(_, port)| port.parse::<u16>());
    port.is_none_or(|port| port.is_ok_and(|port| port != 0))
}

/// The variables that ureq reads, in its order.
const PROXY_VARIABLES: [&str; 6] = ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_with_unusable_port_is_refused() {
        for (authority, expected) in [
            ("proxy", true),
            ("proxy:3128", true),
            ("name:pass@proxy:65535", true),
            ("[::1]:8080", true),
            ("[::1]", true),
            ("proxy:0", false),
            ("proxy:", false),
            ("proxy:65536", false),
            ("name:pass@proxy:http", false),
            ("[::1]:x", false),
        ] {
            assert_eq!(has_usable_port(authority), expected, "{authority}");
        }
    }
}
