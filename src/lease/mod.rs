//! The lease: a slot that lives through the day.
//!
//! [`machine`] decides, from what happened and when, how a lease stands and what its host is told. [`clock`] tells the
//! time it goes by, which does not stand still while a laptop sleeps. [`store`] keeps what must outlive the process.
//! `errands` does submitted calls, `ticket` is how a cancel reaches one, and `events` is the queue that a host reads;
//! `sync` is what their threads meet by.

pub mod clock;
mod errands;
mod events;
pub mod machine;
mod share;
pub mod store;
mod sync;
mod ticket;
