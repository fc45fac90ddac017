//! The state: what has happened so far, in memory, and the only place that changes it.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::change::{Change, Event, EventKind};
use super::changed_password::ChangedPassword;
use super::counter::Counter;
use super::device::{self, Device, DeviceStatus, LicenseRecord};
use super::entitlement::EntitlementId;
use super::latest_requests::LatestRequests;
use super::pool::Pool;
use super::reservation::Reservation;
use super::used_keys::UsedKeys;
use crate::catalogue::{Catalogue, Feature, License, Password, Trial, User};

/// Everything that has happened so far, in memory.
#[derive(Debug)]
pub struct State {
    /// The catalogue, with the licenses of trials. The first trial makes a copy of it, which this state has alone.
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) licenses: HashMap<u64, LicenseRecord>,
    pub(super) pools: HashMap<EntitlementId, Pool>,
    pub(super) counters: HashMap<EntitlementId, Counter>,
    /// What devices without a network may consume of pools, by member and device.
    pub(super) reservations: HashMap<(EntitlementId, u64), Reservation>,
    pub(super) activations_of_users: HashMap<u64, u64>,
    pub(super) used_keys: HashMap<u64, UsedKeys>,
    pub(super) orders: LatestRequests,
    /// The trials that were given, by product and device.
    pub(super) trials: HashMap<(String, String), Trial>,
    /// Passwords by user number. The others are the catalogue's.
    pub(super) passwords: HashMap<u64, ChangedPassword>,
    pub(super) last_device_id: u64,
    pub(super) last_heartbeat: Option<DateTime<Utc>>,
    /// The part of license time in which the server did not run.
    pub(super) downtime: TimeDelta,
}

/// A command that is being applied.
pub(super) struct Transition<'s> {
    pub(super) state: &'s mut State,
    pub(super) now: DateTime<Utc>,
    pub(super) changes: &'s mut Vec<Change>,
}

impl State {
    /// Returns the state that these changes lead to. The store returns the changes that it was given, or fewer equivalent
    /// ones.
    pub fn recover(catalogue: Arc<Catalogue>, changes: Vec<Change>) -> State {
        let mut state = State {
            catalogue,
            licenses: HashMap::new(),
            pools: HashMap::new(),
            counters: HashMap::new(),
            reservations: HashMap::new(),
            activations_of_users: HashMap::new(),
            used_keys: HashMap::new(),
            orders: LatestRequests::default(),
            trials: HashMap::new(),
            passwords: HashMap::new(),
            last_device_id: device::DEVICE_IDS_FROM,
            last_heartbeat: None,
            downtime: TimeDelta::zero(),
        };
        for change in &changes {
            state.apply_change(change);
        }
        state
    }

    /// Returns the licenses that the catalogue no longer has: number, count of devices, count of taken slots.
    pub fn orphans(&self) -> Vec<(u64, usize, usize)> {
        let gone = self.licenses.iter().filter(|(id, _)| !self.catalogue.has_license(**id));
        gone.map(|(id, record)| {
            let pools = self.pools.iter().filter(|(pool, _)| pool.license_id == *id);
            (*id, record.devices.len(), pools.map(|(_, pool)| pool.len()).sum())
        })
        .collect()
    }

    /// Returns the password that counts: the one that the user has chosen, or else the catalogue's.
    pub fn password(&self, user: &User) -> Option<Password> {
        // A user who may come by single sign-on alone has none, whatever was chosen before.
        let of_catalogue = user.password.as_ref()?;
        let chosen = self.passwords.get(&user.id).map(|password| Password::Hash(password.hash.clone()));
        Some(chosen.unwrap_or_else(|| of_catalogue.clone()))
    }

    /// Returns the password of the user of this name; `None` if there is none.
    pub fn password_of(&self, username: &str) -> Option<Password> {
        self.password(self.catalogue.user(username)?)
    }

    /// Returns the latest time at which the server is known to have run.
    pub fn last_heartbeat(&self) -> Option<DateTime<Utc>> {
        self.last_heartbeat
    }

    /// Returns running time: license time without the time in which the server did not run.
    ///
    /// No jump of the clock changes it, so a clock that was set wrong makes the server forget nothing early, and remember
    /// nothing for years.
    pub(super) fn running_time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - self.downtime
    }

    /// Records that the server ran at `now`, and returns the change to keep.
    pub fn heartbeat(&mut self, now: DateTime<Utc>) -> Change {
        let change = Change::Heartbeat { at: now };
        self.apply_change(&change);
        change
    }

    /// Applies a change. Nothing else changes the state.
    pub(super) fn apply_change(&mut self, change: &Change) {
        match change {
            Change::Device { license_id, hardware_id, device } => {
                self.last_device_id = self.last_device_id.max(device.id);
                let record = self.licenses.entry(*license_id).or_default();
                let before = record.devices.insert(hardware_id.clone(), device.clone());
                if let Some(before) = before {
                    self.count(*license_id, hardware_id, &before, false);
                }
                self.count(*license_id, hardware_id, device, true);
            }
            Change::TrialIssued(trial) => {
                Arc::make_mut(&mut self.catalogue).add_trial(trial);
                self.trials.insert((trial.product.clone(), trial.hardware_id.clone()), (**trial).clone());
            }
            Change::Variable { license_id, hardware_id, variable, .. } => {
                let record = self.licenses.entry(*license_id).or_default();
                let variables = record.variables.entry(hardware_id.clone()).or_default();
                variables.insert(variable.name.clone(), variable.clone());
            }
            Change::SlotHeld { pool, device_id, slot } => self.pools.entry(*pool).or_default().put(*device_id, *slot),
            Change::SlotFreed { pool, device_id } => self.pools.entry(*pool).or_default().remove(*device_id),
            Change::Consumed { entitlement, counter } => {
                self.counters.insert(*entitlement, *counter);
            }
            Change::Reserved { entitlement, device_id, reservation: Some(reservation) } => {
                self.reservations.insert((*entitlement, *device_id), *reservation);
            }
            Change::Reserved { entitlement, device_id, reservation: None } => {
                self.reservations.remove(&(*entitlement, *device_id));
            }
            Change::Overages { license_id, overages } => {
                self.licenses.entry(*license_id).or_default().overages = Some(*overages);
            }
            Change::OveragesForgotten { license_id } => {
                self.licenses.entry(*license_id).or_default().overages = None;
            }
            Change::Transfers { license_id, count } => {
                self.licenses.entry(*license_id).or_default().transfer_count = *count;
            }
            Change::KeyUsed { key, booked, at } => {
                self.used_keys.entry(key.device_id).or_default().put(&key.value, *booked, *at);
            }
            Change::KeyForgotten { key } => self.used_keys.entry(key.device_id).or_default().remove(&key.value),
            Change::Ordered { license_id, hardware_id, scope, request } => {
                self.orders.put(*license_id, hardware_id, *scope, request);
            }
            Change::OrderForgotten { license_id, hardware_id } => self.orders.remove(*license_id, hardware_id),
            Change::OfflineRequest { license_id, hardware_id, number } => {
                let record = self.licenses.entry(*license_id).or_default();
                record.offline_requests.insert(hardware_id.clone(), *number);
            }
            Change::PasswordChanged { user_id, password } => {
                self.passwords.insert(*user_id, password.clone());
            }
            Change::PasswordForgotten { user_id } => {
                self.passwords.remove(user_id);
            }
            Change::Heartbeat { at } => self.last_heartbeat = Some(*at),
            Change::Downtime { total } => self.downtime = *total,
            Change::Happened(_) => {}
        }
    }

    /// Keeps the counts that limit activations in step with the devices.
    fn count(&mut self, license_id: u64, hardware_id: &str, device: &Device, present: bool) {
        let step = |count: &mut u64| *count = if present { *count + 1 } else { count.saturating_sub(1) };
        let reachable = self.catalogue.is_reachable(license_id, device.user_id);
        let record = self.licenses.entry(license_id).or_default();
        match device.status {
            // If the catalogue no longer has the license or the user, nobody can deactivate the device, so it does not
            // count. It counts again if they come back.
            DeviceStatus::Active if reachable => {
                step(&mut record.times_activated);
                let user_id = device.user_id.filter(|id| self.catalogue.is_user_of_license(license_id, *id));
                if let Some(user_id) = user_id {
                    step(self.activations_of_users.entry(user_id).or_default());
                }
            }
            DeviceStatus::Vacated if present => {
                record.vacated.insert(device.id, hardware_id.to_owned());
            }
            DeviceStatus::Vacated => {
                record.vacated.remove(&device.id);
            }
            DeviceStatus::Active | DeviceStatus::Replaced => {}
        }
    }
}

impl Transition<'_> {
    /// Applies a change, and remembers it for the store. Rules change the state in no other way.
    pub(super) fn record(&mut self, change: Change) {
        self.state.apply_change(&change);
        self.changes.push(change);
    }

    /// Records an event for the journal, at the present time.
    pub(super) fn note(&mut self, kind: EventKind, license: &License, feature: Option<&Feature>, device_id: u64) {
        self.note_at(self.now, kind, license, feature, device_id);
    }

    /// Records an event for the journal, at an earlier time.
    pub(super) fn note_at(
        &mut self,
        at: DateTime<Utc>,
        kind: EventKind,
        license: &License,
        feature: Option<&Feature>,
        device_id: u64,
    ) {
        let feature = feature.map(|feature| Arc::clone(&feature.code));
        self.record(Change::Happened(Event { at, kind, license_id: license.id, feature, device_id }));
    }
}
