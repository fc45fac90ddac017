//! What a catalogue is made of: products, licenses, features, users, customers, API keys.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// The longest text that a request may name anything by: names and keys are short, and what is stored must not be made to
/// grow without end.
pub(crate) const LONGEST_TEXT_BYTES: usize = 1024;
/// The longest token of an identity provider.
pub(crate) const LONGEST_TOKEN_BYTES: usize = 16 * 1024;

/// What clients authorise themselves with.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its name in the `Authorization` header.
    pub key: String,
    /// The secret under the request's MAC.
    pub shared_key: String,
    /// It may only ask.
    pub read_only: bool,
    /// It was withdrawn.
    pub revoked: bool,
    /// The products it may activate; `None` is all of them.
    pub products: Option<Vec<String>>,
}

/// How the clients of a product name their license.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationMethod {
    /// By license key.
    LicenseKey,
    /// By user name.
    User,
}

/// Whether a product is on offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProductStatus {
    /// It is.
    Enabled,
    /// Not at present.
    Disabled,
    /// Not any more.
    Archived,
}

/// A product.
#[derive(Debug)]
pub struct Product {
    /// Stable number.
    pub id: u64,
    /// The short code that requests name it by.
    pub code: String,
    /// For people.
    pub name: String,
    /// How its licenses are named.
    pub authorization_method: AuthorizationMethod,
    /// Whether it is on offer.
    pub status: ProductStatus,
    /// For licenses and features that float without saying how long.
    pub floating_timeout_minutes: u32,
    /// Its licenses refuse virtual machines unless they say otherwise.
    pub prevent_vm: bool,
    /// Newest version.
    pub version: String,
    /// For the host program, passed through.
    pub metadata: Map<String, Value>,
}

/// How a license or a feature floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floating {
    /// Number of slots.
    pub users: u32,
    /// A slot is free when its device did not check for so long.
    pub timeout_minutes: u32,
    /// Whether a slot may be taken offline.
    pub can_borrow: bool,
    /// For how long at most.
    pub max_borrow_time_hours: u32,
}

/// When a consumption total starts again at 0, always at 00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// Every day.
    Daily,
    /// Every Monday.
    Weekly,
    /// On the 1st.
    Monthly,
    /// On January 1st.
    Annually,
}

/// What may be consumed beyond `max_consumptions`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overages {
    /// Anything at all.
    pub allowed: bool,
    /// How much.
    pub max: i64,
}

/// How a license or a feature is consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumption {
    /// The limit.
    pub max: i64,
    /// There is no limit.
    pub unlimited: bool,
    /// Amounts may be negative.
    pub allow_negative: bool,
    /// What is allowed beyond the limit.
    pub overages: Overages,
    /// When the total starts again; `None` is never.
    pub period: Option<Period>,
}

/// A feature of a license. Neither floating nor consumption: a plain entitlement.
#[derive(Debug)]
pub struct Feature {
    /// Stable number.
    pub id: u64,
    /// What requests name it by.
    pub code: Arc<str>,
    /// For people.
    pub name: String,
    /// From then on it counts as not assigned.
    pub expiry_date: Option<DateTime<Utc>>,
    /// Its slots, if it floats.
    pub floating: Option<Floating>,
    /// Its limit, if it is of type consumption.
    pub consumption: Option<Consumption>,
    /// For the host program, passed through.
    pub metadata: Map<String, Value>,
}

/// What a license is sold as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LicenseType {
    /// Without end.
    Perpetual,
    /// Until `validity_period`.
    TimeLimited,
    /// Until `validity_period` and the grace period after it.
    Subscription,
    /// By amount.
    Consumption,
}

/// Whose license it is.
#[derive(Debug)]
pub enum Holder {
    /// Whoever knows this key.
    Key(String),
    /// One of these users.
    Users(Vec<Arc<User>>),
}

/// A license.
#[derive(Debug)]
pub struct License {
    /// Stable number.
    pub id: u64,
    /// Of what.
    pub product: Arc<Product>,
    /// Whose.
    pub holder: Holder,
    /// Sold as what.
    pub license_type: LicenseType,
    /// Switched on.
    pub active: bool,
    /// Not withdrawn.
    pub enabled: bool,
    /// A trial.
    pub is_trial: bool,
    /// Not before.
    pub start_date: Option<DateTime<Utc>>,
    /// Not from then on.
    pub validity_period: Option<DateTime<Utc>>,
    /// New versions until then.
    pub maintenance_period: Option<DateTime<Utc>>,
    /// A subscription lasts so much longer.
    pub grace_period_hours: u32,
    /// Devices that may be active at a time.
    pub max_activations: u64,
    /// Any number of them.
    pub allow_unlimited_activations: bool,
    /// Times it may move to another device; 0 is any number.
    pub max_transfers: u64,
    /// It refuses virtual machines.
    pub prevent_vm: bool,
    /// Its order in the shop.
    pub order_store_id: String,
    /// Its slots, if it floats.
    pub floating: Option<Floating>,
    /// Its limit, if it is of type consumption.
    pub consumption: Option<Consumption>,
    /// What it grants besides the product.
    pub features: Vec<Arc<Feature>>,
    /// Who bought it.
    pub customer: Arc<Customer>,
    /// For the host program, passed through.
    pub custom_fields: Vec<CustomField>,
    /// For the host program, passed through.
    pub metadata: Map<String, Value>,
}

/// A fact the vendor attached to a license.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CustomField {
    /// Its name.
    pub name: String,
    /// `number`, `text`, `date/time` or nothing.
    pub data_type: Option<String>,
    /// Its value as text.
    pub value: String,
}

/// A user of user-based licenses.
#[derive(Debug)]
pub struct User {
    /// Stable number.
    pub id: u64,
    /// What requests name him by.
    pub username: String,
    /// Where to reach him.
    pub email: String,
    /// For people.
    pub first_name: String,
    /// For people.
    pub last_name: String,
    /// For people.
    pub phone_number: String,
    /// He has not chosen his password himself.
    pub is_initial_password: bool,
    /// Devices he may have active at a time.
    pub max_activations: u64,
    /// Any number of them.
    pub allow_unlimited_activations: bool,
    pub(super) password: String,
}

/// Who bought a license; serialised as the `customer` of the license object.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Customer {
    /// What licenses name him by.
    pub email: String,
    /// For people.
    pub company_name: String,
    /// The vendor's own number of him.
    pub reference: String,
    /// For people.
    pub phone: String,
    /// For people.
    pub first_name: String,
    /// For people.
    pub last_name: String,
    /// For people.
    pub city: String,
    /// For people.
    pub postcode: String,
    /// For people.
    pub state: String,
    /// For people.
    pub country: String,
    /// For people.
    pub address: String,
    /// The organisation whose single sign-on his users come through.
    pub customer_account: Option<AccountLabel>,
    /// For the host program, passed through.
    pub metadata: Map<String, Value>,
}

/// A customer account as replies show it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "CustomerAccount")]
pub struct AccountLabel {
    /// Stable number.
    pub id: u64,
    /// For people.
    pub name: String,
    /// What requests name it by.
    pub code: String,
}

/// An organisation with single sign-on. Its tokens stand in the catalogue in place of an identity provider.
#[derive(Debug)]
pub struct CustomerAccount {
    /// As replies show it.
    pub label: AccountLabel,
    /// Access token → user name.
    pub id_tokens: HashMap<String, String>,
    /// Authorization code → user name.
    pub codes: HashMap<String, String>,
}

impl Floating {
    /// A slot is free when its device did not check for so long.
    pub fn timeout(&self) -> TimeDelta {
        TimeDelta::minutes(self.timeout_minutes.into())
    }

    /// For how long a slot may be taken offline.
    pub fn max_borrow_time(&self) -> TimeDelta {
        TimeDelta::hours(self.max_borrow_time_hours.into())
    }
}

impl License {
    /// The feature with this code, expired or not.
    pub fn feature(&self, code: &str) -> Option<&Arc<Feature>> {
        self.features.iter().find(|feature| &*feature.code == code)
    }

    /// What clients name it by: its key, or its first user.
    pub fn name(&self) -> &str {
        match &self.holder {
            Holder::Key(key) => key,
            Holder::Users(users) => users.first().map_or("", |user| &user.username),
        }
    }

    /// The user of this name, if the license has him.
    pub fn user(&self, username: &str) -> Option<&Arc<User>> {
        match &self.holder {
            Holder::Key(_) => None,
            Holder::Users(users) => users.iter().find(|user| user.username == username),
        }
    }

    /// When the right to use it ends: a subscription has its grace period on top, and a perpetual license never ends,
    /// whatever its `validity_period` says.
    pub fn ends_at(&self) -> Option<DateTime<Utc>> {
        let grace_hours = match self.license_type {
            LicenseType::Perpetual => return None,
            LicenseType::Subscription => self.grace_period_hours,
            LicenseType::TimeLimited | LicenseType::Consumption => 0,
        };
        self.validity_period.map(|end| end + TimeDelta::hours(grace_hours.into()))
    }

    /// Whether that moment has come.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.ends_at().is_some_and(|end| now >= end)
    }
}

impl Feature {
    /// Whether its `expiry_date` has come.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expiry_date.is_some_and(|end| now >= end)
    }
}

impl User {
    /// His password, for a sandbox that tells it to its testers.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// Whether this is his password; takes the same time wherever they differ.
    pub fn has_password(&self, password: &str) -> bool {
        verify_slices_are_equal(self.password.as_bytes(), password.as_bytes()).is_ok()
    }
}
