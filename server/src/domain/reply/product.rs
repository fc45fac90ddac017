//! Products as JSON: the reply of `product_details`, and the product in a license's reply.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Body, Company, Iso};
use crate::catalogue::{AuthorizationMethod, Catalogue, Product};

/// Makes the reply of `product_details`, which depends on the catalogue alone.
///
/// # Errors
/// None at present, since every type in it can be written as JSON.
pub fn product_details(
    catalogue: &Catalogue,
    product: &Product,
    include_latest_version: bool,
    include_custom_fields: bool,
) -> serde_json::Result<Body> {
    let latest_version = (!product.version.is_empty()).then(|| Version::of(product));
    let body = ProductReply {
        product: ProductBody::new(product, ProductPart::new(product)),
        company: Company { id: catalogue.company_id },
        latest_version: include_latest_version.then_some(latest_version),
        custom_fields: include_custom_fields.then_some([]),
    };
    serde_json::to_vec(&body).map(Body::Json)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProductDetails")]
pub(super) struct ProductReply<'a> {
    #[serde(flatten)]
    product: ProductBody<'a, ProductPart>,
    company: Company,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Version<'a>>")]
    latest_version: Option<Option<Version<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "[Value; 0]")]
    custom_fields: Option<[Value; 0]>,
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

// The members that only an activation and `product_details` have. In this server, licenses set trials and overages.
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

/// The newest version. This server hosts no installation files.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Version")]
struct Version<'a> {
    id: u64,
    version: &'a str,
    enabled: bool,
    product_id: u64,
    release_date: Option<Iso>,
    full_link: &'static str,
    filename: &'static str,
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
            allow_trial: false,
            trial_days: 0,
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

impl<'a> Version<'a> {
    fn of(product: &'a Product) -> Version<'a> {
        Version {
            id: product.id,
            version: &product.version,
            enabled: true,
            product_id: product.id,
            release_date: None,
            full_link: "",
            filename: "",
        }
    }
}
