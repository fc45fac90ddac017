//! A yes is proven: replies that must be refused, each by its own name.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use support::abi::Client;
use support::folder::Folder;
use support::holder::until;
use support::sandbox::World;
use support::stub::{self, Message};
use support::{Demo, with};

fn through(demo: &Demo, address: &str) -> Client {
    let url = format!("http://{address}/api/v4");
    Client::open(&with(&demo.config("proof"), json!({"base_url": url}))).unwrap()
}

#[test]
fn each_kind_of_untrustworthy_reply_has_its_own_status() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let client = world.client("proof");
    client.call("activate_license", &Value::Null).ok();
    let request = json!({"timeout_ms": 2000});
    for (fault, verb, status) in [
        (json!({"reply": "signature_missing"}), "check_license", "REPLY_UNSIGNED"),
        (json!({"reply": "signature_missing"}), "borrow_license", "REPLY_UNSIGNED"),
        (json!({"reply": "signature_of_another_key"}), "check_license", "REPLY_SIGNATURE"),
        (json!({"reply": "signature_of_another_key"}), "borrow_license", "REPLY_SIGNATURE"),
        (json!({"reply": "flipped_byte"}), "check_license", "REPLY_ALTERED"),
        (json!({"reply": "flipped_byte"}), "borrow_license", "REPLY_SIGNATURE"),
        (json!({"before": "html_page"}), "check_license", "REPLY_NOT_API"),
        (json!({"before": "html_page"}), "release_license", "REPLY_NOT_API"),
        (json!({"before": "html_page"}), "deactivate_license", "REPLY_NOT_API"),
        (json!({"after_commit": "truncate"}), "borrow_license", "REPLY_TRUNCATED"),
        (json!({"reply": "json_broken"}), "borrow_license", "REPLY_TRUNCATED"),
        (json!({"reply": "huge"}), "borrow_license", "REPLY_TOO_LARGE"),
        (json!({"before": {"redirect": "http://127.0.0.1:9/"}}), "borrow_license", "REPLY_REDIRECT"),
    ] {
        world.only_fault(&fault);
        client.call(verb, &request).failed(status, "unknown");
    }
    world.control("DELETE /faults", &Value::Null);
    client.call("check_license", &request).ok();
    let wrong_key = with(&world.config("proof"), json!({"public_key": demo.said["public_key"]}));
    for verb in ["check_license", "borrow_license"] {
        Client::open(&wrong_key).unwrap().call(verb, &request).failed("REPLY_SIGNATURE", "unknown");
    }
}

/// The API signs no request, so whoever is in between can ask for another license of the same device.
#[test]
fn bundle_of_another_license_is_not_ours() {
    let demo = Demo::start();
    let swap = |request: Message| {
        let text = String::from_utf8(request.body).unwrap();
        let body = text.replace("CADP-NODE-LOCK-0002", "CADP-FLOA-TING-0002").into_bytes();
        let head = request.head.replace("CADP-NODE-LOCK-0002", "CADP-FLOA-TING-0002");
        Message { head, body }
    };
    let address = stub::between(demo.address(), swap, |reply| reply.bytes());
    let url = format!("http://{address}/api/v4");
    let asked = json!({"base_url": url, "license_key": "CADP-NODE-LOCK-0002", "bundle_code": "SUITE"});
    let client = Client::open(&with(&demo.config("proof"), asked)).unwrap();
    for verb in ["activate_bundle", "check_bundle"] {
        client.call(verb, &json!({"timeout_ms": 3000})).failed("REPLY_NOT_OURS", "unknown");
    }
}

#[test]
fn what_no_license_server_says_is_not_the_api() {
    let demo = Demo::start();
    for (said, verb, status) in [
        (
            "403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>",
            "borrow_license",
            "REPLY_NOT_API",
        ),
        (
            "307 Temporary\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
            "check_license",
            "REPLY_REDIRECT",
        ),
        ("204 No Content\r\n\r\n", "borrow_license", "REPLY_EMPTY"),
        ("200 OK\r\nContent-Length: 16\r\n\r\n{\"error\":\"full\"}", "release_license", "REPLY_NOT_API"),
        ("200 OK\r\nContent-Length: 12\r\n\r\n\"some words\"", "release_license", "REPLY_NOT_API"),
        ("200 OK\r\nContent-Length: 0\r\n\r\n", "borrow_license", "REPLY_EMPTY"),
        ("SMTP ready\r\n\r\n", "borrow_license", "REPLY_NOT_API"),
    ] {
        let address = stub::answering(format!("HTTP/1.1 {said}"));
        through(&demo, &address).call(verb, &json!({"timeout_ms": 2000})).failed(status, "unknown");
    }
}

#[test]
fn release_is_answered_by_nothing_in_any_form() {
    let demo = Demo::start();
    for said in [
        "204 No Content\r\n\r\n",
        "200 OK\r\nContent-Length: 0\r\n\r\n",
        "200 OK\r\nContent-Length: 2\r\n\r\n\"\"",
        "200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let address = stub::answering(format!("HTTP/1.1 {said}"));
        assert_eq!(through(&demo, &address).call("release_license", &json!({})).ok(), json!({}), "{said}");
    }
}

#[test]
fn post_refused_by_failing_server_is_not_repeated() {
    let demo = Demo::start();
    // An error of the server's own says nothing of what it has done before, whatever status it comes with.
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let refuse = move |mut reply: Message| {
        count.fetch_add(1, Ordering::SeqCst);
        reply.head = "HTTP/1.1 400 Bad Request".to_owned();
        reply.body = br#"{"status":400,"code":"internal_error","message":"no room"}"#.to_vec();
        reply.bytes()
    };
    let client = through(&demo, &stub::between(demo.address(), |request| request, refuse));
    client.call("borrow_license", &json!({})).failed("SERVER_INTERNAL_ERROR", "unknown");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn an_honest_middle_is_no_trouble() {
    // What is refused below is refused for what the middle does, not for its being there.
    let demo = Demo::start();
    let client = through(&demo, &stub::between(demo.address(), |request| request, |reply| reply.bytes()));
    for verb in ["activate_license", "check_license", "borrow_license"] {
        client.call(verb, &Value::Null).ok();
    }
}

#[test]
fn a_reply_about_another_device_is_not_ours() {
    let demo = Demo::start();
    for device in ["proof", "elsewhere"] {
        demo.client(device).call("activate_license", &Value::Null).ok();
    }
    // Asked about one device, the middle asks the server about the other: signed, genuine, and not the answer.
    let ask_about_another = |mut request: Message| {
        request.head = request.head.replace("hardware_id=proof", "hardware_id=elsewhere");
        request
    };
    let address = stub::between(demo.address(), ask_about_another, |reply| reply.bytes());
    through(&demo, &address).call("check_license", &json!({})).failed("REPLY_NOT_OURS", "unknown");
}

#[test]
fn a_signed_reply_to_another_question_is_no_answer() {
    let demo = Demo::start();
    let real = demo.client("proof");
    real.call("activate_license", &Value::Null).ok();
    // The middle asks another question than the client did; the server's answer to that is as genuine as can be.
    let instead = |from: &'static str, to: &'static str| {
        let ask = move |mut request: Message| {
            let (start, rest) = request.head.split_once(' ').unwrap();
            assert!(["GET", "POST"].contains(&start) && rest.contains(from), "{rest}");
            let target = rest.replacen(from, to, 1);
            request.head = if to.starts_with("/api") { format!("GET {target}") } else { format!("{start} {target}") };
            request
        };
        through(&demo, &stub::between(demo.address(), ask, |reply| reply.bytes()))
    };
    let details = |from: &'static str| instead(from, "/api/v4/product_details?product=CAD%2DPRO");
    for (client, verb, request) in [
        (details("/api/v4/floating/borrow"), "borrow_license", json!({})),
        (details("/api/v4/floating/feature_borrow"), "borrow_feature", json!({"feature": "MESH"})),
        (details("/api/v4/add_feature_consumption"), "add_feature_consumption", json!({"feature": "RENDER-MINUTES"})),
        (instead("feature=MESH", "feature=EXPORT"), "check_feature", json!({"feature": "MESH"})),
        (instead("product=CAD-PRO", "product=STUDIO"), "product_details", json!({})),
    ] {
        client.call(verb, &request).failed("REPLY_NOT_OURS", "unknown");
    }
}

/// A client behind a middle that puts another value into this header of each reply, if the reply has it.
fn behind_altered(demo: &Demo, name: &'static str, alter: fn(&str) -> String) -> Client {
    let answer = move |reply: Message| match reply.header(name).map(alter) {
        Some(value) => reply.with_header(name, &value).bytes(),
        None => reply.bytes(),
    };
    through(demo, &stub::between(demo.address(), |request| request, answer))
}

const CONSUME: &str = "add_feature_consumption";

fn minutes(consumptions: i64) -> Value {
    json!({ "feature": "RENDER-MINUTES", "consumptions": consumptions })
}

#[test]
fn reply_with_another_key_is_not_ours() {
    let demo = Demo::start();
    let client = behind_altered(&demo, "idempotency-key", |key| format!("not-{key}"));
    client.call("activate_license", &Value::Null).ok();
    client.call(CONSUME, &minutes(3)).failed("REPLY_NOT_OURS", "unknown");
    // The server's no to other consumptions is none to these.
    client.call(CONSUME, &minutes(1_000_000_000)).failed("REPLY_NOT_OURS", "unknown");
}

/// What the middle does about the next consumption.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    PassOn,
    /// Drops the request, and answers as the one before was answered: signed, genuine, and late.
    AnswerOld,
    /// The request was dropped.
    Dropped,
}

#[test]
fn old_reply_does_not_count_for_a_consumption() {
    let demo = Demo::start();
    let folder = Folder::new("old-reply");
    let state = Arc::new(Mutex::new((Next::PassOn, None::<Message>)));
    let (there, back) = (Arc::clone(&state), Arc::clone(&state));
    let ask = move |request: Message| {
        let mut state = there.lock().unwrap();
        if state.0 == Next::PassOn || !request.head.contains(CONSUME) {
            return request;
        }
        state.0 = Next::Dropped;
        Message { head: "GET / HTTP/1.1\r\nHost: nowhere".to_owned(), body: Vec::new() }
    };
    let answer = move |reply: Message| {
        let mut state = back.lock().unwrap();
        if state.0 == Next::Dropped {
            state.0 = Next::PassOn;
            return state.1.as_ref().expect("a reply of before").bytes();
        }
        if reply.header("idempotency-key").is_some() {
            state.1 = Some(reply.clone());
        }
        reply.bytes()
    };
    let url = format!("http://{}/api/v4", stub::between(demo.address(), ask, answer));
    let config = with(&demo.config("proof"), json!({ "base_url": url, "storage_dir": folder.path() }));
    let client = Client::open(&config).unwrap();
    client.call("activate_license", &Value::Null).ok();
    let total = |reply: Value| reply["total_consumptions"].as_i64();
    assert_eq!(total(client.call(CONSUME, &minutes(3)).ok()), Some(3));

    state.lock().unwrap().0 = Next::AnswerOld;
    client.call(CONSUME, &minutes(4)).failed("REPLY_NOT_OURS", "unknown");
    assert_eq!(total(client.call("check_feature", &json!({ "feature": "RENDER-MINUTES" })).ok()), Some(3));

    // Consumptions that are kept are asked for again under their own key, and so booked once.
    let queued = |consumptions| with(&minutes(consumptions), json!({ "offline": "queue" }));
    state.lock().unwrap().0 = Next::AnswerOld;
    assert_eq!(total(client.call(CONSUME, &queued(5)).ok()), Some(8));
    assert!(state.lock().unwrap().0 == Next::PassOn, "the old reply came");
}

fn next_number(order: &str) -> String {
    (order.parse::<u64>().unwrap() + 1).to_string()
}

fn number_before(order: &str) -> String {
    (order.parse::<u64>().unwrap() - 1).to_string()
}

#[test]
fn yes_with_another_order_number_is_not_ours() {
    let demo = Demo::start();
    let mesh = json!({ "feature": "MESH" });
    for alter in [next_number, number_before] {
        let client = behind_altered(&demo, "floatlease-order", alter);
        for (verb, request) in [
            ("activate_license", &Value::Null),
            ("check_license", &Value::Null),
            ("borrow_license", &Value::Null),
            ("release_license", &Value::Null),
            ("check_feature", &mesh),
            ("release_feature", &mesh),
            ("deactivate_license", &Value::Null),
        ] {
            client.call(verb, request).failed("REPLY_NOT_OURS", "unknown");
        }
    }
}

/// "No content" is a yes too.
#[test]
fn empty_yes_with_another_order_number_is_not_ours() {
    let demo = Demo::start();
    let emptied = |alter: fn(&str) -> String| {
        let answer = move |reply: Message| {
            let order = reply.header("floatlease-order").map(alter).unwrap();
            let head = format!("HTTP/1.1 204 No Content\r\nConnection: close\r\nFloatLease-Order: {order}");
            Message { head, body: Vec::new() }.bytes()
        };
        through(&demo, &stub::between(demo.address(), |request| request, answer))
    };
    emptied(str::to_owned).call("release_license", &Value::Null).ok();
    for alter in [next_number, number_before] {
        emptied(alter).call("release_license", &Value::Null).failed("REPLY_NOT_OURS", "unknown");
    }
}

#[test]
fn no_with_another_order_number_is_not_ours() {
    let demo = Demo::start();
    demo.client("proof").call("activate_license", &Value::Null).ok();
    let honest = behind_altered(&demo, "floatlease-order", str::to_owned);
    let refused = honest.call("release_license", &Value::Null).refused("FLOATING_NOT_AVAILABLE");
    assert_eq!(refused["outcome"], "rejected");
    for alter in [next_number, number_before] {
        let client = behind_altered(&demo, "floatlease-order", alter);
        client.call("release_license", &Value::Null).failed("REPLY_NOT_OURS", "unknown");
    }
}

/// Neither a yes nor a no of another request decides about a lease: what it may hold is given back.
#[test]
fn acquire_with_another_order_number_gives_slot_back() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0 }));
    world.client("proof").call("activate_license", &Value::Null).ok();
    let alter = |reply: Message| match (reply.header("floatlease-order"), reply.body.is_empty()) {
        (Some(order), false) => {
            let order = next_number(order);
            reply.with_header("floatlease-order", &order).bytes()
        }
        _ => reply.bytes(),
    };
    let url = format!("http://{}", stub::between(demo.address(), |request| request, alter));
    let base_url = world.said["client_config"]["base_url"].as_str().unwrap();
    let base_url = base_url.replace(&format!("http://{}", demo.address()), &url);
    let client = Client::open(&with(&world.config("proof"), json!({ "base_url": base_url }))).unwrap();
    let (none, answer) = client.try_acquire(&Value::Null);
    answer.failed("REPLY_NOT_OURS", "unknown");
    assert!(none.is_none());
    until("the slot is given back", || world.slots_of("proof").is_empty());
    world.control("POST /journal/expect", &json!({ "filter": { "event": "slot_taken" }, "times": 1 }));
}

#[test]
fn object_as_answer_to_release_is_not_believed() {
    let demo = Demo::start();
    let reply = r#"{"borrowed_until":"2099-01-01T00:00:00.000Z"}"#;
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", reply.len());
    let client = through(&demo, &stub::answering(head + reply));
    let error = client.call("release_license", &json!({})).failed("REPLY_NOT_API", "unknown");
    assert!(!error.to_string().contains("2099"), "{error}");
}

#[test]
fn a_time_that_no_clock_shows_neither_harms_nor_is_signed() {
    let demo = Demo::start();
    for date in ["Sat, 01 Jan 12000 00:00:00 GMT", "Fri, 01 Jan 2038 00:00:00 GMT", "nonsense"] {
        let body = r#"{"status":400,"code":"date_header_diff","message":"no"}"#;
        let head = format!("HTTP/1.1 400 Bad Request\r\nDate: {date}\r\nConnection: close\r\n");
        let client = through(&demo, &stub::answering(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())));
        for _ in 0..2 {
            let error = client.call("borrow_license", &json!({})).failed("DATE_HEADER_DIFF", "rejected");
            assert_eq!(error["attempts"], 1, "{date}");
        }
    }
}

#[test]
fn without_proof_a_reply_counts_only_if_the_host_said_so() {
    let demo = Demo::start();
    let world = World::with_fault(&demo, &json!({"reply": "signature_missing"}));
    let off = json!({"verify": "off", "public_key": null});
    let client = Client::open(&with(&world.config("proof"), off)).unwrap();
    client.call("activate_license", &Value::Null).ok();
    assert_eq!(client.diagnose()["ok"], true);
}

/// Nobody signs the date of a reply.
#[test]
fn date_beyond_all_years_is_not_believed_and_ends_no_lease() {
    let demo = Demo::start();
    let address = stub::between(
        demo.address(),
        |request| request,
        |reply| reply.with_header("Date", "Fri, 31 Dec 262142 23:59:59 GMT").bytes(),
    );
    let client = through(&demo, &address);
    client.call("activate_license", &Value::Null).ok();
    let (lease, _) = client.acquire(&Value::Null);
    lease.renew().ok();
    lease.release().ok();
}
