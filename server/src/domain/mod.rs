//! The whole of licensing as a pure function: `apply(state, command, now)` answers and says what changed.
//!
//! No I/O, no clock, no randomness: the same history always ends in the same state, so it is tested against a naive
//! model of itself and recovered by replaying what was stored.

mod activation;
mod apply;
mod audit;
mod change;
mod command;
mod consumption;
mod counter;
mod device;
mod downtime;
mod due;
mod entitlement;
mod floating;
mod idempotency;
mod latest_requests;
mod order;
mod pool;
mod refusal;
pub mod reply;
mod snapshot;
mod state;
mod subject;
mod used_keys;
mod view;

pub use audit::Holding;
pub use change::{Change, Event, EventKind};
pub use command::{Action, Command, Credential, Token, Until};
pub use counter::Counter;
pub use device::{Device, DeviceStatus, Variable};
pub use due::{Due, DueKind};
pub use entitlement::EntitlementId;
pub use latest_requests::{LatestRequest, OrderScope, OrderedAction};
pub use pool::Slot;
pub use refusal::Refusal;
pub use reply::{Outcome, Reply};
pub use state::State;
pub use used_keys::{BookedConsumption, RequestKey};
