//! Reads consumption, and the pools from which several licenses or features consume.

use std::collections::HashMap;
use std::sync::Arc;

use super::reader::{Reader, References, unknown_name};
use crate::catalogue::entry::Entry;
use crate::catalogue::types::{Consumption, ConsumptionPool, CustomerAccount, License, Overages, PoolKind};

impl<'n> Reader<'n> {
    pub(super) fn consumption_pool(
        &mut self,
        entry: &mut Entry<'_>,
        accounts: &HashMap<String, CustomerAccount>,
    ) -> (String, Arc<ConsumptionPool>) {
        let name = entry.name("name");
        let customer_account: String = entry.required("customer_account");
        if !accounts.contains_key(&customer_account) {
            entry.report(unknown_name("customer_account", &customer_account, "customer_account"));
        }
        let kind = entry.optional("kind").unwrap_or_else(|| {
            entry.report("`kind` is missing or invalid: give it \"license\" or \"feature\"");
            PoolKind::License
        });
        let default_reservation = entry.or("default_reservation", 0);
        if default_reservation < 0 {
            entry.report("`default_reservation` must not be negative");
        }
        let id = self.id(entry, &["consumption_pool", &name]);
        // What a member gives back goes into the pool too, so the member's rule decides.
        let terms = Consumption { allow_negative: true, ..limits(entry) };
        (name.clone(), Arc::new(ConsumptionPool { id, name, customer_account, kind, terms, default_reservation }))
    }
}

/// Reads the terms of consumption of a license or feature.
pub(super) fn consumption(entry: &mut Entry<'_>, references: &References, kind: PoolKind) -> Option<Consumption> {
    let mut entry = entry.table("consumption")?;
    let allow_negative = entry.or("allow_negative_consumptions", false);
    let pool_id = entry.optional::<String>("pool").and_then(|name| match references.pools.get(&name) {
        Some(pool) if pool.kind == kind => Some(pool.id),
        Some(pool) => {
            entry.report(format!("`pool` names {name:?}, whose members are of the kind {:?}", pool.kind.as_str()));
            None
        }
        None => {
            entry.report(unknown_name("pool", &name, "consumption_pool"));
            None
        }
    });
    let consumption = Consumption { allow_negative, pool_id, ..limits(&mut entry) };
    entry.finish();
    Some(consumption)
}

/// Checks that the license may be a member of its pools.
pub(super) fn check_pools(entry: &Entry<'_>, license: &License, references: &References) {
    let account = license.customer.customer_account.as_ref().map(|account| account.code.as_str());
    let of_features = license.features.iter().filter_map(|feature| feature.consumption);
    for id in license.consumption.into_iter().chain(of_features).filter_map(|consumption| consumption.pool_id) {
        let pool = references.pools.values().find(|pool| pool.id == id);
        if let Some(pool) = pool.filter(|pool| Some(pool.customer_account.as_str()) != account) {
            entry.report(format!(
                "`pool` names {:?}, which is shared by the customers of the account {:?}: give the license such a customer",
                pool.name, pool.customer_account
            ));
        }
    }
}

/// Reads the limit of a total, and when the total starts again.
fn limits(entry: &mut Entry<'_>) -> Consumption {
    let unlimited = entry.or("allow_unlimited_consumptions", false);
    let limits = Consumption {
        unlimited,
        max: if unlimited { entry.or("max_consumptions", 0) } else { entry.required("max_consumptions") },
        allow_negative: false,
        overages: Overages { allowed: entry.or("allow_overages", false), max: entry.or("max_overages", 0) },
        period: entry.optional("consumption_period"),
        pool_id: None,
    };
    if limits.max < 0 || limits.overages.max < 0 {
        entry.report("`max_consumptions` and `max_overages` must not be negative");
    }
    limits
}
