//! Licenses as JSON: the reply of activation and check.

use std::io;

use floatlease::model::v1_text;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::feature::{FeatureBody, PoolBody};
use super::product::ProductBody;
use super::user::UserBody;
use super::variable::ActivationVariable;
use super::version::NewestVersion;
use super::{Company, Iso};
use crate::catalogue::{Consumption, CustomField, Customer, Holder, LicenseType, Period};
use crate::domain::view::LicenseView;

// `Part` and `Product` hold the members that only an activation has. `File` is the address of the newest version's file,
// or in an activation the file.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "License_{Part}")]
pub(super) struct LicenseBody<'a, Part, Product, File> {
    id: u64,
    #[serde(flatten)]
    part: Part,
    allow_grace_period: bool,
    allow_offline_activation: bool,
    allow_overages: bool,
    allow_unlimited_activations: bool,
    can_borrow: bool,
    enable_maintenance_period: bool,
    floating_timeout: u32,
    floating_users: u32,
    floating_in_use_devices: u64,
    grace_period: u32,
    is_air_gapped: bool,
    is_floating: bool,
    is_floating_cloud: bool,
    is_hardware_key_auth: bool,
    is_trial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    trial_days: Option<u32>,
    license_active: bool,
    license_enabled: bool,
    license_key: Option<&'a str>,
    license_template_id: Option<u64>,
    license_type: LicenseType,
    maintenance_period: Option<Iso>,
    max_activations: u64,
    max_borrow_time: u32,
    #[schemars(with = "u64")]
    max_license_users: usize,
    max_overages: i64,
    max_transfers: u64,
    order_store_id: &'a str,
    prevent_vm: bool,
    start_date: Option<Iso>,
    times_activated: u64,
    transfer_count: u64,
    validity_period: Option<Iso>,
    metadata: &'a Map<String, Value>,
    custom_fields: &'a [CustomField],
    product_features: Vec<FeatureBody<'a>>,
    customer: &'a Customer,
    company: Company,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "UserBody<'a>")]
    user: Option<UserBody<'a>>,
    #[serde(flatten)]
    consumption: Option<LicenseConsumption>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PoolBody<'a>")]
    pool: Option<PoolBody<'a>>,
    product_details: ProductBody<'a, Product>,
    is_expired: bool,
    device_id: u64,
    is_borrowed: bool,
    borrowed_until: Option<Iso>,
    #[serde(flatten)]
    newest: NewestVersion<'a, File>,
    license_signature: String,
}

// A check's reply has no additional members.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "checked")]
pub(super) struct CheckPart {}

// The additional members of an activation's reply.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "activated")]
pub(super) struct ActivationPart<'a> {
    #[schemars(extend("const" = "activation"))]
    request: &'static str,
    active: bool,
    hardware_id: &'a str,
    variables: Vec<ActivationVariable<'a>>,
}

// The members that only a license of type consumption has. All licenses have members for overages.
#[derive(Serialize, JsonSchema)]
struct LicenseConsumption {
    max_consumptions: i64,
    total_consumptions: i64,
    allow_unlimited_consumptions: bool,
    allow_negative_consumptions: bool,
    reset_consumption: bool,
    consumption_period: Option<Period>,
}

impl LicenseConsumption {
    fn new(terms: &Consumption, total_consumptions: i64) -> LicenseConsumption {
        LicenseConsumption {
            max_consumptions: terms.max,
            total_consumptions,
            allow_unlimited_consumptions: terms.unlimited,
            allow_negative_consumptions: terms.allow_negative,
            reset_consumption: terms.period.is_some(),
            consumption_period: terms.period,
        }
    }
}

impl<'a> ActivationPart<'a> {
    pub(super) fn new(view: &'a LicenseView) -> ActivationPart<'a> {
        let variables = view.variables.iter().map(|variable| ActivationVariable::of(variable, view.device_id));
        ActivationPart {
            request: "activation",
            active: true,
            hardware_id: &view.hardware_id,
            variables: variables.collect(),
        }
    }
}

impl<'a, Part, Product, File> LicenseBody<'a, Part, Product, File> {
    pub(super) fn new(
        view: &'a LicenseView,
        company: Company,
        part: Part,
        product_part: Product,
        file: File,
        sign: impl Fn(&str) -> io::Result<String>,
    ) -> io::Result<LicenseBody<'a, Part, Product, File>> {
        let license = &*view.license;
        let product = &*license.product;
        let floating = license.floating.as_ref();
        let (license_key, max_license_users) = match &license.holder {
            Holder::Key(key) => (Some(key.as_str()), 1),
            Holder::Users(users) => (None, users.len()),
        };
        let validity_period = license.validity_period.map(Iso);
        let validity = validity_period.map(Iso::text);
        Ok(LicenseBody {
            id: license.id,
            allow_grace_period: license.grace_period_hours > 0,
            allow_offline_activation: license.allow_offline_activation,
            allow_overages: view.overages.allowed,
            allow_unlimited_activations: license.allow_unlimited_activations,
            can_borrow: floating.is_some_and(|floating| floating.can_borrow),
            enable_maintenance_period: license.maintenance_period.is_some(),
            floating_timeout: floating.map_or(product.floating_timeout_minutes, |floating| floating.timeout_minutes),
            floating_users: floating.map_or(0, |floating| floating.users),
            floating_in_use_devices: view.pool.in_use,
            grace_period: license.grace_period_hours,
            is_air_gapped: false,
            is_floating: false,
            is_floating_cloud: floating.is_some(),
            is_hardware_key_auth: false,
            is_trial: license.is_trial,
            trial_days: license.is_trial.then_some(license.trial_days),
            license_active: license.active,
            license_enabled: license.enabled,
            license_key,
            license_template_id: None,
            license_type: license.license_type,
            maintenance_period: license.maintenance_period.map(Iso),
            max_activations: license.max_activations,
            max_borrow_time: floating.map_or(0, |floating| floating.max_borrow_time_hours),
            max_license_users,
            max_overages: view.overages.max,
            max_transfers: license.max_transfers,
            order_store_id: &license.order_store_id,
            prevent_vm: license.prevent_vm,
            start_date: license.start_date.map(Iso),
            times_activated: view.times_activated,
            transfer_count: view.transfer_count,
            metadata: &license.metadata,
            custom_fields: &license.custom_fields,
            product_features: view.features.iter().map(FeatureBody::new).collect(),
            customer: &license.customer,
            company,
            user: view.user.as_ref().map(UserBody::new),
            consumption: license
                .consumption
                .as_ref()
                .map(|terms| LicenseConsumption::new(terms, view.total_consumptions)),
            pool: view.consumption_pool.as_ref().map(PoolBody::new),
            product_details: ProductBody::new(product, product_part),
            is_expired: view.is_expired,
            device_id: view.device_id,
            is_borrowed: view.pool.borrowed_until.is_some(),
            borrowed_until: view.pool.borrowed_until.map(Iso),
            newest: NewestVersion::of(view.version.as_deref(), file),
            license_signature: sign(&v1_text(&view.hardware_id, &view.auth, validity.as_deref()))?,
            validity_period,
            part,
        })
    }
}
