//! What is to be given back in the background: slots of leases that were let go of, and slots whose giving back is not
//! settled. When each is due, and what keeps it from being given back.

use super::held::Held;
use super::machine::Moment;
use crate::http::Call;
use std::sync::Arc;

/// After a slot was given back while a request of before had no answer, it is given back again after each of these
/// pauses, which is 1, 5, 15 and 30 s later: a server that knows no order numbers may have carried that request out
/// meanwhile. If the server can't be reached then, the last pause is repeated.
const PAUSES_MS: [i64; 4] = [1_000, 4_000, 10_000, 15_000];
/// How often a slot is given back again at most, when no try has settled it. The record leaves it to the next start.
const MOST_TRIES: usize = 8;

/// What is to be given back, and who is at it.
#[derive(Default)]
pub(super) struct Farewells {
    /// Leases that were let go of, whose slots are to be given back.
    leaving: Vec<Arc<Held>>,
    /// Leases whose slots were given back, and are to be given back again because that is not settled.
    unsettled: Vec<Unsettled>,
    /// The one of them that is at it.
    at_the_door: Option<Caller>,
    /// The names of slots that were wanted back since.
    wanted: Vec<String>,
}

/// A lease whose slots are being given back, by a call.
struct Caller {
    held: Arc<Held>,
    what: GivenBack,
    call: Arc<Call>,
}

/// A lease that something is to be given back for, again or later.
pub(super) struct Unsettled {
    pub(super) held: Arc<Held>,
    pub(super) what: GivenBack,
    /// When they were given back, or were to be, the last time.
    tried_at: Moment,
    /// How often they were to be given back again.
    tries: usize,
}

/// What is to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GivenBack {
    /// The slots of the lease, which were given back while a request about them had no answer.
    OwnSlots,
    /// Slots of the same license that nobody holds: a process that is no more has left them, or a question about the
    /// license that got no answer has taken one.
    LeftSlots,
}

impl Unsettled {
    /// When to give them back next: after a pause, or sooner if no late request can live any more then. A try that has
    /// failed is never repeated at once, because the machine may have slept, and may have no network yet.
    fn due_at(&self) -> Moment {
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
    pub(super) fn is_empty(&self) -> bool {
        self.leaving.is_empty() && self.unsettled.is_empty()
    }

    /// These leases were let go of.
    pub(super) fn add_leaving(&mut self, leases: Vec<Arc<Held>>) {
        self.leaving.extend(leases);
    }

    /// Gives up what is to be given back: the records leave it to the next start.
    pub(super) fn abandon_leaving(&mut self) {
        self.leaving.drain(..).for_each(|held| held.abandon(&held.names));
    }

    /// Whether anything is to be given back now.
    pub(super) fn may_go_on(&self, now: Moment) -> bool {
        !self.leaving.is_empty() || self.due_at().is_some_and(|due_at| due_at <= now)
    }

    pub(super) fn pop_leaving(&mut self) -> Option<Arc<Held>> {
        self.leaving.pop()
    }

    /// This was given back, or could not be, and is to be given back again.
    pub(super) fn add_unsettled(&mut self, held: Arc<Held>, what: GivenBack, tried_at: Moment) {
        self.unsettled.push(Unsettled { held, what, tried_at, tries: 0 });
    }

    /// When something is to be given back again next.
    pub(super) fn due_at(&self) -> Option<Moment> {
        self.unsettled.iter().map(Unsettled::due_at).min()
    }

    /// What is to be given back again now, if anything is.
    pub(super) fn pop_due(&mut self, now: Moment) -> Option<Unsettled> {
        let due = self.unsettled.iter().enumerate().map(|(at, unsettled)| (unsettled.due_at(), at)).min();
        let (_, at) = due.filter(|(due_at, _)| *due_at <= now)?;
        Some(self.unsettled.swap_remove(at))
    }

    /// Somebody gives these slots back from now on, by this call.
    pub(super) fn begin(&mut self, held: &Arc<Held>, what: GivenBack, call: Arc<Call>) {
        self.at_the_door = Some(Caller { held: Arc::clone(held), what, call });
    }

    /// He is done. Returns the names of slots that were wanted back meanwhile.
    pub(super) fn end(&mut self) -> Vec<String> {
        self.at_the_door = None;
        std::mem::take(&mut self.wanted)
    }

    /// It was tried to give this back again. What is not settled is tried once more, but not for ever.
    pub(super) fn tried_again(&mut self, unsettled: Unsettled, is_settled: bool, now: Moment) {
        let again = Unsettled { tried_at: now, tries: unsettled.tries + 1, ..unsettled };
        if !is_settled && again.is_open() && again.tries < MOST_TRIES {
            self.unsettled.push(again);
        }
    }

    /// Keeps slots of these names from being given back, because they are wanted again. True if one was going to be.
    pub(super) fn want_back(&mut self, names: &[String]) -> bool {
        let is_wanted = |held: &Arc<Held>| held.names.iter().any(|name| names.contains(name));
        let wanted = self.leaving.iter().filter(|held| is_wanted(held)).inspect(|held| held.abandon(names)).count();
        self.leaving.retain(|held| held.is_in_doubt());
        let settling = self.unsettled.iter().filter(|unsettled| is_wanted(&unsettled.held));
        let wanted = wanted + settling.inspect(|unsettled| unsettled.held.stop_settling(names)).count();
        self.unsettled.retain(Unsettled::is_open);
        // What others have left may be what is wanted.
        let is_in_the_way = |caller: &&Caller| caller.what == GivenBack::LeftSlots || is_wanted(&caller.held);
        let Some(caller) = self.at_the_door.as_ref().filter(is_in_the_way) else { return wanted > 0 };
        caller.call.cancel();
        self.wanted.extend_from_slice(names);
        true
    }

    /// A verb has taken the slot of this feature for its host: what a lease has given back of it is not given back once
    /// more.
    pub(super) fn stop_settling(&self, whose: &str, feature: Option<&str>) {
        for held in self.unsettled.iter().map(|unsettled| &unsettled.held).filter(|held| held.who().whose == whose) {
            held.stop_settling(&[held.who().file_name(feature)]);
        }
    }
}
