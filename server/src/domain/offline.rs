//! Offline activation and deactivation: requests that devices without a network have written into files.
//!
//! A file may be on its way for weeks, and anybody on its way may copy it. So each file has a number that grows with its
//! date, and a file is carried out only if no later one of the device came first. The latest activation is answered again,
//! because its reply may have been lost.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::change::Change;
use super::command::{Action, Command};
use super::consumption::Booking;
use super::consumption_pool::Quota;
use super::refusal::Refusal;
use super::reply::Outcome;
use super::state::{State, Transition};
use super::subject::Subject;
use crate::catalogue::Catalogue;

/// A request that came as a file, whose signature was verified.
#[derive(Debug, Clone)]
pub struct OfflineRequest {
    /// The activation or deactivation that the file asks for.
    pub command: Command,
    /// The number that grows with the date of the file.
    pub number: i64,
    /// What an activation reserves of the license's pools; `None` for as much as the pools say.
    pub pool_reservation: Option<i64>,
    /// What the device has consumed from the license, in a deactivation.
    pub consumptions: i64,
    /// What the device has consumed from features, by their codes, in a deactivation.
    pub feature_consumptions: Vec<(String, i64)>,
}

impl State {
    /// Carries out a request that came as a file, unless it or a later one of the device was carried out before.
    pub fn apply_offline(
        &mut self,
        request: &OfflineRequest,
        now: DateTime<Utc>,
        changes: &mut Vec<Change>,
    ) -> Outcome {
        let command = &request.command;
        let subject = Subject::find(self, command)?;
        let license_id = subject.license.id;
        let record = self.licenses.get(&license_id);
        let latest = record.and_then(|record| record.offline_requests.get(&command.hardware_id)).copied();
        let catalogue = Arc::clone(&self.catalogue);
        if latest == Some(request.number) && self.is_active_on(license_id, &command.hardware_id) {
            return (Transition { state: self, now, changes }).repeat_activation(&catalogue, &subject, command);
        }
        if latest.is_some_and(|latest| request.number <= latest) {
            return Err(Refusal::OfflineRequestOutdated);
        }
        let mut transition = Transition { state: self, now, changes };
        let mut reservations = Vec::new();
        match command.action {
            Action::Deactivate { .. } => transition.book_offline(&subject, request)?,
            _ if !subject.license.allow_offline_activation => return Err(Refusal::OfflineActivationNotAllowed),
            _ => {
                let device_id = transition.active_device(license_id, &command.hardware_id);
                reservations = transition.reservations(&subject.license, device_id, request.pool_reservation)?;
            }
        }
        let reply = (Transition { state: self, now, changes }).run(&catalogue, command)?;
        let mut transition = Transition { state: self, now, changes };
        let (hardware_id, number) = (command.hardware_id.clone(), request.number);
        transition.record(Change::OfflineRequest { license_id, hardware_id, number });
        // A deactivation leaves no active device.
        match transition.active_device(license_id, &command.hardware_id) {
            Some(device_id) => {
                transition.reserve(&subject.license, device_id, reservations);
                Ok(transition.activation_reply(&subject, command, device_id))
            }
            None => Ok(reply),
        }
    }
}

impl Transition<'_> {
    /// Replies again to the latest activation of a device that is active. It changes nothing, because the device's variables
    /// and reservations may be newer than the file.
    fn repeat_activation(self, catalogue: &Catalogue, subject: &Subject, command: &Command) -> Outcome {
        match command.action {
            Action::Activate { .. } if subject.license.allow_offline_activation => {
                let action = Action::Activate { variables: Vec::new() };
                self.run(catalogue, &Command { action, ..command.clone() })
            }
            Action::Activate { .. } => Err(Refusal::OfflineActivationNotAllowed),
            _ => Err(Refusal::OfflineRequestOutdated),
        }
    }

    /// Books what a device has consumed until its deactivation: all of it, or nothing if the deactivation or any part is
    /// to be refused.
    fn book_offline(&mut self, subject: &Subject, request: &OfflineRequest) -> Result<(), Refusal> {
        let (license, command) = (&subject.license, &request.command);
        subject.require_usable(command, self.now)?;
        let device_id = self.active_device(license.id, &command.hardware_id).ok_or(Refusal::DeviceNotFound)?;
        if let Action::Deactivate { variables } = &command.action {
            self.require_room_for(license, &command.hardware_id, variables)?;
        }
        let mut bookings = Vec::new();
        if request.consumptions != 0 {
            bookings.push((Quota::of_license(license, self.state.overages(license))?, request.consumptions));
        }
        for (code, amount) in request.feature_consumptions.iter().filter(|(_, amount)| *amount != 0) {
            let feature = license.feature(code).ok_or(Refusal::UnsupportedProductFeature)?;
            bookings.push((Quota::of_feature(license, feature)?, *amount));
        }
        // One member may have used what was reserved for another.
        let mut pending = self.given_back(license, device_id);
        let mut checked = Vec::new();
        for (quota, amount) in bookings {
            let of_pool = pending.entry(quota.terms.pool_id.unwrap_or_default()).or_default();
            let pool = self.state.pool_total(quota.entitlement(), quota.terms, device_id, self.now);
            let reserved = pool.map_or(0, |pool| pool.reserved);
            let totals = self.totals_after(&quota, device_id, amount, *of_pool + reserved)?;
            *of_pool += amount;
            checked.push((quota, amount, totals));
        }
        self.give_back_reservations(license, device_id);
        // These totals hold what was given back. A second check would refuse in a pool that is overdrawn meanwhile.
        for (quota, amount, totals) in &checked {
            self.record_totals(quota, &Booking::offline(device_id, *amount), totals);
        }
        Ok(())
    }
}
