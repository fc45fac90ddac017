//! The checked catalogue, and the indexes by which requests find a license.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::api_client::{ApiKey, OauthClient};
use super::types::{
    Bundle, ConsumptionPool, Customer, CustomerAccount, Feature, License, Product, Trial, TrialPolicy, User,
};

/// The checked contents of a catalogue file, with indexes.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// The `company.id` of every reply.
    pub company_id: u64,
    /// True if API keys are refused, so that clients need access tokens.
    pub oauth_only: bool,
    /// The address of the token endpoint as other machines reach it; `None` if that is the server's own.
    pub oauth_url: Option<String>,
    /// Lifetime of an access token.
    pub oauth_token_seconds: u32,
    /// The oldest schema of the request files of offline activation that is accepted.
    pub min_offline_schema: u32,
    pub(super) products: HashMap<String, ProductLicenses>,
    pub(super) bundles: HashMap<String, Bundle>,
    pub(super) api_keys: HashMap<String, ApiKey>,
    pub(super) oauth_clients: HashMap<String, OauthClient>,
    pub(super) customer_accounts: HashMap<String, CustomerAccount>,
    pub(super) customers: HashMap<String, Arc<Customer>>,
    /// By number.
    pub(super) consumption_pools: HashMap<u64, Arc<ConsumptionPool>>,
    pub(super) users: HashMap<String, Arc<User>>,
    pub(super) blacklisted_hardware_ids: HashSet<String>,
    /// All licenses, in the order of the file.
    pub(super) licenses: Vec<Arc<License>>,
    pub(super) license_ids: HashSet<u64>,
    /// Pairs of a license's and a user's number, for the users of each license.
    pub(super) users_of_licenses: HashSet<(u64, u64)>,
    /// Numbers of the licenses that are named by a key.
    pub(super) licenses_with_key: HashSet<u64>,
}

/// A product and its licenses.
#[derive(Debug, Clone)]
pub(super) struct ProductLicenses {
    pub(super) product: Arc<Product>,
    /// The terms of its trials. The first are those of requests that name none.
    pub(super) trial_policies: Vec<TrialPolicy>,
    pub(super) by_key: HashMap<String, Arc<License>>,
    /// The licenses of each user, in the order of the file. The last one is the newest.
    pub(super) by_username: HashMap<String, Vec<Arc<License>>>,
}

impl Catalogue {
    /// Returns the product with this short code.
    pub fn product(&self, code: &str) -> Option<&Arc<Product>> {
        self.products.get(code).map(|product| &product.product)
    }

    /// Returns the bundle with this code.
    pub fn bundle(&self, code: &str) -> Option<&Bundle> {
        self.bundles.get(code)
    }

    /// Returns every product.
    pub fn products(&self) -> impl Iterator<Item = &Product> {
        self.products.values().map(|product| product.product.as_ref())
    }

    /// Returns the license of `product` with this key.
    pub fn license_with_key(&self, product: &str, key: &str) -> Option<&Arc<License>> {
        self.products.get(product)?.by_key.get(key)
    }

    /// Returns the licenses of `product` that `username` may use, newest first.
    pub fn licenses_of_user(&self, product: &str, username: &str) -> impl Iterator<Item = &Arc<License>> {
        let licenses = self.products.get(product).and_then(|product| product.by_username.get(username));
        licenses.into_iter().flatten().rev()
    }

    /// Returns the product's terms for trials of this name; without a name, the first that are not closed.
    pub fn trial_policy(&self, product: &str, policy: Option<&str>) -> Option<&TrialPolicy> {
        let policies = &self.products.get(product)?.trial_policies;
        let is_meant = |known: &&TrialPolicy| policy.map_or(!known.closed, |policy| known.policy == policy);
        policies.iter().find(is_meant)
    }

    /// Adds the license of a trial that was given, unless its product or its terms are gone, or it is there already.
    pub fn add_trial(&mut self, trial: &Trial) {
        let Some(policy) = self.trial_policy(&trial.product, Some(&trial.policy)) else { return };
        if self.license_ids.contains(&trial.license_id) {
            return;
        }
        let license = Arc::new(policy.license(trial));
        if let Some(product) = self.products.get_mut(&trial.product) {
            product.by_key.insert(trial.license_key.clone(), Arc::clone(&license));
            self.license_ids.insert(license.id);
            self.licenses_with_key.insert(license.id);
            self.licenses.push(license);
        }
    }

    /// Returns the API key of this name, even if it is revoked.
    pub fn api_key(&self, key: &str) -> Option<&ApiKey> {
        self.api_keys.get(key)
    }

    /// Returns every API key.
    pub fn api_keys(&self) -> impl Iterator<Item = &ApiKey> {
        self.api_keys.values()
    }

    /// Adds an API key that is not in the file.
    pub fn add_api_key(&mut self, api_key: ApiKey) {
        self.api_keys.insert(api_key.key.clone(), api_key);
    }

    /// Returns the OAuth client of this name, even if it is revoked.
    pub fn oauth_client(&self, client_id: &str) -> Option<&OauthClient> {
        self.oauth_clients.get(client_id)
    }

    /// Returns every OAuth client.
    pub fn oauth_clients(&self) -> impl Iterator<Item = &OauthClient> {
        self.oauth_clients.values()
    }

    /// Adds an OAuth client that is not in the file.
    pub fn add_oauth_client(&mut self, client: OauthClient) {
        self.oauth_clients.insert(client.client_id.clone(), client);
    }

    /// Returns the customer account with this code.
    pub fn customer_account(&self, code: &str) -> Option<&CustomerAccount> {
        self.customer_accounts.get(code)
    }

    /// Returns every customer account.
    pub fn customer_accounts(&self) -> impl Iterator<Item = &CustomerAccount> {
        self.customer_accounts.values()
    }

    /// Returns the consumption pool with this number.
    pub fn consumption_pool(&self, id: u64) -> Option<&Arc<ConsumptionPool>> {
        self.consumption_pools.get(&id)
    }

    /// Returns every consumption pool.
    pub fn consumption_pools(&self) -> impl Iterator<Item = &Arc<ConsumptionPool>> {
        self.consumption_pools.values()
    }

    /// Returns the customer with this e-mail address.
    pub fn customer(&self, email: &str) -> Option<&Arc<Customer>> {
        self.customers.get(email)
    }

    /// Returns the user of this name.
    pub fn user(&self, username: &str) -> Option<&Arc<User>> {
        self.users.get(username)
    }

    /// Returns every user.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// Returns whether there is an API key or an OAuth client that may sign in.
    pub fn has_clients(&self) -> bool {
        !self.oauth_clients.is_empty() || !self.api_keys.is_empty() && !self.oauth_only
    }

    /// Returns whether a license has this number.
    pub fn has_license(&self, license_id: u64) -> bool {
        self.license_ids.contains(&license_id)
    }

    /// Returns whether the user may use the license.
    pub fn is_user_of_license(&self, license_id: u64, user_id: u64) -> bool {
        self.users_of_licenses.contains(&(license_id, user_id))
    }

    /// Returns whether a device that this user activated can still send requests about the license.
    ///
    /// A license with a key is reachable for every device, whichever user activated it.
    pub fn is_reachable(&self, license_id: u64, user_id: Option<u64>) -> bool {
        let by_user =
            |user_id| self.is_user_of_license(license_id, user_id) || self.licenses_with_key.contains(&license_id);
        self.has_license(license_id) && user_id.is_none_or(by_user)
    }

    /// Returns every license, in the order of the file.
    pub fn licenses(&self) -> &[Arc<License>] {
        &self.licenses
    }

    /// Returns every license, each followed by its features. Each of them can have slots and consumption of its own.
    pub fn entitlements(&self) -> impl Iterator<Item = (&License, Option<&Feature>)> {
        self.licenses.iter().flat_map(|license| {
            let features = license.features.iter().map(|feature| Some(feature.as_ref()));
            std::iter::once(None).chain(features).map(|feature| (license.as_ref(), feature))
        })
    }

    /// Returns whether this device is blacklisted.
    pub fn is_blacklisted(&self, hardware_id: &str) -> bool {
        self.blacklisted_hardware_ids.contains(hardware_id)
    }

    /// Returns a line for people that counts the entries.
    pub fn summary(&self) -> String {
        format!(
            "products: {}, licenses: {}, API keys: {}, OAuth clients: {}, customer accounts: {}, blacklisted devices: {}",
            self.products.len(),
            self.licenses.len(),
            self.api_keys.len(),
            self.oauth_clients.len(),
            self.customer_accounts.len(),
            self.blacklisted_hardware_ids.len()
        )
    }
}

impl ProductLicenses {
    pub(super) fn new(product: Arc<Product>) -> ProductLicenses {
        ProductLicenses { product, trial_policies: Vec::new(), by_key: HashMap::new(), by_username: HashMap::new() }
    }
}
