//! Consumption: books amounts within limits and overages.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::change::{Change, EventKind};
use super::command::{Action, Command};
use super::consumption_pool::Quota;
use super::counter::Counter;
use super::entitlement::EntitlementId;
use super::overages::ClientOverages;
use super::refusal::Refusal;
use super::reply::{Outcome, Reply};
use super::state::{State, Transition};
use super::subject::Subject;
use super::used_keys::{BookedConsumption, RequestKey};
use super::view::PoolTotal;
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
    pub(super) fn counter_after(
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
        let own = self.state.total(entitlement, consumption, self.now);
        let totals = Totals { own, pool: self.state.pool_total(entitlement, consumption, device_id, self.now) };
        Ok(Some(match feature {
            None => self.license_total(license, totals),
            Some(feature) => feature_total(license, feature, totals),
        }))
    }

    fn license_total(&self, license: &Arc<License>, totals: Totals) -> Reply {
        let (overages, Totals { own: total_consumptions, pool }) = (self.state.overages(license), totals);
        Reply::Consumption { license: Arc::clone(license), total_consumptions, overages, pool }
    }

    /// Consumes from the license. `overages` takes effect only if the amount is booked.
    pub(super) fn consume_license(&mut self, license: &Arc<License>, booking: &Booking, overages: Overages) -> Outcome {
        let totals = self.consume(&Quota::of_license(license, overages)?, booking)?;
        if overages != self.state.overages(license) {
            let overages = ClientOverages { overages, replaced: Some(license.overages()) };
            self.record(Change::Overages { license_id: license.id, overages });
        }
        Ok(self.license_total(license, totals))
    }

    pub(super) fn consume_feature(&mut self, license: &License, feature: &Arc<Feature>, booking: &Booking) -> Outcome {
        let totals = self.consume(&Quota::of_feature(license, feature)?, booking)?;
        Ok(feature_total(license, feature, totals))
    }

    /// Books the whole amount, on the pool too, and returns both totals, or refuses it and books nothing.
    pub(super) fn consume(&mut self, quota: &Quota<'_>, booking: &Booking) -> Result<Totals, Refusal> {
        let totals = self.totals_after(quota, booking.device_id, booking.amount, 0)?;
        self.record_totals(quota, booking, &totals);
        Ok(totals)
    }

    /// Records a booking that was not refused, with the totals after it.
    pub(super) fn record_totals(&mut self, quota: &Quota<'_>, booking: &Booking, totals: &Totals) {
        let &Booking { device_id, amount, ref key, sets_overages } = booking;
        let entitlement = quota.entitlement();
        let counter = self.state.counter_after(entitlement, quota.terms, totals.own, self.now);
        self.record(Change::Consumed { entitlement, counter });
        // An amount of 0 asks for the totals. It is no sign that the device has a network again for good.
        match &totals.pool {
            Some(pool) if amount != 0 => self.settle(entitlement, device_id, pool),
            // The member was moved out of the pool that the device has reserved of.
            None if amount != 0 => self.give_back(entitlement, device_id),
            _ => {}
        }
        self.note(EventKind::Consumed { amount }, quota.license, quota.feature, device_id);
        // An amount of 0 may be booked twice without harm. But repeated overages would replace newer ones, so a request that
        // sets them is remembered, even if it sets them to the same values.
        if let Some(key) = key.as_ref().filter(|_| amount != 0 || sets_overages) {
            self.mark_used(key, BookedConsumption { entitlement, amount });
        }
    }

    /// Returns the totals after the amount, or refuses the amount. `pending` is by how much the same request changes the
    /// pool's total otherwise.
    pub(super) fn totals_after(
        &self,
        quota: &Quota<'_>,
        device_id: u64,
        amount: i64,
        pending: i64,
    ) -> Result<Totals, Refusal> {
        if amount < 0 && !quota.terms.allow_negative {
            return Err(Refusal::NegativeConsumptionsNotAllowed);
        }
        let total = self.state.total(quota.entitlement(), quota.terms, self.now).checked_add(amount);
        // JavaScript clients can't represent larger integers exactly.
        let own = total.filter(|total| total.unsigned_abs() <= MAX_SAFE_INTEGER).ok_or_else(|| {
            Refusal::ValidationError("consumptions must keep the total below 2^53; send a smaller amount".to_owned())
        })?;
        if amount > 0 && quota.limit.is_some_and(|limit| own > limit) {
            return Err(quota.too_few());
        }
        let pool = if amount == 0 {
            self.state.pool_total(quota.entitlement(), quota.terms, device_id, self.now)
        } else {
            self.pool_after(quota, device_id, amount, pending)?
        };
        Ok(Totals { own, pool })
    }
}

/// The totals of a license or feature, and of its pool.
pub(super) struct Totals {
    own: i64,
    pool: Option<PoolTotal>,
}

fn feature_total(license: &License, feature: &Arc<Feature>, totals: Totals) -> Reply {
    let Totals { own: total_consumptions, pool } = totals;
    Reply::FeatureConsumption { license_id: license.id, feature: Arc::clone(feature), total_consumptions, pool }
}
