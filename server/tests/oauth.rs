//! The token endpoint and its tokens over plain HTTP: RFC 6749, rotation, and what a token may do.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{TimeDelta, Utc};
use common::{Answer, Client, TestServer};
use floatlease::model::format_http_date;
use floatlease_server::store::SqliteStore;
use serde_json::Value;

const CATALOGUE: &str = r#"
    [[product]]
    code = "P"
    [[license]]
    product = "P"
    license_key = "K"
    [[oauth_client]]
    client_id = "auth-company-1"
    client_secret = "s: &=%+1"
    previous_secret = "before"
    previous_secret_until = 2026-01-01T01:00:00
    scope = "company"
    [[oauth_client]]
    client_id = "auth-company-2"
    client_secret = "revoked"
    scope = "company"
    revoked = true
"#;

fn server(more: &str) -> TestServer {
    TestServer::start(&format!("{more}{CATALOGUE}"), Box::new(SqliteStore::in_memory().unwrap()), false)
}

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn post(client: &mut Client, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    client.send("POST", "/api/v4/oauth/token", &headers, body.as_bytes()).unwrap()
}

fn ask(client: &mut Client, id: &str, secret: &str) -> Answer {
    post(client, &[], &form(&[("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)]))
}

fn token(client: &mut Client) -> String {
    ask(client, "auth-company-1", "s: &=%+1").json()["access_token"].as_str().unwrap().to_owned()
}

/// The code of a request with this token, or `None` if it succeeds.
fn code_of(client: &mut Client, authorization: &str, date: &str) -> Option<String> {
    let headers = [("Date".to_owned(), date.to_owned()), ("Authorization".to_owned(), authorization.to_owned())];
    client.send("GET", "/api/v4/product_details?product=P", &headers, b"").unwrap().code()
}

fn now() -> String {
    format_http_date(Utc::now())
}

#[test]
fn reply_has_the_members_of_the_vendors() {
    let server = server("oauth_token_seconds = 77");
    let answer = ask(&mut server.client(), "auth-company-1", "s: &=%+1");
    assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (200, "no-store"));
    let reply = answer.json();
    assert!(reply["access_token"].as_str().is_some_and(|token| token.len() > 40));
    for (member, value) in [
        ("expires_in", Value::from(77)),
        ("refresh_expires_in", 0.into()),
        ("token_type", "Bearer".into()),
        ("not-before-policy", 0.into()),
        ("scope", "profile email".into()),
    ] {
        assert_eq!(reply[member], value, "{member}");
    }
}

#[test]
fn refusals_are_those_of_the_rfc() {
    let server = server("");
    let mut client = server.client();
    let grant = ("grant_type", "client_credentials");
    let (id, secret) = (("client_id", "auth-company-1"), ("client_secret", "s: &=%+1"));
    for (pairs, status, error) in [
        (vec![], 400, "invalid_request"),
        (vec![id, secret], 400, "invalid_request"),
        (vec![grant, grant, id, secret], 400, "invalid_request"),
        (vec![grant, id, id, secret], 400, "invalid_request"),
        (vec![("grant_type", "password"), id, secret], 400, "unsupported_grant_type"),
        (vec![grant], 401, "invalid_client"),
        (vec![grant, id], 401, "invalid_client"),
        (vec![grant, secret], 401, "invalid_client"),
        (vec![grant, id, ("client_secret", "")], 401, "invalid_client"),
        (vec![grant, id, ("client_secret", "wrong")], 401, "invalid_client"),
        (vec![grant, ("client_id", "auth-company-2"), ("client_secret", "revoked")], 401, "invalid_client"),
        (vec![grant, ("client_id", "nobody"), secret], 401, "invalid_client"),
    ] {
        let answer = post(&mut client, &[], &form(&pairs));
        assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some(error)), "{pairs:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
        assert!(!String::from_utf8(answer.body).unwrap().contains("s: &"), "{pairs:?}");
    }
}

#[test]
fn secret_may_come_by_http_basic() {
    let server = server("");
    let mut client = server.client();
    let grant = "grant_type=client_credentials";
    for (credentials, body, status) in [
        // Encoded as the RFC has it, and as curl sends it.
        ("auth-company-1:s%3A+%26%3D%25%2B1", grant, 200),
        ("auth-company-1:s: &=%+1", grant, 200),
        ("auth-company-1:wrong", grant, 401),
        ("auth-company-1", grant, 401),
        ("auth-company-1:wrong", "grant_type=client_credentials&client_secret=before&client_id=auth-company-1", 400),
    ] {
        let header = format!("Basic {}", STANDARD.encode(credentials));
        assert_eq!(post(&mut client, &[("Authorization", &header)], body).status, status, "{credentials}");
    }
    assert_eq!(post(&mut client, &[("Authorization", "Basic !")], grant).status, 401);
}

#[test]
fn secret_before_is_accepted_until_its_end() {
    let server = server("");
    let mut client = server.client();
    assert_eq!(ask(&mut client, "auth-company-1", "before").status, 200);
    server.clock.set(common::time("2026-01-01T00:59:59Z"));
    assert_eq!(ask(&mut client, "auth-company-1", "before").status, 200);
    server.clock.set(common::time("2026-01-01T01:00:00Z"));
    assert_eq!(ask(&mut client, "auth-company-1", "before").status, 401);
    assert_eq!(ask(&mut client, "auth-company-1", "s: &=%+1").status, 200);
}

#[test]
fn token_authorises_beside_a_date() {
    let server = server("");
    let mut client = server.client();
    let token = token(&mut client);
    let old = format_http_date(Utc::now() - TimeDelta::minutes(16));
    for (authorization, date, code) in [
        (format!("Bearer {token}"), now(), None),
        (format!("bearer  {token} "), now(), None),
        (format!("Bearer {token}"), old, Some("date_header_diff")),
        (format!("Bearer {token}"), "today".to_owned(), Some("date_header_diff")),
        (format!("Bearer {token}x"), now(), Some("oauth_token_malformed")),
        ("Bearer".to_owned(), now(), Some("authorization_invalid_headers")),
        ("Bearer abc".to_owned(), now(), Some("oauth_token_malformed")),
        (format!("Basic {token}"), now(), Some("authorization_invalid_headers")),
    ] {
        assert_eq!(code_of(&mut client, &authorization, &date).as_deref(), code, "{authorization}");
    }
    let without_date = [("Authorization".to_owned(), format!("Bearer {token}"))];
    let answer = client.send("GET", "/api/v4/product_details?product=P", &without_date, b"").unwrap();
    assert_eq!(answer.code().unwrap(), "missing_headers");
}

#[test]
fn token_of_another_server_and_one_that_has_ended_are_told_apart() {
    let (server, other) = (server("oauth_token_seconds = 1"), server(""));
    let mut client = server.client();
    let (own, foreign) = (token(&mut client), token(&mut other.client()));
    let authorised = |client: &mut Client, token: &str| code_of(client, &format!("Bearer {token}"), &now());
    assert_eq!(authorised(&mut client, &own), None);
    assert_eq!(authorised(&mut client, &foreign).unwrap(), "oauth_token_malformed");
    std::thread::sleep(std::time::Duration::from_millis(1050));
    assert_eq!(authorised(&mut client, &own).unwrap(), "oauth_token_expired");
}

#[test]
fn another_address_of_the_endpoint_is_announced() {
    let server = server("oauth_url = \"https://licenses.example.com/api/v4/oauth/token\"");
    let mut client = server.client();
    let answer = client.send("GET", "/api/v4/oauth_url?login_type=client_credentials", &[], b"").unwrap();
    assert_eq!(answer.json()["url"], "https://licenses.example.com/api/v4/oauth/token");
}
