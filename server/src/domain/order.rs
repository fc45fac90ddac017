//! The order of requests: a request that is overtaken by a later one about the same slot or device is not carried out.
//!
//! A client that gives up on a request can't take it back. The request may arrive after the client's next one, and would
//! undo that. So a client numbers its requests, and the server remembers the highest number of each slot of each device.

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

/// Each request forgets the numbers of at most so many other devices: more than one, so that memory shrinks again after
/// a busy hour, and few, so that no request waits for it.
const FORGOTTEN_AT_ONCE: usize = 4;

/// The number of a command, and what it counts for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) scope: OrderScope,
    pub(super) action: OrderedAction,
}

impl Order {
    /// Nothing if the command has no number, or if there is no slot that it could be about: an unknown feature is
    /// refused anyway, and to check what does not float changes nothing.
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
            Action::AddConsumption { .. } | Action::AddFeatureConsumption { .. } => return None,
        };
        Some(Order { number, scope, action })
    }
}

impl State {
    /// The number below which a request of the device is not carried out; `None` if every number is.
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
    /// Answers a request whose number is the highest already, and changes nothing. If it is the same request, its first
    /// reply was lost, and it is answered as it was then. If what it achieved is gone since, or if another request has
    /// the same number, it is outdated: a client that still waits draws a higher number.
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

    /// The reply to a command that was carried out before, if what it achieved is still so.
    fn reply_if_still_so(&mut self, subject: &Subject, command: &Command) -> Option<Reply> {
        let license = &subject.license;
        let device_id = match command.action {
            Action::ReleaseLicense | Action::ReleaseFeature { .. } => return Some(Reply::Empty),
            Action::Deactivate { .. } => return Some(Reply::DEACTIVATED),
            _ => self.active_device(license.id, &command.hardware_id)?,
        };
        match &command.action {
            Action::Activate { .. } => Some(self.activation_reply(subject, command, device_id)),
            Action::CheckLicense { include_expired_features } => {
                self.slot(license, None, device_id)?;
                Some(self.license_reply(subject, command, device_id, *include_expired_features))
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

    /// Forgets the numbers of this device if their hour is over, and those of some others. Returns the device's name as
    /// the book keeps it, so that there is one copy of it for all numbers of the device.
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
