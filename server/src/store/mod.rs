//! Keeps the changes of the state. Another database would be another implementation of [`Store`].

mod commit_mark;
mod open_files;
mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use sqlite::SqliteStore;

use crate::domain::Change;

/// Keeps changes, so that a restart can recover the state.
pub trait Store: Send {
    /// Returns changes that lead from nothing to the present state. The journal is not among them.
    ///
    /// # Errors
    /// The store can't be read.
    fn load(&mut self) -> Result<Vec<Change>, StoreError>;

    /// Keeps all of these changes, or none. When it returns, they outlast a power cut.
    ///
    /// # Errors
    /// The commit failed, and it is unknown whether the changes were kept.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// Hands over a flag that is set when the server stops.
    ///
    /// A store that waits for another program then gives up, and the commit fails.
    fn give_up_when(&mut self, stopping: Arc<AtomicBool>) {
        let _ = stopping;
    }
}

/// The reason why a store failed, as a text for people.
#[derive(Debug)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}
