//! What a catalogue is made of: products, licenses, features, users, customers, API keys.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// Longest text in a request, except for tokens. Names and keys are short, and stored texts must not grow without end.
pub(crate) const LONGEST_TEXT_BYTES: usize = 1024;
/// Longest token of an identity provider.
pub(crate) const LONGEST_TOKEN_BYTES: usize = 16 * 1024;

/// An API key, by which a client authorises its requests.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// The key's name in the `Authorization` header.
    pub key: String,
    /// The secret of the request's MAC.
    pub shared_key: String,
    /// True if it may only read.
    pub read_only: bool,
    /// True if it was revoked.
    pub revoked: bool,
    /// The products that it may activate; `None` for all products.
    pub products: Option<Vec<String>>,
}

/// An OAuth client, which fetches access tokens by a secret and authorises its requests by them.
#[derive(Debug, Clone)]
pub struct OauthClient {
    /// The client's name. Its beginning shows the scope.
    pub client_id: String,
    /// The secret that the client fetches tokens with.
    pub secret: SecretDigest,
    /// The secret before that, and the time from which on it is refused.
    pub previous_secret: Option<(SecretDigest, DateTime<Utc>)>,
    /// Numbers of the licenses that it may use; `None` for all of the company.
    pub licenses: Option<HashSet<u64>>,
    /// True if it may only read.
    pub read_only: bool,
    /// True if it was revoked.
    pub revoked: bool,
    /// The products that it may activate; `None` for all products.
    pub products: Option<Vec<String>>,
}

/// The owner of an OAuth client, to whose licenses the client is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OauthScope {
    /// The company: all licenses.
    Company,
    /// Customer accounts.
    CustomerAccount,
    /// Customers.
    Customer,
    /// Single licenses.
    License,
}

/// The SHA-256 of a secret. The server keeps no more of it in memory, and the length of the secret is hidden.
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; SHA256_OUTPUT_LEN]);

/// The way in which a product's clients name their license.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationMethod {
    /// Clients name a license by its key.
    LicenseKey,
    /// Clients name a license by a user.
    User,
}

/// The status of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProductStatus {
    /// The product can be used.
    Enabled,
    /// The product can't be used at present.
    Disabled,
    /// The product can't be used any more.
    Archived,
}

/// A product.
#[derive(Debug)]
pub struct Product {
    /// The product's number, which never changes.
    pub id: u64,
    /// The short code, by which requests name the product.
    pub code: String,
    /// The name for people.
    pub name: String,
    /// The way in which clients name its licenses.
    pub authorization_method: AuthorizationMethod,
    /// The product's status.
    pub status: ProductStatus,
    /// Default timeout of its floating licenses and features.
    pub floating_timeout_minutes: u32,
    /// True if its licenses refuse virtual machines, unless a license says otherwise.
    pub prevent_vm: bool,
    /// The newest version.
    pub version: String,
    /// Values that are passed through to the host program.
    pub metadata: Map<String, Value>,
}

/// The terms of a floating license or feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floating {
    /// The number of slots.
    pub users: u32,
    /// Time after which a slot is free if its device has not checked the license.
    pub timeout_minutes: u32,
    /// True if a slot may be borrowed.
    pub can_borrow: bool,
    /// Longest time for which a slot may be borrowed.
    pub max_borrow_time_hours: u32,
}

/// The period after which a consumption total starts again at 0, always at 00:00 UTC.
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

/// The consumption that is allowed beyond `max_consumptions`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overages {
    /// True if overages are allowed.
    pub allowed: bool,
    /// Upper bound for them.
    pub max: i64,
}

/// The terms of consumption of a license or feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumption {
    /// The limit.
    pub max: i64,
    /// True if there is no limit.
    pub unlimited: bool,
    /// True if amounts may be negative.
    pub allow_negative: bool,
    /// The consumption that is allowed beyond the limit.
    pub overages: Overages,
    /// The period after which the total starts again; `None` for never.
    pub period: Option<Period>,
}

/// A feature of a license. If it neither floats nor is consumed, it is a plain entitlement.
#[derive(Debug)]
pub struct Feature {
    /// The feature's number, which never changes.
    pub id: u64,
    /// The code, by which requests name the feature.
    pub code: Arc<str>,
    /// The name for people.
    pub name: String,
    /// The time from which on the feature counts as not assigned.
    pub expiry_date: Option<DateTime<Utc>>,
    /// The terms of its slots, if it floats.
    pub floating: Option<Floating>,
    /// Its limits, if it is of type consumption.
    pub consumption: Option<Consumption>,
    /// Values that are passed through to the host program.
    pub metadata: Map<String, Value>,
}

/// The type of a license.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LicenseType {
    /// Valid without end.
    Perpetual,
    /// Valid until `validity_period`.
    TimeLimited,
    /// Valid until `validity_period`, and for the grace period after it.
    Subscription,
    /// Consumed by amounts.
    Consumption,
}

/// The holder of a license: a key or users.
#[derive(Debug)]
pub enum Holder {
    /// Every client that knows this key.
    Key(String),
    /// One of these users.
    Users(Vec<Arc<User>>),
}

/// A license.
#[derive(Debug)]
pub struct License {
    /// The license's number, which never changes.
    pub id: u64,
    /// The product that it is for.
    pub product: Arc<Product>,
    /// The holder.
    pub holder: Holder,
    /// The type.
    pub license_type: LicenseType,
    /// True if it is active.
    pub active: bool,
    /// True if it is enabled.
    pub enabled: bool,
    /// True if it is a trial.
    pub is_trial: bool,
    /// The time before which it is not valid.
    pub start_date: Option<DateTime<Utc>>,
    /// The time from which on it is not valid.
    pub validity_period: Option<DateTime<Utc>>,
    /// The time until which new versions are included.
    pub maintenance_period: Option<DateTime<Utc>>,
    /// Time for which a subscription remains valid after `validity_period`.
    pub grace_period_hours: u32,
    /// Largest number of devices that may be active at a time.
    pub max_activations: u64,
    /// True if any number of devices may be active.
    pub allow_unlimited_activations: bool,
    /// Largest number of moves to another device; 0 for no limit.
    pub max_transfers: u64,
    /// True if it refuses virtual machines.
    pub prevent_vm: bool,
    /// The number of its order in the vendor's shop.
    pub order_store_id: String,
    /// The terms of its slots, if it floats.
    pub floating: Option<Floating>,
    /// Its limits, if it is of type consumption.
    pub consumption: Option<Consumption>,
    /// The features that it grants.
    pub features: Vec<Arc<Feature>>,
    /// The customer who bought it.
    pub customer: Arc<Customer>,
    /// Values that are passed through to the host program.
    pub custom_fields: Vec<CustomField>,
    /// Values that are passed through to the host program.
    pub metadata: Map<String, Value>,
}

/// A field that the vendor has attached to a license.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CustomField {
    /// The field's name.
    pub name: String,
    /// `number`, `text` or `date/time`, if given.
    pub data_type: Option<String>,
    /// The field's value, as a text.
    pub value: String,
}

/// A user of user-based licenses.
#[derive(Debug)]
pub struct User {
    /// The user's number, which never changes.
    pub id: u64,
    /// The name, by which requests name the user.
    pub username: String,
    /// The e-mail address.
    pub email: String,
    /// The first name.
    pub first_name: String,
    /// The last name.
    pub last_name: String,
    /// The phone number.
    pub phone_number: String,
    /// True if the user has not chosen the password.
    pub is_initial_password: bool,
    /// Largest number of devices that the user may have active at a time.
    pub max_activations: u64,
    /// True if the user may have any number of devices active.
    pub allow_unlimited_activations: bool,
    pub(super) password: String,
}

/// The customer who bought a license. Replies hold it as the license's `customer`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Customer {
    /// The e-mail address, by which licenses name the customer.
    pub email: String,
    /// The company's name.
    pub company_name: String,
    /// The vendor's own reference.
    pub reference: String,
    /// The phone number.
    pub phone: String,
    /// The first name.
    pub first_name: String,
    /// The last name.
    pub last_name: String,
    /// The city.
    pub city: String,
    /// The postcode.
    pub postcode: String,
    /// The state.
    pub state: String,
    /// The country.
    pub country: String,
    /// The address.
    pub address: String,
    /// The organisation whose single sign-on the customer's users sign in with.
    pub customer_account: Option<AccountLabel>,
    /// Values that are passed through to the host program.
    pub metadata: Map<String, Value>,
}

/// A customer account as replies show it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "CustomerAccount")]
pub struct AccountLabel {
    /// The account's number, which never changes.
    pub id: u64,
    /// The name for people.
    pub name: String,
    /// The code, by which requests name the account.
    pub code: String,
}

/// An organisation with single sign-on. The catalogue lists its tokens, in place of an identity provider.
#[derive(Debug)]
pub struct CustomerAccount {
    /// The account as replies show it.
    pub label: AccountLabel,
    /// User names by access token.
    pub id_tokens: HashMap<String, String>,
    /// User names by authorization code.
    pub codes: HashMap<String, String>,
}

impl OauthClient {
    /// Returns whether the client has proven itself by this secret. `now` is license time.
    pub fn accepts(&self, secret: &str, now: DateTime<Utc>) -> bool {
        let given = SecretDigest::of(secret);
        let previous = self.previous_secret.filter(|(_, until)| now < *until);
        // Both are compared in any case, so that the time does not tell which one it was.
        let is_current = self.secret.equals(&given);
        let is_previous = previous.is_some_and(|(previous, _)| previous.equals(&given));
        !self.revoked && (is_current || is_previous)
    }
}

impl OauthScope {
    /// Returns the beginning of the names of such clients.
    pub fn prefix(self) -> &'static str {
        match self {
            OauthScope::Company => "auth-company-",
            OauthScope::CustomerAccount => "auth-customeraccount-",
            OauthScope::Customer => "auth-customer-",
            OauthScope::License => "auth-license-",
        }
    }
}

impl SecretDigest {
    /// Makes the digest of a secret.
    pub fn of(secret: &str) -> SecretDigest {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        SecretDigest(bytes)
    }

    /// Compares in a time that does not depend on where the two differ.
    fn equals(&self, other: &SecretDigest) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest")
    }
}

impl Floating {
    /// Returns the time after which a slot is free if its device has not checked the license.
    pub fn timeout(&self) -> TimeDelta {
        TimeDelta::minutes(self.timeout_minutes.into())
    }

    /// Returns the longest time for which a slot may be borrowed.
    pub fn max_borrow_time(&self) -> TimeDelta {
        TimeDelta::hours(self.max_borrow_time_hours.into())
    }
}

impl License {
    /// Returns the feature with this code, even if it has expired.
    pub fn feature(&self, code: &str) -> Option<&Arc<Feature>> {
        self.features.iter().find(|feature| &*feature.code == code)
    }

    /// Returns the overages that the catalogue allows.
    pub fn overages(&self) -> Overages {
        self.consumption.map(|consumption| consumption.overages).unwrap_or_default()
    }

    /// Returns the license's key, or its first user.
    pub fn name(&self) -> &str {
        match &self.holder {
            Holder::Key(key) => key,
            Holder::Users(users) => users.first().map_or("", |user| &user.username),
        }
    }

    /// Returns the user of this name, if the license has one.
    pub fn user(&self, username: &str) -> Option<&Arc<User>> {
        match &self.holder {
            Holder::Key(_) => None,
            Holder::Users(users) => users.iter().find(|user| user.username == username),
        }
    }

    /// Returns the time at which the license expires.
    ///
    /// A subscription has its grace period on top. A perpetual license never expires, even if it has a `validity_period`.
    pub fn ends_at(&self) -> Option<DateTime<Utc>> {
        let grace_hours = match self.license_type {
            LicenseType::Perpetual => return None,
            LicenseType::Subscription => self.grace_period_hours,
            LicenseType::TimeLimited | LicenseType::Consumption => 0,
        };
        self.validity_period.map(|end| end + TimeDelta::hours(grace_hours.into()))
    }

    /// Returns whether the license has expired.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.ends_at().is_some_and(|end| now >= end)
    }
}

impl fmt::Display for Overages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "allow_overages = {}, max_overages = {}", self.allowed, self.max)
    }
}

impl Feature {
    /// Returns whether the feature has expired.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expiry_date.is_some_and(|end| now >= end)
    }
}

impl User {
    /// Returns the password. Only the sandbox uses this, to tell testers.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// Returns whether this is the user's password, in a time that does not depend on where the two differ.
    pub fn has_password(&self, password: &str) -> bool {
        verify_slices_are_equal(self.password.as_bytes(), password.as_bytes()).is_ok()
    }
}
