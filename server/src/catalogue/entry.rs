//! Reads one entry of the catalogue file, key by key, and collects every error, so that a user sees all of them at once.
//!
//! Each error names the entry, the key and the expected value, or, for an unknown key, the nearest known key.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;

use chrono::{DateTime, Datelike, Utc};
use floatlease::model::parse_time;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::Map;
use toml::{Table, Value};

use super::api_client::OauthScope;
use super::metadata;
use super::types::{
    AuthorizationMethod, Environment, LONGEST_TEXT_BYTES, LicenseType, Period, PoolKind, ProductStatus,
};

/// The errors that were found in the file so far.
pub(super) type ErrorList = RefCell<Vec<String>>;

/// One table of the file, whose keys are taken out as they are read.
pub(super) struct Entry<'n> {
    /// The entry's name in messages: `license "AAAA-BBBB-CCCC-DDDD"`.
    pub(super) title: String,
    table: Table,
    known: Vec<&'static str>,
    errors: &'n ErrorList,
}

/// A type that can be read from a value of the file.
pub(super) trait Read: Sized {
    /// The type's description in messages.
    const EXPECTED: &'static str;
    /// The types of TOML that a value may have.
    const TYPES: &'static [&'static str];
    /// Returns the value, if it is of this type.
    fn read(value: &Value) -> Option<Self>;
}

impl<'n> Entry<'n> {
    pub(super) fn new(title: impl Into<String>, table: Table, errors: &'n ErrorList) -> Entry<'n> {
        Entry { title: title.into(), table, known: Vec::new(), errors }
    }

    /// Returns the value of `key`, if it is given and of the right type.
    pub(super) fn optional<T: Read>(&mut self, key: &'static str) -> Option<T> {
        self.known.push(key);
        let value = self.table.remove(key)?;
        let read = T::read(&value);
        if read.is_none() {
            self.report(format!("`{key}` must be {}, but {}", T::EXPECTED, found(&value, T::TYPES)));
        }
        read
    }

    /// Returns the value of `key`, or `default`.
    pub(super) fn or<T: Read>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// Returns the value of `key`, which must be given.
    pub(super) fn required<T: Read + Default>(&mut self, key: &'static str) -> T {
        match self.table.get(key) {
            None => self.report(format!("`{key}` is missing: give it {}", T::EXPECTED)),
            Some(Value::String(text)) if text.is_empty() => self.report(format!("`{key}` is empty: give it a text")),
            Some(_) => {}
        }
        self.or(key, T::default())
    }

    /// Returns the text of `key`, which must be given. Requests name the entry by it.
    pub(super) fn name(&mut self, key: &'static str) -> String {
        let text: String = self.required(key);
        self.check_length(key, &text, LONGEST_TEXT_BYTES);
        text
    }

    /// Reports a text that is longer than a request may hold.
    pub(super) fn check_length(&self, key: &str, text: &str, longest: usize) {
        if text.len() > longest {
            self.report(format!(
                "`{key}` is {} bytes long, but a request may hold no more than {longest}: shorten it",
                text.len()
            ));
        }
    }

    /// Returns whether `key` is given and was not read yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Notes that `key` is a known key, which this entry lacks.
    pub(super) fn expect(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// Returns the table `key`, if it is given.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Entry<'n>> {
        let table = self.optional::<Table>(key)?;
        Some(Entry::new(format!("{}, `{key}`", self.title), table, self.errors))
    }

    /// Returns the tables `[[key]]`. Each is called by its value of `name` in messages.
    pub(super) fn tables(&mut self, key: &'static str, name: &str) -> Vec<Entry<'n>> {
        let tables = self.or::<Vec<Table>>(key, Vec::new());
        let title = |(number, table): (usize, &Table)| match table.get(name).and_then(Value::as_str) {
            Some(name) => format!("{key} {name:?}"),
            None => format!("{key} number {}", number + 1),
        };
        let titles: Vec<String> = tables.iter().enumerate().map(title).collect();
        titles.into_iter().zip(tables).map(|(title, table)| Entry::new(title, table, self.errors)).collect()
    }

    /// Reports every key that was not read.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let nearest = self.known.iter().min_by_key(|known| distance(key, known));
            let advice = nearest.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
            self.report(format!("`{key}` is an unknown key{advice}"));
        }
    }

    /// Adds an error of this entry.
    pub(super) fn report(&self, error: impl AsRef<str>) {
        self.errors.borrow_mut().push(format!("{}: {}", self.title, error.as_ref()));
    }
}

/// Describes a value that is not as expected. It does not tell the value, which may be a secret.
fn found(value: &Value, types: &[&str]) -> String {
    if !types.contains(&value.type_str()) {
        return format!("is of type {}", value.type_str());
    }
    let found = match value {
        Value::Integer(number) if *number < 0 => "the number is too small",
        Value::Integer(_) => "the number is too large",
        Value::String(_) => "is another text",
        Value::Datetime(_) => "is another date or time",
        _ => "holds something else",
    };
    found.to_owned()
}

/// Returns Levenshtein's edit distance between two texts.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        for (slot, b) in row.iter_mut().skip(1).zip(&right) {
            let cost = (diagonal + usize::from(a != *b)).min(*slot + 1).min(previous + 1);
            diagonal = std::mem::replace(slot, cost);
            previous = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

impl Read for String {
    const EXPECTED: &'static str = "a text in quotes";
    const TYPES: &'static [&'static str] = &["string"];
    fn read(value: &Value) -> Option<String> {
        value.as_str().map(str::to_owned)
    }
}

impl Read for bool {
    const EXPECTED: &'static str = "true or false";
    const TYPES: &'static [&'static str] = &["boolean"];
    fn read(value: &Value) -> Option<bool> {
        value.as_bool()
    }
}

impl Read for i64 {
    const EXPECTED: &'static str = "a whole number below 2^53";
    const TYPES: &'static [&'static str] = &["integer"];
    fn read(value: &Value) -> Option<i64> {
        value.as_integer().filter(|number| number.unsigned_abs() <= metadata::MAX_SAFE_INTEGER)
    }
}

impl Read for u64 {
    const EXPECTED: &'static str = "a whole number from 0, below 2^53";
    const TYPES: &'static [&'static str] = &["integer"];
    fn read(value: &Value) -> Option<u64> {
        i64::read(value)?.try_into().ok()
    }
}

/// Reads counts, minutes and hours. A hundred years of hours is the largest sensible value.
impl Read for u32 {
    const EXPECTED: &'static str = "a whole number from 0 to 1000000";
    const TYPES: &'static [&'static str] = &["integer"];
    fn read(value: &Value) -> Option<u32> {
        value.as_integer()?.try_into().ok().filter(|number| *number <= 1_000_000)
    }
}

impl Read for DateTime<Utc> {
    const EXPECTED: &'static str = "a date in UTC such as 2026-12-31 or \"2026-12-31T00:00:00Z\"";
    const TYPES: &'static [&'static str] = &["string", "datetime"];
    fn read(value: &Value) -> Option<DateTime<Utc>> {
        let time = match value {
            Value::String(text) => parse_time(text),
            Value::Datetime(date) => parse_time(&date.to_string()),
            _ => None,
        };
        // In UTC, 9999-12-31T23:00:00-02:00 is in the year 10000, which clients can't read.
        time.filter(|time| (0..=9999).contains(&time.year()))
    }
}

impl Read for Table {
    const EXPECTED: &'static str = "a table such as { key = \"value\" }";
    const TYPES: &'static [&'static str] = &["table"];
    fn read(value: &Value) -> Option<Table> {
        value.as_table().cloned()
    }
}

impl Read for Vec<Table> {
    const EXPECTED: &'static str = "a list of tables";
    const TYPES: &'static [&'static str] = &["array"];
    fn read(value: &Value) -> Option<Vec<Table>> {
        value.as_array()?.iter().map(Table::read).collect()
    }
}

impl Read for Vec<String> {
    const EXPECTED: &'static str = "a list of texts in quotes";
    const TYPES: &'static [&'static str] = &["array"];
    fn read(value: &Value) -> Option<Vec<String>> {
        value.as_array()?.iter().map(String::read).collect()
    }
}

impl Read for HashMap<String, String> {
    const EXPECTED: &'static str = "a table of texts in quotes";
    const TYPES: &'static [&'static str] = &["table"];
    fn read(value: &Value) -> Option<HashMap<String, String>> {
        value.as_table()?.iter().map(|(key, value)| Some((key.clone(), String::read(value)?))).collect()
    }
}

impl Read for Map<String, serde_json::Value> {
    const EXPECTED: &'static str =
        "a table of texts, booleans, whole numbers below 2^53, plain decimal numbers, lists and tables";
    const TYPES: &'static [&'static str] = &["table"];
    fn read(value: &Value) -> Option<Map<String, serde_json::Value>> {
        metadata::object(value.as_table()?)
    }
}

/// Implements reading and writing for an enum whose values are words.
macro_rules! string_enum {
    ($type:ident: $($word:literal => $variant:ident),+ $(,)?) => {
        impl $type {
            /// Returns the value's word, in the file and on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $word),+ }
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": [$($word),+] })
            }
        }
        impl Read for $type {
            const EXPECTED: &'static str = concat!("one of", $(" ", stringify!($word)),+);
            const TYPES: &'static [&'static str] = &["string"];
            fn read(value: &Value) -> Option<$type> {
                match value.as_str()? { $($word => Some($type::$variant),)+ _ => None }
            }
        }
    };
}

string_enum!(AuthorizationMethod: "license-key" => LicenseKey, "user" => User);
string_enum!(OauthScope: "company" => Company, "customer_account" => CustomerAccount, "customer" => Customer, "license" => License);
string_enum!(PoolKind: "license" => License, "feature" => Feature);
string_enum!(ProductStatus: "enabled" => Enabled, "disabled" => Disabled, "archived" => Archived);
string_enum!(LicenseType: "perpetual" => Perpetual, "time-limited" => TimeLimited, "subscription" => Subscription, "consumption" => Consumption);
string_enum!(Environment: "win" => Win, "win32" => Win32, "win64" => Win64, "mac" => Mac, "linux" => Linux, "linux32" => Linux32, "linux64" => Linux64);
string_enum!(Period: "daily" => Daily, "weekly" => Weekly, "monthly" => Monthly, "annually" => Annually);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        assert_eq!((distance("", "abc"), distance("kitten", "sitting"), distance("same", "same")), (3, 3, 0));
    }
}
