//! The lease.

mod acquire_request;
mod background;
mod clock;
mod consumption;
mod context;
mod lease_inner;
mod license_calls;
mod manager;
mod release;
mod renewal;
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
