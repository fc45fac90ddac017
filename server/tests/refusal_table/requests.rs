//! For each operation a request that succeeds, and what must have happened before.

use floatlease::operations::{Auth, Method, OFFLINE_FILES, Operation, Parameter};
use serde_json::{Value, json};

use crate::common::offline::{DATE, schema_2};
use crate::common::{API_KEY, query_of, with};
use crate::site::Site;

/// A request as it is sent.
pub struct Sent {
    pub query: String,
    pub body: String,
}

impl Sent {
    /// Puts parameters where the operation wants them. Each product has a bundle of its name.
    pub fn of(operation: &Operation, parameters: &Value) -> Sent {
        let mut parameters = parameters.clone();
        let product = parameters["product"].as_str().filter(|product| !product.is_empty());
        if let Some(product) = product.filter(|_| operation.is_of_bundle()) {
            parameters["product"] = format!("{product}-SUITE").into();
        }
        match operation.method {
            Method::Get => Sent { query: query_of(&parameters), body: String::new() },
            Method::Post if operation.takes_file() => Sent::file(&with(&file_head(operation), parameters)),
            Method::Post => Sent { query: String::new(), body: parameters.to_string() },
        }
    }

    /// Makes a file of a request with these members.
    pub fn file(members: &Value) -> Sent {
        let file = schema_2(&members.to_string());
        Sent { query: String::new(), body: file["file"].as_str().unwrap().to_owned() }
    }
}

/// What a request file calls its operation.
fn kind(operation: &Operation) -> &'static str {
    if operation.name == "activate_offline" { "activation" } else { "deactivation" }
}

/// The members of a request file that are no parameters.
pub fn file_head(operation: &Operation) -> Value {
    json!({ "request": kind(operation), "api_key": API_KEY, "request_id": "d010714e", "date": DATE })
}

/// The row whose parameters a request has: that of the file, if the operation takes one.
pub fn row(operation: &'static Operation) -> &'static Operation {
    let name = format!("write_offline_{}", kind(operation));
    let of_file = OFFLINE_FILES.iter().find(|row| operation.takes_file() && row.name == name);
    of_file.unwrap_or(operation)
}

/// The parameters that a request of this operation may have.
pub fn parameters(operation: &'static Operation) -> Vec<&'static Parameter> {
    row(operation).parameters().collect()
}

/// Returns true if the operation is about a license of type consumption, or about one that does not float.
fn is_about_amount(operation: &Operation) -> bool {
    operation.name == "add_consumption" || operation.takes_file()
}

/// Returns true if the operation is about users, whose products name no license by a key.
fn is_about_users(operation: &Operation) -> bool {
    matches!(operation.auth, Auth::User | Auth::Password)
        || ["customer_license_users", "sso_url"].contains(&operation.name)
}

/// Enough for the operation, but for the device.
pub fn good(operation: &Operation) -> Value {
    if is_about_users(operation) {
        return json!({
            "product": "U", "username": "ada", "password": "p", "new_password": "p", "customer": "c",
            "customer_account_code": if operation.name == "sso_url" { "ACME".into() } else { Value::Null },
        });
    }
    json!({
        "product": "P",
        "license_key": if is_about_amount(operation) { "AMOUNT" } else { "K" },
        "hardware_id": "some-device",
        "feature": if operation.is_consumption() { "C" } else { "F" },
        "borrowed_until": null,
        "variables": { "room": "12" },
    })
}

/// The same by which a user signs in with a password.
pub fn good_by_user(operation: &Operation) -> Value {
    let license = if is_about_amount(operation) { 22 } else { 21 };
    let user = json!({
        "product": "U", "license_key": null, "username": "ada", "password": "p", "license_id": license,
    });
    with(&good(operation), user)
}

/// The same by which a user signs in with a code, if `name` is `code`, or else with a token.
pub fn good_by_sign_on(operation: &Operation, name: &str) -> Value {
    let (name, token) = if name == "code" { ("code", "k") } else { ("id_token", "t") };
    let sign_on = json!({ "username": null, "password": null, name: token, "customer_account_code": "ACME" });
    with(&good_by_user(operation), sign_on)
}

/// Has the device do what must have happened before the request succeeds.
pub fn prepare(site: &mut Site, operation: &Operation, request: &Value) {
    let is_about_license = matches!(operation.auth, Auth::Ident | Auth::Set) || operation.name == "deactivate_offline";
    if !is_about_license || operation.name.starts_with("activate") {
        return;
    }
    let slot = match operation.name {
        "release_license" => Some("check_license"),
        "borrow_feature" | "release_feature" => Some("check_feature"),
        _ => None,
    };
    for before in std::iter::once("activate_license").chain(slot) {
        site.done(before, &as_taken_by(before, request));
    }
}

/// The same request with the user named in the way that the operation takes, and without a password, whose check is slow.
fn as_taken_by(operation: &str, request: &Value) -> Value {
    if ["username", "id_token", "code"].iter().all(|name| request[name].is_null()) {
        return request.clone();
    }
    let by_sign_on = operation == "activate_license";
    let user = if by_sign_on { json!({ "id_token": "t" }) } else { json!({ "username": "ada" }) };
    let nothing = json!({ "license_key": null, "username": null, "password": null, "id_token": null, "code": null });
    let account = json!({ "customer_account_code": "ACME" });
    with(&with(&with(request, nothing), account), user)
}
