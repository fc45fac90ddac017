//! The order of requests: a request is not carried out if a later one about the same slot or device has overtaken it.
//!
//! A client that gives up on a request can't recall it. The request may arrive after the client's next one, and would undo
//! its effect. So a client numbers its requests, and the server remembers the highest number of each slot of each device.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::change::Change;
use super::command::{Action, Command};
use super::latest_requests::{LatestRequest, OrderScope, OrderedAction};
use super::refusal::Refusal;
use super::reply::{Outcome, Reply};
use super::state::{State, Transition};
use super::subject::Subject;
use crate::catalogue::License;

/// Upper bound for the other devices whose numbers each request makes the server forget.
///
/// It is more than one, so that memory shrinks again after a busy hour, and small, so that no request waits for it.
const FORGOTTEN_AT_ONCE: usize = 4;

/// The order number of a command, with its scope.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) scope: OrderScope,
    pub(super) action: OrderedAction,
}

impl Order {
    /// Returns the order of a command; `None` if it has no number or can't be about a slot.
    ///
    /// A command about an unknown feature is refused anyway, and checking a license that does not float changes nothing.
    pub(super) fn of(command: &Command, license: &License) -> Option<Order> {
        let number = command.order?;
        let of_feature = |code: &str| license.feature(code).map(|feature| OrderScope::Slot(Some(feature.id)));
        let (scope, action) = match &command.action {
            Action::Activate { .. } => (OrderScope::Device, OrderedAction::Activate),
            Action::Deactivate { .. } => (OrderScope::Device, OrderedAction::Deactivate),
            Action::CheckLicense { .. } => {
                license.floating.as_ref()?;
                (OrderScope::Slot(None), OrderedAction::Check)
            }
            Action::BorrowLicense(_) => (OrderScope::Slot(None), OrderedAction::Borrow),
            Action::ReleaseLicense => (OrderScope::Slot(None), OrderedAction::Release),
            Action::CheckFeature { feature, .. } => {
                license.feature(feature)?.floating.as_ref()?;
                (of_feature(feature)?, OrderedAction::Check)
            }
            Action::BorrowFeature { feature, .. } => (of_feature(feature)?, OrderedAction::Borrow),
            Action::ReleaseFeature { feature } => (of_feature(feature)?, OrderedAction::Release),
            Action::AddConsumption { .. }
            | Action::AddFeatureConsumption { .. }
            | Action::ListVersions(_)
            | Action::FindInstallationFile { .. }
            | Action::ListVariables
            | Action::TrackVariables { .. } => return None,
        };
        Some(Order { number, scope, action })
    }
}

impl State {
    /// Returns the number below which a request of the device is not carried out; `None` if every number is accepted.
    pub fn highest_order(
        &self,
        license_id: u64,
        hardware_id: &str,
        scope: OrderScope,
        now: DateTime<Utc>,
    ) -> Option<u64> {
        let device = self.orders.device(license_id, hardware_id).map(|found| found.1);
        device.filter(|device| !device.is_overdue(now))?.highest(scope)
    }
}

impl Transition<'_> {
    /// Replies to a request whose number is the highest already, and changes nothing.
    ///
    /// If it is the same request, the first reply was lost, and the client gets its reply again. It is outdated if its effect
    /// is gone meanwhile, or if another request has the same number: a client that still waits takes a higher number.
    pub(super) fn answer_repetition(&mut self, order: Order, subject: &Subject, command: &Command) -> Outcome {
        let Order { number, scope, action } = order;
        let outdated = Refusal::OrderOutdated { highest: number };
        let device = self.state.orders.device(subject.license.id, &command.hardware_id).map(|found| found.1);
        let same = |first: &&LatestRequest| first.number == number && first.action == action;
        match device.and_then(|device| device.of(scope)).filter(same) {
            Some(LatestRequest { refusal: Some(refusal), .. }) => Err(refusal.clone()),
            Some(_) => self.reply_if_still_so(subject, command).ok_or(outdated),
            None => Err(outdated),
        }
    }

    /// Returns the reply to a command that was carried out before, if its effect still lasts.
    fn reply_if_still_so(&mut self, subject: &Subject, command: &Command) -> Option<Reply> {
        let license = &subject.license;
        let device_id = match command.action {
            Action::ReleaseLicense | Action::ReleaseFeature { .. } => return Some(Reply::Empty),
            Action::Deactivate { .. } => return Some(Reply::DEACTIVATED),
            _ => self.active_device(license.id, &command.hardware_id)?,
        };
        match &command.action {
            Action::Activate { .. } => Some(self.activation_reply(subject, command, device_id)),
            Action::CheckLicense { include_expired_features, wanted } => {
                self.slot(license, None, device_id)?;
                Some(self.license_reply(subject, command, device_id, *include_expired_features, wanted))
            }
            Action::CheckFeature { feature, include_metadata_string } => {
                let feature = license.feature(feature)?;
                self.slot(license, Some(feature), device_id)?;
                Some(self.feature_reply(license, feature, device_id, *include_metadata_string))
            }
            Action::BorrowLicense(_) => self.borrowed(license, None, device_id),
            Action::BorrowFeature { feature, .. } => self.borrowed(license, Some(license.feature(feature)?), device_id),
            _ => None,
        }
    }

    /// Forgets the numbers of this device if they are old, and those of some other devices.
    ///
    /// Returns the stored copy of the hardware id, so that all numbers of the device share it.
    pub(super) fn forget_overdue(&mut self, license_id: u64, hardware_id: &str) -> Arc<str> {
        let known = self.state.orders.device(license_id, hardware_id);
        let is_overdue = known.is_some_and(|(_, device)| device.is_overdue(self.now));
        let name = known.map_or_else(|| Arc::from(hardware_id), |(name, _)| Arc::clone(name));
        if is_overdue {
            self.record(Change::OrderForgotten { license_id, hardware_id: Arc::clone(&name) });
        }
        let others: Vec<_> = self.state.orders.overdue(self.now).take(FORGOTTEN_AT_ONCE).collect();
        for (license_id, hardware_id) in others {
            self.record(Change::OrderForgotten { license_id, hardware_id });
        }
        name
    }
}
