//! Order numbers of a client's requests about slots. With them a server ignores a request that arrives late.

use crate::model::{self, MAX_ORDER};
use crate::secret::Secret;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Highest order number that a refusal over TLS may name. A refusal is not signed, and numbers must be left for
/// requests to come.
const MAX_TRUSTED: u64 = MAX_ORDER / 2;

/// Maximum lead of a refusal's number over the clock without TLS: two years.
///
/// An attacker could name any number there, and every program of this device would have to exceed it.
const MAX_AHEAD_WITHOUT_TLS_MS: u64 = 2 * 366 * 24 * 60 * 60 * 1000;

/// Maximum time for which equal requests share a number. A repetition renews no slot, so later requests need a new
/// number.
const MAX_SHARED: Duration = Duration::from_secs(1);

/// The order numbers of a client.
#[derive(Debug)]
pub(crate) struct Orders {
    /// The highest number that was drawn, or named by a server.
    last: AtomicU64,
    /// The requests that are under way, with their numbers.
    under_way: Mutex<Vec<SharedNumber>>,
    /// The connection proves who answers.
    knows_server: bool,
}

/// A request that is under way, on each thread that has made it.
#[derive(Debug)]
struct SharedNumber {
    operation: &'static str,
    content: Secret,
    order: u64,
    drawn_at: Instant,
    threads: usize,
}

/// One thread's part in a request that is under way.
pub(crate) struct UnderWay<'a> {
    orders: &'a Orders,
    operation: &'static str,
    content: Secret,
}

impl Orders {
    /// Makes the numbers of a client. `knows_server` is true if the connection proves who answers.
    pub(crate) fn new(knows_server: bool) -> Orders {
        Orders { last: AtomicU64::new(0), under_way: Mutex::default(), knows_server }
    }

    /// Returns the number for the next request about a slot. It is higher than `last` and than all earlier ones of
    /// this client.
    ///
    /// It is the wall clock in milliseconds, so that it also grows across processes and restarts. If the clock was set
    /// back, it is the next number instead.
    pub(crate) fn draw(&self, last: u64) -> u64 {
        let next = |drawn: u64| drawn.max(last).saturating_add(1).max(wall_ms());
        let before = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, |drawn| Some(next(drawn)));
        next(before.unwrap_or_else(|drawn| drawn))
    }

    /// Notes that the server refused a request because it has seen `highest`.
    pub(crate) fn note_refusal(&self, highest: u64) {
        if highest <= self.max_trusted() {
            self.last.fetch_max(highest, Ordering::AcqRel);
        }
    }

    /// Returns the highest number that a refusal may name.
    fn max_trusted(&self) -> u64 {
        if self.knows_server { MAX_TRUSTED } else { wall_ms().saturating_add(MAX_AHEAD_WITHOUT_TLS_MS) }
    }

    /// Registers a request of this thread.
    pub(crate) fn begin(&self, operation: &'static str, content: Secret) -> UnderWay<'_> {
        UnderWay { orders: self, operation, content }
    }

    fn under_way(&self) -> MutexGuard<'_, Vec<SharedNumber>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay<'_> {
    /// Returns the request's number: that of an equal request under way, or a new one.
    ///
    /// The result is higher than `refused`, the number that the server refused last; 0 means none.
    pub(crate) fn number(&self, refused: u64) -> u64 {
        let mut list = self.orders.under_way();
        let Some(shared) = list.iter_mut().find(|shared| self.is_same(shared)) else {
            let order = self.orders.draw(refused);
            let (operation, content) = (self.operation, self.content.clone());
            list.push(SharedNumber { operation, content, order, drawn_at: Instant::now(), threads: 1 });
            return order;
        };
        shared.threads += usize::from(refused == 0);
        if shared.order <= refused || shared.drawn_at.elapsed() > MAX_SHARED {
            (shared.order, shared.drawn_at) = (self.orders.draw(refused), Instant::now());
        }
        shared.order
    }

    fn is_same(&self, shared: &SharedNumber) -> bool {
        shared.operation == self.operation && shared.content.expose() == self.content.expose()
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut list = self.orders.under_way();
        if let Some(at) = list.iter().position(|shared| self.is_same(shared)) {
            list[at].threads -= 1;
            if list[at].threads == 0 {
                list.swap_remove(at);
            }
        }
    }
}

/// Returns the wall clock in milliseconds.
fn wall_ms() -> u64 {
    u64::try_from(model::since_1970().as_millis()).unwrap_or_default()
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
        assert!(orders.draw(0) < MAX_TRUSTED);
    }

    #[test]
    fn same_request_under_way_shares_its_number() {
        let orders = Orders::new(true);
        let under_way = |content: &str| orders.begin("check_license", Secret::new(content.to_owned()));
        let (first, second, other) = (under_way("a"), under_way("a"), under_way("b"));
        let number = first.number(0);
        assert_eq!(second.number(0), number);
        assert!(other.number(0) > number);
        // The server refused the number. The first thread to hear it draws the next, and the others share that one.
        let next = second.number(number);
        assert!(next > number);
        assert_eq!(first.number(number), next);
        drop(first);
        assert_eq!(under_way("a").number(0), next, "one thread is left");
        drop(second);
        assert!(under_way("a").number(0) > next);
        drop(other);
        assert!(orders.under_way().is_empty());
    }
}
