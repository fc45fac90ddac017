//! What the server's reply says about a slot.

use crate::client::Answer;
use crate::error::{Error, Outcome};
use crate::lease::context::{RequestContext, object, says};
use crate::lease::slot::proof::borrowed_until;
use crate::lease::state_machine::{Millis, NEVER};
use crate::model;
use crate::status::Status;
use crate::strict::Object;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

/// How long the server counts a slot for this device.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SlotStatus {
    /// For `timeout_ms` after it was asked for, but not beyond the expiry of the license or the feature.
    Held { asked_at: Millis, timeout_ms: i64, expires_at: Millis },
    /// Until a date, with or without a network. It `ends_at` that date at the server, or a little before.
    Borrowed { asked_at: Millis, until: DateTime<Utc>, ends_at: Millis },
}

/// The server's yes to a slot, or the stored proof of an earlier yes.
#[derive(Debug, Clone)]
pub(crate) struct Confirmation {
    pub(crate) status: SlotStatus,
    /// The server's reply; `None` if the server was not asked.
    pub(crate) reply: Option<String>,
    /// The end of the borrow that the server reports, by whomever it was made. The latest possible date if the server
    /// reports a borrow without its end.
    pub(crate) borrowed_until: Option<DateTime<Utc>>,
    /// True if the server counts a slot. A license that does not float is only checked from time to time.
    pub(crate) is_floating: bool,
    /// Until this moment, a server without order numbers may still carry out an earlier request that frees the slot.
    pub(crate) doubted_until: Option<Millis>,
}

/// Upper limit for the timeout of a slot: a year. The time spans of some languages can't hold what a reply can.
const MAX_TIMEOUT_MS: i64 = 366 * 24 * 60 * 60 * 1000;

/// Timeout of a license that does not float, if the server names none.
const NON_FLOATING_TIMEOUT_MS: i64 = 120 * 60_000;

/// Members of a positive reply that nevertheless deny the right to use the license or the feature.
const NO_RIGHT: [(&str, bool, Status); 3] = [
    ("is_expired", true, Status::LicenseExpired),
    ("license_active", false, Status::LicenseNotActive),
    ("license_enabled", false, Status::LicenseNotEnabled),
];

impl Confirmation {
    /// Reads a positive reply about the slot of `feature`, or about the license's own slot, that was asked for at
    /// `asked_at`.
    ///
    /// # Errors
    /// The reply denies the right to use it, or the slot is managed by a floating server of the customer's own.
    pub(super) fn from_answer(
        context: &RequestContext,
        feature: Option<&str>,
        asked_at: Millis,
        answer: &Answer,
    ) -> Result<Confirmation, Error> {
        let reply = object(answer);
        let status = slot_status(context, feature, asked_at, &reply)?;
        let is_borrowed = says(&reply, "is_borrowed");
        let is_floating = is_borrowed || says(&reply, "is_floating_cloud");
        // The API does not require a feature's reply to contain the date.
        let borrowed_until = borrowed_until(&reply, None).or(is_borrowed.then_some(DateTime::<Utc>::MAX_UTC));
        Ok(Confirmation { status, reply: Some(answer.text.clone()), borrowed_until, is_floating, doubted_until: None })
    }
}

fn slot_status(
    context: &RequestContext,
    feature: Option<&str>,
    asked_at: Millis,
    reply: &Object,
) -> Result<SlotStatus, Error> {
    let clock = &context.shared.clock;
    let contains = |member, value| reply.get(member) == Some(&Value::Bool(value));
    if let Some((.., status)) = NO_RIGHT.into_iter().find(|(member, value, _)| contains(*member, *value)) {
        return Err(Error::new(status).with_outcome(Outcome::Rejected));
    }
    if let Some(until) = borrowed_until(reply, None).filter(|_| feature.is_none()) {
        return Ok(SlotStatus::Borrowed { asked_at, until, ends_at: clock.moment_of(until) });
    }
    if says(reply, "is_floating") {
        let what = feature.map_or("The license".to_owned(), |feature| format!("The feature {feature:?}"));
        let message = format!("{what} floats on a server of its own, which this library does not speak to.");
        return Err(Error::because(Status::NotFloating, message).with_outcome(Outcome::Rejected));
    }
    // A license that does not float is valid without a slot: a vendor may have upgraded the customer.
    let minutes = reply.get("floating_timeout").and_then(Value::as_i64).filter(|minutes| *minutes > 0);
    let timeout_ms =
        minutes.map_or(NON_FLOATING_TIMEOUT_MS, |minutes| minutes.saturating_mul(60_000).min(MAX_TIMEOUT_MS));
    let expires_at = expiry(reply, feature.is_some()).map(|date| clock.moment_of(date));
    // A server that says yes after the expiry date has its reasons, so the date is ignored then.
    let expires_at = expires_at.filter(|at| *at > clock.now()).unwrap_or(NEVER);
    Ok(SlotStatus::Held { asked_at, timeout_ms, expires_at })
}

/// The expiry date of the license or the feature in a reply, including a subscription's grace period.
fn expiry(reply: &Object, of_feature: bool) -> Option<DateTime<Utc>> {
    let date = |member| reply.get(member).and_then(Value::as_str).and_then(model::parse_time);
    if of_feature {
        return date("expiry_date");
    }
    let is_subscription = reply.get("license_type").and_then(Value::as_str) == Some("subscription");
    let has_grace = is_subscription && says(reply, "allow_grace_period");
    let grace_hours = reply.get("grace_period").and_then(Value::as_i64).filter(|_| has_grace);
    date("validity_period")?.checked_add_signed(TimeDelta::try_hours(grace_hours.unwrap_or_default())?)
}

/// The id of the license in a reply about the license itself, or about a feature of it.
pub(super) fn named_license(reply: &Object, feature: Option<&str>) -> Option<u64> {
    reply.get(if feature.is_some() { "license_id" } else { "id" }).and_then(Value::as_u64)
}
