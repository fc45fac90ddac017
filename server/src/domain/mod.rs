//! All licensing rules as a pure function: `apply(state, command, now)` returns a reply and what has changed.
//!
//! It has no I/O, no clock and no randomness, so the same history always leads to the same state. That is why tests can
//! compare it with a simple model, and why a restart recovers the state by replaying the stored changes.

mod activation;
mod apply;
mod audit;
mod bundle;
mod change;
mod changed_password;
mod command;
mod consumption;
mod consumption_pool;
mod counter;
mod device;
mod downtime;
mod due;
mod edited;
mod entitlement;
mod floating;
mod idempotency;
mod latest_requests;
mod offline;
mod order;
mod overages;
mod pool;
mod refusal;
mod refusal_codes;
pub mod reply;
mod reservation;
mod snapshot;
mod state;
mod subject;
mod trial;
mod used_keys;
mod users;
mod view;

pub use audit::Holding;
pub use change::{Change, Event, EventKind};
pub use changed_password::ChangedPassword;
pub use command::{Action, Command, Credential, PasswordProof, Token, Until};
pub use counter::Counter;
pub use device::{Device, DeviceStatus, Variable};
pub use due::{Due, DueKind};
pub use edited::StartNote;
pub use entitlement::EntitlementId;
pub use latest_requests::{LatestRequest, OrderScope, OrderedAction};
pub use offline::OfflineRequest;
pub use overages::ClientOverages;
pub use pool::Slot;
pub use refusal::Refusal;
pub use reply::{Outcome, Reply};
pub use reservation::Reservation;
pub use state::State;
pub use subject::usable_product;
pub use trial::TrialRequest;
pub use used_keys::{BookedConsumption, RequestKey};
pub use users::{PasswordChange, user_based};
