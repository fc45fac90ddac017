//! What threads meet by: the standard library's, or loom's, which tries every order in which they can meet.

#[cfg(loom)]
pub(crate) use loom::{sync::Condvar, sync::Mutex, sync::MutexGuard, sync::atomic, thread};
#[cfg(not(loom))]
pub(crate) use std::{sync::Condvar, sync::Mutex, sync::MutexGuard, sync::atomic, thread};
