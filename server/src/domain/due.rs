//! What time alone will change: the sandbox moves licence time from one such instant to the next.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::change::Change;
use super::entitlement::EntitlementId;
use super::state::{State, Transition};
use crate::catalogue::{Consumption, Feature, License};

/// Something that happens at an instant without anybody asking.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// When, in licence time.
    pub at: DateTime<Utc>,
    /// What.
    pub kind: DueKind,
    /// On which license.
    pub license_id: u64,
    /// On which of its features; `None` is the license itself.
    pub feature: Option<Arc<str>>,
    /// To which device, where it is one's.
    pub device_id: Option<u64>,
}

/// What can be due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueKind {
    /// A slot that nobody renewed is free.
    SlotExpires,
    /// A borrow is over, and its slot free.
    BorrowEnds,
    /// A consumption total starts again at 0.
    ConsumptionPeriodBegins,
    /// `start_date` has come.
    LicenseStarts,
    /// `validity_period`, with the grace period of a subscription, is over.
    LicenseExpires,
    /// `expiry_date` has come.
    FeatureExpires,
}

impl DueKind {
    /// Its name for programs.
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
    /// Everything that is due at the first instant after `now` at which anything is; nothing if nothing ever will be.
    pub fn next_due(&self, now: DateTime<Utc>) -> Vec<Due> {
        let mut next = self.all_due(now);
        let first = next.iter().map(|due| due.at).min();
        next.retain(|due| Some(due.at) == first);
        next
    }

    /// Frees every slot whose time has come by `now`, as the next claim would; also those of licenses and features that
    /// the catalogue no longer has, and that nobody can claim.
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

    /// When the total starts again; nothing while it is 0 anyway.
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
