//! Consumption: books amounts within limits and overages.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::change::{Change, EventKind};
use super::command::{Action, Command};
use super::counter::Counter;
use super::entitlement::EntitlementId;
use super::overages::ClientOverages;
use super::refusal::Refusal;
use super::reply::{Outcome, Reply};
use super::state::{State, Transition};
use super::subject::Subject;
use super::used_keys::{BookedConsumption, RequestKey};
use crate::catalogue::{Consumption, Feature, License, MAX_SAFE_INTEGER, Overages};

/// An amount that is to be booked once.
pub(super) struct Booking {
    device_id: u64,
    amount: i64,
    /// The request's key, if the client has given one.
    key: Option<RequestKey>,
    /// True if the request changes the license's overages.
    sets_overages: bool,
}

impl Booking {
    pub(super) fn of(command: &Command, device_id: u64, amount: i64) -> Booking {
        let key = command.idempotency_key.clone().map(|key| RequestKey { device_id, value: key });
        let sets_overages = match command.action {
            Action::AddConsumption { allow_overages, max_overages, .. } => {
                allow_overages.is_some() || max_overages.is_some()
            }
            _ => false,
        };
        Booking { device_id, amount, key, sets_overages }
    }

    /// Makes the booking of a consumption that a request file holds. The file is carried out once, so it needs no key.
    pub(super) fn offline(device_id: u64, amount: i64) -> Booking {
        Booking { device_id, amount, key: None, sets_overages: false }
    }
}

impl State {
    /// Returns the total at `now`, which is 0 if a new period has begun since the last consumption.
    pub(super) fn total(&self, entitlement: EntitlementId, consumption: &Consumption, now: DateTime<Utc>) -> i64 {
        self.current_counter(entitlement, consumption, now).map_or(0, |counter| counter.total)
    }

    /// Returns the counter after a consumption at `now` that makes its total `total`.
    fn counter_after(
        &self,
        entitlement: EntitlementId,
        consumption: &Consumption,
        total: i64,
        now: DateTime<Utc>,
    ) -> Counter {
        let counter = self.current_counter(entitlement, consumption, now);
        // In a new period, it no longer matters that the clock was set back in an earlier one.
        Counter { total, at: now, set_back: counter.map(|counter| counter.set_back).unwrap_or_default() }
    }

    /// Returns the counter, unless a new period has begun since the last consumption.
    fn current_counter(
        &self,
        entitlement: EntitlementId,
        consumption: &Consumption,
        now: DateTime<Utc>,
    ) -> Option<&Counter> {
        let counter = self.counters.get(&entitlement);
        counter.filter(|counter| consumption.period.is_none_or(|period| counter.at >= period.start(now)))
    }

    /// Returns the license's overages: those of the catalogue, until a client has changed them.
    pub(super) fn overages(&self, license: &License) -> Overages {
        let changed = self.licenses.get(&license.id).and_then(|record| record.overages);
        changed.map_or_else(|| license.overages(), |changed| changed.overages)
    }
}

impl Transition<'_> {
    /// Returns the reply to a consumption that was booked under the same key before. It tells the present total.
    ///
    /// This precedes every rule whose result may have changed meanwhile: the license may have expired, its limit may be
    /// lower, the device may be blacklisted. A refusal would tell a client in doubt that nothing was booked, and the client
    /// would book the amount again.
    pub(super) fn booked_before(&self, subject: &Subject, command: &Command) -> Result<Option<Reply>, Refusal> {
        let license = &subject.license;
        let (feature, amount) = match &command.action {
            Action::AddConsumption { amount, .. } => (None, *amount),
            Action::AddFeatureConsumption { feature, amount } => match license.feature(feature) {
                Some(feature) => (Some(feature), *amount),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        let plain = feature.map(Arc::as_ref);
        // The reply could not be made for a license or feature that no longer is of type consumption.
        let Some(consumption) = plain.map_or(license.consumption.as_ref(), |feature| feature.consumption.as_ref())
        else {
            return Ok(None);
        };
        let Some(device_id) = self.active_device(license.id, &command.hardware_id) else { return Ok(None) };
        let Some(key) = command.idempotency_key.clone() else { return Ok(None) };
        let entitlement = EntitlementId::of(license, plain);
        if !self.is_used(&RequestKey { device_id, value: key }, BookedConsumption { entitlement, amount })? {
            return Ok(None);
        }
        let total = self.state.total(entitlement, consumption, self.now);
        Ok(Some(match feature {
            None => self.license_total(license, total),
            Some(feature) => feature_total(license, feature, total),
        }))
    }

    fn license_total(&self, license: &Arc<License>, total_consumptions: i64) -> Reply {
        let overages = self.state.overages(license);
        Reply::Consumption { license: Arc::clone(license), total_consumptions, overages }
    }

    /// Consumes from the license. `overages` takes effect only if the amount is booked.
    pub(super) fn consume_license(&mut self, license: &Arc<License>, booking: &Booking, overages: Overages) -> Outcome {
        let total = self.consume(&Quota::of_license(license, overages)?, booking)?;
        if overages != self.state.overages(license) {
            let overages = ClientOverages { overages, replaced: Some(license.overages()) };
            self.record(Change::Overages { license_id: license.id, overages });
        }
        Ok(self.license_total(license, total))
    }

    pub(super) fn consume_feature(&mut self, license: &License, feature: &Arc<Feature>, booking: &Booking) -> Outcome {
        let total = self.consume(&Quota::of_feature(license, feature)?, booking)?;
        Ok(feature_total(license, feature, total))
    }

    /// Books the whole amount and returns the total, or refuses it and books nothing.
    pub(super) fn consume(&mut self, quota: &Quota<'_>, booking: &Booking) -> Result<i64, Refusal> {
        let &Booking { device_id, amount, ref key, sets_overages } = booking;
        let total = self.total_after(quota, amount)?;
        let entitlement = quota.entitlement();
        let counter = self.state.counter_after(entitlement, quota.terms, total, self.now);
        self.record(Change::Consumed { entitlement, counter });
        self.note(EventKind::Consumed { amount }, quota.license, quota.feature, device_id);
        // An amount of 0 may be booked twice without harm. But repeated overages would replace newer ones, so a request that
        // sets them is remembered, even if it sets them to the same values.
        if let Some(key) = key.as_ref().filter(|_| amount != 0 || sets_overages) {
            self.mark_used(key, BookedConsumption { entitlement, amount });
        }
        Ok(total)
    }

    /// Returns the total after the amount, or refuses the amount.
    pub(super) fn total_after(&self, quota: &Quota<'_>, amount: i64) -> Result<i64, Refusal> {
        if amount < 0 && !quota.terms.allow_negative {
            return Err(Refusal::NegativeConsumptionsNotAllowed);
        }
        let total = self.state.total(quota.entitlement(), quota.terms, self.now).checked_add(amount);
        // JavaScript clients can't represent larger integers exactly.
        let total = total.filter(|total| total.unsigned_abs() <= MAX_SAFE_INTEGER).ok_or_else(|| {
            Refusal::ValidationError("consumptions must keep the total below 2^53; send a smaller amount".to_owned())
        })?;
        if amount > 0 && quota.limit.is_some_and(|limit| total > limit) {
            return Err(quota.too_few());
        }
        Ok(total)
    }
}

/// What is consumed from: a license or a feature, with its terms and limit.
pub(super) struct Quota<'l> {
    license: &'l License,
    feature: Option<&'l Feature>,
    terms: &'l Consumption,
    /// The largest allowed total; `None` if there is no limit.
    limit: Option<i64>,
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

    fn entitlement(&self) -> EntitlementId {
        EntitlementId::of(self.license, self.feature)
    }

    fn too_few(&self) -> Refusal {
        match self.feature {
            None => Refusal::LicenseNotEnoughConsumptions,
            Some(_) => Refusal::FeatureNotEnoughConsumptions,
        }
    }
}

fn feature_total(license: &License, feature: &Arc<Feature>, total_consumptions: i64) -> Reply {
    Reply::FeatureConsumption { license_id: license.id, feature: Arc::clone(feature), total_consumptions }
}

/// Returns the largest allowed total; `None` if there is no limit.
fn limit(consumption: &Consumption, overages: Overages) -> Option<i64> {
    let extra = if overages.allowed { overages.max } else { 0 };
    (!consumption.unlimited).then(|| consumption.max.saturating_add(extra))
}
