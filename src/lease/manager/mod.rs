//! The leases of a client, and the threads that renew them in time and release them in the background.
//!
//! | module | its job |
//! |---|---|
//! | `registry` | which leases there are, and what the threads have in common |
//! | `renewals` | which lease is renewed next |
//! | `renewal_thread` | the thread that waits for what is due, and its helpers |
//! | `release_queue` | what is to be released in the background, and when |
//! | `release_thread` | the threads that release it |
//! | `release_all` | the release of everything at once, for the end of a program |

mod registry;
mod release_all;
mod release_queue;
mod release_thread;
mod renewal_thread;
mod renewals;

pub(crate) use registry::LeaseManager;
pub(crate) use release_queue::SlotName;
pub(crate) use renewal_thread::Reservation;
