//! Reads who may ask: API keys and OAuth clients.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::reader::{Reader, unknown_name};
use crate::catalogue::api_client::{ApiKey, ClientSecret, OauthClient, OauthScope};
use crate::catalogue::entry::Entry;
use crate::catalogue::types::{Holder, LONGEST_TEXT_BYTES, License, Product};

impl<'n> Reader<'n> {
    pub(super) fn api_key(&mut self, entry: &mut Entry<'_>) -> (String, ApiKey) {
        let key: String = entry.required("key");
        // In the Authorization header, the key stands in quotes among other parameters.
        if !key.bytes().all(|byte| byte.is_ascii_graphic() && !b",\"".contains(&byte)) {
            entry.report("`key` must be of visible ASCII characters without `,` and `\"`");
        }
        let shared_key = entry.required("shared_key");
        let (read_only, revoked) = (entry.or("read_only", false), entry.or("revoked", false));
        let products = entry.optional("products");
        (key.clone(), ApiKey { key, shared_key, read_only, revoked, products })
    }

    pub(super) fn check_products(
        &self,
        table: &str,
        name: &str,
        codes: Option<&[String]>,
        products: &HashMap<String, Arc<Product>>,
    ) {
        for code in codes.into_iter().flatten().filter(|code| !products.contains_key(*code)) {
            let error = format!("{table} {name:?}: {}", unknown_name("products", code, "product"));
            self.errors.borrow_mut().push(error);
        }
    }

    /// Reads an OAuth client, after the licenses that it may be limited to.
    pub(super) fn oauth_client(&mut self, entry: &mut Entry<'_>) -> (String, OauthClient) {
        let client_id: String = entry.required("client_id");
        if !client_id.bytes().all(|byte| byte.is_ascii_graphic()) || client_id.len() > LONGEST_TEXT_BYTES {
            entry.report(format!("`client_id` must be of at most {LONGEST_TEXT_BYTES} visible ASCII characters"));
        }
        let secret: String = entry.required("client_secret");
        let previous: Option<String> = entry.optional("previous_secret");
        let until = entry.optional("previous_secret_until");
        if previous.is_some() != until.is_some() {
            entry.report("`previous_secret` and `previous_secret_until` belong together: give both or neither");
        }
        if previous.as_deref().is_some_and(|previous| previous.is_empty() || previous == secret) {
            entry.report("`previous_secret` must be the secret before `client_secret`, and so another text");
        }
        let scope: Option<OauthScope> = entry.optional("scope");
        match scope {
            None => entry.report(
                "`scope` is missing or invalid: give it \"company\", \"customer_account\", \"customer\" or \"license\"",
            ),
            Some(scope) if !client_id.starts_with(scope.prefix()) => {
                let (prefix, scope) = (scope.prefix(), scope.as_str());
                entry.report(format!("`client_id` must begin with {prefix:?}, since its `scope` is {scope:?}"));
            }
            Some(_) => {}
        }
        let names: Vec<String> = entry.or("names", Vec::new());
        let client = OauthClient {
            client_id: client_id.clone(),
            secret: ClientSecret::of(&secret),
            previous_secret: previous.as_deref().map(ClientSecret::of).zip(until),
            licenses: self.licenses_in_scope(entry, scope.unwrap_or(OauthScope::Company), &names).map(Arc::new),
            read_only: entry.or("read_only", false),
            revoked: entry.or("revoked", false),
            products: entry.optional("products"),
        };
        (client_id, client)
    }

    /// Returns the numbers of the licenses that belong to these owners; `None` for all licenses.
    pub(super) fn licenses_in_scope(
        &self,
        entry: &Entry<'_>,
        scope: OauthScope,
        names: &[String],
    ) -> Option<HashSet<u64>> {
        if (scope == OauthScope::Company) != names.is_empty() {
            entry.report("`names` lists what the client belongs to, unless its `scope` is \"company\"");
        }
        let belongs = |license: &License, name: &str| match scope {
            OauthScope::Company => true,
            OauthScope::Customer => license.customer.email == name,
            OauthScope::CustomerAccount => {
                license.customer.customer_account.as_ref().is_some_and(|account| account.code == name)
            }
            OauthScope::License => {
                matches!(&license.holder, Holder::Key(key) if key == name) || license.id.to_string() == name
            }
        };
        let licenses = || self.licenses.iter();
        for name in names.iter().filter(|name| !licenses().any(|license| belongs(license, name))) {
            let what = scope.as_str();
            entry.report(format!("`names` has {name:?}, which is no {what} of any license; correct the name"));
        }
        let own = licenses().filter(|license| names.iter().any(|name| belongs(license, name)));
        (scope != OauthScope::Company).then(|| own.map(|license| license.id).collect())
    }
}

/// Checks what the file says about access tokens.
pub(super) fn check_oauth(top: &Entry<'_>, url: Option<&String>, token_seconds: u32) {
    let is_url = |url: &String| url.starts_with("https://") || url.starts_with("http://");
    if url.is_some_and(|url| !is_url(url) || !url.bytes().all(|byte| byte.is_ascii_graphic())) {
        top.report("`oauth_url` must be a URL such as \"https://licenses.example.com/api/v4/oauth/token\"");
    }
    if token_seconds == 0 {
        top.report("`oauth_token_seconds` must be at least 1");
    }
}
