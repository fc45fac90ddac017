//! The lease: a slot that lives through the day.
//!
//! [`machine`] decides, from what happened and when, how a lease stands and what its host is told. [`clock`] tells the
//! time it goes by, which does not stand still while a laptop sleeps. [`store`] keeps what must outlive the process.
//! [`face`] shows what is read without waiting. `share` lets the processes of a machine share a slot, by means of `lock`.

pub mod clock;
pub mod face;
mod lock;
pub mod machine;
mod share;
pub mod store;
mod sync;
