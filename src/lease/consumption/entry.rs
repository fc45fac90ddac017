//! One queued request for consumptions, and its state.
//!
//! The names of the members and variants are part of the file's format. `tests/data/recorded.consumption` pins them: a test
//! reads this file, and compares its JSON with what is written today. Attributes would only repeat the names.

use crate::lease::slot::LONGEST_LIFE_MS;
use crate::lease::storage::json::StoredObject;
use crate::strict::Object;
use serde::Serialize;
use serde_json::Value;

/// One request for consumptions, and its state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct QueuedConsumption {
    /// The `Idempotency-Key` of the request, which identifies it in the queue too.
    pub(crate) key: String,
    pub(crate) operation: String,
    /// The members of the request that do not name license or device.
    pub(crate) parameters: Object,
    /// When the host asked for them, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    pub(crate) state: EntryState,
    /// The client with a call that waits for their result; see [`CallerLock`](crate::lease::consumption::caller_lock::CallerLock). Missing
    /// once no call waits, and in files of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) caller: Option<String>,
}

/// The state of queued consumptions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) enum EntryState {
    /// The server has not booked them.
    Waiting,
    /// The server was asked to book them, and its answer is not known.
    InDoubt {
        /// The server's total before that request, if it was asked for.
        total_before: Option<i64>,
        at_ms: i64,
        /// How long after `at_ms` a server without idempotency keys may still book them.
        life_ms: i64,
    },
    /// The server has refused them.
    Refused(Rejection),
    /// It can't be found out whether the server has booked them.
    Unknown(Rejection),
}

/// Why consumptions are not booked, or perhaps not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Rejection {
    pub(crate) status: i32,
    pub(crate) server_code: Option<String>,
    pub(crate) reason: String,
}

impl EntryState {
    /// A variant without members is stored as its name.
    pub(super) fn from_stored(stored: &Value) -> Option<EntryState> {
        if stored == "Waiting" {
            return Some(EntryState::Waiting);
        }
        let state = StoredObject::new(stored.as_object()?);
        let variant = state.variant()?;
        let stored = state.object(variant)?;
        match variant {
            "InDoubt" => Some(EntryState::InDoubt {
                total_before: stored.optional("total_before", StoredObject::number)?,
                at_ms: stored.number("at_ms")?,
                // Missing in files of earlier versions.
                life_ms: stored.optional("life_ms", StoredObject::number)?.unwrap_or(LONGEST_LIFE_MS),
            }),
            "Refused" => Rejection::from_stored(stored).map(EntryState::Refused),
            "Unknown" => Rejection::from_stored(stored).map(EntryState::Unknown),
            _ => None,
        }
    }
}

impl Rejection {
    fn from_stored(stored: StoredObject) -> Option<Rejection> {
        Some(Rejection {
            status: stored.number("status")?.try_into().ok()?,
            server_code: stored.optional("server_code", StoredObject::text)?,
            reason: stored.text("reason")?,
        })
    }
}

impl QueuedConsumption {
    pub(super) fn from_stored(stored: StoredObject) -> Option<QueuedConsumption> {
        Some(QueuedConsumption {
            key: stored.text("key")?,
            operation: stored.text("operation")?,
            parameters: stored.any("parameters")?.as_object()?.clone(),
            at_ms: stored.number("at_ms")?,
            state: EntryState::from_stored(stored.any("state")?)?,
            caller: stored.optional("caller", StoredObject::text)?,
        })
    }

    pub(crate) fn amount(&self) -> i64 {
        // No server books more than this type holds.
        self.parameters.get("consumptions").map_or(1, |amount| amount.as_i64().unwrap_or(i64::MAX))
    }

    pub(crate) fn feature(&self) -> Option<&str> {
        self.parameters.get("feature").and_then(Value::as_str)
    }

    /// The license of the consumptions, if it is known. A user may have several licenses.
    pub(crate) fn license_id(&self) -> Option<u64> {
        self.parameters.get("license_id").and_then(Value::as_u64)
    }

    /// Returns whether the consumptions are still to be sent or to be asked about.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, EntryState::Waiting | EntryState::InDoubt { .. })
    }

    /// Returns whether two requests are the same. The license may have become known between them.
    pub(super) fn is_same_request(&self, other: &QueuedConsumption) -> bool {
        let wanted = |entry: &QueuedConsumption| {
            let mut parameters = entry.parameters.clone();
            parameters.remove("license_id");
            parameters
        };
        self.operation == other.operation && wanted(self) == wanted(other)
    }
}
