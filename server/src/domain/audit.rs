//! Lists the slots that are held, and violations of what must always be true.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::device::DeviceStatus;
use super::entitlement::EntitlementId;
use super::pool::Slot;
use super::state::State;
use crate::catalogue::{Floating, License};

/// A slot that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The license's number.
    pub license_id: u64,
    /// The feature's code; `None` for the license itself.
    pub feature: Option<Arc<str>>,
    /// The device that holds it.
    pub hardware_id: String,
    /// The slot.
    pub slot: Slot,
}

impl State {
    /// Returns every slot that is held at `now`.
    pub fn holdings(&self, now: DateTime<Utc>) -> Vec<Holding> {
        let mut holdings = Vec::new();
        for (license, feature) in self.catalogue.entitlements() {
            let pool = self.pools.get(&EntitlementId::of(license, feature));
            for (device_id, slot) in pool.into_iter().flat_map(|pool| pool.iter()).filter(|(_, slot)| slot.until > now)
            {
                let hardware_id = self.hardware_id(license.id, device_id).unwrap_or_default().to_owned();
                let feature = feature.map(|feature| Arc::clone(&feature.code));
                holdings.push(Holding { license_id: license.id, feature, hardware_id, slot });
            }
        }
        holdings.sort_by(|a, b| (&a.hardware_id, &a.feature).cmp(&(&b.hardware_id, &b.feature)));
        holdings
    }

    /// Returns a sentence for each violation at `now` of what must always be true.
    pub fn violations(&self, now: DateTime<Utc>) -> Vec<String> {
        let mut found = Vec::new();
        for (license, feature) in self.catalogue.entitlements() {
            let name = feature.map_or("the license itself".to_owned(), |feature| format!("feature {}", feature.code));
            let what = format!("license {}, {name}", license.id);
            let Some(pool) = self.pools.get(&EntitlementId::of(license, feature)) else { continue };
            let held: Vec<(u64, Slot)> = pool.iter().filter(|(_, slot)| slot.until > now).collect();
            let floating = feature.map_or(license.floating.as_ref(), |feature| feature.floating.as_ref());
            let slots = floating.map_or(0, |floating| floating.users as usize);
            if held.len() > slots {
                found.push(format!("{what}: {} devices hold {slots} slots", held.len()));
            }
            for (device_id, slot) in held {
                found.extend(
                    self.slot_violation(license, floating, device_id, slot, now).map(|why| format!("{what}: {why}")),
                );
            }
        }
        found
    }

    /// Returns what is wrong with a slot that the device holds.
    fn slot_violation(
        &self,
        license: &License,
        floating: Option<&Floating>,
        device_id: u64,
        slot: Slot,
        now: DateTime<Utc>,
    ) -> Option<String> {
        let Some(hardware_id) = self.hardware_id(license.id, device_id) else {
            return Some(format!("device {device_id} holds a slot, but is unknown"));
        };
        let active = self.device_status(license.id, hardware_id) == Some(DeviceStatus::Active);
        if !active {
            return Some(format!("{hardware_id} holds a slot, but is not active"));
        }
        // A borrow's end was promised to the client, and stays even if the clock is set back meanwhile.
        let longest = floating.filter(|_| !slot.borrowed).map(Floating::timeout);
        longest
            .filter(|longest| slot.until - now > *longest)
            .map(|_| format!("{hardware_id} holds its slot for longer than the license allows"))
    }
}
