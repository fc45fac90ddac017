//! floatlease-server: a license server that speaks the LicenseSpring License API v4.
//!
//! [`http`](Server) workers parse, authorise and sign requests. One writer thread applies commands to the [`domain`], and
//! replies after the [`store`] has kept the changes. The [`catalogue`] holds the licenses. The [`sandbox`] is the same
//! server with a clock and failures that a test controls. [`openapi`] describes the API.
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

pub use http::{Limit, RateLimits};
pub use server::{Failure, Server, Setup};
