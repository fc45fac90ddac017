//! What the routes take and give.

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

/// No members.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmptyRequest {}

/// Done.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EmptyReply {}

/// A world, as its testers need it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct WorldReply {
    /// Its name in `/worlds/{world}`.
    pub(super) world: String,
    /// `base_url`, `api_key`, `shared_key`, `public_key`, `control_url` (if the control interface has a port), and what
    /// there is to try first: `product`, `license_key`, `feature` and so on, as far as the catalogue has them.
    #[serde(flatten)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(super) facts: Map<String, Value>,
    /// A complete configuration for the client.
    pub(super) client_config: Map<String, Value>,
    /// How to provoke each refusal, if presets were asked for.
    pub(super) presets: Vec<Preset>,
}

/// The worlds there are.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct WorldsReply {
    /// Their names; `main` is the one that is there from the beginning.
    pub(super) worlds: Vec<String>,
}

/// A world by its name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedWorld {
    /// The name.
    #[schemars(with = "String", length(min = 1))]
    pub(super) id: Value,
}

/// How the clock stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ClockReply {
    /// The world's time.
    pub(super) now: String,
    /// 1 is real time, 0 stands still.
    pub(super) rate: f64,
    /// What the `Date` of requests is held against.
    pub(super) date_check: DateCheck,
    /// What comes next if nobody does anything; empty if nothing ever does.
    pub(super) next: Vec<DueReply>,
}

/// Something that time alone does.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DueReply {
    /// When, by the world's clock.
    pub(super) at: String,
    /// EntryBody, to whom.
    #[serde(flatten)]
    pub(super) event: EventRecord,
}

/// How the clock is to run. What is left out stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClockRequest {
    /// 1 is real time, 60 lets a minute pass in a second, 0 stands still.
    #[schemars(range(min = 0, max = MAX_RATE))]
    pub(super) rate: Option<f64>,
    /// What the `Date` of requests is held against, and what replies say in theirs.
    pub(super) date_check: Option<DateCheck>,
}

/// How far to advance: one of the three.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct AdvanceRequest {
    /// So long: `121m`, `2h 30m`, `30days`.
    #[serde(default)]
    #[schemars(schema_with = "schema_of_advance")]
    pub(super) by: Option<String>,
    /// To this time: `2028-02-29T12:00:00Z`.
    #[serde(default)]
    #[schemars(schema_with = "schema_of_instant")]
    pub(super) to: Option<String>,
    /// True: to the next instant at which anything is due.
    #[serde(default)]
    #[schemars(with = "bool", extend("const" = true))]
    pub(super) to_next: Option<bool>,
}

/// What happened on the way.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AdvanceReply {
    /// The world's time now.
    pub(super) now: String,
    /// Everything that was due, in order. All of it has happened.
    pub(super) happened: Vec<DueReply>,
}

/// How far the machine's clock is set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JumpRequest {
    /// `1h` forward or `-1h` back. Steps of 30 seconds and less are no jump to a server: time has passed, or it waits.
    #[schemars(schema_with = "schema_of_jump")]
    pub(super) by: String,
}

/// The faults of a world, in the order in which they are asked.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FaultsReply {
    /// The list.
    pub(super) faults: Vec<FaultEntry>,
}

/// All faults of a world.
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

/// Trouble that has a name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileRequest {
    /// Which.
    pub(super) profile: Profile,
    /// Whose requests; everybody's without it.
    #[serde(rename = "match", default, deserialize_with = "object")]
    pub(super) matching: Match,
    /// Where its random numbers begin; chosen if it is not given.
    pub(super) seed: Option<u64>,
    /// Until then by the world's clock: a date, or `now+10m`. Without end if it is not given.
    #[serde(default)]
    #[schemars(schema_with = "schema_of_optional_instant")]
    pub(super) until: Option<String>,
}

/// The faults of a profile, added to the end of the list.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProfileReply {
    /// Give it again to see the same happen again.
    pub(super) seed: u64,
    /// What was added.
    pub(super) faults: Vec<FaultEntry>,
}

/// Which part of the journal.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JournalRequest {
    /// Entries with higher numbers only.
    #[serde(default)]
    pub(super) after: u64,
    /// No more than so many; 1000 if it is not given.
    pub(super) limit: Option<u32>,
}

/// A part of the journal.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct JournalReply {
    /// Oldest first.
    pub(super) entries: Vec<Entry>,
    /// The oldest entries are forgotten after 10,000; so many were.
    pub(super) forgotten: u64,
}

/// Which entries to count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CountRequest {
    /// Members of an entry and their values, for example `{"operation":"borrow_license","status":200}`.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "enum": FILTERS }))]
    pub(super) filter: Map<String, Value>,
}

/// How many there are.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CountReply {
    /// Entries that fit.
    pub(super) count: u64,
}

/// What must be so.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectRequest {
    /// As for `/journal/count`.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "enum": FILTERS }))]
    pub(super) filter: Map<String, Value>,
    /// Exactly so many.
    pub(super) times: Option<u64>,
    /// So many or more; 1 if nothing is said.
    pub(super) at_least: Option<u64>,
    /// So many or fewer.
    pub(super) at_most: Option<u64>,
}

/// For whom.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientConfigRequest {
    /// The device it is to be; if it is not given, the client finds out what machine it is on.
    #[schemars(with = "Option<String>")]
    pub(super) hardware_id: Option<Value>,
}

/// Who holds what.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SlotsReply {
    /// Every slot that is held.
    pub(super) slots: Vec<SlotReply>,
}

/// A slot that is held.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SlotReply {
    /// Of which license: its key, or its first user.
    license: String,
    /// Of which of its features; null is the license itself.
    feature: Option<String>,
    /// By which device.
    hardware_id: String,
    /// It is free from then on.
    until: String,
    /// Whether it is borrowed.
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

/// How a world was left.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct InvariantsReply {
    /// Whether nothing is wrong.
    pub(super) ok: bool,
    /// What is so and must never be.
    pub(super) violations: Vec<String>,
    /// Slots that are still held, which a test may have forgotten to give back.
    pub(super) slots: Vec<SlotReply>,
    /// Numbers of faults that never happened, which a test may have got wrong.
    pub(super) faults_without_effect: Vec<u64>,
}

/// Whether the API's port is open.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenerRequest {
    /// False: connections are refused, as if the server were not running. For all worlds.
    pub(super) open: bool,
}
