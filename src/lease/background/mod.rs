//! Calls that the host submits, and the events that it reads.
//!
//! | module | its job |
//! |---|---|
//! | `calls` | submitted calls, and the threads that run them |
//! | `call_queue` | the calls that no thread is running |
//! | `ticket` | the handle of one submitted call, by which it is cancelled |
//! | `events` | the queue of events and completions that the host reads |

pub(crate) mod call_queue;
pub(crate) mod calls;
pub(crate) mod events;
pub(crate) mod ticket;
