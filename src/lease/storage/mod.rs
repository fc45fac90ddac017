//! S.

pub(crate) mod append_log;
pub(crate) mod disk;
pub(crate) mod json;
pub(crate) mod lock;
pub(crate) mod process_lock;
pub(crate) mod retry;
pub(crate) mod seal;
pub mod sealed_file;
