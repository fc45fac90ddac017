//! Versions of products as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Company, Iso};
use crate::catalogue::{Environment, Product, Version};

// An entry of the reply to `versions`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListedVersion")]
pub(super) struct ListedVersion<'a> {
    version: &'a str,
    release_date: Option<Iso>,
}

// The reply to `installation_file`, and the member of that name in an activation's reply.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "InstallationFile")]
pub(super) struct InstallationFileBody<'a> {
    id: u64,
    #[serde(flatten)]
    newest: NewestVersion<'a, &'a str>,
    company: Company,
}

// The members of a version in other replies. Without a version they are empty. `File` is the file's address, or more.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewestVersion_{File}")]
pub(super) struct NewestVersion<'a, File> {
    version: &'a str,
    installation_file: File,
    release_date: Option<Iso>,
    hash_md5: &'a str,
    requires_version: Option<&'a str>,
    environment: &'a str,
    eula_link: &'a str,
    release_notes_link: &'a str,
    size: Option<u64>,
    channel: &'a str,
}

// The newest version in the reply to `product_details`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LatestVersion")]
pub(super) struct LatestVersion<'a> {
    id: u64,
    #[serde(flatten)]
    newest: NewestVersion<'a, &'a str>,
    full_link: &'a str,
    filename: &'a str,
    created_at: Option<Iso>,
    updated_at: Option<Iso>,
    enabled: bool,
    product_id: u64,
}

impl<'a> ListedVersion<'a> {
    pub(super) fn of(version: &'a Version) -> ListedVersion<'a> {
        ListedVersion { version: &version.version, release_date: version.release_date.map(Iso) }
    }
}

impl<'a> InstallationFileBody<'a> {
    pub(super) fn of(version: &'a Version, company: Company) -> InstallationFileBody<'a> {
        InstallationFileBody {
            id: version.id,
            newest: NewestVersion::of(Some(version), address(Some(version))),
            company,
        }
    }
}

impl<'a, File> NewestVersion<'a, File> {
    pub(super) fn of(version: Option<&'a Version>, file: File) -> NewestVersion<'a, File> {
        fn text<'a>(version: Option<&'a Version>, text: impl Fn(&'a Version) -> &'a str) -> &'a str {
            version.map_or("", text)
        }
        NewestVersion {
            version: text(version, |version| &version.version),
            installation_file: file,
            release_date: version.and_then(|version| version.release_date).map(Iso),
            hash_md5: text(version, |version| &version.hash_md5),
            requires_version: version.and_then(|version| version.requires_version.as_deref()),
            environment: version.and_then(|version| version.environment).map_or("", Environment::as_str),
            eula_link: text(version, |version| &version.eula_link),
            release_notes_link: text(version, |version| &version.release_notes_link),
            size: version.and_then(|version| version.size),
            channel: text(version, |version| &version.channel),
        }
    }
}

impl<'a> LatestVersion<'a> {
    pub(super) fn of(product: &Product, version: &'a Version) -> LatestVersion<'a> {
        LatestVersion {
            id: version.id,
            newest: NewestVersion::of(Some(version), address(Some(version))),
            full_link: &version.installation_file,
            filename: version.installation_file.rsplit('/').next().unwrap_or_default(),
            created_at: version.release_date.map(Iso),
            updated_at: version.release_date.map(Iso),
            enabled: true,
            product_id: product.id,
        }
    }
}

/// Returns the address of the version's file; empty without one.
pub(super) fn address(version: Option<&Version>) -> &str {
    version.map_or("", |version| &version.installation_file)
}
