//! The facts that a client of a world needs: URLs, keys, and names to try.

use serde_json::{Map, Value};

use crate::catalogue::{Catalogue, Holder, License, Password};

/// The URLs and keys of a world, and names from its catalogue to try.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    facts: Vec<(&'static str, String)>,
    /// True if API keys are refused.
    oauth_only: bool,
}

/// Names of the facts that make up a client's configuration.
const CONFIG: [&str; 10] = [
    "product",
    "license_key",
    "username",
    "password",
    "api_key",
    "shared_key",
    "client_id",
    "client_secret",
    "base_url",
    "public_key",
];

impl ConnectionInfo {
    /// The names of all facts.
    pub const NAMES: [&str; 15] = [
        "base_url",
        "api_key",
        "shared_key",
        "client_id",
        "client_secret",
        "public_key",
        "control_url",
        "product",
        "license_key",
        "feature",
        "consumption_license_key",
        "consumption_feature",
        "username",
        "password",
        "user_product",
    ];

    pub(super) fn new(facts: Vec<(&'static str, String)>, catalogue: &Catalogue) -> ConnectionInfo {
        let oauth_only = catalogue.oauth_only;
        ConnectionInfo { facts: facts.into_iter().chain(examples(catalogue)).collect(), oauth_only }
    }

    /// Returns the fact of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.facts().find(|fact| fact.0 == name).map(|fact| fact.1)
    }

    /// Returns all facts with their names. `demo` prints them, and `exec` exports them.
    pub fn facts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.facts.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Returns all facts as a JSON object.
    pub fn to_json(&self) -> Map<String, Value> {
        self.facts().map(|(name, value)| (name.to_owned(), value.into())).collect()
    }

    /// Returns a client's configuration, with the first license key, or the first user if no license has a key. It has the
    /// API key, or the OAuth client if API keys are refused.
    pub fn client_config(&self) -> Map<String, Value> {
        let by_key = self.get("license_key").is_some();
        let unused = if self.oauth_only { ["api_key", "shared_key"] } else { ["client_id", "client_secret"] };
        let wanted = CONFIG.into_iter().filter(|name| !by_key || !["username", "password"].contains(name));
        let wanted = wanted.filter(|name| !unused.contains(name));
        wanted.filter_map(|name| Some((name.to_owned(), self.get(name)?.into()))).collect()
    }
}

/// Returns the names from the catalogue that a first example needs: the first of each kind.
fn examples(catalogue: &Catalogue) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut add = |name, value: Option<&str>| facts.extend(value.map(|value| (name, value.to_owned())));
    let key_based = |license: &&License| matches!(license.holder, Holder::Key(_));
    let licenses = || catalogue.licenses().iter().map(|license| license.as_ref());
    if let Some(first) = licenses().find(key_based) {
        add("product", Some(&first.product.code));
        add("license_key", Some(first.name()));
        add("feature", first.features.first().map(|feature| feature.code.as_ref()));
        let consumption = licenses().filter(key_based).find(|license| license.consumption.is_some());
        add("consumption_license_key", consumption.map(License::name));
        let consumption = first.features.iter().find(|feature| feature.consumption.is_some());
        add("consumption_feature", consumption.map(|feature| feature.code.as_ref()));
    }
    if let Some(license) = licenses().find(|license| !key_based(license))
        && let Some(user) = license.user(license.name())
    {
        if licenses().all(|license| !key_based(&license)) {
            add("product", Some(&license.product.code));
        }
        add("username", Some(&user.username));
        let plain = |password: &Password| match password {
            Password::Plain(text) => Some(text.clone()),
            Password::Hash(_) => None,
        };
        let password = user.password.as_ref().and_then(plain);
        add("password", password.as_deref());
        add("user_product", Some(&license.product.code));
    }
    facts
}
