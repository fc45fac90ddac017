//! The events that time alone causes. The sandbox moves license time from one such instant to the next.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::change::Change;
use super::entitlement::EntitlementId;
use super::state::{State, Transition};
use crate::catalogue::{Consumption, Feature, License};

/// An event that happens at an instant without any request.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The time of the event, in license time.
    pub at: DateTime<Utc>,
    /// The kind of event.
    pub kind: DueKind,
    /// The license's number.
    pub license_id: u64,
    /// The feature's code; `None` for the license itself.
    pub feature: Option<Arc<str>>,
    /// The device's number, if the event is about one.
    pub device_id: Option<u64>,
}

/// The kinds of events that time alone causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueKind {
    /// A slot that its device did not renew becomes free.
    SlotExpires,
    /// A borrow ends, and its slot becomes free.
    BorrowEnds,
    /// A consumption total starts again at 0.
    ConsumptionPeriodBegins,
    /// The license's `start_date` is reached.
    LicenseStarts,
    /// The license's `validity_period`, and a subscription's grace period, are over.
    LicenseExpires,
    /// The feature's `expiry_date` is reached.
    FeatureExpires,
}

impl DueKind {
    /// Returns the event's name in the journal.
    pub fn name(self) -> &'static str {
        match self {
            DueKind::SlotExpires => "slot_expired",
            DueKind::BorrowEnds => "borrow_ended",
            DueKind::ConsumptionPeriodBegins => "consumption_period_began",
            DueKind::LicenseStarts => "license_started",
            DueKind::LicenseExpires => "license_expired",
            DueKind::FeatureExpires => "feature_expired",
        }
    }
}

impl State {
    /// Returns the events at the first instant after `now` at which anything is due. Empty if nothing ever will be.
    pub fn next_due(&self, now: DateTime<Utc>) -> Vec<Due> {
        let mut next = self.all_due(now);
        let first = next.iter().map(|due| due.at).min();
        next.retain(|due| Some(due.at) == first);
        next
    }

    /// Frees every slot that has expired by `now`, as the next request about its pool would.
    ///
    /// This includes slots of licenses and features that the catalogue no longer has.
    pub fn free_expired(&mut self, now: DateTime<Utc>, changes: &mut Vec<Change>) {
        let catalogue = Arc::clone(&self.catalogue);
        let mut transition = Transition { state: self, now, changes };
        for (license, feature) in catalogue.entitlements() {
            transition.free_expired_slots(license, feature);
        }
        transition.free_slots_of_lost_pools();
    }

    fn all_due(&self, now: DateTime<Utc>) -> Vec<Due> {
        let mut all = Vec::new();
        for (license, feature) in self.catalogue.entitlements() {
            let pool = EntitlementId::of(license, feature);
            let code = feature.map(|feature| Arc::clone(&feature.code));
            let mut add = |at: Option<DateTime<Utc>>, kind, device_id| {
                if let Some(at) = at.filter(|at| *at > now) {
                    all.push(Due { at, kind, license_id: license.id, feature: code.clone(), device_id });
                }
            };
            for (device_id, slot) in self.pools.get(&pool).into_iter().flat_map(|slots| slots.next_to_expire(now)) {
                let kind = if slot.borrowed { DueKind::BorrowEnds } else { DueKind::SlotExpires };
                add(Some(slot.until), kind, Some(device_id));
            }
            if let Some(consumption) = consumption(license, feature) {
                add(self.next_period(pool, consumption, now), DueKind::ConsumptionPeriodBegins, None);
            }
            match feature {
                None => {
                    add(license.start_date, DueKind::LicenseStarts, None);
                    add(license.ends_at(), DueKind::LicenseExpires, None);
                }
                Some(feature) => add(feature.expiry_date, DueKind::FeatureExpires, None),
            }
        }
        all
    }

    /// Returns the time at which the total starts again; `None` while it is 0 anyway.
    fn next_period(
        &self,
        entitlement: EntitlementId,
        consumption: &Consumption,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let counted = self.total(entitlement, consumption, now) != 0;
        consumption.period.filter(|_| counted)?.next_start(now)
    }
}

fn consumption<'c>(license: &'c License, feature: Option<&'c Feature>) -> Option<&'c Consumption> {
    feature.map_or(license.consumption.as_ref(), |feature| feature.consumption.as_ref())
}
