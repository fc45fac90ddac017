//! Tokens of an identity provider: which of them let a user in, and how the provider's keys are kept.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RsaEncoding,
};
use aws_lc_rs::{hmac, signature};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::Utc;
use common::{TestServer, directory};
use floatlease_server::store::SqliteStore;
use floatlease_server::{Server, Setup, catalogue};
use serde_json::{Value, json};

const ISSUER: &str = "https://id.example.com";

fn toml(keys: &str) -> String {
    format!(
        r#"
api_key = [{{ key = "test-api-key", shared_key = "test-shared-key" }}]
product = [{{ code = "U", authorization_method = "user" }}]
user = [{{ username = "ada@example.com", sso_only = true }}, {{ username = "bob", password = "p" }}]
customer = [{{ email = "c", customer_account = "ACME" }}, {{ email = "d", customer_account = "OTHER" }}]
license = [
    {{ product = "U", users = ["ada@example.com"], id = 21, customer = "c", max_activations = 9 }},
    {{ product = "U", users = ["ada@example.com"], id = 22, customer = "d" }},
    {{ product = "U", users = ["bob"], id = 23, customer = "c" }},
]
[[customer_account]]
code = "ACME"
issuer = "{ISSUER}"
audience = "studio"
{keys}
[[customer_account]]
code = "OTHER"
issuer = "https://other.example.com"
audience = "studio"
{keys}
"#
    )
}

fn server(keys: &str) -> TestServer {
    TestServer::start(&toml(keys), Box::new(SqliteStore::in_memory().unwrap()), false)
}

/// A provider's key, with the name by which tokens call it.
struct ProviderKey {
    name: &'static str,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl ProviderKey {
    fn rsa(name: &'static str) -> ProviderKey {
        ProviderKey { name, pair: Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()) }
    }

    fn ec(name: &'static str) -> ProviderKey {
        ProviderKey { name, pair: Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()) }
    }

    /// The public key as a provider publishes it.
    fn jwk(&self) -> Value {
        match &self.pair {
            Pair::Rsa(pair) => {
                let number = |bytes: &[u8]| BASE64.encode(bytes);
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                json!({ "kty": "RSA", "use": "sig", "kid": self.name,
                    "n": number(n.big_endian_without_leading_zero()), "e": number(e.big_endian_without_leading_zero()) })
            }
            Pair::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "kid": self.name,
                    "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..]) })
            }
        }
    }

    fn sign(&self, algorithm: &str, text: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        let pair = match &self.pair {
            Pair::Ec(pair) => return pair.sign(&random, text.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Rsa(pair) => pair,
        };
        let encoding: &dyn RsaEncoding = match algorithm {
            "RS512" => &RSA_PKCS1_SHA512,
            "PS256" => &RSA_PSS_SHA256,
            _ => &RSA_PKCS1_SHA256,
        };
        let key = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(pair).unwrap();
        let key = signature::RsaKeyPair::from_pkcs8(key.as_ref()).unwrap();
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(encoding, &random, text.as_bytes(), &mut signature).unwrap();
        signature
    }

    fn token(&self, algorithm: &str, claims: &Value) -> String {
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": self.name });
        let text = unsigned(&header, claims);
        let signature = self.sign(algorithm, &text);
        format!("{text}.{}", BASE64.encode(signature))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()))
}

/// The claims of a good token, with changes. Null removes one.
fn claims(changes: Value) -> Value {
    let now = Utc::now().timestamp();
    let mut claims = json!({
        "iss": ISSUER, "aud": "studio", "sub": "7", "email": "ada@example.com", "exp": now + 300, "nbf": now - 300,
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn jwks(keys: &[&ProviderKey]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// A server that reads these keys from a file.
fn server_with(name: &str, keys: &[&ProviderKey]) -> TestServer {
    let file = directory(name).join("keys.json");
    std::fs::write(&file, jwks(keys)).unwrap();
    server(&format!("jwks_file = {:?}", file.to_str().unwrap()))
}

fn with_token(token: &str) -> Value {
    json!({ "product": "U", "hardware_id": "hw-1", "id_token": token, "customer_account_code": "ACME" })
}

fn code(server: &TestServer, token: &str) -> Option<String> {
    server.client().call("user_licenses", &with_token(token)).code()
}

const REFUSED: Option<&str> = Some("license_not_found");

#[test]
fn token_of_provider_lets_its_user_in() {
    let (rsa, ec) = (ProviderKey::rsa("r"), ProviderKey::ec("e"));
    let server = server_with("sso-good", &[&rsa, &ec]);
    for token in [
        rsa.token("RS256", &claims(json!({}))),
        rsa.token("RS512", &claims(json!({}))),
        rsa.token("PS256", &claims(json!({}))),
        ec.token("ES256", &claims(json!({}))),
        rsa.token("RS256", &claims(json!({ "aud": ["account", "studio"], "email_verified": true, "nbf": null }))),
    ] {
        assert_eq!(code(&server, &token), None);
        let activated = server.client().call("activate_license", &with_token(&token)).json();
        assert_eq!((&activated["id"], &activated["user"]["email"]), (&json!(21), &json!("ada@example.com")));
    }
    let listed = server.client().call("user_licenses", &with_token(&rsa.token("RS256", &claims(json!({}))))).json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "the licenses of the account");
}

#[test]
fn token_that_is_not_for_us_or_not_valid_is_refused() {
    let (rsa, ec) = (ProviderKey::rsa("r"), ProviderKey::ec("e"));
    let server = server_with("sso-claims", &[&rsa, &ec]);
    let now = Utc::now().timestamp();
    for changes in [
        json!({ "aud": "another-program" }),
        json!({ "aud": ["another-program"] }),
        json!({ "aud": null }),
        json!({ "iss": "https://evil.example.com" }),
        json!({ "iss": "https://other.example.com" }),
        json!({ "iss": null }),
        json!({ "exp": now - 60 }),
        json!({ "exp": null }),
        json!({ "exp": "never" }),
        json!({ "nbf": now + 60 }),
        json!({ "email": null }),
        json!({ "email": "" }),
        json!({ "email": 7 }),
        json!({ "email": "nobody@example.com" }),
        json!({ "email": "ADA@example.com" }),
        json!({ "email_verified": false }),
    ] {
        for (key, algorithm) in [(&rsa, "RS256"), (&ec, "ES256")] {
            let token = key.token(algorithm, &claims(changes.clone()));
            assert_eq!(code(&server, &token).as_deref(), REFUSED, "{changes} {algorithm}");
        }
    }
    for near in [json!({ "exp": now - 10 }), json!({ "nbf": now + 10 })] {
        assert_eq!(code(&server, &rsa.token("RS256", &claims(near.clone()))), None, "clocks may differ: {near}");
    }
}

#[test]
fn token_that_provider_did_not_sign_is_refused() {
    let (rsa, ec, other) = (ProviderKey::rsa("r"), ProviderKey::ec("e"), ProviderKey::rsa("r"));
    let server = server_with("sso-forged", &[&rsa, &ec]);
    let claims = claims(json!({}));
    let header = |algorithm: &str| json!({ "alg": algorithm, "typ": "JWT", "kid": "r" });
    let by_secret = |secret: &[u8]| {
        let text = unsigned(&header("HS256"), &claims);
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
        format!("{text}.{}", BASE64.encode(signature))
    };
    let modulus = BASE64.decode(rsa.jwk()["n"].as_str().unwrap()).unwrap();
    let good = rsa.token("RS256", &claims);
    let (text, signature) = good.rsplit_once('.').unwrap();
    let altered = unsigned(&header("RS256"), &self::claims(json!({ "email": "bob" })));
    for forged in [
        other.token("RS256", &claims),
        format!("{}.", unsigned(&header("none"), &claims)),
        format!("{}.{signature}", unsigned(&header("none"), &claims)),
        unsigned(&header("RS256"), &claims),
        by_secret(&modulus),
        by_secret(rsa.jwk()["n"].as_str().unwrap().as_bytes()),
        by_secret(rsa.jwk().to_string().as_bytes()),
        format!("{altered}.{signature}"),
        format!("{text}."),
        format!("{text}.{}", BASE64.encode(ec.sign("ES256", text))),
        // The right key under another algorithm, or another name.
        ProviderKey { name: "r", pair: ec.pair }.token("ES256", &claims),
        ProviderKey { name: "unknown", pair: rsa.pair }.token("RS256", &claims),
        "not.a.token".to_owned(),
        "..".to_owned(),
        "token".to_owned(),
    ] {
        assert_eq!(code(&server, &forged).as_deref(), REFUSED, "{forged}");
    }
    assert_eq!(code(&server, &good), None);
    let request = json!({ "product": "U", "code": "k", "customer_account_code": "ACME" });
    let refused = server.client().call("user_licenses", &request);
    assert_eq!(refused.code().unwrap(), "validation_error");
    assert!(refused.json()["message"].as_str().unwrap().contains("token_endpoint"), "{refused:?}");
}

/// A provider must not publish such keys. If it does, whoever reads them could sign.
#[test]
fn keys_that_are_not_for_signatures_never_count() {
    let encrypting = ProviderKey::rsa("r");
    let mut jwk = encrypting.jwk();
    jwk["use"] = "enc".into();
    let secret = json!({ "kty": "oct", "kid": "o", "k": BASE64.encode("published") });
    let file = directory("sso-secret").join("keys.json");
    std::fs::write(&file, json!({ "keys": [jwk, secret] }).to_string()).unwrap();
    let server = server(&format!("jwks_file = {:?}", file.to_str().unwrap()));
    let text = unsigned(&json!({ "alg": "HS256", "kid": "o" }), &claims(json!({})));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"published"), text.as_bytes());
    assert_eq!(code(&server, &format!("{text}.{}", BASE64.encode(signature))).as_deref(), REFUSED);
    assert_eq!(code(&server, &encrypting.token("RS256", &claims(json!({})))).as_deref(), REFUSED);
}

#[test]
fn token_without_key_name_needs_a_single_key() {
    let (one, two) = (ProviderKey::rsa("1"), ProviderKey::rsa("2"));
    let text = unsigned(&json!({ "alg": "RS256" }), &claims(json!({})));
    let nameless = format!("{text}.{}", BASE64.encode(one.sign("RS256", &text)));
    assert_eq!(code(&server_with("sso-single", &[&one]), &nameless), None);
    assert_eq!(code(&server_with("sso-two", &[&one, &two]), &nameless).as_deref(), REFUSED);
}

/// A provider that publishes its keys over HTTP, and counts how often it is asked.
struct Publisher {
    url: String,
    keys: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl Publisher {
    fn start(keys: Option<String>) -> Publisher {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let (keys, asked) = (Arc::new(Mutex::new(keys)), Arc::new(AtomicUsize::new(0)));
        let (published, count) = (Arc::clone(&keys), Arc::clone(&asked));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 4096]);
                let (status, body) = match &*published.lock().unwrap() {
                    Some(keys) => ("200 OK", keys.clone()),
                    None => ("503 Service Unavailable", String::new()),
                };
                let reply =
                    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                let _ = stream.write_all(reply.as_bytes());
            }
        });
        Publisher { url, keys, asked }
    }

    fn publish(&self, keys: &[&ProviderKey]) {
        *self.keys.lock().unwrap() = Some(jwks(keys));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[test]
fn keys_are_fetched_when_needed_and_no_more_than_once_a_minute() {
    let (old, new) = (ProviderKey::rsa("old"), ProviderKey::rsa("new"));
    let publisher = Publisher::start(Some(jwks(&[&old])));
    let server = server(&format!("jwks_url = {:?}", publisher.url));
    assert_eq!(publisher.asked(), 0, "the provider need not run when the server starts");
    let token = |key: &ProviderKey| key.token("RS256", &claims(json!({})));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(code(&server, &token(&old)), None));
        }
    });
    assert_eq!(publisher.asked(), 1, "one fetch does for all who wait");
    publisher.publish(&[&old, &new]);
    for _ in 0..5 {
        assert_eq!(code(&server, &token(&new)).as_deref(), REFUSED, "an unknown name is no way to flood the provider");
        assert_eq!(code(&server, &token(&old)), None);
    }
    assert_eq!(publisher.asked(), 1);
}

#[test]
fn provider_that_can_not_be_reached_lets_nobody_in() {
    let key = ProviderKey::rsa("k");
    let publisher = Publisher::start(None);
    let server = server(&format!("jwks_url = {:?}", publisher.url));
    assert_eq!(code(&server, &key.token("RS256", &claims(json!({})))).as_deref(), REFUSED);
    assert_eq!(publisher.asked(), 1);
    let by_password = json!({ "product": "U", "username": "bob", "password": "p" });
    assert_eq!(server.client().call("user_licenses", &by_password).code(), None, "others sign in as before");
}

#[test]
fn missing_or_damaged_key_file_is_said_at_start() {
    let file = directory("sso-file").join("keys.json");
    let start = || {
        let catalogue = catalogue::parse(&toml(&format!("jwks_file = {:?}", file.to_str().unwrap()))).unwrap();
        let server = Server::start(Setup {
            catalogue,
            store: Box::new(SqliteStore::in_memory().unwrap()),
            clock: Arc::new(floatlease_server::clock::SystemClock),
            key: floatlease_server::keys::SigningKey::generate().unwrap(),
            unsigned: true,
            listen: "127.0.0.1:0".parse().unwrap(),
            rate_limits: floatlease_server::RateLimits::default(),
        });
        server.map(|_| ()).map_err(|failure| failure.0)
    };
    let missing = start().unwrap_err();
    assert!(missing.contains("customer_account") && missing.contains("keys.json"), "{missing}");
    std::fs::write(&file, "{}").unwrap();
    assert!(start().unwrap_err().contains("is not a JSON Web Key Set"));
    std::fs::write(&file, jwks(&[&ProviderKey::ec("e")])).unwrap();
    start().unwrap();
}
