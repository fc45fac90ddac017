//! Every operation with parameters that are unknown, or given twice.

use floatlease::operations::{Method, OPERATIONS, Operation};
use floatlease_server::RateLimits;
use serde_json::{Value, json};

use crate::common::offline::schema_2;
use crate::common::{Answer, query_of, with};
use crate::requests::{Sent, file_head, good, prepare};
use crate::site::Site;

/// A good request of a new device, which is ready for it.
fn ready(site: &mut Site, operation: &Operation) -> Value {
    let request = with(&good(operation), json!({ "hardware_id": site.new_device() }));
    prepare(site, operation, &request);
    request
}

/// Sends a good request with `sdk_ver` twice, and returns the code of the refusal.
fn send_twice(site: &mut Site, operation: &Operation, values: [&str; 2]) -> Option<String> {
    let request = ready(site, operation);
    let headers = site.client.authorised();
    let mut ask =
        |query: &str, body: &str| -> Answer { site.client.ask(operation, query, &headers, body.as_bytes()).unwrap() };
    let of_json = |members: &Value| {
        let rest = members.to_string();
        let [first, second] = values.map(|value| json!(value).to_string());
        format!(r#"{{"sdk_ver":{first},"sdk_ver":{second},{}"#, rest.strip_prefix('{').unwrap())
    };
    let sent = Sent::of(operation, &request);
    let answer = match operation.method {
        Method::Get => {
            let [first, second] = values.map(|value| query_of(&json!({ "sdk_ver": value })));
            ask(&format!("{first}&{}&{second}", sent.query), "")
        }
        Method::Post if operation.takes_file() => {
            let file = schema_2(&of_json(&with(&file_head(operation), request)));
            ask("", file["file"].as_str().unwrap())
        }
        Method::Post => ask("", &of_json(&serde_json::from_str(&sent.body).unwrap())),
    };
    answer.code()
}

#[test]
fn unknown_parameters_are_ignored() {
    let mut site = Site::new("", RateLimits::default());
    for operation in OPERATIONS {
        for value in [json!(null), json!(5), json!("x"), json!([]), json!({ "a": {} })] {
            let request = with(&ready(&mut site, operation), json!({ "no_such_parameter": value }));
            assert_eq!(site.send(operation, &request, &[]).code(), None, "{} {value}", operation.name);
        }
    }
}

/// So the value that is checked is the one that is used.
#[test]
fn last_of_two_values_counts() {
    let mut site = Site::new("", RateLimits::default());
    let (good, too_long) = ("1", "x".repeat(1025));
    for operation in OPERATIONS {
        assert_eq!(send_twice(&mut site, operation, [&too_long, good]), None, "{}", operation.name);
        let refused = send_twice(&mut site, operation, [good, &too_long]);
        assert_eq!(refused.as_deref(), Some("validation_error"), "{}", operation.name);
    }
}
