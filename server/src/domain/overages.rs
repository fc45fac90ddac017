//! The overages that a client has set on a license, in place of the catalogue's.

use crate::catalogue::Overages;

/// The overages that a client has set on a license.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientOverages {
    /// The overages.
    pub overages: Overages,
    /// The catalogue's overages at that time. They tell whether its entry was edited since.
    ///
    /// `None` for a client's overages that an earlier version of the server has kept.
    pub replaced: Option<Overages>,
}
