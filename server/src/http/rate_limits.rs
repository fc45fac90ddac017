//! Limits for the number of requests, so that no client takes the server away from the others.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use crate::domain::Refusal;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::DashMapStateStore;
use governor::{DefaultDirectRateLimiter, NotUntil, Quota, RateLimiter};

/// Number of clients that are remembered before those that were quiet are forgotten.
const REMEMBERED_CLIENTS: usize = 10_000;

/// Longest time of a limit, so that quiet clients are forgotten some day.
const LONGEST_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// A number of requests in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    requests: NonZeroU32,
    period: Duration,
}

/// The limits of a server; `None` for no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateLimits {
    /// The limit for each address of clients. Loopback addresses have none: behind them is a proxy for all clients.
    pub address: Option<Limit>,
    /// The limit for each API key or OAuth client. By the API's documentation it is one for each `Authorization` header,
    /// which all clients of an API key share within a second; but who has the key can sign another date.
    pub authorization: Option<Limit>,
    /// The limit for all authorised requests together.
    pub company: Option<Limit>,
}

type Keyed<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock>;

/// Counts requests against the limits.
#[derive(Debug)]
pub(crate) struct RateGuard {
    addresses: Option<Keyed<IpAddr>>,
    authorizations: Option<Keyed<String>>,
    company: Option<DefaultDirectRateLimiter>,
}

impl FromStr for Limit {
    type Err = String;

    /// Reads a limit such as `200/10s`.
    fn from_str(text: &str) -> Result<Limit, String> {
        let invalid = || format!("{text:?} is invalid: expected a number of requests and a time, such as 200/10s");
        let (requests, period) = text.split_once('/').ok_or_else(invalid)?;
        let requests = requests.trim().parse().map_err(|_| invalid())?;
        let period = humantime::parse_duration(period.trim()).map_err(|_| invalid())?;
        let limit = Limit { requests, period };
        if period <= LONGEST_PERIOD && limit.quota().is_some() { Ok(limit) } else { Err(invalid()) }
    }
}

impl Limit {
    /// Returns the limit as the rate at which requests are allowed again; `None` if that is no time at all.
    fn quota(self) -> Option<Quota> {
        Some(Quota::with_period(self.period / self.requests.get())?.allow_burst(self.requests))
    }
}

impl RateGuard {
    pub(crate) fn new(limits: RateLimits) -> RateGuard {
        let quota = |limit: Option<Limit>| limit.and_then(Limit::quota);
        RateGuard {
            addresses: quota(limits.address).map(RateLimiter::keyed),
            authorizations: quota(limits.authorization).map(RateLimiter::keyed),
            company: quota(limits.company).map(RateLimiter::direct),
        }
    }

    /// Counts a request before anything else is known of it.
    pub(super) fn count(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        // A socket for both protocols shows addresses of IPv4 as addresses of IPv6.
        let address = address.map(|address| address.to_canonical()).filter(|address| !address.is_loopback());
        match self.addresses.as_ref().zip(address.map(network)) {
            Some((limiter, address)) => count_of(limiter, &address),
            None => Ok(()),
        }
    }

    /// Counts a request that this API key or OAuth client has authorised. What others send uses nothing up.
    pub(super) fn count_authorised(&self, client: &str) -> Result<(), Refusal> {
        if let Some(limiter) = &self.authorizations {
            count_of(limiter, &client.to_owned())?;
        }
        self.company.as_ref().map_or(Ok(()), |limiter| limiter.check().map_err(too_many))
    }
}

/// Returns what counts as one address: of IPv6 the network of 64 bits, in which a client may choose its address.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

fn count_of<K: Hash + Eq + Clone>(limiter: &Keyed<K>, key: &K) -> Result<(), Refusal> {
    if limiter.len() > REMEMBERED_CLIENTS {
        limiter.retain_recent();
    }
    limiter.check_key(key).map_err(too_many)
}

fn too_many<P: governor::clock::Reference>(denied: NotUntil<P>) -> Refusal
where
    DefaultClock: Clock<Instant = P>,
{
    let wait = denied.wait_time_from(DefaultClock::default().now());
    // A whole second more, because the header has no fractions.
    Refusal::TooManyRequests { retry_after_s: wait.as_secs() + 1 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn limit(text: &str) -> Option<Limit> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn limits_are_a_number_and_a_time() {
        for (text, requests, period_s) in [("200/10s", 200, 10), ("50 / 1s", 50, 1), ("18000/1m", 18_000, 60)] {
            let read: Limit = text.parse().unwrap();
            assert_eq!((read.requests.get(), read.period.as_secs()), (requests, period_s), "{text}");
        }
        for text in ["", "200", "0/10s", "200/0s", "-1/1s", "200/", "many/1s", "1/2days", "1/1000y"] {
            assert!(text.parse::<Limit>().unwrap_err().contains("such as 200/10s"), "{text}");
        }
    }

    #[test]
    fn each_address_has_a_limit_of_its_own_and_loopback_has_none() {
        let guard = RateGuard::new(RateLimits { address: limit("2/1h"), ..RateLimits::default() });
        let count = |address: &str| guard.count(Some(address.parse().unwrap()));
        assert_eq!((count("10.0.0.1"), count("10.0.0.1")), (Ok(()), Ok(())));
        let Err(Refusal::TooManyRequests { retry_after_s }) = count("10.0.0.1") else { unreachable!() };
        assert!((1..=1801).contains(&retry_after_s), "{retry_after_s}");
        assert_eq!(count("10.0.0.2"), Ok(()));
        assert_eq!((count("2001:db8::1"), count("2001:db8::2")), (Ok(()), Ok(())));
        assert!(count("2001:db8::3").is_err(), "a network of 64 bits is one client");
        assert_eq!(count("2001:db8:0:1::1"), Ok(()));
        for _ in 0..9 {
            assert_eq!((count("127.0.0.1"), count("::1"), count("::ffff:127.0.0.1")), (Ok(()), Ok(()), Ok(())));
            assert_eq!(guard.count(None), Ok(()));
        }
    }

    #[test]
    fn each_api_key_has_a_limit_and_the_company_another() {
        let limits = RateLimits { authorization: limit("1/1h"), company: limit("3/1h"), address: None };
        let guard = RateGuard::new(limits);
        assert_eq!((guard.count_authorised("one"), guard.count_authorised("two")), (Ok(()), Ok(())));
        assert!(guard.count_authorised("one").is_err());
        assert_eq!((0..9).filter(|number| guard.count_authorised(&number.to_string()).is_ok()).count(), 1);
    }

    #[test]
    fn clients_that_are_quiet_are_forgotten() {
        let guard = RateGuard::new(RateLimits { address: limit("1/1ms"), ..RateLimits::default() });
        for number in 0..30_000_u32 {
            let _ = guard.count(Some(IpAddr::V4((0x0a00_0000 + number).into())));
        }
        let remembered = guard.addresses.unwrap().len();
        assert!(remembered <= REMEMBERED_CLIENTS + 1, "{remembered}");
    }
}
