//! What one device sees of a license, before it is made into JSON.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::device::Variable;
use crate::catalogue::{ConsumptionPool, Customer, Feature, License, Overages, User, Version};

/// A license as one device sees it.
#[derive(Debug, Clone)]
pub struct LicenseView {
    pub(super) license: Arc<License>,
    pub(super) user: Option<UserView>,
    /// The license's name in a v1 signature.
    pub(super) auth: String,
    pub(super) hardware_id: String,
    pub(super) device_id: u64,
    pub(super) pool: PoolView,
    pub(super) is_expired: bool,
    pub(super) times_activated: u64,
    pub(super) transfer_count: u64,
    pub(super) overages: Overages,
    pub(super) total_consumptions: i64,
    pub(super) consumption_pool: Option<PoolTotal>,
    pub(super) features: Vec<FeatureView>,
    pub(super) variables: Vec<Variable>,
    /// The newest version that the client asks for and the license includes.
    pub(super) version: Option<Arc<Version>>,
}

/// A user as replies show them.
#[derive(Debug, Clone)]
pub(super) struct UserView {
    pub(super) user: Arc<User>,
    /// True if the user has not chosen the password.
    pub(super) is_initial_password: bool,
    pub(super) total_activations: u64,
}

/// A license and one of its users, apart from any device.
#[derive(Debug, Clone)]
pub struct LicenseUser {
    pub(super) license: Arc<License>,
    pub(super) user: UserView,
    pub(super) is_expired: bool,
    pub(super) times_activated: u64,
    pub(super) transfer_count: u64,
}

/// A customer, and the users of the customer's licenses.
#[derive(Debug, Clone)]
pub struct CustomerUsers {
    pub(super) customer: Arc<Customer>,
    pub(super) users: Vec<LicenseUser>,
}

/// A feature as one device sees it.
#[derive(Debug, Clone)]
pub struct FeatureView {
    pub(super) feature: Arc<Feature>,
    pub(super) pool: PoolView,
    pub(super) is_expired: bool,
    pub(super) total_consumptions: i64,
    pub(super) consumption_pool: Option<PoolTotal>,
}

/// A consumption pool as one device sees it.
#[derive(Debug, Clone)]
pub struct PoolTotal {
    pub(super) pool: Arc<ConsumptionPool>,
    /// What is consumed or reserved by all members.
    pub(super) total: i64,
    /// The part of it that is reserved for the device.
    pub(super) reserved: i64,
}

/// The state of a pool, and of the device's slot in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolView {
    pub(super) in_use: u64,
    pub(super) borrowed_until: Option<DateTime<Utc>>,
}
