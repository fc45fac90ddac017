//! Names to addresses, within the deadline.
//!
//! An address literal and `localhost` need nobody. Any other name needs the system's resolver, which can neither be
//! given a deadline nor be cancelled, so it runs on a thread of its own: the only one a request can start, and only
//! for a new connection. If it outlives the call, the next call for the same name waits for it, not beside it.

use super::call::Call;
use super::failure::Failure;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

const CANCEL_NOTICED_WITHIN: Duration = Duration::from_millis(20);

type Answer = io::Result<Vec<SocketAddr>>;
type Lookup = Arc<Mutex<mpsc::Receiver<Answer>>>;

#[derive(Debug, Default)]
pub(super) struct Names {
    /// Lookups whose answer nobody has taken yet.
    pending: Mutex<Vec<(String, Lookup)>>,
}

impl Names {
    /// The addresses behind a URL, in the order they should be tried; never none.
    pub(super) fn addresses(&self, uri: &Uri, call: &Call) -> Result<Vec<SocketAddr>, Failure> {
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

    fn look_up(&self, name: &str, call: &Call) -> Result<Vec<SocketAddr>, Failure> {
        loop {
            let lookup = self.lookup_of(name).map_err(Failure::Dns)?;
            let left = call.left().map_err(Failure::Stopped)?;
            let answer = {
                let receiver = lookup.lock().unwrap_or_else(PoisonError::into_inner);
                receiver.recv_timeout(left.min(CANCEL_NOTICED_WITHIN))
            };
            match answer {
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                // Another call of this client took the answer: ask anew.
                Err(mpsc::RecvTimeoutError::Disconnected) => self.forget(&lookup),
                Ok(answer) => {
                    self.forget(&lookup);
                    return answer.map_err(Failure::Dns);
                }
            }
        }
    }

    /// The lookup of `name` under way, or a new one.
    fn lookup_of(&self, name: &str) -> io::Result<Lookup> {
        let mut pending = self.pending();
        if let Some((_, lookup)) = pending.iter().find(|(pending, _)| pending == name) {
            return Ok(Arc::clone(lookup));
        }
        let (answer, receiver) = mpsc::sync_channel(1);
        let target = name.to_owned();
        std::thread::Builder::new().name("floatlease-dns".into()).spawn(move || {
            // Nobody may be waiting any more.
            let _ = answer.send(target.to_socket_addrs().map(Iterator::collect));
        })?;
        let lookup = Arc::new(Mutex::new(receiver));
        pending.push((name.to_owned(), Arc::clone(&lookup)));
        Ok(lookup)
    }

    fn forget(&self, lookup: &Lookup) {
        self.pending().retain(|(_, pending)| !Arc::ptr_eq(pending, lookup));
    }

    fn pending(&self) -> MutexGuard<'_, Vec<(String, Lookup)>> {
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
    use crate::http::call::{Calls, Stop};
    use std::time::Instant;

    #[test]
    fn literals_need_no_lookup() {
        assert_eq!(literal("127.0.0.1").unwrap().len(), 1);
        assert_eq!(literal("[::1]").unwrap(), [IpAddr::from(Ipv6Addr::LOCALHOST)]);
        assert_eq!(literal("LocalHost").unwrap().len(), 2);
        assert_eq!(literal("licenses.example.com"), None);
    }

    #[test]
    fn a_lookup_ends_at_the_deadline_and_its_answer_is_not_lost() {
        let calls = Arc::new(Calls::default());
        let names = Names::default();
        let (answer, receiver) = mpsc::sync_channel(1);
        names.pending.lock().unwrap().push(("slow:80".into(), Arc::new(Mutex::new(receiver))));

        let hurried = calls.begin(Instant::now() + Duration::from_millis(30));
        let result = names.look_up("slow:80", &hurried.call);
        assert!(matches!(result, Err(Failure::Stopped(Stop::Timeout))));
        drop(hurried);

        answer.send(Ok(vec![([192, 0, 2, 1], 80).into()])).unwrap();
        let patient = calls.begin(Instant::now() + Duration::from_secs(5));
        assert_eq!(names.look_up("slow:80", &patient.call).unwrap().len(), 1);
        assert!(names.pending.lock().unwrap().is_empty());
    }
}
