//! The lease.

mod acquire_request;
mod background;
mod clock;
mod consumption;
mod context;
mod lease_inner;
mod license_calls;
mod license_ref;
mod manager;
mod session;
mod slot;
pub mod state_cell;
pub mod state_machine;
mod status;
pub mod storage;
mod sync;
mod unanswered;

pub use background::calls::{Guard, caught};
pub use session::{Lease, Session, remaining_ms};
