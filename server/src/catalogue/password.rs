//! Passwords of users: as they are kept, and how a client's password is compared with them.
//!
//! A hash is Argon2id's, as a PHC string. Checking one takes some 20 ms of a processor on purpose, so nothing in here is
//! called by the writer's thread or by a thread that serves connections.

use std::fmt;

use argon2::password_hash::phc;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};
use aws_lc_rs::constant_time::verify_slices_are_equal;

/// Upper bounds for the cost of a hash in the catalogue. One check must not take all memory, or a processor for seconds.
const LARGEST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;
const SALT_BYTES: usize = 16;

/// The hash of no password, of the same cost as those that [`hash`] makes. An unknown user's password is compared with it,
/// so that the time of a refusal does not tell which users exist.
const OF_NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5cyBzYWx0Li4uLg$bm8gcGFzc3dvcmQgaGFzaGVzIHRvIHRoaXMgdGV4dC4";

/// A user's password, as the catalogue or the data hold it.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// The password itself, which whoever reads the catalogue knows. For demonstrations and tests.
    Plain(String),
    /// Its hash.
    Hash(String),
}

impl Password {
    /// Returns whether this is the password. Takes as long as the hash demands.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Password::Plain(own) => verify_slices_are_equal(own.as_bytes(), text.as_bytes()).is_ok(),
            Password::Hash(hash) => Argon2::default().verify_password(text.as_bytes(), hash.as_str()).is_ok(),
        }
    }

    /// Returns the hash; `None` for a password that is kept as it is.
    pub fn hash(&self) -> Option<&str> {
        match self {
            Password::Plain(_) => None,
            Password::Hash(hash) => Some(hash),
        }
    }
}

/// A hash tells nothing, but it has no place in a log either.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.hash().is_some() { "Hash(…)" } else { "Plain(…)" })
    }
}

/// Compares a password with the hash of nobody's, which takes as long as with a user's.
pub fn compare_with_nobodys(text: &str) {
    let _ = Password::Hash(OF_NOBODY.to_owned()).matches(text);
}

/// Returns the hash of a password under a new random salt, with the cost that OWASP recommends.
///
/// # Errors
/// The system has no random numbers or too little memory.
pub fn hash(text: &str) -> Result<String, HashError> {
    let mut salt = [0; SALT_BYTES];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| HashError)?;
    let hash: phc::PasswordHash =
        Argon2::default().hash_password_with_salt(text.as_bytes(), &salt).map_err(|_| HashError)?;
    Ok(hash.to_string())
}

/// A password could not be hashed.
#[derive(Debug)]
pub struct HashError;

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("can't hash the password: the system lacks random numbers or memory")
    }
}

impl std::error::Error for HashError {}

/// Says what is wrong with a hash; `None` if passwords can be compared with it.
pub(super) fn wrong_hash(text: &str) -> Option<String> {
    let advice = "make one with `floatlease-server hash-password`";
    let Ok(hash) = phc::PasswordHash::new(text) else {
        return Some(format!("is not a PHC string; {advice}"));
    };
    if hash.algorithm.as_str() != "argon2id" || hash.version != Some(19) {
        return Some(format!("is not of argon2id, version 19; {advice}"));
    }
    if hash.salt.is_none() || hash.hash.is_none() {
        return Some(format!("lacks its salt or its last part; {advice}"));
    }
    match Params::try_from(&hash) {
        Err(_) => Some(format!("has invalid parameters; {advice}")),
        Ok(cost) if cost.m_cost() > LARGEST_MEMORY_KIB || cost.t_cost() > MOST_PASSES || cost.p_cost() > MOST_LANES => {
            Some(format!(
                "costs more than m={LARGEST_MEMORY_KIB},t={MOST_PASSES},p={MOST_LANES}, which a few checks at a time \
                 could stop the server with; {advice}"
            ))
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn hash_matches_its_password_alone() {
        let hash = hash("correct-horse").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(wrong_hash(&hash), None);
        let password = Password::Hash(hash.clone());
        assert!(password.matches("correct-horse"));
        for wrong in ["correct-hors", "correct-horse ", "", &hash] {
            assert!(!password.matches(wrong), "{wrong}");
        }
        assert_ne!(hash, super::hash("correct-horse").unwrap(), "the salt is random");
    }

    /// Otherwise the comparison would end at once, and its time would tell that there is no such user.
    #[test]
    fn hash_of_nobody_is_as_costly_as_a_users() {
        assert_eq!(wrong_hash(OF_NOBODY), None);
        let cost = |hash: &str| hash.split('$').nth(3).map(str::to_owned);
        assert_eq!(cost(OF_NOBODY), cost(&hash("p").unwrap()));
    }

    #[test]
    fn debug_shows_no_password() {
        let shown = format!("{:?} {:?}", Password::Plain("secret".into()), Password::Hash("secret".into()));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
