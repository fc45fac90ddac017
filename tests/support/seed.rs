//! The number from which a test's random choices follow. A test that failed is repeated by giving it the same one.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::thread;

/// `FLOATLEASE_SEED` of the environment, or another number each time.
pub fn seed() -> u64 {
    let given = std::env::var("FLOATLEASE_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 32)
}

/// Prints the seed if its thread panics.
pub struct OnFailure(pub u64);

impl Drop for OnFailure {
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("FLOATLEASE_SEED={}", self.0);
        }
    }
}
