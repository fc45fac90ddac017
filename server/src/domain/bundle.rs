//! Bundles: one request about the licenses of several products, which have the same key or user.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::change::Change;
use super::command::{Action, Command};
use super::refusal::Refusal;
use super::reply::{Outcome, Reply};
use super::state::{State, Transition};
use super::subject::Subject;

impl State {
    /// Applies a command that names a bundle in place of a product, to the license of each of its products. A product without
    /// a license is left out.
    ///
    /// All licenses must be usable before the first is touched. A limit that only one of them has reached may still refuse
    /// the request midway; the request can be sent again then, because nothing counts twice.
    pub fn apply_to_bundle(&mut self, command: &Command, now: DateTime<Utc>, changes: &mut Vec<Change>) -> Outcome {
        let catalogue = Arc::clone(&self.catalogue);
        let members = members(self, command)?;
        for (command, subject) in &members {
            subject.require_usable(command, now)?;
        }
        let must_be_active = !matches!(command.action, Action::Activate { .. });
        let (mut licenses, mut found) = (Vec::new(), false);
        for (command, _) in &members {
            match (Transition { state: self, now, changes }).run(&catalogue, command) {
                // The license came into the bundle after the others were activated.
                Err(Refusal::DeviceNotFound) if must_be_active => continue,
                Err(refusal) => return Err(refusal),
                Ok(Reply::License(view) | Reply::Activation(view)) => licenses.push(*view),
                Ok(_) => {}
            }
            found = true;
        }
        match command.action {
            _ if !found => Err(Refusal::DeviceNotFound),
            Action::Activate { .. } => Ok(Reply::ActivatedBundle(licenses)),
            Action::Deactivate { .. } => Ok(Reply::DEACTIVATED),
            _ => Ok(Reply::Licenses(licenses)),
        }
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
