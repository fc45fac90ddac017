//! Every exception of the five seeds, provoked through the C ABI against the server: one row per seed and code.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::status::Status;
use serde_json::{Value, json};
use support::abi::Client;
use support::stub::{self, Message};
use support::{Demo, with};

/// What has happened before the refused request, or happens to it on its way.
#[derive(Clone, Copy)]
enum Given {
    Nothing,
    /// This device is activated for the license that the request names.
    Activated,
    /// And holds a slot of the feature that it names.
    Holding,
    /// And colleagues hold every slot of the license.
    LicenseTaken,
    /// Or of the feature.
    FeatureTaken,
    /// The request loses its `Date` on the way: this client never sends one without.
    DateLost,
    /// Or its product.
    ProductLost,
}
use Given::{Activated, DateLost, FeatureTaken, Holding, LicenseTaken, Nothing, ProductLost};

/// The seed's operation, the code and the words it lists, what goes before, what is asked.
type Row = (&'static str, &'static str, &'static str, Given, &'static str);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // seed: add-feature-consumption
    ("add_feature_consumption", "unknown_product", "Provided product was not found", Nothing, r#"{"feature":"RENDER-MINUTES","product":"NOPE"}"#),
    ("add_feature_consumption", "license_not_found", "License with the provided license user not found", Nothing, r#"{"feature":"RENDER-MINUTES","license_key":"NO-SUCH-KEY"}"#),
    ("add_feature_consumption", "license_not_active", "The license is not active", Nothing, r#"{"feature":"RENDER-MINUTES","license_key":"CADP-INAC-TIVE-0000"}"#),
    ("add_feature_consumption", "license_not_enabled", "The license is not enabled", Nothing, r#"{"feature":"RENDER-MINUTES","license_key":"CADP-DISA-BLED-0000"}"#),
    ("add_feature_consumption", "device_not_found", "An active device matching the hardware_id not found", Nothing, r#"{"feature":"RENDER-MINUTES","hardware_id":"never-activated"}"#),
    ("add_feature_consumption", "blacklisted", "This device is blacklisted", Nothing, r#"{"feature":"RENDER-MINUTES","hardware_id":"blocked-device"}"#),
    ("add_feature_consumption", "unsupported_product_feature", "One or more of requested product features do not exists or they are not enabled on the product", Activated, r#"{"feature":"NOPE"}"#),
    ("add_feature_consumption", "feature_not_enough_consumptions", "Not enough consumptions left", Activated, r#"{"feature":"TRIAL-EXPORTS","consumptions":4}"#),
    ("add_feature_consumption", "negative_consumptions_not_allowed", "Negative consumptions not allowed", Activated, r#"{"feature":"RENDER-MINUTES","consumptions":-1}"#),
    // seed: borrow-floating-feature
    ("borrow_feature", "unknown_product", "Provided product was not found", Nothing, r#"{"feature":"MESH","product":"NOPE"}"#),
    ("borrow_feature", "license_not_found", "License with the provided license user not found", Nothing, r#"{"feature":"MESH","license_key":"NO-SUCH-KEY"}"#),
    ("borrow_feature", "license_not_active", "The license is not active", Nothing, r#"{"feature":"MESH","license_key":"CADP-INAC-TIVE-0000"}"#),
    ("borrow_feature", "license_not_enabled", "The license is not enabled", Nothing, r#"{"feature":"MESH","license_key":"CADP-DISA-BLED-0000"}"#),
    ("borrow_feature", "device_not_found", "License feature device not found", Nothing, r#"{"feature":"MESH","hardware_id":"never-activated"}"#),
    ("borrow_feature", "blacklisted", "This device is blacklisted", Nothing, r#"{"feature":"MESH","hardware_id":"blocked-device"}"#),
    ("borrow_feature", "missing_headers", "Some headers are missing", DateLost, r#"{"feature":"MESH"}"#),
    ("borrow_feature", "missing_parameters", "Some parameters are missing in the request: product.", ProductLost, r#"{"feature":"MESH"}"#),
    ("borrow_feature", "license_expired", "The license has expired", Nothing, r#"{"feature":"MESH","license_key":"CADP-EXPI-REDD-2020"}"#),
    ("borrow_feature", "feature_borrow_not_allowed", "License feature does not allow borrowing", Holding, r#"{"feature":"SOLVER"}"#),
    ("borrow_feature", "floating_feature_device_not_in_use", "License feature device is not in use", Activated, r#"{"feature":"MESH"}"#),
    ("borrow_feature", "invalid_license_feature_code", "License feature code: NOPE is invalid or not assigned to the license.", Activated, r#"{"feature":"NOPE"}"#),
    ("borrow_feature", "feature_not_floating", "License feature is not a floating feature", Activated, r#"{"feature":"EXPORT"}"#),
    ("borrow_feature", "borrow_until_not_valid", "Borrow until field is not valid", Holding, r#"{"feature":"MESH","borrowed_until":"2020-01-01"}"#),
    // seed: borrow-floating-license
    ("borrow_license", "unknown_product", "Provided product was not found", Nothing, r#"{"product":"NOPE"}"#),
    ("borrow_license", "license_not_found", "License with the provided license user not found", Nothing, r#"{"license_key":"NO-SUCH-KEY"}"#),
    ("borrow_license", "license_not_active", "The license is not active", Nothing, r#"{"license_key":"CADP-INAC-TIVE-0000"}"#),
    ("borrow_license", "license_not_enabled", "The license is not enabled", Nothing, r#"{"license_key":"CADP-DISA-BLED-0000"}"#),
    ("borrow_license", "device_not_found", "An active device matching the hardware_id not found", Nothing, r#"{"hardware_id":"never-activated"}"#),
    ("borrow_license", "blacklisted", "This device is blacklisted", Nothing, r#"{"hardware_id":"blocked-device"}"#),
    ("borrow_license", "missing_headers", "Some headers are missing", DateLost, r#"{}"#),
    ("borrow_license", "missing_parameters", "Some parameters are missing in the request: product.", ProductLost, r#"{}"#),
    ("borrow_license", "license_borrow_not_allowed", "License does not allow borrowing", Activated, r#"{"license_key":"CADP-NOBO-RROW-0002"}"#),
    ("borrow_license", "borrow_until_not_valid", "Borrow until field is not valid", Activated, r#"{"borrowed_until":"2020-01-01"}"#),
    ("borrow_license", "floating_not_available", "No available slots for floating license", LicenseTaken, r#"{}"#),
    // seed: license-feature-check
    ("check_feature", "unknown_product", "Provided product was not found", Nothing, r#"{"feature":"MESH","product":"NOPE"}"#),
    ("check_feature", "license_not_found", "License with the provided license user not found", Nothing, r#"{"feature":"MESH","license_key":"NO-SUCH-KEY"}"#),
    ("check_feature", "license_not_active", "The license is not active", Nothing, r#"{"feature":"MESH","license_key":"CADP-INAC-TIVE-0000"}"#),
    ("check_feature", "license_not_enabled", "The license is not enabled", Nothing, r#"{"feature":"MESH","license_key":"CADP-DISA-BLED-0000"}"#),
    ("check_feature", "device_not_found", "An active device matching the hardware_id not found", Nothing, r#"{"feature":"MESH","hardware_id":"never-activated"}"#),
    ("check_feature", "blacklisted", "This device is blacklisted", Nothing, r#"{"feature":"MESH","hardware_id":"blocked-device"}"#),
    ("check_feature", "missing_headers", "Some headers are missing", DateLost, r#"{"feature":"MESH"}"#),
    ("check_feature", "invalid_license_feature_code", "License feature code: NOPE is invalid or not assigned to the license.", Activated, r#"{"feature":"NOPE"}"#),
    ("check_feature", "floating_not_available", "No available slots for floating license.", FeatureTaken, r#"{"feature":"SOLVER"}"#),
    // seed: release-floating-feature
    ("release_feature", "unknown_product", "Provided product was not found", Nothing, r#"{"feature":"MESH","product":"NOPE"}"#),
    ("release_feature", "license_not_found", "License with the provided license user not found", Nothing, r#"{"feature":"MESH","license_key":"NO-SUCH-KEY"}"#),
    ("release_feature", "license_not_active", "The license is not active", Nothing, r#"{"feature":"MESH","license_key":"CADP-INAC-TIVE-0000"}"#),
    ("release_feature", "license_not_enabled", "The license is not enabled", Nothing, r#"{"feature":"MESH","license_key":"CADP-DISA-BLED-0000"}"#),
    ("release_feature", "device_not_found", "An active device matching the hardware_id not found", Nothing, r#"{"feature":"MESH","hardware_id":"never-activated"}"#),
    ("release_feature", "blacklisted", "This device is blacklisted", Nothing, r#"{"feature":"MESH","hardware_id":"blocked-device"}"#),
    ("release_feature", "floating_feature_device_not_in_use", "Floating feature device is not in use", Activated, r#"{"feature":"MESH"}"#),
    ("release_feature", "invalid_license_feature_code", "License feature code: NOPE is invalid or not assigned to the license.", Activated, r#"{"feature":"NOPE"}"#),
    ("release_feature", "feature_not_floating", "License feature is not floating cloud feature", Activated, r#"{"feature":"EXPORT"}"#),
];

impl Given {
    /// The calls that lead up to it; each must succeed.
    fn before(self, request: &Value) -> Vec<(&'static str, Value)> {
        let of = |name: &str, members: &[&str]| {
            let mut call = json!({"hardware_id": name});
            for member in members.iter().filter(|member| request.get(**member).is_some()) {
                call[member] = request[member].clone();
            }
            call
        };
        let license = |name: &str| of(name, &["license_key"]);
        let feature = |name: &str| of(name, &["license_key", "feature"]);
        let mut calls = match self {
            Nothing | DateLost | ProductLost => return Vec::new(),
            Activated => Vec::new(),
            Holding => vec![("check_feature", feature("refused"))],
            LicenseTaken => vec![("check_license", license("a")), ("borrow_license", license("b"))],
            FeatureTaken => vec![("check_feature", feature("a"))],
        };
        calls.splice(0..0, ["refused", "a", "b"].map(|name| ("activate_license", license(name))));
        calls
    }

    /// What becomes of the request.
    fn tamper(self, mut request: Message) -> Message {
        match self {
            DateLost => request.without_header("Date"),
            ProductLost => {
                let mut body: Value = serde_json::from_slice(&request.body).unwrap();
                body.as_object_mut().unwrap().remove("product");
                request.body = body.to_string().into_bytes();
                request
            }
            _ => request,
        }
    }
}

fn provoke(&(operation, code, words, given, request): &Row) {
    let what = format!("{operation}: {code}");
    let demo = Demo::start();
    let request: Value = serde_json::from_str(request).unwrap();
    let untouched = demo.client("refused");
    for (operation, request) in given.before(&request) {
        let answer = untouched.call(operation, &request);
        assert_eq!(answer.status, "OK", "{what}, before it {operation}: {}", answer.json);
    }
    let address = stub::between(demo.address(), move |request| given.tamper(request), |reply| reply.bytes());
    let url = json!({"base_url": format!("http://{address}/api/v4")});
    let client = Client::open(&with(&demo.config("refused"), url)).unwrap();

    let error = client.call(operation, &request).failed(Status::of_server_code(code).row().name, "rejected");
    assert_eq!(error["server_code"], code, "{what}");
    assert_eq!((&error["http_status"], &error["attempts"]), (&json!(400), &json!(1)), "{what}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(words), "{what}: {message}");
}

#[test]
fn every_exception_of_every_seed_arrives_as_its_own_status() {
    std::thread::scope(|scope| {
        for half in ROWS.chunks(ROWS.len().div_ceil(2)) {
            scope.spawn(|| half.iter().for_each(provoke));
        }
    });
}
