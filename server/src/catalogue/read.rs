//! Reads the text of a catalogue file into a checked [`Catalogue`].

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::entry::{Entry, ErrorList};
use super::index::{Catalogue, ProductLicenses};
use super::password::{Password, wrong_hash};
use super::single_sign_on::{KeySource, SingleSignOn, TokenRules};
use super::types::{
    AccountLabel, ApiKey, AuthorizationMethod, Bundle, Consumption, CustomField, Customer, CustomerAccount,
    Environment, Feature, Floating, Holder, LONGEST_TEXT_BYTES, LONGEST_TOKEN_BYTES, License, LicenseType, OauthClient,
    OauthScope, Overages, Product, ProductField, ProductStatus, SecretDigest, TrialPolicy, User, Version,
};

const DEFAULT_FLOATING_TIMEOUT_MINUTES: u32 = 120;
/// Number of trials of a policy that names none, because anyone with an API key can ask for trials.
const DEFAULT_MAX_TRIALS: u64 = 10_000;
/// Upper bound for a trial, so that no date overflows.
const MAX_TRIAL_DAYS: u32 = 3650;
/// Lifetime of access tokens at the vendor's cloud.
const DEFAULT_OAUTH_TOKEN_SECONDS: u32 = 480;
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
/// Upper bound for a borrow: a hundred years, so that no date overflows.
const MAX_BORROW_TIME_HOURS: u32 = 876_600;

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

struct Reader<'n> {
    errors: &'n ErrorList,
    /// The numbers of the entries so far. Two entries of the same number would share their slots.
    ids: HashSet<u64>,
    licenses: Vec<Arc<License>>,
    /// The terms of each product's trials, which refer to the product, with its code.
    trial_entries: Vec<(String, TrialEntry<'n>)>,
}

/// The terms of trials, of which the license's part is not read yet.
struct TrialEntry<'n> {
    policy: String,
    days: u32,
    closed: bool,
    email_required: bool,
    max_trials: u64,
    entry: Entry<'n>,
}

/// The entries that licenses refer to by name.
struct References {
    products: HashMap<String, Arc<Product>>,
    users: HashMap<String, Arc<User>>,
    customers: HashMap<String, Arc<Customer>>,
}

impl<'n> Reader<'n> {
    fn catalogue(mut self, mut top: Entry<'n>) -> Catalogue {
        let company_id = top.or("company_id", 1);
        let blacklisted: Vec<String> = top.or("blacklisted_hardware_ids", Vec::new());
        let api_keys = self.collect(top.tables("api_key", "key"), Reader::api_key);
        let oauth_clients = top.tables("oauth_client", "client_id");
        let (oauth_only, oauth_url) = (top.or("oauth_only", false), top.optional("oauth_url"));
        let oauth_token_seconds = top.or("oauth_token_seconds", DEFAULT_OAUTH_TOKEN_SECONDS);
        check_oauth(&top, oauth_url.as_ref(), oauth_token_seconds);
        let customer_accounts = self.collect(top.tables("customer_account", "code"), Reader::customer_account);
        let customers = self.collect(top.tables("customer", "email"), |reader: &mut Self, entry: &mut Entry<'n>| {
            reader.customer(entry, &customer_accounts)
        });
        let users = self.collect(top.tables("user", "username"), Reader::user);
        let products = self.collect(top.tables("product", "code"), Reader::product);
        let bundles =
            self.collect(top.tables("bundle", "code"), |_: &mut Self, entry: &mut Entry<'n>| bundle(entry, &products));
        let references = References { products, users, customers };
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
            products,
            bundles,
            api_keys,
            oauth_clients,
            customer_accounts,
            customers: references.customers,
            users: references.users,
            blacklisted_hardware_ids: blacklisted.into_iter().collect(),
            license_ids: self.licenses.iter().map(|license| license.id).collect(),
            licenses: self.licenses,
        }
    }

    /// Reads entries that are referred to by name. No two may have the same name.
    fn collect<T>(
        &mut self,
        entries: Vec<Entry<'n>>,
        read: impl Fn(&mut Self, &mut Entry<'n>) -> (String, T),
    ) -> HashMap<String, T> {
        let mut named = HashMap::new();
        for mut entry in entries {
            let (name, value) = read(self, &mut entry);
            if named.insert(name, value).is_some() {
                entry.report("is given twice; remove one");
            }
            entry.finish();
        }
        named
    }

    /// Returns the entry's number: its `id`, or one that is derived from its name.
    fn id(&mut self, entry: &mut Entry<'_>, parts: &[&str]) -> u64 {
        let id = entry.optional("id").unwrap_or_else(|| derived_id(parts));
        if id == 0 {
            entry.report("`id` must be at least 1");
        }
        if !self.ids.insert(id) {
            entry.report(format!("`id` {id} is taken by another entry; give it one of its own"));
        }
        id
    }

    fn api_key(&mut self, entry: &mut Entry<'_>) -> (String, ApiKey) {
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

    fn check_products(
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
    fn oauth_client(&mut self, entry: &mut Entry<'_>) -> (String, OauthClient) {
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
            secret: SecretDigest::of(&secret),
            previous_secret: previous.as_deref().map(SecretDigest::of).zip(until),
            licenses: self.licenses_in_scope(entry, scope.unwrap_or(OauthScope::Company), &names).map(Arc::new),
            read_only: entry.or("read_only", false),
            revoked: entry.or("revoked", false),
            products: entry.optional("products"),
        };
        (client_id, client)
    }

    /// Returns the numbers of the licenses that belong to these owners; `None` for all licenses.
    fn licenses_in_scope(&self, entry: &Entry<'_>, scope: OauthScope, names: &[String]) -> Option<HashSet<u64>> {
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

    fn customer_account(&mut self, entry: &mut Entry<'_>) -> (String, CustomerAccount) {
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
    fn check_tokens(&self, account: &CustomerAccount, users: &HashMap<String, Arc<User>>) {
        for (key, tokens) in [("id_tokens", &account.id_tokens), ("codes", &account.codes)] {
            for username in tokens.values().filter(|username| !users.contains_key(*username)) {
                let code = &account.label.code;
                let error = format!("customer_account {code:?}: {}", unknown_name(key, username, "user"));
                self.errors.borrow_mut().push(error);
            }
        }
    }

    fn customer(
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
        let mut text = |key| entry.or(key, String::new());
        let customer = Customer {
            email: email.clone(),
            company_name: text("company_name"),
            reference: text("reference"),
            phone: text("phone"),
            first_name: text("first_name"),
            last_name: text("last_name"),
            city: text("city"),
            postcode: text("postcode"),
            state: text("state"),
            country: text("country"),
            address: text("address"),
            customer_account: account.map(|account| account.label.clone()),
            metadata: entry.optional("metadata").unwrap_or_default(),
        };
        (email, Arc::new(customer))
    }

    fn user(&mut self, entry: &mut Entry<'_>) -> (String, Arc<User>) {
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

    fn product(&mut self, entry: &mut Entry<'n>) -> (String, Arc<Product>) {
        let code = entry.name("code");
        let trial_days = self.trials(entry, &code);
        let product = Product {
            id: self.id(entry, &["product", &code]),
            name: entry.or("name", code.clone()),
            authorization_method: entry.or("authorization_method", AuthorizationMethod::LicenseKey),
            status: entry.or("status", ProductStatus::Enabled),
            floating_timeout_minutes: entry.or("floating_timeout_minutes", DEFAULT_FLOATING_TIMEOUT_MINUTES),
            prevent_vm: entry.or("prevent_vm", false),
            trial_days,
            versions: self.versions(entry, &code),
            custom_fields: self.product_fields(entry, &code),
            metadata: entry.optional("metadata").unwrap_or_default(),
            code: code.clone(),
        };
        (code, Arc::new(product))
    }

    /// Reads what is special about the terms of the product's trials. Returns the length of those that come first.
    fn trials(&mut self, entry: &mut Entry<'n>, product: &str) -> Option<u32> {
        let mut first = None;
        for mut entry in entry.tables("trial", "policy") {
            let days: u32 = entry.required("days");
            if !(1..=MAX_TRIAL_DAYS).contains(&days) {
                entry.report(format!("`days` must be from 1 to {MAX_TRIAL_DAYS}"));
            }
            let policy = entry.or("policy", String::new());
            if self.trial_entries.iter().any(|(code, other)| code == product && other.policy == policy) {
                entry.report("is given twice; remove one, or give it a `policy` of its own");
            }
            let (closed, email_required) = (entry.or("closed", false), entry.or("email_required", false));
            first = first.or((!closed).then_some(days));
            let max_trials = entry.or("max_trials", DEFAULT_MAX_TRIALS);
            let trial = TrialEntry { policy, days, closed, email_required, max_trials, entry };
            self.trial_entries.push((product.to_owned(), trial));
        }
        first
    }

    /// Reads the terms of trials that licenses have too.
    fn trial_policy(
        &mut self,
        code: &str,
        trial: TrialEntry<'_>,
        references: &References,
        products: &mut HashMap<String, ProductLicenses>,
    ) {
        let TrialEntry { policy, days, closed, email_required, max_trials, mut entry } = trial;
        let Some(product) = references.products.get(code) else { return };
        entry.title = format!("product {code:?}, {}", entry.title);
        if product.authorization_method == AuthorizationMethod::User {
            entry.report("trials are for products whose licenses are named by a key");
        }
        let id = derived_id(&["trial_policy", code, &policy]);
        let terms = self.terms(&mut entry, product, references, id, Holder::Key(String::new()));
        let terms = License { is_trial: true, trial_days: days, license_type: trial_type(&terms), ..terms };
        entry.finish();
        if let Some(product) = products.get_mut(code) {
            product.trial_policies.push(TrialPolicy { policy, days, closed, email_required, max_trials, terms });
        }
    }

    /// Reads the product's releases, sorted by their dates; or its `version` alone, without a file.
    fn versions(&mut self, entry: &mut Entry<'_>, product: &str) -> Vec<Arc<Version>> {
        let releases = entry.tables("release", "version");
        let newest: Option<String> = entry.optional("version");
        if newest.is_some() && !releases.is_empty() {
            entry.report("`version` and `release` exclude each other: the newest release is the newest version");
        }
        let mut versions: Vec<Version> = Vec::new();
        for mut release in releases {
            let version = self.release(&mut release, product);
            if versions.iter().any(|other| other.is_same_release(&version)) {
                release.report("is given twice for its `environment` and `channel`; remove one");
            }
            versions.push(version);
            release.finish();
        }
        if let Some(newest) = newest.filter(|newest| !newest.is_empty()) {
            versions.push(Version { version: newest, ..Version::without_file(derived_id(&["version", product])) });
        }
        versions.sort_by_key(|version| version.release_date);
        versions.into_iter().map(Arc::new).collect()
    }

    fn release(&mut self, entry: &mut Entry<'_>, product: &str) -> Version {
        let version = entry.name("version");
        let (environment, channel) = (entry.optional::<Environment>("environment"), entry.or("channel", String::new()));
        let parts = ["release", product, &version, environment.map_or("", Environment::as_str), &channel];
        let release_date = entry.optional("release_date");
        if release_date.is_none() {
            entry.report("`release_date` is missing or invalid: it decides which release is the newest");
        }
        Version {
            id: self.id(entry, &parts),
            version,
            release_date,
            environment,
            channel,
            installation_file: entry.required("installation_file"),
            hash_md5: entry.or("hash_md5", String::new()),
            size: entry.optional("size"),
            requires_version: entry.optional("requires_version"),
            eula_link: entry.or("eula_link", String::new()),
            release_notes_link: entry.or("release_notes_link", String::new()),
        }
    }

    fn product_fields(&mut self, entry: &mut Entry<'_>, product: &str) -> Vec<ProductField> {
        let mut fields: Vec<ProductField> = Vec::new();
        for mut entry in entry.tables("custom_field", "name") {
            let name = entry.name("name");
            if fields.iter().any(|other| other.name == name) {
                entry.report("is given twice; remove one");
                continue;
            }
            let id = self.id(&mut entry, &["product_field", product, &name]);
            fields.push(ProductField { id, name, default_value: entry.or("default_value", String::new()) });
            entry.finish();
        }
        fields
    }

    fn license(
        &mut self,
        mut entry: Entry<'_>,
        references: &References,
        products: &mut HashMap<String, ProductLicenses>,
    ) {
        let code: String = entry.required("product");
        let Some(product) = references.products.get(&code) else {
            return entry.report(unknown_name("product", &code, "product"));
        };
        let Some((holder, name)) = holder(&mut entry, product, &references.users) else { return };
        if matches!(&holder, Holder::Users(users) if users.len() > 1) && !entry.has("id") {
            entry.report("`id` is missing: a license of several users needs a number, to stay the same when its first user leaves");
        }
        let id = self.id(&mut entry, &["license", &code, &name]);
        let license = self.terms(&mut entry, product, references, id, holder);
        check_license(&entry, &license);
        let license = Arc::new(license);
        self.licenses.push(Arc::clone(&license));
        if let Some(product) = products.get_mut(&code) {
            add_license(product, license, &entry);
        }
        entry.finish();
    }

    /// Reads all of a license but its name.
    fn terms(
        &mut self,
        entry: &mut Entry<'_>,
        product: &Arc<Product>,
        references: &References,
        id: u64,
        holder: Holder,
    ) -> License {
        let floating = floating(entry, product);
        let consumption = consumption(entry);
        let license_type = entry
            .or("license_type", if consumption.is_some() { LicenseType::Consumption } else { LicenseType::Perpetual });
        License {
            id,
            product: Arc::clone(product),
            license_type,
            active: entry.or("active", true),
            enabled: entry.or("enabled", true),
            is_trial: entry.or("is_trial", false),
            trial_days: entry.optional("trial_days").or(product.trial_days).unwrap_or_default(),
            start_date: entry.optional("start_date"),
            validity_period: entry.optional("validity_period"),
            maintenance_period: entry.optional("maintenance_period"),
            grace_period_hours: entry.or("grace_period_hours", 0),
            max_activations: entry.or("max_activations", 1),
            allow_unlimited_activations: entry.or("allow_unlimited_activations", false),
            max_transfers: entry.or("max_transfers", 0),
            prevent_vm: entry.or("prevent_vm", product.prevent_vm),
            order_store_id: entry.or("order_store_id", String::new()),
            customer: customer(entry, &references.customers),
            custom_fields: custom_fields(entry),
            metadata: entry.optional("metadata").unwrap_or_default(),
            features: self.features(entry, product, id),
            floating,
            consumption,
            holder,
        }
    }

    fn features(&mut self, entry: &mut Entry<'_>, product: &Product, license_id: u64) -> Vec<Arc<Feature>> {
        let title = entry.title.clone();
        let mut features: Vec<Arc<Feature>> = Vec::new();
        for mut entry in entry.tables("feature", "code") {
            entry.title = format!("{title}, {}", entry.title);
            let code = entry.name("code");
            if features.iter().any(|other| *other.code == *code) {
                entry.report("is given twice; remove one");
                continue;
            }
            features.push(Arc::new(Feature {
                id: self.id(&mut entry, &["feature", &license_id.to_string(), &code]),
                name: entry.or("name", code.clone()),
                expiry_date: entry.optional("expiry_date"),
                floating: floating(&mut entry, product),
                consumption: consumption(&mut entry),
                metadata: entry.optional("metadata").unwrap_or_default(),
                code: code.into(),
            }));
            entry.finish();
        }
        features
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

/// Checks what the file says about access tokens.
fn check_oauth(top: &Entry<'_>, url: Option<&String>, token_seconds: u32) {
    let is_url = |url: &String| url.starts_with("https://") || url.starts_with("http://");
    if url.is_some_and(|url| !is_url(url) || !url.bytes().all(|byte| byte.is_ascii_graphic())) {
        top.report("`oauth_url` must be a URL such as \"https://licenses.example.com/api/v4/oauth/token\"");
    }
    if token_seconds == 0 {
        top.report("`oauth_token_seconds` must be at least 1");
    }
}

/// Returns the error about a name that no entry of a table has.
fn unknown_name(key: &str, name: &str, table: &str) -> String {
    format!("`{key}` names {name:?}, which no [[{table}]] has; add one, or correct the name")
}

fn bundle(entry: &mut Entry<'_>, products: &HashMap<String, Arc<Product>>) -> (String, Bundle) {
    let code = entry.name("code");
    let members: Vec<String> = entry.required("products");
    if products.contains_key(&code) {
        entry.report("has the `code` of a product; give it one of its own");
    }
    if members.iter().collect::<HashSet<_>>().len() < members.len() {
        entry.report("`products` names a product twice; remove one");
    }
    if members.is_empty() {
        entry.report("`products` is empty: name at least one product");
    }
    for unknown in members.iter().filter(|product| !products.contains_key(*product)) {
        entry.report(unknown_name("products", unknown, "product"));
    }
    (code.clone(), Bundle { code, products: members })
}

/// Returns the holder of the license, and the name that the license's number is derived from.
fn holder(entry: &mut Entry<'_>, product: &Product, users: &HashMap<String, Arc<User>>) -> Option<(Holder, String)> {
    match product.authorization_method {
        AuthorizationMethod::LicenseKey => {
            let key = entry.name("license_key");
            Some((Holder::Key(key.clone()), key))
        }
        AuthorizationMethod::User => {
            let names: Vec<String> = entry.required("users");
            for unknown in names.iter().filter(|name| !users.contains_key(*name)) {
                entry.report(unknown_name("users", unknown, "user"));
            }
            let Some(first) = names.first().cloned() else {
                entry.report("`users` is empty: name at least one user");
                return None;
            };
            Some((Holder::Users(names.iter().filter_map(|name| users.get(name).cloned()).collect()), first))
        }
    }
}

/// Returns the type of a trial's license: it ends in any case.
fn trial_type(terms: &License) -> LicenseType {
    if terms.consumption.is_some() { LicenseType::Consumption } else { LicenseType::TimeLimited }
}

fn floating(entry: &mut Entry<'_>, product: &Product) -> Option<Floating> {
    let mut entry = entry.table("floating")?;
    let floating = Floating {
        users: entry.required("users"),
        timeout_minutes: entry.or("timeout_minutes", product.floating_timeout_minutes),
        can_borrow: entry.or("can_borrow", false),
        max_borrow_time_hours: entry.or("max_borrow_time_hours", 0),
    };
    if floating.timeout_minutes == 0 {
        entry.report("`timeout_minutes` must be at least 1");
    }
    if floating.can_borrow && !(1..=MAX_BORROW_TIME_HOURS).contains(&floating.max_borrow_time_hours) {
        entry.report(format!(
            "`max_borrow_time_hours` must be from 1 to {MAX_BORROW_TIME_HOURS} where `can_borrow` is true"
        ));
    }
    entry.finish();
    Some(floating)
}

fn consumption(entry: &mut Entry<'_>) -> Option<Consumption> {
    let mut entry = entry.table("consumption")?;
    let unlimited = entry.or("allow_unlimited_consumptions", false);
    let consumption = Consumption {
        unlimited,
        max: if unlimited { entry.or("max_consumptions", 0) } else { entry.required("max_consumptions") },
        allow_negative: entry.or("allow_negative_consumptions", false),
        overages: Overages { allowed: entry.or("allow_overages", false), max: entry.or("max_overages", 0) },
        period: entry.optional("consumption_period"),
    };
    if consumption.max < 0 || consumption.overages.max < 0 {
        entry.report("`max_consumptions` and `max_overages` must not be negative");
    }
    entry.finish();
    Some(consumption)
}

fn customer(entry: &mut Entry<'_>, customers: &HashMap<String, Arc<Customer>>) -> Arc<Customer> {
    let Some(email) = entry.optional::<String>("customer") else { return Arc::default() };
    customers.get(&email).cloned().unwrap_or_else(|| {
        entry.report(unknown_name("customer", &email, "customer"));
        Arc::default()
    })
}

fn custom_fields(entry: &mut Entry<'_>) -> Vec<CustomField> {
    let read = |mut entry: Entry<'_>| {
        let field = CustomField {
            name: entry.required("name"),
            data_type: entry.optional("data_type"),
            value: entry.required("value"),
        };
        entry.finish();
        field
    };
    entry.tables("custom_field", "name").into_iter().map(read).collect()
}

/// Checks what depends on several keys.
fn check_license(entry: &Entry<'_>, license: &License) {
    if (license.license_type == LicenseType::Consumption) != license.consumption.is_some() {
        entry.report("a license has a `consumption` table if, and only if, its `license_type` is \"consumption\"");
    }
    let slots = license.floating.as_ref().map_or(0, |floating| u64::from(floating.users));
    if slots > license.max_activations && !license.allow_unlimited_activations {
        entry.report(format!(
            "`floating` has {slots} users, but only {} devices may be activated: raise `max_activations`, or set \
             `allow_unlimited_activations = true`",
            license.max_activations
        ));
    }
    if license.license_type == LicenseType::TimeLimited && license.validity_period.is_none() {
        entry.report("`validity_period` is missing: a time-limited license needs an end");
    }
    if license.ends_at().zip(license.start_date).is_some_and(|(end, start)| end <= start) {
        entry.report("`validity_period` must be later than `start_date`");
    }
}

fn add_license(product: &mut ProductLicenses, license: Arc<License>, entry: &Entry<'_>) {
    match &license.holder {
        Holder::Key(key) => {
            if product.by_key.insert(key.clone(), Arc::clone(&license)).is_some() {
                entry.report("this `license_key` is given twice for its product; remove one");
            }
        }
        Holder::Users(users) => {
            for user in users {
                product.by_username.entry(user.username.clone()).or_default().push(Arc::clone(&license));
            }
        }
    }
}

fn product_licenses((code, product): (&String, &Arc<Product>)) -> (String, ProductLicenses) {
    (code.clone(), ProductLicenses::new(Arc::clone(product)))
}

/// Derives a number of 16 digits, below 2^53, from names.
pub(crate) fn derived_id(parts: &[&str]) -> u64 {
    let digest = digest(&SHA256, parts.join("\u{1f}").as_bytes());
    let number = digest.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    1_000_000_000_000_000 + number % 8_000_000_000_000_000
}
