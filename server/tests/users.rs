//! Users over HTTP: their passwords, their licenses, and where they sign in.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Answer, Client, TestServer, directory, with};
use floatlease_server::catalogue::hash_password;
use floatlease_server::store::SqliteStore;
use serde_json::{Value, json};

const CATALOGUE: &str = r#"
api_key = [
    { key = "test-api-key", shared_key = "test-shared-key" },
    { key = "read-only", shared_key = "s", read_only = true },
]
product = [
    { code = "U", authorization_method = "user" },
    { code = "P" },
    { code = "OFF", authorization_method = "user", status = "disabled" },
    { code = "EMPTY", authorization_method = "user" },
]
user = [
    { username = "ada", email = "ada@example.com", password_hash = "HASH", is_initial_password = true, allow_unlimited_activations = true },
    { username = "bob", password = "plain", is_initial_password = true, may_change_password = false },
    { username = "eve", sso_only = true },
    { username = "pat", password = "given", is_initial_password = true },
]
customer = [{ email = "c", customer_account = "ACME" }, { email = "poor" }]
license = [
    { product = "U", users = ["ada", "bob", "eve", "pat"], id = 21, max_activations = 9, customer = "c", order_store_id = "o-1", floating = { users = 1 } },
    { product = "U", users = ["ada"], id = 22, enabled = false, license_type = "time-limited", validity_period = 2020-01-01 },
    { product = "P", license_key = "K" },
]

[[customer_account]]
code = "ACME"
issuer = "https://id.example.com"
authorization_endpoint = "https://id.example.com/auth?tenant=1"
token_endpoint = "https://id.example.com/token"
client_id = "studio & co"
redirect_uris = ["http://127.0.0.1:1/in", "studio://in"]
id_tokens = { t = "ada" }
codes = { k = "bob" }

[[customer_account]]
code = "BARE"
"#;

fn catalogue() -> String {
    CATALOGUE.replace("HASH", &hash_password("old").unwrap())
}

fn server() -> TestServer {
    TestServer::start(&catalogue(), Box::new(SqliteStore::in_memory().unwrap()), false)
}

fn sign_in(username: &str, password: &str) -> Value {
    json!({ "product": "U", "hardware_id": "hw-1", "username": username, "password": password, "license_id": 21 })
}

fn change(client: &mut Client, username: &str, old: &str, new: &str) -> Answer {
    client.call("change_password", &json!({ "username": username, "password": old, "new_password": new }))
}

/// The code of a refused activation, or nothing.
fn activation(client: &mut Client, username: &str, password: &str) -> Option<String> {
    client.call("activate_license", &sign_in(username, password)).code()
}

const NOT_FOUND: Option<&str> = Some("license_not_found");

#[test]
fn password_is_compared_with_its_hash_or_itself() {
    let server = server();
    let mut client = server.client();
    assert_eq!(activation(&mut client, "ada", "old"), None);
    assert_eq!(activation(&mut client, "bob", "plain"), None);
    let hash = catalogue().split("password_hash = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    for (username, password) in
        [("ada", "older"), ("ada", "ol"), ("ada", hash.as_str()), ("bob", "plai"), ("eve", "x"), ("nobody", "x")]
    {
        assert_eq!(activation(&mut client, username, password).as_deref(), NOT_FOUND, "{username} {password}");
    }
}

#[test]
fn changed_password_counts_at_once() {
    let server = server();
    let mut client = server.client();
    let before = client.call("activate_license", &sign_in("ada", "old")).json();
    assert_eq!(before["user"]["is_initial_password"], true);
    let changed = change(&mut client, "ada", "old", "new");
    assert_eq!((changed.status, changed.body.as_slice()), (200, &b"password_changed"[..]));
    assert_eq!(changed.headers.get("licensesignature"), None);
    assert_eq!(activation(&mut client, "ada", "old").as_deref(), NOT_FOUND);
    let after = client.call("activate_license", &sign_in("ada", "new")).json();
    assert_eq!(after["user"]["is_initial_password"], false);
    assert_eq!(change(&mut client, "ada", "new", "newer").code(), None);
    assert_eq!(activation(&mut client, "ada", "newer"), None);
}

/// A client whose reply was lost sends it again, with what is the old password by now.
#[test]
fn repeated_change_gets_same_reply_and_changes_nothing() {
    let server = server();
    let mut client = server.client();
    for _ in 0..3 {
        assert_eq!(change(&mut client, "ada", "old", "new").code(), None);
        assert_eq!(activation(&mut client, "ada", "new"), None);
    }
    assert_eq!(change(&mut client, "ada", "new", "newer").code(), None);
    assert_eq!(change(&mut client, "ada", "old", "new").code().as_deref(), NOT_FOUND, "a later change has come");
    assert_eq!(activation(&mut client, "ada", "newer"), None);
}

#[test]
fn change_of_password_is_refused() {
    let server = server();
    let mut client = server.client();
    for (username, old, new, code) in [
        ("ada", "wrong", "new", "license_not_found"),
        // Only a password that was changed to it may be taken for a repetition.
        ("ada", "wrong", "old", "license_not_found"),
        ("nobody", "old", "new", "license_not_found"),
        ("eve", "old", "new", "license_not_found"),
        ("bob", "wrong", "new", "license_not_found"),
        ("bob", "plain", "new", "change_password_not_allowed"),
    ] {
        assert_eq!(change(&mut client, username, old, new).code().unwrap(), code, "{username} {old}");
    }
    assert_eq!(activation(&mut client, "ada", "old"), None);
    assert_eq!(activation(&mut client, "bob", "plain"), None);
    let good = json!({ "username": "ada", "password": "old", "new_password": "new" });
    for name in ["username", "password", "new_password"] {
        for (value, code) in [
            (Value::Null, "missing_parameters"),
            (json!(""), "missing_parameters"),
            (json!(7), "validation_error"),
            (json!(["new"]), "validation_error"),
            (json!("x".repeat(1025)), "validation_error"),
        ] {
            let answer = client.call("change_password", &with(&good, json!({ name: value.clone() })));
            assert_eq!(answer.code().unwrap(), code, "{name}");
        }
    }
    assert_eq!(activation(&mut client, "ada", "old"), None);
    let mut reader = Client::new(server.server.base_url(), "read-only", "s");
    assert_eq!(change(&mut reader, "ada", "old", "new").code().unwrap(), "read_only_api_key");
}

#[test]
fn of_changes_at_a_time_one_counts() {
    let server = server();
    let changes: Vec<_> = std::thread::scope(|scope| {
        let change_to = |new: String| {
            let mut client = server.client();
            scope.spawn(move || change(&mut client, "ada", "old", &new).code())
        };
        let started: Vec<_> = (0..4).map(|number| change_to(format!("new-{number}"))).collect();
        started.into_iter().map(|change| change.join().unwrap()).collect()
    });
    let mut client = server.client();
    for (number, code) in changes.iter().enumerate() {
        assert_eq!(activation(&mut client, "ada", &format!("new-{number}")), *code, "{changes:?}");
    }
    assert_eq!(changes.iter().filter(|code| code.is_none()).count(), 1, "{changes:?}");
}

#[test]
fn changed_password_counts_until_catalogue_is_edited() {
    let file = directory("users").join("data");
    let start = |catalogue: &str| TestServer::start(catalogue, Box::new(SqliteStore::open(&file).unwrap()), false);
    let first = catalogue();
    let server = start(&first);
    let mut client = server.client();
    assert_eq!(change(&mut client, "ada", "old", "new").code(), None);
    assert_eq!(change(&mut client, "pat", "given", "first").code(), None);
    assert_eq!(change(&mut client, "pat", "first", "chosen").code(), None);
    server.server.stop().unwrap();

    let server = start(&first.replace("max_activations = 9", "max_activations = 8"));
    let mut client = server.client();
    assert_eq!(activation(&mut client, "ada", "new"), None, "another edit");
    assert_eq!(activation(&mut client, "ada", "old").as_deref(), NOT_FOUND);
    assert_eq!(activation(&mut client, "pat", "chosen"), None);
    server.server.stop().unwrap();

    let edited = CATALOGUE.replace("HASH", &hash_password("reset").unwrap()).replace("\"given\"", "\"given-anew\"");
    let server = start(&edited);
    let mut client = server.client();
    for (username, password, counts) in
        [("ada", "reset", true), ("ada", "new", false), ("pat", "given-anew", true), ("pat", "chosen", false)]
    {
        let expected = if counts { None } else { NOT_FOUND };
        assert_eq!(activation(&mut client, username, password).as_deref(), expected, "{username} {password}");
    }
    let user = client.call("activate_license", &sign_in("ada", "reset")).json()["user"].clone();
    assert_eq!(user["is_initial_password"], true);
    server.server.stop().unwrap();
    let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
    for password in ["given", "chosen", "reset"] {
        assert!(!text.contains(password), "{password} is in the file as it is");
    }
}

#[test]
fn user_who_comes_by_single_sign_on_alone_loses_the_password() {
    let file = directory("users-sso").join("data");
    let start = |catalogue: &str| TestServer::start(catalogue, Box::new(SqliteStore::open(&file).unwrap()), false);
    let server = start(&catalogue());
    assert_eq!(change(&mut server.client(), "pat", "given", "chosen").code(), None);
    server.server.stop().unwrap();
    let server = start(&catalogue().replace("password = \"given\", is_initial_password = true", "sso_only = true"));
    let mut client = server.client();
    assert_eq!(activation(&mut client, "pat", "chosen").as_deref(), NOT_FOUND);
    assert_eq!(change(&mut client, "pat", "chosen", "other").code().as_deref(), NOT_FOUND);
}

#[test]
fn user_licenses_are_those_that_the_user_may_use() {
    let server = server();
    let mut client = server.client();
    client.call("activate_license", &sign_in("ada", "old"));
    let by = |more: Value| with(&json!({ "product": "U" }), more);
    let ada = by(json!({ "username": "ada", "password": "old" }));
    let listed = client.call("user_licenses", &ada).json();
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["license"]["id"].clone()).collect();
    assert_eq!(ids, [22, 21], "the newest first");
    let (newest, other) = (&listed[0]["license"], &listed[1]["license"]);
    assert_eq!((&newest["license_enabled"], &newest["is_expired"]), (&json!(false), &json!(true)));
    assert_eq!((&other["times_activated"], &other["is_floating_cloud"]), (&json!(1), &json!(true)));
    assert_eq!((&other["order_store_id"], &other["customer"]["email"]), (&json!("o-1"), &json!("c")));
    assert_eq!(other["product_details"]["short_code"], "U");
    assert_eq!(
        (&listed[1]["user"]["email"], &listed[1]["user"]["total_activations"]),
        (&json!("ada@example.com"), &json!(1))
    );

    let by_token = by(json!({ "id_token": "t", "customer_account_code": "ACME" }));
    assert_eq!(client.call("user_licenses", &by_token).json().as_array().unwrap().len(), 1, "those of the account");
    let by_code = by(json!({ "code": "k", "customer_account_code": "ACME" }));
    assert_eq!(client.call("user_licenses", &by_code).json()[0]["user"]["email"], "bob");
    assert_eq!(client.call("user_licenses", &with(&ada, json!({ "product": "EMPTY" }))).json(), json!([]));
}

#[test]
fn user_licenses_are_refused() {
    let server = server();
    let mut client = server.client();
    let ada = json!({ "product": "U", "username": "ada", "password": "old" });
    let token = json!({ "product": "U", "id_token": "t", "customer_account_code": "ACME" });
    for (request, code) in [
        (with(&ada, json!({ "product": "NONE" })), "unknown_product"),
        (with(&ada, json!({ "product": "OFF" })), "disabled_product"),
        (with(&ada, json!({ "product": "P" })), "invalid_product_auth_method"),
        (with(&ada, json!({ "password": "wrong" })), "license_not_found"),
        (with(&ada, json!({ "username": "nobody" })), "license_not_found"),
        (with(&ada, json!({ "password": null })), "missing_parameters"),
        (with(&ada, json!({ "password": "" })), "missing_parameters"),
        (with(&ada, json!({ "username": null })), "missing_parameters"),
        (json!({ "product": "U" }), "missing_parameters"),
        (json!({ "username": "ada", "password": "old" }), "missing_parameters"),
        (with(&token, json!({ "id_token": "k" })), "license_not_found"),
        (with(&token, json!({ "customer_account_code": "NONE" })), "customer_account_not_found"),
        (with(&token, json!({ "customer_account_code": null })), "missing_parameters"),
        (with(&token, json!({ "username": "ada", "password": "old" })), "validation_error"),
    ] {
        assert_eq!(client.call("user_licenses", &request).code().as_deref(), Some(code), "{request}");
    }
}

#[test]
fn customer_license_users_are_those_of_the_customers_licenses() {
    let server = server();
    let mut client = server.client();
    let request = json!({ "product": "U", "customer": "c" });
    let reply = client.call("customer_license_users", &request).json();
    assert_eq!((&reply["customer"]["email"], &reply["company"]["id"]), (&json!("c"), &json!(1)));
    let users = reply["users"].as_array().unwrap();
    let shown = |at: usize| (users[at]["email"].clone(), users[at]["initial_password"].clone());
    assert_eq!(shown(0), (json!("ada@example.com"), Value::Null), "a hash tells no password");
    assert_eq!(shown(1), (json!("bob"), json!("plain")));
    assert_eq!(shown(2), (json!("eve"), Value::Null));
    assert_eq!(shown(3), (json!("pat"), json!("given")));
    assert_eq!((&users[0]["license_id"], &users[0]["is_active"]), (&json!(21), &json!(true)));
    assert!(users[0]["order_id"].is_u64(), "{users:?}");
    change(&mut client, "pat", "given", "chosen");
    let pat = client.call("customer_license_users", &request).json()["users"][3].clone();
    assert_eq!((&pat["is_initial_password"], &pat["initial_password"]), (&json!(false), &Value::Null));
    for (product, customer, code) in [
        ("NONE", "c", "unknown_product"),
        ("OFF", "c", "disabled_product"),
        ("P", "c", "invalid_product_auth_method"),
        ("U", "nobody", "customer_does_not_exist"),
        ("U", "poor", "customer_not_found"),
        ("EMPTY", "c", "customer_not_found"),
        ("U", "", "missing_parameters"),
    ] {
        let request = json!({ "product": product, "customer": customer });
        assert_eq!(client.call("customer_license_users", &request).code().unwrap(), code, "{request}");
    }
}

#[test]
fn sso_url_is_that_of_the_account() {
    let server = server();
    let mut client = server.client();
    let request = json!({ "product": "U", "customer_account_code": "ACME" });
    let reply = client.call("sso_url", &request).json();
    let url = "https://id.example.com/auth?tenant=1&client_id=studio+%26+co&response_type=code&scope=openid+email\
               &redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fin";
    assert_eq!(reply["url"], url);
    assert_eq!(reply["openid_configuration"]["token_endpoint"], "https://id.example.com/token");
    assert_eq!(reply["openid_configuration"]["issuer"], "https://id.example.com");
    let alternates = reply["alternate_urls"].as_array().unwrap();
    let shown = |at: usize| (alternates[at]["redirect_uri"].clone(), alternates[at]["is_default"].clone());
    assert_eq!(shown(0), (json!("http://127.0.0.1:1/in"), json!(true)));
    assert_eq!(shown(1), (json!("studio://in"), json!(false)));
    let other = with(&request, json!({ "redirect_uri": "studio://in", "response_type": "token" }));
    let reply = client.call("sso_url", &other).json();
    let url = reply["url"].as_str().unwrap();
    let other_port = with(&request, json!({ "redirect_uri": "http://127.0.0.1:50123/in" }));
    assert!(client.call("sso_url", &other_port).json()["url"].as_str().unwrap().contains("50123"));
    assert!(url.contains("response_type=token") && url.ends_with("redirect_uri=studio%3A%2F%2Fin"), "{url}");
    for (more, code) in [
        (json!({ "product": "NONE" }), "unknown_product"),
        (json!({ "product": "P" }), "invalid_product_auth_method"),
        (json!({ "customer_account_code": "NONE" }), "customer_account_not_found"),
        (json!({ "customer_account_code": "BARE" }), "validation_error"),
        (json!({ "customer_account_code": null }), "missing_parameters"),
        (json!({ "redirect_uri": "https://evil.example.com" }), "validation_error"),
        (json!({ "response_type": "password" }), "validation_error"),
    ] {
        assert_eq!(client.call("sso_url", &with(&request, more.clone())).code().unwrap(), code, "{more}");
    }
}

/// Checks of passwords wait for each other, and nothing else waits for them.
#[test]
fn flood_of_passwords_leaves_room_for_keys() {
    let server = server();
    let key = json!({ "product": "P", "license_key": "K", "hardware_id": "hw-1" });
    server.client().call("activate_license", &key);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let guesses: Vec<_> = (0..100)
            .map(|_| {
                let (mut client, done) = (server.client(), &done);
                scope.spawn(move || {
                    let mut codes = Vec::new();
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        codes.push(activation(&mut client, "ada", "guess").unwrap());
                    }
                    codes
                })
            })
            .collect();
        let mut client = server.client();
        for _ in 0..50 {
            assert_eq!(client.call("check_license", &key).code(), None);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let codes: Vec<_> = guesses.into_iter().flat_map(|guess| guess.join().unwrap()).collect();
        assert!(codes.iter().all(|code| code == "license_not_found" || code == "too_many_requests"), "{codes:?}");
        assert!(codes.iter().any(|code| code == "too_many_requests"), "a flood is refused");
    });
    assert_eq!(activation(&mut server.client(), "ada", "old"), None, "and is over when it is over");
}
