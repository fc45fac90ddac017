//! Takes the view of a license for a reply, while the state stands still.

use std::sync::Arc;

use super::command::{Command, Credential};
use super::entitlement::EntitlementId;
use super::reply::Reply;
use super::state::Transition;
use super::subject::Subject;
use super::view::{FeatureView, LicenseView, PoolView, UserView};
use crate::catalogue::{Consumption, Feature, License, User};

impl Transition<'_> {
    pub(super) fn activation_reply(&mut self, subject: &Subject, command: &Command, device_id: u64) -> Reply {
        Reply::Activation(Box::new(self.license_view(subject, command, device_id, false)))
    }

    pub(super) fn license_reply(
        &mut self,
        subject: &Subject,
        command: &Command,
        device_id: u64,
        include_expired_features: bool,
    ) -> Reply {
        Reply::License(Box::new(self.license_view(subject, command, device_id, include_expired_features)))
    }

    pub(super) fn feature_reply(
        &mut self,
        license: &License,
        feature: &Arc<Feature>,
        device_id: u64,
        include_metadata_string: bool,
    ) -> Reply {
        let feature = self.feature_view(license, feature, device_id);
        Reply::Feature { license_id: license.id, feature, include_metadata_string }
    }

    fn license_view(
        &mut self,
        subject: &Subject,
        command: &Command,
        device_id: u64,
        include_expired_features: bool,
    ) -> LicenseView {
        let license = &subject.license;
        let shown = license.features.iter().filter(|feature| include_expired_features || !feature.is_expired(self.now));
        let shown: Vec<_> = shown.collect();
        let features = shown.into_iter().map(|feature| self.feature_view(license, feature, device_id)).collect();
        let pool = self.pool(license, None, device_id);
        let record = self.state.licenses.get(&license.id);
        let variables = record.and_then(|record| record.variables.get(&command.hardware_id));
        LicenseView {
            license: Arc::clone(license),
            user: subject.user.as_ref().map(|user| self.user_view(user)),
            auth: auth(subject, &command.credential),
            hardware_id: command.hardware_id.clone(),
            device_id,
            pool,
            is_expired: license.is_expired(self.now),
            times_activated: record.map_or(0, |record| record.times_activated),
            transfer_count: record.map_or(0, |record| record.transfer_count),
            overages: self.state.overages(license),
            total_consumptions: self.total(license, None, license.consumption.as_ref()),
            features,
            variables: variables.into_iter().flat_map(|variables| variables.values().cloned()).collect(),
        }
    }

    fn feature_view(&mut self, license: &License, feature: &Arc<Feature>, device_id: u64) -> FeatureView {
        FeatureView {
            feature: Arc::clone(feature),
            pool: self.pool(license, Some(feature), device_id),
            is_expired: feature.is_expired(self.now),
            total_consumptions: self.total(license, Some(feature), feature.consumption.as_ref()),
        }
    }

    fn user_view(&self, user: &Arc<User>) -> UserView {
        let total_activations = self.state.activations_of_users.get(&user.id).copied().unwrap_or_default();
        UserView { user: Arc::clone(user), total_activations }
    }

    fn pool(&mut self, license: &License, feature: Option<&Feature>, device_id: u64) -> PoolView {
        let slot = self.slot(license, feature, device_id).filter(|slot| slot.borrowed);
        PoolView { in_use: self.in_use(license, feature), borrowed_until: slot.map(|slot| slot.until) }
    }

    fn total(&self, license: &License, feature: Option<&Feature>, consumption: Option<&Consumption>) -> i64 {
        let entitlement = EntitlementId::of(license, feature);
        consumption.map_or(0, |consumption| self.state.total(entitlement, consumption, self.now))
    }
}

/// Returns the license's name in a v1 signature: license key or user name.
///
/// A client with a token knows neither, so there it is the user's e-mail address, which the reply holds.
fn auth(subject: &Subject, credential: &Credential) -> String {
    match credential {
        Credential::Key(key) => key.clone(),
        Credential::User { username, .. } => username.clone(),
        Credential::Token { .. } => subject.user.as_ref().map(|user| user.email.clone()).unwrap_or_default(),
    }
}
