//! Products as JSON: the reply of `product_details`, and the product in a license's reply.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::feature::FeatureType;
use super::version::LatestVersion;
use super::{Body, Company, Iso};
use crate::catalogue::{AuthorizationMethod, Catalogue, Feature, Product, ProductField, VersionFilter};

/// Makes the reply of `product_details`, which depends on the catalogue alone.
///
/// # Errors
/// None at present, since every type in it can be written as JSON.
pub fn product_details(
    catalogue: &Catalogue,
    product: &Product,
    wanted: &VersionFilter,
    include_latest_version: bool,
    include_custom_fields: bool,
) -> serde_json::Result<Body> {
    let latest_version = product.versions(wanted).next().map(|version| LatestVersion::of(product, version));
    let body = ProductReply {
        product: ProductBody::new(product, ProductPart::new(product)),
        company: Company { id: catalogue.company_id },
        latest_version: include_latest_version.then_some(latest_version),
        custom_fields: include_custom_fields.then_some(&product.custom_fields),
    };
    serde_json::to_vec(&body).map(Body::Json)
}

/// Makes the reply of `products`: each product with the features that licenses of it have.
///
/// # Errors
/// None at present, since every type in it can be written as JSON.
pub fn products<'a>(catalogue: &Catalogue, products: impl Iterator<Item = &'a Product>) -> serde_json::Result<Body> {
    let listed = products.map(|product| ListedProduct {
        product: ProductBody::new(product, ProductPart::new(product)),
        company: Company { id: catalogue.company_id },
        features: features(catalogue, product),
    });
    serde_json::to_vec(&listed.collect::<Vec<_>>()).map(Body::Json)
}

/// Returns the features of the product's licenses, each code once.
fn features<'a>(catalogue: &'a Catalogue, product: &Product) -> Vec<ListedFeature<'a>> {
    let licenses = catalogue.licenses().iter().filter(|license| license.product.id == product.id);
    let mut codes = HashSet::new();
    let features = licenses.flat_map(|license| &license.features).filter(|feature| codes.insert(&*feature.code));
    features.map(|feature| ListedFeature::of(feature)).collect()
}

// An entry of the reply to `products`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListedProduct")]
pub(super) struct ListedProduct<'a> {
    #[serde(flatten)]
    product: ProductBody<'a, ProductPart>,
    company: Company,
    features: Vec<ListedFeature<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListedFeature")]
pub(super) struct ListedFeature<'a> {
    id: u64,
    code: &'a str,
    name: &'a str,
    feature_type: FeatureType,
    metadata: &'a Map<String, Value>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProductDetails")]
pub(super) struct ProductReply<'a> {
    #[serde(flatten)]
    product: ProductBody<'a, ProductPart>,
    company: Company,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<LatestVersion<'a>>")]
    latest_version: Option<Option<LatestVersion<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "&'a [ProductField]")]
    custom_fields: Option<&'a [ProductField]>,
}

// `Part` holds the members that only some replies have.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Product_{Part}")]
pub(super) struct ProductBody<'a, Part> {
    product_id: u64,
    product_name: &'a str,
    short_code: &'a str,
    authorization_method: AuthorizationMethod,
    metadata: &'a Map<String, Value>,
    #[serde(flatten)]
    part: Part,
}

// A check's reply has no additional members.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "brief")]
pub(super) struct BriefProduct {}

// The members that only an activation and `product_details` have. In this server, licenses set overages.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "described")]
pub(super) struct ProductPart {
    allow_trial: bool,
    trial_days: u32,
    allow_overages: bool,
    max_overages: i64,
    prevent_vm: bool,
    floating_timeout: u32,
}

// The additional members in an activation's reply.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "activated")]
pub(super) struct ActivatedProduct {
    #[serde(flatten)]
    part: ProductPart,
    validity_period: Option<Iso>,
    company_id: u64,
}

impl<'a> ListedFeature<'a> {
    pub(super) fn of(feature: &'a Feature) -> ListedFeature<'a> {
        ListedFeature {
            id: feature.id,
            code: &feature.code,
            name: &feature.name,
            feature_type: FeatureType::of(feature),
            metadata: &feature.metadata,
        }
    }
}

impl<'a, Part> ProductBody<'a, Part> {
    pub(super) fn new(product: &'a Product, part: Part) -> ProductBody<'a, Part> {
        ProductBody {
            product_id: product.id,
            product_name: &product.name,
            short_code: &product.code,
            authorization_method: product.authorization_method,
            metadata: &product.metadata,
            part,
        }
    }
}

impl ProductPart {
    fn new(product: &Product) -> ProductPart {
        ProductPart {
            allow_trial: product.trial_days.is_some(),
            trial_days: product.trial_days.unwrap_or_default(),
            allow_overages: false,
            max_overages: 0,
            prevent_vm: product.prevent_vm,
            floating_timeout: product.floating_timeout_minutes,
        }
    }
}

impl ActivatedProduct {
    pub(super) fn new(product: &Product, company: Company) -> ActivatedProduct {
        ActivatedProduct { part: ProductPart::new(product), validity_period: None, company_id: company.id }
    }
}
