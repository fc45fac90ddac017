//! Trials: a device that asks for one gets a license of its own, once for each product.

use chrono::{DateTime, TimeDelta, Utc};

use super::change::Change;
use super::refusal::Refusal;
use super::reply::{Outcome, Reply};
use super::state::State;
use crate::catalogue::{Customer, ProductStatus, Trial, derived_id};

/// A request for a trial.
#[derive(Debug, Clone)]
pub struct TrialRequest {
    /// The product's short code.
    pub product: String,
    /// The device.
    pub hardware_id: String,
    /// The name of the terms; `None` for the product's first.
    pub policy: Option<String>,
    /// The person who asks, as far as the request says.
    pub customer: Customer,
    /// The key of the license, if the device has no trial yet.
    pub license_key: String,
}

impl State {
    /// Gives the device a trial, or tells it the one that it has, even if that is over.
    ///
    /// # Errors
    /// The product offers no trial, or the request lacks what the terms demand.
    pub fn issue_trial(&mut self, request: &TrialRequest, now: DateTime<Utc>, changes: &mut Vec<Change>) -> Outcome {
        let product = self.catalogue.product(&request.product).ok_or(Refusal::UnknownProduct)?;
        match product.status {
            ProductStatus::Enabled => {}
            ProductStatus::Disabled => return Err(Refusal::DisabledProduct),
            ProductStatus::Archived => return Err(Refusal::ArchivedProduct),
        }
        if self.catalogue.is_blacklisted(&request.hardware_id) {
            return Err(Refusal::Blacklisted);
        }
        let of_device = (request.product.clone(), request.hardware_id.clone());
        if let Some(trial) = self.trials.get(&of_device) {
            let license = self.catalogue.license_with_key(&trial.product, &trial.license_key);
            let license = license.cloned().ok_or(Refusal::TrialNotAllowed)?;
            return Ok(Reply::Trial { license, issued_at: None });
        }
        let policy = self.catalogue.trial_policy(&request.product, request.policy.as_deref());
        let policy = policy.filter(|policy| !policy.closed).ok_or(Refusal::TrialNotAllowed)?;
        let of_policy = |trial: &&Trial| trial.product == request.product && trial.policy == policy.policy;
        if self.trials.values().filter(of_policy).count() as u64 >= policy.max_trials {
            return Err(Refusal::TrialNotAllowed);
        }
        if policy.email_required && request.customer.email.is_empty() {
            return Err(Refusal::EmailMissing);
        }
        // Drawn from the key, which is random: clients choose the hardware id.
        let license_id = derived_id(&["trial", &request.license_key]);
        if self.catalogue.has_license(license_id) {
            return Err(Refusal::InternalError);
        }
        let trial = Trial {
            license_id,
            product: request.product.clone(),
            policy: policy.policy.clone(),
            hardware_id: request.hardware_id.clone(),
            license_key: request.license_key.clone(),
            issued_at: now,
            ends_at: now + TimeDelta::days(policy.days.into()),
            customer: request.customer.clone(),
        };
        let change = Change::TrialIssued(Box::new(trial));
        self.apply_change(&change);
        changes.push(change);
        let license = self.catalogue.license_with_key(&request.product, &request.license_key);
        Ok(Reply::Trial { license: license.cloned().ok_or(Refusal::InternalError)?, issued_at: Some(now) })
    }
}
