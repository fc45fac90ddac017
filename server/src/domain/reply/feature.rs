//! Features and consumption totals as JSON.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Company, Iso};
use crate::catalogue::{Consumption, Feature, Floating, License, Overages, Period};
use crate::domain::view::{FeatureView, PoolTotal};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CheckedFeature")]
pub(super) struct CheckFeatureBody<'a> {
    license_id: u64,
    #[serde(flatten)]
    feature: FeatureBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    metadata_string: Option<String>,
    company: Company,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Feature")]
pub(super) struct FeatureBody<'a> {
    id: u64,
    code: &'a str,
    name: &'a str,
    feature_type: FeatureType,
    expiry_date: Option<Iso>,
    is_expired: bool,
    metadata: &'a Map<String, Value>,
    #[serde(flatten)]
    limits: Option<FeatureLimits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PoolBody<'a>")]
    pool: Option<PoolBody<'a>>,
    is_floating: bool,
    is_floating_cloud: bool,
    #[serde(flatten)]
    floating: Option<FeatureFloating>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum FeatureType {
    Activation,
    Consumption,
}

impl FeatureType {
    pub(super) fn of(feature: &Feature) -> FeatureType {
        if feature.consumption.is_some() { FeatureType::Consumption } else { FeatureType::Activation }
    }
}

// As `Limits`, but the reference calls the first one in the singular here.
#[derive(Serialize, JsonSchema)]
struct FeatureLimits {
    max_consumption: i64,
    #[serde(flatten)]
    limits: LimitsRest,
}

#[derive(Serialize, JsonSchema)]
struct FeatureFloating {
    floating_timeout: u32,
    floating_users: u32,
    floating_in_use_devices: u64,
    can_borrow: bool,
    is_borrowed: bool,
    borrowed_until: Option<Iso>,
    max_borrow_time: u32,
}

impl<'a> FeatureBody<'a> {
    pub(super) fn new(view: &'a FeatureView) -> FeatureBody<'a> {
        let feature = &view.feature;
        let limits = |consumption: &Consumption| FeatureLimits {
            max_consumption: consumption.max,
            limits: LimitsRest::new(consumption, consumption.overages, view.total_consumptions),
        };
        let floating = |floating: &Floating| FeatureFloating {
            floating_timeout: floating.timeout_minutes,
            floating_users: floating.users,
            floating_in_use_devices: view.pool.in_use,
            can_borrow: floating.can_borrow,
            is_borrowed: view.pool.borrowed_until.is_some(),
            borrowed_until: view.pool.borrowed_until.map(Iso),
            max_borrow_time: floating.max_borrow_time_hours,
        };
        FeatureBody {
            id: feature.id,
            code: &feature.code,
            name: &feature.name,
            feature_type: FeatureType::of(feature),
            expiry_date: feature.expiry_date.map(Iso),
            is_expired: view.is_expired,
            metadata: &feature.metadata,
            limits: feature.consumption.as_ref().map(limits),
            pool: view.consumption_pool.as_ref().map(PoolBody::new),
            is_floating: false,
            is_floating_cloud: feature.floating.is_some(),
            floating: feature.floating.as_ref().map(floating),
        }
    }
}

// The state of a consumption total.
#[derive(Serialize, JsonSchema)]
struct Limits {
    max_consumptions: i64,
    #[serde(flatten)]
    rest: LimitsRest,
}

#[derive(Serialize, JsonSchema)]
struct LimitsRest {
    total_consumptions: i64,
    allow_unlimited_consumptions: bool,
    allow_negative_consumptions: bool,
    allow_overages: bool,
    max_overages: i64,
    reset_consumption: bool,
    consumption_period: Option<Period>,
}

impl Limits {
    fn new(consumption: &Consumption, overages: Overages, total_consumptions: i64) -> Limits {
        let rest = LimitsRest::new(consumption, overages, total_consumptions);
        Limits { max_consumptions: consumption.max, rest }
    }
}

impl LimitsRest {
    fn new(consumption: &Consumption, overages: Overages, total_consumptions: i64) -> LimitsRest {
        LimitsRest {
            total_consumptions,
            allow_unlimited_consumptions: consumption.unlimited,
            allow_negative_consumptions: consumption.allow_negative,
            allow_overages: overages.allowed,
            max_overages: overages.max,
            reset_consumption: consumption.period.is_some(),
            consumption_period: consumption.period,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LicenseTotal")]
pub(super) struct LicenseTotalBody<'a> {
    id: u64,
    #[serde(flatten)]
    limits: Option<Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PoolBody<'a>")]
    pool: Option<PoolBody<'a>>,
    company: Company,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FeatureTotal")]
pub(super) struct FeatureTotalBody<'a> {
    id: u64,
    license_id: u64,
    #[serde(flatten)]
    limits: Option<Limits>,
    #[serde(flatten)]
    floats: Floats,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PoolBody<'a>")]
    pool: Option<PoolBody<'a>>,
    company: Company,
}

// A consumption pool after the request. `reserved` is what an offline activation holds for the device.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConsumptionPool")]
pub(super) struct PoolBody<'a> {
    id: u64,
    name: &'a str,
    max_consumptions: i64,
    total_consumptions: i64,
    allow_unlimited_consumptions: bool,
    allow_overages: bool,
    max_overages: i64,
    reset_consumption: bool,
    consumption_period: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    reserved: Option<i64>,
}

impl<'a> PoolBody<'a> {
    pub(super) fn new(view: &'a PoolTotal) -> PoolBody<'a> {
        let (pool, terms) = (&view.pool, &view.pool.terms);
        PoolBody {
            id: pool.id,
            name: &pool.name,
            max_consumptions: terms.max,
            total_consumptions: view.total,
            allow_unlimited_consumptions: terms.unlimited,
            allow_overages: terms.overages.allowed,
            max_overages: terms.overages.max,
            reset_consumption: terms.period.is_some(),
            consumption_period: terms.period,
            reserved: Some(view.reserved).filter(|reserved| *reserved > 0),
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct Floats {
    is_floating: bool,
    is_floating_cloud: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    floating_timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    floating_users: Option<u32>,
}

impl<'a> CheckFeatureBody<'a> {
    pub(super) fn new(
        license_id: u64,
        view: &'a FeatureView,
        include_metadata_string: bool,
        company: Company,
    ) -> CheckFeatureBody<'a> {
        let feature = FeatureBody::new(view);
        let metadata_string =
            include_metadata_string.then(|| serde_json::to_string(feature.metadata).unwrap_or_default());
        CheckFeatureBody { license_id, feature, metadata_string, company }
    }
}

impl<'a> LicenseTotalBody<'a> {
    pub(super) fn new(
        license: &License,
        overages: Overages,
        total_consumptions: i64,
        pool: Option<&'a PoolTotal>,
        company: Company,
    ) -> LicenseTotalBody<'a> {
        let limits = license.consumption.as_ref().map(|terms| Limits::new(terms, overages, total_consumptions));
        LicenseTotalBody { id: license.id, limits, pool: pool.map(PoolBody::new), company }
    }
}

impl<'a> FeatureTotalBody<'a> {
    pub(super) fn new(
        license_id: u64,
        feature: &Feature,
        total_consumptions: i64,
        pool: Option<&'a PoolTotal>,
        company: Company,
    ) -> FeatureTotalBody<'a> {
        let limits = feature.consumption.as_ref().map(|terms| Limits::new(terms, terms.overages, total_consumptions));
        let (floats, pool) = (Floats::new(feature), pool.map(PoolBody::new));
        FeatureTotalBody { id: feature.id, license_id, limits, floats, pool, company }
    }
}

impl Floats {
    fn new(feature: &Feature) -> Floats {
        Floats {
            is_floating: false,
            is_floating_cloud: feature.floating.is_some(),
            floating_timeout: feature.floating.map(|floating| floating.timeout_minutes),
            floating_users: feature.floating.map(|floating| floating.users),
        }
    }
}
