//! What proves a borrow without the server: its signed replies.

use crate::client::Answer;
use crate::error::Error;
use crate::lease::context::RequestContext;
use crate::lease::storage::json::StoredObject;
use crate::model;
use crate::reply::judge_kept;
use crate::status::Status;
use crate::strict::Object;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// Replies of the server that together prove a borrow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Proof {
    /// The reply of check_license after the borrow. Its signatures bind license, device, hardware id and what is borrowed.
    pub(crate) license: Signed,
    /// The reply of the borrow, which binds license, device and date. Missing only if it was lost and the license tells the
    /// date.
    pub(crate) borrow: Option<Signed>,
}

/// A reply as the server sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Signed {
    pub(crate) body: String,
    pub(super) signature: Option<String>,
}

impl Signed {
    fn from_stored(stored: StoredObject) -> Option<Signed> {
        Some(Signed { body: stored.text("body")?, signature: stored.optional("signature", StoredObject::text)? })
    }
}

impl From<&Answer> for Signed {
    fn from(answer: &Answer) -> Self {
        Signed { body: answer.text.clone(), signature: answer.signature.clone() }
    }
}

impl Proof {
    pub(super) fn from_stored(stored: StoredObject) -> Option<Proof> {
        Some(Proof {
            license: Signed::from_stored(stored.object("license")?)?,
            borrow: stored.optional("borrow", |stored, key| Signed::from_stored(stored.object(key)?))?,
        })
    }

    /// The end of the borrow that the replies prove. Does not compare it with the clock.
    ///
    /// # Errors
    /// [`Status::NoProof`]: the replies are not about this license, device and feature, or are not signed.
    pub(crate) fn until(&self, context: &RequestContext, feature: Option<&str>) -> Result<DateTime<Utc>, Error> {
        let client = &context.shared.client;
        // These requests are not sent. They say what the stored replies must answer.
        let judge = |operation, own: &[(&str, Value)], signed: &Signed| {
            let request = context.license_ref.request(client, operation, own, Duration::from_secs(1))?;
            judge_kept(&request, &signed.body, signed.signature.as_deref(), client.config()).map_err(does_not_hold)
        };
        let license = judge("check_license", &[], &self.license)?;
        let dated = match (&self.borrow, feature) {
            (None, _) => return borrowed_until(&license, feature).ok_or_else(|| no_proof("It tells no date.")),
            (Some(borrow), None) => judge("borrow_license", &[], borrow)?,
            (Some(borrow), Some(feature)) => judge("borrow_feature", &[("feature", feature.into())], borrow)?,
        };
        if dated.get("license_id") != license.get("id") || dated.get("device_id") != license.get("device_id") {
            return Err(no_proof("The replies are about different devices or licenses."));
        }
        // The API does not require a borrow's reply to name the feature. If it does not, the license must tell that the
        // feature is borrowed. The license always tells of its own slot, and a reply that names a feature is not about
        // that slot.
        let told = entry(&license, feature);
        let named = feature.is_some() && dated.contains_key("feature");
        if !named && !told.is_some_and(is_borrowed) {
            return Err(no_proof("The replies do not say that this is borrowed."));
        }
        let ends = date(&dated).ok_or_else(|| no_proof("The borrow tells no date."))?;
        // If the license tells an earlier date, the reply is one to another borrow.
        Ok(told.and_then(date).map_or(ends, |told| told.min(ends)))
    }
}

/// The end of the borrow of the license's own slot, or of a feature's slot, in a reply of check_license. The API does not
/// require the date of a feature there.
pub(crate) fn borrowed_until(license: &Object, feature: Option<&str>) -> Option<DateTime<Utc>> {
    let entry = entry(license, feature)?;
    date(entry).filter(|_| is_borrowed(entry))
}

/// The part of a check_license reply that is about the license itself, or about a feature.
fn entry<'a>(license: &'a Object, feature: Option<&str>) -> Option<&'a Object> {
    let Some(feature) = feature else { return Some(license) };
    let entries = license.get("product_features").and_then(Value::as_array)?.iter().filter_map(Value::as_object);
    let code = |entry: &&Object| entry.get("code").and_then(Value::as_str).map(str::to_owned);
    entries.into_iter().find(|entry| code(entry).is_some_and(|code| code.eq_ignore_ascii_case(feature)))
}

fn is_borrowed(entry: &Object) -> bool {
    entry.get("is_borrowed") == Some(&Value::Bool(true))
}

/// The member `borrowed_until`.
fn date(reply: &Object) -> Option<DateTime<Utc>> {
    reply.get("borrowed_until").and_then(Value::as_str).and_then(model::parse_time)
}

pub(super) fn no_proof(why: impl Into<String>) -> Error {
    Error::because(Status::NoProof, why)
}

/// Turns the error of a stored reply, which is checked like a fresh one, into one of the stored proof.
fn does_not_hold(error: Error) -> Error {
    no_proof(format!("What is stored is not believed: {}", error.message()))
}
