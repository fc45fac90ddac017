//! The lease: a slot that lives through the day.
//!
//! [`machine`] decides, from what happened and when, how a lease stands and what its host is told. [`clock`] tells the
//! time it goes by, which does not stand still while a laptop sleeps. [`store`] keeps what must outlive the process.
//! [`face`] shows what is read without waiting.

pub mod clock;
pub mod face;
pub mod machine;
pub mod store;
mod sync;
