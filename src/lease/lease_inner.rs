//! A held lease: its slots at the server and its life, and what is done about them.

use crate::client::{chance, jittered};
use crate::error::{Error, Outcome};
use crate::http::Call;
use crate::json;
use crate::lease::acquire_request::{AcquireRequest, KeepAlive, LicenseRef};
use crate::lease::background::events::Events;
use crate::lease::context::{RequestContext, Shared};
use crate::lease::slot::process_lock::ProcessLock;
use crate::lease::slot::record::Record;
use crate::lease::slot::release::ReleaseMode;
use crate::lease::slot::{Confirmation, Slot, SlotStatus};
use crate::lease::state_machine::{Input, Millis, NEVER, State, StateMachine};
use crate::lease::status::{LeaseStatus, Reply};
use crate::model;
use crate::status::{Category, Retry, Status};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// How often somebody looks whether another is done with a lease.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// So long somebody who has got what he wants waits for each thing that others have left.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(2);
/// The first pause of who queues for a slot; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The first pause before a slot is given back again, after the server could not be reached; it doubles from there.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest of these pauses.
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// Nothing is outstanding that could take a slot that was given back.
const NO_REPEAT: Millis = Millis::MIN;

/// A lease, whoever holds the handle to it.
pub(crate) struct LeaseInner {
    pub(crate) id: u64,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) release_on_close: Duration,
    pub(crate) timeout: Duration,
    /// Of its slots, on this device and for this license.
    pub(crate) slot_names: Vec<String>,
    license_ref: LicenseRef,
    /// Whoever asks the server about the slots holds them; others wait, or interrupt.
    slots: Mutex<Vec<Slot>>,
    status: Mutex<LeaseStatus>,
    /// Calls about this lease that end when it is given back or let go of.
    calls: Mutex<Vec<Arc<Call>>>,
    /// The license of its slots, as the server named it; 0 until it has.
    license_id: AtomicU64,
    /// When it is settled that its slots are given back; [`NO_REPEAT`] if it is.
    repeat_release_until: AtomicI64,
    /// When the server was last asked to renew its slots, whatever it said.
    renewed_at: AtomicI64,
    /// Which slots a verb of this client has borrowed, and until when: freeing the lease does not give them back.
    borrowed_by_verbs: Mutex<Vec<BorrowByVerb>>,
}

/// A slot that a verb of this client has borrowed.
struct BorrowByVerb {
    feature: Option<String>,
    until: DateTime<Utc>,
    /// When the verb was answered: a renewal that was asked for after that knows better.
    noted_at: Millis,
}

/// An acquire that failed, and what the server may count all the same.
pub(crate) struct Unfinished {
    pub(crate) error: Error,
    pub(crate) held: LeaseInner,
}

impl LeaseInner {
    /// Takes every slot of the wish, or none. Queues for them as long as the wish says. `in_doubt`: one that was being
    /// given back is wanted again, and the server may still count it.
    pub(crate) fn acquire(
        shared: &Shared,
        id: u64,
        request: AcquireRequest,
        process_lock: &dyn Fn(&str) -> ProcessLock,
        in_doubt: bool,
        call: &Call,
    ) -> Result<LeaseInner, Box<Unfinished>> {
        let mut slots = Vec::new();
        let mut state_machine = StateMachine::unconfirmed(request.options);
        let finish_acquire = slots_of(shared, &request, process_lock).and_then(|fresh| {
            slots = fresh;
            let context = shared.context(&request.license_ref, call, request.timeout);
            slots.iter_mut().filter(|_| in_doubt).for_each(|slot| slot.mark_in_doubt(&context));
            let finish_acquire = queue(&context, &request, id, &shared.events, || acquire_all(&context, &mut slots))?;
            let doubted_until = finish_acquire.iter().filter_map(|(_, confirmation)| confirmation.doubted_until).max();
            let (input, borrowed_until, replies) = combined(finish_acquire, shared.clock.now());
            state_machine = state_machine.step(input, shared.clock.now(), chance()).0;
            if let Some(until) = doubted_until {
                // A release that nobody waited for may still be on its way to the server.
                state_machine = state_machine.step(Input::Doubted { until }, shared.clock.now(), chance()).0;
            }
            if state_machine.state() == State::Lost {
                let late = "The answer came when the slot's time was over.";
                return Err(Error::because(Status::Timeout, late).with_unknown_outcome());
            }
            Ok((borrowed_until, replies))
        });
        let mut status = LeaseStatus::new(id, state_machine);
        let license_id = AtomicU64::new(license_id(&slots));
        // What a set that could not be had has left again may have to be given back once more.
        let repeat_release_until =
            slots.iter().filter_map(Slot::repeat_release_until).max().filter(|_| finish_acquire.is_err());
        let held = |status| LeaseInner {
            id,
            slot_names: request.slot_names(),
            keep_alive: request.keep_alive,
            release_on_close: request.release_on_close,
            timeout: request.timeout,
            status: Mutex::new(status),
            license_ref: request.license_ref,
            slots: Mutex::new(slots),
            calls: Mutex::default(),
            license_id,
            repeat_release_until: AtomicI64::new(repeat_release_until.unwrap_or(NO_REPEAT)),
            renewed_at: AtomicI64::new(Millis::MIN),
            borrowed_by_verbs: Mutex::default(),
        };
        match finish_acquire {
            Ok((borrowed_until, replies)) => {
                status.confirmed(borrowed_until, replies);
                Ok(held(status))
            }
            Err(error) => Err(Box::new(Unfinished { error, held: held(status) })),
        }
    }

    /// Whose license it is.
    pub(crate) fn license_ref(&self) -> &LicenseRef {
        &self.license_ref
    }

    /// The license of its slots, if the server has named it.
    pub(crate) fn license_id(&self) -> Option<u64> {
        Some(self.license_id.load(Ordering::Acquire)).filter(|id| *id != 0)
    }

    /// Short: nobody waits for anything while holding it.
    pub(crate) fn status(&self) -> MutexGuard<'_, LeaseStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lease as `lease_info` tells it.
    pub(crate) fn info(&self, shared: &Shared) -> String {
        self.status().info(&shared.clock, self.keep_alive.name())
    }

    /// Whether it holds, or wants, the slot of this feature; `None`: the license's own.
    pub(crate) fn has_slot(&self, feature: Option<&str>) -> bool {
        self.slot_names.contains(&self.license_ref.file_stem(feature))
    }

    /// Asks the server about every slot again.
    pub(crate) fn renew(&self, shared: &Shared, call: &Call, timeout: Duration) -> Result<(), Error> {
        let asked_from = shared.clock.now();
        let mut slots = self.slots(shared, call).inspect_err(|_| self.defer(shared))?;
        let context = shared.context(&self.license_ref, call, timeout);
        let mut confirmations = Vec::new();
        let mut failure = None;
        for (at, slot) in slots.iter_mut().enumerate() {
            // What was given back when others could not be is taken anew.
            match if slot.is_held() { slot.renew(&context) } else { slot.acquire(&context) } {
                Ok(confirmation) => confirmations.push((slot.feature.clone(), confirmation)),
                Err(error) => {
                    failure = Some((at, about(error, slot)));
                    break;
                }
            }
        }
        self.renewed_at.store(shared.clock.now(), Ordering::Release);
        let Some((failed_at, error)) = failure else {
            self.license_id.store(license_id(&slots), Ordering::Release);
            self.borrowed_by_verbs().retain(|borrowed| borrowed.noted_at >= asked_from);
            self.confirmed(shared, confirmations);
            return Ok(());
        };
        self.failed(shared, &error);
        self.tick(shared);
        let something_was_done = !confirmations.is_empty();
        if self.status().state() == State::Lost && (something_was_done || error.is_refusal()) {
            self.tell_borrows_by_verbs(&mut slots);
            // A lease holds all of its slots or none: others may want those that are of no use to it. Nobody else can have
            // what is borrowed, which stays the lease's so that its release ends it.
            let useless = slots.iter_mut().enumerate().rev().filter(|(at, slot)| {
                *at != failed_at && slot.may_be_held_at_server() && !slot.stays_borrowed(&context)
            });
            useless.for_each(|(_, slot)| drop(slot.release(&context, ReleaseMode::KeepBorrow)));
            self.note_repeats(&slots);
        }
        Err(of_all(error, something_was_done))
    }

    /// Borrows every slot, or none.
    pub(crate) fn borrow(&self, shared: &Shared, call: &Call, timeout: Duration, until: &Value) -> Result<(), Error> {
        let mut slots = self.slots(shared, call)?;
        let context = shared.context(&self.license_ref, call, timeout);
        let (mut confirmations, mut before) = (Vec::new(), Vec::new());
        let ends_sooner = slots.iter().any(|slot| slot.would_shorten(until));
        for at in 0..slots.len() {
            match slots[at].borrow(&context, until) {
                Ok(borrowed) => {
                    confirmations.push((slots[at].feature.clone(), borrowed.confirmation));
                    before.push(borrowed.before);
                }
                Err(error) => {
                    let error = of_all(about(error, &slots[at]), at > 0);
                    for (slot, before) in slots.iter_mut().zip(before).rev() {
                        // If that can't be kept, the borrow ends by itself; either way it was made.
                        let _ = slot.undo_borrow(&context, before);
                    }
                    if error.outcome == Outcome::Unknown && ends_sooner {
                        self.note_unanswered_end(shared, until);
                    } else if error.outcome == Outcome::Unknown {
                        // The server may have lent it.
                        self.defer(shared);
                    }
                    return Err(error);
                }
            }
        }
        self.confirmed(shared, confirmations);
        Ok(())
    }

    /// Gives every slot back that no other process of this machine holds too. What fails is kept, and without the others
    /// no work goes on.
    pub(crate) fn release(&self, shared: &Shared, call: &Call, timeout: Duration) -> Result<(), Error> {
        let mut slots = self.slots_while(shared, call, || self.cancel_calls())?;
        let context = shared.context(&self.license_ref, call, timeout);
        self.tell_borrows_by_verbs(&mut slots);
        let held = |slots: &[Slot]| slots.iter().filter(|slot| slot.may_be_held_at_server()).count();
        let before = held(&slots);
        let results: Vec<_> =
            slots.iter_mut().rev().map(|slot| slot.release(&context, ReleaseMode::ReturnBorrow)).collect();
        self.note_repeats(&slots);
        let error = match results.into_iter().collect::<Result<Vec<_>, Error>>() {
            Ok(left) => {
                // A server that knows of no such slot has nothing to let go of: the lease is over, and says why.
                if let Some(refusal) = left.into_iter().flatten().next() {
                    self.status().set_error(&refusal);
                }
                self.end(shared);
                return Ok(());
            }
            Err(error) => error,
        };
        if !slots.iter().all(Slot::is_held) {
            let mut status = self.status();
            status.set_error(&error);
            status.step(Input::PartlyReleased, &shared.clock, &shared.events);
        } else if error.outcome == Outcome::Unknown {
            self.note_unanswered_release(shared);
        }
        // Whatever became of the one that failed, something was done.
        Err(if held(&slots) < before { error.with_unknown_outcome() } else { error })
    }

    /// A borrow was to end sooner, and the answer was lost: no more is promised until the server has been asked.
    fn note_unanswered_end(&self, shared: &Shared, until: &Value) {
        let until = until.as_str().and_then(model::parse_time);
        if let Some(until) = until.filter(|_| self.status().state() == State::Borrowed) {
            let now = shared.clock.now();
            let left_ms = (until - shared.clock.wall()).num_milliseconds();
            let mut status = self.status();
            status.borrowed(until);
            status.step(
                Input::Borrowed { asked_at: now, until: now.saturating_add(left_ms) },
                &shared.clock,
                &shared.events,
            );
        }
        self.note_unanswered_release(shared);
    }

    /// The host, or a verb of this client, has given a slot back, and the answer was lost: the server may have done it.
    pub(crate) fn note_unanswered_release(&self, shared: &Shared) {
        self.status().step(Input::ReleaseUnanswered, &shared.clock, &shared.events);
    }

    /// Leaves the slots after the host has let go of the lease: nobody hears how it went.
    pub(crate) fn release_after_close(&self, shared: &Shared, call: &Call) {
        let context = shared.context(&self.license_ref, call, self.timeout);
        if let Ok(mut slots) = poll_until(&context, || self.try_slots()) {
            let borrowed = std::mem::take(&mut *self.borrowed_by_verbs());
            for slot in slots.iter_mut().rev() {
                let of_slot = borrowed.iter().filter(|borrowed| slot.is_of(borrowed.feature.as_deref()));
                slot.remember_borrow(of_slot.map(|borrowed| borrowed.until).max());
                release_with_retry(&context, slot);
            }
            self.note_repeats(&slots);
        }
    }

    /// A verb of this client has borrowed one of the slots until then. A lease of this one slot is borrowed then.
    pub(crate) fn note_borrow_by_verb(
        &self,
        shared: &Shared,
        call: &Call,
        feature: Option<&str>,
        until: DateTime<Utc>,
    ) {
        let context = shared.context(&self.license_ref, call, self.timeout);
        let (noted_at, left_ms) = (shared.clock.now(), (until - shared.clock.wall()).num_milliseconds());
        self.borrowed_by_verbs().push(BorrowByVerb { feature: feature.map(str::to_owned), until, noted_at });
        let is_of = |slots: &[Slot]| slots.iter().any(|slot| slot.is_of(feature));
        let Ok(slots) = poll_until(&context, || self.try_slots()) else { return };
        if slots.len() == 1 && is_of(&slots) && self.status().state() != State::Released {
            let now = shared.clock.now();
            let mut status = self.status();
            status.borrowed(until);
            status.step(
                Input::Borrowed { asked_at: now, until: now.saturating_add(left_ms) },
                &shared.clock,
                &shared.events,
            );
        }
    }

    /// A verb of this client, begun at `begun_at`, has given back the slot of this feature (`Some(None)`: the license's
    /// own), or all of them. A lease that holds none any more is over; one that holds a part is lost until the rest is
    /// there again.
    pub(crate) fn note_release_by_verb(
        &self,
        shared: &Shared,
        call: &Call,
        feature: Option<Option<&str>>,
        begun_at: Millis,
    ) {
        let context = shared.context(&self.license_ref, call, self.timeout);
        let is_other = |borrowed: &BorrowByVerb| feature.is_some_and(|feature| !is_same(&borrowed.feature, feature));
        self.borrowed_by_verbs().retain(is_other);
        let Ok(mut slots) = poll_until(&context, || self.try_slots()) else { return };
        // A renewal that was on its way meanwhile may have taken the slot anew.
        let was_renewed = self.renewed_at.load(Ordering::Acquire) >= begun_at;
        let given_back = slots.iter_mut().filter(|slot| feature.is_none_or(|feature| slot.is_of(feature)));
        let left = given_back.filter_map(|slot| {
            let was_taken = slot.is_held();
            let is_left = if was_renewed || slot.in_doubt {
                slot.release(&context, ReleaseMode::ReturnBorrow).is_ok()
            } else {
                slot.note_release_by_verb(&context)
            };
            (was_taken && is_left).then_some(())
        });
        if left.count() > 0 {
            let over = if slots.iter().any(Slot::is_held) { Input::PartlyReleased } else { Input::Released };
            self.status().step(over, &shared.clock, &shared.events);
        }
        self.note_repeats(&slots);
    }

    /// Tells the slots what verbs have borrowed, which decides how they are left.
    fn tell_borrows_by_verbs(&self, slots: &mut [Slot]) {
        for borrowed in self.borrowed_by_verbs().iter() {
            let of_verb = slots.iter_mut().filter(|slot| slot.is_of(borrowed.feature.as_deref()));
            of_verb.for_each(|slot| slot.remember_borrow(Some(borrowed.until)));
        }
    }

    fn borrowed_by_verbs(&self) -> MutexGuard<'_, Vec<BorrowByVerb>> {
        self.borrowed_by_verbs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when slots that were given back are to be given back again, if any is.
    pub(crate) fn repeat_release_until(&self) -> Option<Millis> {
        Some(self.repeat_release_until.load(Ordering::Acquire)).filter(|at| *at != NO_REPEAT)
    }

    /// Whether a question about the license may have left a slot of it that nobody wants, since this was asked last.
    pub(crate) fn take_orphaned_license_slot(&self) -> bool {
        // Each slot is asked: what one has left is given back with what the others have.
        let count = |slots: &mut Vec<Slot>| {
            slots.iter_mut().map(Slot::take_orphaned_license_slot).filter(|is_left| *is_left).count()
        };
        self.try_slots().is_some_and(|mut slots| count(&mut slots) > 0)
    }

    fn note_repeats(&self, slots: &[Slot]) {
        let repeat_release_until = slots.iter().filter_map(Slot::repeat_release_until).max();
        self.repeat_release_until.store(repeat_release_until.unwrap_or(NO_REPEAT), Ordering::Release);
    }

    /// Gives back again what a late request may have taken since.
    pub(crate) fn repeat_release(&self, shared: &Shared, call: &Call) {
        let context = shared.context(&self.license_ref, call, self.timeout);
        if let Some(mut slots) = self.try_slots() {
            for slot in slots.iter_mut().rev() {
                let _ = slot.repeat_release(&context);
            }
            self.note_repeats(&slots);
        }
    }

    /// What processes that are no more have left of this license on this device is given back. False if that is not
    /// settled.
    pub(crate) fn release_orphans(
        &self,
        shared: &Shared,
        call: &Call,
        process_lock: &dyn Fn(&str) -> ProcessLock,
        folder: &Path,
    ) -> bool {
        let context = shared.context(&self.license_ref, call, self.timeout.min(ORPHAN_TIMEOUT));
        let mut is_settled = true;
        for feature in Record::stored_features(folder, &self.license_ref) {
            let slot = Slot::new(
                &self.license_ref,
                feature.as_deref(),
                process_lock(&self.license_ref.file_stem(feature.as_deref())),
                Some(folder),
            );
            match slot.and_then(|mut slot| slot.release_orphan(&context)) {
                Ok(is_final) => is_settled &= is_final,
                Err(_) => return false,
            }
        }
        is_settled
    }

    /// Remembers what the clock shows, for as long as it is borrowed. False if others are at it.
    pub(crate) fn save_clock_mark(&self, shared: &Shared) -> bool {
        let mark = |slots: MutexGuard<'_, Vec<Slot>>| slots.iter().all(|slot| slot.save_clock_mark(&shared.clock));
        self.try_slots().is_some_and(mark)
    }

    /// From now on it is over for its host.
    pub(crate) fn end(&self, shared: &Shared) {
        self.status().step(Input::Released, &shared.clock, &shared.events);
    }

    /// Nothing but time has passed.
    pub(crate) fn tick(&self, shared: &Shared) {
        self.status().step(Input::Tick, &shared.clock, &shared.events);
    }

    /// The server is to be asked, though not at this moment.
    fn defer(&self, shared: &Shared) {
        self.status().step(Input::Deferred, &shared.clock, &shared.events);
    }

    /// No answer came, or one that was no yes.
    pub(crate) fn failed(&self, shared: &Shared, error: &Error) {
        if error.status == Status::Cancelled {
            return self.defer(shared);
        }
        let refused = error.is_refusal() || error.status == Status::NotFloating;
        let retry_after_ms = error.retry_after.and_then(|pause| i64::try_from(pause.as_millis()).ok());
        let input = if refused { Input::Refused } else { Input::Failed { retry_after_ms } };
        let mut status = self.status();
        status.set_error(error);
        status.step(input, &shared.clock, &shared.events);
    }

    /// Asks by a call that whoever gives the slots back ends: he would wait for it.
    pub(crate) fn ask(&self, call: &Arc<Call>, ask: &mut dyn FnMut() -> Result<(), Error>) -> Result<(), Error> {
        self.calls().push(Arc::clone(call));
        let answer = ask();
        self.calls().retain(|known| !Arc::ptr_eq(known, call));
        answer
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Arc<Call>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up the slots of these names and tells nobody: what the server counts is left to the next who comes.
    pub(crate) fn abandon(&self, names: &[String]) {
        if let Some(mut slots) = self.try_slots() {
            let abandoned = slots.iter_mut().zip(&self.slot_names).filter(|(_, name)| names.contains(name));
            abandoned.for_each(|(slot, _)| slot.abandon());
        }
    }

    /// The slots of these names are taken again, so what was given back of them is not given back once more.
    pub(crate) fn stop_repeating_release(&self, names: &[String]) {
        if let Some(mut slots) = self.try_slots() {
            let finish_acquire = slots.iter_mut().zip(&self.slot_names).filter(|(_, name)| names.contains(name));
            finish_acquire.for_each(|(slot, _)| slot.stop_repeating_release());
            self.note_repeats(&slots);
        }
    }

    /// Whether the server may count a slot of it.
    pub(crate) fn may_be_held_at_server(&self) -> bool {
        self.try_slots().is_none_or(|slots| slots.iter().any(Slot::may_be_held_at_server))
    }

    /// Ends the calls about this lease: nobody wants to know any more.
    pub(crate) fn cancel_calls(&self) {
        self.calls().iter().for_each(|call| call.cancel());
    }

    /// The slots, once whoever has them is done, of a lease that is not over.
    fn slots(&self, shared: &Shared, call: &Call) -> Result<MutexGuard<'_, Vec<Slot>>, Error> {
        self.slots_while(shared, call, || {})
    }

    /// The same; `each_time` is done before each look, because the call that has the slots may have begun since.
    fn slots_while(
        &self,
        shared: &Shared,
        call: &Call,
        each_time: impl Fn(),
    ) -> Result<MutexGuard<'_, Vec<Slot>>, Error> {
        let context = shared.context(&self.license_ref, call, self.timeout);
        poll_until(&context, || {
            each_time();
            let slots = self.try_slots();
            // Also while whoever gives them back in the background has them.
            let is_over = self.status().state() == State::Released;
            if is_over { Some(Err(Error::new(Status::LeaseOver))) } else { slots.map(Ok) }
        })?
    }

    fn try_slots(&self) -> Option<MutexGuard<'_, Vec<Slot>>> {
        match self.slots.try_lock() {
            Ok(slots) => Some(slots),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The server's yes to every slot.
    fn confirmed(&self, shared: &Shared, finish_acquire: Taken) {
        let doubted_until = finish_acquire.iter().filter_map(|(_, confirmation)| confirmation.doubted_until).max();
        let (input, borrowed_until, replies) = combined(finish_acquire, shared.clock.now());
        let mut status = self.status();
        status.confirmed(borrowed_until, replies);
        status.step(input, &shared.clock, &shared.events);
        if let Some(until) = doubted_until {
            status.step(Input::Doubted { until }, &shared.clock, &shared.events);
        }
    }
}

/// A call has the time of so many requests about each slot: about a feature, about its license, which proves its borrow, and
/// one that gives the license's slot back if that took one.
pub(crate) const MOST_REQUESTS: usize = 3;

/// The time limit of a call that makes so many requests, and lets each have its own time.
pub(crate) fn timeout_of_all(timeout: Duration, requests: usize) -> Duration {
    timeout.saturating_mul(u32::try_from(requests).unwrap_or(u32::MAX))
}

/// The license that the server has named for one of these slots; 0 if it has named none.
fn license_id(slots: &[Slot]) -> u64 {
    slots.iter().find_map(Slot::license_id).unwrap_or_default()
}

/// Features are spelled with and without capitals.
fn is_same(feature: &Option<String>, other: Option<&str>) -> bool {
    feature.as_deref().map(str::to_ascii_lowercase) == other.map(str::to_ascii_lowercase)
}

fn slots_of(
    shared: &Shared,
    request: &AcquireRequest,
    process_lock: &dyn Fn(&str) -> ProcessLock,
) -> Result<Vec<Slot>, Error> {
    let folder = shared.client.config().storage_dir.as_deref();
    let slot = |feature: &Option<String>| {
        Slot::new(
            &request.license_ref,
            feature.as_deref(),
            process_lock(&request.license_ref.file_stem(feature.as_deref())),
            folder,
        )
    };
    request.features.iter().map(slot).collect()
}

type Taken = Vec<(Option<String>, Confirmation)>;

/// Takes all slots, or leaves those again that were taken, in reverse.
fn acquire_all(context: &RequestContext, slots: &mut [Slot]) -> Result<Taken, Error> {
    let mut finish_acquire = Vec::new();
    for at in 0..slots.len() {
        match slots[at].acquire(context) {
            Ok(confirmation) => finish_acquire.push((slots[at].feature.clone(), confirmation)),
            Err(error) => {
                // What can't be given back now is left to the farewell.
                let stuck = slots[..at]
                    .iter_mut()
                    .rev()
                    .filter_map(|slot| slot.release(context, ReleaseMode::KeepBorrow).err());
                let error = about(if stuck.count() == 0 { error } else { error.with_unknown_outcome() }, &slots[at]);
                // What was taken is given back: all in all the server has refused, and nothing is held.
                let is_undone = at > 0 && error.outcome == Outcome::NotSent;
                return Err(if is_undone { error.with_outcome(Outcome::Rejected) } else { error });
            }
        }
    }
    Ok(finish_acquire)
}

/// Tries again while all slots are taken or the server can't be asked, politely, as long as the wish says.
fn queue(
    context: &RequestContext,
    request: &AcquireRequest,
    id: u64,
    events: &Events,
    mut take: impl FnMut() -> Result<Taken, Error>,
) -> Result<Taken, Error> {
    let started = std::time::Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match take() {
            Err(error) if may_succeed_later(&error) => error,
            result => return result,
        };
        let left = request.wait.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(error);
        }
        let next = jittered(pause).max(error.retry_after.unwrap_or_default()).min(left);
        let next_ms = u64::try_from(next.as_millis()).unwrap_or(u64::MAX);
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        events.push(json::object(&[
            ("event", "WAITING".into()),
            ("lease", id.into()),
            ("status", error.status.number().into()),
            ("name", error.status.row().name.into()),
            ("reason", error.message().into()),
            ("asks_again_in_ms", next_ms.into()),
            ("left_ms", left_ms.into()),
        ]));
        context.pause(next)?;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Leaves a slot as soon as the server can be reached, as long as the visit lasts.
fn release_with_retry(context: &RequestContext, slot: &mut Slot) {
    let mut pause = FIRST_RETRY;
    while let Err(error) = slot.release(context, ReleaseMode::KeepBorrow) {
        let may_help = error.status.row().category == Category::Network && error.status != Status::Cancelled;
        if !may_help || context.pause(jittered(pause)).is_err() {
            return;
        }
        pause = (pause * 2).min(LONGEST_RETRY);
    }
}

/// Whether an acquire that queues goes on after this: all slots are taken, or the server can't be asked just now.
fn may_succeed_later(error: &Error) -> bool {
    let row = error.status.row();
    let is_network_error = row.category == Category::Network && row.retry == Retry::Later;
    error.status == Status::FloatingNotAvailable || is_network_error && error.status != Status::Cancelled
}

/// Waits until `try_it` gives something, as long as the visit lasts.
fn poll_until<T>(context: &RequestContext, mut try_it: impl FnMut() -> Option<T>) -> Result<T, Error> {
    loop {
        if let Some(it) = try_it() {
            return Ok(it);
        }
        context.pause(POLL_INTERVAL)?;
    }
}

/// What the server's word on several slots means for the lease: it ends when the first of them does.
fn combined(finish_acquire: Taken, now: Millis) -> (Input, Option<DateTime<Utc>>, Vec<Reply>) {
    let mut first_asked_at = Millis::MAX;
    let (mut first_end, mut first_expiry) = (Millis::MAX, NEVER);
    let mut first_date: Option<DateTime<Utc>> = None;
    let mut all_lent = true;
    for (_, confirmation) in &finish_acquire {
        let (asked_at, end) = match confirmation.status {
            SlotStatus::Held { asked_at, timeout_ms, expires_at } => {
                all_lent = false;
                first_expiry = first_expiry.min(expires_at);
                (asked_at, asked_at.saturating_add(timeout_ms))
            }
            SlotStatus::Borrowed { asked_at, until, left_ms } => {
                first_date = Some(first_date.map_or(until, |date| date.min(until)));
                (asked_at, now.saturating_add(left_ms))
            }
        };
        (first_asked_at, first_end) = (first_asked_at.min(asked_at), first_end.min(end));
    }
    let input = if all_lent {
        Input::Borrowed { asked_at: first_asked_at, until: first_end }
    } else {
        let timeout_ms = first_end.saturating_sub(first_asked_at);
        Input::Confirmed { asked_at: first_asked_at, timeout_ms, expires_at: first_expiry }
    };
    let reply = |(feature, confirmation): (_, Confirmation)| Reply { feature, text: confirmation.reply };
    (input, first_date.filter(|_| all_lent), finish_acquire.into_iter().map(reply).collect())
}

/// The outcome of a call about several slots, one of which failed after others had been asked about.
fn of_all(error: Error, something_was_done: bool) -> Error {
    if something_was_done { error.with_unknown_outcome() } else { error }
}

/// The same error, telling which feature it is about.
fn about(error: Error, slot: &Slot) -> Error {
    let Some(feature) = &slot.feature else { return error };
    if error.status.row().category == Category::Usage || error.status == Status::Cancelled {
        return error;
    }
    let detail = error.detail.as_deref().unwrap_or_default();
    let detail = format!("It is about the feature {feature:?}. {detail}");
    error.with_detail(detail.trim())
}

impl KeepAlive {
    /// As requests and infos spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            KeepAlive::Thread => "thread",
            KeepAlive::Host => "host",
        }
    }
}
