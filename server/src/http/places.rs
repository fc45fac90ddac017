//! The places for connections: how many there are, who has them, and who makes room when all are taken.
//!
//! Every open connection has a place. When none is free, a connection that waits for its client is closed, so clients that
//! send or read nothing can't keep others out. A connection whose request is being carried out is never closed for that.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Number of open files that are left to the database, the log, the standard library and a host program.
const RESERVED_FILES: usize = 64;
/// Fewest places, for a process that may hardly open any file.
const FEWEST: usize = 8;
/// Most places, which bounds the memory for bodies and replies that clients leave half read.
const MOST: usize = 4096;
/// How long a connection has at least to send its request, or to read its reply, before it must make room for one of a
/// network that has as many places.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// How often it is looked whether a connection is old enough to make room.
const RECHECK_INTERVAL: Duration = Duration::from_millis(100);
/// How long a connection that is being closed may take to leave its place, after the time for waiting is over.
const CLOSING_TIME: Duration = Duration::from_millis(100);
/// Number of open files that systems allow by default, in case this one does not tell.
#[cfg(unix)]
const USUAL_FILE_LIMIT: u64 = 1024;

/// The places of one listener.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    least_wait: Duration,
    taken: Mutex<Taken>,
    /// Tells the listener that a connection has left its place, or waits now, so that it may be closed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    last_number: u64,
    connections: HashMap<u64, Connection>,
    by_network: HashMap<IpAddr, usize>,
}

/// A connection that has a place.
#[derive(Debug)]
struct Connection {
    network: IpAddr,
    activity: Activity,
    since: Instant,
    closing: Arc<Notify>,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    /// It waits for a request, or for the client to read the reply.
    Waiting,
    /// It has the head of a request, and waits for the body.
    Receiving,
    /// Its request is being carried out, so the client must get the reply.
    Answering,
    /// It is being closed to make room.
    Closing,
}

/// The place of one connection, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    closing: Arc<Notify>,
}

impl Places {
    pub(super) fn new(most: usize) -> Arc<Places> {
        Places::with(most, LEAST_WAIT)
    }

    fn with(most: usize, least_wait: Duration) -> Arc<Places> {
        Arc::new(Places { most, least_wait, taken: Mutex::default(), changed: Notify::new() })
    }

    /// Returns a place for a client. If none is free, waits until a connection that is closed for it has left its own;
    /// `None` if that takes longer than until this moment.
    pub(super) async fn enter(self: &Arc<Self>, address: IpAddr, until: Instant) -> Option<Place> {
        let until_closed = until.max(Instant::now() + CLOSING_TIME);
        loop {
            if let Some(place) = self.try_enter(address) {
                return Some(place);
            }
            let until = if self.close_one(Some(address)) { until_closed } else { until };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            // A connection may become old enough to be closed without any change.
            let _ = tokio::time::timeout(left.min(RECHECK_INTERVAL), self.changed.notified()).await;
        }
    }

    fn try_enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut taken = self.lock();
        if taken.connections.len() >= self.most {
            return None;
        }
        taken.last_number += 1;
        let (number, network, closing) = (taken.last_number, network(address), Arc::new(Notify::new()));
        let connection =
            Connection { network, activity: Activity::Waiting, since: Instant::now(), closing: Arc::clone(&closing) };
        taken.connections.insert(number, connection);
        *taken.by_network.entry(network).or_default() += 1;
        Some(Place { places: Arc::clone(self), number, closing })
    }

    /// Closes a connection that waits for its client, unless one is being closed already. Returns true if one is.
    ///
    /// It is one of the network that has most places, so that one computer can't take all of them. Of those, it is the one
    /// whose client has done nothing for longest. It must have waited for a while, unless its network will still have as many
    /// places as that of the newcomer: a client could keep all places by asking often on each of its connections.
    pub(super) fn close_one(&self, newcomer: Option<IpAddr>) -> bool {
        let mut taken = self.lock();
        let Taken { connections, by_network, .. } = &mut *taken;
        if connections.values().any(|connection| connection.activity == Activity::Closing) {
            return true;
        }
        let waits = |connection: &&mut Connection| connection.activity != Activity::Answering;
        let most_places = |connection: &Connection| by_network.get(&connection.network).copied().unwrap_or_default();
        let chosen = connections.values_mut().filter(waits);
        let chosen = chosen.min_by_key(|connection| (Reverse(most_places(connection)), connection.since));
        let Some(chosen) = chosen else { return false };
        let of_newcomer = newcomer.map(|address| by_network.get(&network(address)).copied().unwrap_or_default() + 1);
        let takes_more = of_newcomer.is_some_and(|of_newcomer| most_places(chosen) > of_newcomer);
        if !takes_more && chosen.since.elapsed() < self.least_wait {
            return false;
        }
        chosen.activity = Activity::Closing;
        chosen.closing.notify_one();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Notes that the connection waits for its client: for a request, or until the client has read the reply.
    pub(super) fn is_waiting(&self) {
        self.is_now(Activity::Waiting);
        self.places.changed.notify_one();
    }

    /// Notes that the body of a request is awaited. Returns false if the connection is being closed.
    pub(super) fn is_receiving(&self) -> bool {
        self.is_now(Activity::Receiving)
    }

    /// Notes that a request is being carried out. Returns false if the connection is being closed, so it must not be.
    pub(super) fn is_answering(&self) -> bool {
        self.is_now(Activity::Answering)
    }

    fn is_now(&self, activity: Activity) -> bool {
        let mut taken = self.places.lock();
        let connection = taken.connections.get_mut(&self.number);
        let Some(connection) = connection.filter(|connection| connection.activity != Activity::Closing) else {
            return false;
        };
        (connection.activity, connection.since) = (activity, Instant::now());
        true
    }

    /// Resolves when the connection is to make room for another one, or its client has let it wait for this long.
    pub(super) async fn is_over(&self, idle_at_most: Duration) {
        tokio::select! {
            () = self.closing.notified() => {}
            () = self.is_idle_for(idle_at_most) => {}
        }
    }

    async fn is_idle_for(&self, idle_at_most: Duration) {
        loop {
            let waiting_since = {
                let taken = self.places.lock();
                let connection = taken.connections.get(&self.number);
                connection.filter(|connection| connection.activity == Activity::Waiting).map(|waiting| waiting.since)
            };
            let end = waiting_since.unwrap_or_else(Instant::now) + idle_at_most;
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(Connection { network, .. }) = taken.connections.remove(&self.number)
            && let Some(count) = taken.by_network.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_network.remove(&network);
            }
        }
        drop(taken);
        self.places.changed.notify_one();
    }
}

/// Returns how many connections this process can hold: as many as it may open files, but for some.
pub(super) fn most_connections() -> usize {
    let files = usize::try_from(file_limit()).unwrap_or(usize::MAX);
    files.saturating_sub(RESERVED_FILES).clamp(FEWEST, MOST)
}

#[cfg(unix)]
fn file_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE).map_or(USUAL_FILE_LIMIT, |(soft, _)| soft)
}

#[cfg(not(unix))]
fn file_limit() -> u64 {
    u64::MAX
}

/// Returns the address of the network that a client is in. With IPv6, one computer has 2^64 addresses of its own.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => address.into(),
            None => IpAddr::from((u128::from(address) >> 64 << 64).to_be_bytes()),
        },
        address => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn activity(place: &Place) -> Activity {
        place.places.lock().connections[&place.number].activity
    }

    /// Returns places of these clients, each of which has waited for longer than the next.
    fn places(most: usize, clients: &[&str]) -> Vec<Place> {
        let places = Places::with(most, Duration::ZERO);
        let enter = |client: &&str| {
            let place = places.try_enter(address(client)).unwrap();
            std::thread::sleep(Duration::from_millis(2));
            place
        };
        clients.iter().map(enter).collect()
    }

    #[test]
    fn client_that_has_just_connected_makes_no_room() {
        let places = Places::new(1);
        let place = places.try_enter(address("10.0.0.1")).unwrap();
        places.close_one(None);
        assert_eq!(activity(&place), Activity::Waiting, "its request may be on its way");
    }

    #[test]
    fn network_with_more_places_makes_room_at_once() {
        let places = Places::new(3);
        let taken: Vec<Place> =
            ["10.0.0.1", "10.0.0.1", "10.0.0.2"].map(|client| places.try_enter(address(client)).unwrap()).into();
        for newcomer in ["10.0.0.1", "10.0.0.2"] {
            assert!(!places.close_one(Some(address(newcomer))), "{newcomer} would have as many");
        }
        assert!(places.close_one(Some(address("10.0.0.3"))));
        assert_eq!(activity(&taken[0]), Activity::Closing);
    }

    #[test]
    fn connection_that_is_being_closed_is_waited_for() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let places = Places::new(2);
            for _ in 0..2 {
                let place = places.try_enter(address("10.0.0.1")).unwrap();
                tokio::spawn(async move { place.is_over(Duration::from_secs(60)).await });
            }
            assert!(places.enter(address("10.0.0.1"), Instant::now()).await.is_none());
            assert!(places.enter(address("10.0.0.2"), Instant::now()).await.is_some());
        });
    }

    #[test]
    fn client_that_has_done_nothing_for_longest_makes_room() {
        let taken = places(3, &["10.0.0.1"; 3]);
        assert!(taken[0].places.try_enter(address("10.0.0.2")).is_none());
        assert!(taken[0].is_receiving());
        taken[0].places.close_one(None);
        taken[0].places.close_one(None);
        assert_eq!(taken.iter().map(activity).filter(|activity| *activity == Activity::Closing).count(), 1);
        assert_eq!(activity(&taken[1]), Activity::Closing);
        assert!(!taken[1].is_receiving(), "its request is not carried out");
    }

    #[test]
    fn address_with_most_places_makes_room() {
        let taken = places(5, &["10.0.0.1", "2001:db8::1", "2001:db8::2", "2001:db8::3", "10.0.0.1"]);
        taken[0].places.close_one(None);
        assert_eq!(activity(&taken[1]), Activity::Closing);
        let taken = places(3, &["10.0.0.1", "10.0.0.2", "::ffff:10.0.0.2"]);
        taken[0].places.close_one(None);
        assert_eq!(activity(&taken[1]), Activity::Closing);
    }

    #[test]
    fn connection_is_never_closed_while_its_request_is_carried_out() {
        let taken = places(2, &["10.0.0.1", "10.0.0.1"]);
        assert!(taken.iter().all(Place::is_answering));
        taken[0].places.close_one(None);
        assert!(taken.iter().all(|place| activity(place) == Activity::Answering));
        taken[1].is_waiting();
        taken[0].places.close_one(None);
        assert_eq!(activity(&taken[1]), Activity::Closing);
    }

    #[test]
    fn places_are_free_again_when_their_connections_end() {
        let taken = places(2, &["10.0.0.1", "10.0.0.2"]);
        let places = Arc::clone(&taken[0].places);
        drop(taken);
        assert!(places.lock().connections.is_empty() && places.lock().by_network.is_empty());
    }
}
