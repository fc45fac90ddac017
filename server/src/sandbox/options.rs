//! The options that a world starts with: catalogue, time, faults.

use chrono::{DateTime, Utc};
use floatlease::model::{IDEMPOTENCY_KEY, ORDER};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toml::Table;

use super::control_error::ControlError;
use super::fault::Fault;
use super::presets::Presets;
use super::strict_json::objects;
use super::time_spec::{OUT_OF_RANGE, instant, is_in_range, schema_of_optional_instant};
use crate::catalogue::{self, Catalogue};

/// The default catalogue of a world, which `demo` serves too.
pub const SAMPLE: &str = include_str!("../../../examples/catalogue.toml");

/// The options of a world. Every member may be left out.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WorldOptions {
    /// The catalogue: an object with the members of `examples/catalogue.toml`, or the text of such a file. Its times may
    /// be relative to the world's time: `now+30days`. Default: the sample that `demo` serves.
    pub(super) catalogue: Option<CatalogueSource>,
    /// Adds an easy way to provoke each documented refusal. The reply lists them.
    pub(super) presets: bool,
    /// The world's time at its start: a date, or `now-1h`. Default: the real time.
    #[schemars(schema_with = "schema_of_optional_instant")]
    pub(super) now: Option<String>,
    /// The rate of the world's clock: 1 (the default) is real time, 60 is a minute in each second, 0 stands still.
    #[schemars(range(min = 0, max = MAX_RATE))]
    pub(super) rate: Option<f64>,
    /// The clock that the `Date` of requests is compared with.
    pub(super) date_check: DateCheck,
    /// The faults at the world's start.
    #[serde(deserialize_with = "objects")]
    pub(super) faults: Vec<Fault>,
    /// True if the server supports `FloatLease-Order`. If not, it ignores the header and does not repeat it, as the
    /// vendor's cloud does. Default: true.
    pub(super) order: Option<bool>,
    /// True if the server supports `Idempotency-Key`. If not, it ignores the header and does not repeat it. Default: true.
    pub(super) idempotency: Option<bool>,
    /// Time in seconds after which the world ends if nobody uses it. Default: 600.
    pub(super) idle_s: Option<u32>,
}

/// The clock that the `Date` of requests is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DateCheck {
    /// The computer's clock, so that clients stay authorised whatever the world's time is.
    #[default]
    Real,
    /// The world's clock, to test a client whose clock is wrong.
    World,
}

/// A catalogue, as JSON or as the text of a file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum CatalogueSource {
    /// TOML, or JSON in a string.
    Text(String),
    /// JSON.
    Object(Map<String, Value>),
}

/// Upper bound for a clock's rate.
pub(super) const MAX_RATE: f64 = 1_000_000.0;

/// Refuses a rate that a clock can't run at.
pub(super) fn check_rate(rate: f64) -> Result<f64, ControlError> {
    let invalid = || ControlError::invalid(format!("`rate` must be from 0 (stands still) to {MAX_RATE}"));
    Some(rate).filter(|rate| (0.0..=MAX_RATE).contains(rate)).ok_or_else(invalid)
}

impl WorldOptions {
    /// Returns the request headers that the server ignores.
    pub(super) fn ignored_headers(&self) -> Vec<&'static str> {
        let known = [(self.order, ORDER), (self.idempotency, IDEMPOTENCY_KEY)];
        known.into_iter().filter(|row| row.0 == Some(false)).map(|row| row.1).collect()
    }

    /// Returns the world's time at its start.
    pub(super) fn start(&self) -> Result<DateTime<Utc>, ControlError> {
        let real = Utc::now();
        let start = self.now.as_deref().map_or(Ok(real), |text| instant(text, real))?;
        if is_in_range(&start) { Ok(start) } else { Err(ControlError::invalid(format!("`now`: {OUT_OF_RANGE}"))) }
    }

    /// Returns the world's catalogue, with what the presets need.
    pub(super) fn catalogue(&self, now: DateTime<Utc>, presets: Option<&Presets>) -> Result<Catalogue, ControlError> {
        let wrong = |errors: catalogue::CatalogueErrors| ControlError::invalid(format!("`catalogue`: {errors}"));
        let mut table = match &self.catalogue {
            None => catalogue::table(SAMPLE).map_err(wrong)?,
            Some(CatalogueSource::Text(text)) if text.trim_start().starts_with('{') => {
                let object = serde_json::from_str(text);
                from_json(
                    object.map_err(|error| ControlError::invalid(format!("`catalogue` is invalid JSON: {error}")))?,
                )?
            }
            Some(CatalogueSource::Text(text)) => catalogue::table(text).map_err(wrong)?,
            Some(CatalogueSource::Object(object)) => from_json(object.clone())?,
        };
        if let Some(presets) = presets {
            presets.add_to(&mut table).map_err(wrong)?;
        }
        resolve(&mut table, now)?;
        catalogue::read(table).map_err(wrong)
    }
}

fn from_json(object: Map<String, Value>) -> Result<Table, ControlError> {
    Table::try_from(object)
        .map_err(|error| ControlError::invalid(format!("`catalogue`: {error}; leave out members that are null")))
}

/// Members of a catalogue that hold times.
const TIMES: [&str; 5] =
    ["start_date", "validity_period", "maintenance_period", "expiry_date", "previous_secret_until"];

/// Replaces relative times in the catalogue by absolute ones.
fn resolve(table: &mut Table, now: DateTime<Utc>) -> Result<(), ControlError> {
    for (key, value) in table.iter_mut() {
        match value {
            toml::Value::String(text) if TIMES.contains(&key.as_str()) && text.trim_start().starts_with("now") => {
                let time =
                    instant(text, now).map_err(|error| ControlError::invalid(format!("`{key}`: {}", error.message)))?;
                *text = floatlease::model::format_time(time);
            }
            // Metadata is passed through to the host program, whatever its members are called.
            _ if key == "metadata" => {}
            toml::Value::Table(table) => resolve(table, now)?,
            toml::Value::Array(values) => {
                for table in values.iter_mut().filter_map(toml::Value::as_table_mut) {
                    resolve(table, now)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
