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
        let consumption = license.consumption.as_ref().ok_or(Refusal::LicenseNotConsumption)?;
        // A license that allows overages without an upper bound has no limit.
        let unlimited = overages.allowed && overages.max == 0;
        let limit = if unlimited { None } else { limit(consumption, overages) };
        let total = self.consume(license, None, consumption, limit, booking)?;
        let total = total.ok_or(Refusal::LicenseNotEnoughConsumptions)?;
        if overages != self.state.overages(license) {
            let overages = ClientOverages { overages, replaced: Some(license.overages()) };
            self.record(Change::Overages { license_id: license.id, overages });
        }
        Ok(self.license_total(license, total))
    }

    pub(super) fn consume_feature(&mut self, license: &License, feature: &Arc<Feature>, booking: &Booking) -> Outcome {
        let consumption = feature.consumption.as_ref().ok_or(Refusal::UnsupportedProductFeature)?;
        let limit = limit(consumption, consumption.overages);
        let total = self.consume(license, Some(feature), consumption, limit, booking)?;
        let total = total.ok_or(Refusal::FeatureNotEnoughConsumptions)?;
        Ok(feature_total(license, feature, total))
    }

    /// Books the whole amount and returns the total; books nothing and returns `None` if too little is left.
    fn consume(
        &mut self,
        license: &License,
        feature: Option<&Feature>,
        consumption: &Consumption,
        limit: Option<i64>,
        &Booking { device_id, amount, ref key, sets_overages }: &Booking,
    ) -> Result<Option<i64>, Refusal> {
        if amount < 0 && !consumption.allow_negative {
            return Err(Refusal::NegativeConsumptionsNotAllowed);
        }
        let entitlement = EntitlementId::of(license, feature);
        let total = self.state.total(entitlement, consumption, self.now).checked_add(amount);
        // JavaScript clients can't represent larger integers exactly.
        let total = total.filter(|total| total.unsigned_abs() <= MAX_SAFE_INTEGER).ok_or_else(|| {
            Refusal::ValidationError("consumptions must keep the total below 2^53; send a smaller amount".to_owned())
        })?;
        if amount > 0 && limit.is_some_and(|limit| total > limit) {
            return Ok(None);
        }
        let counter = self.state.counter_after(entitlement, consumption, total, self.now);
        self.record(Change::Consumed { entitlement, counter });
        self.note(EventKind::Consumed { amount }, license, feature, device_id);
        // An amount of 0 may be booked twice without harm. But repeated overages would replace newer ones, so a request that
        // sets them is remembered, even if it sets them to the same values.
        if let Some(key) = key.as_ref().filter(|_| amount != 0 || sets_overages) {
            self.mark_used(key, BookedConsumption { entitlement, amount });
        }
        Ok(Some(total))
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
