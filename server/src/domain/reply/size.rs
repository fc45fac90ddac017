//! Finds the entries of a catalogue whose replies are too long for clients.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Body, Reply, product_details};
use crate::catalogue::{
    Catalogue, Consumption, Feature, Holder, License, MAX_SAFE_INTEGER, Product, User, VersionFilter,
};
use crate::domain::view::{FeatureView, LicenseView, PoolTotal, PoolView, UserView};

/// Longest body that clients accept. The client's own limit of this name is the same.
pub const LONGEST_REPLY_BYTES: usize = 1 << 20;

/// A text as long as the Base64 of a signature by the longest RSA key, 8192 bits.
const LONGEST_SIGNATURE: [u8; 1368] = [b'A'; 1368];

/// Returns a sentence for each license, feature and product whose reply clients would refuse for its length.
///
/// What devices add to a reply, their hardware id and variables, is not counted.
pub fn too_long(catalogue: &Catalogue) -> Vec<String> {
    longer_than(catalogue, LONGEST_REPLY_BYTES)
}

/// Returns a sentence for each license, feature and product whose reply is longer than this.
pub fn longer_than(catalogue: &Catalogue, longest_bytes: usize) -> Vec<String> {
    let licenses = catalogue.licenses().iter().flat_map(|license| {
        let name = format!("license {:?}", license.name());
        let of_license = (name.clone(), length(catalogue, &license_reply(catalogue, license)));
        let of_feature = |feature: &Arc<Feature>| {
            (
                format!("{name}, feature {:?}", feature.code),
                length(catalogue, &feature_reply(catalogue, license, feature)),
            )
        };
        std::iter::once(of_license).chain(license.features.iter().map(of_feature)).collect::<Vec<_>>()
    });
    let of_product = |product: &Product| (format!("product {:?}", product.code), product_length(catalogue, product));
    let all = licenses.chain(catalogue.products().map(of_product));
    let sentence = |(name, length)| {
        format!(
            "{name}: a reply about it has {length} bytes, and clients refuse more than {longest_bytes}: give it fewer \
             features, or less metadata"
        )
    };
    all.filter(|(_, length)| *length > longest_bytes).map(sentence).collect()
}

fn length(catalogue: &Catalogue, reply: &Reply) -> usize {
    let body = reply.body(catalogue, |_| Ok(String::from_utf8_lossy(&LONGEST_SIGNATURE).into_owned()));
    body.map_or(usize::MAX, |body| json_length(&body))
}

fn product_length(catalogue: &Catalogue, product: &Product) -> usize {
    // The longest version would have to be found. Each is far from the limit, because a request names it.
    product_details(catalogue, product, &VersionFilter::default(), true, true)
        .map_or(usize::MAX, |body| json_length(&body))
}

fn json_length(body: &Body) -> usize {
    if let Body::Json(json) = body { json.len() } else { 0 }
}

/// Makes the reply to an activation, which holds all that a check's does, with the longest number in each place.
fn license_reply(catalogue: &Catalogue, license: &Arc<License>) -> Reply {
    let longest_user = match &license.holder {
        Holder::Key(_) => None,
        Holder::Users(users) => users.iter().max_by_key(|user| text_length(user)),
    };
    Reply::Activation(Box::new(LicenseView {
        license: Arc::clone(license),
        user: longest_user.map(|user| UserView {
            user: Arc::clone(user),
            is_initial_password: false,
            total_activations: MAX_SAFE_INTEGER,
        }),
        auth: String::new(),
        hardware_id: String::new(),
        device_id: MAX_SAFE_INTEGER,
        pool: full_pool(),
        is_expired: false,
        times_activated: MAX_SAFE_INTEGER,
        transfer_count: MAX_SAFE_INTEGER,
        overages: license.overages(),
        total_consumptions: -(MAX_SAFE_INTEGER as i64),
        consumption_pool: full_consumption_pool(catalogue, license.consumption.as_ref()),
        features: license.features.iter().map(|feature| feature_view(catalogue, feature)).collect(),
        variables: Vec::new(),
        version: license.product.versions.last().cloned(),
    }))
}

fn feature_reply(catalogue: &Catalogue, license: &License, feature: &Arc<Feature>) -> Reply {
    Reply::Feature { license_id: license.id, feature: feature_view(catalogue, feature), include_metadata_string: true }
}

fn feature_view(catalogue: &Catalogue, feature: &Arc<Feature>) -> FeatureView {
    FeatureView {
        feature: Arc::clone(feature),
        pool: full_pool(),
        is_expired: false,
        total_consumptions: -(MAX_SAFE_INTEGER as i64),
        consumption_pool: full_consumption_pool(catalogue, feature.consumption.as_ref()),
    }
}

fn full_consumption_pool(catalogue: &Catalogue, terms: Option<&Consumption>) -> Option<PoolTotal> {
    let pool = Arc::clone(catalogue.consumption_pool(terms?.pool_id?)?);
    Some(PoolTotal { pool, total: -(MAX_SAFE_INTEGER as i64), reserved: MAX_SAFE_INTEGER as i64 })
}

fn full_pool() -> PoolView {
    PoolView { in_use: u64::from(u32::MAX), borrowed_until: Some(DateTime::<Utc>::UNIX_EPOCH) }
}

fn text_length(user: &User) -> usize {
    [&user.email, &user.first_name, &user.last_name, &user.phone_number].map(String::len).iter().sum()
}
