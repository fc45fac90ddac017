//! The catalogue: which licenses there are, and which clients may ask for them.
//!
//! It comes from a TOML file and never changes while the server runs. Devices, slots and consumption change; they live in
//! [`crate::domain`].

mod api_client;
mod entry;
mod index;
mod metadata;
mod password;
mod read;
mod single_sign_on;
mod types;

pub use api_client::{ApiKey, ClientSecret, OauthClient, OauthScope};
pub use index::Catalogue;
pub(crate) use metadata::MAX_SAFE_INTEGER;
pub use password::{HashError, Password, compare_with_nobodys, hash as hash_password};
pub use read::{CatalogueErrors, parse};
pub(crate) use read::{derived_id, read, table};
pub use single_sign_on::{KeySource, SingleSignOn, TokenRules};
pub use types::{
    AccountLabel, AuthorizationMethod, Bundle, Consumption, ConsumptionPool, CustomField, Customer, CustomerAccount,
    Environment, Feature, Floating, Holder, License, LicenseType, Overages, Period, PoolKind, Product, ProductField,
    ProductStatus, Trial, TrialPolicy, User, Version, VersionFilter,
};
pub(crate) use types::{LONGEST_TEXT_BYTES, LONGEST_TOKEN_BYTES};
