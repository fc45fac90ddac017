//! Makes replies into JSON. The order of a type's fields is their order on the wire.
//!
//! The JSON is compact, and JavaScript would write the same bytes: some clients parse it, write it again, and verify that.

mod feature;
mod license;
mod product;
mod sign_on;
mod size;
mod trial;
mod user;
mod variable;
mod version;

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use floatlease::model::format_time;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::device::Variable;
use super::refusal::Refusal;
use super::view::{CustomerUsers, FeatureView, LicenseUser, LicenseView, PoolTotal};
use crate::catalogue::{Catalogue, Feature, License, Overages, Version};
use feature::{CheckFeatureBody, FeatureTotalBody, LicenseTotalBody};
use license::{ActivationPart, CheckPart, LicenseBody};
use product::{ActivatedProduct, BriefProduct, ListedProduct, ProductReply};
use sign_on::SsoUrl;
use trial::TrialBody;
use user::{CustomerUsersBody, UserLicenseBody};
use variable::{TrackedVariable, VariableBody};
use version::{InstallationFileBody, ListedVersion, address};

pub use product::{product_details, products};
pub use sign_on::sso_url;
pub use size::{LONGEST_REPLY_BYTES, longer_than, too_long};

/// The result of a command.
pub type Outcome = Result<Reply, Refusal>;

/// The reply to a command, before it is made into JSON.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each is the reply of the operation it is named after")]
pub enum Reply {
    Empty,
    Text(&'static str),
    License(Box<LicenseView>),
    Activation(Box<LicenseView>),
    Borrow(Borrow),
    Feature {
        license_id: u64,
        feature: FeatureView,
        include_metadata_string: bool,
    },
    /// The license of a trial, with the time of its issue if it is new.
    Trial {
        license: Arc<License>,
        issued_at: Option<DateTime<Utc>>,
    },
    /// Several licenses as checks show them.
    Licenses(Vec<LicenseView>),
    /// The licenses of a bundle as activations show them.
    ActivatedBundle(Vec<LicenseView>),
    /// The licenses of a user.
    UserLicenses(Vec<LicenseUser>),
    CustomerUsers(CustomerUsers),
    Versions(Vec<Arc<Version>>),
    InstallationFile(Arc<Version>),
    /// All variables of a device.
    Variables {
        device_id: u64,
        variables: Vec<Variable>,
    },
    /// The variables that were set by the command.
    TrackedVariables {
        device_id: u64,
        variables: Vec<Variable>,
    },
    Consumption {
        license: Arc<License>,
        total_consumptions: i64,
        overages: Overages,
        pool: Option<PoolTotal>,
    },
    FeatureConsumption {
        license_id: u64,
        feature: Arc<Feature>,
        total_consumptions: i64,
        pool: Option<PoolTotal>,
    },
}

/// The reply to a borrow.
#[derive(Debug, Clone)]
pub struct Borrow {
    /// The end of the borrow.
    pub borrowed_until: DateTime<Utc>,
    /// The longest time for which a slot can be borrowed.
    pub max_borrow_time_hours: u32,
    /// The device's number.
    pub device_id: u64,
    /// The license's number.
    pub license_id: u64,
    /// Number of slots that are taken.
    pub floating_in_use_devices: u64,
    /// The feature's code; `None` for the license itself.
    pub feature: Option<Arc<str>>,
}

/// The body of a reply.
#[derive(Debug)]
pub enum Body {
    /// An empty body.
    Empty,
    /// A plain text.
    Text(&'static str),
    /// JSON that is to be signed.
    Json(Vec<u8>),
}

impl Reply {
    /// The reply to a deactivation.
    pub(super) const DEACTIVATED: Reply = Reply::Text("license_deactivated");
    /// The reply to a change of a password.
    pub(super) const PASSWORD_CHANGED: Reply = Reply::Text("password_changed");

    /// Makes the body. `sign` makes the v1 signature inside it.
    ///
    /// # Errors
    /// The text can't be signed.
    pub fn body(&self, catalogue: &Catalogue, sign: impl Fn(&str) -> io::Result<String>) -> io::Result<Body> {
        let company = Company { id: catalogue.company_id };
        let json = match self {
            Reply::Empty => return Ok(Body::Empty),
            Reply::Text(text) => return Ok(Body::Text(text)),
            Reply::License(view) => serde_json::to_vec(&checked_license(view, company, sign)?),
            Reply::Activation(view) => serde_json::to_vec(&activated_license(view, company, sign)?),
            Reply::Trial { license, issued_at } => serde_json::to_vec(&TrialBody::new(license, *issued_at, company)),
            Reply::ActivatedBundle(views) => {
                let licenses = views.iter().map(|view| activated_license(view, company, &sign));
                serde_json::to_vec(&licenses.collect::<io::Result<Vec<_>>>()?)
            }
            Reply::Licenses(views) => {
                let licenses = views.iter().map(|view| checked_license(view, company, &sign));
                serde_json::to_vec(&licenses.collect::<io::Result<Vec<_>>>()?)
            }
            Reply::UserLicenses(views) => {
                let licenses = views.iter().map(|view| UserLicenseBody::new(view, company));
                serde_json::to_vec(&licenses.collect::<Vec<_>>())
            }
            Reply::CustomerUsers(view) => serde_json::to_vec(&CustomerUsersBody::new(view, company)),
            Reply::Versions(versions) => {
                serde_json::to_vec(&versions.iter().map(|version| ListedVersion::of(version)).collect::<Vec<_>>())
            }
            Reply::InstallationFile(version) => serde_json::to_vec(&InstallationFileBody::of(version, company)),
            Reply::Variables { device_id, variables } => {
                serde_json::to_vec(&variables.iter().map(|one| VariableBody::of(one, *device_id)).collect::<Vec<_>>())
            }
            Reply::TrackedVariables { device_id, variables } => serde_json::to_vec(
                &variables.iter().map(|one| TrackedVariable::of(one, *device_id)).collect::<Vec<_>>(),
            ),
            Reply::Borrow(borrow) => serde_json::to_vec(&BorrowBody {
                borrowed_until: Iso(borrow.borrowed_until),
                max_borrow_time: borrow.max_borrow_time_hours,
                device_id: borrow.device_id,
                license_id: borrow.license_id,
                floating_in_use_devices: borrow.floating_in_use_devices,
                feature: borrow.feature.as_deref(),
                company,
            }),
            Reply::Feature { license_id, feature, include_metadata_string } => {
                serde_json::to_vec(&CheckFeatureBody::new(*license_id, feature, *include_metadata_string, company))
            }
            Reply::Consumption { license, total_consumptions, overages, pool } => serde_json::to_vec(
                &LicenseTotalBody::new(license, *overages, *total_consumptions, pool.as_ref(), company),
            ),
            Reply::FeatureConsumption { license_id, feature, total_consumptions, pool } => {
                let pool = pool.as_ref();
                serde_json::to_vec(&FeatureTotalBody::new(*license_id, feature, *total_consumptions, pool, company))
            }
        };
        Ok(Body::Json(json?))
    }
}

/// Makes the schema of a type. `with` marks members that are left out instead of being null.
pub(crate) type Describe = fn(&mut SchemaGenerator) -> Schema;

/// Makes a license as a check shows it.
fn checked_license(
    view: &LicenseView,
    company: Company,
    sign: impl Fn(&str) -> io::Result<String>,
) -> io::Result<CheckedLicense<'_>> {
    let file = address(view.version.as_deref());
    LicenseBody::new(view, company, CheckPart {}, BriefProduct {}, file, sign)
}

/// Makes a license as an activation shows it.
fn activated_license(
    view: &LicenseView,
    company: Company,
    sign: impl Fn(&str) -> io::Result<String>,
) -> io::Result<ActivatedLicense<'_>> {
    let product = ActivatedProduct::new(&view.license.product, company);
    let file = view.version.as_deref().filter(|version| !version.installation_file.is_empty());
    let file = file.map(|version| InstallationFileBody::of(version, company));
    LicenseBody::new(view, company, ActivationPart::new(view), product, file, sign)
}

type CheckedLicense<'a> = LicenseBody<'a, CheckPart, BriefProduct, &'a str>;
type ActivatedLicense<'a> = LicenseBody<'a, ActivationPart<'a>, ActivatedProduct, Option<InstallationFileBody<'a>>>;

// The file of an offline activation, which is made of an activation's reply once that is signed.
#[derive(JsonSchema)]
#[schemars(rename = "OfflineLicense")]
#[allow(dead_code, reason = "it describes what the HTTP side makes once it has signed")]
struct OfflineLicense<'a> {
    #[serde(flatten)]
    license: ActivatedLicense<'a>,
    date: &'a str,
    offline_signature: &'a str,
    request_id: &'a str,
    license_signature_v2: &'a str,
}

/// The types of the operations' replies.
const TYPES: &[(&str, Describe)] = &[
    ("activate_license", SchemaGenerator::subschema_for::<ActivatedLicense>),
    ("check_license", SchemaGenerator::subschema_for::<CheckedLicense>),
    ("borrow_license", SchemaGenerator::subschema_for::<BorrowBody>),
    ("check_feature", SchemaGenerator::subschema_for::<CheckFeatureBody>),
    ("borrow_feature", SchemaGenerator::subschema_for::<BorrowBody>),
    ("add_consumption", SchemaGenerator::subschema_for::<LicenseTotalBody>),
    ("add_feature_consumption", SchemaGenerator::subschema_for::<FeatureTotalBody>),
    ("product_details", SchemaGenerator::subschema_for::<ProductReply>),
    ("products", SchemaGenerator::subschema_for::<Vec<ListedProduct>>),
    ("trial_key", SchemaGenerator::subschema_for::<TrialBody>),
    ("versions", SchemaGenerator::subschema_for::<Vec<ListedVersion>>),
    ("installation_file", SchemaGenerator::subschema_for::<InstallationFileBody>),
    ("device_licenses", SchemaGenerator::subschema_for::<Vec<CheckedLicense>>),
    ("activate_offline", SchemaGenerator::subschema_for::<OfflineLicense>),
    ("activate_bundle", SchemaGenerator::subschema_for::<Vec<ActivatedLicense>>),
    ("check_bundle", SchemaGenerator::subschema_for::<Vec<CheckedLicense>>),
    ("get_device_variables", SchemaGenerator::subschema_for::<Vec<VariableBody>>),
    ("track_device_variables", SchemaGenerator::subschema_for::<Vec<TrackedVariable>>),
    ("user_licenses", SchemaGenerator::subschema_for::<Vec<UserLicenseBody>>),
    ("customer_license_users", SchemaGenerator::subschema_for::<CustomerUsersBody>),
    ("sso_url", SchemaGenerator::subschema_for::<SsoUrl>),
];

/// Returns the schema of the reply of `operation`, if the reply is JSON.
pub(crate) fn schema(operation: &str, generator: &mut SchemaGenerator) -> Option<Schema> {
    TYPES.iter().find(|(name, _)| *name == operation).map(|(_, schema)| schema(generator))
}

/// A time in the API's form.
#[derive(Clone, Copy)]
pub(crate) struct Iso(pub(crate) DateTime<Utc>);

impl Iso {
    fn text(self) -> String {
        format_time(self.0)
    }
}

impl Serialize for Iso {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl JsonSchema for Iso {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
            "description": "UTC, with three digits of a second and a Z, never an offset.",
        })
    }
}

#[derive(Clone, Copy, Serialize, JsonSchema)]
struct Company {
    id: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Borrow")]
struct BorrowBody<'a> {
    borrowed_until: Iso,
    max_borrow_time: u32,
    device_id: u64,
    license_id: u64,
    floating_in_use_devices: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "str")]
    feature: Option<&'a str>,
    company: Company,
}
