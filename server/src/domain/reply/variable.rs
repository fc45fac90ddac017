//! Variables of a device as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::Iso;
use crate::catalogue::derived_id;
use crate::domain::device::Variable;

// A variable in an activation's reply.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ActivationVariable")]
pub(super) struct ActivationVariable<'a> {
    variable: &'a str,
    value: &'a str,
    device_id: u64,
    created_at: Iso,
}

// An entry of the reply to `get_device_variables`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeviceVariable")]
pub(super) struct VariableBody<'a> {
    id: u64,
    created_at: Iso,
    variable: &'a str,
    value: &'a str,
    device_id: u64,
}

// An entry of the reply to `track_device_variables`, where the reference has milliseconds.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TrackedVariable")]
pub(super) struct TrackedVariable<'a> {
    variable: &'a str,
    value: &'a str,
    device_id: u64,
    created_at: i64,
}

impl<'a> ActivationVariable<'a> {
    pub(super) fn of(variable: &'a Variable, device_id: u64) -> ActivationVariable<'a> {
        let created_at = Iso(variable.created_at);
        ActivationVariable { variable: &variable.name, value: &variable.value, device_id, created_at }
    }
}

impl<'a> VariableBody<'a> {
    pub(super) fn of(variable: &'a Variable, device_id: u64) -> VariableBody<'a> {
        VariableBody {
            id: derived_id(&["variable", &device_id.to_string(), &variable.name]),
            created_at: Iso(variable.created_at),
            variable: &variable.name,
            value: &variable.value,
            device_id,
        }
    }
}

impl<'a> TrackedVariable<'a> {
    pub(super) fn of(variable: &'a Variable, device_id: u64) -> TrackedVariable<'a> {
        let created_at = variable.created_at.timestamp_millis();
        TrackedVariable { variable: &variable.name, value: &variable.value, device_id, created_at }
    }
}
