//! Atomics and locks of the files whose interleavings are tried out: std's, and in those tests (`make test-loom`) loom's,
//! which run every order of things that the memory model allows.

#[cfg(all(test, loom))]
pub(crate) use loom::{sync::*, thread};
#[cfg(not(all(test, loom)))]
pub(crate) use std::{sync::*, thread};
