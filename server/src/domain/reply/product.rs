//! Products: the reply of `product_details`, and what a license says of its product.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Body, Company, Iso};
use crate::catalogue::{AuthorizationMethod, Catalogue, Product};

/// The reply of `product_details`, which depends on the catalogue alone.
///
/// # Errors
/// None in fact: every type in it has a JSON form.
pub fn product_details(
    catalogue: &Catalogue,
    product: &Product,
    include_latest_version: bool,
    include_custom_fields: bool,
) -> serde_json::Result<Body> {
    let latest_version = (!product.version.is_empty()).then(|| Version::of(product));
    let body = ProductReply {
        product: ProductBody::new(product, Some(ProductPart::new(product))),
        company: Company { id: catalogue.company_id },
        latest_version: include_latest_version.then_some(latest_version),
        custom_fields: include_custom_fields.then_some([]),
    };
    serde_json::to_vec(&body).map(Body::Json)
}

#[derive(Serialize)]
struct ProductReply<'a> {
    #[serde(flatten)]
    product: ProductBody<'a>,
    company: Company,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_version: Option<Option<Version<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_fields: Option<[Value; 0]>,
}

#[derive(Serialize)]
pub(super) struct ProductBody<'a> {
    product_id: u64,
    product_name: &'a str,
    short_code: &'a str,
    authorization_method: &'static str,
    metadata: &'a Map<String, Value>,
    #[serde(flatten)]
    more: Option<ProductPart>,
}

/// What only an activation and `product_details` tell. Trials and overages are set on licenses here.
#[derive(Serialize)]
pub(super) struct ProductPart {
    allow_trial: bool,
    trial_days: u32,
    allow_overages: bool,
    max_overages: i64,
    prevent_vm: bool,
    floating_timeout: u32,
    #[serde(flatten)]
    activation: Option<ActivatedProduct>,
}

/// What only an activation tells of its product.
#[derive(Serialize)]
struct ActivatedProduct {
    validity_period: Option<Iso>,
    company_id: u64,
}

/// The newest version; this server hosts no installation files.
#[derive(Serialize)]
struct Version<'a> {
    id: u64,
    version: &'a str,
    enabled: bool,
    product_id: u64,
    release_date: Option<Iso>,
    full_link: &'static str,
    filename: &'static str,
}

impl<'a> ProductBody<'a> {
    pub(super) fn new(product: &'a Product, more: Option<ProductPart>) -> ProductBody<'a> {
        ProductBody {
            product_id: product.id,
            product_name: &product.name,
            short_code: &product.code,
            authorization_method: AuthorizationMethod::as_str(product.authorization_method),
            metadata: &product.metadata,
            more,
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
            activation: None,
        }
    }

    pub(super) fn of_activation(product: &Product, company: Company) -> ProductPart {
        let activation = Some(ActivatedProduct { validity_period: None, company_id: company.id });
        ProductPart { activation, ..ProductPart::new(product) }
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
