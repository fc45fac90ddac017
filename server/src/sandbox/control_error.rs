//! The errors of the control interface, as testers read them.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An error reply of the control interface.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ControlError {
    /// The HTTP status.
    pub(crate) status: u16,
    /// `invalid`, `not_found`, `conflict`, `not_met` or `internal`.
    pub(crate) code: &'static str,
    /// A sentence for people: what is wrong, and what to do.
    pub(crate) message: String,
}

impl ControlError {
    /// Makes an error for a request that can't be understood.
    pub(crate) fn invalid(message: impl Into<String>) -> ControlError {
        ControlError { status: 400, code: "invalid", message: message.into() }
    }

    /// Makes an error for a name or number that is unknown.
    pub(crate) fn not_found(message: impl Into<String>) -> ControlError {
        ControlError { status: 404, code: "not_found", message: message.into() }
    }

    /// Makes an error for a request that is impossible in the present state.
    pub(crate) fn conflict(message: impl Into<String>) -> ControlError {
        ControlError { status: 409, code: "conflict", message: message.into() }
    }

    /// Makes an error for an expectation of a test that is not met.
    pub(crate) fn not_met(message: impl Into<String>) -> ControlError {
        ControlError { status: 417, code: "not_met", message: message.into() }
    }

    /// Makes an error for a defect of the server.
    pub(crate) fn internal(message: impl Into<String>) -> ControlError {
        ControlError { status: 500, code: "internal", message: message.into() }
    }
}

/// Converts the value to a `T`, or returns an error that names the member.
pub(crate) fn read<T: DeserializeOwned>(value: Value) -> Result<T, ControlError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { String::new() } else { format!("`{path}`: ") };
        let mut why = error.inner().to_string();
        for (type_of_ours, words) in TYPES {
            why = why.replace(&format!("expected {type_of_ours}"), &format!("expected {words}"));
        }
        ControlError::invalid(format!("{place}{why}"))
    })
}

/// Rust's number types, and the words for them that testers in any language understand.
const TYPES: [(&str, &str); 4] = [
    ("f64", "a number"),
    ("i64", "a whole number"),
    ("u64", "a whole number from 0"),
    ("u32", "a whole number from 0"),
];
