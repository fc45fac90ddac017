//! `diagnose`: tests each step of the way to the server, and reports a verdict and a duration for each.
//!
//! It sends one `product_details` request over a new connection. The request passes through every step and takes no
//! slot.

use crate::config::Config;
use crate::error::Error;
use crate::http::{Call, Http, Reply, Trace, Waiter};
use crate::model;
use crate::oauth::{Token, Tokens};
use crate::operations::Operation;
use crate::reply::judge;
use crate::request::Request;
use crate::send::{SignedDate, send};
use crate::status::{Category, Status};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Clock skew above which the server refuses a request's `Date`.
const REFUSED_SKEW_S: i64 = 15 * 60;
/// Clock skew above which the report warns, although the server still accepts it.
const WARNING_SKEW_S: i64 = 60;

const TLS_FAILURES: [Status; 4] = [Status::Tls, Status::TlsExpired, Status::TlsWrongHost, Status::TlsUnknownCa];

/// The result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Ok,
    Warning,
    Failed,
    /// The check was not reached, or is not needed.
    Skipped,
}

/// One check of the report.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    check: &'static str,
    verdict: Verdict,
    ms: Option<f64>,
    detail: String,
}

/// The report as the host reads it.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    version: &'static str,
    base_url: &'a str,
    product: &'a str,
    hardware_id: &'a str,
    checks: Vec<Check>,
}

/// Runs every check and returns the report as JSON. `storage` is the check of the stored files, if there are any.
///
/// # Errors
/// [`Status::Cancelled`]. The report tells every other failure.
pub(crate) fn report(
    config: &Config,
    http: &Http,
    tokens: Option<&Tokens>,
    storage: Option<Check>,
) -> Result<String, Error> {
    let mut checks = vec![hardware_id(config)];
    checks.extend(storage);
    checks.extend(probe_server(config, http, tokens)?);
    let report = Report {
        ok: checks.iter().all(|check| check.verdict != Verdict::Failed),
        version: env!("CARGO_PKG_VERSION"),
        base_url: &config.base_url,
        product: &config.product,
        hardware_id: &config.hardware_id.id,
        checks,
    };
    Ok(serde_json::to_string(&report).unwrap_or_else(|_| r#"{"ok":false}"#.to_owned()))
}

pub(crate) fn check(check: &'static str, verdict: Verdict, ms: Option<Duration>, detail: impl Into<String>) -> Check {
    Check { check, verdict, ms: ms.map(|ms| (ms.as_secs_f64() * 1e6).round() / 1e3), detail: detail.into() }
}

fn hardware_id(config: &Config) -> Check {
    let id = &config.hardware_id;
    let verdict = if id.warning.is_some() { Verdict::Warning } else { Verdict::Ok };
    let origin = format!("The id is from {}.", id.source);
    check("hardware_id", verdict, None, id.warning.map_or(origin.clone(), |warning| format!("{origin} {warning}")))
}

/// The test request, with the times of its steps and its reply.
struct Probe {
    started: Instant,
    trace: Trace,
    /// The proxy's host and port.
    proxy: Option<String>,
    /// Which setting names the proxy, in a sentence.
    proxy_origin: Option<String>,
    secure: bool,
    reply: Result<Reply, Error>,
    replied: Instant,
}

/// Sends the test request and checks each of its steps.
fn probe_server(config: &Config, http: &Http, tokens: Option<&Tokens>) -> Result<Vec<Check>, Error> {
    let operation = Operation::named("product_details").ok_or_else(|| Error::new(Status::Internal));
    let request = match operation.and_then(|operation| Request::prepare(operation, config, "{}")) {
        Ok(request) => request,
        Err(error) => return Ok(vec![check("setup", Verdict::Failed, None, error.to_string())]),
    };
    let in_flight = http.begin(Waiter::Host, config.timeout);
    let (signed, token_check) = authorise(config, http, tokens, &in_flight.call)?;
    // A kept connection would skip the steps before the request.
    let http = http.unconnected();
    let started = Instant::now();
    let reply = send(&http, &in_flight.call, config, &request, &signed);
    if let Err(error) = &reply
        && error.status == Status::Cancelled
    {
        return Err(error.clone());
    }
    let probe = Probe {
        started,
        trace: in_flight.call.traced(),
        proxy: http.proxy_address(),
        proxy_origin: http.proxy_origin(),
        secure: config.base_url.starts_with("https:"),
        reply,
        replied: Instant::now(),
    };
    let token = signed.token().map(Token::to_secret);
    let judged = probe.reply.as_ref().ok().map(|reply| judge(&request, reply, config, token.as_ref()));
    let refused = judged.as_ref().and_then(|judged| judged.as_ref().err());
    let has_failed = |check: &Check| check.verdict == Verdict::Failed;
    let has_proof = !token_check.as_ref().is_some_and(has_failed);
    let mut checks: Vec<Check> = token_check.into_iter().collect();
    checks.extend(probe.connection());
    checks.push(probe.http());
    checks.push(probe.clock_skew());
    checks.push(authorisation(judged.is_some() && has_proof, refused));
    checks.push(signature(config, judged.is_some(), refused));
    Ok(checks)
}

/// Authorises the test request. An OAuth client fetches a token for it, which tests the token endpoint, and the result of
/// that is a check.
///
/// # Errors
/// [`Status::Cancelled`].
fn authorise(
    config: &Config,
    http: &Http,
    tokens: Option<&Tokens>,
    call: &Call,
) -> Result<(SignedDate, Option<Check>), Error> {
    let signed = |token| SignedDate::new(config, token, model::now());
    let Some(tokens) = tokens else { return Ok((signed(None), None)) };
    // A silent token endpoint leaves the other half of the time for the other checks.
    call.limit_request(Some(config.timeout / 2));
    let started = Instant::now();
    let token = tokens.renewed(http, config, call);
    call.limit_request(None);
    match token {
        Ok(token) => {
            let fetched =
                check("token_endpoint", Verdict::Ok, Some(started.elapsed()), "It has issued an access token.");
            Ok((signed(Some(token)), Some(fetched)))
        }
        Err(error) if error.status == Status::Cancelled => Err(error),
        Err(error) => Ok((signed(None), Some(check("token_endpoint", Verdict::Failed, None, error.to_string())))),
    }
}

impl Probe {
    /// Checks the phases of the connection. Each ends at an instant, or at the error that ended the request.
    fn connection(&self) -> Vec<Check> {
        let Trace { resolved, connected, secured } = self.trace;
        let proxied = self.proxy.as_deref();
        // If the certificate failed, the proxy had already made the tunnel.
        let tunnelled = match &self.reply {
            Err(error) if TLS_FAILURES.contains(&error.status) => connected,
            _ => secured,
        };
        let peer = proxied.map_or("the server".to_owned(), |proxy| format!("the proxy {proxy}"));
        vec![
            match &self.proxy_origin {
                Some(origin) => self.phase("proxy", None, connected, tunnelled, origin.clone()),
                None => check("proxy", Verdict::Skipped, None, "No proxy is used."),
            },
            self.phase(
                "dns",
                Some(self.started),
                Some(self.started),
                resolved,
                format!("The host name of {peer} was resolved."),
            ),
            self.phase("tcp", resolved, resolved, connected, format!("The port of {peer} accepted the connection.")),
            match self.secure {
                true => self.phase("tls", connected, connected, secured, "The server's certificate is valid.".into()),
                false => check("tls", Verdict::Skipped, None, "The base_url is plain http://."),
            },
        ]
    }

    fn phase(
        &self,
        name: &'static str,
        timed_from: Option<Instant>,
        began: Option<Instant>,
        ended: Option<Instant>,
        subject: String,
    ) -> Check {
        let ms = timed_from.zip(ended).map(|(from, to)| to.saturating_duration_since(from));
        match (began, ended, &self.reply) {
            (_, Some(_), _) => check(name, Verdict::Ok, ms, subject),
            (Some(_), None, Err(error)) => check(name, Verdict::Failed, None, error.to_string()),
            _ => check(name, Verdict::Skipped, None, "An earlier step failed."),
        }
    }

    fn http(&self) -> Check {
        let began = self.trace.secured;
        match (&self.reply, began) {
            (Ok(reply), began) => {
                let ms = self.replied.saturating_duration_since(began.unwrap_or(self.started));
                check("http", Verdict::Ok, Some(ms), format!("The server answered with HTTP {}.", reply.status))
            }
            (Err(error), Some(_)) => check("http", Verdict::Failed, None, error.to_string()),
            (Err(_), None) => check("http", Verdict::Skipped, None, "An earlier step failed."),
        }
    }

    fn clock_skew(&self) -> Check {
        let server = self.reply.as_ref().ok().and_then(|reply| model::parse_http_date(reply.date.as_deref()?));
        let Some(server) = server else {
            return check("clock_skew", Verdict::Skipped, None, "The server's time is unknown.");
        };
        let ahead_s = (model::now() - server).num_seconds();
        let verdict = match ahead_s.abs() {
            skew if skew > REFUSED_SKEW_S => Verdict::Failed,
            skew if skew > WARNING_SKEW_S => Verdict::Warning,
            _ => Verdict::Ok,
        };
        check("clock_skew", verdict, None, format!("This machine's clock is {ahead_s} s ahead of the server's."))
    }
}

fn authorisation(reached: bool, refused: Option<&Error>) -> Check {
    match refused {
        _ if !reached => check("authorisation", Verdict::Skipped, None, "An earlier step failed."),
        Some(error) if error.status.row().category == Category::Reply => {
            check("authorisation", Verdict::Skipped, None, "The reply failed the check of its signature.")
        }
        Some(error) => check("authorisation", Verdict::Failed, None, error.to_string()),
        None => check("authorisation", Verdict::Ok, None, "The server accepts the keys and knows the product."),
    }
}

fn signature(config: &Config, reached: bool, refused: Option<&Error>) -> Check {
    match refused {
        _ if !reached => check("signature", Verdict::Skipped, None, "An earlier step failed."),
        Some(error) if error.status.row().category == Category::Reply => {
            check("signature", Verdict::Failed, None, error.to_string())
        }
        Some(_) => check("signature", Verdict::Skipped, None, "A refusal carries no signature."),
        None if config.public_key.is_none() => check(
            "signature",
            Verdict::Warning,
            None,
            "The reply was not verified, because the config has \"verify\":\"off\".",
        ),
        None => check("signature", Verdict::Ok, None, "The signature is valid under the configured public key."),
    }
}
