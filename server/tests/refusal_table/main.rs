//! Every operation with every code of its row in `domain/refusal_codes.rs`, and with every parameter given wrongly.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;

mod codes;
mod file_members;
mod odd_names;
mod parameters;
mod provocations;
mod requests;
mod site;
