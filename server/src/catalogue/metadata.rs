//! Turns free-form values of the catalogue into JSON that JavaScript reads and writes unchanged.
//!
//! Some clients verify the signature of `JSON.stringify(JSON.parse(body))`, so the vendor's metadata must survive that.
//! Keys that JavaScript takes for array indices come first, in ascending order, and numbers are as JavaScript prints them.

use serde_json::{Map, Number, Value};

/// The largest integer that JavaScript represents exactly.
pub(crate) const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Returns the table as JSON, or `None` if JavaScript would change a value in it.
pub(super) fn object(table: &toml::Table) -> Option<Map<String, Value>> {
    let mut entries: Vec<(&String, &toml::Value)> = table.iter().collect();
    entries.sort_by_key(|(key, _)| array_index(key).map_or((1, 0), |index| (0, index)));
    entries.into_iter().map(|(key, value)| Some((key.clone(), json(value)?))).collect()
}

fn json(value: &toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Boolean(truth) => Value::Bool(*truth),
        toml::Value::Datetime(date) => Value::String(date.to_string()),
        toml::Value::Integer(number) => integer(*number)?,
        toml::Value::Float(number) => float(*number)?,
        toml::Value::Array(values) => Value::Array(values.iter().map(json).collect::<Option<_>>()?),
        toml::Value::Table(table) => Value::Object(object(table)?),
    })
}

fn integer(number: i64) -> Option<Value> {
    (number.unsigned_abs() <= MAX_SAFE_INTEGER).then(|| number.into())
}

/// Returns a number as JSON: whole numbers as integers, others only if JavaScript writes them without an exponent.
fn float(number: f64) -> Option<Value> {
    let text = Number::from_f64(number)?.to_string();
    match text.strip_suffix(".0") {
        Some("-0") => Some(0.into()),
        Some(whole) => integer(whole.parse().ok()?),
        None if text.contains('e') => None,
        None => Some(Value::Number(Number::from_f64(number)?)),
    }
}

/// Returns the array index that JavaScript takes the key for: a canonical decimal below 2^32 - 1.
fn array_index(key: &str) -> Option<u32> {
    let index: u32 = key.parse().ok()?;
    (index < u32::MAX && index.to_string() == key).then_some(index)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(toml: &str) -> Option<String> {
        object(&toml.parse().unwrap()).map(|map| serde_json::to_string(&map).unwrap())
    }

    #[test]
    fn keys_and_numbers_are_as_javascript_writes_them() {
        let toml =
            "b = 1.0\n10 = -0.0\n9 = 2.5\n01 = 1e3\nlist = [0.1, 0.00001, true, \"\\u0001é\"]\nwhen = 2026-01-02";
        let json = r#"{"9":2.5,"10":0,"01":1000,"b":1,"list":[0.1,0.00001,true,"\u0001é"],"when":"2026-01-02"}"#;
        assert_eq!(text(toml).as_deref(), Some(json));
    }

    #[test]
    fn values_that_javascript_changes_are_refused() {
        for toml in ["a = 1e-7", "a = 1.5e-7", "a = 1e21", "a = nan", "a = inf", "a = 9007199254740992"] {
            assert_eq!(text(toml), None, "{toml}");
        }
    }
}
