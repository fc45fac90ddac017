//! Every exception of the five seeds, provoked through the C ABI against the server: one row per seed and code.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::status::Status;
use serde_json::{Value, json};
use support::abi::Client;
use support::stub::{self, Message};
use support::{Demo, with};

/// What happens to the request on its way, for refusals of requests that this client never sends.
#[derive(Clone, Copy)]
enum OnTheWay {
    Untouched,
    LosesItsDate,
    LosesItsProduct,
}
use OnTheWay::{LosesItsDate, LosesItsProduct, Untouched};

struct Row {
    /// The seed's operation.
    operation: &'static str,
    /// The code, as the seed lists it.
    code: &'static str,
    /// What the seed says of it.
    words: &'static str,
    /// Calls that lead up to it; all but the refused call must succeed.
    before: Vec<(&'static str, Value)>,
    /// What is asked, over the demo's own config.
    request: Value,
    way: OnTheWay,
}

fn row(operation: &'static str, code: &'static str, words: &'static str, request: Value) -> Row {
    Row { operation, code, words, before: Vec::new(), request, way: Untouched }
}

impl Row {
    fn after(self, before: Vec<(&'static str, Value)>) -> Row {
        Row { before, ..self }
    }

    fn tampered(self, way: OnTheWay) -> Row {
        Row { way, ..self }
    }
}

/// The refusals that every seed lists.
fn common(operation: &'static str, base: Value) -> Vec<Row> {
    let change = |changes: Value| with(&base, changes);
    vec![
        row(operation, "unknown_product", "Provided product was not found", change(json!({"product": "NOPE"}))),
        row(
            operation,
            "license_not_found",
            "License with the provided license user not found",
            change(json!({"license_key": "NO-SUCH-KEY"})),
        ),
        row(
            operation,
            "license_not_active",
            "The license is not active",
            change(json!({"license_key": "CADP-INAC-TIVE-0000"})),
        ),
        row(
            operation,
            "license_not_enabled",
            "The license is not enabled",
            change(json!({"license_key": "CADP-DISA-BLED-0000"})),
        ),
        row(
            operation,
            "device_not_found",
            match operation {
                "borrow_feature" => "License feature device not found",
                _ => "An active device matching the hardware_id not found",
            },
            change(json!({"hardware_id": "never-activated"})),
        ),
        row(operation, "blacklisted", "This device is blacklisted", change(json!({"hardware_id": "blocked-device"}))),
    ]
}

/// seed: add-feature-consumption
fn add_feature_consumption() -> Vec<Row> {
    let operation = "add_feature_consumption";
    let mut rows = common(operation, json!({"feature": "RENDER-MINUTES"}));
    let activated = || vec![("activate_license", json!({}))];
    rows.extend([
        row(
            operation,
            "unsupported_product_feature",
            "One or more of requested product features do not exists or they are not enabled on the product",
            json!({"feature": "NOPE"}),
        )
        .after(activated()),
        row(
            operation,
            "feature_not_enough_consumptions",
            "Not enough consumptions left",
            json!({"feature": "TRIAL-EXPORTS", "consumptions": 4}),
        )
        .after(activated()),
        row(
            operation,
            "negative_consumptions_not_allowed",
            "Negative consumptions not allowed",
            json!({"feature": "RENDER-MINUTES", "consumptions": -1}),
        )
        .after(activated()),
    ]);
    rows
}

/// seed: borrow-floating-feature
fn borrow_feature() -> Vec<Row> {
    let operation = "borrow_feature";
    let mesh = || json!({"feature": "MESH"});
    let solver = || json!({"feature": "SOLVER"});
    let holding = |feature: Value| vec![("activate_license", json!({})), ("check_feature", feature)];
    let activated = || vec![("activate_license", json!({}))];
    let mut rows = common(operation, mesh());
    rows.extend([
        row(operation, "missing_headers", "Some headers are missing", mesh()).tampered(LosesItsDate),
        row(operation, "missing_parameters", "Some parameters are missing in the request: product.", mesh())
            .tampered(LosesItsProduct),
        row(
            operation,
            "license_expired",
            "The license has expired",
            json!({"feature": "MESH", "license_key": "CADP-EXPI-REDD-2020"}),
        ),
        row(operation, "feature_borrow_not_allowed", "License feature does not allow borrowing", solver())
            .after(holding(solver())),
        row(operation, "floating_feature_device_not_in_use", "License feature device is not in use", mesh())
            .after(activated()),
        row(
            operation,
            "invalid_license_feature_code",
            "License feature code: NOPE is invalid or not assigned to the license.",
            json!({"feature": "NOPE"}),
        )
        .after(activated()),
        row(
            operation,
            "feature_not_floating",
            "License feature is not a floating feature",
            json!({"feature": "EXPORT"}),
        )
        .after(activated()),
        row(
            operation,
            "borrow_until_not_valid",
            "Borrow until field is not valid",
            json!({"feature": "MESH", "borrowed_until": "2020-01-01"}),
        )
        .after(holding(mesh())),
    ]);
    rows
}

/// seed: borrow-floating-license
fn borrow_license() -> Vec<Row> {
    let operation = "borrow_license";
    let no_borrow = || json!({"license_key": "CADP-NOBO-RROW-0002"});
    let colleague = |name: &str| json!({"hardware_id": name});
    let mut rows = common(operation, json!({}));
    rows.extend([
        row(operation, "missing_headers", "Some headers are missing", json!({})).tampered(LosesItsDate),
        row(operation, "missing_parameters", "Some parameters are missing in the request: product.", json!({}))
            .tampered(LosesItsProduct),
        row(operation, "license_borrow_not_allowed", "License does not allow borrowing", no_borrow())
            .after(vec![("activate_license", no_borrow())]),
        row(
            operation,
            "borrow_until_not_valid",
            "Borrow until field is not valid",
            json!({"borrowed_until": "2020-01-01"}),
        )
        .after(vec![("activate_license", json!({}))]),
        row(operation, "floating_not_available", "No available slots for floating license", json!({})).after(vec![
            ("activate_license", json!({})),
            ("activate_license", colleague("a")),
            ("activate_license", colleague("b")),
            ("check_license", colleague("a")),
            ("borrow_license", colleague("b")),
        ]),
    ]);
    rows
}

/// seed: license-feature-check
fn check_feature() -> Vec<Row> {
    let operation = "check_feature";
    let solver = || json!({"feature": "SOLVER"});
    let mut rows = common(operation, json!({"feature": "MESH"}));
    rows.extend([
        row(operation, "missing_headers", "Some headers are missing", solver()).tampered(LosesItsDate),
        row(
            operation,
            "invalid_license_feature_code",
            "License feature code: NOPE is invalid or not assigned to the license.",
            json!({"feature": "NOPE"}),
        )
        .after(vec![("activate_license", json!({}))]),
        row(operation, "floating_not_available", "No available slots for floating license.", solver()).after(vec![
            ("activate_license", json!({})),
            ("activate_license", json!({"hardware_id": "a"})),
            ("check_feature", json!({"hardware_id": "a", "feature": "SOLVER"})),
        ]),
    ]);
    rows
}

/// seed: release-floating-feature
fn release_feature() -> Vec<Row> {
    let operation = "release_feature";
    let activated = || vec![("activate_license", json!({}))];
    let mut rows = common(operation, json!({"feature": "MESH"}));
    rows.extend([
        row(
            operation,
            "floating_feature_device_not_in_use",
            "Floating feature device is not in use",
            json!({"feature": "MESH"}),
        )
        .after(activated()),
        row(
            operation,
            "invalid_license_feature_code",
            "License feature code: NOPE is invalid or not assigned to the license.",
            json!({"feature": "NOPE"}),
        )
        .after(activated()),
        row(
            operation,
            "feature_not_floating",
            "License feature is not floating cloud feature",
            json!({"feature": "EXPORT"}),
        )
        .after(activated()),
    ]);
    rows
}

fn client(demo: &Demo, way: OnTheWay) -> Client {
    let tamper = move |mut request: Message| {
        match way {
            Untouched => {}
            LosesItsDate => request = request.without_header("Date"),
            LosesItsProduct => {
                let mut body: Value = serde_json::from_slice(&request.body).unwrap();
                body.as_object_mut().unwrap().remove("product");
                request.body = body.to_string().into_bytes();
            }
        }
        request
    };
    let address = stub::between(demo.address(), tamper, |reply| reply.bytes());
    let url = json!({"base_url": format!("http://{address}/api/v4")});
    Client::open(&with(&demo.config("refused"), url)).unwrap()
}

fn provoke(rows: Vec<Row>) {
    for row in rows {
        let what = format!("{}: {}", row.operation, row.code);
        let demo = Demo::start();
        let untouched = demo.client("refused");
        for (operation, request) in &row.before {
            let answer = untouched.call(operation, request);
            assert_eq!(answer.status, "OK", "{what}, before it {operation}: {}", answer.json);
        }
        let answer = client(&demo, row.way).call(row.operation, &row.request);
        assert_eq!(answer.status, Status::of_server_code(row.code).row().name, "{what}: {}", answer.json);
        let error = &answer.json;
        assert_eq!((&error["server_code"], &error["outcome"]), (&json!(row.code), &json!("rejected")), "{what}");
        assert_eq!((&error["http_status"], &error["attempts"]), (&json!(400), &json!(1)), "{what}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(row.words), "{what}: {message}");
    }
}

#[test]
fn every_exception_of_add_feature_consumption() {
    provoke(add_feature_consumption());
}

#[test]
fn every_exception_of_borrow_floating_feature() {
    provoke(borrow_feature());
}

#[test]
fn every_exception_of_borrow_floating_license() {
    provoke(borrow_license());
}

#[test]
fn every_exception_of_license_feature_check() {
    provoke(check_feature());
}

#[test]
fn every_exception_of_release_floating_feature() {
    provoke(release_feature());
}
