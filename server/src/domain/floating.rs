//! Floating licenses: takes, renews, borrows and releases slots.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use floatlease::model::format_time;

use super::change::{Change, EventKind};
use super::command::Until;
use super::entitlement::EntitlementId;
use super::pool::{Pool, Slot};
use super::refusal::Refusal;
use super::reply::{Borrow, Outcome, Reply};
use super::state::Transition;
use super::subject::Subject;
use crate::catalogue::{Feature, Floating, License};

impl Transition<'_> {
    /// Takes a slot for the device, or renews the one that it holds. A borrowed slot stays as it is.
    pub(super) fn claim(
        &mut self,
        license: &License,
        feature: Option<&Feature>,
        floating: &Floating,
        device_id: u64,
    ) -> Result<(), Refusal> {
        let until = self.now + floating.timeout();
        match self.slot(license, feature, device_id) {
            Some(held) if held.borrowed => {}
            Some(held) if self.is_surplus(license, feature, floating, device_id, held) => {
                return Err(Refusal::FloatingNotAvailable);
            }
            Some(held) => self.hold(license, feature, device_id, Slot { until, ..held }),
            None => {
                self.take(license, feature, floating, device_id, until)?;
            }
        }
        Ok(())
    }

    /// Returns whether the device is one too many, because the catalogue now has fewer slots.
    ///
    /// The devices that came last then keep their slots until they expire, and can't renew them. Devices whose slots have the
    /// same age, as those of earlier versions of the server do, come in the order of their numbers.
    fn is_surplus(
        &mut self,
        license: &License,
        feature: Option<&Feature>,
        floating: &Floating,
        device_id: u64,
        held: Slot,
    ) -> bool {
        let slots = u64::from(floating.users);
        if self.in_use(license, feature) <= slots {
            return false;
        }
        let pool = self.state.pools.get(&EntitlementId::of(license, feature));
        let came_first = |(other, slot): &(u64, Slot)| (slot.taken_at, *other) < (held.taken_at, device_id);
        let before = pool.into_iter().flat_map(Pool::iter).filter(came_first).count();
        before as u64 >= slots
    }

    /// Takes a slot for the device, if one is free.
    fn take(
        &mut self,
        license: &License,
        feature: Option<&Feature>,
        floating: &Floating,
        device_id: u64,
        until: DateTime<Utc>,
    ) -> Result<Slot, Refusal> {
        if self.in_use(license, feature) >= u64::from(floating.users) {
            return Err(Refusal::FloatingNotAvailable);
        }
        let slot = Slot { until, borrowed: false, taken_at: self.state.running_time(self.now) };
        self.hold(license, feature, device_id, slot);
        self.note(EventKind::SlotTaken, license, feature, device_id);
        Ok(slot)
    }

    pub(super) fn borrow_license(&mut self, license: &License, device_id: u64, until: Until) -> Outcome {
        let floating = license.floating.as_ref().ok_or(Refusal::LicenseNotFloating)?;
        if !floating.can_borrow {
            return Err(Refusal::LicenseBorrowNotAllowed);
        }
        let until = self.end_of_borrow(floating, until, license.ends_at())?;
        let held = match self.slot(license, None, device_id) {
            None => self.take(license, None, floating, device_id, until)?,
            Some(held) if self.is_surplus(license, None, floating, device_id, held) => {
                return Err(Refusal::FloatingNotAvailable);
            }
            Some(held) => held,
        };
        Ok(self.borrow(license, None, floating, device_id, Slot { until, borrowed: true, ..held }))
    }

    pub(super) fn borrow_feature(
        &mut self,
        license: &License,
        feature: &Arc<Feature>,
        device_id: u64,
        until: Until,
    ) -> Outcome {
        let floating = feature.floating.as_ref().ok_or(Refusal::FeatureNotFloating)?;
        if !floating.can_borrow {
            return Err(Refusal::FeatureBorrowNotAllowed);
        }
        let held = self.slot(license, Some(feature), device_id).ok_or(Refusal::FloatingFeatureDeviceNotInUse)?;
        if self.is_surplus(license, Some(feature), floating, device_id, held) {
            // The endpoint has no code of its own for a device that is one too many.
            return Err(Refusal::FloatingFeatureDeviceNotInUse);
        }
        let ends_at = license.ends_at().into_iter().chain(feature.expiry_date).min();
        let until = self.end_of_borrow(floating, until, ends_at)?;
        Ok(self.borrow(license, Some(feature), floating, device_id, Slot { until, borrowed: true, ..held }))
    }

    /// Returns the end of a borrow.
    ///
    /// The requested end must lie within `max_borrow_time` and the validity of the license and feature.
    fn end_of_borrow(
        &self,
        floating: &Floating,
        until: Until,
        ends_at: Option<DateTime<Utc>>,
    ) -> Result<DateTime<Utc>, Refusal> {
        let longest = self.now + floating.max_borrow_time();
        let longest = ends_at.map_or(longest, |end| longest.min(end));
        match until {
            Until::Longest if longest > self.now => Ok(longest),
            Until::At(until) if until > self.now && until <= longest => Ok(until),
            _ if longest > self.now => {
                let (latest, hours) = (format_time(longest), floating.max_borrow_time().num_hours());
                Err(Refusal::BorrowUntilOutOfRange(format!(
                    "Borrow until field is not valid: it must be in the future and no later than {latest}; \
                     max_borrow_time is {hours} hours"
                )))
            }
            _ => Err(Refusal::BorrowUntilNotValid),
        }
    }

    fn borrow(
        &mut self,
        license: &License,
        feature: Option<&Arc<Feature>>,
        floating: &Floating,
        device_id: u64,
        slot: Slot,
    ) -> Reply {
        let plain = feature.map(Arc::as_ref);
        self.hold(license, plain, device_id, slot);
        self.note(EventKind::Borrowed { until: slot.until }, license, plain, device_id);
        self.borrow_reply(license, feature, floating, device_id, slot.until)
    }

    /// Returns the reply to a borrow that the device has made before, if it still lasts.
    pub(super) fn borrowed(
        &mut self,
        license: &License,
        feature: Option<&Arc<Feature>>,
        device_id: u64,
    ) -> Option<Reply> {
        let slot = self.slot(license, feature.map(Arc::as_ref), device_id).filter(|slot| slot.borrowed)?;
        let floating = feature.map_or(license.floating.as_ref(), |feature| feature.floating.as_ref())?;
        Some(self.borrow_reply(license, feature, floating, device_id, slot.until))
    }

    fn borrow_reply(
        &mut self,
        license: &License,
        feature: Option<&Arc<Feature>>,
        floating: &Floating,
        device_id: u64,
        borrowed_until: DateTime<Utc>,
    ) -> Reply {
        Reply::Borrow(Borrow {
            borrowed_until,
            max_borrow_time_hours: floating.max_borrow_time_hours,
            device_id,
            license_id: license.id,
            floating_in_use_devices: self.in_use(license, feature.map(Arc::as_ref)),
            feature: feature.map(|feature| Arc::clone(&feature.code)),
        })
    }

    pub(super) fn release_license(&mut self, license: &License, device_id: u64) -> Outcome {
        license.floating.as_ref().ok_or(Refusal::LicenseNotFloating)?;
        let slot = self.slot(license, None, device_id).ok_or(Refusal::LicenseSlotNotHeld)?;
        self.free(license, None, device_id, slot, EventKind::SlotReleased);
        Ok(Reply::Empty)
    }

    pub(super) fn release_feature(&mut self, license: &License, feature: &Feature, device_id: u64) -> Outcome {
        feature.floating.as_ref().ok_or(Refusal::FeatureNotFloating)?;
        let slot = self.slot(license, Some(feature), device_id).ok_or(Refusal::FloatingFeatureDeviceNotInUse)?;
        self.free(license, Some(feature), device_id, slot, EventKind::SlotReleased);
        Ok(Reply::Empty)
    }

    pub(super) fn check_feature(
        &mut self,
        subject: &Subject,
        feature: &Arc<Feature>,
        device_id: u64,
        include_metadata_string: bool,
    ) -> Outcome {
        if let Some(floating) = &feature.floating {
            subject.require_unexpired(self.now)?;
            self.claim(&subject.license, Some(feature), floating, device_id)?;
        }
        Ok(self.feature_reply(&subject.license, feature, device_id, include_metadata_string))
    }

    /// Frees every slot of the license and its features that the device holds, including borrowed ones.
    ///
    /// This includes slots of features that the catalogue no longer has. Returns the number of slots.
    pub(super) fn free_all(&mut self, license: &License, device_id: u64) -> usize {
        let mut freed = 0;
        let features = license.features.iter().map(|feature| Some(feature.as_ref()));
        for feature in std::iter::once(None).chain(features) {
            if let Some(slot) = self.slot(license, feature, device_id) {
                self.free(license, feature, device_id, slot, EventKind::SlotReleased);
                freed += 1;
            }
        }
        let of_this_license = |id: &&EntitlementId| id.license_id == license.id;
        let rest: Vec<EntitlementId> = self.state.pools.keys().filter(of_this_license).copied().collect();
        for pool in rest {
            if self.state.pools.get(&pool).is_some_and(|slots| slots.slot(device_id).is_some()) {
                self.record(Change::SlotFreed { pool, device_id });
                freed += 1;
            }
        }
        freed
    }

    /// Returns how many slots are taken.
    pub(super) fn in_use(&mut self, license: &License, feature: Option<&Feature>) -> u64 {
        self.free_expired_slots(license, feature);
        let pool = self.state.pools.get(&EntitlementId::of(license, feature));
        pool.map_or(0, Pool::len) as u64
    }

    /// Returns the slot that the device holds.
    pub(super) fn slot(&mut self, license: &License, feature: Option<&Feature>, device_id: u64) -> Option<Slot> {
        self.free_expired_slots(license, feature);
        self.state.pools.get(&EntitlementId::of(license, feature))?.slot(device_id)
    }

    pub(super) fn free_expired_slots(&mut self, license: &License, feature: Option<&Feature>) {
        let pool = EntitlementId::of(license, feature);
        while let Some((device_id, slot)) = self.state.pools.get(&pool).and_then(|pool| pool.expired(self.now)) {
            self.free(license, feature, device_id, slot, EventKind::SlotExpired);
        }
    }

    /// Frees the expired slots of licenses and features that the catalogue no longer has.
    ///
    /// No event is recorded, since an event names the feature by its code, which is no longer known.
    pub(super) fn free_slots_of_lost_pools(&mut self) {
        let pools = self.state.pools.iter();
        let expired = pools.flat_map(|(pool, slots)| slots.iter().map(|(device_id, slot)| (*pool, device_id, slot)));
        let expired: Vec<_> = expired.filter(|(.., slot)| slot.until <= self.now).collect();
        for (pool, device_id, _) in expired {
            self.record(Change::SlotFreed { pool, device_id });
        }
    }

    fn hold(&mut self, license: &License, feature: Option<&Feature>, device_id: u64, slot: Slot) {
        self.record(Change::SlotHeld { pool: EntitlementId::of(license, feature), device_id, slot });
    }

    fn free(&mut self, license: &License, feature: Option<&Feature>, device_id: u64, slot: Slot, how: EventKind) {
        self.record(Change::SlotFreed { pool: EntitlementId::of(license, feature), device_id });
        // The server may notice an expiry long after it. Reports need the time at which the slot became free.
        let at = if how == EventKind::SlotExpired { slot.until } else { self.now };
        if slot.borrowed {
            self.note_at(at, EventKind::BorrowEnded, license, feature, device_id);
        }
        self.note_at(at, how, license, feature, device_id);
    }
}
