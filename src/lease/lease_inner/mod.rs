//! A lease behind its handle: all of its slots, or none.
//!
//! | module | its job |
//! |---|---|
//! | `state` | the lease's slots and status, and who may use them when |
//! | `acquire`, `renew`, `borrow`, `release` | one thing that is done to all slots together |
//! | `activation` | what an acquire does on a device that is new to the license |
//! | `verb_effects` | what verbs of the client, called directly, have done to the lease's slots |

mod acquire;
mod activation;
mod borrow;
mod release;
mod renew;
mod state;
mod verb_effects;

pub(crate) use activation::Activation;
pub(crate) use state::{LeaseInner, MOST_REQUESTS, timeout_of_all};
