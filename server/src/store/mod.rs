//! Where changes are kept. One trait, so that another database is another file.

mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use sqlite::SqliteStore;

use crate::domain::Change;

/// Keeps changes on disk.
pub trait Store: Send {
    /// Changes that lead to the present state from nothing; the journal is not among them.
    ///
    /// # Errors
    /// The store can't be read.
    fn load(&mut self) -> Result<Vec<Change>, StoreError>;

    /// Keeps all of these, or none: when it returns, they outlast a power cut.
    ///
    /// # Errors
    /// It is not known whether they were kept.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// Hands over a flag that is set when the server stops. A store that waits for another program gives up then, and
    /// the commit fails.
    fn give_up_when(&mut self, stopping: Arc<AtomicBool>) {
        let _ = stopping;
    }
}

/// Why a store failed, for people.
#[derive(Debug)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}
