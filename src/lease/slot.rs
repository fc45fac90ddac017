//! One slot at the server: taking, renewing, giving back. Every step is on disk before its request leaves, and
//! whoever enters or leaves stands in the slot's gate meanwhile.

use super::busy::patiently;
use super::clock::Clock;
use super::lend::kept_borrow;
use super::machine::Moment;
use super::record::{Record, borrowed_until};
use super::share::{Gate, Seat, Share};
use super::store::SealedFile;
use super::visit::{Visit, object, says};
use super::wish::Who;
use crate::client::{Answer, jittered};
use crate::error::{Error, Outcome};
use crate::status::Status;
use crate::strict::Object;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

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

/// What a reply says of a license, or a feature, that nobody may use.
const NO_RIGHT: [(&str, bool, Status); 3] = [
    ("is_expired", true, Status::LicenseExpired),
    ("license_active", false, Status::LicenseNotActive),
    ("license_enabled", false, Status::LicenseNotEnabled),
];

/// A slot, and a seat at it while it is ours.
pub(crate) struct Slot {
    pub(crate) feature: Option<String>,
    share: Share,
    file: Option<SealedFile>,
    path: Option<PathBuf>,
    seat: Option<Seat>,
    /// The server was asked for it, and nobody knows what it did, or is going to do when it gets to it.
    pub(super) in_doubt: bool,
    /// It was borrowed, as far as this process knows.
    pub(super) lent: bool,
}

impl Slot {
    /// A slot that nobody has asked for yet. Its holders on this machine meet in `share`; without `folder` nothing of it
    /// outlives the process.
    pub(crate) fn new(who: &Who, feature: Option<&str>, share: Share, folder: Option<&Path>) -> Result<Slot, Error> {
        let path = folder.map(|folder| folder.join(format!("{}.lease", who.file_name(feature))));
        let file = path.clone().map(|path| SealedFile::new(path, &who.product, &who.hardware_id)).transpose()?;
        Ok(Slot { feature: feature.map(str::to_owned), share, file, path, seat: None, in_doubt: false, lent: false })
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
                self.lent = true;
                let left_ms = (until - visit.clock.wall()).num_milliseconds();
                let standing = Standing::Lent { asked_at: visit.clock.now(), until, left_ms };
                let license = record.proof.map(|proof| proof.license.body);
                return Ok(Confirmation { standing, reply: license.filter(|_| self.feature.is_none()) });
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
                // Whatever fails from here on, the server counts it.
                self.in_doubt = true;
                if record.is_none() {
                    self.set_aside().map_err(in_doubt)?;
                }
                let mut record = record.unwrap_or_else(|| self.fresh_record());
                record.may_hold = true;
                let confirmation = self.with_borrow(visit, &gate, &mut record, confirmation, &answer);
                visit.note_date(&mut record, &answer);
                self.write(&mut record, visit).map_err(in_doubt)?;
                self.lent = record.proof.is_some();
                self.seat = Some(gate.sit().map_err(in_doubt)?);
                self.in_doubt = false;
                Ok(confirmation)
            }
            Err(error) => {
                let surely_not = error.is_refusal() || error.status == Status::NotFloating;
                self.in_doubt = !surely_not && (self.in_doubt || error.outcome == Outcome::Unknown);
                let as_before = surely_not && gate.is_empty()? || error.outcome == Outcome::NotSent && !held_before;
                if let Some(record) = record.as_mut().filter(|_| as_before) {
                    record.may_hold = false;
                    record.proof = record.proof.take().filter(|_| !surely_not);
                    record.in_doubt &= record.proof.is_some();
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
        // Somebody may have cleaned the folder up: who came since would not know that we are here. Where no seat is to be
        // had, the slot itself is worth more.
        if let Some(Ok(false)) = self.seat.as_ref().map(Seat::is_in_place)
            && let Ok(seat) = self.enter(visit).and_then(|gate| gate.sit())
        {
            self.seat = Some(seat);
        }
        let checked = self.check(visit);
        self.in_doubt = checked.as_ref().is_err_and(|error| error.outcome == Outcome::Unknown);
        let (said, answer) = checked?;
        let Some(Ok(record)) = self.lent.then(|| self.read()) else { return Ok(said) };
        let confirmation = kept_borrow(visit, &record, said, &answer);
        if matches!(confirmation.standing, Standing::Held { .. }) {
            // It is over, or was taken back at the server: nobody shall rely on it, nor leave the slot to it.
            self.lent = self.forget_borrow(visit).is_err();
        }
        Ok(confirmation)
    }

    fn forget_borrow(&self, visit: &Visit) -> Result<(), Error> {
        let _gate = self.enter(visit)?;
        let mut record = self.read()?;
        (record.proof, record.in_doubt) = (None, false);
        self.write(&mut record, visit)
    }

    /// Remembers what the clock shows, so that it can't be set back to before unnoticed. False if somebody stands in the
    /// gate.
    pub(crate) fn mark_time(&self, clock: &Clock) -> bool {
        if !self.lent {
            return true;
        }
        let Some(_gate) = self.try_enter() else { return false };
        let _ = self.read().and_then(|mut record| self.write_at(&mut record, clock));
        true
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
        // Where nothing can be read, a borrow may be; to lose one is worse than to leave a slot to its timeout.
        let lent = kept.as_ref().map_or(true, |record| is_lent(record, visit));
        match gate.leave(seat).inspect_err(|_| self.in_doubt = true)? {
            None => {
                if let (Ok(mut record), true) = (kept, lent) {
                    // Others go on; what the host gives back is given back when the last of them leaves.
                    if leave == Leave::GiveBack {
                        (record.proof, record.unwanted) = (None, true);
                    }
                    if let Err(error) = self.write(&mut record, visit) {
                        self.seat = Some(gate.sit()?);
                        return Err(error);
                    }
                }
            }
            Some(_) if lent && leave == Leave::KeepBorrow => {
                if let Ok(mut record) = kept {
                    self.write(&mut record, visit)?;
                }
            }
            Some(last_out) => {
                if let Err(error) = self.give_back(visit, &gate) {
                    self.seat = Some(last_out.stay()?);
                    return Err(error);
                }
            }
        }
        (self.in_doubt, self.lent) = (false, false);
        Ok(())
    }

    /// Whoever had it before has not heard that the server let go of it.
    pub(crate) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// Whether it is ours, as far as anybody knows.
    pub(crate) fn is_taken(&self) -> bool {
        self.seat.is_some()
    }

    /// Whether the server may count it.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.in_doubt || self.is_taken()
    }

    /// Gives up the seat and nothing else: what the server counts is for the next who comes to settle.
    pub(crate) fn abandon(&mut self) {
        (self.seat, self.in_doubt) = (None, false);
    }

    /// Gives back what a process that is no more has left, if nobody is seated there and it is not borrowed.
    pub(crate) fn settle(&self, visit: &Visit) -> Result<(), Error> {
        // Whoever stands there settles it himself.
        let Some(gate) = self.try_enter() else { return Ok(()) };
        let record = self.read()?;
        if record.may_hold && !is_lent(&record, visit) && gate.is_empty()? {
            self.give_back(visit, &gate)
        } else {
            Ok(())
        }
    }

    fn try_enter(&self) -> Option<Gate> {
        self.share.enter(&mut |_| Err(Error::new(Status::Timeout))).ok()
    }

    pub(super) fn enter(&self, visit: &Visit) -> Result<Gate, Error> {
        self.folder().map_or(Ok(()), make)?;
        let busy = "Another process of this machine is taking or giving back the same slot.";
        self.share.enter(&mut |duration| {
            visit.pause(duration).map_err(|error| match error.status {
                Status::Timeout => error.with_detail(busy),
                _ => error,
            })
        })
    }

    /// Has the server let go of the slot. The caller is the last one out, or knows that there is nobody.
    pub(super) fn give_back(&self, visit: &Visit, _gate: &Gate) -> Result<(), Error> {
        // A borrow that may have been given back proves nothing to whoever comes next.
        let kept = self.read();
        let is_damaged = kept.is_err();
        let mut record = kept.unwrap_or_else(|_| self.fresh_record());
        let doubtful = record.proof.is_some() && !record.in_doubt;
        if doubtful {
            record.in_doubt = true;
            self.write(&mut record, visit)?;
        }
        if let Err(error) = self.release(visit) {
            if doubtful && error.outcome != Outcome::Unknown {
                record.in_doubt = false;
                self.write(&mut record, visit)?;
            }
            return Err(error);
        }
        // A record that still says "may hold" makes the next start ask once more, no worse. It must if a request may still
        // be on its way to the server.
        (record.may_hold, record.in_doubt, record.unwanted, record.proof) = (self.in_doubt, false, false, None);
        if !is_damaged || self.set_aside().is_ok() {
            let _ = self.write(&mut record, visit);
        }
        Ok(())
    }

    /// Asks until the server has surely let go. Nobody else of this machine can take the slot meanwhile, so to repeat a
    /// release is to ask whether it was done.
    fn release(&self, visit: &Visit) -> Result<(), Error> {
        let (operation, own) = self.verb("release_license", "release_feature");
        let mut unheard = false;
        loop {
            let error = match visit.ask(operation, &own) {
                Ok(_) => return Ok(()),
                Err(error) if is_not_held(error.status) && error.is_refusal() => return Ok(()),
                Err(error) => error,
            };
            unheard |= error.outcome == Outcome::Unknown;
            if !unheard || error.is_refusal() {
                return Err(error);
            }
            if error.status == Status::Cancelled || visit.pause(jittered(Duration::from_millis(100))).is_err() {
                return Err(in_doubt(error));
            }
        }
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
        // The API may tell so with a yes; there is no slot for it all the same.
        let tells = |member, value| reply.get(member) == Some(&Value::Bool(value));
        if let Some((.., status)) = NO_RIGHT.into_iter().find(|(member, value, _)| tells(*member, *value)) {
            return Err(Error::new(status).with_outcome(Outcome::Rejected));
        }
        if let Some(until) = borrowed_until(reply, None).filter(|_| self.feature.is_none()) {
            let left_ms = (until - wall).num_milliseconds();
            return Ok(Standing::Lent { asked_at, until, left_ms });
        }
        let what = self.feature.as_deref().map_or("The license".to_owned(), |feature| format!("{feature:?}"));
        let minutes = reply.get("floating_timeout").and_then(Value::as_i64).filter(|minutes| *minutes > 0);
        match minutes {
            _ if says(reply, "is_floating") => {
                let message = format!("{what} floats on a server of its own, which this library does not speak to.");
                Err(Error::because(Status::NotFloating, message).with_outcome(Outcome::Rejected))
            }
            Some(minutes) if says(reply, "is_floating_cloud") => {
                Ok(Standing::Held { asked_at, timeout_ms: minutes.saturating_mul(60_000) })
            }
            _ => {
                let message = format!("{what} is licensed without floating.");
                Err(Error::because(Status::NotFloating, message).with_outcome(Outcome::Rejected))
            }
        }
    }

    /// The operation about this slot, and the keys it needs.
    pub(super) fn verb(
        &self,
        of_license: &'static str,
        of_feature: &'static str,
    ) -> (&'static str, Vec<(&'static str, Value)>) {
        match &self.feature {
            None => (of_license, Vec::new()),
            Some(feature) => (of_feature, vec![("feature", feature.as_str().into())]),
        }
    }

    fn fresh_record(&self) -> Record {
        Record::of(self.feature.as_deref())
    }

    pub(super) fn read(&self) -> Result<Record, Error> {
        self.file.as_ref().map_or_else(|| Ok(self.fresh_record()), |file| Record::read(file, self.feature.as_deref()))
    }

    pub(super) fn write(&self, record: &mut Record, visit: &Visit) -> Result<(), Error> {
        self.write_at(record, visit.clock)
    }

    fn write_at(&self, record: &mut Record, clock: &Clock) -> Result<(), Error> {
        self.file.as_ref().map_or(Ok(()), |file| record.write(file, clock))
    }

    /// Where things are kept, if anywhere.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.path.as_deref().and_then(Path::parent)
    }

    /// Puts a file that can't be read out of the way. It is nobody's to delete.
    fn set_aside(&self) -> Result<(), Error> {
        let Some(path) = &self.path else { return Ok(()) };
        let aside = path.with_extension(format!("damaged-{}", Utc::now().timestamp_millis()));
        patiently(|| std::fs::rename(path, &aside)).map_err(|error| {
            Error::because(Status::Storage, format!("{} can't be moved aside: {error}.", path.display()))
        })
    }

    /// Whether another device's record of this slot lies where ours would be.
    fn foreign(&self, who: &Who) -> Option<Error> {
        let folder = self.folder()?;
        let (prefix, own) = (who.license_prefix(), who.file_prefix());
        let suffix = format!("{}.lease", who.file_suffix(self.feature.as_deref()));
        let names = std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut foreign = names.filter(|name| name.starts_with(&prefix) && name.ends_with(&suffix));
        let name = foreign.find(|name| !name.starts_with(&own))?;
        Some(Error::because(Status::StorageForeign, format!("It is {}.", folder.join(name).display())))
    }
}

/// Makes the folder for what is kept, for this user alone.
pub(super) fn make(folder: &Path) -> Result<(), Error> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let failed = |error| Error::because(Status::Storage, format!("{} can't be made: {error}.", folder.display()));
    builder.create(folder).map_err(failed)
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
    let reasons = reason.detail.as_deref().unwrap_or_default();
    let detail = format!("{reasons} The server can't be asked: {}", error.message());
    let mut error = error.clone().with_detail(detail.trim());
    error.status = reason.status;
    error
}

/// A failure after the server has done, or may have done, what was asked.
pub(super) fn in_doubt(error: Error) -> Error {
    error.with_outcome(Outcome::Unknown)
}
