//! Access tokens: issued to OAuth clients, and verified.
//!
//! A token tells its client and its end, and is signed by a key that this process alone has. So the server remembers no
//! token, however many are asked for, and none is valid after a restart: clients then fetch another one.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::http::{HeaderMap, header};
use rand::RngExt;

use crate::domain::Refusal;

/// The longest token that is read. Those of this server are shorter.
const LONGEST_TOKEN_BYTES: usize = 4096;

/// Issues tokens, and verifies them.
pub(super) struct Tokens {
    key: hmac::Key,
    /// The start of the clock by which tokens end. Nobody can set it.
    started: Instant,
    lifetime_seconds: u32,
    /// Number of tokens that were issued, so that no two are alike.
    issued: AtomicU64,
    /// The tokens of an earlier generation have been expired.
    generation: AtomicU64,
}

/// The facts that a token tells.
struct Facts {
    generation: u64,
    /// Milliseconds after the start of the clock.
    ends_at: u128,
    client_id: String,
}

impl Tokens {
    pub(super) fn new(lifetime_seconds: u32) -> Tokens {
        // Not by aws-lc-rs, which collects entropy for tens of milliseconds before its first random number.
        let secret: [u8; 32] = rand::rng().random();
        Tokens {
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            started: Instant::now(),
            lifetime_seconds,
            issued: AtomicU64::new(0),
            generation: AtomicU64::new(0),
        }
    }

    pub(super) fn lifetime_seconds(&self) -> u32 {
        self.lifetime_seconds
    }

    /// Returns a new token for this client.
    pub(super) fn issue(&self, client_id: &str) -> String {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let generation = self.generation.load(Ordering::Relaxed);
        let ends_at = self.started.elapsed().as_millis() + u128::from(self.lifetime_seconds) * 1000;
        let facts = URL_SAFE_NO_PAD.encode(format!("{number} {generation} {ends_at} {client_id}"));
        let signature = hmac::sign(&self.key, facts.as_bytes());
        format!("{facts}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns the name of the client that a token was issued to.
    pub(super) fn verify(&self, token: &str) -> Result<String, Refusal> {
        let (text, signature) = token.split_once('.').ok_or(Refusal::OauthTokenMalformed)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::OauthTokenMalformed)?;
        // The comparison takes constant time.
        hmac::verify(&self.key, text.as_bytes(), &signature).map_err(|_| Refusal::OauthTokenMalformed)?;
        let facts = facts_of(token).ok_or(Refusal::OauthTokenMalformed)?;
        let is_over = self.started.elapsed().as_millis() >= facts.ends_at;
        if is_over || facts.generation != self.generation.load(Ordering::Relaxed) {
            return Err(Refusal::OauthTokenExpired);
        }
        Ok(facts.client_id)
    }

    /// Expires every token that was issued so far.
    pub(super) fn expire_all(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// Returns the token of the `Authorization` header, if it has one.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ').unwrap_or_default();
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Returns the client that a token names, whether or not the token is valid.
pub(super) fn claimed_client(token: &str) -> Option<String> {
    facts_of(token).map(|facts| facts.client_id)
}

fn facts_of(token: &str) -> Option<Facts> {
    let (text, _) = token.split_once('.').filter(|_| token.len() <= LONGEST_TOKEN_BYTES)?;
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let mut parts = text.splitn(4, ' ').skip(1);
    Some(Facts {
        generation: parts.next()?.parse().ok()?,
        ends_at: parts.next()?.parse().ok()?,
        client_id: parts.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn token_names_its_client_and_no_other_issuer_accepts_it() {
        let (tokens, others) = (Tokens::new(480), Tokens::new(480));
        let token = tokens.issue("auth-company-one and more");
        assert_eq!(tokens.verify(&token).unwrap(), "auth-company-one and more");
        assert_eq!(claimed_client(&token).unwrap(), "auth-company-one and more");
        assert_ne!(tokens.issue("auth-company-one"), tokens.issue("auth-company-one"));
        assert_eq!(others.verify(&token).unwrap_err(), Refusal::OauthTokenMalformed);
    }

    #[test]
    fn altered_token_is_malformed() {
        let tokens = Tokens::new(480);
        let token = tokens.issue("auth-company-one");
        let (_, signature) = token.split_once('.').unwrap();
        let longer = URL_SAFE_NO_PAD.encode("0 0 999999999999 auth-company-one");
        for wrong in ["", ".", "abc", "a.b", signature, &format!("{token}A"), &format!("{longer}.{signature}")] {
            assert_eq!(tokens.verify(wrong).unwrap_err(), Refusal::OauthTokenMalformed, "{wrong}");
        }
    }

    #[test]
    fn token_expires_at_its_end_or_with_all_others() {
        let tokens = Tokens::new(0);
        assert_eq!(tokens.verify(&tokens.issue("x")).unwrap_err(), Refusal::OauthTokenExpired);
        let tokens = Tokens::new(480);
        let before = tokens.issue("x");
        tokens.expire_all();
        assert_eq!(tokens.verify(&before).unwrap_err(), Refusal::OauthTokenExpired);
        assert_eq!(tokens.verify(&tokens.issue("x")).unwrap(), "x");
    }
}
