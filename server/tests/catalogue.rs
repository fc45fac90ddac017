//! The catalogue file: what is read, and the message of each error.
#![allow(clippy::unwrap_used)]

mod common;

use common::world::World;
use floatlease_server::domain::reply;
use floatlease_server::{catalogue, sandbox};

fn errors(toml: &str) -> Vec<String> {
    catalogue::parse(toml).map(|_| ()).unwrap_err().0
}

#[test]
fn the_sample_is_a_catalogue() {
    let catalogue = catalogue::parse(sandbox::SAMPLE).unwrap();
    assert_eq!(
        catalogue.summary(),
        "products: 4, licenses: 11, API keys: 0, OAuth clients: 0, customer accounts: 2, blacklisted devices: 1"
    );
}

#[test]
fn ids_are_stable_and_of_16_digits() {
    let id = |toml: &str| catalogue::parse(toml).unwrap().license_with_key("P", "K").unwrap().id;
    let alone = "product = [{ code = \"P\" }]\nlicense = [{ product = \"P\", license_key = \"K\" }]";
    let among = "product = [{ code = \"P\", name = \"Other\" }]\n\
                 license = [{ product = \"P\", license_key = \"A\" }, { product = \"P\", license_key = \"K\", active = false }]";
    assert_eq!(id(alone), id(among));
    assert!((1_000_000_000_000_000..1 << 53).contains(&id(alone)));
    assert_eq!(id(&alone.replace("\"K\"", "\"K\", id = 7")), 7);
}

#[test]
fn every_error_names_the_entry_the_key_and_what_was_expected() {
    let product = "[[product]]\ncode = \"P\"\n";
    let license = "[[license]]\nproduct = \"P\"\nlicense_key = \"K\"\n";
    for (toml, expected) in [
        ("colour = 1".to_owned(), "top level: `colour` is an unknown key; did you mean"),
        ("= 1".to_owned(), "line 1, column 1: invalid TOML: "),
        (format!("{product}code = \"unclosed"), "line 3, column "),
        ("[[product]]\nname = \"x\"".to_owned(), "product number 1: `code` is missing: give it a text in quotes"),
        (format!("{product}{product}"), "product \"P\": is given twice; remove one"),
        (
            format!("{product}status = \"gone\""),
            "product \"P\": `status` must be one of \"enabled\" \"disabled\" \"archived\", but is another text",
        ),
        (format!("{product}metadata = {{ x = 1e-9 }}"), "product \"P\": `metadata` must be a table of"),
        (license.to_owned(), "license \"K\": `product` names \"P\", which no [[product]] has"),
        (
            format!("{product}{license}{license}"),
            "license \"K\": this `license_key` is given twice for its product; remove one",
        ),
        (
            format!("{product}{license}floating_users = 2"),
            "license \"K\": `floating_users` is an unknown key; did you mean `floating`?",
        ),
        (
            format!("{product}{license}floating = {{ users = -1 }}"),
            "license \"K\", `floating`: `users` must be a whole number from 0 to 1000000, but the number is too small",
        ),
        (
            format!("{product}{license}floating = {{ users = 1000001 }}"),
            "license \"K\", `floating`: `users` must be a whole number from 0 to 1000000, but the number is too large",
        ),
        (
            format!("{product}{license}floating = {{ users = 1.5 }}"),
            "license \"K\", `floating`: `users` must be a whole number from 0 to 1000000, but is of type float",
        ),
        (
            format!("{product}{license}validity_period = 12:00:00"),
            "license \"K\": `validity_period` must be a date in UTC such as 2026-12-31 or \"2026-12-31T00:00:00Z\", but is another date or time",
        ),
        (
            format!("{product}{license}feature = [1]"),
            "license \"K\": `feature` must be a list of tables, but holds something else",
        ),
        (
            format!("{product}{license}floating = {{ users = 1, can_borrow = true }}"),
            "license \"K\", `floating`: `max_borrow_time_hours` must be from 1 to 876600 where `can_borrow` is true",
        ),
        (
            format!("{product}{license}validity_period = \"soon\""),
            "license \"K\": `validity_period` must be a date in UTC such as 2026-12-31 or \"2026-12-31T00:00:00Z\", but is another text",
        ),
        (
            format!("{product}{license}license_type = \"time-limited\""),
            "license \"K\": `validity_period` is missing: a time-limited license needs an end",
        ),
        (
            format!("{product}{license}license_type = \"consumption\""),
            "license \"K\": a license has a `consumption` table if, and only if,",
        ),
        (
            format!("{product}{license}consumption = {{ max_consumption = 5 }}"),
            "license \"K\", `consumption`: `max_consumption` is an unknown key; did you mean `max_consumptions`?",
        ),
        (
            format!("{product}{license}customer = \"c\""),
            "license \"K\": `customer` names \"c\", which no [[customer]] has",
        ),
        (
            format!("{product}{license}feature = [{{ code = \"F\" }}, {{ code = \"F\" }}]"),
            "license \"K\", feature \"F\": is given twice; remove one",
        ),
        (
            format!("{product}{license}feature = [{{ code = \"F\", id = 7 }}, {{ code = \"G\", id = 7 }}]"),
            "license \"K\", feature \"G\": `id` 7 is taken by another entry; give it one of its own",
        ),
        (
            format!("{product}authorization_method = \"user\"\n[[license]]\nproduct = \"P\"\nusers = [\"x\"]"),
            "license number 1: `users` names \"x\", which no [[user]] has",
        ),
        (
            format!("{product}{license}floating = {{ users = 2 }}"),
            "license \"K\": `floating` has 2 users, but only 1 devices may be activated: raise `max_activations`",
        ),
        (format!("{product}{license}id = 0"), "license \"K\": `id` must be at least 1"),
        (format!("{product}[[license]]\nproduct = \"P\"\nlicense_key = \"\""), "license \"\": `license_key` is empty"),
        ("[[api_key]]\nkey = \"k\"\nshared_key = \"\"".to_owned(), "api_key \"k\": `shared_key` is empty"),
        (
            "[[customer]]\nemail = \"c\"\n[[customer]]\nemail = \"c\"".to_owned(),
            "customer \"c\": is given twice; remove one",
        ),
        (
            format!(
                "user = [{{ username = \"x\", password = \"p\" }}, {{ username = \"y\", password = \"p\" }}]\n\
                 {product}authorization_method = \"user\"\n[[license]]\nproduct = \"P\"\nusers = [\"x\", \"y\"]"
            ),
            "license number 1: `id` is missing: a license of several users needs a number",
        ),
        (
            "[[api_key]]\nkey = \"k\"\nshared_key = \"s\"\nproducts = [\"P\"]".to_owned(),
            "api_key \"k\": `products` names \"P\", which no [[product]] has",
        ),
    ] {
        let found = errors(&toml);
        assert!(found.iter().any(|error| error.starts_with(expected)), "{toml}\n{found:#?}");
    }
}

#[test]
fn wrong_passwords_and_identity_providers_are_errors() {
    let user = |keys: &str| format!("[[user]]\nusername = \"u\"\n{keys}");
    let account = |keys: &str| format!("[[customer_account]]\ncode = \"A\"\n{keys}");
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5cyBzYWx0Li4uLg$bm8gcGFzc3dvcmQgaGFzaGVzIHRvIHRoaXMgdGV4dC4";
    catalogue::parse(&user(&format!("password_hash = \"{hash}\""))).unwrap();
    let hashed = |hash: &str| user(&format!("password_hash = \"{hash}\""));
    let (issuer, keys) = ("issuer = \"i\"", "issuer = \"i\"\naudience = \"a\"");
    catalogue::parse(&account(&format!("{keys}\njwks_url = \"http://127.0.0.1:1/keys\""))).unwrap();
    for (toml, expected) in [
        (user(""), "user \"u\": `password` is missing"),
        (hashed(""), "user \"u\": `password_hash` is empty"),
        (hashed("secret"), "user \"u\": `password_hash` is not a PHC string; make one with"),
        (hashed(&hash.replace("argon2id", "argon2i")), "user \"u\": `password_hash` is not of argon2id, version 19"),
        (hashed(&hash.replace("v=19", "v=16")), "user \"u\": `password_hash` is not of argon2id, version 19"),
        (hashed(&hash.replace("m=19456", "m=4194304")), "user \"u\": `password_hash` costs more than"),
        (hashed(&hash.replace("t=2", "t=99")), "user \"u\": `password_hash` costs more than"),
        (hashed(&hash.replace("m=19456", "m=1")), "user \"u\": `password_hash` has invalid parameters"),
        (hashed(hash.rsplit_once('$').unwrap().0), "user \"u\": `password_hash` lacks its salt or its last part"),
        (
            user(&format!("password = \"secret\"\npassword_hash = \"{hash}\"")),
            "user \"u\": `password` and `password_hash` exclude each other",
        ),
        (user("sso_only = true\npassword = \"secret\""), "user \"u\": `password` and `sso_only` exclude each other"),
        (account("audience = \"a\""), "customer_account \"A\": `issuer` is missing"),
        (account(&format!("{issuer}\njwks_url = \"https://x\"")), "customer_account \"A\": `audience` is missing"),
        (account(keys), "customer_account \"A\": `jwks_url` is missing"),
        (
            account(&format!("{keys}\njwks_url = \"http://id.example.com\"")),
            "customer_account \"A\": `jwks_url` must begin",
        ),
        (
            account(&format!("{keys}\njwks_url = \"http://localhost.example.com/\"")),
            "customer_account \"A\": `jwks_url` must begin",
        ),
        (
            account(&format!("{keys}\njwks_url = \"https://x\"\njwks_file = \"f\"")),
            "customer_account \"A\": `jwks_file` and `jwks_url` exclude each other",
        ),
        (
            format!(
                "{}\n[[user]]\nusername = \"u\"\nsso_only = true",
                account(&format!("{keys}\njwks_url = \"https://x\"\ncodes = {{ secret = \"u\" }}"))
            ),
            "customer_account \"A\": `id_tokens` and `codes` stand in for an identity provider",
        ),
        (
            account(&format!("{issuer}\nauthorization_endpoint = \"https://x\"")),
            "customer_account \"A\": `authorization_endpoint` needs `client_id` and `redirect_uris`",
        ),
        (account("isuer = \"i\""), "customer_account \"A\": `isuer` is an unknown key; did you mean `issuer`?"),
    ] {
        let found = errors(&toml);
        assert!(found.iter().any(|error| error.starts_with(expected)), "{toml}\n{found:#?}");
        assert!(found.iter().all(|error| !error.contains("secret")), "{found:#?}");
    }
}

/// What a request can't say, or a reply can't.
#[test]
fn what_can_not_work_is_an_error() {
    let product = "[[product]]\ncode = \"P\"\n";
    let license = "[[license]]\nproduct = \"P\"\nlicense_key = \"K\"\n";
    let account = "[[customer_account]]\ncode = \"ACME\"\n";
    let long = "k".repeat(1025);
    let api_key = |key: &str| format!("[[api_key]]\nkey = '{key}'\nshared_key = \"s\"");
    for (toml, expected) in [
        (api_key("a,b"), "api_key \"a,b\": `key` must be of visible ASCII characters"),
        (api_key("a\"b"), "api_key \"a\\\"b\": `key` must be of visible ASCII characters"),
        (api_key(" a"), "api_key \" a\": `key` must be of visible ASCII characters"),
        (api_key("clé"), "api_key \"clé\": `key` must be of visible ASCII characters"),
        (format!("{product}{}", license.replace("\"K\"", &format!("\"{long}\""))), "`license_key` is 1025 bytes long"),
        (product.replace("\"P\"", &format!("\"{long}\"")), "`code` is 1025 bytes long"),
        (format!("{product}{license}feature = [{{ code = \"{long}\" }}]"), "`code` is 1025 bytes long"),
        (format!("[[user]]\nusername = \"{long}\"\npassword = \"p\""), "`username` is 1025 bytes long"),
        (format!("[[user]]\nusername = \"u\"\npassword = \"{long}\""), "`password` is 1025 bytes long"),
        (account.replace("ACME", &long), "`code` is 1025 bytes long"),
        (
            format!("{account}id_tokens = {{ {} = \"u\" }}", "t".repeat(16 * 1024 + 1)),
            "customer_account \"ACME\": `id_tokens` is 16385 bytes long",
        ),
        (
            format!("{account}id_tokens = {{ secret = \"nobody\" }}"),
            "customer_account \"ACME\": `id_tokens` names \"nobody\", which no [[user]] has",
        ),
        (
            format!("{account}codes = {{ secret = \"nobody\" }}"),
            "customer_account \"ACME\": `codes` names \"nobody\", which no [[user]] has",
        ),
        (format!("{account}codes = {{ \"\" = \"nobody\" }}"), "customer_account \"ACME\": `codes` holds an empty text"),
        (
            format!("{product}{license}validity_period = 9999-12-31T23:00:00-02:00"),
            "license \"K\": `validity_period` must be a date in UTC",
        ),
        (
            format!("{product}{license}validity_period = \"0000-01-01T00:00:00+02:00\""),
            "license \"K\": `validity_period` must be a date in UTC",
        ),
    ] {
        let found = errors(&toml);
        assert!(found.iter().any(|error| error.contains(expected)), "{expected}\n{found:#?}");
        assert!(found.iter().all(|error| !error.contains("secret")), "{found:#?}");
    }
    let longest = "k".repeat(1024);
    catalogue::parse(&format!("{product}{}", license.replace("\"K\"", &format!("\"{longest}\"")))).unwrap();
    catalogue::parse(&format!("{product}{license}validity_period = 9999-12-31T23:59:59Z")).unwrap();
}

#[test]
fn no_error_shows_a_value() {
    for toml in ["[[api_key]]\nkey = \"k\"\nshared_key = 987654321", "[[api_key]]\nshared_key = \"987654321"] {
        assert!(errors(toml).iter().all(|error| !error.contains("987654321")), "{toml}");
    }
}

#[test]
fn a_feature_stays_the_same_when_its_license_gets_another_key() {
    let id = |key: &str| {
        let toml = format!(
            "product = [{{ code = \"P\" }}]\nlicense = [{{ product = \"P\", id = 7, license_key = \"{key}\", feature = [{{ code = \"F\" }}] }}]"
        );
        catalogue::parse(&toml).unwrap().license_with_key("P", key).unwrap().feature("F").unwrap().id
    };
    assert_eq!(id("OLD"), id("NEW"));
}

#[test]
fn all_errors_are_told_at_once() {
    let found = errors("[[product]]\ncode = 5\nnme = \"x\"\n[[user]]\nusername = \"u\"\n");
    assert_eq!(found.len(), 3, "{found:#?}");
}

const LICENSE: &str = "product = [{ code = \"P\" }]\n[[license]]\nproduct = \"P\"\nlicense_key = \"K\"\n";

/// A license of floating features, each of which takes about 350 bytes of a reply.
fn with_features(count: usize) -> String {
    let feature = |number| format!("{{ code = \"FEATURE-{number}\", floating = {{ users = 1 }} }},\n");
    format!("{LICENSE}feature = [\n{}]\n", (0..count).map(feature).collect::<String>())
}

fn too_long(toml: &str) -> Vec<String> {
    reply::too_long(&catalogue::parse(toml).unwrap())
}

#[test]
fn entries_whose_replies_clients_refuse_are_named() {
    assert_eq!(too_long(sandbox::SAMPLE), [""; 0]);
    assert_eq!(too_long(&with_features(2_000)), [""; 0]);
    let found = too_long(&with_features(3_000));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("license \"K\": a reply about it has 1"), "{found:?}");
    assert!(found[0].contains("clients refuse more than 1048576: give it fewer features"), "{found:?}");
    let metadata = |length| format!("metadata = {{ text = \"{}\" }}", "x".repeat(length));
    // A feature's own reply holds the metadata twice.
    let found = too_long(&format!("{LICENSE}feature = [{{ code = \"F\", {} }}]", metadata(600_000)));
    assert!(found.len() == 1 && found[0].starts_with("license \"K\", feature \"F\": "), "{found:?}");
    let found = too_long(&format!("[[product]]\ncode = \"P\"\n{}", metadata(1_100_000)));
    assert!(found.len() == 1 && found[0].starts_with("product \"P\": "), "{found:?}");
}

/// What is counted beforehand is never less than what is sent.
#[test]
fn longest_reply_is_no_shorter_than_real_ones() {
    let toml = with_features(10);
    let longer_than = |limit| reply::longer_than(&catalogue::parse(&toml).unwrap(), limit).len();
    let mut world = World::new(&toml, "2026-06-01");
    let activated = world.activate("K", "hw").unwrap().to_string().len();
    assert_eq!(longer_than(activated - 1), 1);
    assert_eq!(longer_than(activated + 3_000), 0);
}

/// The client's limit is private to it, so it is read from its source.
#[test]
fn longest_reply_is_that_of_client() {
    let source = include_str!("../../src/http/mod.rs");
    let (_, value) = source.split_once("LONGEST_REPLY_BYTES: u64 = ").unwrap();
    let (value, _) = value.split_once(';').unwrap();
    let value: usize = value.split(" * ").map(|factor| factor.parse::<usize>().unwrap()).product();
    assert_eq!(value, reply::LONGEST_REPLY_BYTES);
}

const CUSTOMER: &str = "[[product]]\ncode = \"P\"\n[[customer]]\nemail = \"c@example.com\"\n[[license]]\nproduct = \"P\"\n\
                        license_key = \"K\"\ncustomer = \"c@example.com\"\nid = 7\n";

/// An OAuth client with these keys besides or instead.
fn oauth_client(id: &str, more: &str) -> String {
    format!("{CUSTOMER}[[oauth_client]]\nclient_id = {id:?}\nclient_secret = \"s-1\"\n{more}\n")
}

#[test]
fn errors_of_oauth_clients_say_what_was_expected() {
    for (id, more, expected) in [
        ("auth-company-1", "", "`scope` is missing or invalid"),
        ("auth-company-1", "scope = \"site\"", "`scope` must be one of \"company\""),
        ("auth-license-1", "scope = \"company\"", "`client_id` must begin with \"auth-company-\""),
        ("auth-customer-1", "scope = \"customer_account\"", "must begin with \"auth-customeraccount-\""),
        ("auth-company-1", "scope = \"company\"\nnames = [\"K\"]", "`names` lists what the client belongs to"),
        ("auth-license-1", "scope = \"license\"", "`names` lists what the client belongs to"),
        ("auth-license-1", "scope = \"license\"\nnames = [\"L\"]", "`names` has \"L\", which is no license"),
        ("auth-customer-1", "scope = \"customer\"\nnames = [\"K\"]", "`names` has \"K\", which is no customer"),
        ("auth-company-1", "scope = \"company\"\nprevious_secret = \"s-0\"", "belong together"),
        ("auth-company-1", "scope = \"company\"\nprevious_secret_until = 2026-01-01", "belong together"),
        (
            "auth-company-1",
            "scope = \"company\"\nprevious_secret = \"s-1\"\nprevious_secret_until = 2026-01-01",
            "`previous_secret` must be the secret before",
        ),
        ("auth-company-1", "scope = \"company\"\nproducts = [\"Q\"]", "`products` names \"Q\""),
        ("auth-company-\u{e4}", "scope = \"company\"", "visible ASCII"),
    ] {
        let errors = errors(&oauth_client(id, more));
        assert!(errors.iter().any(|error| error.contains(expected)), "{expected}: {errors:?}");
        assert!(!errors.iter().any(|error| error.contains("s-1")), "{errors:?}");
    }
    assert!(errors("oauth_token_seconds = 0")[0].contains("`oauth_token_seconds` must be at least 1"));
    assert!(errors("oauth_url = \"licenses\"")[0].contains("`oauth_url` must be a URL"));
}

#[test]
fn scope_is_the_licenses_of_its_owners() {
    let more = [
        ("auth-company-1", "scope = \"company\"", None),
        ("auth-customer-1", "scope = \"customer\"\nnames = [\"c@example.com\"]", Some(7)),
        ("auth-license-1", "scope = \"license\"\nnames = [\"K\"]", Some(7)),
        ("auth-license-2", "scope = \"license\"\nnames = [\"7\"]", Some(7)),
    ];
    for (id, more, license) in more {
        let catalogue = catalogue::parse(&oauth_client(id, more)).unwrap();
        let client = catalogue.oauth_client(id).unwrap();
        let licenses = client.licenses.as_ref().map(|licenses| licenses.iter().copied().collect::<Vec<_>>());
        assert_eq!(licenses, license.map(|license| vec![license]), "{id}");
        assert!(!format!("{client:?}").contains("s-1"));
    }
}
