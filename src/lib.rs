//! floatlease: take, hold and release floating (concurrent) licenses.
//!
//! This crate is the client. With its C ABI ([`ffi`], `include/floatlease.h`) it is the shared library that every
//! other language uses.
//!
//! | module | content |
//! |---|---|
//! | [`ffi`] | the C ABI: every exported function, the guard around it, handles |
//! | [`client`] | [`Client`]: performs operations, and repeats failed requests |
//! | [`config`], `strict` | the config's keys and defaults; checks of the caller's JSON |
//! | `request`, `reply` | from the caller's JSON to the wire; which replies are accepted |
//! | [`lease`] | a slot that is kept: renewed, shared by the processes of a machine, borrowed for offline use |
//! | [`operations`] | the API as one table |
//! | [`model`] | times and signed texts, shared with the server |
//! | `order` | order numbers of requests about slots |
//! | `server_clock` | the server's date, as its replies tell it |
//! | `reachability` | whether the server is known to be away |
//! | `send` | sends one signed request, for calls and for `diagnose` |
//! | `offline`, `body_signature` | files of offline activation; the signature inside of a body |
//! | `oauth` | access tokens: fetched by one call at a time, renewed early |
//! | `http` | one exchange: deadlines, cancelling, sockets; the only module that uses ureq |
//! | [`sign`], [`verify`], `pem` | authorisation of requests, signatures of replies, keys as people paste them |
//! | [`status`], [`error`] | the status table; the error object |
//! | `json`, `secret` | JSON objects for hosts; text that no message shows |
//! | [`hardware`] | the hardware id and how it was found |
//! | `thread` | threads of the library inside the host's process |
//! | `signal`, `descriptor` | signals and file descriptors inside the host's process |
//! | `random` | random numbers of the system |
//! | `shortage` | tells what the system has run out of |
//! | `process` | tells this process from those that it was forked from |
//! | `uptime` | clocks that can't be set, with and without the sleep of the machine |
//! | `diagnose` | a test of each step of the way to the server |
//!
//! Dependencies run one way: `docs/architecture.md` draws them, `tests/architecture.rs` compares the code with the
//! drawing.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod body_signature;
pub mod client;
pub mod config;
mod descriptor;
mod diagnose;
pub mod error;
pub mod ffi;
pub mod hardware;
mod http;
mod json;
pub mod lease;
pub mod model;
mod oauth;
mod offline;
pub mod operations;
mod order;
mod pem;
mod process;
mod random;
mod reachability;
mod reply;
mod request;
mod secret;
mod send;
mod server_clock;
mod shortage;
pub mod sign;
mod signal;
pub mod status;
mod strict;
mod thread;
mod uptime;
pub mod verify;

pub use client::Client;
pub use error::{Error, Outcome};
pub use secret::Secret;
pub use status::Status;

/// Path of the C header that the build wrote. `make header` copies it to `include/`.
#[doc(hidden)]
pub const GENERATED_HEADER: &str = env!("FLOATLEASE_GENERATED_HEADER");
