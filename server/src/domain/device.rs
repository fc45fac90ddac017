//! Devices: what is remembered of each, and of the license that they are active on.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use super::overages::ClientOverages;

/// First number of a device. It has 16 digits, as clients expect.
pub(super) const DEVICE_IDS_FROM: u64 = 1_000_000_000_000_000;

/// A device that is or was active on a license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The device's number.
    pub id: u64,
    /// The user who activated the device, on a user-based license.
    pub user_id: Option<u64>,
    /// The status.
    pub status: DeviceStatus,
}

/// The activation status of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceStatus {
    /// The device is active.
    Active,
    /// The device was active. If another device takes its place, that is a transfer.
    Vacated,
    /// The device was active, and another device has taken its place.
    Replaced,
}

/// A fact that the host program keeps about a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The variable's name.
    pub name: String,
    /// The variable's value, as a text.
    pub value: String,
    /// The time at which it was set.
    pub created_at: DateTime<Utc>,
}

/// The history of one license, except for its slots and consumption.
#[derive(Debug, Default)]
pub(super) struct LicenseRecord {
    pub(super) devices: HashMap<String, Device>,
    pub(super) variables: HashMap<String, BTreeMap<String, Variable>>,
    /// Hardware ids of the vacated devices, by the devices' numbers.
    pub(super) vacated: BTreeMap<u64, String>,
    pub(super) times_activated: u64,
    pub(super) transfer_count: u64,
    pub(super) overages: Option<ClientOverages>,
    /// The number of the latest request file of each device.
    pub(super) offline_requests: HashMap<String, i64>,
}
