//! A yes is proven: replies that must be refused, each by its own name.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::abi::Client;
use support::stub::{self, Message};
use support::{Demo, with};

fn through(demo: &Demo, address: &str) -> Client {
    let url = format!("http://{address}/api/v4");
    Client::open(&with(&demo.config("proof"), json!({"base_url": url}))).unwrap()
}

/// A client behind a man in the middle who alters every reply.
fn altered(demo: &Demo, alter: impl Fn(Message) -> Vec<u8> + Clone + Send + 'static) -> Client {
    through(demo, &stub::altering(demo.address(), alter))
}

fn flip(mut message: Message, at: &str) -> Vec<u8> {
    let text = String::from_utf8(message.body.clone()).unwrap();
    let place = text.find(at).unwrap() + at.len() - 1;
    message.body[place] ^= 1;
    message.bytes()
}

#[test]
fn an_unaltered_reply_through_the_same_middle_is_believed() {
    let demo = Demo::start();
    let client = altered(&demo, |reply| reply.bytes());
    client.call("activate_license", &Value::Null).ok();
    client.call("check_license", &Value::Null).ok();
    client.call("borrow_license", &Value::Null).ok();
}

#[test]
fn each_kind_of_untrustworthy_reply_has_its_own_status() {
    let demo = Demo::start();
    demo.client("proof").call("activate_license", &Value::Null).ok();
    let other_key = Demo::start();

    let unsigned = altered(&demo, |reply| reply.without_header("LicenseSignature").bytes());
    let flipped = altered(&demo, |reply| flip(reply, "\"floating_users\":2"));
    let flipped_borrow = altered(&demo, |reply| flip(reply, "\"max_borrow_time\":2"));
    let truncated = altered(&demo, |reply| {
        let bytes = reply.bytes();
        bytes[..bytes.len() - 20].to_vec()
    });
    let cut_json = altered(&demo, |mut reply| {
        reply.body.truncate(reply.body.len() - 20);
        reply.without_header("LicenseSignature").bytes()
    });
    let wrong_key =
        Client::open(&with(&demo.config("proof"), json!({"public_key": other_key.said["public_key"]}))).unwrap();
    let html = "<html><body>Please log in to the hotel's network</body></html>";
    let page = |status: &str| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\nConnection: close\r\n");
        through(&demo, &stub::answering(format!("{head}Content-Length: {}\r\n\r\n{html}", html.len())))
    };
    let headers_only =
        |head: &str| through(&demo, &stub::answering(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n")));
    let huge = altered(&demo, |mut reply| {
        reply.body = vec![b' '; 2 * 1024 * 1024];
        reply.bytes()
    });

    for (client, verb, status) in [
        (&unsigned, "check_license", "REPLY_UNSIGNED"),
        (&unsigned, "borrow_license", "REPLY_UNSIGNED"),
        (&wrong_key, "check_license", "REPLY_SIGNATURE"),
        (&wrong_key, "borrow_license", "REPLY_SIGNATURE"),
        (&flipped, "check_license", "REPLY_ALTERED"),
        (&flipped_borrow, "borrow_license", "REPLY_SIGNATURE"),
        (&page("200 OK"), "check_license", "REPLY_NOT_API"),
        (&page("200 OK"), "release_license", "REPLY_NOT_API"),
        (&page("200 OK"), "deactivate_license", "REPLY_NOT_API"),
        (&page("403 Forbidden"), "borrow_license", "REPLY_NOT_API"),
        (&truncated, "borrow_license", "REPLY_TRUNCATED"),
        (&cut_json, "borrow_license", "REPLY_TRUNCATED"),
        (&huge, "borrow_license", "REPLY_TOO_LARGE"),
        (
            &headers_only("302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0"),
            "borrow_license",
            "REPLY_REDIRECT",
        ),
        (
            &headers_only("307 Temporary\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0"),
            "check_license",
            "REPLY_REDIRECT",
        ),
        (&headers_only("204 No Content"), "borrow_license", "REPLY_EMPTY"),
        (&headers_only("200 OK\r\nContent-Length: 0"), "borrow_license", "REPLY_EMPTY"),
        (&headers_only("SMTP ready"), "borrow_license", "REPLY_NOT_API"),
    ] {
        let request = json!({"timeout_ms": 2000});
        client.call(verb, &request).failed(status, "unknown");
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

#[test]
fn what_answers_a_release_is_not_passed_on() {
    let demo = Demo::start();
    let reply = r#"{"borrowed_until":"2099-01-01T00:00:00.000Z"}"#;
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", reply.len());
    let client = through(&demo, &stub::answering(head + reply));
    assert_eq!(client.call("release_license", &json!({})).ok(), json!({}));
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
    let address = stub::altering(demo.address(), |reply| reply.without_header("LicenseSignature").bytes());
    let off = json!({"base_url": format!("http://{address}/api/v4"), "verify": "off", "public_key": null});
    let client = Client::open(&with(&demo.config("proof"), off)).unwrap();
    client.call("activate_license", &Value::Null).ok();
    assert_eq!(client.diagnose()["ok"], true);
}
