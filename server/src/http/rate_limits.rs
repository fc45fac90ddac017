//! Limits for the number of requests, so that no client takes the server away from the others.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::DashMapStateStore;
use governor::{DefaultDirectRateLimiter, NotUntil, Quota, RateLimiter};
use hyper::http::HeaderMap;
use hyper::http::header::AUTHORIZATION;

use crate::domain::Refusal;

/// Number of clients that are remembered before those that were quiet are forgotten.
const REMEMBERED_CLIENTS: usize = 10_000;

/// So many requests in so much time.
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
    /// The limit for each value of the `Authorization` header, which changes every second.
    pub authorization: Option<Limit>,
    /// The limit for all authorised requests together.
    pub company: Option<Limit>,
}

type Keyed<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock>;

/// Counts requests against the limits.
#[derive(Debug)]
pub(crate) struct RateGuard {
    addresses: Option<Keyed<IpAddr>>,
    authorizations: Option<Keyed<u64>>,
    company: Option<DefaultDirectRateLimiter>,
    /// Makes numbers of headers, so that no secret is kept.
    hasher: RandomState,
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
        if limit.quota().is_some() { Ok(limit) } else { Err(invalid()) }
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
            hasher: RandomState::new(),
        }
    }

    /// Counts a request before anything else is known of it.
    pub(super) fn count(&self, address: Option<IpAddr>, headers: &HeaderMap) -> Result<(), Refusal> {
        if let Some((limiter, address)) = self.addresses.as_ref().zip(address.filter(|address| !address.is_loopback()))
        {
            count_of(limiter, &address)?;
        }
        if let Some((limiter, header)) = self.authorizations.as_ref().zip(headers.get(AUTHORIZATION)) {
            count_of(limiter, &self.hasher.hash_one(header.as_bytes()))?;
        }
        Ok(())
    }

    /// Counts a request that was authorised.
    pub(super) fn count_authorised(&self) -> Result<(), Refusal> {
        self.company.as_ref().map_or(Ok(()), |limiter| limiter.check().map_err(too_many))
    }
}

fn count_of<K: std::hash::Hash + Eq + Clone>(limiter: &Keyed<K>, key: &K) -> Result<(), Refusal> {
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

    fn authorization(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn limits_are_a_number_and_a_time() {
        for (text, requests, period_s) in [("200/10s", 200, 10), ("50 / 1s", 50, 1), ("18000/1m", 18_000, 60)] {
            let read: Limit = text.parse().unwrap();
            assert_eq!((read.requests.get(), read.period.as_secs()), (requests, period_s), "{text}");
        }
        for text in ["", "200", "0/10s", "200/0s", "-1/1s", "200/", "many/1s"] {
            assert!(text.parse::<Limit>().unwrap_err().contains("such as 200/10s"), "{text}");
        }
    }

    #[test]
    fn each_address_has_a_limit_of_its_own_and_loopback_has_none() {
        let guard = RateGuard::new(RateLimits { address: limit("2/1h"), ..RateLimits::default() });
        let count = |address: &str| guard.count(Some(address.parse().unwrap()), &HeaderMap::new());
        assert_eq!((count("10.0.0.1"), count("10.0.0.1")), (Ok(()), Ok(())));
        let Err(Refusal::TooManyRequests { retry_after_s }) = count("10.0.0.1") else { unreachable!() };
        assert!((1..=1801).contains(&retry_after_s), "{retry_after_s}");
        assert_eq!(count("10.0.0.2"), Ok(()));
        for _ in 0..9 {
            assert_eq!(count("127.0.0.1"), Ok(()));
            assert_eq!(guard.count(None, &HeaderMap::new()), Ok(()));
        }
    }

    #[test]
    fn each_authorization_has_a_limit_and_the_company_another() {
        let limits = RateLimits { authorization: limit("1/1h"), company: limit("3/1h"), address: None };
        let guard = RateGuard::new(limits);
        assert_eq!(guard.count(None, &authorization("one")), Ok(()));
        assert!(guard.count(None, &authorization("one")).is_err());
        assert_eq!(guard.count(None, &authorization("two")), Ok(()));
        assert_eq!((0..9).filter(|_| guard.count_authorised().is_ok()).count(), 3);
    }

    #[test]
    fn clients_that_are_quiet_are_forgotten() {
        let guard = RateGuard::new(RateLimits { address: limit("1/1ms"), ..RateLimits::default() });
        for number in 0..30_000_u32 {
            let _ = guard.count(Some(IpAddr::V4((0x0a00_0000 + number).into())), &HeaderMap::new());
        }
        let remembered = guard.addresses.unwrap().len();
        assert!(remembered <= REMEMBERED_CLIENTS + 1, "{remembered}");
    }
}
