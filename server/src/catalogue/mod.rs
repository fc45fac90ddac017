//! The catalogue: which licenses there are, and which clients may ask for them.
//!
//! It comes from a TOML file and never changes while the server runs. Devices, slots and consumption change; they live in
//! [`crate::domain`].

mod entry;
mod index;
mod metadata;
mod read;
mod types;

pub use index::Catalogue;
pub(crate) use metadata::MAX_SAFE_INTEGER;
pub use read::{CatalogueErrors, parse};
pub(crate) use read::{read, table};
pub use types::{
    AccountLabel, ApiKey, AuthorizationMethod, Consumption, CustomField, Customer, CustomerAccount, Feature, Floating,
    Holder, License, LicenseType, OauthClient, OauthScope, Overages, Period, Product, ProductStatus, SecretDigest,
    User,
};
pub(crate) use types::{LONGEST_TEXT_BYTES, LONGEST_TOKEN_BYTES};
