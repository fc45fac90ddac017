//! The members of a request file that are in no row of the operations table, given wrongly.

use floatlease::operations::Operation;
use floatlease_server::RateLimits;
use serde_json::{Value, json};

use crate::common::{Answer, with};
use crate::requests::{Sent, file_head, good, prepare};
use crate::site::Site;

const OPERATIONS: [&str; 2] = ["activate_offline", "deactivate_offline"];

/// Sends a file of a new device with this value of the member, or without it.
fn send(site: &mut Site, operation: &Operation, member: &str, value: Option<&Value>) -> Answer {
    let request = with(&good(operation), json!({ "hardware_id": site.new_device() }));
    prepare(site, operation, &request);
    let mut members = with(&file_head(operation), request);
    let object = members.as_object_mut().unwrap();
    match value {
        Some(value) => object.insert(member.to_owned(), value.clone()),
        None => object.remove(member),
    };
    let headers = site.client.authorised();
    site.client.ask(operation, "", &headers, Sent::file(&members).body.as_bytes()).unwrap()
}

fn names(answer: &Answer, member: &str) -> bool {
    answer.status != 200 && answer.json()["message"].as_str().unwrap().contains(member)
}

#[test]
fn member_of_wrong_type_is_refused_by_name() {
    let mut site = Site::new("", RateLimits::default());
    for operation in OPERATIONS.map(|name| Operation::named(name).unwrap()) {
        for member in ["request", "api_key", "client_id", "request_id", "date", "signature"] {
            for value in
                [json!(5), json!(1.5), json!(true), json!([]), json!(["x"]), json!({}), "x".repeat(1025).into()]
            {
                let answer = send(&mut site, operation, member, Some(&value));
                let about = format!("{} {member} {value}: {answer:?}", operation.name);
                assert_eq!(answer.code().as_deref(), Some("validation_error"), "{about}");
                assert!(names(&answer, member), "{about}");
            }
        }
    }
}

#[test]
fn member_that_is_missing_is_named() {
    let mut site = Site::new("", RateLimits::default());
    for operation in OPERATIONS.map(|name| Operation::named(name).unwrap()) {
        for (member, is_required) in
            [("request", true), ("api_key", true), ("date", true), ("client_id", false), ("request_id", false)]
        {
            for value in [None, Some(Value::Null), Some("".into())] {
                let answer = send(&mut site, operation, member, value.as_ref());
                let about = format!("{} {member} {value:?}: {answer:?}", operation.name);
                let expected = is_required.then_some("missing_parameters");
                assert_eq!(answer.code().as_deref(), expected, "{about}");
                assert!(!is_required || names(&answer, member), "{about}");
            }
        }
    }
}

#[test]
fn consumptions_of_features_are_integers_or_numeric_strings() {
    let mut site = Site::new("", RateLimits::default());
    let operation = Operation::named("deactivate_offline").unwrap();
    let mut ask = |value: Value| send(&mut site, operation, "feature_consumptions", Some(&json!({ "C": value })));
    for value in [json!(1), json!("1"), json!(1.0), json!(0)] {
        assert_eq!(ask(value.clone()).code(), None, "{value}");
    }
    for value in [json!(null), json!("x"), json!(1.5), json!("1.5"), json!(true), json!([1]), json!({}), json!("")] {
        let answer = ask(value.clone());
        assert_eq!(answer.code().as_deref(), Some("validation_error"), "{value}");
        assert!(names(&answer, "feature_consumptions.C"), "{value}: {answer:?}");
    }
}
