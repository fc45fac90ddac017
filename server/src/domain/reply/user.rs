//! Users as JSON: in a license's reply, with their licenses, and as the users of a customer.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::product::{BriefProduct, ProductBody};
use super::{Company, Iso};
use crate::catalogue::{CustomField, Customer, LicenseType, Password, derived_id};
use crate::domain::view::{CustomerUsers, LicenseUser, UserView};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(super) struct UserBody<'a> {
    id: u64,
    email: &'a str,
    first_name: &'a str,
    last_name: &'a str,
    phone_number: &'a str,
    is_initial_password: bool,
    max_activations: u64,
    allow_unlimited_activations: bool,
    total_activations: u64,
}

impl<'a> UserBody<'a> {
    pub(super) fn new(view: &'a UserView) -> UserBody<'a> {
        let user = &view.user;
        UserBody {
            id: user.id,
            email: &user.email,
            first_name: &user.first_name,
            last_name: &user.last_name,
            phone_number: &user.phone_number,
            is_initial_password: view.is_initial_password,
            max_activations: user.max_activations,
            allow_unlimited_activations: user.allow_unlimited_activations,
            total_activations: view.total_activations,
        }
    }
}

// An entry of the reply to `user_licenses`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UserLicense")]
pub(super) struct UserLicenseBody<'a> {
    license: OwnedLicense<'a>,
    user: UserBody<'a>,
}

// A license apart from any device. It carries no v1 signature, which would bind it to one.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OwnedLicense")]
struct OwnedLicense<'a> {
    id: u64,
    license_type: LicenseType,
    license_active: bool,
    license_enabled: bool,
    is_trial: bool,
    is_expired: bool,
    is_floating: bool,
    is_floating_cloud: bool,
    start_date: Option<Iso>,
    validity_period: Option<Iso>,
    maintenance_period: Option<Iso>,
    max_activations: u64,
    allow_unlimited_activations: bool,
    times_activated: u64,
    max_transfers: u64,
    transfer_count: u64,
    #[schemars(with = "u64")]
    max_license_users: usize,
    order_store_id: &'a str,
    metadata: &'a Map<String, Value>,
    custom_fields: &'a [CustomField],
    customer: &'a Customer,
    company: Company,
    product_details: ProductBody<'a, BriefProduct>,
}

impl<'a> UserLicenseBody<'a> {
    pub(super) fn new(view: &'a LicenseUser, company: Company) -> UserLicenseBody<'a> {
        let license = &*view.license;
        let owned = OwnedLicense {
            id: license.id,
            license_type: license.license_type,
            license_active: license.active,
            license_enabled: license.enabled,
            is_trial: license.is_trial,
            is_expired: view.is_expired,
            is_floating: false,
            is_floating_cloud: license.floating.is_some(),
            start_date: license.start_date.map(Iso),
            validity_period: license.validity_period.map(Iso),
            maintenance_period: license.maintenance_period.map(Iso),
            max_activations: license.max_activations,
            allow_unlimited_activations: license.allow_unlimited_activations,
            times_activated: view.times_activated,
            max_transfers: license.max_transfers,
            transfer_count: view.transfer_count,
            max_license_users: license.users().len(),
            order_store_id: &license.order_store_id,
            metadata: &license.metadata,
            custom_fields: &license.custom_fields,
            customer: &license.customer,
            company,
            product_details: ProductBody::new(&license.product, BriefProduct {}),
        };
        UserLicenseBody { license: owned, user: UserBody::new(&view.user) }
    }
}

// The reply to `customer_license_users`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CustomerLicenseUsers")]
pub(super) struct CustomerUsersBody<'a> {
    company: Company,
    customer: &'a Customer,
    users: Vec<CustomerUserBody<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CustomerLicenseUser")]
struct CustomerUserBody<'a> {
    email: &'a str,
    is_active: bool,
    first_name: &'a str,
    last_name: &'a str,
    phone_number: &'a str,
    is_initial_password: bool,
    initial_password: Option<&'a str>,
    max_activations: u64,
    total_activations: u64,
    allow_unlimited_activations: bool,
    license_id: u64,
    order_store_id: &'a str,
    order_id: Option<u64>,
}

impl<'a> CustomerUsersBody<'a> {
    pub(super) fn new(view: &'a CustomerUsers, company: Company) -> CustomerUsersBody<'a> {
        let users = view.users.iter().map(CustomerUserBody::new).collect();
        CustomerUsersBody { company, customer: &view.customer, users }
    }
}

impl<'a> CustomerUserBody<'a> {
    fn new(view: &'a LicenseUser) -> CustomerUserBody<'a> {
        let (license, user) = (&*view.license, &*view.user.user);
        let order_store_id = license.order_store_id.as_str();
        CustomerUserBody {
            email: &user.email,
            is_active: license.active && license.enabled,
            first_name: &user.first_name,
            last_name: &user.last_name,
            phone_number: &user.phone_number,
            is_initial_password: view.user.is_initial_password,
            initial_password: initial_password(&view.user),
            max_activations: user.max_activations,
            total_activations: view.user.total_activations,
            allow_unlimited_activations: user.allow_unlimited_activations,
            license_id: license.id,
            order_store_id,
            order_id: (!order_store_id.is_empty()).then(|| derived_id(&["order", order_store_id])),
        }
    }
}

/// Returns the password that the user was given, until the user changes it. A hash does not tell it.
fn initial_password(view: &UserView) -> Option<&str> {
    match &view.user.password {
        Some(Password::Plain(text)) if view.is_initial_password => Some(text),
        _ => None,
    }
}
