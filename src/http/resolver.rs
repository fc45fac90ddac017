//! Names to addresses, within the deadline.
//!
//! An address literal and `localhost` need nobody. Any other name needs the system's resolver, which can neither be
//! given a deadline nor be cancelled, so it runs on a thread of its own: the only one a request can start, and only
//! for a new connection. Calls for the same name wait for the same answer, also if the one that asked has gone. Where no
//! thread can be started, the answer of last time does.

use super::call::Call;
use super::failure::Failure;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

const CANCEL_NOTICED_WITHIN: Duration = Duration::from_millis(20);

/// Addresses, or an error in a form that can be told to everybody.
type Answer = Result<Vec<SocketAddr>, (io::ErrorKind, String)>;

/// One question to the system, and its answer for everybody who waits.
#[derive(Debug, Default)]
struct Lookup {
    answer: Mutex<Option<Answer>>,
    answered: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Names {
    /// Lookups under way.
    pending: Mutex<Vec<(String, Arc<Lookup>)>>,
    /// The last answer of each name, for when no thread can be started: what is held must still be renewed and given back.
    known: Mutex<Vec<(String, Vec<SocketAddr>)>>,
}

impl Names {
    /// The addresses behind a URL, in the order they should be tried; never none.
    pub(super) fn addresses(self: &Arc<Self>, uri: &Uri, call: &Call) -> Result<Vec<SocketAddr>, Failure> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let addresses: Vec<SocketAddr> = match literal(host) {
            Some(ips) => ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(),
            None => self.look_up(&format!("{host}:{port}"), call)?,
        };
        if addresses.is_empty() {
            return Err(Failure::Dns(io::Error::from(io::ErrorKind::NotFound)));
        }
        Ok(addresses)
    }

    fn look_up(self: &Arc<Self>, name: &str, call: &Call) -> Result<Vec<SocketAddr>, Failure> {
        let lookup = match self.lookup_of(name) {
            Ok(lookup) => lookup,
            Err(error) => return self.last_known(name).ok_or(Failure::Dns(error)),
        };
        let mut answer = lookup.answer.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(answer) = &*answer {
                return answer.clone().map_err(|(kind, words)| Failure::Dns(io::Error::new(kind, words)));
            }
            let left = call.left().map_err(Failure::Stopped)?.min(CANCEL_NOTICED_WITHIN);
            answer = lookup.answered.wait_timeout(answer, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The lookup of `name` under way, or a new one.
    fn lookup_of(self: &Arc<Self>, name: &str) -> io::Result<Arc<Lookup>> {
        let mut pending = self.pending();
        if let Some((_, lookup)) = pending.iter().find(|(pending, _)| pending == name) {
            return Ok(Arc::clone(lookup));
        }
        let lookup = Arc::new(Lookup::default());
        let (names, target, asked) = (Arc::clone(self), name.to_owned(), Arc::clone(&lookup));
        std::thread::Builder::new().name("floatlease-dns".into()).spawn(move || {
            let answer = target.to_socket_addrs().map(Iterator::collect);
            names.finish(&asked, answer.map_err(|error| (error.kind(), error.to_string())));
        })?;
        pending.push((name.to_owned(), Arc::clone(&lookup)));
        Ok(lookup)
    }

    /// Answers everybody who waits; who asks later asks anew.
    fn finish(&self, lookup: &Arc<Lookup>, answer: Answer) {
        let mut pending = self.pending();
        let name = pending.iter().position(|(_, pending)| Arc::ptr_eq(pending, lookup)).map(|at| pending.remove(at).0);
        drop(pending);
        if let (Some(name), Ok(addresses)) = (name, &answer) {
            self.remember(name, addresses);
        }
        *lookup.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        lookup.answered.notify_all();
    }

    fn remember(&self, name: String, addresses: &[SocketAddr]) {
        let mut known = self.known();
        known.retain(|(known, _)| *known != name);
        known.push((name, addresses.to_vec()));
    }

    fn last_known(&self, name: &str) -> Option<Vec<SocketAddr>> {
        self.known().iter().find(|(known, _)| known == name).map(|(_, addresses)| addresses.clone())
    }

    fn known(&self) -> MutexGuard<'_, Vec<(String, Vec<SocketAddr>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> MutexGuard<'_, Vec<(String, Arc<Lookup>)>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// ureq asks for addresses before it looks for a kept connection; this answers with one that nobody uses, and the
/// connector asks [`Names`] when a new connection is really made.
#[derive(Debug)]
pub(super) struct Later;

impl Resolver for Later {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut unused = self.empty();
        unused.push(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
        Ok(unused)
    }
}

/// What a host means without asking anybody; `localhost` is loopback by RFC 6761.
fn literal(host: &str) -> Option<Vec<IpAddr>> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok().map(|ip| vec![ip])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::call::{Calls, Stop, Waiter};
    use std::time::Instant;

    #[test]
    fn literals_need_no_lookup() {
        assert_eq!(literal("127.0.0.1").unwrap().len(), 1);
        assert_eq!(literal("[::1]").unwrap(), [IpAddr::from(Ipv6Addr::LOCALHOST)]);
        assert_eq!(literal("LocalHost").unwrap().len(), 2);
        assert_eq!(literal("licenses.example.com"), None);
    }

    #[test]
    fn a_lookup_ends_at_the_deadline_and_answers_everybody_at_once() {
        let calls = Arc::new(Calls::default());
        let (names, slow) = (Arc::new(Names::default()), Arc::new(Lookup::default()));
        names.pending().push(("slow:80".into(), Arc::clone(&slow)));

        let hurried = calls.begin(Waiter::Host, Instant::now() + Duration::from_millis(30));
        let result = names.look_up("slow:80", &hurried.call);
        assert!(matches!(result, Err(Failure::Stopped(Stop::Timeout))));
        drop(hurried);

        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let patient = calls.begin(Waiter::Host, Instant::now() + Duration::from_secs(5));
                        names.look_up("slow:80", &patient.call).unwrap().len()
                    })
                })
                .collect();
            // The list has it, this test, and each who waits.
            while Arc::strong_count(&slow) < 2 + waiting.len() {
                std::thread::yield_now();
            }
            names.finish(&slow, Ok(vec![([192, 0, 2, 1], 80).into()]));
            assert!(waiting.into_iter().all(|waiting| waiting.join().unwrap() == 1));
        });
        assert!(names.pending().is_empty());
    }
}
