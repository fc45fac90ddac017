//! The control interface over its port: worlds, clocks, faults and journals as testers use them.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod clock;
mod faults;
mod headers;
mod journal;
mod worlds;
