//! Names to addresses, within the deadline.
//!
//! An address literal and `localhost` need no lookup. Any other name needs the system's resolver, which can neither be
//! given a deadline nor be cancelled, so a helper thread asks it, and only for a new connection. Where no thread can be
//! started, the answer of last time does.

use super::call::Call;
use super::failure::Failure;
use super::helpers::{Helpers, Unanswered, Work};
use crate::descriptor;
use crate::shortage;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// The names that a client connects to.
#[derive(Debug, Clone)]
pub(super) struct Names(Arc<Helpers<SystemResolver>>);

impl Names {
    pub(super) fn new() -> Names {
        Names(Helpers::new(SystemResolver::default()))
    }

    /// The addresses behind a URL, in the order they should be tried; never none.
    pub(super) fn addresses(&self, uri: &Uri, call: &Call) -> Result<Vec<SocketAddr>, Failure> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let addresses: Vec<SocketAddr> = match literal(host) {
            Some(ips) => ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(),
            None => self.look_up(format!("{host}:{port}"), call)?,
        };
        if addresses.is_empty() {
            return Err(Failure::Dns(Arc::new(io::ErrorKind::NotFound.into())));
        }
        Ok(addresses)
    }

    fn look_up(&self, name: String, call: &Call) -> Result<Vec<SocketAddr>, Failure> {
        match self.0.ask(&name, call) {
            Ok(answer) => answer.map_err(Failure::Dns),
            Err(Unanswered::Stopped(stop)) => Err(Failure::Stopped(stop)),
            Err(Unanswered::NoThread(error)) => self.0.work().last_known(&name).ok_or(Failure::NoThread(error)),
            Err(Unanswered::Panicked) => {
                Err(Failure::Dns(Arc::new(io::Error::other("the system's resolver panicked"))))
            }
        }
    }
}

/// The system's resolver, and what it answered.
#[derive(Debug, Default)]
struct SystemResolver {
    /// The last answer of each name, for when no thread can be started: what is held must still be renewed and given back.
    known: Mutex<Vec<(String, Vec<SocketAddr>)>>,
}

impl Work for SystemResolver {
    const THREAD_NAME: &str = "floatlease-dns";
    /// A network that has just come back gives other answers than before.
    const KEEPS_LATE_ANSWERS: bool = false;
    /// A host and its port.
    type Question = String;
    /// Addresses, or an error that every call is told.
    type Answer = Result<Vec<SocketAddr>, Arc<io::Error>>;

    fn answer(&self, name: &String) -> Self::Answer {
        let found = descriptor::with_standard_taken(|| name.to_socket_addrs())
            .map_err(|error| Arc::new(shortage::behind_lookup(error)))?;
        let addresses: Vec<SocketAddr> = found.collect();
        let mut known = self.known();
        known.retain(|(known, _)| known != name);
        known.push((name.clone(), addresses.clone()));
        Ok(addresses)
    }
}

impl SystemResolver {
    fn last_known(&self, name: &str) -> Option<Vec<SocketAddr>> {
        self.known().iter().find(|(known, _)| known == name).map(|(_, addresses)| addresses.clone())
    }

    fn known(&self) -> MutexGuard<'_, Vec<(String, Vec<SocketAddr>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// ureq asks for addresses before it looks for a kept connection; this answers with one that is not used, and the
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

/// Returns the addresses of a literal, or of `localhost`, which is loopback by RFC 6761. Needs no lookup.
fn literal(host: &str) -> Option<Vec<IpAddr>> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    bare(host).parse().ok().map(|ip| vec![ip])
}

/// A host without the brackets that a URL puts around IPv6 addresses.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_need_no_lookup() {
        assert_eq!(literal("127.0.0.1").unwrap().len(), 1);
        assert_eq!(literal("[::1]").unwrap(), [IpAddr::from(Ipv6Addr::LOCALHOST)]);
        assert_eq!(literal("LocalHost").unwrap().len(), 2);
        assert_eq!(literal("licenses.example.com"), None);
    }
}
