//! The requests and replies of the control interface.

use std::collections::BTreeMap;

use floatlease::model::format_time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::Holding;
use crate::sandbox::fault::{Fault, FaultEntry, Match, Profile};
use crate::sandbox::journal::{Entry, EventRecord, FILTERS};
use crate::sandbox::options::{DateCheck, MAX_RATE};
use crate::sandbox::presets::Preset;
use crate::sandbox::strict_json::{object, objects};
use crate::sandbox::time_spec::{schema_of_advance, schema_of_instant, schema_of_jump, schema_of_optional_instant};
use crate::sandbox::world::World;

/// A request without members.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmptyRequest {}

/// A reply without members: the call has succeeded.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EmptyReply {}

/// A world, with everything that its clients need.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct WorldReply {
    /// The world's name in `/worlds/{world}`.
    pub(super) world: String,
    /// `base_url`, `api_key`, `shared_key`, `client_id`, `client_secret`, `public_key`, `control_url` (if the control interface has a port), and the
    /// first names to try: `product`, `license_key`, `feature` and so on, as far as the catalogue has them.
    #[serde(flatten)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(super) facts: Map<String, Value>,
    /// A complete configuration for the client.
    pub(super) client_config: Map<String, Value>,
    /// The way to provoke each refusal, if presets were asked for.
    pub(super) presets: Vec<Preset>,
}

/// All worlds.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct WorldsReply {
    /// Their names. `main` is the world that exists from the start.
    pub(super) worlds: Vec<String>,
}

/// A world by its name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedWorld {
    /// The world's name.
    #[schemars(with = "String", length(min = 1))]
    pub(super) id: Value,
}

/// The state of a world's clock.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ClockReply {
    /// The world's time.
    pub(super) now: String,
    /// The rate: 1 is real time, 0 stands still.
    pub(super) rate: f64,
    /// The clock that the `Date` of requests is compared with.
    pub(super) date_check: DateCheck,
    /// The next events that time alone causes. Empty if there will be none.
    pub(super) next: Vec<DueReply>,
}

/// An event that time alone causes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DueReply {
    /// The time of the event, by the world's clock.
    pub(super) at: String,
    /// The event.
    #[serde(flatten)]
    pub(super) event: EventRecord,
}

/// A change to a world's clock. Members that are left out stay as they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClockRequest {
    /// The rate: 1 is real time, 60 is a minute in each second, 0 stands still.
    #[schemars(range(min = 0, max = MAX_RATE))]
    pub(super) rate: Option<f64>,
    /// The clock that the `Date` of requests is compared with, and that the `Date` of replies shows.
    pub(super) date_check: Option<DateCheck>,
}

/// The time to advance to: exactly one of the three members.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct AdvanceRequest {
    /// A duration: `121m`, `2h 30m`, `30days`.
    #[serde(default)]
    #[schemars(schema_with = "schema_of_advance")]
    pub(super) by: Option<String>,
    /// A time: `2028-02-29T12:00:00Z`.
    #[serde(default)]
    #[schemars(schema_with = "schema_of_instant")]
    pub(super) to: Option<String>,
    /// True: the next instant at which anything is due.
    #[serde(default)]
    #[schemars(with = "bool", extend("const" = true))]
    pub(super) to_next: Option<bool>,
}

/// The world's time after an advance, and the events on the way.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AdvanceReply {
    /// The world's time after the advance.
    pub(super) now: String,
    /// All events that were due, in order. They have happened.
    pub(super) happened: Vec<DueReply>,
}

/// A correction of the clock.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JumpRequest {
    /// `1h` forward or `-1h` back. To a server, a step of up to 30 seconds is not a jump but time that passes.
    #[schemars(schema_with = "schema_of_jump")]
    pub(super) by: String,
}

/// The faults of a world, in the order in which they are asked.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FaultsReply {
    /// The list.
    pub(super) faults: Vec<FaultEntry>,
}

/// New faults for a world, in place of all old ones.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultsRequest {
    /// The list.
    #[serde(deserialize_with = "objects")]
    pub(super) faults: Vec<Fault>,
}

/// A fault by its number.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberedFault {
    /// The number.
    pub(super) id: u64,
}

/// A profile to add.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileRequest {
    /// The profile.
    pub(super) profile: Profile,
    /// The requests that its faults are for. Default: all requests.
    #[serde(rename = "match", default, deserialize_with = "object")]
    pub(super) matching: Match,
    /// The seed of its random numbers. Default: a random seed.
    pub(super) seed: Option<u64>,
    /// The end of its faults by the world's clock: a date, or `now+10m`. Default: no end.
    #[serde(default)]
    #[schemars(schema_with = "schema_of_optional_instant")]
    pub(super) until: Option<String>,
}

/// The faults of a profile, which were added to the end of the list.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProfileReply {
    /// The seed. The same seed makes the same faults happen again.
    pub(super) seed: u64,
    /// The faults that were added.
    pub(super) faults: Vec<FaultEntry>,
}

/// The part of the journal to return.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JournalRequest {
    /// Only entries with higher numbers are returned.
    #[serde(default)]
    pub(super) after: u64,
    /// Largest number of entries. Default: 1000.
    pub(super) limit: Option<u32>,
}

/// A part of the journal.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct JournalReply {
    /// The entries, oldest first.
    pub(super) entries: Vec<Entry>,
    /// Number of entries that were forgotten. The journal keeps the newest 10,000.
    pub(super) forgotten: u64,
}

/// The entries to count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CountRequest {
    /// Members of an entry and their values, for example `{"operation":"borrow_license","status":200}`.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "enum": FILTERS }))]
    pub(super) filter: Map<String, Value>,
}

/// A number of entries.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CountReply {
    /// Number of entries that match.
    pub(super) count: u64,
}

/// An expectation of a test on the journal.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectRequest {
    /// The entries to count, as for `/journal/count`.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "enum": FILTERS }))]
    pub(super) filter: Map<String, Value>,
    /// The exact number of entries.
    pub(super) times: Option<u64>,
    /// Smallest number of entries. Default: 1, if no number is given.
    pub(super) at_least: Option<u64>,
    /// Largest number of entries.
    pub(super) at_most: Option<u64>,
}

/// The client to make a configuration for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientConfigRequest {
    /// The client's device. Default: the client identifies the computer that it runs on.
    #[schemars(with = "Option<String>")]
    pub(super) hardware_id: Option<Value>,
}

/// The slots that are held.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SlotsReply {
    /// Every slot that is held.
    pub(super) slots: Vec<SlotReply>,
}

/// A slot that is held.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SlotReply {
    /// The license's key, or its first user.
    license: String,
    /// The feature; null for the license itself.
    feature: Option<String>,
    /// The device that holds the slot.
    hardware_id: String,
    /// The time from which on the slot is free.
    until: String,
    /// True if it is borrowed.
    borrowed: bool,
}

impl SlotReply {
    pub(super) fn new(world: &World, holding: &Holding) -> SlotReply {
        let license = world.catalogue().licenses().iter().find(|license| license.id == holding.license_id);
        SlotReply {
            license: license.map(|license| license.name().to_owned()).unwrap_or_default(),
            feature: holding.feature.as_ref().map(|feature| feature.to_string()),
            hardware_id: holding.hardware_id.clone(),
            until: format_time(holding.slot.until),
            borrowed: holding.slot.borrowed,
        }
    }
}

/// The state of a world at the end of a test.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct InvariantsReply {
    /// True if there are no violations.
    pub(super) ok: bool,
    /// Violations of what must always be true, a sentence each.
    pub(super) violations: Vec<String>,
    /// Slots that are still held. A test may have forgotten to release them.
    pub(super) slots: Vec<SlotReply>,
    /// Numbers of faults that never happened. The test may have described them wrongly.
    pub(super) faults_without_effect: Vec<u64>,
}

/// The state of the API's port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenerRequest {
    /// False: all worlds refuse connections, as if the server were not running.
    pub(super) open: bool,
}
