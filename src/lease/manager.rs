//! Keeps the leases of a client: one thread for all of them, started by the first that wants it, that renews in time
//! and tells the host what time has done.
//!
//! A request may hang. So before the thread makes one, another takes its place if there are other leases: time passes for
//! each lease whatever becomes of the requests of others.
//!
//! The thread sleeps until something is due. It never sleeps for long: a machine that was asleep itself wakes it late,
//! because the system's sleeps do not count that time.

use crate::error::Error;
use crate::http::{Call, Waiter};
use crate::lease::acquire_request::KeepAlive;
use crate::lease::background::thread;
use crate::lease::consumption;
use crate::lease::context::Shared;
use crate::lease::lease_inner::{Held, MOST_REQUESTS, timeout_of_all};
use crate::lease::release::{Ended, Farewells, GivenBack, SlotName, Unsettled};
use crate::lease::renewal::{Renewals, SIDE_BY_SIDE_AFTER};
use crate::lease::slot::process_lock::Share;
use crate::lease::state_machine::{Millis, State};
use crate::status::{Category, Status};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So long the thread sleeps at most.
const LONGEST_NAP: Duration = Duration::from_secs(10);
/// What panicked does not do so again and again at once.
const AFTER_PANIC: Duration = Duration::from_secs(1);
/// So often what the clock shows is kept for leases that are borrowed.
const MARK_MS: i64 = 10 * 60 * 1000;
/// So soon again if others were at what it is kept in.
const MARK_AGAIN_MS: i64 = 1_000;
/// The least that a renewal is given, however near the moment when it comes too late.
const LEAST_PATIENCE_MS: i64 = 100;
/// And the most when that moment has passed, as after a sleep of the machine: the host waits to be told.
const OVERDUE_MS: i64 = 5_000;
/// How often a verb looks whether the one that it has stopped is gone.
const STEPPING_ASIDE: Duration = Duration::from_millis(5);

/// The leases of a client and who looks after them.
pub(crate) struct Keeper {
    pub(crate) shared: Shared,
    book: Mutex<Book>,
    /// The book has changed, or the time has.
    changed: Condvar,
    /// When what the clock shows is to be kept next.
    marks_at: AtomicI64,
}

#[derive(Default)]
struct Book {
    leases: Vec<Arc<Held>>,
    last_id: u64,
    /// Where holders of a slot meet that are of this client alone: without a folder to meet others in.
    shares: Vec<(String, Share)>,
    farewells: Farewells,
    /// Acquires under way that need the keeper's thread.
    reserved: usize,
    renewals: Renewals,
    keeping: Keeping,
    /// So many threads give slots back.
    seeing_off: usize,
    /// One of them waits for what is to be given back later, or for the others to be done.
    seer_waits: bool,
    booking: bool,
    closed: bool,
}

/// Whether a thread waits for what is due.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Keeping {
    /// There is no thread.
    #[default]
    Nobody,
    /// It waits, or is about to.
    Waits,
    /// It asks the server first, because no other lease needed it when it began.
    Asks,
}

/// What a thread of the keeper is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It waits for what is due.
    Waits,
    /// It renews one lease, and waits for what is due after that unless another thread does.
    Asks,
    /// Another thread waits, and this one renews what is due at the moment.
    Helps,
}

/// What a thread of the keeper does next.
enum Task {
    Renew(UnderWay),
    /// It keeps what the clock shows.
    Mark,
}

/// A renewal that is under way until this is dropped.
struct UnderWay {
    keeper: Arc<Keeper>,
    held: Arc<Held>,
    /// Nobody else tells the hosts of other leases what time does to them from then on.
    others_turn_at: Millis,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.keeper.book().renewals.end(&self.held);
        self.keeper.changed.notify_all();
    }
}

/// Keeps the keeper's thread for an acquire that is under way.
pub(crate) struct Reservation(Arc<Keeper>);

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.book().reserved -= 1;
        self.0.changed.notify_all();
    }
}

/// Somebody gives slots back by this call, until this ends or is dropped, as by a panic.
struct AtTheDoor {
    keeper: Arc<Keeper>,
    call: Option<Arc<Call>>,
}

impl AtTheDoor {
    fn end(mut self, book: &mut Book) -> Ended {
        self.call.take().map(|call| book.farewells.end(&call)).unwrap_or_default()
    }
}

impl Drop for AtTheDoor {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.keeper.book().farewells.end(&call);
        }
    }
}

/// The keeper's thread that gives slots back goes on with its own work after a panic, and is not counted any more.
struct UncountedByPanic<'a>(&'a Keeper);

impl Drop for UncountedByPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.book().seeing_off -= 1;
        }
    }
}

/// A slot that a verb is about to take. When dropped, it is given back again if a lease has left it.
pub(crate) struct HeldOff {
    keeper: Arc<Keeper>,
    slot: SlotName,
}

impl HeldOff {
    /// The verb has taken the slot for its host: the leases that are meant do not give it back.
    pub(crate) fn taken(&self, is_meant: impl Fn(&Held) -> bool) {
        self.keeper.book().farewells.give_up(&self.slot, is_meant);
    }
}

impl Drop for HeldOff {
    fn drop(&mut self) {
        self.keeper.book().farewells.go_on(&self.slot);
        self.keeper.changed.notify_all();
    }
}

impl Keeper {
    pub(crate) fn new(shared: Shared) -> Keeper {
        let marks_at = AtomicI64::new(shared.clock.now().saturating_add(MARK_MS));
        Keeper { shared, book: Mutex::default(), changed: Condvar::new(), marks_at }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a lease that is going to be.
    pub(crate) fn next_id(&self) -> u64 {
        let mut book = self.book();
        book.last_id += 1;
        book.last_id
    }

    /// The lease of this number, while somebody holds it.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Held>> {
        self.book().leases.iter().find(|held| held.id == id).cloned()
    }

    /// Where the holders of a slot meet.
    pub(crate) fn share(&self, name: &str) -> Share {
        if let Some(folder) = &self.shared.client.config().storage_dir {
            return Share::on_disk(folder, name);
        }
        let mut book = self.book();
        match book.shares.iter().find(|(known, _)| known == name) {
            Some((_, share)) => share.clone(),
            None => {
                let share = Share::in_memory();
                book.shares.push((name.to_owned(), share.clone()));
                share
            }
        }
    }

    /// The leases that somebody holds.
    pub(crate) fn leases(&self) -> Vec<Arc<Held>> {
        self.book().leases.clone()
    }

    /// Starts the thread that a lease is going to need, before the server is asked for its slots.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn reserve(self: &Arc<Keeper>, keep_alive: KeepAlive) -> Result<Reservation, Error> {
        let mut book = self.book();
        if keep_alive == KeepAlive::Thread && book.keeping == Keeping::Nobody && !book.closed {
            self.start_keeping(&mut book)?;
        }
        book.reserved += 1;
        Ok(Reservation(Arc::clone(self)))
    }

    /// Starts a thread that waits for what is due.
    fn start_keeping(self: &Arc<Keeper>, book: &mut Book) -> Result<(), Error> {
        let (keeper, mut role) = (Arc::clone(self), Role::Waits);
        start(&self.shared, move || keeper.run(&mut role))?;
        book.keeping = Keeping::Waits;
        Ok(())
    }

    /// Looks after a lease from now on. False if the client was closed meanwhile.
    pub(crate) fn keep(self: &Arc<Keeper>, held: &Arc<Held>) -> bool {
        let mut book = self.book();
        if book.closed {
            return false;
        }
        book.leases.push(Arc::clone(held));
        if book.keeping == Keeping::Asks && held.keep_alive == KeepAlive::Thread {
            // The lease may not wait for what another one asks. If no thread can be started, it must.
            let _ = self.start_keeping(&mut book);
        }
        self.changed.notify_all();
        true
    }

    /// If it is not settled that the slots of a lease are given back, they are given back again in the background.
    pub(crate) fn settle_later(self: &Arc<Keeper>, held: &Arc<Held>) {
        if held.settles_at().is_some() {
            self.add_unsettled(held, GivenBack::OwnSlots);
        }
    }

    /// Gives back what the records of the license of this lease say that nobody holds. False if that is not settled.
    pub(crate) fn settle_others(&self, held: &Held, call: &Call) -> bool {
        let share = |name: &str| self.share(name);
        let folder = self.shared.client.config().storage_dir.as_deref();
        folder.is_none_or(|folder| held.settle_others(&self.shared, call, &share, folder))
    }

    /// Gives back in the background what the records of the license of this lease say that nobody holds.
    pub(crate) fn settle_others_later(self: &Arc<Keeper>, held: &Arc<Held>) {
        self.add_unsettled(held, GivenBack::LeftSlots);
    }

    /// If a question about the license may have left a slot of it, that is given back in the background.
    pub(crate) fn settle_license_left(self: &Arc<Keeper>, held: &Arc<Held>) {
        if held.take_license_left() {
            self.settle_others_later(held);
        }
    }

    fn add_unsettled(self: &Arc<Keeper>, held: &Arc<Held>, what: GivenBack) {
        if held.keep_alive == KeepAlive::Thread && !held.release_on_close.is_zero() {
            let mut book = self.book();
            book.farewells.add_unsettled(Arc::clone(held), what, self.shared.clock.now());
            self.start_seeing_off(&mut book);
            self.changed.notify_all();
        }
    }

    /// The host has let go of a lease. Its slots are given back without him, if he lets us.
    pub(crate) fn let_go(self: &Arc<Keeper>, held: &Arc<Held>) {
        let mut book = self.book();
        book.leases.retain(|kept| !Arc::ptr_eq(kept, held));
        // Nor is it renewed by who has begun to look after it.
        held.end(&self.shared);
        if held.is_in_doubt() {
            self.see_off(&mut book, vec![Arc::clone(held)]);
        }
        self.changed.notify_all();
    }

    /// Keeps slots of these names from being given back, because they are wanted again. True if one was going to be.
    pub(crate) fn want_back(&self, names: &[String]) -> bool {
        self.book().farewells.want_back(names)
    }

    /// Keeps a slot from being given back in the background while a verb is about to take it: a release that leaves after
    /// the verb would undo it. Whoever gives the slot back already is stopped.
    pub(crate) fn hold_off(self: &Arc<Keeper>, call: &Call, slot: SlotName) -> HeldOff {
        let mut book = self.book();
        if !book.closed {
            book.farewells.hold_off(&slot);
        }
        while book.farewells.stop(&slot) {
            drop(book);
            let may_wait = call.sleep(STEPPING_ASIDE).is_ok();
            book = self.book();
            if !may_wait {
                break;
            }
        }
        drop(book);
        HeldOff { keeper: Arc::clone(self), slot }
    }

    /// Ends it all. Waits for nothing.
    pub(crate) fn close(self: &Arc<Keeper>) {
        let mut book = self.book();
        book.closed = true;
        book.farewells.go_on_without_verbs();
        let leases = std::mem::take(&mut book.leases);
        leases.iter().for_each(|held| held.end(&self.shared));
        self.see_off(&mut book, leases);
        drop(book);
        self.shared.events.close();
        self.changed.notify_all();
    }

    /// Leases, or the time, have changed by other hands.
    pub(crate) fn look_again(&self) {
        let book = self.book();
        book.leases.iter().for_each(|held| held.status().publish(&self.shared.clock));
        self.changed.notify_all();
    }

    /// Tells the hosts that keep their leases alive themselves what time has done to them.
    pub(crate) fn pass_time_of_hosts(&self) -> bool {
        let hosts = |held: &&Arc<Held>| held.keep_alive == KeepAlive::Host;
        let leases: Vec<_> = self.book().leases.iter().filter(hosts).cloned().collect();
        leases.iter().for_each(|held| held.pass(&self.shared));
        if !leases.is_empty() {
            self.mark_time();
        }
        !leases.is_empty()
    }

    /// Keeps what the clock shows for leases that are borrowed, from time to time.
    pub(crate) fn mark_time(&self) {
        if self.marks_in_ms() <= 0 {
            let leases = self.book().leases.clone();
            // Of a lease that is not borrowed there is little to keep, and its request may hang for long.
            let is_left = |held: &&Arc<Held>| !held.mark_time(&self.shared) && held.status().state() == State::Borrowed;
            let next_ms = if leases.iter().filter(is_left).count() == 0 { MARK_MS } else { MARK_AGAIN_MS };
            self.marks_at.store(self.shared.clock.now().saturating_add(next_ms), Ordering::Relaxed);
        }
    }

    fn marks_in_ms(&self) -> i64 {
        self.marks_at.load(Ordering::Relaxed).saturating_sub(self.shared.clock.now())
    }

    /// Books consumptions that wait, in the background: the server was just reached.
    pub(crate) fn book_what_waits(self: &Arc<Keeper>, held: &Arc<Held>) {
        let is_online = held.status().state() == State::Active;
        if held.keep_alive != KeepAlive::Thread || !is_online || !consumption::may_have_any(&self.shared, held.who()) {
            return;
        }
        let mut book = self.book();
        if book.booking || book.closed {
            return;
        }
        let (keeper, held) = (Arc::clone(self), Arc::clone(held));
        let run = move || {
            consumption::sync_in_background(&keeper.shared, held.who(), held.timeout);
            keeper.book().booking = false;
        };
        book.booking = start(&self.shared, run).is_ok();
    }

    fn run(self: &Arc<Keeper>, role: &mut Role) {
        while let Some(task) = self.next_task(role) {
            match task {
                Task::Renew(under_way) => self.look_after(&under_way),
                Task::Mark => self.mark_time(),
            }
        }
    }

    /// Gives back what is to be given back now, if no thread could be started for it.
    fn see_off_here<'a>(self: &'a Arc<Keeper>, mut book: MutexGuard<'a, Book>) -> MutexGuard<'a, Book> {
        if book.seeing_off == 0 && book.farewells.may_go_on(self.shared.clock.now()) {
            book.seeing_off += 1;
            drop(book);
            let uncount = UncountedByPanic(self);
            book = self.run_farewells(false, None);
            book.seeing_off -= 1;
            drop(uncount);
        }
        book
    }

    /// What is due, once something is; `None` when nobody wants this thread any more.
    fn next_task(self: &Arc<Keeper>, role: &mut Role) -> Option<Task> {
        let mut book = self.book();
        if *role == Role::Asks {
            *role = if book.keeping == Keeping::Asks { Role::Waits } else { Role::Helps };
        }
        if *role == Role::Helps {
            let held = book.renewals.begin(self.shared.clock.now())?;
            return Some(Task::Renew(self.under_way(held, Millis::MAX)));
        }
        book.keeping = Keeping::Waits;
        loop {
            book = self.see_off_here(book);
            let kept: Vec<_> =
                book.leases.iter().filter(|held| held.keep_alive == KeepAlive::Thread).cloned().collect();
            // What no thread of its own gives back again is this thread's to give back.
            let settles_at = book.farewells.due_at().filter(|_| book.seeing_off == 0);
            let is_left_to_us = book.seeing_off == 0 && !book.farewells.is_empty();
            if book.closed || book.reserved == 0 && kept.is_empty() && !is_left_to_us {
                book.keeping = Keeping::Nobody;
                return None;
            }
            let now = self.shared.clock.now();
            book.renewals.add_due(&kept, now);
            if let Some(held) = book.renewals.begin(now) {
                return Some(Task::Renew(self.leave_for(&mut book, role, &kept, held)));
            }
            let others: Vec<_> = kept.iter().filter(|held| !book.renewals.has(held)).collect();
            self.pass_time_of(others.iter().copied(), now);
            // A machine that slept may have had its request interrupted, and one that is due may wait for the answer to
            // another: their hosts wait to be told.
            self.pass_time_of(book.renewals.all(), now.saturating_sub(OVERDUE_MS));
            let next_transition_at = |held: &Arc<Held>| held.status().state_machine().next_transition_at();
            let told_at = book.renewals.all().filter_map(next_transition_at).map(|at| at.saturating_add(OVERDUE_MS));
            let wakes_at = others.iter().filter_map(|held| held.status().state_machine().wake_at());
            let wakes_at = wakes_at.chain(told_at).chain(settles_at).chain(book.renewals.begins_at()).min();
            let left_ms = wakes_at.map_or(Millis::MAX, |at| at.saturating_sub(now)).min(self.marks_in_ms());
            if self.marks_in_ms() <= 0 {
                return Some(Task::Mark);
            }
            let nap = LONGEST_NAP.min(Duration::from_millis(left_ms.max(0).unsigned_abs()));
            book = self.changed.wait_timeout(book, nap).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Begins to renew a lease. Another thread waits for what is due meanwhile, if there are other leases.
    fn leave_for(
        self: &Arc<Keeper>,
        book: &mut Book,
        role: &mut Role,
        kept: &[Arc<Held>],
        held: Arc<Held>,
    ) -> UnderWay {
        let mut others = kept.iter().filter(|other| !Arc::ptr_eq(other, &held)).peekable();
        if others.peek().is_some() && self.start_keeping(book).is_ok() {
            *role = Role::Helps;
            return self.under_way(held, Millis::MAX);
        }
        (*role, book.keeping) = (Role::Asks, Keeping::Asks);
        // Those that are asked about have threads of their own, which tell their hosts.
        let others = others.filter(|other| !book.renewals.is_under_way(other));
        let others_turn_at = others.filter_map(|other| other.status().state_machine().wake_at()).min();
        self.under_way(held, others_turn_at.unwrap_or(Millis::MAX))
    }

    fn under_way(self: &Arc<Keeper>, held: Arc<Held>, others_turn_at: Millis) -> UnderWay {
        UnderWay { keeper: Arc::clone(self), held, others_turn_at }
    }

    /// Tells the hosts of these leases what time alone has done to them until then.
    fn pass_time_of<'a>(&self, leases: impl IntoIterator<Item = &'a Arc<Held>>, until: Millis) {
        let has_turned =
            |held: &&Arc<Held>| held.status().state_machine().next_transition_at().is_some_and(|at| at <= until);
        leases.into_iter().filter(has_turned).for_each(|held| held.pass(&self.shared));
    }

    /// Renews first and reports second, so that after a sleep the host hears of a loss only if there is one.
    fn look_after(self: &Arc<Keeper>, under_way: &UnderWay) {
        let held = &under_way.held;
        let now = self.shared.clock.now();
        if held.status().state_machine().renewal_window_open(now) {
            match self.renew(held, patience(held, under_way.others_turn_at, now)) {
                Ok(()) => self.book_what_waits(held),
                Err(error) => {
                    if is_of_the_way(&error) {
                        self.book().renewals.note_unreachable();
                    }
                    // A lease that is lost may have given slots back.
                    self.settle_later(held);
                }
            }
            self.settle_license_left(held);
        }
        held.pass(&self.shared);
    }

    fn renew(&self, held: &Held, timeout: Duration) -> Result<(), Error> {
        let in_flight = self.shared.client.begin(Waiter::Keeper, timeout);
        held.ask(&in_flight.call, &mut || held.renew(&self.shared, &in_flight.call, held.timeout))
    }

    /// Gives the slots of these leases back in the background, if there is a thread to do it.
    fn see_off(self: &Arc<Keeper>, book: &mut Book, leases: Vec<Arc<Held>>) {
        let wants = |held: &Arc<Held>| held.keep_alive == KeepAlive::Thread && !held.release_on_close.is_zero();
        let (wanted, unwanted): (Vec<_>, Vec<_>) = leases.into_iter().partition(wants);
        unwanted.iter().for_each(|held| held.abandon(&held.names));
        book.farewells.add_leaving(wanted);
        self.start_seeing_off(book);
        // Without a thread of its own, the keeper's thread does it between renewals.
        if book.seeing_off == 0 && book.keeping == Keeping::Nobody {
            book.farewells.abandon_leaving();
        }
    }

    /// Starts a thread that gives slots back, if there are any and nobody does. If all who do may be waiting for answers,
    /// it is one more that helps, unless they are done soon.
    fn start_seeing_off(self: &Arc<Keeper>, book: &mut Book) {
        let is_first = book.seeing_off == 0;
        // What is not to be given back yet may be before the others are done.
        let is_needed = !book.farewells.is_empty() && (is_first || !book.seer_waits);
        let (keeper, helps_after) = (Arc::clone(self), (!is_first).then_some(SIDE_BY_SIDE_AFTER));
        let run = move || keeper.run_farewells(true, helps_after).seeing_off -= 1;
        if is_needed && start(&self.shared, run).is_ok() {
            book.seeing_off += 1;
            book.seer_waits |= !is_first;
        }
    }

    /// Gives slots back until there are none left; waits for those that are to be given back again later if `may_wait`. A
    /// thread that helps others waits for them first. The caller, who has been counted, is not any more.
    fn run_farewells(self: &Arc<Keeper>, may_wait: bool, helps_after: Option<Duration>) -> MutexGuard<'_, Book> {
        let mut book = self.book();
        if let Some(pause) = helps_after {
            drop(book);
            std::thread::sleep(pause);
            book = self.book();
            book.seer_waits = false;
        }
        loop {
            let now = self.shared.clock.now();
            if let Some(held) = book.farewells.pop_leaving() {
                self.start_seeing_off(&mut book);
                book = self.see_one_off(book, held);
            } else if let Some(unsettled) = book.farewells.pop_due(now) {
                self.start_seeing_off(&mut book);
                book = self.give_back_again(book, unsettled);
            } else if may_wait && !book.farewells.is_empty() && !book.seer_waits {
                let left_ms = book.farewells.due_at().map_or(Millis::MAX, |due_at| due_at.saturating_sub(now));
                let nap = Duration::from_millis(left_ms.unsigned_abs()).min(LONGEST_NAP);
                book.seer_waits = true;
                book = self.changed.wait_timeout(book, nap).unwrap_or_else(PoisonError::into_inner).0;
                book.seer_waits = false;
            } else {
                break book;
            }
        }
    }

    fn see_one_off<'a>(self: &'a Arc<Keeper>, mut book: MutexGuard<'a, Book>, held: Arc<Held>) -> MutexGuard<'a, Book> {
        held.interrupt();
        let in_flight = self.shared.client.begin(Waiter::Nobody, held.release_on_close);
        let at_the_door = self.come_to_the_door(&mut book, &held, GivenBack::OwnSlots, &in_flight.call);
        drop(book);
        held.farewell(&self.shared, &in_flight.call);
        book = self.book();
        let Ended { wanted, is_stopped } = at_the_door.end(&mut book);
        held.abandon(&wanted);
        held.stop_settling(&wanted);
        if held.is_in_doubt() && (is_stopped || !wanted.is_empty()) {
            book.farewells.add_leaving(vec![held]);
            return book;
        }
        // What can't be given back in time is left to the next start.
        held.abandon(&held.names);
        if held.settles_at().is_some() {
            book.farewells.add_unsettled(held, GivenBack::OwnSlots, self.shared.clock.now());
        }
        book
    }

    fn come_to_the_door(
        self: &Arc<Keeper>,
        book: &mut Book,
        held: &Arc<Held>,
        what: GivenBack,
        call: &Arc<Call>,
    ) -> AtTheDoor {
        book.farewells.begin(held, what, Arc::clone(call));
        AtTheDoor { keeper: Arc::clone(self), call: Some(Arc::clone(call)) }
    }

    fn give_back_again<'a>(
        self: &'a Arc<Keeper>,
        mut book: MutexGuard<'a, Book>,
        unsettled: Unsettled,
    ) -> MutexGuard<'a, Book> {
        let held = Arc::clone(&unsettled.held);
        let in_flight = self.shared.client.begin(Waiter::Nobody, held.timeout.max(held.release_on_close));
        let at_the_door = self.come_to_the_door(&mut book, &held, unsettled.what, &in_flight.call);
        drop(book);
        let is_settled = match unsettled.what {
            GivenBack::OwnSlots => {
                held.give_back_again(&self.shared, &in_flight.call);
                false
            }
            GivenBack::LeftSlots => self.settle_others(&held, &in_flight.call),
        };
        book = self.book();
        held.stop_settling(&at_the_door.end(&mut book).wanted);
        book.farewells.tried_again(unsettled, is_settled, self.shared.clock.now());
        book
    }
}

/// Starts a thread of ours. A panic is a defect, but it must not end what keeps leases alive: it goes on after a pause.
fn start(shared: &Shared, mut run: impl FnMut() + Send + 'static) -> Result<(), Error> {
    let guard = shared.guard;
    let body = move || {
        while guard(&mut run).is_err() {
            std::thread::sleep(AFTER_PANIC);
        }
    };
    thread::start(Box::new(body)).map_err(|error| {
        Error::because(Status::Internal, format!("A thread to keep the lease alive can't be started: {error}."))
    })
}

/// As long as the host wants to wait, but not past the moment when he must be told something, nor past that of other
/// leases.
fn patience(held: &Held, others_turn_at: Millis, now: Millis) -> Duration {
    let timeout = timeout_of_all(held.timeout, held.names.len() * MOST_REQUESTS);
    let limit = |left_ms: i64| timeout.min(Duration::from_millis(left_ms.max(LEAST_PATIENCE_MS).unsigned_abs()));
    let of_others = limit(others_turn_at.saturating_sub(now));
    let left_ms = held.status().state_machine().next_transition_at().map_or(Millis::MAX, |at| at.saturating_sub(now));
    of_others.min(if left_ms <= 0 { limit(OVERDUE_MS) } else { limit(left_ms) })
}

/// Whether another request would fare no better. One that was never made, or was ended by the host, tells nothing.
fn is_of_the_way(error: &Error) -> bool {
    error.attempts > 0 && error.status != Status::Cancelled && error.status.row().category == Category::Network
}
