//! What a catalogue is made of: products, licenses, features, users, customers.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::password::Password;
use super::single_sign_on::SingleSignOn;

/// Longest text in a request, except for tokens. Names and keys are short, and stored texts must not grow without end.
pub(crate) const LONGEST_TEXT_BYTES: usize = 1024;
/// Longest token of an identity provider.
pub(crate) const LONGEST_TOKEN_BYTES: usize = 16 * 1024;

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
    /// The length of the trial that clients get without naming a policy; `None` if there is none.
    pub trial_days: Option<u32>,
    /// The versions that can be installed, the newest last.
    pub versions: Vec<Arc<Version>>,
    /// Fields that its licenses may have, with their defaults.
    pub custom_fields: Vec<ProductField>,
    /// Values that are passed through to the host program.
    pub metadata: Map<String, Value>,
}

/// A version of a product, for one operating system and one channel.
#[derive(Debug)]
pub struct Version {
    /// The version's number, which never changes.
    pub id: u64,
    /// The version's name, such as `2.1.0`.
    pub version: String,
    /// The time of its release. `None` if only its name is known.
    pub release_date: Option<DateTime<Utc>>,
    /// The operating system that it runs on; `None` for any.
    pub environment: Option<Environment>,
    /// The channel that it is published in; empty for the one that clients get without asking for another.
    pub channel: String,
    /// The file's address. This server hosts no files.
    pub installation_file: String,
    /// The file's MD5 digest in hexadecimal digits.
    pub hash_md5: String,
    /// The file's size in bytes.
    pub size: Option<u64>,
    /// The version that must be installed before.
    pub requires_version: Option<String>,
    /// The address of the license agreement.
    pub eula_link: String,
    /// The address of the release notes.
    pub release_notes_link: String,
}

/// The operating systems that versions are made for, by the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Windows.
    Win,
    /// Windows of 32 bits.
    Win32,
    /// Windows of 64 bits.
    Win64,
    /// macOS.
    Mac,
    /// Linux.
    Linux,
    /// Linux of 32 bits.
    Linux32,
    /// Linux of 64 bits.
    Linux64,
}

/// The versions that a client asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionFilter {
    /// The operating system; `None` for all.
    pub environment: Option<String>,
    /// The channel; `None` for the versions that are in none.
    pub channel: Option<String>,
}

/// A field that a product's licenses may have.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProductField")]
pub struct ProductField {
    /// The field's number, which never changes.
    pub id: u64,
    /// The field's name.
    pub name: String,
    /// The value of licenses that have none of their own.
    pub default_value: String,
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
    /// The number of the pool that is consumed from too; `None` if there is none.
    pub pool_id: Option<u64>,
}

/// The kind of a pool's members, which are all of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolKind {
    /// Licenses of type consumption.
    License,
    /// Features of type consumption.
    Feature,
}

/// A quota that the consumption licenses, or the consumption features, of a customer account share.
#[derive(Debug)]
pub struct ConsumptionPool {
    /// The pool's number, which never changes.
    pub id: u64,
    /// The name, by which the catalogue's licenses and features name the pool.
    pub name: String,
    /// The code of the customer account whose licenses may be members.
    pub customer_account: String,
    /// The kind of its members.
    pub kind: PoolKind,
    /// The shared limit.
    pub terms: Consumption,
    /// What an offline activation reserves for a member without a limit of its own.
    pub default_reservation: i64,
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
#[derive(Debug, Clone)]
pub enum Holder {
    /// Every client that knows this key.
    Key(String),
    /// One of these users.
    Users(Vec<Arc<User>>),
}

/// A license.
#[derive(Debug, Clone)]
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
    /// The length of the trial.
    pub trial_days: u32,
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
    /// True if a device without a network may be activated by a file.
    pub allow_offline_activation: bool,
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

/// Products whose licenses are activated, checked and deactivated together.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The code, by which requests name the bundle in place of a product.
    pub code: String,
    /// The short codes of its products.
    pub products: Vec<String>,
}

/// The terms of trials, which clients get by asking for one.
#[derive(Debug, Clone)]
pub struct TrialPolicy {
    /// The name, by which requests choose among several policies.
    pub policy: String,
    /// The length of a trial.
    pub days: u32,
    /// True if no further device gets a trial. Those that have one keep it.
    pub closed: bool,
    /// True if a request must name an e-mail address.
    pub email_required: bool,
    /// Largest number of trials that are given by this policy.
    pub max_trials: u64,
    /// The license that trials are copies of. Its number, key and customer are those of no trial.
    pub(super) terms: License,
}

/// A trial that was given to a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The number of its license.
    pub license_id: u64,
    /// The product's short code.
    pub product: String,
    /// The name of its policy.
    pub policy: String,
    /// The device that has asked for it.
    pub hardware_id: String,
    /// The key of its license.
    pub license_key: String,
    /// The time at which it was given.
    pub issued_at: DateTime<Utc>,
    /// The time at which it ends.
    pub ends_at: DateTime<Utc>,
    /// The person who has asked for it, as far as the request said.
    pub customer: Customer,
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
    /// True if the user may change the password.
    pub may_change_password: bool,
    /// Largest number of devices that the user may have active at a time.
    pub max_activations: u64,
    /// True if the user may have any number of devices active.
    pub allow_unlimited_activations: bool,
    /// The password; `None` for a user who comes by single sign-on alone.
    pub password: Option<Password>,
}

/// The customer who bought a license. Replies hold it as the license's `customer`.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CustomerAccount")]
pub struct AccountLabel {
    /// The account's number, which never changes.
    pub id: u64,
    /// The name for people.
    pub name: String,
    /// The code, by which requests name the account.
    pub code: String,
}

/// An organisation with single sign-on.
#[derive(Debug, Clone)]
pub struct CustomerAccount {
    /// The account as replies show it.
    pub label: AccountLabel,
    /// User names by access token. They stand in for an identity provider, in demonstrations and tests.
    pub id_tokens: HashMap<String, String>,
    /// User names by authorization code. They stand in for an identity provider, too.
    pub codes: HashMap<String, String>,
    /// The identity provider, if the account has one.
    pub sign_on: Option<SingleSignOn>,
}

impl Customer {
    /// Makes a customer of the texts that entries of the catalogue and requests for trials have, by their names.
    pub(crate) fn of_texts(mut text: impl FnMut(&'static str) -> String) -> Customer {
        Customer {
            company_name: text("company_name"),
            reference: text("reference"),
            phone: text("phone"),
            first_name: text("first_name"),
            last_name: text("last_name"),
            city: text("city"),
            postcode: text("postcode"),
            state: text("state"),
            country: text("country"),
            address: text("address"),
            ..Customer::default()
        }
    }
}

impl TrialPolicy {
    /// Makes the license of a trial.
    pub(super) fn license(&self, trial: &Trial) -> License {
        License {
            id: trial.license_id,
            holder: Holder::Key(trial.license_key.clone()),
            validity_period: Some(trial.ends_at),
            customer: Arc::new(trial.customer.clone()),
            ..self.terms.clone()
        }
    }
}

impl Product {
    /// Returns the versions that match, the newest first.
    pub fn versions(&self, wanted: &VersionFilter) -> impl Iterator<Item = &Arc<Version>> {
        self.versions.iter().rev().filter(|version| version.matches(wanted))
    }
}

impl Version {
    /// Makes a version of which only the name will be known.
    pub(super) fn without_file(id: u64) -> Version {
        Version {
            id,
            version: String::new(),
            release_date: None,
            environment: None,
            channel: String::new(),
            installation_file: String::new(),
            hash_md5: String::new(),
            size: None,
            requires_version: None,
            eula_link: String::new(),
            release_notes_link: String::new(),
        }
    }

    /// Returns true if clients could not tell the two apart.
    pub(super) fn is_same_release(&self, other: &Version) -> bool {
        let names = |version: &Version| (version.version.clone(), version.environment, version.channel.clone());
        names(self) == names(other)
    }

    fn matches(&self, wanted: &VersionFilter) -> bool {
        let runs_on = |environment: &String| self.environment.is_none_or(|own| own.as_str() == environment);
        wanted.environment.as_ref().is_none_or(runs_on) && self.channel == wanted.channel.as_deref().unwrap_or_default()
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

    /// Returns the license's users; none if it has a key.
    pub fn users(&self) -> &[Arc<User>] {
        match &self.holder {
            Holder::Key(_) => &[],
            Holder::Users(users) => users,
        }
    }

    /// Returns the user of this name, if the license has one.
    pub fn user(&self, username: &str) -> Option<&Arc<User>> {
        self.users().iter().find(|user| user.username == username)
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

    /// Returns the versions that match and that the license includes, the newest first. A version that was released after
    /// the maintenance period is not included.
    pub fn versions(&self, wanted: &VersionFilter) -> impl Iterator<Item = &Arc<Version>> {
        let maintained = |version: &&Arc<Version>| {
            self.maintenance_period.zip(version.release_date).is_none_or(|(end, released)| released <= end)
        };
        self.product.versions(wanted).filter(maintained)
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
