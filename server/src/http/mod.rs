//! The API over HTTP: connections, requests, authorisation, replies.

mod authorise;
mod error_bodies;
mod listener;
pub(crate) mod parameters;
mod places;
pub(crate) mod public_routes;
mod raw_connection;
mod request;
mod response;
mod service;
mod sign;
pub(crate) mod token_endpoint;
mod tokens;

pub(crate) use listener::{Handler, Listener, bind};
pub(crate) use raw_connection::{RawConnection, WireAction};
pub(crate) use request::{BASE_PATH, ReceivedRequest};
pub(crate) use response::response;
pub(crate) use service::{Service, ServiceParts, ServiceThread, echo};
pub(crate) use token_endpoint::{claimed_client, is_token_request};
