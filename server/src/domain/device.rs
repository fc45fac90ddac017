//! Devices: what is remembered of each, and of the license that they are active on.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use crate::catalogue::Overages;

/// Devices are numbered from here: 16 digits, as clients expect.
pub(super) const DEVICE_IDS_FROM: u64 = 1_000_000_000_000_000;

/// A device that is or was active on a license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its number.
    pub id: u64,
    /// Who activated it, on a user-based license.
    pub user_id: Option<u64>,
    /// Whether it is active.
    pub status: DeviceStatus,
}

/// Whether a device is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceStatus {
    /// It is.
    Active,
    /// It was; another device that takes its place is a transfer.
    Vacated,
    /// It was, and another one has taken its place.
    Replaced,
}

/// A fact that the host program keeps about a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value as text.
    pub value: String,
    /// When it was set.
    pub created_at: DateTime<Utc>,
}

/// What has happened on one license, its slots and consumption apart.
#[derive(Debug, Default)]
pub(super) struct LicenseRecord {
    pub(super) devices: HashMap<String, Device>,
    pub(super) variables: HashMap<String, BTreeMap<String, Variable>>,
    /// Names of the devices of this status, by number.
    pub(super) vacated: BTreeMap<u64, String>,
    pub(super) times_activated: u64,
    pub(super) transfer_count: u64,
    pub(super) overages: Option<Overages>,
}
