//! The lines of the file of queued consumptions.
//!
//! Like those of [an entry](crate::lease::consumption::entry), the names of the variants are part of the file's format.

use crate::error::Error;
use crate::lease::consumption::entry::{EntryState, QueuedConsumption};
use crate::lease::storage::json::StoredObject;
use crate::status::Status;
use serde::Serialize;
use serde_json::Value;

/// A line of the file.
#[derive(Clone, Serialize)]
pub(super) enum LogLine {
    /// Consumptions that were queued behind the others.
    Queued(QueuedConsumption),
    /// The new state of the consumptions of this key. No call waits for them any more, unless it sends them just now.
    State(String, EntryState),
    /// The consumptions of these keys are booked, or the host has heard of their result.
    Done(Vec<String>),
    Server(Server),
    /// The changes of several calls, which share one write and one flush to the disk. They are one line, because only the
    /// last line of a file may be unfinished after a power cut.
    Batch(Vec<LogLine>),
}

/// The capability of the server at this address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Server {
    pub(super) base_url: String,
    pub(super) supports_idempotency: bool,
}

impl LogLine {
    /// Returns the text of the line as it is stored.
    pub(super) fn text(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|_| Error::because(Status::Internal, "A line has no text."))
    }

    pub(super) fn from_stored(stored: StoredObject) -> Option<LogLine> {
        let variant = stored.variant()?;
        match variant {
            "Queued" => QueuedConsumption::from_stored(stored.object(variant)?).map(LogLine::Queued),
            "State" => match stored.any(variant)?.as_array()?.as_slice() {
                [Value::String(key), state] => Some(LogLine::State(key.clone(), EntryState::from_stored(state)?)),
                _ => None,
            },
            "Done" => {
                let keys = stored.any(variant)?.as_array()?.iter();
                keys.map(|key| key.as_str().map(str::to_owned)).collect::<Option<_>>().map(LogLine::Done)
            }
            "Server" => Server::from_stored(stored.object(variant)?).map(LogLine::Server),
            "Batch" => {
                let lines = stored.any(variant)?.as_array()?.iter();
                let line = |line: &Value| LogLine::from_stored(StoredObject::new(line.as_object()?));
                lines.map(line).collect::<Option<_>>().map(LogLine::Batch)
            }
            _ => None,
        }
    }
}

impl Server {
    fn from_stored(stored: StoredObject) -> Option<Server> {
        Some(Server { base_url: stored.text("base_url")?, supports_idempotency: stored.flag("supports_idempotency")? })
    }
}
