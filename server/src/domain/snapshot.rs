//! Takes the view of a license for a reply, while the state stands still.

use std::sync::Arc;

use super::command::{Command, Credential};
use super::device::DeviceStatus;
use super::entitlement::EntitlementId;
use super::reply::Reply;
use super::state::{State, Transition};
use super::subject::Subject;
use super::view::{FeatureView, LicenseView, PoolTotal, PoolView, UserView};
use crate::catalogue::{Consumption, Feature, License, ProductStatus, User, VersionFilter};

impl Transition<'_> {
    pub(super) fn activation_reply(&mut self, subject: &Subject, command: &Command, device_id: u64) -> Reply {
        let (asking, wanted) = (Asking::of(subject, command, device_id), VersionFilter::default());
        Reply::Activation(Box::new(self.license_view(subject, &asking, false, &wanted)))
    }

    pub(super) fn license_reply(
        &mut self,
        subject: &Subject,
        command: &Command,
        device_id: u64,
        include_expired_features: bool,
        wanted: &VersionFilter,
    ) -> Reply {
        let asking = Asking::of(subject, command, device_id);
        Reply::License(Box::new(self.license_view(subject, &asking, include_expired_features, wanted)))
    }

    /// Returns the licenses that are active on this device, as it would see each.
    pub(super) fn device_licenses(&mut self, hardware_id: &str) -> Vec<LicenseView> {
        let catalogue = Arc::clone(&self.state.catalogue);
        let mut views = Vec::new();
        for license in catalogue.licenses().iter().filter(|license| license.product.status == ProductStatus::Enabled) {
            let record = self.state.licenses.get(&license.id);
            let Some(device) = record.and_then(|record| record.devices.get(hardware_id)) else { continue };
            if device.status != DeviceStatus::Active || !catalogue.is_reachable(license.id, device.user_id) {
                continue;
            }
            let (device_id, user_id) = (device.id, device.user_id);
            let user = license.users().iter().find(|user| user_id == Some(user.id)).cloned();
            // The license was named by a key when the device was activated, and now belongs to users.
            if user.is_none() && !license.users().is_empty() {
                continue;
            }
            let subject = Subject { license: Arc::clone(license), user };
            // A v1 signature names the license as the reply does.
            let auth = subject.user.as_ref().map_or(license.name(), |user| &user.email).to_owned();
            let asking = Asking { auth, hardware_id: hardware_id.to_owned(), device_id };
            views.push(self.license_view(&subject, &asking, false, &VersionFilter::default()));
        }
        views
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
        asking: &Asking,
        include_expired_features: bool,
        wanted: &VersionFilter,
    ) -> LicenseView {
        let license = &subject.license;
        let Asking { auth, hardware_id, device_id } = asking.clone();
        let shown = license.features.iter().filter(|feature| include_expired_features || !feature.is_expired(self.now));
        let shown: Vec<_> = shown.collect();
        let features = shown.into_iter().map(|feature| self.feature_view(license, feature, device_id)).collect();
        let pool = self.pool(license, None, device_id);
        let record = self.state.licenses.get(&license.id);
        LicenseView {
            license: Arc::clone(license),
            user: subject.user.as_ref().map(|user| self.state.user_view(user)),
            auth,
            variables: self.variables(license.id, &hardware_id),
            hardware_id,
            device_id,
            pool,
            is_expired: license.is_expired(self.now),
            times_activated: record.map_or(0, |record| record.times_activated),
            transfer_count: record.map_or(0, |record| record.transfer_count),
            overages: self.state.overages(license),
            total_consumptions: self.total(license, None, license.consumption.as_ref()),
            consumption_pool: self.consumption_pool(license, None, license.consumption.as_ref(), device_id),
            features,
            version: license.versions(wanted).next().cloned(),
        }
    }

    fn feature_view(&mut self, license: &License, feature: &Arc<Feature>, device_id: u64) -> FeatureView {
        FeatureView {
            feature: Arc::clone(feature),
            pool: self.pool(license, Some(feature), device_id),
            is_expired: feature.is_expired(self.now),
            total_consumptions: self.total(license, Some(feature), feature.consumption.as_ref()),
            consumption_pool: self.consumption_pool(license, Some(feature), feature.consumption.as_ref(), device_id),
        }
    }

    fn pool(&mut self, license: &License, feature: Option<&Feature>, device_id: u64) -> PoolView {
        let slot = self.slot(license, feature, device_id).filter(|slot| slot.borrowed);
        PoolView { in_use: self.in_use(license, feature), borrowed_until: slot.map(|slot| slot.until) }
    }

    fn total(&self, license: &License, feature: Option<&Feature>, consumption: Option<&Consumption>) -> i64 {
        let entitlement = EntitlementId::of(license, feature);
        consumption.map_or(0, |consumption| self.state.total(entitlement, consumption, self.now))
    }

    fn consumption_pool(
        &self,
        license: &License,
        feature: Option<&Feature>,
        consumption: Option<&Consumption>,
        device_id: u64,
    ) -> Option<PoolTotal> {
        self.state.pool_total(EntitlementId::of(license, feature), consumption?, device_id, self.now)
    }
}

impl State {
    /// Returns the view of a user for a reply.
    pub(super) fn user_view(&self, user: &Arc<User>) -> UserView {
        UserView {
            user: Arc::clone(user),
            is_initial_password: user.is_initial_password && !self.passwords.contains_key(&user.id),
            total_activations: self.activations_of_users.get(&user.id).copied().unwrap_or_default(),
        }
    }
}

/// The device that a license is shown to.
#[derive(Clone)]
struct Asking {
    /// The license's name in a v1 signature.
    auth: String,
    hardware_id: String,
    device_id: u64,
}

impl Asking {
    fn of(subject: &Subject, command: &Command, device_id: u64) -> Asking {
        Asking { auth: auth(subject, &command.credential), hardware_id: command.hardware_id.clone(), device_id }
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
