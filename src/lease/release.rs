//! What is to be given back in the background: slots of leases that were let go of, and slots whose giving back is not
//! settled. When each is due, and what keeps it from being given back.

use crate::http::Call;
use crate::lease::lease_inner::Held;
use crate::lease::state_machine::Millis;
use std::sync::Arc;

/// After a slot was given back while a request of before had no answer, it is given back again after each of these
/// pauses, which is 1, 5, 15 and 30 s later: a server that knows no order numbers may have carried that request out
/// meanwhile. If the server can't be reached then, the last pause is repeated.
const PAUSES_MS: [i64; 4] = [1_000, 4_000, 10_000, 15_000];
/// How often a slot is given back again at most, when no try has settled it. The record leaves it to the next start.
const MOST_TRIES: usize = 8;

/// What is to be given back, and who is at it.
#[derive(Default)]
pub(crate) struct Farewells {
    /// Leases that were let go of, whose slots are to be given back.
    leaving: Vec<Arc<Held>>,
    /// Leases whose slots were given back, and are to be given back again because that is not settled.
    unsettled: Vec<Unsettled>,
    /// Those whose slots are being given back.
    at_the_door: Vec<Caller>,
    /// Slots that verbs are about to take: until that is decided, they are not given back.
    held_off: Vec<SlotName>,
}

/// A slot as a verb names it, which need not know the license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotName {
    /// Stands for product, user or key, and device.
    pub(crate) whose: String,
    /// `None`: the license's own slot.
    pub(crate) feature: Option<String>,
}

impl SlotName {
    /// What the slot is called by this lease, if it is one of its slots.
    fn of(&self, held: &Held) -> Option<String> {
        let name = held.who().file_name(self.feature.as_deref());
        (held.who().whose == self.whose && held.names.contains(&name)).then_some(name)
    }

    /// Whether giving this back may give the slot back.
    fn is_in(&self, held: &Held, what: GivenBack) -> bool {
        match what {
            GivenBack::OwnSlots => self.of(held).is_some(),
            GivenBack::LeftSlots => held.who().whose == self.whose,
        }
    }
}

/// A lease whose slots are being given back, by a call.
struct Caller {
    held: Arc<Held>,
    what: GivenBack,
    call: Arc<Call>,
    /// The names of slots that were wanted back since.
    wanted: Vec<String>,
    /// He was stopped for a verb, and is to try again.
    is_stopped: bool,
}

/// What became of the wish to give something back, besides what the server said.
#[derive(Default)]
pub(crate) struct Ended {
    /// The names of slots that were wanted back meanwhile.
    pub(crate) wanted: Vec<String>,
    /// It was stopped for a verb, and is to be tried again.
    pub(crate) is_stopped: bool,
}

/// A lease that something is to be given back for, again or later.
pub(crate) struct Unsettled {
    pub(crate) held: Arc<Held>,
    pub(crate) what: GivenBack,
    /// When they were given back, or were to be, the last time.
    tried_at: Millis,
    /// How often they were to be given back again.
    tries: usize,
}

/// What is to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenBack {
    /// The slots of the lease, which were given back while a request about them had no answer.
    OwnSlots,
    /// Slots of the same license that nobody holds: a process that is no more has left them, or a question about the
    /// license that got no answer has taken one.
    LeftSlots,
}

impl Unsettled {
    /// When to give them back next: after a pause, or sooner if no late request can live any more then. A try that has
    /// failed is never repeated at once, because the machine may have slept, and may have no network yet.
    fn due_at(&self) -> Millis {
        let pause_ms = PAUSES_MS.get(self.tries).or(PAUSES_MS.last()).copied().unwrap_or_default();
        let next = self.tried_at.saturating_add(pause_ms);
        match self.held.settles_at() {
            Some(settles_at) if self.what == GivenBack::OwnSlots && settles_at > self.tried_at => next.min(settles_at),
            _ => next,
        }
    }

    /// Whether there is still something to be given back for it.
    fn is_open(&self) -> bool {
        self.what == GivenBack::LeftSlots || self.held.settles_at().is_some()
    }
}

impl Farewells {
    pub(crate) fn is_empty(&self) -> bool {
        self.leaving.is_empty() && self.unsettled.is_empty()
    }

    /// These leases were let go of.
    pub(crate) fn add_leaving(&mut self, leases: Vec<Arc<Held>>) {
        self.leaving.extend(leases);
    }

    /// Gives up what is to be given back: the records leave it to the next start.
    pub(crate) fn abandon_leaving(&mut self) {
        self.leaving.drain(..).for_each(|held| held.abandon(&held.names));
    }

    /// Whether anything is to be given back now.
    pub(crate) fn may_go_on(&self, now: Millis) -> bool {
        self.next_leaving().is_some() || self.due_at().is_some_and(|due_at| due_at <= now)
    }

    fn next_leaving(&self) -> Option<usize> {
        self.leaving.iter().position(|held| !self.is_held_off(held, GivenBack::OwnSlots))
    }

    pub(crate) fn pop_leaving(&mut self) -> Option<Arc<Held>> {
        self.next_leaving().map(|at| self.leaving.remove(at))
    }

    /// Whether a verb is about to take what giving this back may give back.
    fn is_held_off(&self, held: &Held, what: GivenBack) -> bool {
        self.held_off.iter().any(|slot| slot.is_in(held, what))
    }

    /// This was given back, or could not be, and is to be given back again.
    pub(crate) fn add_unsettled(&mut self, held: Arc<Held>, what: GivenBack, tried_at: Millis) {
        // Once is enough, beginning anew.
        self.unsettled.retain(|other| other.what != what || !Arc::ptr_eq(&other.held, &held));
        self.unsettled.push(Unsettled { held, what, tried_at, tries: 0 });
    }

    /// When something is to be given back again next.
    pub(crate) fn due_at(&self) -> Option<Millis> {
        self.next_unsettled().map(|(due_at, _)| due_at)
    }

    fn next_unsettled(&self) -> Option<(Millis, usize)> {
        let unsettled = self.unsettled.iter().enumerate();
        let may_go = unsettled.filter(|(_, unsettled)| !self.is_held_off(&unsettled.held, unsettled.what));
        may_go.map(|(at, unsettled)| (unsettled.due_at(), at)).min()
    }

    /// What is to be given back again now, if anything is.
    pub(crate) fn pop_due(&mut self, now: Millis) -> Option<Unsettled> {
        let (_, at) = self.next_unsettled().filter(|(due_at, _)| *due_at <= now)?;
        Some(self.unsettled.swap_remove(at))
    }

    /// Somebody gives these slots back from now on, by this call.
    pub(crate) fn begin(&mut self, held: &Arc<Held>, what: GivenBack, call: Arc<Call>) {
        let (wanted, is_stopped) = (Vec::new(), false);
        self.at_the_door.push(Caller { held: Arc::clone(held), what, call, wanted, is_stopped });
    }

    /// Whoever has begun with this call is done.
    pub(crate) fn end(&mut self, call: &Arc<Call>) -> Ended {
        let Some(at) = self.at_the_door.iter().position(|caller| Arc::ptr_eq(&caller.call, call)) else {
            return Ended::default();
        };
        let Caller { wanted, is_stopped, .. } = self.at_the_door.swap_remove(at);
        Ended { wanted, is_stopped }
    }

    /// It was tried to give this back again. What is not settled is tried once more, but not for ever.
    pub(crate) fn tried_again(&mut self, unsettled: Unsettled, is_settled: bool, now: Millis) {
        let again = Unsettled { tried_at: now, tries: unsettled.tries + 1, ..unsettled };
        if !is_settled && again.is_open() && again.tries < MOST_TRIES {
            self.unsettled.push(again);
        }
    }

    /// Keeps slots of these names from being given back, because they are wanted again. True if one was going to be.
    pub(crate) fn want_back(&mut self, names: &[String]) -> bool {
        let is_wanted = |held: &Arc<Held>| held.names.iter().any(|name| names.contains(name));
        let wanted = self.leaving.iter().filter(|held| is_wanted(held)).inspect(|held| held.abandon(names)).count();
        self.leaving.retain(|held| held.is_in_doubt());
        let settling = self.unsettled.iter().filter(|unsettled| is_wanted(&unsettled.held));
        let wanted = wanted + settling.inspect(|unsettled| unsettled.held.stop_settling(names)).count();
        self.unsettled.retain(Unsettled::is_open);
        // What others have left may be what is wanted.
        let is_in_the_way = |caller: &&mut Caller| caller.what == GivenBack::LeftSlots || is_wanted(&caller.held);
        let in_the_way = self.at_the_door.iter_mut().filter(is_in_the_way).map(|caller| {
            caller.call.cancel();
            caller.wanted.extend_from_slice(names);
        });
        wanted + in_the_way.count() > 0
    }

    /// A verb is about to take this slot, so it is not given back until [`Farewells::go_on`].
    pub(crate) fn hold_off(&mut self, slot: &SlotName) {
        self.held_off.push(slot.clone());
    }

    /// Stops whoever gives this slot back at the moment. False if nobody does.
    pub(crate) fn stop(&mut self, slot: &SlotName) -> bool {
        let callers = self.at_the_door.iter_mut().filter(|caller| slot.is_in(&caller.held, caller.what));
        let stopped = callers.map(|caller| {
            caller.is_stopped = true;
            caller.call.cancel();
        });
        stopped.count() > 0
    }

    /// The verb has taken the slot of these leases, so none of them gives it back, or once more.
    pub(crate) fn give_up(&mut self, slot: &SlotName, is_meant: impl Fn(&Held) -> bool) {
        let name = |held: &Arc<Held>| slot.of(held).filter(|_| is_meant(held));
        self.leaving.iter().filter_map(|held| Some((held, name(held)?))).for_each(|(held, name)| held.abandon(&[name]));
        self.leaving.retain(|held| held.is_in_doubt());
        let unsettled = self.unsettled.iter().map(|unsettled| &unsettled.held);
        unsettled.filter_map(|held| Some((held, name(held)?))).for_each(|(held, name)| held.stop_settling(&[name]));
        self.unsettled.retain(Unsettled::is_open);
    }

    /// The verb is over: what it has not taken is given back.
    pub(crate) fn go_on(&mut self, slot: &SlotName) {
        if let Some(at) = self.held_off.iter().position(|other| other == slot) {
            self.held_off.swap_remove(at);
        }
    }

    /// The client ends, and with it its verbs.
    pub(crate) fn go_on_without_verbs(&mut self) {
        self.held_off.clear();
    }
}
