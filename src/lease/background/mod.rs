//! B.

pub(crate) mod calls;
pub(crate) mod events;
pub(crate) mod thread;
pub(crate) mod ticket;
