//! floatlease: take, hold and give back floating (concurrent) licenses.
//!
//! This crate is the client; behind its C ABI ([`ffi`], `include/floatlease.h`) it is the shared library that every
//! other language uses. Where to find what:
//!
//! | module | what |
//! |---|---|
//! | [`ffi`] | the C ABI: every exported function, the guard around it, handles |
//! | [`client`] | [`Client`]: config in, verbs out; what is repeated and when |
//! | [`config`], `strict` | the config's keys and defaults; strictness towards the caller |
//! | `request`, `reply` | from the caller's JSON to the wire, and what may be believed of what comes back |
//! | [`lease`] | a slot that lives through the day: kept alive, shared by the processes of a machine, carried offline |
//! | [`operations`] | the API as one table |
//! | [`model`] | times and signed texts, shared with the server |
//! | `send` | one request, signed and sent, for calls and diagnoses |
//! | `http` | one exchange: deadlines, cancelling, sockets; the only place that knows ureq |
//! | [`sign`], [`verify`] | authorisation of requests, proof of replies |
//! | [`status`], [`error`] | the status table; the error object |
//! | `json` | objects as hosts read them |
//! | [`hardware`] | the hardware id and how it was found |
//! | `process` | which process this is, among those it was forked from |
//! | `diagnose` | every step to the server, with a verdict |
//!
//! Arrows run one way: `docs/architecture.md` draws them, `tests/architecture.rs` holds the code to the drawing.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod client;
pub mod config;
mod diagnose;
pub mod error;
pub mod ffi;
pub mod hardware;
mod http;
mod json;
pub mod lease;
pub mod model;
pub mod operations;
mod order;
mod process;
mod reply;
mod request;
mod secret;
mod send;
pub mod sign;
pub mod status;
mod strict;
pub mod verify;

pub use client::Client;
pub use error::{Error, Outcome};
pub use secret::Secret;
pub use status::Status;

/// Where the build wrote the C header; `make header` copies it to `include/`.
#[doc(hidden)]
pub const GENERATED_HEADER: &str = env!("FLOATLEASE_GENERATED_HEADER");
