//! Every operation with every code of its row.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use floatlease::model::{ORDER, format_http_date};
use floatlease::operations::{Method, OPERATIONS, Operation};
use floatlease::sign::authorization;
use floatlease_server::RateLimits;
use floatlease_server::domain::Refusal;
use serde_json::{Value, json};

use crate::common::{API_KEY, Answer, SHARED_KEY, with};
use crate::provocations::{How, PROVOCATIONS, Provocation, UNREACHABLE};
use crate::requests::{Sent, good};
use crate::site::Site;

/// The shortest lifetime of a token that a catalogue can demand.
const SHORT_TOKENS: &str = "oauth_token_seconds = 1\n";
/// A date after that of the files that [`good`] makes.
const LATER: &str = "Thu, 01 Jan 2026 00:00:01 GMT";

/// The servers that the provocations need.
struct Sites {
    usual: Site,
    /// The token and when it had ended.
    ended_token: (Site, String, Instant),
    /// The limit is used up.
    limited: Site,
    /// A commit has failed.
    on_full_disk: Site,
}

impl Sites {
    fn new() -> Sites {
        let mut short = Site::new(SHORT_TOKENS, RateLimits::default());
        let token = token(&mut short);
        let ended_at = Instant::now() + Duration::from_secs(1);
        let company = Some("1/1h".parse().unwrap());
        let mut limited = Site::new("", RateLimits { company, ..RateLimits::default() });
        limited.done("products", &json!({}));
        let mut on_full_disk = Site::on_full_disk();
        let trial = Operation::named("trial_key").unwrap();
        assert_eq!(on_full_disk.send(trial, &good(trial), &[]).status, 503);
        let usual = Site::new("", RateLimits::default());
        Sites { usual, ended_token: (short, token, ended_at), limited, on_full_disk }
    }
}

/// Fetches a token of the client that may use a single license.
fn token(site: &mut Site) -> String {
    let form = b"grant_type=client_credentials&client_id=auth-license-1&client_secret=s";
    let answer = site.client.send("POST", "/api/v4/oauth/token", &[], form).unwrap();
    format!("Bearer {}", answer.json()["access_token"].as_str().unwrap())
}

/// Sends a request with these headers in place of those of [`crate::common::Client::authorised`].
fn send_as(site: &mut Site, operation: &Operation, request: &Value, headers: &[(&str, &str)]) -> Answer {
    let sent = Sent::of(operation, request);
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    site.client.ask(operation, &sent.query, &headers, sent.body.as_bytes()).unwrap()
}

/// Sends a request after another one of the device that has a higher number.
fn send_late(site: &mut Site, operation: &Operation, request: &Value) -> Answer {
    if operation.takes_file() {
        site.done("activate_offline", &with(request, json!({ "date": LATER })));
        return site.send(operation, request, &[]);
    }
    let activation = Operation::named("activate_license").unwrap();
    let activated = site.send(activation, &with(&good(activation), request.clone()), &[(ORDER, "100")]);
    assert_eq!(activated.status, 200, "{activated:?}");
    site.send(operation, request, &[(ORDER, "99")])
}

impl How {
    /// Sends the request in this way.
    fn send(self, sites: &mut Sites, operation: &Operation, request: &Value) -> Answer {
        let site = &mut sites.usual;
        let now = format_http_date(Utc::now());
        match self {
            How::Usual => site.send(operation, request, &[]),
            How::OtherMethod => {
                let method = if operation.method == Method::Get { "POST" } else { "GET" };
                let headers = site.client.authorised();
                site.client.send(method, &format!("/api/v4{}", operation.path), &headers, b"").unwrap()
            }
            How::Body(body) => {
                let headers = site.client.authorised();
                site.client.ask(operation, "", &headers, body.as_bytes()).unwrap()
            }
            How::Undated => {
                send_as(site, operation, request, &[("Authorization", &authorization(API_KEY, SHARED_KEY, &now))])
            }
            How::Stale => {
                let date = format_http_date(Utc::now() - TimeDelta::minutes(16));
                let authorization = authorization(API_KEY, SHARED_KEY, &date);
                send_as(site, operation, request, &[("Date", &date), ("Authorization", &authorization)])
            }
            How::Authorization(authorization) => {
                send_as(site, operation, request, &[("Date", &now), ("Authorization", authorization)])
            }
            How::Key(api_key, shared_key) => {
                let authorization = authorization(api_key, shared_key, &now);
                send_as(site, operation, request, &[("Date", &now), ("Authorization", &authorization)])
            }
            How::Token => {
                let token = token(site);
                send_as(site, operation, request, &[("Date", &now), ("Authorization", &token)])
            }
            How::EndedToken => {
                let (site, token, ended_at) = &mut sites.ended_token;
                std::thread::sleep(ended_at.saturating_duration_since(Instant::now()));
                send_as(site, operation, request, &[("Date", &now), ("Authorization", token)])
            }
            How::BeyondLimit => sites.limited.send(operation, request, &[]),
            How::FullDisk => sites.on_full_disk.send(operation, request, &[]),
            How::Late => send_late(site, operation, request),
        }
    }

    /// Returns true if the request is preceded by one that succeeds.
    fn changes_something(self) -> bool {
        matches!(self, How::Late)
    }
}

impl Provocation {
    /// Provokes the operation, and returns what is wrong: it must refuse with the code, and change nothing.
    fn provoke(&self, sites: &mut Sites, operation: &Operation) -> Option<String> {
        let good = good(operation);
        let device = json!({ "hardware_id": sites.usual.new_device(), "license_key": good["license_key"] });
        let changed = with(&device, (self.with)());
        for before in self.before {
            sites.usual.done(before, &changed);
        }
        let request = with(&good, changed);
        let changes = sites.usual.changes();
        let answer = self.how.send(sites, operation, &request);
        let about = format!("{} with {request} must be refused with {}", operation.name, self.code);
        if answer.code().as_deref() != Some(self.code) {
            return Some(format!("{about}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)));
        }
        let is_changed = !self.how.changes_something() && sites.usual.changes() != changes;
        is_changed.then(|| format!("{about}, and must change nothing"))
    }
}

/// Returns true if no test can provoke the code.
fn is_unreachable(operation: &str, code: &str) -> bool {
    UNREACHABLE.iter().any(|row| row.0 == code && row.1.contains(&operation))
}

#[test]
fn every_code_of_every_operation_is_given() {
    let mut sites = Sites::new();
    let mut cells = 0;
    let mut wrong = Vec::new();
    for operation in OPERATIONS {
        let codes = Refusal::codes_of(operation.name).into_iter().map(|(_, code)| code);
        for code in codes.filter(|code| !is_unreachable(operation.name, code)) {
            cells += 1;
            let fits = |row: &&Provocation| row.code == code && row.is_for(operation.name);
            let mut fitting = PROVOCATIONS.iter().filter(fits).peekable();
            if fitting.peek().is_none() {
                wrong.push(format!("{} with {code}: provocations.rs has no row for it", operation.name));
            }
            wrong.extend(fitting.filter_map(|row| row.provoke(&mut sites, operation)));
        }
    }
    assert!(wrong.is_empty(), "of {cells} cells are wrong:\n{}", wrong.join("\n"));
    assert!(cells > 600, "only {cells} cells");
}

/// What provokes a code somewhere must not provoke one anywhere that the row does not list; [`crate::common::Client::ask`]
/// looks at each answer.
#[test]
fn provocations_give_no_code_that_is_not_listed() {
    let mut sites = Sites::new();
    // After a deactivation, other operations would find no device.
    let (last, first): (Vec<_>, Vec<_>) = OPERATIONS.iter().partition(|row| row.name.starts_with("deactivate"));
    for operation in first.into_iter().chain(last) {
        for row in PROVOCATIONS.iter().filter(|row| !matches!(row.how, How::Late)) {
            let good = good(operation);
            let device = json!({ "hardware_id": sites.usual.new_device(), "license_key": good["license_key"] });
            let changed = with(&device, (row.with)());
            for before in row.before.iter().map(|name| Operation::named(name).unwrap()) {
                sites.usual.send(before, &with(&crate::requests::good(before), changed.clone()), &[]);
            }
            row.how.send(&mut sites, operation, &with(&good, changed));
        }
    }
}

/// So no row is left behind when a code or an operation goes.
#[test]
fn every_provocation_fits_some_operation() {
    let fits = |row: &Provocation, operation: &Operation| {
        Refusal::codes_of(operation.name).iter().any(|(_, code)| *code == row.code) && row.is_for(operation.name)
    };
    for row in PROVOCATIONS {
        assert!(OPERATIONS.iter().any(|operation| fits(row, operation)), "{} fits no operation", row.code);
        for name in row.only.iter().chain(row.except) {
            let listed: BTreeSet<_> = Refusal::codes_of(name).into_iter().map(|(_, code)| code).collect();
            assert!(Operation::named(name).is_some(), "{}: {name} is unknown", row.code);
            assert!(!row.only.contains(name) || listed.contains(row.code), "{name} does not list {}", row.code);
        }
    }
}

/// A code that is named as unreachable must be one of its operations, and never be given to what should succeed or fail
/// otherwise.
#[test]
fn codes_that_no_state_reaches_are_not_given() {
    let mut sites = Sites::new();
    for (code, operations, reason) in UNREACHABLE {
        assert!(!reason.is_empty(), "{code} has no reason");
        for name in *operations {
            let operation = Operation::named(name).unwrap();
            assert!(Refusal::codes_of(name).iter().any(|row| row.1 == *code), "{name} does not list {code}");
            for row in PROVOCATIONS.iter().filter(|row| row.code == *code) {
                let answer = row.how.send(&mut sites, operation, &with(&good(operation), (row.with)()));
                assert_ne!(answer.code().as_deref(), Some(*code), "{name} gives {code}: remove it from UNREACHABLE");
            }
        }
    }
}
