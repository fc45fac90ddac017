//! Activation and deactivation of a license on devices, and their limits.

use super::change::{Change, EventKind};
use super::device::{Device, DeviceStatus, Variable};
use super::refusal::Refusal;
use super::state::{State, Transition};
use super::subject::Subject;
use crate::catalogue::License;

/// Upper bound for the variables of a device: each may have 2 KiB, and replies that hold all must be shorter than 1 MiB.
const MOST_VARIABLES_OF_DEVICE: usize = 200;

impl State {
    /// Returns the hardware id of the device with this number.
    pub(super) fn hardware_id(&self, license_id: u64, device_id: u64) -> Option<&str> {
        let devices = &self.licenses.get(&license_id)?.devices;
        devices.iter().find(|(_, device)| device.id == device_id).map(|(hardware_id, _)| hardware_id.as_str())
    }

    /// Returns true if the license is active on the device.
    pub(super) fn is_active_on(&self, license_id: u64, hardware_id: &str) -> bool {
        self.device_status(license_id, hardware_id) == Some(DeviceStatus::Active)
    }

    /// Returns whether the device is active, if it is known.
    pub(super) fn device_status(&self, license_id: u64, hardware_id: &str) -> Option<DeviceStatus> {
        Some(self.licenses.get(&license_id)?.devices.get(hardware_id)?.status)
    }
}

impl Transition<'_> {
    /// Returns the number of the device, if it is active.
    pub(super) fn active_device(&self, license_id: u64, hardware_id: &str) -> Option<u64> {
        let device = self.state.licenses.get(&license_id)?.devices.get(hardware_id)?;
        (device.status == DeviceStatus::Active).then_some(device.id)
    }

    /// Returns the facts that are kept about the device, by their names.
    pub(super) fn variables(&self, license_id: u64, hardware_id: &str) -> Vec<Variable> {
        let record = self.state.licenses.get(&license_id);
        let variables = record.and_then(|record| record.variables.get(hardware_id));
        variables.into_iter().flat_map(|variables| variables.values().cloned()).collect()
    }

    /// Activates the license on the device, and returns the device's number.
    ///
    /// A device that is active already stays as it is and does not count again. If the user who activated it no longer has
    /// the license, the user who activates it now takes it over.
    pub(super) fn activate_device(&mut self, subject: &Subject, hardware_id: &str) -> Result<u64, Refusal> {
        let known = self.state.licenses.get(&subject.license.id).and_then(|record| record.devices.get(hardware_id));
        if let Some(device) = known.filter(|device| device.status == DeviceStatus::Active)
            && self.state.catalogue.is_reachable(subject.license.id, device.user_id)
        {
            return Ok(device.id);
        }
        let license = &subject.license;
        let record = self.state.licenses.entry(license.id).or_default();
        if !license.allow_unlimited_activations && record.times_activated >= license.max_activations {
            return Err(Refusal::LicenseActivatedMaxTimes);
        }
        if let Some(user) = &subject.user {
            let activations = self.state.activations_of_users.get(&user.id).copied().unwrap_or_default();
            if !user.allow_unlimited_activations && activations >= user.max_activations {
                return Err(Refusal::LicenseUserActivatedMaxTimes);
            }
        }
        let known = record.devices.get(hardware_id);
        let returns = known.is_some_and(|device| device.status != DeviceStatus::Replaced);
        let id = known.map_or(self.state.last_device_id + 1, |device| device.id);
        let replaced = record.vacated.values().next().filter(|_| !returns);
        if let Some((name, device)) = replaced.and_then(|name| record.devices.get_key_value(name)) {
            let (name, device) = (name.clone(), device.clone());
            let count = record.transfer_count + 1;
            if license.max_transfers > 0 && count > license.max_transfers {
                return Err(Refusal::LicenseTransferredMaxTimes);
            }
            self.put_device(license, &name, Device { status: DeviceStatus::Replaced, ..device });
            self.record(Change::Transfers { license_id: license.id, count });
        }
        let user_id = subject.user.as_ref().map(|user| user.id);
        self.put_device(license, hardware_id, Device { id, user_id, status: DeviceStatus::Active });
        self.note(EventKind::Activated, license, None, id);
        Ok(id)
    }

    /// Deactivates the license on the device, and frees its slots, including borrowed ones.
    pub(super) fn deactivate_device(&mut self, license: &License, hardware_id: &str, variables: &[(String, String)]) {
        let record = self.state.licenses.get(&license.id);
        let Some(device) = record.and_then(|record| record.devices.get(hardware_id)).cloned() else { return };
        let device_id = device.id;
        self.keep_variables(license, hardware_id, device_id, variables);
        self.free_all(license, device_id);
        self.give_back_reservations(license, device_id);
        self.put_device(license, hardware_id, Device { status: DeviceStatus::Vacated, ..device });
        self.note(EventKind::Deactivated, license, None, device_id);
    }

    fn put_device(&mut self, license: &License, hardware_id: &str, device: Device) {
        self.record(Change::Device { license_id: license.id, hardware_id: hardware_id.to_owned(), device });
    }

    /// Refuses variables beyond those that a reply to the device can hold.
    pub(super) fn require_room_for(
        &self,
        license: &License,
        hardware_id: &str,
        variables: &[(String, String)],
    ) -> Result<(), Refusal> {
        let record = self.state.licenses.get(&license.id);
        let kept = record.and_then(|record| record.variables.get(hardware_id));
        let is_new = |name: &&String| kept.is_none_or(|kept| !kept.contains_key(*name));
        let new = variables.iter().map(|(name, _)| name).filter(is_new).count();
        let count = kept.map_or(0, |kept| kept.len()) + new;
        if new > 0 && count > MOST_VARIABLES_OF_DEVICE { Err(Refusal::TooManyVariables) } else { Ok(()) }
    }

    pub(super) fn keep_variables(
        &mut self,
        license: &License,
        hardware_id: &str,
        device_id: u64,
        variables: &[(String, String)],
    ) {
        for (name, value) in variables {
            self.record(Change::Variable {
                license_id: license.id,
                hardware_id: hardware_id.to_owned(),
                device_id,
                variable: Variable { name: name.clone(), value: value.clone(), created_at: self.now },
            });
        }
    }
}
