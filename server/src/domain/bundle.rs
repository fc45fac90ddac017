//! Bundles: one request about the licenses of several products, which have the same key or user.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::change::Change;
use super::command::{Action, Command};
use super::latest_requests::OrderScope;
use super::order::Order;
use super::refusal::Refusal;
use super::reply::{Outcome, Reply};
use super::state::{State, Transition};
use super::subject::Subject;

impl State {
    /// Applies a command that names a bundle in place of a product, to the license of each of its products. A product without
    /// a license is left out.
    ///
    /// All licenses must be usable, and none have had a later request, before the first is touched. A limit that only one of them has reached may still refuse
    /// the request midway; the request can be sent again then, because nothing counts twice.
    pub fn apply_to_bundle(&mut self, command: &Command, now: DateTime<Utc>, changes: &mut Vec<Change>) -> Outcome {
        let catalogue = Arc::clone(&self.catalogue);
        let mut members = members(self, command)?;
        if !matches!(command.action, Action::Activate { .. }) {
            // A license may have come into the bundle after the others were activated.
            members.retain(|(command, subject)| self.concerns(command, subject.license.id, now));
        }
        for (command, subject) in &members {
            self.require_order(command, subject, now)?;
            subject.require_usable(command, now)?;
        }
        let mut licenses = Vec::new();
        for (command, _) in &members {
            match (Transition { state: self, now, changes }).run(&catalogue, command)? {
                Reply::License(view) | Reply::Activation(view) => licenses.push(*view),
                _ => {}
            }
        }
        match command.action {
            _ if members.is_empty() => Err(Refusal::DeviceNotFound),
            Action::Activate { .. } => Ok(Reply::ActivatedBundle(licenses)),
            Action::Deactivate { .. } => Ok(Reply::DEACTIVATED),
            _ => Ok(Reply::Licenses(licenses)),
        }
    }
}

impl State {
    /// Refuses a command that a later one about the license has overtaken.
    fn require_order(&self, command: &Command, subject: &Subject, now: DateTime<Utc>) -> Result<(), Refusal> {
        let Some(order) = Order::of(command, &subject.license) else { return Ok(()) };
        let highest = self.highest_order(subject.license.id, &command.hardware_id, order.scope, now);
        highest
            .filter(|highest| order.number < *highest)
            .map_or(Ok(()), |highest| Err(Refusal::OrderOutdated { highest }))
    }

    /// Returns true if the license is active on the device, or was deactivated by this very request.
    fn concerns(&self, command: &Command, license_id: u64, now: DateTime<Utc>) -> bool {
        let highest = self.highest_order(license_id, &command.hardware_id, OrderScope::Device, now);
        self.is_active_on(license_id, &command.hardware_id) || command.order.is_some() && command.order == highest
    }
}

/// Returns the command about each license of the bundle, with the license.
fn members(state: &State, command: &Command) -> Result<Vec<(Command, Subject)>, Refusal> {
    let bundle = state.catalogue.bundle(&command.product).ok_or(Refusal::UnknownProduct)?;
    let mut members = Vec::new();
    for product in &bundle.products {
        let command = Command { product: product.clone(), ..command.clone() };
        match Subject::find(state, &command) {
            Ok(subject) => members.push((command, subject)),
            Err(Refusal::LicenseNotFound) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    if members.is_empty() { Err(Refusal::LicenseNotFound) } else { Ok(members) }
}
