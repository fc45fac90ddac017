//! One slot at the server: taking, renewing, lending, giving back. Every step is on disk before its request leaves, and
//! whoever enters or leaves stands in the slot's gate meanwhile.

use super::clock::Clock;
use super::machine::Moment;
use super::record::{Proof, Record, Signed, license_until};
use super::share::{Gate, Seat, Share};
use super::store::SealedFile;
use super::wish::Who;
use crate::client::{Answer, Client, jittered};
use crate::error::{Error, Outcome};
use crate::http::{Call, Stop};
use crate::status::Status;
use crate::strict::Object;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A visit to the server, for somebody's slots.
pub(crate) struct Visit<'a> {
    pub(crate) client: &'a Client,
    pub(crate) who: &'a Who,
    pub(crate) call: &'a Call,
    pub(crate) clock: &'a Clock,
    /// The deadline of each request.
    pub(crate) timeout: Duration,
}

impl Visit<'_> {
    pub(crate) fn ask(&self, operation: &'static str, own: &[(&str, Value)]) -> Result<Answer, Error> {
        let request = self.who.request(self.client, operation, own, self.timeout)?;
        self.client.ask(self.call, &request)
    }

    /// Waits, unless the visit is over or the wait would not end before it.
    pub(crate) fn pause(&self, duration: Duration) -> Result<(), Error> {
        let stopped = |stop| match stop {
            Stop::Timeout => Error::new(Status::Timeout),
            Stop::Cancelled => Error::new(Status::Cancelled),
        };
        let left = self.call.left().map_err(stopped)?;
        self.call.sleep(duration.min(left)).map_err(stopped)
    }

    fn wall_of(&self, answer: &Answer) -> DateTime<Utc> {
        let wall = self.clock.wall();
        answer.skew.and_then(|skew| wall.checked_add_signed(skew)).unwrap_or(wall)
    }
}

/// How the server says a slot stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Standing {
    /// Ours until so long after it was asked.
    Held { asked_at: Moment, timeout_ms: i64 },
    /// Ours until a date, which is so far away.
    Lent { asked_at: Moment, until: DateTime<Utc>, left_ms: i64 },
}

/// The server's yes, or its kept word.
#[derive(Debug)]
pub(crate) struct Confirmation {
    pub(crate) standing: Standing,
    /// Its reply, if it was asked now.
    pub(crate) reply: Option<String>,
}

/// Why a slot is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The host gives it back, a borrow too.
    GiveBack,
    /// The host ends; what is borrowed stays borrowed.
    KeepBorrow,
}

/// A slot, and a seat at it while it is ours.
pub(crate) struct Slot {
    pub(crate) feature: Option<String>,
    share: Share,
    file: Option<SealedFile>,
    path: Option<PathBuf>,
    seat: Option<Seat>,
    /// The server was asked for it, and nobody knows what it did.
    in_doubt: bool,
}

impl Slot {
    /// A slot that nobody has asked for yet. Its holders on this machine meet in `share`; without `folder` nothing of it
    /// outlives the process.
    pub(crate) fn new(who: &Who, feature: Option<&str>, share: Share, folder: Option<&Path>) -> Result<Slot, Error> {
        let path = folder.map(|folder| folder.join(format!("{}.lease", who.file_name(feature))));
        let file = path.clone().map(|path| SealedFile::new(path, &who.product, &who.hardware_id)).transpose()?;
        Ok(Slot { feature: feature.map(str::to_owned), share, file, path, seat: None, in_doubt: false })
    }

    /// Takes the slot: from a borrow that is proven to run, or else from the server.
    pub(crate) fn take(&mut self, visit: &Visit) -> Result<Confirmation, Error> {
        let gate = self.enter(visit)?;
        let kept = self.read();
        let unproven = match kept.as_ref().map(|record| record.runs_until(visit.client, visit.who, visit.clock)) {
            Ok(Ok(Some(until))) => {
                let mut record = kept?;
                self.write(&mut record, visit)?;
                self.seat = Some(gate.sit()?);
                let left_ms = (until - visit.clock.wall()).num_milliseconds();
                let standing = Standing::Lent { asked_at: visit.clock.now(), until, left_ms };
                return Ok(Confirmation { standing, reply: None });
            }
            Ok(Ok(None)) => None,
            Ok(Err(error)) => Some(error),
            Err(error) => Some((*error).clone()),
        };
        // A file that can't be read stays as it is until the server has spoken: it may be all there is.
        let mut record = kept.ok();
        let held_before = record.as_ref().is_none_or(|record| record.may_hold);
        if let Some(record) = record.as_mut().filter(|_| !held_before) {
            record.may_hold = true;
            self.write(record, visit)?;
        }
        match self.check(visit) {
            Ok((confirmation, answer)) => {
                if record.is_none() {
                    self.set_aside()?;
                }
                let mut record = record.unwrap_or_else(|| self.fresh_record());
                let confirmation = self.with_kept_borrow(visit, &record, confirmation, visit.wall_of(&answer));
                (record.may_hold, record.borrowing) = (true, false);
                record.proof = match confirmation.standing {
                    Standing::Held { .. } => None,
                    Standing::Lent { .. } => record.proof.or_else(|| self.proof_in(&answer)),
                };
                if answer.skew.is_some() {
                    record.server_said(visit.wall_of(&answer));
                }
                self.write(&mut record, visit)?;
                self.seat = Some(gate.sit()?);
                self.in_doubt = false;
                Ok(confirmation)
            }
            Err(error) => {
                self.in_doubt = error.outcome == Outcome::Unknown;
                let surely_not = error.is_refusal() || error.status == Status::NotFloating;
                let as_before = surely_not && gate.is_empty()? || error.outcome == Outcome::NotSent && !held_before;
                if let Some(record) = record.as_mut().filter(|_| as_before) {
                    record.may_hold = false;
                    record.proof = record.proof.take().filter(|_| !surely_not);
                    self.write(record, visit)?;
                }
                match unproven.or_else(|| self.foreign(visit.who)) {
                    Some(reason) if !surely_not => Err(because(reason, &error)),
                    _ => Err(error),
                }
            }
        }
    }

    /// Asks the server again.
    pub(crate) fn renew(&mut self, visit: &Visit) -> Result<Confirmation, Error> {
        // Somebody may have cleaned the folder up: who came since would not know that we are here.
        if let Some(false) = self.seat.as_ref().map(Seat::is_in_place).transpose()? {
            self.seat = Some(self.enter(visit)?.sit()?);
        }
        self.check(visit).map(|(confirmation, _)| confirmation)
    }

    /// Borrows the slot that is held, and keeps what proves it.
    pub(crate) fn lend(&mut self, visit: &Visit, until: &Value) -> Result<Confirmation, Error> {
        let gate = self.enter(visit)?;
        let mut record = self.read()?;
        (record.may_hold, record.borrowing) = (true, true);
        self.write(&mut record, visit)?;
        let asked_at = visit.clock.now();
        let (borrow, license) = match self.borrow(visit, &gate, until) {
            Ok(replies) => replies,
            Err(error) => {
                if error.outcome != Outcome::Unknown {
                    record.borrowing = false;
                    self.write(&mut record, visit)?;
                }
                return Err(error);
            }
        };
        let proof = Proof { license: Signed::from(&license), borrow: borrow.as_ref().map(Signed::from) };
        let ends = proof.until(visit.client, visit.who, self.feature.as_deref())?;
        record.server_said(visit.wall_of(&license));
        (record.proof, record.borrowing) = (Some(proof), false);
        self.write(&mut record, visit)?;
        let left_ms = (ends - visit.wall_of(&license)).num_milliseconds();
        let reply = borrow.unwrap_or(license).text;
        Ok(Confirmation { standing: Standing::Lent { asked_at, until: ends, left_ms }, reply: Some(reply) })
    }

    /// Leaves the slot. Whoever is the last one out of this machine gives it back to the server, before anybody can come
    /// in again. If that fails the slot is kept.
    pub(crate) fn leave(&mut self, visit: &Visit, leave: Leave) -> Result<(), Error> {
        if self.seat.is_none() && !self.in_doubt {
            return Ok(());
        }
        let gate = self.enter(visit)?;
        let seat = match self.seat.take() {
            Some(seat) => seat,
            // To sit down and leave again finds out whether anybody else is there.
            None => gate.sit()?,
        };
        let kept = self.read();
        let lent = kept.as_ref().is_ok_and(|record| is_lent(record, visit));
        match gate.leave(seat)? {
            None => {
                // Others go on; what was borrowed is given back when the last of them leaves.
                if let (Ok(mut record), true) = (kept, lent && leave == Leave::GiveBack) {
                    record.proof = None;
                    self.write(&mut record, visit)?;
                }
                Ok(())
            }
            Some(_) if lent && leave == Leave::KeepBorrow => Ok(()),
            Some(last_out) => match self.give_back(visit, &gate) {
                Ok(()) => {
                    self.in_doubt = false;
                    Ok(())
                }
                Err(error) => {
                    self.seat = Some(last_out.stay()?);
                    Err(error)
                }
            },
        }
    }

    /// Whether it is ours, as far as anybody knows.
    pub(crate) fn is_taken(&self) -> bool {
        self.seat.is_some()
    }

    /// Whether the server may count it.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.in_doubt || self.is_taken()
    }

    /// Ends a borrow and goes on holding the slot.
    pub(crate) fn take_back(&mut self, visit: &Visit) -> Result<(), Error> {
        let gate = self.enter(visit)?;
        self.give_back(visit, &gate)?;
        drop(gate);
        self.take(visit).map(drop)
    }

    /// Gives up the seat and nothing else: what the server counts is for the next start to settle.
    pub(crate) fn abandon(&mut self) {
        self.seat = None;
    }

    /// Gives back what a process that is no more has left, if nobody is seated there and it is not borrowed.
    pub(crate) fn settle(&self, visit: &Visit) -> Result<(), Error> {
        let gate = self.enter(visit)?;
        let record = self.read()?;
        if record.may_hold && !is_lent(&record, visit) && gate.is_empty()? {
            self.give_back(visit, &gate)
        } else {
            Ok(())
        }
    }

    fn enter(&self, visit: &Visit) -> Result<Gate, Error> {
        let busy = "Another process of this machine is taking or giving back the same slot.";
        self.share.enter(&mut |duration| {
            visit.pause(duration).map_err(|error| match error.status {
                Status::Timeout => Error { detail: Some(busy.to_owned()), ..error },
                _ => error,
            })
        })
    }

    /// Releases until the server has surely let go. The caller is the last one out, or knows that there is nobody.
    fn give_back(&self, visit: &Visit, _gate: &Gate) -> Result<(), Error> {
        let (operation, own) = self.verb("release_license", "release_feature");
        loop {
            match visit.ask(operation, &own) {
                Ok(_) => break,
                Err(error) if is_not_held(error.status) && error.is_refusal() => break,
                // Nobody else of this machine can take it meanwhile, so to repeat it is to ask whether it was done.
                Err(error) if error.outcome == Outcome::Unknown && error.status != Status::Cancelled => {
                    visit.pause(jittered(Duration::from_millis(100))).map_err(|_| error)?;
                }
                Err(error) => return Err(error),
            }
        }
        // The server has let go; a record that still says "may hold" makes the next start ask once more, no worse.
        let mut record = self.read().unwrap_or_else(|_| self.fresh_record());
        (record.may_hold, record.borrowing, record.proof) = (false, false, None);
        let _ = self.write(&mut record, visit);
        Ok(())
    }

    /// The borrow's reply, if one came, and the license as it stood afterwards.
    fn borrow(&self, visit: &Visit, gate: &Gate, until: &Value) -> Result<(Option<Answer>, Answer), Error> {
        let (operation, mut own) = self.verb("borrow_license", "borrow_feature");
        own.push(("borrowed_until", until.clone()));
        let mut tries = 3;
        loop {
            let doubt = match visit.ask(operation, &own) {
                Ok(borrow) => return Ok((Some(borrow), self.license(visit, gate).map_err(in_doubt)?)),
                Err(error) if error.outcome == Outcome::Unknown => error,
                Err(error) => return Err(error),
            };
            tries -= 1;
            if doubt.status == Status::Cancelled || tries == 0 {
                return Err(doubt);
            }
            // Whether it was done is asked; if the answer tells no date, borrowing again until the same date does.
            let license = self.license(visit, gate).map_err(|_| doubt)?;
            if self.feature.is_none() && license_until(&object(&license)).is_some() {
                return Ok((None, license));
            }
        }
    }

    /// The license as it stands, asked by whoever stands in this slot's gate.
    fn license(&self, visit: &Visit, _gate: &Gate) -> Result<Answer, Error> {
        match self.path.as_deref().and_then(Path::parent) {
            Some(folder) if self.feature.is_some() => Slot::look(visit, None, folder),
            _ => visit.ask("check_license", &[]),
        }
    }

    /// A feature, or the license, as it stands. If it floats, to ask takes a slot of it: one that nobody of this machine
    /// has is given back at once.
    pub(crate) fn look(visit: &Visit, feature: Option<&str>, folder: &Path) -> Result<Answer, Error> {
        let share = Share::on_disk(folder, &visit.who.file_name(feature));
        let slot = Slot::new(visit.who, feature, share, Some(folder))?;
        let gate = slot.enter(visit)?;
        let mut record = slot.read()?;
        let held_before = record.may_hold;
        if !held_before {
            record.may_hold = true;
            slot.write(&mut record, visit)?;
        }
        let (operation, own) = slot.verb("check_license", "check_feature");
        let answer = visit.ask(operation, &own);
        let nobodys = !held_before && gate.is_empty()?;
        match &answer {
            Ok(answer) if nobodys && says(&object(answer), "is_floating_cloud") => slot.give_back(visit, &gate)?,
            Err(error) if !error.is_refusal() => {}
            _ if nobodys => {
                record.may_hold = false;
                slot.write(&mut record, visit)?;
            }
            _ => {}
        }
        answer
    }

    fn check(&self, visit: &Visit) -> Result<(Confirmation, Answer), Error> {
        let (operation, own) = self.verb("check_license", "check_feature");
        let asked_at = visit.clock.now();
        let answer = visit.ask(operation, &own)?;
        let reply = object(&answer);
        let standing = self.standing(asked_at, &reply, visit.wall_of(&answer))?;
        Ok((Confirmation { standing, reply: Some(answer.text.clone()) }, answer))
    }

    fn standing(&self, asked_at: Moment, reply: &Object, wall: DateTime<Utc>) -> Result<Standing, Error> {
        if let Some(until) = license_until(reply).filter(|_| self.feature.is_none()) {
            let left_ms = (until - wall).num_milliseconds();
            return Ok(Standing::Lent { asked_at, until, left_ms });
        }
        let what = self.feature.as_deref().map_or("The license".to_owned(), |feature| format!("{feature:?}"));
        let minutes = reply.get("floating_timeout").and_then(Value::as_i64).filter(|minutes| *minutes > 0);
        match minutes {
            _ if says(reply, "is_floating") => {
                let message = format!("{what} floats on a server of its own, which this library does not speak to.");
                Err(Error { outcome: Outcome::Rejected, ..Error::because(Status::NotFloating, message) })
            }
            Some(minutes) if says(reply, "is_floating_cloud") => {
                Ok(Standing::Held { asked_at, timeout_ms: minutes.saturating_mul(60_000) })
            }
            _ => {
                let message = format!("{what} is licensed without floating.");
                Err(Error { outcome: Outcome::Rejected, ..Error::because(Status::NotFloating, message) })
            }
        }
    }

    /// The server's word on a feature does not tell that it is borrowed, and until when; a kept proof may.
    fn with_kept_borrow(
        &self,
        visit: &Visit,
        record: &Record,
        said: Confirmation,
        wall: DateTime<Utc>,
    ) -> Confirmation {
        let Standing::Held { asked_at, .. } = said.standing else { return said };
        let proof = record.proof.as_ref().filter(|_| self.feature.is_some());
        let until = proof.and_then(|proof| proof.until(visit.client, visit.who, self.feature.as_deref()).ok());
        match until.filter(|until| *until > wall) {
            Some(until) => {
                let left_ms = (until - wall).num_milliseconds();
                Confirmation { standing: Standing::Lent { asked_at, until, left_ms }, ..said }
            }
            None => said,
        }
    }

    /// What the server's word on the license proves by itself.
    fn proof_in(&self, answer: &Answer) -> Option<Proof> {
        self.feature.is_none().then(|| Proof { license: Signed::from(answer), borrow: None })
    }

    /// The operation about this slot, and the keys it needs.
    fn verb(&self, of_license: &'static str, of_feature: &'static str) -> (&'static str, Vec<(&'static str, Value)>) {
        match &self.feature {
            None => (of_license, Vec::new()),
            Some(feature) => (of_feature, vec![("feature", feature.as_str().into())]),
        }
    }

    fn fresh_record(&self) -> Record {
        Record::of(self.feature.as_deref())
    }

    fn read(&self) -> Result<Record, Error> {
        self.file.as_ref().map_or_else(|| Ok(self.fresh_record()), |file| Record::read(file, self.feature.as_deref()))
    }

    fn write(&self, record: &mut Record, visit: &Visit) -> Result<(), Error> {
        self.file.as_ref().map_or(Ok(()), |file| record.write(file, visit.clock))
    }

    /// Puts a file that can't be read out of the way. It is nobody's to delete.
    fn set_aside(&self) -> Result<(), Error> {
        let Some(path) = &self.path else { return Ok(()) };
        let aside = path.with_extension(format!("damaged-{}", Utc::now().timestamp_millis()));
        std::fs::rename(path, &aside).map_err(|error| {
            Error::because(Status::Storage, format!("{} can't be moved aside: {error}.", path.display()))
        })
    }

    /// Whether another device's record of this slot lies where ours would be.
    fn foreign(&self, who: &Who) -> Option<Error> {
        let folder = self.path.as_deref()?.parent()?;
        let (prefix, own) = (who.license_prefix(), who.file_prefix());
        let suffix = format!("{}.lease", who.file_suffix(self.feature.as_deref()));
        let names = std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut foreign = names.filter(|name| name.starts_with(&prefix) && name.ends_with(&suffix));
        let name = foreign.find(|name| !name.starts_with(&own))?;
        Some(Error::because(Status::StorageForeign, format!("It is {}.", folder.join(name).display())))
    }
}

/// Whether a borrow runs; while the clock can't be believed, one that may run does.
fn is_lent(record: &Record, visit: &Visit) -> bool {
    match record.runs_until(visit.client, visit.who, visit.clock) {
        Ok(until) => until.is_some(),
        Err(error) => error.status == Status::ClockMovedBack,
    }
}

/// What the server says when there was nothing to give back.
fn is_not_held(status: Status) -> bool {
    matches!(status, Status::FloatingNotAvailable | Status::FloatingFeatureDeviceNotInUse)
}

/// The local reason is what the host can do something about; the server's silence is only why it counts.
fn because(reason: Error, error: &Error) -> Error {
    let detail = format!("{} The server can't be asked: {}", reason.detail.unwrap_or_default(), error.message());
    Error { detail: Some(detail.trim().to_owned()), status: reason.status, ..error.clone() }
}

fn in_doubt(error: Error) -> Error {
    Error { outcome: Outcome::Unknown, ..error }
}

/// Whether this member of a reply is true.
fn says(reply: &Object, member: &str) -> bool {
    reply.get(member) == Some(&Value::Bool(true))
}

/// The object of a reply that was judged to be one.
fn object(answer: &Answer) -> Object {
    serde_json::from_str(&answer.text).unwrap_or_default()
}
