//! The API over HTTP: connections, requests, authorisation, replies.

mod authorise;
mod error_bodies;
#[cfg(feature = "identity-providers")]
mod fetch;
#[cfg(feature = "identity-providers")]
mod identity;
#[cfg(feature = "identity-providers")]
mod key_set;
mod listener;
#[cfg(not(feature = "identity-providers"))]
mod no_identity;
mod offline_file;
pub(crate) mod parameters;
mod passwords;
mod places;
pub(crate) mod public_routes;
mod rate_limits;
mod raw_connection;
mod refused_connection;
mod request;
mod response;
mod service;
mod sign;
mod sign_in;
pub(crate) mod token_endpoint;
mod tokens;

pub(crate) use listener::{Handler, Listener, bind};
pub use rate_limits::{Limit, RateLimits};
pub(crate) use raw_connection::{RawConnection, WireAction};
pub(crate) use request::{BASE_PATH, ReceivedRequest};
pub(crate) use response::response;
pub(crate) use service::{Service, ServiceParts, ServiceThread, echo};
pub(crate) use token_endpoint::{claimed_client, is_token_request};
