//! The slots and the status of a lease, and who may use them when.

use crate::error::Error;
use crate::http::Call;
use crate::lease::acquire_request::{AcquireRequest, KeepAlive};
use crate::lease::context::{RequestContext, Shared};
use crate::lease::license_ref::LicenseRef;
use crate::lease::slot::{Confirmation, Slot, SlotStatus};
use crate::lease::state_machine::{Input, Millis, NEVER, State, StateMachine};
use crate::lease::status::{LeaseLabel, LeaseStatus, Reply};
use crate::status::{Category, Status};
use chrono::{DateTime, Utc};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// How often a call looks whether another one is done with the slots of a lease.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The value of `repeat_release_until` when no release is to be repeated.
const NO_REPEAT: Millis = Millis::MIN;

/// The most requests that a call makes about one slot: for a feature, for its license, which proves a borrow, and to
/// release the license's slot if the second one took it.
pub(crate) const MOST_REQUESTS: usize = 3;

/// The time limit of a call that makes so many requests, each of which may take `timeout`.
pub(crate) fn timeout_of_all(timeout: Duration, requests: usize) -> Duration {
    timeout.saturating_mul(u32::try_from(requests).unwrap_or(u32::MAX))
}

/// A lease, shared by its handle and the threads that renew and release it.
pub(crate) struct LeaseInner {
    pub(super) shared: Arc<Shared>,
    pub(crate) label: Arc<LeaseLabel>,
    pub(crate) keep_alive: KeepAlive,
    /// How long slots may still be released after the lease was closed.
    pub(crate) release_on_close: Duration,
    /// The time limit of each request.
    pub(crate) timeout: Duration,
    /// The names of the slots, unique for license, device and feature.
    pub(crate) slot_names: Vec<String>,
    pub(super) license_ref: LicenseRef,
    /// Locked while a call asks the server about the slots. Other calls wait, or cancel that one.
    slots: Mutex<Vec<Slot>>,
    status: Mutex<LeaseStatus>,
    /// The calls about this lease that a release or a close cancels.
    calls: Mutex<Vec<Arc<Call>>>,
    /// The license of the slots, as the server named it; 0 until then.
    license_id: AtomicU64,
    /// Until this moment, released slots are released again; see [`Slot::repeat_release_until`].
    repeat_release_until: AtomicI64,
    /// When the server was last asked to renew the slots, whatever it answered.
    pub(super) renewed_at: AtomicI64,
    /// The slots that verbs of this client have borrowed. Closing the lease does not end these borrows.
    borrows_by_verbs: Mutex<Vec<BorrowByVerb>>,
}

/// A slot that a verb of this client has borrowed.
pub(super) struct BorrowByVerb {
    pub(super) feature: Option<String>,
    pub(super) until: DateTime<Utc>,
    /// When the verb was answered. A renewal that was asked for later knows better.
    pub(super) noted_at: Millis,
}

/// The server's yes to each slot, by feature.
pub(super) type Confirmations = Vec<(Option<String>, Confirmation)>;

impl LeaseInner {
    /// A lease that holds no slot yet.
    pub(crate) fn new(shared: &Arc<Shared>, id: u64, request: AcquireRequest) -> Result<LeaseInner, Error> {
        let slot = |feature: &Option<String>| Slot::new(shared, &request.license_ref, feature.as_deref());
        let slots: Vec<_> = request.features.iter().map(slot).collect::<Result<_, _>>()?;
        let slot_names = request.slot_names();
        let features = request.features.into_iter().flatten().collect();
        let label = Arc::new(LeaseLabel { id, features, tag: request.tag });
        Ok(LeaseInner {
            shared: Arc::clone(shared),
            label: Arc::clone(&label),
            slot_names,
            keep_alive: request.keep_alive,
            release_on_close: request.release_on_close,
            timeout: request.timeout,
            license_ref: request.license_ref,
            slots: Mutex::new(slots),
            status: Mutex::new(LeaseStatus::new(label, StateMachine::unconfirmed(request.options))),
            calls: Mutex::default(),
            license_id: AtomicU64::new(0),
            repeat_release_until: AtomicI64::new(NO_REPEAT),
            renewed_at: AtomicI64::new(Millis::MIN),
            borrows_by_verbs: Mutex::default(),
        })
    }

    /// The license and device of the lease.
    pub(crate) fn license_ref(&self) -> &LicenseRef {
        &self.license_ref
    }

    /// The license of the slots, if the server has named it.
    pub(crate) fn license_id(&self) -> Option<u64> {
        Some(self.license_id.load(Ordering::Acquire)).filter(|id| *id != 0)
    }

    /// The status of the lease. Its lock is held briefly and while waiting for nothing.
    pub(crate) fn status(&self) -> MutexGuard<'_, LeaseStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The JSON object of `lease_info`.
    pub(crate) fn info(&self) -> String {
        self.status().info(&self.shared.clock, self.keep_alive.name())
    }

    /// Returns whether the lease has a slot of this feature, held or not; `None`: the license's own.
    pub(crate) fn has_slot(&self, feature: Option<&str>) -> bool {
        self.slot_names.contains(&self.license_ref.file_stem(feature))
    }

    /// Returns whether the host lets the library release the slots by itself.
    pub(crate) fn may_be_released_in_background(&self) -> bool {
        self.keep_alive == KeepAlive::Thread && !self.release_on_close.is_zero()
    }

    /// Returns whether the server may count a slot of the lease for this device.
    pub(crate) fn may_be_held_at_server(&self) -> bool {
        self.try_slots().is_none_or(|slots| slots.iter().any(Slot::may_be_held_at_server))
    }

    /// Steps the state machine, and publishes and tells what follows.
    pub(super) fn step(&self, input: Input) {
        self.status().step(input, &self.shared.clock, &self.shared.events);
    }

    /// Ends the lease for its host.
    pub(crate) fn mark_released(&self) {
        self.step(Input::Released);
    }

    /// Applies the passing of time.
    pub(crate) fn tick(&self) {
        self.step(Input::Tick);
    }

    /// Notes that the server is to be asked again soon, though nothing is known to have failed.
    pub(super) fn defer(&self) {
        self.step(Input::Deferred);
    }

    /// Applies the failure of a renewal or an acquire.
    pub(super) fn apply_failure(&self, error: &Error) {
        if error.status == Status::Cancelled {
            return self.defer();
        }
        let is_refused = error.is_refusal() || error.status == Status::NotFloating;
        let retry_after_ms = error.retry_after.and_then(|pause| i64::try_from(pause.as_millis()).ok());
        let input = if is_refused { Input::Refused } else { Input::Failed { retry_after_ms } };
        let mut status = self.status();
        status.set_error(error);
        status.step(input, &self.shared.clock, &self.shared.events);
    }

    /// Applies the server's yes to every slot.
    pub(super) fn apply_confirmations(&self, confirmations: Confirmations) {
        let doubted_until = doubted_until(&confirmations);
        let (input, borrowed_until, replies) = combined(confirmations);
        let mut status = self.status();
        status.confirmed(borrowed_until, replies);
        status.step(input, &self.shared.clock, &self.shared.events);
        if let Some(until) = doubted_until {
            status.step(Input::Doubted { until }, &self.shared.clock, &self.shared.events);
        }
    }

    /// Applies a borrow until this date, of which no reply is at hand.
    pub(super) fn apply_borrow(&self, until: DateTime<Utc>) {
        let clock = &self.shared.clock;
        let mut status = self.status();
        status.borrowed(until);
        let input = Input::Borrowed { asked_at: clock.now(), until: clock.moment_of(until) };
        status.step(input, clock, &self.shared.events);
    }

    /// Runs `request` as part of `call`, which a release or a close of the lease cancels, so that neither waits for it.
    pub(crate) fn cancellable(
        &self,
        call: &Arc<Call>,
        request: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.calls().push(Arc::clone(call));
        let answer = request();
        self.calls().retain(|known| !Arc::ptr_eq(known, call));
        answer
    }

    /// Cancels the calls about this lease.
    pub(crate) fn cancel_calls(&self) {
        self.calls().iter().for_each(|call| call.cancel());
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Arc<Call>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The context of requests within `call`, each of which has `timeout`.
    pub(super) fn context<'a>(&'a self, call: &'a Call, timeout: Duration) -> RequestContext<'a> {
        self.shared.context(&self.license_ref, call, timeout)
    }

    /// Waits until no other call uses the slots. Fails if the lease is over.
    pub(super) fn slots(&self, call: &Call) -> Result<MutexGuard<'_, Vec<Slot>>, Error> {
        self.slots_after(call, || {})
    }

    /// Waits until no other call uses the slots, and runs `before_each_try` again and again, because another call may begin
    /// meanwhile. Fails if the lease is over.
    pub(super) fn slots_after(
        &self,
        call: &Call,
        before_each_try: impl Fn(),
    ) -> Result<MutexGuard<'_, Vec<Slot>>, Error> {
        poll_until(&self.context(call, self.timeout), || {
            before_each_try();
            let slots = self.try_slots();
            // Asked even if the slots are in use, because the thread that releases them may be using them.
            let is_over = self.status().state() == State::Released;
            if is_over { Some(Err(Error::new(Status::LeaseOver))) } else { slots.map(Ok) }
        })?
    }

    /// Waits until no other call uses the slots, also of a lease that is over.
    pub(super) fn slots_even_if_over(&self, call: &Call) -> Result<MutexGuard<'_, Vec<Slot>>, Error> {
        poll_until(&self.context(call, self.timeout), || self.try_slots())
    }

    pub(super) fn try_slots(&self) -> Option<MutexGuard<'_, Vec<Slot>>> {
        match self.slots.try_lock() {
            Ok(slots) => Some(slots),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Remembers which license the server has named.
    pub(super) fn note_license(&self, slots: &[Slot]) {
        let license_id = slots.iter().find_map(Slot::license_id).unwrap_or_default();
        self.license_id.store(license_id, Ordering::Release);
    }

    /// The moment until which released slots are to be released again, if any is.
    pub(crate) fn repeat_release_until(&self) -> Option<Millis> {
        Some(self.repeat_release_until.load(Ordering::Acquire)).filter(|at| *at != NO_REPEAT)
    }

    /// Remembers until when the releases of these slots are to be repeated.
    pub(super) fn note_repeats(&self, slots: &[Slot]) {
        let until = slots.iter().filter_map(Slot::repeat_release_until).max();
        self.repeat_release_until.store(until.unwrap_or(NO_REPEAT), Ordering::Release);
    }

    pub(super) fn borrows_by_verbs(&self) -> MutexGuard<'_, Vec<BorrowByVerb>> {
        self.borrows_by_verbs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a check may have taken a slot of the license that is not needed. Says so once.
    pub(crate) fn pop_stray_license_slot(&self) -> bool {
        let Some(mut slots) = self.try_slots() else { return false };
        // Each slot is asked: one release covers what all of them have left.
        slots.iter_mut().map(Slot::pop_stray_license_slot).filter(|is_left| *is_left).count() > 0
    }

    /// Stores what the clock shows, if the lease is borrowed. False if the slots or their locks are in use.
    pub(crate) fn save_clock_mark(&self) -> bool {
        self.try_slots().is_some_and(|slots| slots.iter().all(|slot| slot.save_clock_mark(&self.shared.clock)))
    }
}

/// Calls `attempt` from time to time until it returns something, as long as the call lasts.
pub(super) fn poll_until<T>(context: &RequestContext, mut attempt: impl FnMut() -> Option<T>) -> Result<T, Error> {
    loop {
        if let Some(value) = attempt() {
            return Ok(value);
        }
        context.pause(POLL_INTERVAL)?;
    }
}

/// The moment until which an earlier request may still free one of these slots.
pub(super) fn doubted_until(confirmations: &Confirmations) -> Option<Millis> {
    confirmations.iter().filter_map(|(_, confirmation)| confirmation.doubted_until).max()
}

/// Combines the server's yes to each slot into one input. A lease ends as soon as one of its slots does. Also returns the
/// end of the borrow, if all slots are borrowed, and the replies.
pub(super) fn combined(confirmations: Confirmations) -> (Input, Option<DateTime<Utc>>, Vec<Reply>) {
    let mut first_asked_at = Millis::MAX;
    let (mut first_end, mut first_expiry) = (Millis::MAX, NEVER);
    let mut first_date: Option<DateTime<Utc>> = None;
    let mut all_borrowed = true;
    for (_, confirmation) in &confirmations {
        let (asked_at, end) = match confirmation.status {
            SlotStatus::Held { asked_at, timeout_ms, expires_at } => {
                all_borrowed = false;
                first_expiry = first_expiry.min(expires_at);
                (asked_at, asked_at.saturating_add(timeout_ms))
            }
            SlotStatus::Borrowed { asked_at, until, ends_at } => {
                first_date = Some(first_date.map_or(until, |date| date.min(until)));
                (asked_at, ends_at)
            }
        };
        (first_asked_at, first_end) = (first_asked_at.min(asked_at), first_end.min(end));
    }
    let input = if all_borrowed {
        Input::Borrowed { asked_at: first_asked_at, until: first_end }
    } else {
        let timeout_ms = first_end.saturating_sub(first_asked_at);
        Input::Confirmed { asked_at: first_asked_at, timeout_ms, expires_at: first_expiry }
    };
    let reply = |(feature, confirmation): (_, Confirmation)| Reply { feature, text: confirmation.reply };
    (input, first_date.filter(|_| all_borrowed), confirmations.into_iter().map(reply).collect())
}

/// The outcome of a call about several slots that failed for one of them.
pub(super) fn of_all(error: Error, something_was_done: bool) -> Error {
    if something_was_done { error.with_unknown_outcome() } else { error }
}

/// Adds to an error which feature it is about.
///
/// A request that failed on its way is about no feature: it was only the first one of its lease to be sent. If the error
/// named its feature, a lease that ends because of another slot would give that feature as the reason.
pub(super) fn about(error: Error, slot: &Slot) -> Error {
    let Some(feature) = &slot.feature else { return error };
    if matches!(error.status.row().category, Category::Usage | Category::Network) {
        return error;
    }
    let detail = error.detail.as_deref().unwrap_or_default();
    let detail = format!("It is about the feature {feature:?}. {detail}");
    error.with_detail(detail.trim())
}
