//! Reads licenses and their features.

use std::collections::HashMap;
use std::sync::Arc;

use super::pools::{check_pools, consumption};
use super::reader::{Reader, References, unknown_name};
use crate::catalogue::entry::Entry;
use crate::catalogue::index::ProductLicenses;
use crate::catalogue::types::{
    AuthorizationMethod, CustomField, Customer, Feature, Floating, Holder, License, LicenseType, PoolKind, Product,
    User,
};

/// Upper bound for a borrow: a hundred years, so that no date overflows.
const MAX_BORROW_TIME_HOURS: u32 = 876_600;

impl<'n> Reader<'n> {
    pub(super) fn license(
        &mut self,
        mut entry: Entry<'_>,
        references: &References,
        products: &mut HashMap<String, ProductLicenses>,
    ) {
        let code: String = entry.required("product");
        let Some(product) = references.products.get(&code) else {
            return entry.report(unknown_name("product", &code, "product"));
        };
        let Some((holder, name)) = holder(&mut entry, product, &references.users) else { return };
        if matches!(&holder, Holder::Users(users) if users.len() > 1) && !entry.has("id") {
            entry.report("`id` is missing: a license of several users needs a number, to stay the same when its first user leaves");
        }
        let id = self.id(&mut entry, &["license", &code, &name]);
        let license = self.terms(&mut entry, product, references, id, holder);
        check_license(&entry, &license);
        check_pools(&entry, &license, references);
        let license = Arc::new(license);
        self.licenses.push(Arc::clone(&license));
        if let Some(product) = products.get_mut(&code) {
            add_license(product, license, &entry);
        }
        entry.finish();
    }

    /// Reads all of a license but its name.
    pub(super) fn terms(
        &mut self,
        entry: &mut Entry<'_>,
        product: &Arc<Product>,
        references: &References,
        id: u64,
        holder: Holder,
    ) -> License {
        let floating = floating(entry, product);
        let consumption = consumption(entry, references, PoolKind::License);
        let license_type = entry
            .or("license_type", if consumption.is_some() { LicenseType::Consumption } else { LicenseType::Perpetual });
        License {
            id,
            product: Arc::clone(product),
            license_type,
            active: entry.or("active", true),
            enabled: entry.or("enabled", true),
            is_trial: entry.or("is_trial", false),
            trial_days: entry.optional("trial_days").or(product.trial_days).unwrap_or_default(),
            start_date: entry.optional("start_date"),
            validity_period: entry.optional("validity_period"),
            maintenance_period: entry.optional("maintenance_period"),
            grace_period_hours: entry.or("grace_period_hours", 0),
            max_activations: entry.or("max_activations", 1),
            allow_unlimited_activations: entry.or("allow_unlimited_activations", false),
            max_transfers: entry.or("max_transfers", 0),
            prevent_vm: entry.or("prevent_vm", product.prevent_vm),
            // The slots of a floating license and the end of a subscription are known to the server alone.
            allow_offline_activation: entry
                .or("allow_offline_activation", floating.is_none() && license_type != LicenseType::Subscription),
            order_store_id: entry.or("order_store_id", String::new()),
            customer: customer(entry, &references.customers),
            custom_fields: custom_fields(entry),
            metadata: entry.optional("metadata").unwrap_or_default(),
            features: self.features(entry, product, references, id),
            floating,
            consumption,
            holder,
        }
    }

    pub(super) fn features(
        &mut self,
        entry: &mut Entry<'_>,
        product: &Product,
        references: &References,
        license_id: u64,
    ) -> Vec<Arc<Feature>> {
        let title = entry.title.clone();
        let mut features: Vec<Arc<Feature>> = Vec::new();
        for mut entry in entry.tables("feature", "code") {
            entry.title = format!("{title}, {}", entry.title);
            let code = entry.name("code");
            if features.iter().any(|other| *other.code == *code) {
                entry.report("is given twice; remove one");
                continue;
            }
            features.push(Arc::new(Feature {
                id: self.id(&mut entry, &["feature", &license_id.to_string(), &code]),
                name: entry.or("name", code.clone()),
                expiry_date: entry.optional("expiry_date"),
                floating: floating(&mut entry, product),
                consumption: consumption(&mut entry, references, PoolKind::Feature),
                metadata: entry.optional("metadata").unwrap_or_default(),
                code: code.into(),
            }));
            entry.finish();
        }
        features
    }
}

/// Returns the holder of the license, and the name that the license's number is derived from.
fn holder(entry: &mut Entry<'_>, product: &Product, users: &HashMap<String, Arc<User>>) -> Option<(Holder, String)> {
    match product.authorization_method {
        AuthorizationMethod::LicenseKey => {
            let key = entry.name("license_key");
            Some((Holder::Key(key.clone()), key))
        }
        AuthorizationMethod::User => {
            let names: Vec<String> = entry.required("users");
            for unknown in names.iter().filter(|name| !users.contains_key(*name)) {
                entry.report(unknown_name("users", unknown, "user"));
            }
            let Some(first) = names.first().cloned() else {
                entry.report("`users` is empty: name at least one user");
                return None;
            };
            Some((Holder::Users(names.iter().filter_map(|name| users.get(name).cloned()).collect()), first))
        }
    }
}

fn floating(entry: &mut Entry<'_>, product: &Product) -> Option<Floating> {
    let mut entry = entry.table("floating")?;
    let floating = Floating {
        users: entry.required("users"),
        timeout_minutes: entry.or("timeout_minutes", product.floating_timeout_minutes),
        can_borrow: entry.or("can_borrow", false),
        max_borrow_time_hours: entry.or("max_borrow_time_hours", 0),
    };
    if floating.timeout_minutes == 0 {
        entry.report("`timeout_minutes` must be at least 1");
    }
    if floating.can_borrow && !(1..=MAX_BORROW_TIME_HOURS).contains(&floating.max_borrow_time_hours) {
        entry.report(format!(
            "`max_borrow_time_hours` must be from 1 to {MAX_BORROW_TIME_HOURS} where `can_borrow` is true"
        ));
    }
    entry.finish();
    Some(floating)
}

fn customer(entry: &mut Entry<'_>, customers: &HashMap<String, Arc<Customer>>) -> Arc<Customer> {
    let Some(email) = entry.optional::<String>("customer") else { return Arc::default() };
    customers.get(&email).cloned().unwrap_or_else(|| {
        entry.report(unknown_name("customer", &email, "customer"));
        Arc::default()
    })
}

fn custom_fields(entry: &mut Entry<'_>) -> Vec<CustomField> {
    let read = |mut entry: Entry<'_>| {
        let field = CustomField {
            name: entry.required("name"),
            data_type: entry.optional("data_type"),
            value: entry.required("value"),
        };
        entry.finish();
        field
    };
    entry.tables("custom_field", "name").into_iter().map(read).collect()
}

/// Checks what depends on several keys.
fn check_license(entry: &Entry<'_>, license: &License) {
    if license.allow_offline_activation
        && (license.floating.is_some() || license.license_type == LicenseType::Subscription)
    {
        entry.report(
            "`allow_offline_activation` is for licenses that neither float nor are subscriptions: a file can't be taken back",
        );
    }
    if (license.license_type == LicenseType::Consumption) != license.consumption.is_some() {
        entry.report("a license has a `consumption` table if, and only if, its `license_type` is \"consumption\"");
    }
    let slots = license.floating.as_ref().map_or(0, |floating| u64::from(floating.users));
    if slots > license.max_activations && !license.allow_unlimited_activations {
        entry.report(format!(
            "`floating` has {slots} users, but only {} devices may be activated: raise `max_activations`, or set \
             `allow_unlimited_activations = true`",
            license.max_activations
        ));
    }
    if license.license_type == LicenseType::TimeLimited && license.validity_period.is_none() {
        entry.report("`validity_period` is missing: a time-limited license needs an end");
    }
    if license.ends_at().zip(license.start_date).is_some_and(|(end, start)| end <= start) {
        entry.report("`validity_period` must be later than `start_date`");
    }
}

fn add_license(product: &mut ProductLicenses, license: Arc<License>, entry: &Entry<'_>) {
    match &license.holder {
        Holder::Key(key) => {
            if product.by_key.insert(key.clone(), Arc::clone(&license)).is_some() {
                entry.report("this `license_key` is given twice for its product; remove one");
            }
        }
        Holder::Users(users) => {
            for user in users {
                product.by_username.entry(user.username.clone()).or_default().push(Arc::clone(&license));
            }
        }
    }
}
