//! Atomics and locks for the modules that loom tests: std's in the library, loom's in those tests.
//!
//! loom runs a test in every order of its threads that the memory model allows (`make test-loom`).

#[cfg(all(test, loom))]
pub(crate) use loom::sync::*;
#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::*;
