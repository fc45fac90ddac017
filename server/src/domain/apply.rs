//! Applies one command to the state: finds its license, decides whether it comes too late, and carries it out.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::change::Change;
use super::command::{Action, Command};
use super::consumption::Booking;
use super::device::Variable;
use super::latest_requests::LatestRequest;
use super::order::Order;
use super::refusal::Refusal;
use super::reply::{Outcome, Reply};
use super::state::{State, Transition};
use super::subject::Subject;
use crate::catalogue::{Catalogue, Feature, License, Overages, Version};

impl State {
    /// Applies `command` at `now`, which is never earlier than before, and adds what has changed to `changes`.
    ///
    /// A refused command may change something too: slots that expired meanwhile are freed on the way.
    pub fn apply(&mut self, command: &Command, now: DateTime<Utc>, changes: &mut Vec<Change>) -> Outcome {
        let catalogue = Arc::clone(&self.catalogue);
        Transition { state: self, now, changes }.run(&catalogue, command)
    }
}

impl State {
    /// Returns the reply to `device_licenses`: what is active on this device. Slots that expired meanwhile are freed on the
    /// way.
    pub fn device_licenses(&mut self, hardware_id: &str, now: DateTime<Utc>, changes: &mut Vec<Change>) -> Outcome {
        let blacklisted = self.catalogue.is_blacklisted(hardware_id);
        let licenses = Transition { state: self, now, changes }.device_licenses(hardware_id);
        if blacklisted { Err(Refusal::Blacklisted) } else { Ok(Reply::Licenses(licenses)) }
    }
}

impl Transition<'_> {
    /// Checks in the order that a user would expect: product, license, order, the license's state, device, feature, rule.
    pub(super) fn run(mut self, catalogue: &Catalogue, command: &Command) -> Outcome {
        let subject = Subject::find(self.state, command)?;
        match Order::of(command, &subject.license) {
            Some(order) => self.run_in_order(order, catalogue, &subject, command),
            None => self.carry_out(catalogue, &subject, command),
        }
    }

    /// Carries the command out, if the license and the device allow it.
    fn carry_out(&mut self, catalogue: &Catalogue, subject: &Subject, command: &Command) -> Outcome {
        if let Some(reply) = self.booked_before(subject, command)? {
            return Ok(reply);
        }
        subject.require_usable(command, self.now)?;
        // A blacklisted device may still be deactivated, which makes room for another one.
        if catalogue.is_blacklisted(&command.hardware_id) && !matches!(command.action, Action::Deactivate { .. }) {
            return Err(Refusal::Blacklisted);
        }
        let license = &subject.license;
        if let Action::Activate { variables }
        | Action::Deactivate { variables }
        | Action::TrackVariables { variables } = &command.action
        {
            self.require_room_for(license, &command.hardware_id, variables)?;
        }
        // Activation creates the device that all other actions need.
        let device_id = match command.action {
            Action::Activate { .. } => self.activate_device(subject, &command.hardware_id)?,
            _ => self.active_device(license.id, &command.hardware_id).ok_or(Refusal::DeviceNotFound)?,
        };
        self.perform(subject, command, device_id)
    }

    /// Performs the command's action for an active device.
    fn perform(&mut self, subject: &Subject, command: &Command, device_id: u64) -> Outcome {
        let license = &subject.license;
        match &command.action {
            Action::Activate { variables } => {
                self.keep_variables(license, &command.hardware_id, device_id, variables);
                Ok(self.activation_reply(subject, command, device_id))
            }
            Action::CheckLicense { include_expired_features, wanted } => {
                if let Some(floating) = &license.floating {
                    self.claim(license, None, floating, device_id)?;
                }
                Ok(self.license_reply(subject, command, device_id, *include_expired_features, wanted))
            }
            Action::Deactivate { variables } => {
                self.deactivate_device(license, &command.hardware_id, variables);
                Ok(Reply::DEACTIVATED)
            }
            Action::BorrowLicense(until) => self.borrow_license(license, device_id, *until),
            Action::ReleaseLicense => self.release_license(license, device_id),
            Action::CheckFeature { feature, include_metadata_string } => {
                let feature = self.assigned_feature(license, feature)?;
                self.check_feature(subject, feature, device_id, *include_metadata_string)
            }
            Action::BorrowFeature { feature, until } => {
                let feature = self.assigned_feature(license, feature)?;
                self.borrow_feature(license, feature, device_id, *until)
            }
            Action::ReleaseFeature { feature } => {
                let unknown = || Refusal::InvalidLicenseFeatureCode(feature.clone());
                let feature = license.feature(feature).ok_or_else(unknown)?;
                self.release_feature(license, feature, device_id)
            }
            Action::ListVersions(wanted) => {
                // A version may have a file for each system.
                let mut listed = HashSet::new();
                let versions = license.versions(wanted).filter(|version| listed.insert(&version.version));
                Ok(Reply::Versions(versions.cloned().collect()))
            }
            Action::FindInstallationFile { wanted, version } => {
                let is_it = |found: &&Arc<Version>| version.as_ref().is_none_or(|version| found.version == *version);
                let found = license.versions(wanted).find(is_it).cloned();
                found.map(Reply::InstallationFile).ok_or(Refusal::VersionNotFound)
            }
            Action::ListVariables => {
                Ok(Reply::Variables { device_id, variables: self.variables(license.id, &command.hardware_id) })
            }
            Action::TrackVariables { variables } => {
                self.keep_variables(license, &command.hardware_id, device_id, variables);
                let is_tracked = |kept: &Variable| variables.iter().any(|(name, _)| *name == kept.name);
                let mut variables = self.variables(license.id, &command.hardware_id);
                variables.retain(is_tracked);
                Ok(Reply::TrackedVariables { device_id, variables })
            }
            Action::AddConsumption { amount, allow_overages, max_overages } => {
                let current = self.state.overages(license);
                let overages = Overages {
                    allowed: allow_overages.unwrap_or(current.allowed),
                    max: max_overages.unwrap_or(current.max),
                };
                self.consume_license(license, &Booking::of(command, device_id, *amount), overages)
            }
            Action::AddFeatureConsumption { feature, amount } => {
                let feature = license.feature(feature).filter(|feature| !feature.is_expired(self.now));
                let feature = feature.ok_or(Refusal::UnsupportedProductFeature)?;
                self.consume_feature(license, feature, &Booking::of(command, device_id, *amount))
            }
        }
    }

    /// Returns the license's feature with this code. An expired feature counts as not assigned.
    fn assigned_feature<'l>(&self, license: &'l License, code: &str) -> Result<&'l Arc<Feature>, Refusal> {
        let feature = license.feature(code).filter(|feature| !feature.is_expired(self.now));
        feature.ok_or_else(|| Refusal::InvalidLicenseFeatureCode(code.to_owned()))
    }

    /// Carries the command out unless a later one came first. Remembers its number even if it is refused.
    fn run_in_order(&mut self, order: Order, catalogue: &Catalogue, subject: &Subject, command: &Command) -> Outcome {
        let Order { number, scope, action } = order;
        let license_id = subject.license.id;
        let highest = self.state.highest_order(license_id, &command.hardware_id, scope, self.now).unwrap_or_default();
        match number.cmp(&highest) {
            Ordering::Less => Err(Refusal::OrderOutdated { highest }),
            Ordering::Equal => self.answer_repetition(order, subject, command),
            Ordering::Greater => {
                let outcome = self.carry_out(catalogue, subject, command);
                let hardware_id = self.forget_overdue(license_id, &command.hardware_id);
                let refusal = outcome.as_ref().err().cloned();
                let request = LatestRequest { number, action, refusal, at: self.now };
                self.record(Change::Ordered { license_id, hardware_id, scope, request });
                outcome
            }
        }
    }
}
