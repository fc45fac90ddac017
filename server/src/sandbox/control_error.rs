//! What a tester got wrong, as the control interface says it.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A refusal of the control interface.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ControlError {
    /// The HTTP status.
    pub(crate) status: u16,
    /// `invalid`, `not_found`, `conflict`, `not_met` or `internal`.
    pub(crate) code: &'static str,
    /// What is wrong and what to do, for people.
    pub(crate) message: String,
}

impl ControlError {
    /// The request can't be understood.
    pub(crate) fn invalid(message: impl Into<String>) -> ControlError {
        ControlError { status: 400, code: "invalid", message: message.into() }
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> ControlError {
        ControlError { status: 404, code: "not_found", message: message.into() }
    }

    /// It can't be done as things are.
    pub(crate) fn conflict(message: impl Into<String>) -> ControlError {
        ControlError { status: 409, code: "conflict", message: message.into() }
    }

    /// What a test expected is not so.
    pub(crate) fn not_met(message: impl Into<String>) -> ControlError {
        ControlError { status: 417, code: "not_met", message: message.into() }
    }

    /// A defect of ours.
    pub(crate) fn internal(message: impl Into<String>) -> ControlError {
        ControlError { status: 500, code: "internal", message: message.into() }
    }
}

/// The value as a `T`, or a sentence that names the member.
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

/// Our types, as testers in any language call them.
const TYPES: [(&str, &str); 4] = [
    ("f64", "a number"),
    ("i64", "a whole number"),
    ("u64", "a whole number from 0"),
    ("u32", "a whole number from 0"),
];
