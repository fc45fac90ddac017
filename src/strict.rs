//! Checks the caller's JSON. An unknown key or a wrong type is an error that names the nearest key or the expected
//! type.
//!
//! Names and keys are often pasted, so what can't be meant at their ends is taken off. Messages name keys and never
//! values, because a value may be a secret.

use crate::error::Error;
use crate::operations::Kind;
use crate::status::Status;
use serde_json::{Map, Value};

/// A JSON object from the caller.
pub(crate) type Object = Map<String, Value>;

/// The members whose values are names or keys that people type. A hardware id is the host's own, and is sent as it is.
const NAMES: [&str; 15] = [
    "product",
    "license_key",
    "username",
    "api_key",
    "shared_key",
    "client_id",
    "client_secret",
    "oauth_url",
    "bundle_code",
    "customer_account_code",
    "id_token",
    "code",
    "feature",
    "features",
    "base_url",
];

/// Those of them that are made by a machine and hold no invisible characters.
const KEYS: [&str; 10] = [
    "product",
    "license_key",
    "api_key",
    "shared_key",
    "client_id",
    "client_secret",
    "oauth_url",
    "id_token",
    "code",
    "base_url",
];

/// Parses one JSON object. `what` is its name for messages, such as "the config".
pub(crate) fn parse_object(what: &str, text: &str) -> Result<Object, Error> {
    // Editors on Windows put a byte order mark before a file.
    match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => {
            let found = type_name(&other);
            Err(Error::because(Status::Json, format!("{what} is invalid: expected a JSON object, found {found}.")))
        }
        Err(error) => Err(Error::because(Status::Json, format!("{what} is invalid JSON: {error}."))),
    }
}

/// Checks every member of `object` against the `known` keys and their types.
///
/// A null member counts as absent and is removed, except for keys where null has a meaning.
pub(crate) fn check(what: &str, object: &mut Object, known: &[(&str, Kind)]) -> Result<(), Error> {
    object.retain(|key, value| {
        !value.is_null() || known.iter().all(|(name, kind)| name != key || *kind == Kind::TimeOrNull)
    });
    for (key, value) in object.iter_mut() {
        let Some((_, kind)) = known.iter().find(|(name, _)| name == key) else {
            return Err(unknown_key(what, key, known.iter().map(|(name, _)| *name)));
        };
        if !fits(value, *kind) {
            let (expected, found) = (kind_name(*kind), type_name(value));
            let message = format!("\"{key}\" in {what} is invalid: expected {expected}, found {found}.");
            return Err(Error::because(Status::WrongType, message));
        }
        match value {
            Value::String(text) if NAMES.contains(&key.as_str()) => clean(what, key, text)?,
            Value::Array(texts) if NAMES.contains(&key.as_str()) => {
                for value in texts {
                    if let Value::String(text) = value {
                        clean(what, key, text)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Takes white space and characters without a shape off both ends of a name.
///
/// # Errors
/// [`Status::BadValue`] if such a character, other than a blank, stands inside of a key: nobody sees why the key is wrong.
/// Names of people and features may have them, as the wide blank of Japanese.
fn clean(what: &str, key: &str, text: &mut String) -> Result<(), Error> {
    let trimmed = text.trim_matches(is_invisible);
    let before = text.chars().take_while(|c| is_invisible(*c)).count();
    let mut places = trimmed.chars().zip(before..).filter(|_| KEYS.contains(&key));
    if let Some((odd, at)) = places.find(|(c, _)| *c != ' ' && is_invisible(*c)) {
        let message = format!(
            "\"{key}\" in {what} holds a character that nobody can see, U+{:04X}, in place {}: type it anew.",
            u32::from(odd),
            at + 1
        );
        return Err(Error::because(Status::BadValue, message));
    }
    if trimmed.len() < text.len() {
        *text = trimmed.to_owned();
    }
    Ok(())
}

/// Returns true for white space of any kind, and for characters that have no width, such as the byte order mark and the
/// marks of the direction of writing.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Returns the error for an unknown key. It names the nearest of `candidates`.
pub(crate) fn unknown_key<'a>(what: &str, key: &str, candidates: impl Iterator<Item = &'a str>) -> Error {
    // A long key is more likely a pasted value than a typing mistake, so it may be a secret.
    let shown = if key.len() <= 40 { format!("\"{key}\"") } else { "a key of more than 40 bytes".to_owned() };
    let hint = match nearest(key, candidates) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "remove it, or correct its name.".to_owned(),
    };
    Error::because(Status::UnknownKey, format!("{shown} is not a key of {what}: {hint}"))
}

/// Returns the candidate with the smallest edit distance to `key`; `None` if even that is large.
pub(crate) fn nearest<'a>(key: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, candidate) = candidates.map(|candidate| (edit_distance(key, candidate), candidate)).min()?;
    (distance <= (key.len() / 2).max(2)).then_some(candidate)
}

/// Returns the Levenshtein distance in bytes. A missing end such as `_ms` counts as one.
fn edit_distance(from: &str, to: &str) -> usize {
    if !from.is_empty() && to.strip_prefix(from).is_some_and(|rest| rest.starts_with('_')) {
        return 1;
    }
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

/// Returns true if the value has this type.
fn fits(value: &Value, kind: Kind) -> bool {
    match kind {
        Kind::Text => value.is_string(),
        Kind::Integer => value.is_i64() || value.is_u64(),
        Kind::Boolean => value.is_boolean(),
        Kind::TimeOrNull => value.is_string() || value.is_null(),
        Kind::Object => value.is_object(),
        Kind::File => value.is_string(),
        Kind::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
    }
}

/// Returns the name of an expected type for messages.
fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::File => "a string",
        Kind::Integer => "an integer",
        Kind::Boolean => "true or false",
        Kind::TimeOrNull => "a date as a string, or null",
        Kind::Object => "an object",
        Kind::Texts => "an array of strings",
    }
}

/// Returns the name of a found type for messages.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[(&str, Kind)] = &[
        ("license_key", Kind::Text),
        ("timeout_ms", Kind::Integer),
        ("event", Kind::Texts),
        ("wait_ms", Kind::Integer),
    ];

    fn mistake(text: &str) -> String {
        parse_object("the config", text)
            .and_then(|mut object| check("the config", &mut object, KNOWN))
            .unwrap_err()
            .message()
    }

    #[test]
    fn mistakes_name_the_key_and_what_was_meant() {
        for (text, expected) in [
            (r#"{"licens_key":"x"}"#, r#""licens_key" is not a key of the config: did you mean "license_key"?"#),
            (r#"{"timeout":5}"#, r#""timeout" is not a key of the config: did you mean "timeout_ms"?"#),
            (r#"{"wait":5}"#, r#""wait" is not a key of the config: did you mean "wait_ms"?"#),
            (r#"{"w":5}"#, r#""w" is not a key of the config: remove it, or correct its name."#),
            (r#"{"":5}"#, r#""" is not a key of the config: remove it, or correct its name."#),
            (r#"{"zzz":5}"#, r#""zzz" is not a key of the config: remove it, or correct its name."#),
            (r#"{"timeout_ms":"5"}"#, r#""timeout_ms" in the config is invalid: expected an integer, found a string."#),
            (
                r#"{"timeout_ms":0.5}"#,
                r#""timeout_ms" in the config is invalid: expected an integer, found a number with a fraction."#,
            ),
            (
                r#"{"event":["a",1]}"#,
                r#""event" in the config is invalid: expected an array of strings, found an array."#,
            ),
            ("[]", "the config is invalid: expected a JSON object, found an array."),
            ("{", "the config is invalid JSON: EOF while parsing an object at line 1 column 1."),
        ] {
            assert_eq!(mistake(text), expected, "{text}");
        }
    }

    #[test]
    fn what_can_not_be_meant_is_taken_off_names_and_named_inside_of_them() {
        let cleaned = |text: &str| {
            let mut object = parse_object("the config", text)?;
            check("the config", &mut object, KNOWN).map(|()| Value::from(object).to_string())
        };
        let key = |key: &str| serde_json::json!({ "license_key": key }).to_string();
        for pasted in ["A1-b 2", " A1-b 2\n", "\u{feff}A1-b 2", "\u{a0}A1-b 2\u{200b}", "\u{2060}\tA1-b 2\u{200e}\r\n"]
        {
            assert_eq!(cleaned(&key(pasted)).unwrap(), key("A1-b 2"), "{pasted:?}");
        }
        assert_eq!(cleaned("\u{feff}{\"wait_ms\":5}").unwrap(), r#"{"wait_ms":5}"#);
        assert_eq!(cleaned(r#"{"event":[" a "]}"#).unwrap(), r#"{"event":[" a "]}"#, "no name");
        for (odd, said) in
            [("A1\u{200b}B", "U+200B, in place 3"), ("\u{a0}A\u{a0}B", "U+00A0, in place 3"), ("A\nB", "U+000A")]
        {
            let error = cleaned(&key(odd)).unwrap_err();
            assert_eq!(error.status, Status::BadValue);
            assert!(
                error.message().starts_with("\"license_key\" in the config holds a character that nobody"),
                "{error}"
            );
            assert!(error.message().contains(said), "{error}");
        }
    }

    #[test]
    fn a_pasted_value_is_not_echoed() {
        assert!(!mistake(r#"{"sk-0123456789012345678901234567890123456789":1}"#).contains("0123"));
    }
}
