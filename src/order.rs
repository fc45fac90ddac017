//! The numbers of a client's requests about slots, by which a server keeps a late one from undoing what came after it.

use crate::model::MAX_ORDER;
use crate::secret::Secret;
use chrono::Utc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A refusal is not signed. TLS says who answers, and still this many numbers must be left for the requests to come.
const HIGHEST_BELIEVED: u64 = MAX_ORDER / 2;

/// Without TLS whoever answers may name any number, which every program of this device would then have to surpass. A
/// clock that was wrong by more than two years is not believed there.
const MOST_AHEAD_WITHOUT_TLS_MS: u64 = 2 * 366 * 24 * 60 * 60 * 1000;

/// A number is shared for so long: a repetition renews no slot, so those that keep coming must not all be repetitions.
const LONGEST_SHARED: Duration = Duration::from_secs(1);

/// The order numbers of a client.
#[derive(Debug)]
pub(crate) struct Orders {
    /// The highest that was drawn or heard of.
    last: AtomicU64,
    /// The verbs that are under way, and their numbers.
    under_way: Mutex<Vec<Shared>>,
    /// The connection says who answers.
    knows_server: bool,
}

/// A verb that is under way, on as many threads as have made the same request.
#[derive(Debug)]
struct Shared {
    operation: &'static str,
    content: Secret,
    order: u64,
    drawn_at: Instant,
    threads: usize,
}

/// One thread's part in a verb that is under way.
pub(crate) struct UnderWay<'a> {
    orders: &'a Orders,
    operation: &'static str,
    content: Secret,
}

impl Orders {
    /// `knows_server`: the connection says who answers.
    pub(crate) fn new(knows_server: bool) -> Orders {
        Orders { last: AtomicU64::new(0), under_way: Mutex::default(), knows_server }
    }

    /// The number of the next request about a slot, higher than `last` and than all that this client has drawn: the wall
    /// clock's milliseconds, so that it grows across processes and restarts too, or the next number where the clock was
    /// set back.
    pub(crate) fn draw(&self, last: u64) -> u64 {
        let next = |drawn: u64| drawn.max(last).saturating_add(1).max(wall_ms());
        let before = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, |drawn| Some(next(drawn)));
        next(before.unwrap_or_else(|drawn| drawn))
    }

    /// The server has refused a request because it has seen this number.
    pub(crate) fn note_refusal(&self, highest: u64) {
        if highest <= self.highest_believed() {
            self.last.fetch_max(highest, Ordering::AcqRel);
        }
    }

    /// The highest number that a refusal may name.
    fn highest_believed(&self) -> u64 {
        if self.knows_server { HIGHEST_BELIEVED } else { wall_ms().saturating_add(MOST_AHEAD_WITHOUT_TLS_MS) }
    }

    /// A thread begins a verb with this content.
    pub(crate) fn begin(&self, operation: &'static str, content: Secret) -> UnderWay<'_> {
        UnderWay { orders: self, operation, content }
    }

    fn under_way(&self) -> MutexGuard<'_, Vec<Shared>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay<'_> {
    /// The number of the request: that of the same one under way, if it is a new one and higher than the one that was
    /// `refused` (0: none was yet).
    pub(crate) fn place(&self, refused: u64) -> u64 {
        let mut list = self.orders.under_way();
        let Some(shared) = list.iter_mut().find(|shared| self.is(shared)) else {
            let order = self.orders.draw(refused);
            let (operation, content) = (self.operation, self.content.clone());
            list.push(Shared { operation, content, order, drawn_at: Instant::now(), threads: 1 });
            return order;
        };
        shared.threads += usize::from(refused == 0);
        if shared.order <= refused || shared.drawn_at.elapsed() > LONGEST_SHARED {
            (shared.order, shared.drawn_at) = (self.orders.draw(refused), Instant::now());
        }
        shared.order
    }

    fn is(&self, shared: &Shared) -> bool {
        shared.operation == self.operation && shared.content.expose() == self.content.expose()
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut list = self.orders.under_way();
        if let Some(at) = list.iter().position(|shared| self.is(shared)) {
            list[at].threads -= 1;
            if list[at].threads == 0 {
                list.swap_remove(at);
            }
        }
    }
}

fn wall_ms() -> u64 {
    u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_numbers_grow_whatever_the_clock_shows() {
        let (orders, now) = (Orders::new(true), wall_ms());
        let first = orders.draw(0);
        assert!(first >= now, "{first} {now}");
        let second = orders.draw(0);
        assert!(second > first);
        // The record of the slot was written when the clock showed a later year.
        let later = orders.draw(now + 1_000_000_000_000);
        assert_eq!(later, now + 1_000_000_000_001);
        assert_eq!(orders.draw(0), later + 1);
    }

    #[test]
    fn number_named_without_tls_is_believed_only_if_a_clock_could_show_it() {
        let in_three_years = wall_ms() + 3 * 366 * 86_400_000;
        for (knows_server, is_believed) in [(true, true), (false, false)] {
            let orders = Orders::new(knows_server);
            orders.note_refusal(in_three_years);
            assert_eq!(orders.draw(0) > in_three_years, is_believed);
        }
        let orders = Orders::new(true);
        orders.note_refusal(MAX_ORDER);
        assert!(orders.draw(0) < HIGHEST_BELIEVED);
    }

    #[test]
    fn same_request_under_way_shares_its_place() {
        let orders = Orders::new(true);
        let under_way = |content: &str| orders.begin("check_license", Secret::new(content.to_owned()));
        let (first, second, other) = (under_way("a"), under_way("a"), under_way("b"));
        let place = first.place(0);
        assert_eq!(second.place(0), place);
        assert!(other.place(0) > place);
        // The place was refused: whichever thread hears it first draws the next, and the others share that.
        let next = second.place(place);
        assert!(next > place);
        assert_eq!(first.place(place), next);
        drop(first);
        assert_eq!(under_way("a").place(0), next, "one thread is left");
        drop(second);
        assert!(under_way("a").place(0) > next);
        drop(other);
        assert!(orders.under_way().is_empty());
    }
}
