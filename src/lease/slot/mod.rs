//! One slot at the server.

mod acquire;
mod borrow;
mod proof;
mod record;
mod release;
mod renew;
mod request;
mod state;
mod status;
mod verb_effects;

pub(crate) use record::{LONGEST_LIFE_MS, Record};
pub(crate) use release::{ReleaseMode, StoredRelease};
pub(crate) use state::Slot;
pub(crate) use status::{Confirmation, SlotStatus};
