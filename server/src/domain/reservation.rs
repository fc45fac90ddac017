//! Units of a consumption pool that are set aside for a device without a network.

use chrono::{DateTime, Utc};

/// The units that a device may consume without a network. They count as consumed from the pool until they are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// The pool.
    pub pool_id: u64,
    /// The number of units.
    pub units: i64,
    /// The time of the offline activation.
    pub at: DateTime<Utc>,
}
