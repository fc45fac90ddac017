//! floatlease-server: a license server that speaks the LicenseSpring License API v4.
//!
//! [`http`](Server) workers parse, authorise and sign; one writer thread applies commands to [`domain`] and answers
//! after the [`store`] has kept what changed; the [`catalogue`] says what is licensed to whom. The [`sandbox`] is the same
//! with a clock and failures that a test decides; [`openapi`] describes it all.
#![forbid(unsafe_code)]

pub mod catalogue;
pub mod clock;
pub mod domain;
mod http;
pub mod keys;
pub mod openapi;
pub mod private;
pub mod sandbox;
mod server;
pub mod store;
mod writer;

pub use server::{Failure, Server, Setup};
