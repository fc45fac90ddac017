//! Reads the text of a catalogue file into a checked [`Catalogue`].

mod access;
mod licenses;
mod people;
mod pools;
mod products;
mod reader;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::catalogue::entry::{Entry, ErrorList};
use crate::catalogue::index::{Catalogue, ProductLicenses};
use crate::catalogue::types::{Holder, Product};
use access::check_oauth;
use products::bundle;
pub(crate) use reader::derived_id;
use reader::{Reader, References};

/// Lifetime of access tokens at the vendor's cloud.
const DEFAULT_OAUTH_TOKEN_SECONDS: u32 = 480;
/// The signature of schema 1 covers too little, and may be taken from a file of schema 2 or from a reply file.
const DEFAULT_MIN_OFFLINE_SCHEMA: u32 = 2;

/// All errors in a catalogue file, a sentence each.
#[derive(Debug)]
pub struct CatalogueErrors(pub Vec<String>);

impl fmt::Display for CatalogueErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for CatalogueErrors {}

/// Reads the text of a catalogue file.
///
/// # Errors
/// All errors in the file.
pub fn parse(text: &str) -> Result<Catalogue, CatalogueErrors> {
    read(table(text)?)
}

/// Parses the TOML of a catalogue file.
pub(crate) fn table(text: &str) -> Result<toml::Table, CatalogueErrors> {
    text.parse().map_err(|error| CatalogueErrors(vec![not_toml(text, &error)]))
}

/// Reads a catalogue from parsed TOML.
pub(crate) fn read(table: toml::Table) -> Result<Catalogue, CatalogueErrors> {
    let errors = ErrorList::default();
    let reader = Reader { errors: &errors, ids: HashSet::new(), licenses: Vec::new(), trial_entries: Vec::new() };
    let catalogue = reader.catalogue(Entry::new("top level", table, &errors));
    match errors.into_inner() {
        errors if errors.is_empty() => Ok(catalogue),
        errors => Err(CatalogueErrors(errors)),
    }
}

/// Describes place and cause of an error, without the line itself, which may hold a secret.
fn not_toml(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let (line, column) = (before.matches('\n').count() + 1, before.rsplit('\n').next().map_or(0, str::len) + 1);
    format!("line {line}, column {column}: invalid TOML: {}", error.message())
}

impl<'n> Reader<'n> {
    fn catalogue(mut self, mut top: Entry<'n>) -> Catalogue {
        let company_id = top.or("company_id", 1);
        let blacklisted: Vec<String> = top.or("blacklisted_hardware_ids", Vec::new());
        let api_keys = self.collect(top.tables("api_key", "key"), Reader::api_key);
        let oauth_clients = top.tables("oauth_client", "client_id");
        let (oauth_only, oauth_url) = (top.or("oauth_only", false), top.optional("oauth_url"));
        let oauth_token_seconds = top.or("oauth_token_seconds", DEFAULT_OAUTH_TOKEN_SECONDS);
        let min_offline_schema = top.or("min_offline_schema", DEFAULT_MIN_OFFLINE_SCHEMA);
        if !(1..=2).contains(&min_offline_schema) {
            top.report("`min_offline_schema` must be 1 or 2");
        }
        check_oauth(&top, oauth_url.as_ref(), oauth_token_seconds);
        let customer_accounts = self.collect(top.tables("customer_account", "code"), Reader::customer_account);
        let customers = self.collect(top.tables("customer", "email"), |reader: &mut Self, entry: &mut Entry<'n>| {
            reader.customer(entry, &customer_accounts)
        });
        let users = self.collect(top.tables("user", "username"), Reader::user);
        let products = self.collect(top.tables("product", "code"), Reader::product);
        let bundles =
            self.collect(top.tables("bundle", "code"), |_: &mut Self, entry: &mut Entry<'n>| bundle(entry, &products));
        let pools = top.tables("consumption_pool", "name");
        let pools = self.collect(pools, |reader: &mut Self, entry: &mut Entry<'n>| {
            reader.consumption_pool(entry, &customer_accounts)
        });
        let references = References { products, users, customers, pools };
        let mut products: HashMap<String, ProductLicenses> = references.products.iter().map(product_licenses).collect();
        let licenses: Vec<Entry<'_>> = top.tables("license", "license_key");
        top.finish();
        for (code, trial) in std::mem::take(&mut self.trial_entries) {
            self.trial_policy(&code, trial, &references, &mut products);
        }
        for entry in licenses {
            self.license(entry, &references, &mut products);
        }
        let oauth_clients = self.collect(oauth_clients, Reader::oauth_client);
        let of_api_keys = api_keys.values().map(|key| ("api_key", &key.key, &key.products));
        let of_clients = oauth_clients.values().map(|client| ("oauth_client", &client.client_id, &client.products));
        for (table, name, codes) in of_api_keys.chain(of_clients) {
            self.check_products(table, name, codes.as_deref(), &references.products);
        }
        for account in customer_accounts.values() {
            self.check_tokens(account, &references.users);
        }
        let with_key = self.licenses.iter().filter(|license| matches!(license.holder, Holder::Key(_)));
        let users = self.licenses.iter().flat_map(|license| match &license.holder {
            Holder::Key(_) => Vec::new(),
            Holder::Users(users) => users.iter().map(|user| (license.id, user.id)).collect(),
        });
        Catalogue {
            users_of_licenses: users.collect(),
            licenses_with_key: with_key.map(|license| license.id).collect(),
            company_id,
            oauth_only,
            oauth_url,
            oauth_token_seconds,
            min_offline_schema,
            products,
            bundles,
            api_keys,
            oauth_clients,
            customer_accounts,
            customers: references.customers,
            consumption_pools: references.pools.into_values().map(|pool| (pool.id, pool)).collect(),
            users: references.users,
            blacklisted_hardware_ids: blacklisted.into_iter().collect(),
            license_ids: self.licenses.iter().map(|license| license.id).collect(),
            licenses: self.licenses,
        }
    }
}

fn product_licenses((code, product): (&String, &Arc<Product>)) -> (String, ProductLicenses) {
    (code.clone(), ProductLicenses::new(Arc::clone(product)))
}
