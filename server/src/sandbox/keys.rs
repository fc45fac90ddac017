//! Signing keys for tests, made of built-in primes, because finding primes takes longer than a sandbox may take to start.
//!
//! The primes are public. Each world of a process gets another pair, and the first pair is random. So a product that was
//! given such a public key by mistake fails at the sandbox's next start.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use num_bigint::BigUint;
use rand::RngExt;
use rand::distr::{Alphanumeric, SampleString};

use crate::keys::SigningKey;

const PRIMES: &str = include_str!("primes.txt");

/// Returns the next key of this process.
pub(super) fn signing_key() -> io::Result<SigningKey> {
    static NEXT: OnceLock<AtomicUsize> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicUsize::new(rand::rng().random_range(0..1 << 16)));
    let primes: Vec<&str> = PRIMES.lines().collect();
    let pairs = (1..primes.len()).flat_map(|second| (0..second).map(move |first| (first, second)));
    let pairs: Vec<(usize, usize)> = pairs.collect();
    let number = next.fetch_add(1, Ordering::Relaxed);
    let pair = pairs.get(number % pairs.len().max(1));
    let prime = |index: usize| primes.get(index).and_then(|hex| BigUint::parse_bytes(hex.as_bytes(), 16));
    match pair.and_then(|(first, second)| prime(*first).zip(prime(*second))) {
        Some((p, q)) => SigningKey::from_primes(&p, &q),
        None => SigningKey::generate(),
    }
}

/// Returns a random text of letters and digits, for API keys.
///
/// It does not use aws-lc-rs, which collects entropy for tens of milliseconds before its first random number.
pub(super) fn random_text(length: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), length)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_pair_makes_a_key_and_no_two_are_the_same() {
        let keys: HashSet<String> = (0..496).map(|_| signing_key().unwrap().public_pem().unwrap()).collect();
        assert_eq!(keys.len(), 32 * 31 / 2);
    }
}
