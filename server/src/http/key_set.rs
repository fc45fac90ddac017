//! The public keys of an identity provider, from a file or an address.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;

use super::fetch::fetch;
use crate::catalogue::KeySource;

/// Shortest time between two fetches. Tokens with made-up key names must not become requests to the provider.
const FETCH_INTERVAL: Duration = Duration::from_secs(60);
/// Time after which the keys are fetched anew, so that a key that the provider has withdrawn stops counting.
const KEYS_LAST: Duration = Duration::from_secs(3600);

/// A provider's keys.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Mutex<Known>,
    /// The address, and the right to fetch from it. It is held during a fetch, so that there is one at a time.
    address: Option<(String, tokio::sync::Mutex<LastFetch>)>,
}

/// The keys that are known.
#[derive(Debug)]
struct Known {
    set: Arc<JwkSet>,
    since: Option<Instant>,
}

#[derive(Debug, Default)]
struct LastFetch(Option<Instant>);

impl KeySet {
    /// Reads the keys from their file. From an address they are fetched when the first token comes, so that the server starts
    /// while the provider does not run.
    pub(super) fn open(source: &KeySource) -> Result<KeySet, String> {
        let (set, address) = match source {
            KeySource::File(path) => {
                let json = std::fs::read(path).map_err(|error| format!("can't read {path}: {error}"))?;
                (parse(&json).map_err(|why| format!("{path} {why}"))?, None)
            }
            KeySource::Url(url) => (JwkSet { keys: Vec::new() }, Some((url.clone(), Default::default()))),
        };
        Ok(KeySet { keys: Mutex::new(Known { set: Arc::new(set), since: None }), address })
    }

    /// Returns the keys, after fetching them if the one of this name is unknown or they are old.
    ///
    /// If they can't be fetched, the known ones go on counting.
    pub(super) async fn with_key(&self, name: Option<&str>) -> Arc<JwkSet> {
        let (set, is_fresh) = self.known();
        let Some((url, last_fetch)) = &self.address else { return set };
        if has(&set, name) && is_fresh {
            return set;
        }
        // Whoever needs a key waits for the fetch under way. Others go on with the known keys.
        let mut last_fetch = match last_fetch.try_lock() {
            Ok(last_fetch) => last_fetch,
            Err(_) if has(&set, name) => return set,
            Err(_) => last_fetch.lock().await,
        };
        let (set, is_fresh) = self.known();
        let is_recent = last_fetch.0.is_some_and(|at| at.elapsed() < FETCH_INTERVAL);
        if is_recent || (has(&set, name) && is_fresh) {
            return set;
        }
        last_fetch.0 = Some(Instant::now());
        match fetch(url).await.and_then(|json| parse(&json)) {
            Ok(set) => {
                let known = Known { set: Arc::new(set), since: Some(Instant::now()) };
                let set = Arc::clone(&known.set);
                *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = known;
                set
            }
            Err(why) => {
                tracing::warn!("can't get the keys of an identity provider: {url} {why}; known keys go on counting");
                set
            }
        }
    }

    fn known(&self) -> (Arc<JwkSet>, bool) {
        let known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&known.set), known.since.is_some_and(|since| since.elapsed() < KEYS_LAST))
    }
}

fn has(set: &JwkSet, name: Option<&str>) -> bool {
    name.map_or(!set.keys.is_empty(), |name| set.find(name).is_some())
}

fn parse(json: &[u8]) -> Result<JwkSet, String> {
    serde_json::from_slice(json).map_err(|error| format!("is not a JSON Web Key Set: {error}"))
}
