//! Consumption pools: what is left of a quota that several licenses or features share, and what devices have reserved.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::change::Change;
use super::entitlement::EntitlementId;
use super::refusal::Refusal;
use super::reservation::Reservation;
use super::state::{State, Transition};
use super::view::PoolTotal;
use crate::catalogue::{Consumption, ConsumptionPool, Feature, License, MAX_SAFE_INTEGER, Overages};

/// What is consumed from: a license or a feature, with its terms and limit.
pub(super) struct Quota<'l> {
    pub(super) license: &'l License,
    pub(super) feature: Option<&'l Feature>,
    pub(super) terms: &'l Consumption,
    /// The largest allowed total; `None` if there is no limit.
    pub(super) limit: Option<i64>,
}

impl<'l> Quota<'l> {
    pub(super) fn of_license(license: &'l License, overages: Overages) -> Result<Quota<'l>, Refusal> {
        let terms = license.consumption.as_ref().ok_or(Refusal::LicenseNotConsumption)?;
        // A license that allows overages without an upper bound has no limit.
        let unlimited = overages.allowed && overages.max == 0;
        let limit = if unlimited { None } else { limit(terms, overages) };
        Ok(Quota { license, feature: None, terms, limit })
    }

    pub(super) fn of_feature(license: &'l License, feature: &'l Feature) -> Result<Quota<'l>, Refusal> {
        let terms = feature.consumption.as_ref().ok_or(Refusal::UnsupportedProductFeature)?;
        Ok(Quota { license, feature: Some(feature), terms, limit: limit(terms, terms.overages) })
    }

    pub(super) fn entitlement(&self) -> EntitlementId {
        EntitlementId::of(self.license, self.feature)
    }

    /// Returns the refusal of an amount that is too large, for the quota or for its pool.
    pub(super) fn too_few(&self) -> Refusal {
        match self.feature {
            None => Refusal::LicenseNotEnoughConsumptions,
            Some(_) => Refusal::FeatureNotEnoughConsumptions,
        }
    }
}

impl State {
    /// Returns the pool that is consumed from too, as the device sees it; `None` if there is none.
    pub(super) fn pool_total(
        &self,
        entitlement: EntitlementId,
        terms: &Consumption,
        device_id: u64,
        now: DateTime<Utc>,
    ) -> Option<PoolTotal> {
        let pool = Arc::clone(self.catalogue.consumption_pool(terms.pool_id?)?);
        let total = self.total(EntitlementId::of_pool(&pool), &pool.terms, now);
        let reserved = self.reserved(entitlement, device_id, now).filter(|(of_pool, _)| of_pool.id == pool.id);
        Some(PoolTotal { pool, total, reserved: reserved.map_or(0, |(_, units)| units) })
    }

    /// Returns what the device has reserved for a member, and of which pool. An edit of the catalogue may have moved the
    /// member to another pool since.
    fn reserved(
        &self,
        entitlement: EntitlementId,
        device_id: u64,
        now: DateTime<Utc>,
    ) -> Option<(Arc<ConsumptionPool>, i64)> {
        let reservation = self.reservations.get(&(entitlement, device_id))?;
        let pool = Arc::clone(self.catalogue.consumption_pool(reservation.pool_id)?);
        // After the start of a new period, a reservation of the last one is part of no total.
        let begins_at = pool.terms.period.map(|period| period.start(now));
        let counts = begins_at.is_none_or(|begins_at| reservation.at >= begins_at);
        Some((pool, if counts { reservation.units } else { 0 }))
    }
}

impl Transition<'_> {
    /// Returns the pool after the device has consumed an amount, of its reservation first, or refuses the amount.
    ///
    /// `pending` is by how much the same request changes the pool's total otherwise.
    pub(super) fn pool_after(
        &self,
        quota: &Quota<'_>,
        device_id: u64,
        amount: i64,
        pending: i64,
    ) -> Result<Option<PoolTotal>, Refusal> {
        let Some(before) = self.state.pool_total(quota.entitlement(), quota.terms, device_id, self.now) else {
            return Ok(None);
        };
        let more = (amount - before.reserved).saturating_add(pending);
        let total = before.total.saturating_add(more);
        let limit = limit(&before.pool.terms, before.pool.terms.overages);
        let is_beyond = more > 0 && limit.is_some_and(|limit| total > limit);
        if is_beyond || total.unsigned_abs() > MAX_SAFE_INTEGER {
            return Err(quota.too_few());
        }
        Ok(Some(PoolTotal { total, reserved: 0, ..before }))
    }

    /// Keeps the total of a pool, with which the device's reservation is settled.
    pub(super) fn settle(&mut self, entitlement: EntitlementId, device_id: u64, after: &PoolTotal) {
        // What was reserved of the present pool is part of the total, but not what was reserved of an earlier one.
        let earlier = self.state.reserved(entitlement, device_id, self.now);
        if earlier.is_some_and(|(pool, _)| pool.id != after.pool.id) {
            self.give_back(entitlement, device_id);
        }
        self.record_pool(&after.pool, after.total);
        self.end_reservation(entitlement, device_id);
    }

    fn record_pool(&mut self, pool: &ConsumptionPool, total: i64) {
        let entitlement = EntitlementId::of_pool(pool);
        let counter = self.state.counter_after(entitlement, &pool.terms, total, self.now);
        self.record(Change::Consumed { entitlement, counter });
    }

    fn end_reservation(&mut self, entitlement: EntitlementId, device_id: u64) {
        if self.state.reservations.contains_key(&(entitlement, device_id)) {
            self.record(Change::Reserved { entitlement, device_id, reservation: None });
        }
    }

    /// Gives back what the device has reserved for a member, to the pool that it was reserved of.
    pub(super) fn give_back(&mut self, entitlement: EntitlementId, device_id: u64) {
        if let Some((pool, units)) = self.state.reserved(entitlement, device_id, self.now) {
            let total = self.state.total(EntitlementId::of_pool(&pool), &pool.terms, self.now);
            self.record_pool(&pool, total - units);
        }
        self.end_reservation(entitlement, device_id);
    }

    /// Returns the units that an offline activation reserves for each member of a pool, or refuses them: as many as it
    /// asks for, else the member's own limit, else the pool's default.
    pub(super) fn reservations(
        &self,
        license: &License,
        device_id: Option<u64>,
        wanted: Option<i64>,
    ) -> Result<Vec<(EntitlementId, PoolTotal)>, Refusal> {
        let mut pending = self.given_back(license, device_id.unwrap_or_default());
        let mut reservations = Vec::new();
        for quota in self.quotas(license) {
            let device_id = device_id.unwrap_or_default();
            let Some(pool) = self.state.pool_total(quota.entitlement(), quota.terms, device_id, self.now) else {
                continue;
            };
            let units = wanted.or(quota.limit).unwrap_or(pool.pool.default_reservation);
            let of_pool = pending.entry(pool.pool.id).or_default();
            let after = self.pool_after(&quota, device_id, units, *of_pool + pool.reserved)?;
            *of_pool += units;
            reservations.extend(after.map(|after| (quota.entitlement(), PoolTotal { reserved: units, ..after })));
        }
        Ok(reservations)
    }

    /// Reserves units for a device, in place of those that it has reserved before.
    pub(super) fn reserve(&mut self, license: &License, device_id: u64, reservations: Vec<(EntitlementId, PoolTotal)>) {
        self.give_back_reservations(license, device_id);
        for (entitlement, after) in reservations {
            let (pool_id, units) = (after.pool.id, after.reserved);
            self.settle(entitlement, device_id, &after);
            if units > 0 {
                let reservation = Some(Reservation { pool_id, units, at: self.now });
                self.record(Change::Reserved { entitlement, device_id, reservation });
            }
        }
    }

    /// Returns by how much the total of each pool changes once the device's reservations are given back.
    pub(super) fn given_back(&self, license: &License, device_id: u64) -> HashMap<u64, i64> {
        let mut changes = HashMap::new();
        for entitlement in entitlements(license) {
            if let Some((pool, units)) = self.state.reserved(entitlement, device_id, self.now) {
                *changes.entry(pool.id).or_default() -= units;
            }
        }
        changes
    }

    /// Gives back what the device has reserved of pools and not consumed.
    pub(super) fn give_back_reservations(&mut self, license: &License, device_id: u64) {
        for entitlement in entitlements(license) {
            self.give_back(entitlement, device_id);
        }
    }

    /// Returns all that is consumed from a license: itself, and its features.
    fn quotas<'l>(&self, license: &'l License) -> Vec<Quota<'l>> {
        let of_license = Quota::of_license(license, self.state.overages(license)).ok();
        let of_features = license.features.iter().filter_map(|feature| Quota::of_feature(license, feature).ok());
        of_license.into_iter().chain(of_features).collect()
    }
}

/// Returns the license and its features, also those that may no longer be consumed from.
fn entitlements(license: &License) -> impl Iterator<Item = EntitlementId> {
    let of_features = license.features.iter().map(|feature| EntitlementId::of(license, Some(feature)));
    std::iter::once(EntitlementId::of(license, None)).chain(of_features)
}

/// Returns the largest allowed total; `None` if there is no limit.
fn limit(consumption: &Consumption, overages: Overages) -> Option<i64> {
    let extra = if overages.allowed { overages.max } else { 0 };
    (!consumption.unlimited).then(|| consumption.max.saturating_add(extra))
}
