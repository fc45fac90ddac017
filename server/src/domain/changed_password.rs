//! The password that a user has chosen, in place of the catalogue's.

use crate::catalogue::Password;

/// The password that a user has chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedPassword {
    /// Its hash.
    pub hash: String,
    /// The hash of the catalogue's password at that time. It tells whether the entry was edited since.
    pub replaced: String,
}

impl ChangedPassword {
    /// Returns whether the catalogue still holds the password that this one has replaced.
    ///
    /// A password that the catalogue holds as it is was hashed when it was replaced, so this takes the time of a check.
    pub fn replaces(&self, catalogue: &Password) -> bool {
        match catalogue {
            Password::Plain(text) => Password::Hash(self.replaced.clone()).matches(text),
            Password::Hash(hash) => *hash == self.replaced,
        }
    }
}
