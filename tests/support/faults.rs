//! The faults of the sandbox, and what a client makes of each. The guide has the same table.

/// Whether the borrow was carried out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slot {
    Free,
    Held,
}
use Slot::{Free, Held};

/// A fault, what a borrow under it ends as, and whether the slot is held afterwards.
pub type Row = (&'static str, &'static str, &'static str, Slot);

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    (r#"{"before":{"code":"license_expired"}}"#, "LICENSE_EXPIRED", "rejected", Free),
    (r#"{"before":{"undocumented_code":"brand_new"}}"#, "UNKNOWN_CODE", "rejected", Free),
    (r#"{"before":{"oauth_error":"invalid_client"}}"#, "REPLY_NOT_API", "unknown", Free),
    (r#"{"before":{"http":{"status":407}}}"#, "PROXY_AUTH", "unknown", Free),
    (r#"{"before":{"http":{"status":429,"retry_after_s":100}}}"#, "RATE_LIMITED", "rejected", Free),
    (r#"{"before":{"http":{"status":500}}}"#, "SERVER_ERROR", "unknown", Free),
    (r#"{"before":{"http":{"status":502}}}"#, "SERVER_ERROR", "unknown", Free),
    (r#"{"before":{"http":{"status":503,"retry_after_s":100}}}"#, "SERVER_ERROR", "unknown", Free),
    (r#"{"before":{"http":{"status":504}}}"#, "SERVER_ERROR", "unknown", Free),
    (r#"{"before":"html_page"}"#, "REPLY_NOT_API", "unknown", Free),
    (r#"{"before":{"redirect":"http://127.0.0.1:9/"}}"#, "REPLY_REDIRECT", "unknown", Free),
    (r#"{"before":"hang"}"#, "TIMEOUT", "unknown", Free),
    (r#"{"before":"refuse"}"#, "CONNECTION_LOST", "unknown", Free),
    (r#"{"before":{"delay":{"fixed_ms":5}}}"#, "OK", "", Held),
    (r#"{"before":{"delay":{"uniform_ms":[1,5]}}}"#, "OK", "", Held),
    (r#"{"before":{"delay":{"log_normal":{"median_ms":2,"sigma":0.1}}}}"#, "OK", "", Held),
    (r#"{"after_commit":"close"}"#, "CONNECTION_LOST", "unknown", Held),
    (r#"{"after_commit":"reset"}"#, "CONNECTION_LOST", "unknown", Held),
    (r#"{"after_commit":"truncate"}"#, "REPLY_TRUNCATED", "unknown", Held),
    (r#"{"after_commit":{"dribble":{"bytes":100,"every_ms":1}}}"#, "OK", "", Held),
    (r#"{"after_commit":{"dribble":{"bytes":1,"every_ms":100}}}"#, "TIMEOUT", "unknown", Held),
    (r#"{"after_commit":{"wrong_length":10}}"#, "TIMEOUT", "unknown", Held),
    (r#"{"after_commit":{"wrong_length":-10}}"#, "REPLY_SIGNATURE", "unknown", Held),
    (r#"{"after_commit":{"delay":{"fixed_ms":5000}}}"#, "TIMEOUT", "unknown", Held),
    (r#"{"reply":"signature_missing"}"#, "REPLY_UNSIGNED", "unknown", Held),
    (r#"{"reply":"signature_garbage"}"#, "REPLY_SIGNATURE", "unknown", Held),
    (r#"{"reply":"signature_of_another_key"}"#, "REPLY_SIGNATURE", "unknown", Held),
    (r#"{"reply":"signature_of_another_body"}"#, "REPLY_SIGNATURE", "unknown", Held),
    (r#"{"reply":"flipped_byte"}"#, "REPLY_SIGNATURE", "unknown", Held),
    (r#"{"reply":"json_broken"}"#, "REPLY_TRUNCATED", "unknown", Held),
    (r#"{"reply":{"member_missing":"borrowed_until"}}"#, "REPLY_NOT_OURS", "unknown", Held),
    (r#"{"reply":{"member_null":"borrowed_until"}}"#, "REPLY_NOT_OURS", "unknown", Held),
    (r#"{"reply":{"member_wrong_type":"license_id"}}"#, "REPLY_NOT_OURS", "unknown", Held),
    (r#"{"reply":"member_unknown"}"#, "OK", "", Held),
    (r#"{"reply":"huge"}"#, "REPLY_TOO_LARGE", "unknown", Held),
    (r#"{"reply":"replay"}"#, "REPLY_NOT_OURS", "unknown", Held),
];
