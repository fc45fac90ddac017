//! The C ABI: the client's exported functions, and the parts that every C ABI of this repository uses.
//!
//! [`call`] is the guard around an exported function, [`handle`] the tokens that callers hold. The sandbox's library
//! uses both. `exports` has the client's functions.
#![allow(unsafe_code)]
// The header's manual states the safety rules once for all functions.
#![allow(clippy::missing_safety_doc)]
#![allow(non_camel_case_types)]

pub mod call;
mod chunks;
#[cfg(feature = "exports")]
mod exports;
pub mod handle;
#[cfg(feature = "exports")]
mod memory;

pub use crate::descriptor::Placeholders;
pub use call::floatlease_status;
#[cfg(feature = "exports")]
pub use exports::*;
