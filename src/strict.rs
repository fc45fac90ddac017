//! Strictness towards the caller: an unknown or mistyped key is an error that says what was meant and expected.
//! Messages name keys, never values: a value may be a secret.

use crate::error::Error;
use crate::operations::Kind;
use crate::status::Status;
use serde_json::{Map, Value};

/// A JSON object of the caller.
pub(crate) type Object = Map<String, Value>;

/// Reads one JSON object; `what` names it in messages: "the config", "the request".
pub(crate) fn parse_object(what: &str, text: &str) -> Result<Object, Error> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => {
            let found = type_name(&other);
            Err(Error::because(Status::Json, format!("{what} must be a JSON object, not {found}.")))
        }
        Err(error) => Err(Error::because(Status::Json, format!("{what} is not valid JSON: {error}."))),
    }
}

/// Checks every member of `object` against the `known` keys and their types. A null is as good as nothing and taken
/// out, unless it has a meaning of its own.
pub(crate) fn check(what: &str, object: &mut Object, known: &[(&str, Kind)]) -> Result<(), Error> {
    object.retain(|key, value| {
        !value.is_null() || known.iter().all(|(name, kind)| name != key || *kind == Kind::TimeOrNull)
    });
    for (key, value) in object.iter() {
        let Some((_, kind)) = known.iter().find(|(name, _)| name == key) else {
            return Err(unknown_key(what, key, known.iter().map(|(name, _)| *name)));
        };
        if !fits(value, *kind) {
            let (expected, found) = (kind_name(*kind), type_name(value));
            let message = format!("\"{key}\" in {what} must be {expected}, not {found}.");
            return Err(Error::because(Status::WrongType, message));
        }
    }
    Ok(())
}

/// The error for a name that is none of `candidates`, naming the nearest.
pub(crate) fn unknown_key<'a>(what: &str, key: &str, candidates: impl Iterator<Item = &'a str>) -> Error {
    // A long "key" is more likely a pasted value than a slip of the keyboard; it may be a secret.
    let shown = if key.len() <= 40 { format!("\"{key}\"") } else { "a key of more than 40 bytes".to_owned() };
    let hint = match nearest(key, candidates) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "it is none of the documented ones.".to_owned(),
    };
    Error::because(Status::UnknownKey, format!("{shown} is not a key of {what}: {hint}"))
}

/// The candidate that fewest keystrokes turn `key` into, unless all are far off.
pub(crate) fn nearest<'a>(key: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, candidate) = candidates.map(|candidate| (keystrokes(key, candidate), candidate)).min()?;
    (distance <= (key.len() / 2).max(2)).then_some(candidate)
}

/// Levenshtein's distance, by bytes: good enough for keys. What is left out at the end counts as one: a unit, say.
fn keystrokes(from: &str, to: &str) -> usize {
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

fn fits(value: &Value, kind: Kind) -> bool {
    match kind {
        Kind::Text => value.is_string(),
        Kind::Integer => value.is_i64() || value.is_u64(),
        Kind::Boolean => value.is_boolean(),
        Kind::TimeOrNull => value.is_string() || value.is_null(),
        Kind::Object => value.is_object(),
        Kind::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "a string",
        Kind::Integer => "an integer",
        Kind::Boolean => "true or false",
        Kind::TimeOrNull => "a date as a string, or null",
        Kind::Object => "an object",
        Kind::Texts => "an array of strings",
    }
}

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
            (r#"{"w":5}"#, r#""w" is not a key of the config: it is none of the documented ones."#),
            (r#"{"":5}"#, r#""" is not a key of the config: it is none of the documented ones."#),
            (r#"{"zzz":5}"#, r#""zzz" is not a key of the config: it is none of the documented ones."#),
            (r#"{"timeout_ms":"5"}"#, r#""timeout_ms" in the config must be an integer, not a string."#),
            (
                r#"{"timeout_ms":0.5}"#,
                r#""timeout_ms" in the config must be an integer, not a number with a fraction."#,
            ),
            (r#"{"event":["a",1]}"#, r#""event" in the config must be an array of strings, not an array."#),
            ("[]", "the config must be a JSON object, not an array."),
            ("{", "the config is not valid JSON: EOF while parsing an object at line 1 column 1."),
        ] {
            assert_eq!(mistake(text), expected, "{text}");
        }
    }

    #[test]
    fn a_pasted_value_is_not_echoed() {
        assert!(!mistake(r#"{"sk-0123456789012345678901234567890123456789":1}"#).contains("0123"));
    }
}
