//! What a client may ask for: well-formed and authorised commands.

use chrono::{DateTime, Utc};

/// Something a client wants, well-formed and authorised.
#[derive(Debug, Clone)]
pub struct Command {
    /// Short code of the product.
    pub product: String,
    /// What names the license.
    pub credential: Credential,
    /// Which of several licenses.
    pub license_id: Option<u64>,
    /// The device.
    pub hardware_id: String,
    /// The device says it is a virtual machine.
    pub is_vm: bool,
    /// What it wants.
    pub action: Action,
    /// The client's name for this key, so that a consumption is not booked twice however often it arrives.
    pub idempotency_key: Option<String>,
    /// The client's number of this request: it is not carried out after one with a higher number.
    pub order: Option<u64>,
}

/// What names a license, and proves that the client may use it.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A license key.
    Key(String),
    /// A user; not every operation asks for the password.
    User {
        /// His name.
        username: String,
        /// His password.
        password: Option<String>,
    },
    /// A token of the customer account's single sign-on.
    Token {
        /// The token.
        token: Token,
        /// The account.
        customer_account_code: String,
    },
}

/// What single sign-on gave the client.
#[derive(Debug, Clone)]
pub enum Token {
    /// An access token (implicit grant).
    IdToken(String),
    /// An authorization code.
    Code(String),
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Action {
    /// Make the device one of the license's.
    Activate {
        /// Facts to keep about it.
        variables: Vec<(String, String)>,
    },
    /// Read the license; a floating one takes or renews a slot.
    CheckLicense {
        /// Show expired features too.
        include_expired_features: bool,
    },
    /// Take the device off the license.
    Deactivate {
        /// Facts to keep about it.
        variables: Vec<(String, String)>,
    },
    /// Pin a slot of the license.
    BorrowLicense(Until),
    /// Give the license's slot back.
    ReleaseLicense,
    /// Read the feature; a floating one takes or renews a slot.
    CheckFeature {
        /// Its code.
        feature: String,
        /// Answer its metadata as a text too.
        include_metadata_string: bool,
    },
    /// Pin a slot of the feature.
    BorrowFeature {
        /// Its code.
        feature: String,
        /// Until when.
        until: Until,
    },
    /// Give the feature's slot back.
    ReleaseFeature {
        /// Its code.
        feature: String,
    },
    /// Consume from the license.
    AddConsumption {
        /// How much; negative gives back.
        amount: i64,
        /// From now on, overages are allowed or not.
        allow_overages: Option<bool>,
        /// From now on, so many.
        max_overages: Option<i64>,
    },
    /// Consume from a feature.
    AddFeatureConsumption {
        /// Its code.
        feature: String,
        /// How much; negative gives back.
        amount: i64,
    },
}

/// Until when a client wants to borrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// As long as may be.
    Longest,
    /// Until then.
    At(DateTime<Utc>),
    /// It said something that is no time.
    Unreadable,
}
