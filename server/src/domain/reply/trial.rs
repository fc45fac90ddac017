//! Trials as JSON.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::Company;
use super::product::ListedFeature;
use crate::catalogue::{CustomField, License, LicenseType};

// The reply to `trial_key`. A device that has a trial already gets the first members alone.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Trial")]
pub(super) struct TrialBody<'a> {
    license_type: LicenseType,
    is_trial: bool,
    license: &'a str,
    #[serde(flatten)]
    new: Option<NewTrial<'a>>,
}

// The reference has milliseconds here, and names of two members in another case.
#[derive(Serialize, JsonSchema)]
struct NewTrial<'a> {
    id: u64,
    order_id: Option<u64>,
    product_id: u64,
    created_at: i64,
    updated_at: i64,
    times_activated: u64,
    active: bool,
    enabled: bool,
    trial_days: u32,
    max_activations: u64,
    max_transfers: u64,
    is_floating: bool,
    is_floating_cloud: bool,
    #[serde(rename = "LicenseProductFeatures")]
    features: Vec<ListedFeature<'a>>,
    #[serde(rename = "LicenseCustomFields")]
    custom_fields: &'a [CustomField],
    company: Company,
    license_key: &'a str,
}

impl<'a> TrialBody<'a> {
    pub(super) fn new(license: &'a License, issued_at: Option<DateTime<Utc>>, company: Company) -> TrialBody<'a> {
        TrialBody {
            license_type: license.license_type,
            is_trial: true,
            license: license.name(),
            new: issued_at.map(|issued_at| NewTrial::new(license, issued_at, company)),
        }
    }
}

impl<'a> NewTrial<'a> {
    fn new(license: &'a License, issued_at: DateTime<Utc>, company: Company) -> NewTrial<'a> {
        NewTrial {
            id: license.id,
            order_id: None,
            product_id: license.product.id,
            created_at: issued_at.timestamp_millis(),
            updated_at: issued_at.timestamp_millis(),
            times_activated: 0,
            active: license.active,
            enabled: license.enabled,
            trial_days: license.trial_days,
            max_activations: license.max_activations,
            max_transfers: license.max_transfers,
            is_floating: false,
            is_floating_cloud: license.floating.is_some(),
            features: license.features.iter().map(|feature| ListedFeature::of(feature)).collect(),
            custom_fields: &license.custom_fields,
            company,
            license_key: license.name(),
        }
    }
}
