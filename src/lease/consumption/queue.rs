//! The consumptions of one license on one device that wait to be booked, and those of which the host must still hear.
//!
//! Any process may add one; whoever changes others has the turn to book them, see [`crate::lease::consumption::sync`].

use crate::client::Client;
use crate::error::Error;
use crate::lease::acquire_request::Who;
use crate::lease::slot::process_lock::{Gate, Share};
use crate::lease::slot::record::LONGEST_LIFE_MS;
use crate::lease::storage::append_log::Ledger;
use crate::lease::storage::json::{self, Kept};
use crate::status::Status;
use crate::strict::Object;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// So many are kept.
const MOST_ENTRIES: usize = 10_000;
/// Lines that say nothing any more, before the file is written anew.
const MOST_IDLE_LINES: usize = 1_000;
/// Who stands in the gate writes a line, no more; longer than this and he was stopped there.
const PATIENCE: Duration = Duration::from_secs(2);

/// Consumptions as they were asked for, and how they stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Entry {
    /// Their `Idempotency-Key`, which also names them here.
    pub(crate) key: String,
    pub(crate) operation: String,
    /// Of the request, what does not say whose license it is.
    pub(crate) parameters: Object,
    /// When they were asked for, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    pub(crate) standing: Standing,
}

/// How they stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) enum Standing {
    /// The server has surely not booked them.
    Waiting,
    /// It was asked to, and may have done so.
    InDoubt {
        /// What was consumed before, if that was asked.
        total_before: Option<i64>,
        at_ms: i64,
        /// How long after that it may still do so, if it knows no keys.
        life_ms: i64,
    },
    /// It has refused.
    Refused(Verdict),
    /// Nobody will ever know.
    Unknown(Verdict),
}

/// Why they are not booked, or not surely.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Verdict {
    pub(crate) status: i32,
    pub(crate) server_code: Option<String>,
    pub(crate) reason: String,
}

impl Standing {
    /// A variant without members is kept as its name.
    fn kept(kept: &Value) -> Option<Standing> {
        if kept == "Waiting" {
            return Some(Standing::Waiting);
        }
        let standing = Kept::new(kept.as_object()?);
        let variant = standing.variant()?;
        let kept = standing.object(variant)?;
        match variant {
            "InDoubt" => Some(Standing::InDoubt {
                total_before: kept.optional("total_before", Kept::number)?,
                at_ms: kept.number("at_ms")?,
                // Journals from before this was kept do not have it.
                life_ms: kept.optional("life_ms", Kept::number)?.unwrap_or(LONGEST_LIFE_MS),
            }),
            "Refused" => Verdict::kept(kept).map(Standing::Refused),
            "Unknown" => Verdict::kept(kept).map(Standing::Unknown),
            _ => None,
        }
    }
}

impl Verdict {
    fn kept(kept: Kept) -> Option<Verdict> {
        Some(Verdict {
            status: kept.number("status")?.try_into().ok()?,
            server_code: kept.optional("server_code", Kept::text)?,
            reason: kept.text("reason")?,
        })
    }
}

impl Entry {
    fn kept(kept: Kept) -> Option<Entry> {
        Some(Entry {
            key: kept.text("key")?,
            operation: kept.text("operation")?,
            parameters: kept.any("parameters")?.as_object()?.clone(),
            at_ms: kept.number("at_ms")?,
            standing: Standing::kept(kept.any("standing")?)?,
        })
    }

    pub(crate) fn amount(&self) -> i64 {
        // No server books more than fits, so what doesn't is told as the most that does.
        self.parameters.get("consumptions").map_or(1, |amount| amount.as_i64().unwrap_or(i64::MAX))
    }

    pub(crate) fn feature(&self) -> Option<&str> {
        self.parameters.get("feature").and_then(Value::as_str)
    }

    /// The license they are of, if it is known: a user may have several.
    pub(crate) fn license_id(&self) -> Option<u64> {
        self.parameters.get("license_id").and_then(Value::as_u64)
    }

    /// Whether there is anything left to be done for them.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.standing, Standing::Waiting | Standing::InDoubt { .. })
    }

    /// Which license it is may have been found out between the two.
    fn is_same_wish(&self, other: &Entry) -> bool {
        let wanted = |entry: &Entry| {
            let mut parameters = entry.parameters.clone();
            parameters.remove("license_id");
            parameters
        };
        self.operation == other.operation && wanted(self) == wanted(other)
    }
}

/// What the file says, line by line.
#[derive(Serialize)]
enum Line {
    /// A new entry, behind the others.
    Entry(Entry),
    /// How the entry of this key stands now.
    Stands(String, Standing),
    /// The entries of these keys are booked, or the host has heard of them.
    Done(Vec<String>),
    Server(Server),
}

/// What is known of the server.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Server {
    base_url: String,
    honours_keys: bool,
}

impl Line {
    fn kept(kept: Kept) -> Option<Line> {
        let variant = kept.variant()?;
        match variant {
            "Entry" => Entry::kept(kept.object(variant)?).map(Line::Entry),
            "Stands" => match kept.any(variant)?.as_array()?.as_slice() {
                [Value::String(key), standing] => Some(Line::Stands(key.clone(), Standing::kept(standing)?)),
                _ => None,
            },
            "Done" => {
                let keys = kept.any(variant)?.as_array()?.iter();
                keys.map(|key| key.as_str().map(str::to_owned)).collect::<Option<_>>().map(Line::Done)
            }
            "Server" => Server::kept(kept.object(variant)?).map(Line::Server),
            _ => None,
        }
    }
}

impl Server {
    fn kept(kept: Kept) -> Option<Server> {
        Some(Server { base_url: kept.text("base_url")?, honours_keys: kept.flag("honours_keys")? })
    }
}

/// The entries, as of the last look into the file.
pub(crate) struct Journal {
    ledger: Ledger,
    share: Share,
    path: PathBuf,
    entries: Vec<Entry>,
    server: Option<Server>,
}

impl Journal {
    /// That of this license on this device; touches nothing yet.
    pub(crate) fn new(folder: &Path, who: &Who) -> Result<Journal, Error> {
        let path = Journal::path(folder, who);
        let ledger = Ledger::new(path.clone(), &who.product, &who.hardware_id)?;
        let share = Share::on_disk(folder, &format!("{}consumption", who.file_prefix()));
        Ok(Journal { ledger, share, path, entries: Vec::new(), server: None })
    }

    /// Where it is.
    pub(crate) fn path(folder: &Path, who: &Who) -> PathBuf {
        folder.join(format!("{}license.consumption", who.file_prefix()))
    }

    /// Adds one, on disk. The same wish again is the same entry, unless the server has refused it: then it is a new one.
    pub(crate) fn add(&mut self, entry: Entry) -> Result<(), Error> {
        let _gate = self.enter()?;
        match self.entries.iter().find(|known| known.key == entry.key) {
            Some(known) if !known.is_same_wish(&entry) => {
                let message = "\"idempotency_key\" names other consumptions, which wait to be booked or to be told of by \
                               sync_consumptions; give every new wish a new one.";
                return Err(Error::because(Status::BadValue, message));
            }
            Some(Entry { standing: Standing::Refused(_), .. }) => self.note(Line::Done(vec![entry.key.clone()]))?,
            Some(_) => return Ok(()),
            None => {}
        }
        if self.entries.len() >= MOST_ENTRIES {
            return Err(Error::because(Status::QueueFull, format!("They are {MOST_ENTRIES}.")));
        }
        let line = Line::Entry(entry);
        self.ledger.check_room(text(&line)?.len())?;
        self.note(line)
    }

    /// All entries, in the order in which they were asked for.
    pub(crate) fn entries(&mut self) -> Result<&[Entry], Error> {
        self.enter()?;
        Ok(&self.entries)
    }

    /// The next for which something is to be done.
    pub(crate) fn first_open(&mut self) -> Result<Option<Entry>, Error> {
        Ok(self.entries()?.iter().find(|entry| entry.is_open()).cloned())
    }

    /// Notes how an entry stands now.
    pub(crate) fn stands(&mut self, entry: &Entry) -> Result<(), Error> {
        let _gate = self.enter()?;
        self.note(Line::Stands(entry.key.clone(), entry.standing.clone()))
    }

    /// Nobody needs to know any more of the entries of these keys.
    pub(crate) fn done(&mut self, keys: Vec<String>) -> Result<(), Error> {
        let _gate = self.enter()?;
        if keys.is_empty() { Ok(()) } else { self.note(Line::Done(keys)) }
    }

    /// Exchanges with the client what is known of the server.
    pub(crate) fn share_with(&mut self, client: &Client) -> Result<(), Error> {
        let _gate = self.enter()?;
        let base_url = &client.config().base_url;
        match (client.honours_keys(), self.server.as_ref().filter(|server| server.base_url == *base_url)) {
            (None, Some(server)) => client.set_honours_keys(server.honours_keys),
            (Some(honours), known) if known.is_none_or(|server| server.honours_keys != honours) => {
                self.note(Line::Server(Server { base_url: base_url.clone(), honours_keys: honours }))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Keeps other writers away, and reads what they have written.
    fn enter(&mut self) -> Result<Gate, Error> {
        let begun = Instant::now();
        let gate = self.share.enter(&mut |pause| {
            std::thread::sleep(pause);
            if begun.elapsed() < PATIENCE {
                return Ok(());
            }
            Err(Error::because(Status::Storage, "Another process keeps the list of consumptions locked."))
        })?;
        let unread = self.ledger.read()?;
        if unread.anew {
            (self.entries, self.server) = (Vec::new(), None);
        }
        for line in unread.lines {
            let Some(line) = json::parse(&line).and_then(|line| Line::kept(Kept::new(&line))) else {
                self.ledger.forget();
                let message = format!("{} was written by another version of floatlease.", self.path.display());
                return Err(Error::because(Status::StorageDamaged, message));
            };
            self.heed(line);
        }
        Ok(gate)
    }

    fn note(&mut self, line: Line) -> Result<(), Error> {
        self.ledger.append(&text(&line)?)?;
        self.heed(line);
        let idle = (self.ledger.lines() as usize).saturating_sub(self.entries.len());
        if idle > MOST_IDLE_LINES || self.entries.is_empty() && idle > 1 {
            // It is all there already; what can't be written shorter now can be another time.
            let _ = self.tidy();
        }
        Ok(())
    }

    /// Writes down anew what still says something.
    fn tidy(&mut self) -> Result<(), Error> {
        let server = self.server.iter().cloned().map(Line::Server);
        let lines = server.chain(self.entries.iter().cloned().map(Line::Entry)).map(|line| text(&line));
        self.ledger.replace(&lines.collect::<Result<Vec<_>, Error>>()?)
    }

    fn heed(&mut self, line: Line) {
        match line {
            Line::Entry(entry) => self.entries.push(entry),
            Line::Stands(key, standing) => {
                if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) {
                    entry.standing = standing;
                }
            }
            Line::Done(keys) => self.entries.retain(|entry| !keys.contains(&entry.key)),
            Line::Server(server) => self.server = Some(server),
        }
    }
}

fn text(line: &Line) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(line).map_err(|_| Error::because(Status::Internal, "A line has no text."))
}

#[cfg(test)]
mod tests;
