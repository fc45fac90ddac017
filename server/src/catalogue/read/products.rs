//! Reads products: their versions, fields and trials, and bundles of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::reader::{Reader, References, TrialEntry, derived_id, unknown_name};
use crate::catalogue::entry::Entry;
use crate::catalogue::index::ProductLicenses;
use crate::catalogue::types::{
    AuthorizationMethod, Bundle, Environment, Holder, License, LicenseType, Product, ProductField, ProductStatus,
    TrialPolicy, Version,
};

const DEFAULT_FLOATING_TIMEOUT_MINUTES: u32 = 120;
/// Number of trials of a policy that names none, because anyone with an API key can ask for trials.
const DEFAULT_MAX_TRIALS: u64 = 10_000;
/// Upper bound for a trial, so that no date overflows.
const MAX_TRIAL_DAYS: u32 = 3650;

impl<'n> Reader<'n> {
    pub(super) fn product(&mut self, entry: &mut Entry<'n>) -> (String, Arc<Product>) {
        let code = entry.name("code");
        let trial_days = self.trials(entry, &code);
        let product = Product {
            id: self.id(entry, &["product", &code]),
            name: entry.or("name", code.clone()),
            authorization_method: entry.or("authorization_method", AuthorizationMethod::LicenseKey),
            status: entry.or("status", ProductStatus::Enabled),
            floating_timeout_minutes: entry.or("floating_timeout_minutes", DEFAULT_FLOATING_TIMEOUT_MINUTES),
            prevent_vm: entry.or("prevent_vm", false),
            trial_days,
            versions: self.versions(entry, &code),
            custom_fields: self.product_fields(entry, &code),
            metadata: entry.optional("metadata").unwrap_or_default(),
            code: code.clone(),
        };
        (code, Arc::new(product))
    }

    /// Reads what is special about the terms of the product's trials. Returns the length of those that come first.
    pub(super) fn trials(&mut self, entry: &mut Entry<'n>, product: &str) -> Option<u32> {
        let mut first = None;
        for mut entry in entry.tables("trial", "policy") {
            let days: u32 = entry.required("days");
            if !(1..=MAX_TRIAL_DAYS).contains(&days) {
                entry.report(format!("`days` must be from 1 to {MAX_TRIAL_DAYS}"));
            }
            let policy = entry.or("policy", String::new());
            if self.trial_entries.iter().any(|(code, other)| code == product && other.policy == policy) {
                entry.report("is given twice; remove one, or give it a `policy` of its own");
            }
            let (closed, email_required) = (entry.or("closed", false), entry.or("email_required", false));
            first = first.or((!closed).then_some(days));
            let max_trials = entry.or("max_trials", DEFAULT_MAX_TRIALS);
            let trial = TrialEntry { policy, days, closed, email_required, max_trials, entry };
            self.trial_entries.push((product.to_owned(), trial));
        }
        first
    }

    /// Reads the terms of trials that licenses have too.
    pub(super) fn trial_policy(
        &mut self,
        code: &str,
        trial: TrialEntry<'_>,
        references: &References,
        products: &mut HashMap<String, ProductLicenses>,
    ) {
        let TrialEntry { policy, days, closed, email_required, max_trials, mut entry } = trial;
        let Some(product) = references.products.get(code) else { return };
        entry.title = format!("product {code:?}, {}", entry.title);
        if product.authorization_method == AuthorizationMethod::User {
            entry.report("trials are for products whose licenses are named by a key");
        }
        let id = derived_id(&["trial_policy", code, &policy]);
        let terms = self.terms(&mut entry, product, references, id, Holder::Key(String::new()));
        let terms = License { is_trial: true, trial_days: days, license_type: trial_type(&terms), ..terms };
        entry.finish();
        if let Some(product) = products.get_mut(code) {
            product.trial_policies.push(TrialPolicy { policy, days, closed, email_required, max_trials, terms });
        }
    }

    /// Reads the product's releases, sorted by their dates; or its `version` alone, without a file.
    pub(super) fn versions(&mut self, entry: &mut Entry<'_>, product: &str) -> Vec<Arc<Version>> {
        let releases = entry.tables("release", "version");
        let newest: Option<String> = entry.optional("version");
        if newest.is_some() && !releases.is_empty() {
            entry.report("`version` and `release` exclude each other: the newest release is the newest version");
        }
        let mut versions: Vec<Version> = Vec::new();
        for mut release in releases {
            let version = self.release(&mut release, product);
            if versions.iter().any(|other| other.is_same_release(&version)) {
                release.report("is given twice for its `environment` and `channel`; remove one");
            }
            versions.push(version);
            release.finish();
        }
        if let Some(newest) = newest.filter(|newest| !newest.is_empty()) {
            versions.push(Version { version: newest, ..Version::without_file(derived_id(&["version", product])) });
        }
        versions.sort_by_key(|version| version.release_date);
        versions.into_iter().map(Arc::new).collect()
    }

    pub(super) fn release(&mut self, entry: &mut Entry<'_>, product: &str) -> Version {
        let version = entry.name("version");
        let (environment, channel) = (entry.optional::<Environment>("environment"), entry.or("channel", String::new()));
        let parts = ["release", product, &version, environment.map_or("", Environment::as_str), &channel];
        let release_date = entry.optional("release_date");
        if release_date.is_none() {
            entry.report("`release_date` is missing or invalid: it decides which release is the newest");
        }
        Version {
            id: self.id(entry, &parts),
            version,
            release_date,
            environment,
            channel,
            installation_file: entry.required("installation_file"),
            hash_md5: entry.or("hash_md5", String::new()),
            size: entry.optional("size"),
            requires_version: entry.optional("requires_version"),
            eula_link: entry.or("eula_link", String::new()),
            release_notes_link: entry.or("release_notes_link", String::new()),
        }
    }

    pub(super) fn product_fields(&mut self, entry: &mut Entry<'_>, product: &str) -> Vec<ProductField> {
        let mut fields: Vec<ProductField> = Vec::new();
        for mut entry in entry.tables("custom_field", "name") {
            let name = entry.name("name");
            if fields.iter().any(|other| other.name == name) {
                entry.report("is given twice; remove one");
                continue;
            }
            let id = self.id(&mut entry, &["product_field", product, &name]);
            fields.push(ProductField { id, name, default_value: entry.or("default_value", String::new()) });
            entry.finish();
        }
        fields
    }
}

pub(super) fn bundle(entry: &mut Entry<'_>, products: &HashMap<String, Arc<Product>>) -> (String, Bundle) {
    let code = entry.name("code");
    let members: Vec<String> = entry.required("products");
    if products.contains_key(&code) {
        entry.report("has the `code` of a product; give it one of its own");
    }
    if members.iter().collect::<HashSet<_>>().len() < members.len() {
        entry.report("`products` names a product twice; remove one");
    }
    if members.is_empty() {
        entry.report("`products` is empty: name at least one product");
    }
    for unknown in members.iter().filter(|product| !products.contains_key(*product)) {
        entry.report(unknown_name("products", unknown, "product"));
    }
    (code.clone(), Bundle { code, products: members })
}

/// Returns the type of a trial's license: it ends in any case.
fn trial_type(terms: &License) -> LicenseType {
    if terms.consumption.is_some() { LicenseType::Consumption } else { LicenseType::TimeLimited }
}
