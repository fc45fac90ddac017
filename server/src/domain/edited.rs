//! Makes the state agree with a catalogue that was edited while the server did not run.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::change::Change;
use super::device::DeviceStatus;
use super::overages::ClientOverages;
use super::state::{State, Transition};
use crate::catalogue::{License, Overages, User};

/// What an administrator should know about a license after a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartNote {
    /// The catalogue's overages were edited, and replace those that a client has set.
    OveragesEdited {
        /// The license's key, or its first user.
        license: String,
        /// The client's overages, which are forgotten.
        client: Overages,
        /// The catalogue's overages, which count.
        catalogue: Overages,
    },
    /// A client has set other overages than the catalogue's, and they count.
    OveragesOverridden {
        /// The license's key, or its first user.
        license: String,
        /// The client's overages, which count.
        client: Overages,
        /// The catalogue's overages.
        catalogue: Overages,
    },
    /// The catalogue's password was edited, and replaces the one that the user has chosen.
    PasswordEdited {
        /// The user's name.
        username: String,
    },
    /// The slots of a blacklisted device were freed.
    SlotsFreed {
        /// The license's key, or its first user.
        license: String,
        /// The device.
        hardware_id: String,
        /// The number of slots.
        slots: usize,
    },
}

impl State {
    /// Applies the edits of the catalogue at `now`. Returns what has changed, and what an administrator should know.
    pub fn apply_edits(&mut self, now: DateTime<Utc>) -> (Vec<Change>, Vec<StartNote>) {
        let (mut changes, mut notes) = (Vec::new(), Vec::new());
        let catalogue = Arc::clone(&self.catalogue);
        let mut transition = Transition { state: self, now, changes: &mut changes };
        for license in catalogue.licenses() {
            notes.extend(transition.settle_overages(license));
            notes.extend(transition.free_slots_of_blacklisted(license));
        }
        notes.extend(catalogue.users().filter_map(|user| transition.settle_password(user)));
        (changes, notes)
    }
}

impl Transition<'_> {
    /// Forgets the overages that a client has set if the catalogue's were edited since: the latest decision counts.
    fn settle_overages(&mut self, license: &License) -> Option<StartNote> {
        let ClientOverages { overages: client, replaced } = self.state.licenses.get(&license.id)?.overages?;
        let catalogue = license.overages();
        let license_name = license.name().to_owned();
        if replaced.is_some_and(|replaced| replaced != catalogue) {
            self.record(Change::OveragesForgotten { license_id: license.id });
            return (client != catalogue).then_some(StartNote::OveragesEdited {
                license: license_name,
                client,
                catalogue,
            });
        }
        if replaced.is_none() {
            // From now on, an edit is noticed.
            let overages = ClientOverages { overages: client, replaced: Some(catalogue) };
            self.record(Change::Overages { license_id: license.id, overages });
        }
        (client != catalogue).then_some(StartNote::OveragesOverridden { license: license_name, client, catalogue })
    }

    /// Forgets the password that a user has chosen if the catalogue's was edited since: the latest decision counts.
    fn settle_password(&mut self, user: &User) -> Option<StartNote> {
        let chosen = self.state.passwords.get(&user.id)?;
        if user.password.as_ref().is_none_or(|password| chosen.replaces(password)) {
            return None;
        }
        self.record(Change::PasswordForgotten { user_id: user.id });
        Some(StartNote::PasswordEdited { username: user.username.clone() })
    }

    /// Frees the slots of blacklisted devices, including borrowed ones: such a device can't release them itself.
    fn free_slots_of_blacklisted(&mut self, license: &License) -> Vec<StartNote> {
        let devices = self.state.licenses.get(&license.id).into_iter().flat_map(|record| &record.devices);
        let active = devices.filter(|(_, device)| device.status == DeviceStatus::Active);
        let blacklisted = active.filter(|(hardware_id, _)| self.state.catalogue.is_blacklisted(hardware_id));
        let blacklisted: Vec<_> = blacklisted.map(|(hardware_id, device)| (hardware_id.clone(), device.id)).collect();
        let free = |(hardware_id, device_id)| {
            let slots = self.free_all(license, device_id);
            (slots > 0).then(|| StartNote::SlotsFreed { license: license.name().to_owned(), hardware_id, slots })
        };
        blacklisted.into_iter().filter_map(free).collect()
    }
}

impl fmt::Display for StartNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartNote::OveragesEdited { license, client, catalogue } => write!(
                f,
                "license {license:?}: the catalogue was edited to {catalogue}, which replaces what a client had set: {client}"
            ),
            StartNote::OveragesOverridden { license, client, catalogue } => write!(
                f,
                "license {license:?}: a client has set {client}, which counts instead of the catalogue's {catalogue}; edit the \
                 catalogue's to replace it"
            ),
            StartNote::PasswordEdited { username } => {
                write!(
                    f,
                    "user {username:?}: the catalogue's password was edited, and replaces the one that the user has chosen"
                )
            }
            StartNote::SlotsFreed { license, hardware_id, slots } => {
                write!(f, "license {license:?}: freed {slots} slots of the blacklisted device {hardware_id:?}")
            }
        }
    }
}
