//! A server to try things on: the sample catalogue, data in memory, keys of its own at every start.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::json;

use crate::catalogue::{self, ApiKey};
use crate::clock::Clock;
use crate::keys::{SigningKey, random_text};
use crate::store::SqliteStore;
use crate::{Failure, Server, Setup};

/// The catalogue that the demo serves.
pub const CATALOGUE: &str = include_str!("../../examples/catalogue.toml");

/// API keys for trying refusals; not in the sample, which people copy.
const API_KEYS: &str = r#"
[[api_key]]
key = "demo-read-only"
shared_key = "demo-read-only-shared-key"
read_only = true

[[api_key]]
key = "demo-revoked"
shared_key = "demo-revoked-shared-key"
revoked = true

[[api_key]]
key = "demo-studio-only"
shared_key = "demo-studio-only-shared-key"
products = ["STUDIO"]
"#;

/// Names in [`CATALOGUE`] that a first example needs, as (name for programs, value).
const SEEDED: [(&str, &str); 8] = [
    ("product", "CAD-PRO"),
    ("license_key", "CADP-FLOA-TING-0002"),
    ("feature", "MESH"),
    ("consumption_license_key", "CADP-CONS-UMPT-0100"),
    ("consumption_feature", "RENDER-MINUTES"),
    ("username", "ada@example.com"),
    ("password", "correct-horse"),
    ("user_product", "STUDIO"),
];

/// What a client of the demo has to know.
#[derive(Debug, Clone)]
pub struct Access {
    /// The API.
    pub base_url: String,
    /// The API key's name.
    pub api_key: String,
    /// Its secret.
    pub shared_key: String,
    /// What replies are verified with.
    pub public_key: String,
}

/// Starts the demo on the loopback interface; port 0 is a free one.
///
/// # Errors
/// The port is taken.
pub fn start(port: u16, clock: Arc<dyn Clock>) -> Result<(Server, Access), Failure> {
    let mut catalogue =
        catalogue::parse(&format!("{CATALOGUE}{API_KEYS}")).map_err(|mistakes| Failure(mistakes.to_string()))?;
    let (api_key, shared_key) = (random_text(24)?, random_text(40)?);
    catalogue.add_api_key(ApiKey {
        key: api_key.clone(),
        shared_key: shared_key.clone(),
        read_only: false,
        revoked: false,
        products: None,
    });
    let server = Server::start(Setup {
        catalogue,
        store: Box::new(SqliteStore::in_memory()?),
        clock,
        key: SigningKey::generate()?,
        unsigned: false,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
    })?;
    let (base_url, public_key) = (server.base_url().to_owned(), server.public_key().to_owned());
    Ok((server, Access { base_url, api_key, shared_key, public_key }))
}

impl Access {
    /// All of it by name: what `demo` prints and `exec` exports.
    pub fn facts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let own = [
            ("base_url", self.base_url.as_str()),
            ("api_key", self.api_key.as_str()),
            ("shared_key", self.shared_key.as_str()),
            ("public_key", self.public_key.as_str()),
        ];
        own.into_iter().chain(SEEDED)
    }

    /// A configuration for the client, as JSON.
    pub fn client_config(&self) -> String {
        let [(_, product), (_, license_key), ..] = SEEDED;
        json!({
            "product": product,
            "license_key": license_key,
            "api_key": self.api_key,
            "shared_key": self.shared_key,
            "base_url": self.base_url,
            "public_key": self.public_key,
        })
        .to_string()
    }
}
