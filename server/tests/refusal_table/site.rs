//! A server whose vendor has changed licenses after devices had activated them.

use std::sync::{Arc, Mutex};

use floatlease::operations::Operation;
use floatlease_server::clock::ControlledClock;
use floatlease_server::domain::Change;
use floatlease_server::keys::SigningKey;
use floatlease_server::store::{Store, StoreError};
use floatlease_server::{RateLimits, Server, Setup, catalogue};
use serde_json::{Value, json};

use crate::common::{API_KEY, Answer, Client, SHARED_KEY, time, with};
use crate::requests::Sent;

/// The catalogue as it is in the end.
const CATALOGUE: &str = r#"
blacklisted_hardware_ids = ["bad"]
product = [
    { code = "P", version = "2.0", trial = [{ days = 9, max_trials = 1000000 }, { policy = "MAIL", days = 9, email_required = true }] },
    { code = "Q" },
    { code = "U", version = "2.0", authorization_method = "user" },
    { code = "OFF", status = "disabled" },
    { code = "OLD", status = "archived" },
]
bundle = [
    { code = "P-SUITE", products = ["P", "Q"] },
    { code = "U-SUITE", products = ["U"] },
    { code = "OFF-SUITE", products = ["OFF"] },
    { code = "OLD-SUITE", products = ["OLD"] },
]
api_key = [
    { key = "test-api-key", shared_key = "test-shared-key" },
    { key = "read-only", shared_key = "test-shared-key", read_only = true },
    { key = "revoked", shared_key = "test-shared-key", revoked = true },
    { key = "only-q", shared_key = "test-shared-key", products = ["Q"] },
]
oauth_client = [{ client_id = "auth-license-1", client_secret = "s", scope = "license", names = ["STAYS"] }]
user = [
    { username = "ada", password = "p", allow_unlimited_activations = true },
    { username = "full", password = "p", max_activations = 1 },
    { username = "fixed", password = "p", may_change_password = false },
]
customer = [{ email = "c", customer_account = "ACME" }, { email = "poor" }]
consumption_pool = [
    { name = "pool", customer_account = "ACME", kind = "license", max_consumptions = 9 },
    { name = "feature-pool", customer_account = "ACME", kind = "feature", max_consumptions = 9 },
]

[[customer_account]]
code = "ACME"
issuer = "https://id"
authorization_endpoint = "https://id/auth"
client_id = "c"
redirect_uris = ["r"]
id_tokens = { t = "ada" }
codes = { k = "ada" }

[[customer_account]]
code = "OTHER"
id_tokens = { t = "ada" }

[[license]]
product = "P"
license_key = "K"
id = 11
allow_unlimited_activations = true
floating = { users = 1000000, can_borrow = true, max_borrow_time_hours = 24 }
feature = [
    { code = "F", floating = { users = 1000000, can_borrow = true, max_borrow_time_hours = 24 } },
    { code = "STAYS", floating = { users = 1000000 } },
    { code = "ONE", floating = { users = 1 } },
    { code = "PLAIN" },
    { code = "C", consumption = { max_consumptions = 1000000 } },
]

[[license]]
product = "P"
license_key = "AMOUNT"
id = 12
allow_unlimited_activations = true
consumption = { max_consumptions = 1000000 }
feature = [{ code = "C", consumption = { max_consumptions = 1000000 } }]

[[license]]
product = "U"
users = ["ada", "full"]
customer = "c"
id = 21
allow_unlimited_activations = true
floating = { users = 1000000, can_borrow = true, max_borrow_time_hours = 24 }
feature = [
    { code = "F", floating = { users = 1000000, can_borrow = true, max_borrow_time_hours = 24 } },
    { code = "C", consumption = { max_consumptions = 1000000 } },
]

[[license]]
product = "U"
users = ["full", "ada"]
customer = "c"
id = 22
allow_unlimited_activations = true
consumption = { max_consumptions = 1000000 }

[[license]]
product = "P"
license_key = "STAYS"
allow_unlimited_activations = true
floating = { users = 1000000 }

[[license]]
product = "P"
license_key = "ONE"
allow_unlimited_activations = true
floating = { users = 1, can_borrow = true, max_borrow_time_hours = 24 }

[[license]]
product = "P"
license_key = "NODE"
allow_unlimited_activations = true

[[license]]
product = "P"
license_key = "FULL"

[[license]]
product = "P"
license_key = "MOVED"
max_transfers = 1

[[license]]
product = "P"
license_key = "METAL"
allow_unlimited_activations = true
prevent_vm = true

[[license]]
product = "P"
license_key = "POOLED"
customer = "c"
allow_unlimited_activations = true
consumption = { max_consumptions = 100, pool = "pool" }

[[license]]
product = "P"
license_key = "POOLED-FEATURE"
customer = "c"
allow_unlimited_activations = true
feature = [{ code = "C", consumption = { max_consumptions = 100, pool = "feature-pool" } }]

[[license]]
product = "P"
license_key = "INACTIVE"
active = false
allow_unlimited_activations = true

[[license]]
product = "P"
license_key = "DISABLED"
enabled = false
allow_unlimited_activations = true

[[license]]
product = "P"
license_key = "FUTURE"
start_date = 2040-01-01
allow_unlimited_activations = true

[[license]]
product = "P"
license_key = "EXPIRED"
license_type = "time-limited"
validity_period = 2020-01-01
allow_unlimited_activations = true
floating = { users = 9 }
feature = [{ code = "F", floating = { users = 9 } }]

[[license]]
product = "P"
license_key = "EXPIRED-NODE"
license_type = "time-limited"
validity_period = 2020-01-01
allow_unlimited_activations = true

[[license]]
product = "P"
license_key = "TRIAL"
is_trial = true
license_type = "time-limited"
validity_period = 2020-01-01
allow_unlimited_activations = true
floating = { users = 9 }
feature = [{ code = "F", floating = { users = 9 } }]

[[license]]
product = "P"
license_key = "TRIAL-NODE"
is_trial = true
license_type = "time-limited"
validity_period = 2020-01-01
allow_unlimited_activations = true
"#;

/// (found in the catalogue, its value when the devices were activated).
const BEFORE: [(&str, &str); 5] = [
    (r#"blacklisted_hardware_ids = ["bad"]"#, ""),
    ("active = false", "active = true"),
    ("enabled = false", "enabled = true"),
    ("validity_period = 2020-01-01", "validity_period = 2030-01-01"),
    ("start_date = 2040-01-01", "start_date = 2020-01-01"),
];

/// (operation, device, the rest of the request): what has happened before the vendor changed the catalogue.
fn history() -> Vec<(&'static str, &'static str, Value)> {
    let key = |key: &str| json!({ "license_key": key });
    let changed = ["INACTIVE", "DISABLED", "FUTURE", "EXPIRED", "EXPIRED-NODE", "TRIAL", "TRIAL-NODE"];
    let mut history: Vec<_> = changed.map(|license| ("activate_license", "early", key(license))).into();
    history.extend([
        ("activate_license", "bad", key("K")),
        ("activate_license", "bad", key("AMOUNT")),
        ("activate_license", "holder", key("K")),
        ("check_feature", "holder", json!({ "feature": "ONE" })),
        ("activate_license", "holder", key("ONE")),
        ("check_license", "holder", key("ONE")),
        ("activate_license", "holder", key("FULL")),
        ("activate_license", "first", key("MOVED")),
        ("deactivate_license", "first", key("MOVED")),
        ("activate_license", "second", key("MOVED")),
        ("deactivate_license", "second", key("MOVED")),
    ]);
    let full = json!({ "product": "U", "license_key": null, "username": "full", "password": "p" });
    history.push(("activate_license", "holder", full));
    history
}

/// Keeps changes in memory, where a test can count them and another server can find them.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<Change>>>);

impl Store for Kept {
    fn load(&mut self) -> Result<Vec<Change>, StoreError> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.0.lock().unwrap().extend_from_slice(changes);
        Ok(())
    }
}

/// Keeps the commit of the start, and no other.
pub struct FullDisk(bool);

impl Store for FullDisk {
    fn load(&mut self) -> Result<Vec<Change>, StoreError> {
        Ok(Vec::new())
    }

    fn commit(&mut self, _: &[Change]) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.0, true) { Err(StoreError("the disk is full".to_owned())) } else { Ok(()) }
    }
}

/// A server, and a client of it.
pub struct Site {
    server: Server,
    pub client: Client,
    kept: Kept,
    devices: u32,
}

impl Site {
    /// Starts a server on which the devices have activated their licenses. `more` is added to its catalogue.
    pub fn new(more: &str, rate_limits: RateLimits) -> Site {
        let kept = Kept::default();
        let before = BEFORE.iter().fold(CATALOGUE.to_owned(), |text, (found, before)| {
            assert!(text.contains(found), "{found} is missing");
            text.replace(found, before)
        });
        let mut site = Site::start(&before, Box::new(kept.clone()), kept.clone(), RateLimits::default());
        for (operation, device, more) in history() {
            site.done(operation, &with(&json!({ "hardware_id": device }), more));
        }
        site.server.stop().unwrap();
        Site::start(&format!("{more}{CATALOGUE}"), Box::new(kept.clone()), kept, rate_limits)
    }

    /// Starts a server that can keep nothing.
    pub fn on_full_disk() -> Site {
        Site::start(CATALOGUE, Box::new(FullDisk(false)), Kept::default(), RateLimits::default())
    }

    fn start(toml: &str, store: Box<dyn Store>, kept: Kept, rate_limits: RateLimits) -> Site {
        let server = Server::start(Setup {
            catalogue: catalogue::parse(toml).unwrap(),
            store,
            clock: Arc::new(ControlledClock::new(time("2026-01-01"), 0.0)),
            key: SigningKey::generate().unwrap(),
            // Signing takes most of the time of a request.
            unsigned: true,
            listen: "127.0.0.1:0".parse().unwrap(),
            rate_limits,
        });
        let server = server.unwrap();
        let client = Client::new(server.base_url(), API_KEY, SHARED_KEY);
        Site { server, client, kept, devices: 0 }
    }

    /// The name of a device that the server does not know.
    pub fn new_device(&mut self) -> String {
        self.devices += 1;
        format!("device-{}", self.devices)
    }

    /// The number of changes that the server has kept, besides its own notes of the time.
    pub fn changes(&self) -> usize {
        let kept = self.kept.0.lock().unwrap();
        kept.iter().filter(|change| !matches!(change, Change::Heartbeat { .. } | Change::Downtime { .. })).count()
    }

    /// A request that succeeds: that of [`crate::requests::good`] with these parameters besides or instead.
    pub fn done(&mut self, operation: &str, more: &Value) {
        let operation = Operation::named(operation).unwrap();
        let answer = self.send(operation, &with(&crate::requests::good(operation), more.clone()), &[]);
        assert_eq!(answer.status, 200, "{} {more}: {answer:?}", operation.name);
    }

    /// Sends a request as a program would: in the query, in the body, or in a file.
    pub fn send(&mut self, operation: &Operation, parameters: &Value, more: &[(&str, &str)]) -> Answer {
        let sent = Sent::of(operation, parameters);
        let mut headers = self.client.authorised();
        headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.client.ask(operation, &sent.query, &headers, sent.body.as_bytes()).unwrap()
    }
}
