//! What a client may ask for: well-formed and authorised commands.

use std::fmt;

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::catalogue::{Password, VersionFilter};

/// A well-formed and authorised request.
#[derive(Debug, Clone)]
pub struct Command {
    /// The product's short code.
    pub product: String,
    /// The name of the license, with the proof that the client may use it.
    pub credential: Credential,
    /// The license's number, where the credential names several licenses.
    pub license_id: Option<u64>,
    /// Numbers of the licenses that the client may use; `None` for all. Another license counts as unknown.
    pub licenses: Option<Arc<HashSet<u64>>>,
    /// The device.
    pub hardware_id: String,
    /// True if the device says that it is a virtual machine.
    pub is_vm: bool,
    /// The action that the client asks for.
    pub action: Action,
    /// The `Idempotency-Key`, by which a consumption is not booked twice however often the request arrives.
    pub idempotency_key: Option<String>,
    /// The order number. The request is not carried out after one with a higher number.
    pub order: Option<u64>,
}

/// The name of a license, with the proof that the client may use it.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A license key.
    Key(String),
    /// A user. Not every operation asks for the password.
    User {
        /// The user's name.
        username: String,
        /// What the password proves that the client has sent.
        password: Option<PasswordProof>,
    },
    /// A token of the customer account's single sign-on.
    Token {
        /// The token.
        token: Token,
        /// The account.
        customer_account_code: String,
    },
}

/// What a client's password proves.
///
/// Comparing a password with a hash takes long, so it happens before the command is applied. The rules only ask whether the
/// password matches the one that counts now.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordProof {
    /// The password itself. It proves a password that the catalogue holds as it is.
    Text(String),
    /// The password was compared with this hash, and matches.
    Hash(String),
    /// The password was compared with the hash that counts, and does not match.
    Nothing,
}

impl PasswordProof {
    /// Returns whether the client has shown that it knows this password.
    pub fn proves(&self, password: &Password) -> bool {
        match (self, password) {
            (PasswordProof::Text(text), Password::Plain(_)) => password.matches(text),
            (PasswordProof::Hash(compared), Password::Hash(hash)) => compared == hash,
            _ => false,
        }
    }
}

/// A log must not show a password.
impl fmt::Debug for PasswordProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PasswordProof::Text(_) => "Text(…)",
            PasswordProof::Hash(_) => "Hash(…)",
            PasswordProof::Nothing => "Nothing",
        })
    }
}

/// A token that single sign-on gave to the client.
#[derive(Debug, Clone)]
pub enum Token {
    /// The user whom a token of the account's identity provider names. The token was verified.
    Verified(String),
    /// An access token (implicit grant).
    IdToken(String),
    /// An authorization code.
    Code(String),
}

/// The action of a command.
#[derive(Debug, Clone)]
pub enum Action {
    /// Activates the license on the device.
    Activate {
        /// Facts to keep about the device.
        variables: Vec<(String, String)>,
    },
    /// Reads the license. If it floats, takes or renews a slot.
    CheckLicense {
        /// True if the reply shows expired features too.
        include_expired_features: bool,
        /// Chooses the version that the reply describes.
        wanted: VersionFilter,
    },
    /// Deactivates the license on the device.
    Deactivate {
        /// Facts to keep about the device.
        variables: Vec<(String, String)>,
    },
    /// Borrows a slot of the license.
    BorrowLicense(Until),
    /// Releases the license's slot.
    ReleaseLicense,
    /// Reads the feature. If it floats, takes or renews a slot.
    CheckFeature {
        /// The feature's code.
        feature: String,
        /// True if the reply holds the metadata as a text too.
        include_metadata_string: bool,
    },
    /// Borrows a slot of the feature.
    BorrowFeature {
        /// The feature's code.
        feature: String,
        /// The end of the borrow.
        until: Until,
    },
    /// Releases the feature's slot.
    ReleaseFeature {
        /// The feature's code.
        feature: String,
    },
    /// Lists the versions that the license includes.
    ListVersions(VersionFilter),
    /// Tells where a version's file is.
    FindInstallationFile {
        /// The versions among which it is.
        wanted: VersionFilter,
        /// The version; `None` for the newest.
        version: Option<String>,
    },
    /// Lists the facts that are kept about the device.
    ListVariables,
    /// Keeps facts about the device.
    TrackVariables {
        /// The facts: name and value.
        variables: Vec<(String, String)>,
    },
    /// Consumes from the license.
    AddConsumption {
        /// The amount. A negative amount gives back.
        amount: i64,
        /// True if overages are allowed from now on; `None` changes nothing.
        allow_overages: Option<bool>,
        /// Upper bound for overages from now on; `None` changes nothing.
        max_overages: Option<i64>,
    },
    /// Consumes from a feature.
    AddFeatureConsumption {
        /// The feature's code.
        feature: String,
        /// The amount. A negative amount gives back.
        amount: i64,
    },
}

/// The end of a borrow that a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The longest time that the license allows.
    Longest,
    /// This time.
    At(DateTime<Utc>),
    /// A text that is not a valid time.
    Unreadable,
}
