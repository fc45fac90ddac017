//! Signatures of replies. Made on the HTTP workers, after the commit: they are the dearest thing a reply needs.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::keys::SigningKey;

/// Texts of v1 signatures kept in either half of the cache; about 8 MB in all when full.
const HALF_OF_CACHE: usize = 8192;

/// Signs, or leaves signatures out.
#[derive(Debug)]
pub(super) struct Signer {
    key: Option<SigningKey>,
    v1: Mutex<Cache>,
}

/// A v1 signature depends only on device, license and validity, so the same one is asked for again and again. What was
/// asked for lately survives: when the young half is full, it becomes the old one.
#[derive(Debug, Default)]
struct Cache {
    young: HashMap<String, String>,
    old: HashMap<String, String>,
}

impl Signer {
    pub(super) fn new(key: Option<SigningKey>) -> Signer {
        Signer { key, v1: Mutex::default() }
    }

    /// The `LicenseSignature` of a body, if this server signs.
    pub(super) fn v2(&self, body: &[u8]) -> io::Result<Option<String>> {
        self.key.as_ref().map(|key| key.sign(body)).transpose()
    }

    /// The `license_signature` over a text; empty if this server does not sign.
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
    fn the_cache_is_bounded_and_keeps_what_is_asked_for() {
        let mut cache = Cache::default();
        for number in 0..10 * HALF_OF_CACHE {
            assert!(number == 0 || cache.get("0").is_some(), "{number}");
            cache.put(&number.to_string(), "signature");
        }
        assert!(cache.young.len() + cache.old.len() <= 2 * HALF_OF_CACHE);
        assert_eq!(cache.get("1"), None);
    }
}
