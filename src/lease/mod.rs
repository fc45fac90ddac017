//! A lease holds slots of a floating license while its host runs: renewed in time, shared by the processes of the machine,
//! carried offline, and released at the end.
//!
//! | module | its job |
//! |---|---|
//! | `session` | a client with its leases, as a host uses them |
//! | `acquisition` | an acquire under way, and its pauses while others hold the slots |
//! | `lease_calls` | calls about a lease that is held |
//! | `license_calls` | verbs that are called directly, and their effect on leases |
//! | `manager` | the leases of a client, and the threads that renew and release them |
//! | `lease_inner` | one lease: all of its slots, or none |
//! | `slot` | one slot at the server, and its record on disk |
//! | `stored_slots` | what this device holds as the files tell, whichever process has taken it |
//! | `consumption` | consumptions that are queued while the server can't be reached |
//! | `status`, [`state_cell`] | the state of a lease as its host reads it, with a lock and without |
//! | [`state_machine`] | the state of a lease as a pure function of inputs and times |
//! | `context` | what the calls of a client share, and the context of one request |
//! | `acquire_request`, `license_ref` | the request of an acquire; the license and device of a request |
//! | `unanswered` | requests that a server may still carry out after their caller has given up |
//! | `background` | submitted calls, the queue of events, threads |
//! | [`storage`] | files that outlive the process, and locks among processes |
//! | `clock`, `sync` | a clock that counts sleep; atomics and locks that loom can replace |

mod acquire_request;
mod acquisition;
mod background;
mod clock;
mod consumption;
mod context;
mod lease_calls;
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
mod stored_slots;
mod sync;
mod unanswered;

pub use background::calls::{Guard, caught};
pub use session::{Lease, Session, remaining_ms};
