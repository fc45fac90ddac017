//! OAuth access tokens: one fetch at a time whatever many calls do, one retry with a fresh token, and failures that say so.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use support::abi::Client;
use support::holder::until;
use support::oauth::{
    CALLS, active_client, at_once, config, config_of, count, only_at_token_endpoint, tokens_asked_for,
};
use support::sandbox::World;
use support::stub::{self, Message};
use support::{Demo, believing, root, with};

const DEVICE: &str = "desk";

/// Long enough for each of many calls to begin while a token is fetched.
const SLOWLY: u64 = 700;

fn slow() -> Value {
    json!({ "before": { "delay": { "fixed_ms": SLOWLY } } })
}

/// The sample catalogue with more entries, of which `more` is the TOML. Keys at the top come first.
fn catalogue(top: &str, more: &str) -> String {
    let sample = std::fs::read_to_string(root().join("examples/catalogue.toml")).unwrap();
    format!("{top}\n{sample}\n{more}")
}

/// A name of an OAuth client that no other world has.
fn client_id(scope: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("auth-{scope}-{}-{number}", std::process::id())
}

#[test]
fn token_serves_every_call_until_it_expires() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let client = active_client(&world, DEVICE);
    for answer in at_once(&client, "check_license", &Value::Null) {
        answer.ok();
    }
    assert_eq!(tokens_asked_for(&world), 1);
}

#[test]
fn endpoint_that_server_names_is_asked_for_once() {
    let demo = Demo::start();
    let keys = json!({
        "api_key": null, "shared_key": null, "client_id": demo.text("client_id"), "client_secret": demo.text("client_secret"),
    });
    let client = Client::open(&with(&demo.config(DEVICE), keys)).unwrap();
    client.call("activate_license", &Value::Null).ok();
    let control = |method_path: &str, body: &Value| {
        let (method, path) = method_path.split_once(' ').unwrap();
        support::sandbox::call(&format!("{}{path}", demo.text("control_url")), method, body).1
    };
    control("POST /tokens/expire", &Value::Null);
    client.call("check_license", &Value::Null).ok();
    let counted = |path: &str| control("POST /journal/count", &json!({ "filter": { "path": path } }))["count"].clone();
    assert_eq!(counted("/api/v4/oauth_url"), 1);
    assert_eq!(counted("/api/v4/oauth/token"), 2);
}

#[test]
fn expired_token_is_renewed_once_for_many_calls() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let client = active_client(&world, DEVICE);
    only_at_token_endpoint(&world, &slow());
    world.control("POST /tokens/expire", &Value::Null);
    for answer in at_once(&client, "check_license", &Value::Null) {
        answer.ok();
    }
    assert_eq!(tokens_asked_for(&world), 2, "one before and one now");
    let refused = count(&world, &json!({ "operation": "check_license", "code": "oauth_token_expired" }));
    assert!(refused >= 1);
    assert_eq!(count(&world, &json!({ "operation": "check_license" })), CALLS as u64 + refused);
}

/// The server refuses whatever token it gets.
#[test]
fn refused_token_is_tried_again_once_and_no_more() {
    let demo = Demo::start();
    for (code, status) in
        [("oauth_token_expired", "OAUTH_TOKEN_EXPIRED"), ("oauth_token_malformed", "OAUTH_TOKEN_MALFORMED")]
    {
        let world = World::new(&demo, &json!({}));
        let client = active_client(&world, DEVICE);
        let slow = json!({ "match": { "operation": "oauth_token" }, "do": slow() });
        let refuse = json!({ "match": { "operation": "check_license" }, "do": { "before": { "code": code } } });
        world.control("PUT /faults", &json!({ "faults": [slow, refuse] }));
        for answer in at_once(&client, "check_license", &Value::Null) {
            assert_eq!(answer.failed(status, "rejected")["attempts"], 2);
        }
        assert_eq!(count(&world, &json!({ "operation": "check_license" })), 2 * CALLS as u64);
        assert_eq!(tokens_asked_for(&world), 2, "one before and one now");
    }
}

#[test]
fn token_is_renewed_before_it_expires() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "catalogue": catalogue("oauth_token_seconds = 4", "") }));
    let client = active_client(&world, DEVICE);
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(4500) {
        client.call("check_license", &Value::Null).ok();
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(count(&world, &json!({ "code": "oauth_token_expired" })), 0);
    let asked = tokens_asked_for(&world);
    assert!((2..=3).contains(&asked), "{asked}");
}

#[test]
fn refused_client_fails_many_calls_by_one_request() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    only_at_token_endpoint(&world, &slow());
    let client = Client::open(&with(&config(&world, DEVICE), json!({ "client_secret": "wrong-secret-1" }))).unwrap();
    for answer in at_once(&client, "borrow_license", &Value::Null) {
        let error = answer.failed("OAUTH_CLIENT_REFUSED", "not_sent");
        assert_eq!(error["retryable"], false, "{error}");
        assert_eq!(error["attempts"], 1, "{error}");
        assert_eq!(error["server_code"], "invalid_client", "{error}");
        assert_eq!(error["http_status"], 401, "{error}");
    }
    assert_eq!(tokens_asked_for(&world), 1);
    assert_eq!(count(&world, &json!({ "operation": "borrow_license" })), 0);
}

#[test]
fn client_that_may_not_use_grant_is_refused_too() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    only_at_token_endpoint(&world, &json!({ "before": { "oauth_error": "unauthorized_client" } }));
    let client = Client::open(&config(&world, DEVICE)).unwrap();
    let answer = client.call("check_license", &Value::Null);
    assert_eq!(answer.failed("OAUTH_CLIENT_REFUSED", "not_sent")["server_code"], "unauthorized_client");
}

/// The vendor replaces the secret. The old one is valid for an hour more, and then its tokens end too.
#[test]
fn replaced_secret_is_accepted_until_its_end_and_then_refused_once() {
    let demo = Demo::start();
    let id = client_id("company");
    let more = format!(
        "[[oauth_client]]\nclient_id = \"{id}\"\nclient_secret = \"new-secret-12\"\nscope = \"company\"\n\
         previous_secret = \"old-secret-12\"\nprevious_secret_until = \"now+1h\"\n"
    );
    let world = World::new(&demo, &json!({ "catalogue": catalogue("", &more), "now": "2026-01-01", "rate": 0 }));
    let with_secret = |secret: &str| Client::open(&config_of(&world, DEVICE, &id, secret)).unwrap();
    let (old, new) = (with_secret("old-secret-12"), with_secret("new-secret-12"));
    old.call("activate_license", &Value::Null).ok();
    new.call("check_license", &Value::Null).ok();
    only_at_token_endpoint(&world, &slow());
    world.control("POST /clock/advance", &json!({ "by": "61m" }));
    old.call("check_license", &Value::Null).ok();
    assert_eq!(tokens_asked_for(&world), 2, "a token outlasts the secret that it was fetched with");
    world.control("POST /tokens/expire", &Value::Null);
    for answer in at_once(&old, "check_license", &Value::Null) {
        answer.failed("OAUTH_CLIENT_REFUSED", "not_sent");
    }
    assert_eq!(tokens_asked_for(&world), 3);
    for answer in at_once(&new, "check_license", &Value::Null) {
        answer.ok();
    }
    assert_eq!(tokens_asked_for(&world), 4);
}

/// As long as calls come, whatever happens to the secret: each ends well, or by the refusal.
#[test]
fn calls_go_on_while_secret_is_replaced() {
    let demo = Demo::start();
    let id = client_id("company");
    let more = format!(
        "[[oauth_client]]\nclient_id = \"{id}\"\nclient_secret = \"new-secret-34\"\nscope = \"company\"\n\
         previous_secret = \"old-secret-34\"\nprevious_secret_until = \"now+1h\"\n"
    );
    let world = World::new(&demo, &json!({ "catalogue": catalogue("", &more), "now": "2026-01-01", "rate": 0 }));
    let client = Client::open(&config_of(&world, DEVICE, &id, "old-secret-34")).unwrap();
    client.call("activate_license", &Value::Null).ok();
    let (succeeded, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..CALLS {
            scope.spawn(|| {
                loop {
                    let answer = client.call("check_license", &Value::Null);
                    if answer.status != "OK" {
                        answer.failed("OAUTH_CLIENT_REFUSED", "not_sent");
                        refused.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    succeeded.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        until("calls succeed", || succeeded.load(Ordering::Relaxed) >= CALLS);
        world.control("POST /clock/advance", &json!({ "by": "61m" }));
        world.control("POST /tokens/expire", &Value::Null);
    });
    assert_eq!(refused.load(Ordering::Relaxed), CALLS);
    let asked = count(&world, &json!({ "operation": "oauth_token", "status": 401 }));
    assert!((1..=CALLS as u64).contains(&asked), "{asked}");
}

#[test]
fn endpoint_that_fails_is_asked_again_as_server_is() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let client = Client::open(&config(&world, DEVICE)).unwrap();
    for (what, status) in [
        (json!({ "before": { "http": { "status": 503 } } }), "SERVER_ERROR"),
        (json!({ "before": { "http": { "status": 429 } } }), "RATE_LIMITED"),
        (json!({ "before": "refuse" }), "CONNECTION_LOST"),
    ] {
        world.control("DELETE /journal", &Value::Null);
        only_at_token_endpoint(&world, &what);
        // A borrow, too, because it was not sent.
        let error = client.call("borrow_license", &Value::Null).failed(status, "not_sent");
        assert_eq!((&error["attempts"], &error["retryable"]), (&json!(4), &json!(true)), "{error}");
        assert!(error["message"].as_str().unwrap().contains("/oauth/token"), "{error}");
        assert_eq!(count(&world, &json!({ "operation": "borrow_license" })), 0);
    }
    let once = json!({ "match": { "operation": "oauth_token" }, "when": { "times": 1 }, "do": { "before": "refuse" } });
    world.control("PUT /faults", &json!({ "faults": [once] }));
    client.call("activate_license", &Value::Null).ok();
}

#[test]
fn reply_without_token_is_not_believed() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let client = Client::open(&config(&world, DEVICE)).unwrap();
    for (what, status) in [
        (json!({ "before": "html_page" }), "REPLY_NOT_API"),
        (json!({ "reply": { "member_missing": "access_token" } }), "REPLY_NOT_API"),
        (json!({ "reply": { "member_wrong_type": "access_token" } }), "REPLY_NOT_API"),
        (json!({ "reply": "json_broken" }), "REPLY_NOT_API"),
        (json!({ "before": { "http": { "status": 407 } } }), "PROXY_AUTH"),
        (json!({ "before": { "code": "not_found" } }), "REPLY_NOT_API"),
    ] {
        only_at_token_endpoint(&world, &what);
        client.call("check_license", &Value::Null).failed(status, "not_sent");
    }
    only_at_token_endpoint(&world, &json!({ "reply": { "member_missing": "expires_in" } }));
    client.call("activate_license", &Value::Null).ok();
}

#[test]
fn endpoint_out_of_reach_is_named() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let nowhere = json!({ "oauth_url": "http://127.0.0.1:9/token" });
    let client = Client::open(&with(&config(&world, DEVICE), nowhere)).unwrap();
    let error = client.call("borrow_license", &Value::Null).failed("CONNECT", "not_sent");
    assert!(error["message"].as_str().unwrap().contains("http://127.0.0.1:9/token"), "{error}");
    assert_eq!(error["retryable"], true);
}

/// Answers everything with a reply, and notes what it was sent.
fn noting(reply: impl Fn(&Message) -> Message + Clone + Send + 'static) -> (String, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heard);
    let address = stub::listen(move |mut stream| {
        use std::io::Write;
        while let Some(request) = stub::read_message(&mut stream) {
            let text = format!("{}\r\n\r\n{}", request.head, String::from_utf8_lossy(&request.body));
            noted.lock().unwrap().push(text);
            if stream.write_all(&reply(&request).bytes()).is_err() {
                return;
            }
        }
    });
    (address, heard)
}

fn ok(body: &Value) -> Message {
    Message { head: "HTTP/1.1 200 OK".to_owned(), body: body.to_string().into_bytes() }
}

fn by_token(address: &str, changes: Value) -> Client {
    let keys =
        json!({ "api_key": null, "shared_key": null, "client_id": "auth-company-1", "client_secret": "hush-hush" });
    Client::open(&with(&with(&believing(address), keys), changes)).unwrap()
}

#[test]
fn secret_follows_no_redirect() {
    let (elsewhere, heard) = noting(|_| ok(&json!({ "access_token": "t" })));
    let target = format!("http://{elsewhere}/token");
    let redirect = move |_: &Message| Message {
        head: format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {target}"),
        body: Vec::new(),
    };
    let (address, asked) = noting(redirect);
    let named = by_token("127.0.0.1:9", json!({ "oauth_url": format!("http://{address}/token") }));
    named.call("check_license", &Value::Null).failed("REPLY_REDIRECT", "not_sent");
    assert!(asked.lock().unwrap()[0].contains("client_secret=hush%2Dhush"), "{asked:?}");
    by_token(&address, json!({})).call("check_license", &Value::Null).failed("REPLY_REDIRECT", "not_sent");
    assert!(heard.lock().unwrap().is_empty(), "{heard:?}");
}

/// Without TLS, anybody on the way could name an address.
#[test]
fn secret_goes_to_no_other_server_that_is_named_without_tls() {
    let (elsewhere, heard) = noting(|_| ok(&json!({ "access_token": "t" })));
    for url in [
        format!("http://{elsewhere}/token"),
        "https://login.example.com/token".to_owned(),
        "http://127.0.0.1.example.com/token".to_owned(),
    ] {
        let named = json!({ "url": url, "login_type": "client_credentials" });
        let (address, asked) = noting(move |_| ok(&named));
        let answer = by_token(&address, json!({})).call("check_license", &Value::Null);
        let error = answer.failed("INSECURE_URL", "not_sent");
        assert!(error["message"].as_str().unwrap().contains("oauth_url"), "{error}");
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
    assert!(heard.lock().unwrap().is_empty(), "{heard:?}");
    let (address, _) = noting(|_| ok(&json!({ "url": "not a URL" })));
    by_token(&address, json!({})).call("check_license", &Value::Null).failed("REPLY_NOT_API", "not_sent");
}

/// The head of a request is written through a buffer of 16 KiB.
#[test]
fn longest_token_and_longest_query_fit_into_one_request() {
    let token = "t".repeat(8 * 1024);
    let issued = json!({ "access_token": token, "expires_in": 480, "token_type": "bearer" });
    let (address, heard) = noting(move |request| match request.head.starts_with("POST") {
        true => ok(&issued),
        false => ok(&json!({})),
    });
    let client = by_token(&address, json!({ "oauth_url": format!("http://{address}/token") }));
    let long = "x".repeat(13_000);
    client.call("check_license", &json!({ "extra": { "note": long } })).ok();
    let heard = heard.lock().unwrap();
    assert!(
        heard[1].contains(&format!("Bearer {token}")) || heard[1].contains(&format!("bearer {token}")),
        "{heard:?}"
    );
    assert!(heard[1].contains(&long));
    assert!(heard[1].to_lowercase().contains("\r\ndate: "), "Date stays mandatory");
}

#[test]
fn too_long_or_unprintable_token_is_not_used() {
    for token in [String::new(), "t".repeat(8 * 1024 + 1), "a\r\nb".to_owned(), "a b".to_owned(), "ü".to_owned()] {
        let (address, heard) = noting(move |_| ok(&json!({ "access_token": token })));
        let client = by_token(&address, json!({ "oauth_url": format!("http://{address}/token") }));
        client.call("check_license", &Value::Null).failed("REPLY_NOT_API", "not_sent");
        assert_eq!(heard.lock().unwrap().len(), 1);
    }
}

fn verdicts(report: &Value) -> Vec<(String, String)> {
    let text = |check: &Value, member: &str| check[member].as_str().unwrap().to_owned();
    report["checks"].as_array().unwrap().iter().map(|check| (text(check, "check"), text(check, "verdict"))).collect()
}

#[test]
fn diagnose_checks_token_endpoint_on_its_own() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let report = |changes: Value| Client::open(&with(&config(&world, DEVICE), changes)).unwrap().diagnose();
    let good = report(json!({}));
    assert_eq!(good["ok"], true, "{good}");
    assert!(verdicts(&good).contains(&("token_endpoint".to_owned(), "ok".to_owned())), "{good}");

    let refused = report(json!({ "client_secret": "wrong-secret-2" }));
    let expected = [
        ("token_endpoint", "failed"),
        ("proxy", "skipped"),
        ("dns", "ok"),
        ("tcp", "ok"),
        ("tls", "skipped"),
        ("http", "ok"),
        ("clock_skew", "ok"),
        ("authorisation", "skipped"),
    ];
    let found = verdicts(&refused);
    for (check, verdict) in expected {
        assert!(found.contains(&(check.to_owned(), verdict.to_owned())), "{check}: {refused}");
    }

    only_at_token_endpoint(&world, &json!({ "before": "hang" }));
    let silent = verdicts(&report(json!({ "timeout_ms": 1000 })));
    assert!(silent.contains(&("token_endpoint".to_owned(), "failed".to_owned())), "{silent:?}");
    assert!(silent.contains(&("http".to_owned(), "ok".to_owned())), "{silent:?}");
}

#[test]
fn lease_is_renewed_across_tokens_and_outlasts_endpoint() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let client = active_client(&world, DEVICE);
    let (lease, _) = client.acquire(&json!({ "keep_alive": "host" }));
    world.control("POST /tokens/expire", &Value::Null);
    lease.renew().ok();
    only_at_token_endpoint(&world, &json!({ "before": { "oauth_error": "invalid_client" } }));
    world.control("POST /tokens/expire", &Value::Null);
    lease.renew().failed("OAUTH_CLIENT_REFUSED", "not_sent");
    assert_eq!(lease.state(), "DEGRADED", "the slot is still held");
    world.control("DELETE /faults", &Value::Null);
    lease.renew().ok();
    assert_eq!(lease.state(), "ACTIVE");
    lease.release().ok();
    assert_eq!(world.slots_of(DEVICE), []);
}

#[test]
fn lease_of_library_thread_is_renewed_with_fresh_token() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let client = active_client(&world, DEVICE);
    let (lease, _) = client.acquire(&Value::Null);
    world.control("POST /tokens/expire", &Value::Null);
    let before = count(&world, &json!({ "operation": "check_license", "status": 200 }));
    client.advance(80 * 60 * 1000);
    until("it is renewed", || count(&world, &json!({ "operation": "check_license", "status": 200 })) > before);
    assert_eq!(lease.state(), "ACTIVE");
    assert_eq!(tokens_asked_for(&world), 2);
}

#[test]
fn slot_is_released_by_fresh_token_after_client_was_closed() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let client = active_client(&world, DEVICE);
    let (lease, _) = client.acquire(&Value::Null);
    world.control("POST /tokens/expire", &Value::Null);
    lease.free();
    client.close();
    until("the slot is released", || world.slots_of(DEVICE).is_empty());
}

#[test]
fn submitted_call_is_cancelled_while_token_is_fetched_and_next_one_takes_over() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let client = active_client(&world, DEVICE);
    let once = json!({ "match": { "operation": "oauth_token" }, "when": { "times": 1 }, "do": { "before": "hang" } });
    world.control("PUT /faults", &json!({ "faults": [once] }));
    world.control("POST /tokens/expire", &Value::Null);
    let first = client.submit("check_license", &Value::Null).unwrap();
    until("the first call fetches", || world.control("GET /faults", &Value::Null)["faults"][0]["happened"] == 1);
    let second = client.submit("check_license", &Value::Null).unwrap();
    thread::sleep(Duration::from_millis(100));
    assert_eq!(client.cancel_submitted(first), "OK");
    let ends: Vec<Value> = (0..2).map(|_| client.next_event(20_000).unwrap()).collect();
    let of = |ticket: u64| ends.iter().find(|event| event["ticket"] == ticket).unwrap().to_string();
    assert!(of(first).contains("CANCELLED"), "{ends:?}");
    assert!(!of(second).contains("CANCELLED") && of(second).contains("license_signature"), "{ends:?}");
}

#[test]
fn cancel_and_close_wake_calls_that_wait_for_token() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    only_at_token_endpoint(&world, &json!({ "before": "hang" }));
    for closes in [false, true] {
        let client = Client::open(&with(&config(&world, DEVICE), json!({ "timeout_ms": 60_000 }))).unwrap();
        thread::scope(|scope| {
            let calls: Vec<_> = (0..8).map(|_| scope.spawn(|| client.call("check_license", &Value::Null))).collect();
            thread::sleep(Duration::from_millis(200));
            let started = Instant::now();
            if closes {
                client.close();
            } else {
                assert_eq!(client.cancel(), "OK");
            }
            for call in calls {
                call.join().unwrap().failed("CANCELLED", "not_sent");
            }
            assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        });
    }
    assert_eq!(tokens_asked_for(&world), 2);
}

/// A call that is in a hurry ends first. One that has time goes on with a request of its own.
#[test]
fn patient_call_fetches_after_hasty_one_gave_up() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let client = active_client(&world, DEVICE);
    let once = json!({ "match": { "operation": "oauth_token" }, "when": { "times": 1 }, "do": { "before": "hang" } });
    world.control("PUT /faults", &json!({ "faults": [once] }));
    world.control("POST /tokens/expire", &Value::Null);
    thread::scope(|scope| {
        let hasty = scope.spawn(|| client.call("check_license", &json!({ "timeout_ms": 400 })));
        until("it fetches", || world.control("GET /faults", &Value::Null)["faults"][0]["happened"] == 1);
        let patient: Vec<_> = (0..8).map(|_| scope.spawn(|| client.call("check_license", &Value::Null))).collect();
        hasty.join().unwrap().refused("TIMEOUT");
        for call in patient {
            call.join().unwrap().ok();
        }
    });
    assert_eq!(tokens_asked_for(&world), 3, "the first one, the silent one, and the last one");
}

/// Others wait for the fetch of a call that has a lot of time, but not as long as that.
#[test]
fn fetch_of_very_patient_call_ends_with_the_configs_time() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let client = Client::open(&with(&config(&world, DEVICE), json!({ "timeout_ms": 700 }))).unwrap();
    client.call("activate_license", &Value::Null).ok();
    let once = json!({ "match": { "operation": "oauth_token" }, "when": { "times": 1 }, "do": { "before": "hang" } });
    world.control("PUT /faults", &json!({ "faults": [once] }));
    world.control("POST /tokens/expire", &Value::Null);
    thread::scope(|scope| {
        let patient = scope.spawn(|| client.call("check_license", &json!({ "timeout_ms": 3_600_000 })));
        until("it fetches", || world.control("GET /faults", &Value::Null)["faults"][0]["happened"] == 1);
        client.call("check_license", &json!({ "timeout_ms": 60_000 })).ok();
        patient.join().unwrap().ok();
    });
}

#[test]
fn scoped_client_uses_licenses_of_its_owner_only() {
    let demo = Demo::start();
    let [of_license, of_customer, of_account] = ["license", "customer", "customeraccount"].map(client_id);
    let client = |id: &str, scope: &str, name: &str| {
        format!(
            "[[oauth_client]]\nclient_id = \"{id}\"\nclient_secret = \"scoped-secret\"\nscope = \"{scope}\"\nnames = [\"{name}\"]\n"
        )
    };
    let more = [
        client(&of_license, "license", "CADP-NOBO-RROW-0002"),
        client(&of_customer, "customer", "buyer@example.com"),
        client(&of_account, "customer_account", "EXAMPLE"),
    ];
    let world = World::new(&demo, &json!({ "catalogue": catalogue("", &more.concat()) }));
    for (id, own, foreign) in [
        (&of_license, "CADP-NOBO-RROW-0002", "CADP-FLOA-TING-0002"),
        (&of_customer, "CADP-FLOA-TING-0002", "CADP-NOBO-RROW-0002"),
        (&of_account, "CADP-FLOA-TING-0002", "CADP-SITE-WIDE-1000"),
    ] {
        let client = Client::open(&config_of(&world, DEVICE, id, "scoped-secret")).unwrap();
        client.call("activate_license", &json!({ "license_key": own })).ok();
        client.call("check_license", &json!({ "license_key": own })).ok();
        client.call("activate_license", &json!({ "license_key": foreign })).failed("LICENSE_NOT_FOUND", "rejected");
        client.call("activate_license", &json!({ "license_key": "NO-SUCH" })).failed("LICENSE_NOT_FOUND", "rejected");
        // Their replies tell of licenses of others, so they are refused even about the client's own.
        let ada = json!({ "username": "ada@example.com", "password": "correct-horse" });
        for (operation, request) in [
            ("device_licenses", json!({})),
            ("trial_key", json!({})),
            ("customer_license_users", json!({ "product": "STUDIO", "customer": "buyer@example.com" })),
            ("user_licenses", with(&ada, json!({ "product": "STUDIO" }))),
            ("change_password", with(&ada, json!({ "new_password": "n" }))),
        ] {
            client.call(operation, &request).failed("LICENSE_NOT_FOUND", "rejected");
        }
        let bundle = json!({ "product": "SUITE", "license_key": foreign });
        client.call("activate_bundle", &bundle).failed("LICENSE_NOT_FOUND", "rejected");
    }
    let ada =
        json!({ "product": "STUDIO", "license_key": null, "username": "ada@example.com", "password": "correct-horse" });
    for (id, status) in [(&of_customer, "OK"), (&of_license, "LICENSE_NOT_FOUND")] {
        let client = Client::open(&with(&config_of(&world, DEVICE, id, "scoped-secret"), ada.clone())).unwrap();
        assert_eq!(client.call("activate_license", &Value::Null).status, status, "{id}");
    }
}

#[test]
fn limited_clients_are_refused_as_api_keys_are() {
    let demo = Demo::start();
    let [reader, studio, revoked] = ["company", "company", "company"].map(client_id);
    let client = |id: &str, limit: &str| {
        format!(
            "[[oauth_client]]\nclient_id = \"{id}\"\nclient_secret = \"limited-secret\"\nscope = \"company\"\n{limit}\n"
        )
    };
    let more = [
        client(&reader, "read_only = true"),
        client(&studio, "products = [\"STUDIO\"]"),
        client(&revoked, "revoked = true"),
    ];
    let world = World::new(&demo, &json!({ "catalogue": catalogue("", &more.concat()) }));
    for (id, status, outcome) in [
        (&reader, "READ_ONLY_API_KEY", "rejected"),
        (&studio, "API_KEY_PRODUCT_NOT_ALLOWED", "rejected"),
        (&revoked, "OAUTH_CLIENT_REFUSED", "not_sent"),
    ] {
        let client = Client::open(&config_of(&world, DEVICE, id, "limited-secret")).unwrap();
        client.call("activate_license", &Value::Null).failed(status, outcome);
    }
}

#[test]
fn api_keys_are_refused_where_oauth_is_required() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "catalogue": catalogue("oauth_only = true", "") }));
    let by_token = &world.said["client_config"];
    assert!(by_token["client_id"].is_string() && by_token["api_key"].is_null(), "{by_token}");
    world.client(DEVICE).call("activate_license", &Value::Null).ok();
    let keys = json!({ "client_id": null, "client_secret": null, "api_key": world.said["api_key"], "shared_key": world.said["shared_key"] });
    let by_key = Client::open(&with(&world.config(DEVICE), keys)).unwrap();
    let error = by_key.call("check_license", &Value::Null).failed("INVALID_API_KEY", "rejected");
    assert!(error["message"].as_str().unwrap().contains("OAuth"), "{error}");
}

/// A thread of the parent fetches a token and holds what it holds. The child opens a client of its own.
#[cfg(target_os = "linux")]
#[test]
#[allow(unsafe_code)]
fn forked_child_waits_for_no_fetch_of_its_parent() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    only_at_token_endpoint(&world, &json!({ "before": "hang" }));
    let well = World::new(&demo, &json!({}));
    let of_child = config(&well, DEVICE);
    let client = Client::open(&with(&config(&world, DEVICE), json!({ "timeout_ms": 60_000 }))).unwrap();
    thread::scope(|scope| {
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| client.call("check_license", &Value::Null))).collect();
        thread::sleep(Duration::from_millis(300));
        // SAFETY: the child uses the library alone, and ends without running code of its parent.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let inherited = client.call("check_license", &Value::Null).status == "FORKED";
            let own =
                Client::open(&of_child).is_ok_and(|own| own.call("activate_license", &Value::Null).status == "OK");
            // SAFETY: it ends the child at once.
            unsafe { libc::_exit(if inherited && own { 0 } else { 1 }) };
        }
        let mut status = -1;
        let started = Instant::now();
        // SAFETY: `status` is alive for the call.
        while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
            if started.elapsed() > Duration::from_secs(20) {
                // SAFETY: the process is this test's own child.
                unsafe { libc::kill(child, libc::SIGKILL) };
            }
            thread::sleep(Duration::from_millis(10));
        }
        client.cancel();
        for call in calls {
            call.join().unwrap().refused("CANCELLED");
        }
        assert_eq!(status, 0, "the child waits, or its call fails");
    });
}
