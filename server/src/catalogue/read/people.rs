//! Reads customers, their accounts with single sign-on, and users.

use std::collections::HashMap;
use std::sync::Arc;

use super::reader::{Reader, unknown_name};
use crate::catalogue::entry::Entry;
use crate::catalogue::password::{Password, wrong_hash};
use crate::catalogue::single_sign_on::{KeySource, SingleSignOn, TokenRules};
use crate::catalogue::types::{AccountLabel, Customer, CustomerAccount, LONGEST_TOKEN_BYTES, User};

/// The keys of a customer account that are about its identity provider.
const SIGN_ON_KEYS: [&str; 11] = [
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "end_session_endpoint",
    "introspection_endpoint",
    "client_id",
    "redirect_uris",
    "jwks_file",
    "jwks_url",
    "audience",
    "username_claim",
];

impl<'n> Reader<'n> {
    pub(super) fn customer_account(&mut self, entry: &mut Entry<'_>) -> (String, CustomerAccount) {
        let code = entry.name("code");
        let id = self.id(entry, &["customer_account", &code]);
        let label = AccountLabel { id, name: entry.or("name", code.clone()), code: code.clone() };
        let mut tokens = |key| {
            let tokens: HashMap<String, String> = entry.or(key, HashMap::new());
            tokens.keys().for_each(|token| entry.check_length(key, token, LONGEST_TOKEN_BYTES));
            if tokens.contains_key("") {
                entry.report(format!("`{key}` holds an empty text, which counts as missing in requests; remove it"));
            }
            tokens
        };
        let (id_tokens, codes) = (tokens("id_tokens"), tokens("codes"));
        let sign_on = single_sign_on(entry);
        if sign_on.as_ref().is_some_and(|sign_on| sign_on.tokens.is_some())
            && !(id_tokens.is_empty() && codes.is_empty())
        {
            entry.report(
                "`id_tokens` and `codes` stand in for an identity provider, so they exclude `jwks_file` and `jwks_url`: \
                 remove them",
            );
        }
        (code, CustomerAccount { label, id_tokens, codes, sign_on })
    }

    /// Reports tokens of unknown users. It does not show the tokens, which are secrets.
    pub(super) fn check_tokens(&self, account: &CustomerAccount, users: &HashMap<String, Arc<User>>) {
        for (key, tokens) in [("id_tokens", &account.id_tokens), ("codes", &account.codes)] {
            for username in tokens.values().filter(|username| !users.contains_key(*username)) {
                let code = &account.label.code;
                let error = format!("customer_account {code:?}: {}", unknown_name(key, username, "user"));
                self.errors.borrow_mut().push(error);
            }
        }
    }

    pub(super) fn customer(
        &mut self,
        entry: &mut Entry<'_>,
        accounts: &HashMap<String, CustomerAccount>,
    ) -> (String, Arc<Customer>) {
        let email: String = entry.required("email");
        let code: Option<String> = entry.optional("customer_account");
        let account = code.as_ref().and_then(|code| accounts.get(code));
        if let (Some(code), None) = (&code, account) {
            entry.report(unknown_name("customer_account", code, "customer_account"));
        }
        let texts = Customer::of_texts(|key| entry.or(key, String::new()));
        let customer = Customer {
            email: email.clone(),
            customer_account: account.map(|account| account.label.clone()),
            metadata: entry.optional("metadata").unwrap_or_default(),
            ..texts
        };
        (email, Arc::new(customer))
    }

    pub(super) fn user(&mut self, entry: &mut Entry<'_>) -> (String, Arc<User>) {
        let username = entry.name("username");
        let user = User {
            id: self.id(entry, &["user", &username]),
            email: entry.or("email", username.clone()),
            first_name: entry.or("first_name", String::new()),
            last_name: entry.or("last_name", String::new()),
            phone_number: entry.or("phone_number", String::new()),
            is_initial_password: entry.or("is_initial_password", false),
            may_change_password: entry.or("may_change_password", true),
            allow_unlimited_activations: entry.or("allow_unlimited_activations", false),
            max_activations: entry.or("max_activations", 1),
            password: password(entry),
            username: username.clone(),
        };
        (username, Arc::new(user))
    }
}

/// Returns the user's password, which is given as it is, or as a hash, or not at all to users of single sign-on.
fn password(entry: &mut Entry<'_>) -> Option<Password> {
    if entry.or("sso_only", false) {
        for key in ["password", "password_hash"] {
            if entry.optional::<String>(key).is_some() {
                entry.report(format!("`{key}` and `sso_only` exclude each other; remove one"));
            }
        }
        return None;
    }
    if !entry.has("password_hash") {
        return Some(Password::Plain(entry.name("password")));
    }
    if entry.optional::<String>("password").is_some() {
        entry.report("`password` and `password_hash` exclude each other; remove `password`");
    }
    let hash: String = entry.required("password_hash");
    if let Some(wrong) = wrong_hash(&hash) {
        entry.report(format!("`password_hash` {wrong}"));
    }
    Some(Password::Hash(hash))
}

/// Returns the account's identity provider, if it has one.
fn single_sign_on(entry: &mut Entry<'_>) -> Option<SingleSignOn> {
    let given = SIGN_ON_KEYS.into_iter().find(|key| entry.has(key));
    let Some(given) = given else {
        SIGN_ON_KEYS.into_iter().for_each(|key| entry.expect(key));
        return None;
    };
    if !entry.has("issuer") {
        entry.report(format!(
            "`issuer` is missing: `{given}` is about an identity provider, so give the provider's name"
        ));
    }
    let tokens = token_rules(entry);
    let redirect_uris: Vec<String> = entry.or("redirect_uris", Vec::new());
    if redirect_uris.iter().any(String::is_empty) {
        entry.report("`redirect_uris` holds an empty text; remove it");
    }
    let mut text = |key| entry.or(key, String::new());
    let sign_on = SingleSignOn {
        issuer: text("issuer"),
        authorization_endpoint: text("authorization_endpoint"),
        token_endpoint: text("token_endpoint"),
        end_session_endpoint: text("end_session_endpoint"),
        introspection_endpoint: text("introspection_endpoint"),
        client_id: text("client_id"),
        redirect_uris,
        tokens,
    };
    if !sign_on.authorization_endpoint.is_empty() && (sign_on.client_id.is_empty() || sign_on.redirect_uris.is_empty())
    {
        entry.report("`authorization_endpoint` needs `client_id` and `redirect_uris`: a user is sent there with them");
    }
    Some(sign_on)
}

/// Returns how tokens are verified, if the entry says where the keys are.
fn token_rules(entry: &mut Entry<'_>) -> Option<TokenRules> {
    let file = entry.optional::<String>("jwks_file").map(KeySource::File);
    let url = entry.optional::<String>("jwks_url").map(KeySource::Url);
    let (audience, claim) = (entry.optional::<String>("audience"), entry.optional::<String>("username_claim"));
    let keys = match (file, url) {
        (Some(_), Some(_)) => {
            entry.report("`jwks_file` and `jwks_url` exclude each other; remove one");
            return None;
        }
        (None, None) => {
            if audience.or(claim).is_some() {
                entry.report("`jwks_url` is missing: without keys no token can be verified; give it, or `jwks_file`");
            }
            return None;
        }
        (file, url) => file.or(url)?,
    };
    if let KeySource::Url(url) = &keys
        && !is_safe_url(url)
    {
        entry.report(
            "`jwks_url` must begin with https://, because whoever can alter the keys on their way can sign in as anybody; \
             http:// is allowed for this machine alone",
        );
    }
    let audience = audience.filter(|audience| !audience.is_empty()).unwrap_or_else(|| {
        entry.report("`audience` is missing: a token for another program must not count here; give the `aud` of yours");
        String::new()
    });
    Some(TokenRules { audience, username_claim: claim.unwrap_or_else(|| "email".to_owned()), keys })
}

/// Returns whether what comes from the address can't be altered on its way.
fn is_safe_url(url: &str) -> bool {
    let is_local = |rest: &str| {
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        ["127.0.0.1", "localhost", "[::1]"].contains(&host)
    };
    url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty())
        || url.strip_prefix("http://").is_some_and(is_local)
}
