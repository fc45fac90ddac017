//! Signs replies. The HTTP workers do it after the commit, because signing is the most expensive step of a reply.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::keys::SigningKey;

/// Number of v1 signatures in either half of the cache. Both halves take about 8 MB when they are full.
const HALF_OF_CACHE: usize = 8192;

/// Signs replies, or leaves signatures out if it has no key.
#[derive(Debug)]
pub(super) struct Signer {
    key: Option<SigningKey>,
    v1: Mutex<Cache>,
}

/// A cache of v1 signatures. Each depends only on device, license and validity, so the same one is needed again and again.
///
/// Recently used signatures survive: when the young half is full, it becomes the old half.
#[derive(Debug, Default)]
struct Cache {
    young: HashMap<String, String>,
    old: HashMap<String, String>,
}

impl Signer {
    pub(super) fn new(key: Option<SigningKey>) -> Signer {
        Signer { key, v1: Mutex::default() }
    }

    /// Returns the `LicenseSignature` of a body, or `None` if this server does not sign.
    pub(super) fn v2(&self, body: &[u8]) -> io::Result<Option<String>> {
        self.key.as_ref().map(|key| key.sign(body)).transpose()
    }

    /// Returns the `license_signature` over a text, which is empty if this server does not sign.
    pub(super) fn v1(&self, text: &str) -> io::Result<String> {
        let Some(key) = &self.key else { return Ok(String::new()) };
        if let Some(signature) = self.cache(|cache| cache.get(text)) {
            return Ok(signature);
        }
        let signature = key.sign(text.as_bytes())?;
        self.cache(|cache| cache.put(text, &signature));
        Ok(signature)
    }

    fn cache<T>(&self, work: impl FnOnce(&mut Cache) -> T) -> T {
        work(&mut self.v1.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Cache {
    fn get(&mut self, text: &str) -> Option<String> {
        if let Some(signature) = self.young.get(text) {
            return Some(signature.clone());
        }
        let signature = self.old.get(text).cloned()?;
        self.put(text, &signature);
        Some(signature)
    }

    fn put(&mut self, text: &str, signature: &str) {
        if self.young.len() >= HALF_OF_CACHE {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(text.to_owned(), signature.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_is_bounded_and_keeps_recent_signatures() {
        let mut cache = Cache::default();
        for number in 0..10 * HALF_OF_CACHE {
            assert!(number == 0 || cache.get("0").is_some(), "{number}");
            cache.put(&number.to_string(), "signature");
        }
        assert!(cache.young.len() + cache.old.len() <= 2 * HALF_OF_CACHE);
        assert_eq!(cache.get("1"), None);
    }
}
