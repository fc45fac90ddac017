//! A TCP connection to the first of several addresses that answers (RFC 8305, "Happy Eyeballs").
//!
//! Many names have an address that is dead from where the program runs, such as an IPv6 one without a route. Waiting for
//! it would make every new connection slow.

use super::call::Call;
use super::failure::Failure;
use super::socket;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The time after which the next address is tried as well, as RFC 8305 recommends.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// How soon a cancel is noticed while connections are being made: nothing else can wake the wait for these sockets.
const CANCEL_NOTICED_WITHIN: Duration = Duration::from_millis(if cfg!(windows) { 10 } else { 20 });

/// Connects to these addresses, each a little after the one before, and returns the first connection that is made.
pub(super) fn dial(addresses: &[SocketAddr], call: &Call) -> Result<TcpStream, Failure> {
    let mut untried = alternating(addresses).into_iter();
    let mut attempts: Vec<TcpStream> = Vec::new();
    let mut last_error = io::Error::from(io::ErrorKind::NotFound);
    let mut next_at = Instant::now();
    loop {
        let left = call.left().map_err(Failure::Stopped)?;
        let until_next = next_at.saturating_duration_since(Instant::now());
        if untried.len() > 0 && until_next.is_zero() {
            match untried.next().map(socket::start_connect) {
                Some(Ok(stream)) => {
                    attempts.push(stream);
                    next_at = Instant::now() + NEXT_ADDRESS_AFTER;
                }
                Some(Err(error)) => last_error = error,
                None => {}
            }
            continue;
        }
        if attempts.is_empty() && untried.len() == 0 {
            return Err(Failure::Connect(last_error));
        }
        let until_next = if untried.len() > 0 { until_next } else { Duration::MAX };
        let within = left.min(until_next).min(CANCEL_NOTICED_WITHIN);
        match socket::first_ready(&attempts, within).map_err(Failure::Connect)? {
            None => {}
            Some(ready) => match finish(attempts.remove(ready)) {
                Ok(stream) => return Ok(stream),
                // The next address need not wait any longer.
                Err(error) => (last_error, next_at) = (error, Instant::now()),
            },
        }
    }
}

/// Returns a socket that has connected, or why it has failed to.
fn finish(stream: TcpStream) -> io::Result<TcpStream> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Returns the addresses so that IPv4 and IPv6 take turns, from the kind of the first one on. If one of the two is broken
/// here, the second attempt is of the other.
fn alternating(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_of_first_kind =
        |address: &SocketAddr| addresses.first().is_some_and(|first| first.is_ipv4() == address.is_ipv4());
    let (first, second): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(is_of_first_kind);
    let turns = first.len().max(second.len());
    (0..turns).flat_map(|turn| [first.get(turn), second.get(turn)]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::call::{Calls, InFlight, Waiter};
    use std::net::TcpListener;
    use std::sync::Arc;

    /// Longer than any of these connections takes, even on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn begin(timeout: Duration) -> InFlight {
        Arc::new(Calls::default()).begin(Waiter::Host, Instant::now() + timeout)
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address that swallows packets: the queue of its listener is full.
    #[cfg(target_os = "linux")]
    fn dead() -> (SocketAddr, impl Drop) {
        struct Queue(#[allow(dead_code, reason = "kept open")] TcpListener, Vec<TcpStream>);
        impl Drop for Queue {
            fn drop(&mut self) {
                self.1.clear();
            }
        }
        let (listener, address) = listener();
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queue.push(stream);
        }
        (address, Queue(listener, queue))
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn dead_first_address_costs_little() {
        let ((dead, _queue), (_listener, alive)) = (dead(), listener());
        let started = Instant::now();
        let stream = dial(&[dead, dead, alive], &begin(PATIENCE).call).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive);
        assert!(started.elapsed() < PATIENCE / 4, "{:?}", started.elapsed());
    }

    #[test]
    fn refused_address_is_followed_by_next_one() {
        let (closed, refusing) = listener();
        drop(closed);
        let (_listener, alive) = listener();
        let stream = dial(&[refusing, alive], &begin(PATIENCE).call).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive);
    }

    #[test]
    fn last_error_is_told() {
        let (closed, refusing) = listener();
        drop(closed);
        let failure = dial(&[refusing, refusing], &begin(PATIENCE).call).unwrap_err();
        assert!(matches!(failure, Failure::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused));
    }

    #[test]
    fn kinds_of_addresses_take_turns() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 443);
        let [a, b, c] = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(address);
        let [d, e] = ["192.0.2.1", "192.0.2.2"].map(address);
        assert_eq!(alternating(&[a, b, c, d, e]), [a, d, b, e, c]);
        assert_eq!(alternating(&[d, a]), [d, a]);
        assert_eq!(alternating(&[]), []);
    }
}
