//! What the command prints: JSON for programs, a table of two columns for people, warnings and errors on standard error.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::Duration;

use floatlease::Status;
use floatlease::status::Category;
use serde_json::{Map, Value};

use crate::arguments::Format;
use crate::exit_code;
use crate::failure::Failure;

/// The form of what is printed.
pub(crate) struct Output {
    format: Format,
    /// True if errors are JSON too, which is so only if JSON was asked for by name.
    errors_are_json: bool,
}

impl Output {
    /// Without a format that was asked for, a terminal gets a table, and anything else JSON.
    pub(crate) fn new(asked: Option<Format>) -> Output {
        let default = if io::stdout().is_terminal() { Format::Table } else { Format::Json };
        Output { format: asked.unwrap_or(default), errors_are_json: asked == Some(Format::Json) }
    }

    /// Prints a JSON object of the library.
    pub(crate) fn print(&self, json: &str) -> Result<(), Failure> {
        match (self.format, serde_json::from_str(json)) {
            (Format::Table, Ok(Value::Object(object))) => self.write(&table(&rows(&object))),
            _ => self.write(&format!("{}\n", json.trim_end())),
        }
    }

    /// Prints what the library tells of a lease. A table has what people ask for, and not the server's whole replies.
    pub(crate) fn print_lease(&self, info: &str) -> Result<(), Failure> {
        match (self.format, serde_json::from_str(info)) {
            (Format::Table, Ok(Value::Object(info))) => self.write(&table(&rows_of_lease(&info))),
            _ => self.print(info),
        }
    }

    /// Prints the report of `diagnose`: one row for each check.
    pub(crate) fn print_report(&self, json: &str, report: &Map<String, Value>) -> Result<(), Failure> {
        if self.format == Format::Json {
            return self.print(json);
        }
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let heads = ["base_url", "product", "hardware_id"].map(|key| (key.to_owned(), text(report.get(key))));
        let row = |check: &Value| {
            let [name, verdict, detail] = ["check", "verdict", "detail"].map(|key| text(check.get(key)));
            (name, format!("{verdict}: {detail}"))
        };
        let checks = report.get("checks").and_then(Value::as_array).into_iter().flatten().map(row);
        self.write(&table(&heads.into_iter().chain(checks).collect::<Vec<_>>()))
    }

    /// Writes a text to standard output. A reader that is gone wants no more, which is no failure.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                let detail = format!("Standard output can't be written: {error}.");
                Err(Failure::usage(Status::BadValue, detail).with_code(exit_code::of(Category::Local)))
            }
            _ => Ok(()),
        }
    }

    /// Writes a sentence about what goes on to standard error.
    pub(crate) fn warn(&self, sentence: &str) {
        // If this fails, there is nowhere left to print to.
        let _ = writeln!(io::stderr(), "floatlease: {}", printable(sentence));
    }

    /// Writes why the command failed to standard error.
    pub(crate) fn print_failure(&self, failure: &Failure) {
        if self.errors_are_json {
            let _ = writeln!(io::stderr(), "{}", failure.to_json());
        } else {
            for line in failure.to_text().lines() {
                self.warn(line);
            }
        }
    }
}

/// The members of a server's reply that the table of a lease has, of a license and of a feature.
const OF_REPLIES: [&str; 8] = [
    "license_type",
    "feature_type",
    "validity_period",
    "expiry_date",
    "floating_users",
    "floating_in_use_devices",
    "can_borrow",
    "max_borrow_time",
];

fn rows_of_lease(info: &Map<String, Value>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    add_rows("state", info.get("state").unwrap_or(&Value::Null), &mut found);
    let remaining_ms = info.get("remaining_ms").and_then(Value::as_u64).unwrap_or_default();
    let remaining = humantime::format_duration(Duration::from_secs(remaining_ms / 1000));
    found.push(("remaining".to_owned(), remaining.to_string()));
    for key in ["borrowed_until", "reason"] {
        add_rows(key, info.get(key).unwrap_or(&Value::Null), &mut found);
    }
    for slot in info.get("slots").and_then(Value::as_array).into_iter().flatten() {
        let name = slot["feature"].as_str().unwrap_or("license");
        for key in OF_REPLIES {
            add_rows(&format!("{name}.{key}"), &slot["reply"][key], &mut found);
        }
    }
    found
}

/// Returns the rows of a table: the path of each value, and the value. What is null is left out, and so are signatures,
/// which no person reads.
fn rows(object: &Map<String, Value>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, value) in object.iter().filter(|(key, _)| !key.ends_with("signature")) {
        add_rows(key, value, &mut found);
    }
    found
}

fn add_rows(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
    let below = |key: &str| format!("{path}.{key}");
    match value {
        Value::Null => {}
        Value::Object(object) => {
            found.extend(rows(object).into_iter().map(|(key, text)| (below(&key), text)));
        }
        Value::Array(values) if values.iter().any(|value| value.is_object() || value.is_array()) => {
            for (number, value) in values.iter().enumerate() {
                add_rows(&below(&(number + 1).to_string()), value, found);
            }
        }
        Value::Array(values) => {
            let texts: Vec<_> = values.iter().map(scalar).collect();
            found.push((path.to_owned(), if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }));
        }
        value => found.push((path.to_owned(), scalar(value))),
    }
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn table(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for (name, value) in rows {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{:<width$}  {}", printable(name), printable(value));
    }
    text
}

/// Returns a text without control characters. A server's text must not move the cursor of somebody's terminal.
fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn table_of(json: &str) -> String {
        table(&rows(serde_json::from_str::<Value>(json).unwrap().as_object().unwrap()))
    }

    #[test]
    fn table_has_two_columns_and_one_row_for_each_value() {
        let text =
            table_of(r#"{"id":7,"product":{"code":"XY"},"tags":["a","b"],"slots":[{"feature":"MESH"}],"end":null}"#);
        assert_eq!(text, "id               7\nproduct.code     XY\ntags             a, b\nslots.1.feature  MESH\n");
    }

    #[test]
    fn table_leaves_out_signatures() {
        assert_eq!(table_of(r#"{"id":7,"license_signature":"AbC"}"#), "id  7\n");
    }

    #[test]
    fn empty_array_reads_none() {
        assert_eq!(table_of(r#"{"left":[]}"#), "left  none\n");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(table_of("{\"name\":\"a\\u001b[2Jb\\nc\"}"), "name  a\\u{1b}[2Jb\\nc\n");
    }
}
