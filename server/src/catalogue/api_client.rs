//! The clients that may ask: API keys, and OAuth clients with their secrets and scopes.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use chrono::{DateTime, Utc};

/// An API key, by which a client authorises its requests.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// The key's name in the `Authorization` header.
    pub key: String,
    /// The secret of the request's MAC.
    pub shared_key: String,
    /// True if it may only read.
    pub read_only: bool,
    /// True if it was revoked.
    pub revoked: bool,
    /// The products that it may activate; `None` for all products.
    pub products: Option<Vec<String>>,
}

/// An OAuth client, which fetches access tokens by a secret and authorises its requests by them.
#[derive(Debug, Clone)]
pub struct OauthClient {
    /// The client's name. Its beginning shows the scope.
    pub client_id: String,
    /// The secret that the client fetches tokens with.
    pub secret: ClientSecret,
    /// The secret before that, and the time from which on it is refused.
    pub previous_secret: Option<(ClientSecret, DateTime<Utc>)>,
    /// Numbers of the licenses that it may use; `None` for all of the company.
    pub licenses: Option<Arc<HashSet<u64>>>,
    /// True if it may only read.
    pub read_only: bool,
    /// True if it was revoked.
    pub revoked: bool,
    /// The products that it may activate; `None` for all products.
    pub products: Option<Vec<String>>,
}

/// The owner of an OAuth client, to whose licenses the client is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OauthScope {
    /// The company: all licenses.
    Company,
    /// Customer accounts.
    CustomerAccount,
    /// Customers.
    Customer,
    /// Single licenses.
    License,
}

/// The secret of an OAuth client. Its SHA-256 is what is compared, so that the length of the secret is hidden. The text is
/// the key of the signatures on the client's offline requests.
#[derive(Clone)]
pub struct ClientSecret {
    text: String,
    digest: [u8; SHA256_OUTPUT_LEN],
}

impl OauthClient {
    /// Returns whether the client has proven itself by this secret. `now` is license time.
    pub fn accepts(&self, secret: &str, now: DateTime<Utc>) -> bool {
        let given = ClientSecret::of(secret);
        // Both are compared in any case, so that the time does not tell which one it was.
        let is_current = self.secret.equals(&given);
        let is_previous = self.previous_secret(now).is_some_and(|previous| previous.equals(&given));
        !self.revoked && (is_current || is_previous)
    }

    /// Returns the texts of the secrets that it may sign with. `now` is license time.
    pub fn signing_secrets(&self, now: DateTime<Utc>) -> impl Iterator<Item = &str> {
        std::iter::once(&self.secret).chain(self.previous_secret(now)).map(|secret| secret.text.as_str())
    }

    fn previous_secret(&self, now: DateTime<Utc>) -> Option<&ClientSecret> {
        self.previous_secret.as_ref().filter(|(_, until)| now < *until).map(|(previous, _)| previous)
    }
}

impl OauthScope {
    /// Returns the beginning of the names of such clients.
    pub fn prefix(self) -> &'static str {
        match self {
            OauthScope::Company => "auth-company-",
            OauthScope::CustomerAccount => "auth-customeraccount-",
            OauthScope::Customer => "auth-customer-",
            OauthScope::License => "auth-license-",
        }
    }
}

impl ClientSecret {
    /// Makes a secret of its text.
    pub fn of(secret: &str) -> ClientSecret {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        ClientSecret { text: secret.to_owned(), digest: bytes }
    }

    /// Compares in a time that does not depend on where the two differ.
    fn equals(&self, other: &ClientSecret) -> bool {
        verify_slices_are_equal(&self.digest, &other.digest).is_ok()
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret")
    }
}
