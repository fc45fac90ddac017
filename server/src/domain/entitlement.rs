//! The key of everything that is counted: a license, or one of its features.

use crate::catalogue::{ConsumptionPool, Feature, License};

/// The license, or the feature of a license, that a slot or a consumption total belongs to.
///
/// The total of a consumption pool has the pool's number in place of a license's: no two entries of a catalogue have the
/// same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntitlementId {
    /// The license.
    pub license_id: u64,
    /// The feature; `None` for the license itself.
    pub feature_id: Option<u64>,
}

impl EntitlementId {
    pub(super) fn of_pool(pool: &ConsumptionPool) -> EntitlementId {
        EntitlementId { license_id: pool.id, feature_id: None }
    }

    pub(super) fn of(license: &License, feature: Option<&Feature>) -> EntitlementId {
        EntitlementId { license_id: license.id, feature_id: feature.map(|feature| feature.id) }
    }
}
