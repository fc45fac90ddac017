//! The C ABI: the client's functions, and what every C ABI of the house is made of. [`call`] is the guard around an
//! exported function, [`handle`] what a handle is; the sandbox's library is made of the same two.
#![allow(unsafe_code)]
// The conventions of the header say it once for all functions.
#![allow(clippy::missing_safety_doc)]
#![allow(non_camel_case_types)]

pub mod call;
mod chunks;
#[cfg(feature = "exports")]
mod exports;
pub mod handle;
#[cfg(feature = "exports")]
mod memory;

pub use call::floatlease_status;
#[cfg(feature = "exports")]
pub use exports::*;
