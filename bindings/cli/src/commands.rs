//! The commands that call the library once and print what came of it.

use std::fs;
use std::io;
use std::time::{Duration, SystemTime};

use floatlease::hardware::HardwareId;
use floatlease::lease::{Lease, Session};
use floatlease::model;
use floatlease::operations::{Kind, Operation};
use floatlease::{Error, Outcome, Status};
use serde_json::{Map, Value, json};

use crate::arguments::{Command, ConfigFlags, Features, SECRETS};
use crate::config::{Config, variable_of};
use crate::exit_code;
use crate::failure::Failure;
use crate::output::Output;

/// Refuses arguments that can't be meant, before any file is read.
pub(crate) fn check_arguments(command: &Command, flags: &ConfigFlags) -> Result<(), Failure> {
    let Command::Call { request, .. } = command else { return Ok(()) };
    let is_stdin = flags.file.as_ref().is_some_and(|file| file.as_os_str() == "-");
    if is_stdin && request.first().is_some_and(|request| request == "-") {
        let message = "Standard input holds either the config or the request: give only one of them as -.";
        return Err(Failure::usage(Status::ConflictingKeys, message));
    }
    let names = request.iter().filter_map(|argument| argument.split_once('=').map(|(key, _)| key.to_owned()));
    let text = request.first().map(String::as_str).unwrap_or_default();
    let object: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let is_object = text.trim_start().starts_with('{');
    let keys: Vec<String> = if is_object { object.into_iter().map(|(key, _)| key).collect() } else { names.collect() };
    let is_secret = |key: &String| SECRETS.contains(&key.as_str()) || key == NEW_PASSWORD;
    let Some(key) = keys.into_iter().find(is_secret) else { return Ok(()) };
    let instead = match key.as_str() {
        NEW_PASSWORD => "Give".to_owned(),
        _ => format!("Put {key} into the config or into {}, or give", variable_of(&key)),
    };
    let message = format!(
        "The request is invalid: it holds {key}, and every user of this machine can read a command line. {instead} \
         the request on standard input, as -."
    );
    Err(Failure::usage(Status::BadValue, message))
}

/// The secret of a request that is no key of the config.
const NEW_PASSWORD: &str = "new_password";

/// Runs a command that calls the library once. Returns the exit code.
pub(crate) fn run(session: &Session, config: &Config, command: Command, output: &Output) -> Result<u8, Failure> {
    match command {
        Command::Check { features } => check(session, &features, output),
        Command::Borrow { features, until, lasts } => Borrow { features, until, lasts }.run(session, config, output),
        Command::Release { features, all, keep_borrows, within } => {
            Release { features, all, keep_borrows, within }.run(session, config, output)
        }
        Command::Consume { amount, feature, queue } => consume(session, amount, feature, queue, output),
        Command::Status => status(session, config, output),
        Command::Diagnose => diagnose(session, output),
        Command::Call { operation, request } => call(session, &operation, &request, output),
        // They have other functions of their own.
        Command::Lease(_) | Command::Completions { .. } | Command::Man { .. } | Command::Tethered { .. } => Ok(0),
    }
}

/// The request of an acquire for these features, with more members.
pub(crate) fn acquire_request(features: &Features, more: &[(&str, Value)]) -> String {
    let mut request = Map::new();
    if !features.feature.is_empty() {
        request.insert("features".to_owned(), features.feature.clone().into());
    }
    request.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    Value::Object(request).to_string()
}

/// The milliseconds of a time that the library takes as a number.
pub(crate) fn millis(duration: Duration) -> Value {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into()
}

/// Time limit for giving back a slot that an acquire may have taken without telling.
const DOUBT_TIMEOUT: Duration = Duration::from_secs(2);

/// Gives back what a failed acquire may have taken. Without storage_dir, or if this fails, the server frees it after its
/// timeout.
pub(crate) fn settle(session: &Session, features: &Features, error: &Error) {
    if error.outcome == Outcome::Unknown {
        let more =
            [("keep_borrows", true.into()), ("wait_for_holders", true.into()), ("timeout_ms", millis(DOUBT_TIMEOUT))];
        // The failure of the acquire is what the user hears of.
        let _ = session.release_stored_slots(&acquire_request(features, &more));
    }
}

/// Takes a lease for a moment, so no thread that renews it is needed. Returns it with what the library tells of it.
fn acquire(session: &Session, features: &Features) -> Result<(Lease, String), Error> {
    let acquired = session.acquire(&acquire_request(features, &[("keep_alive", "host".into())]));
    acquired.inspect_err(|error| settle(session, features, error))
}

fn check(session: &Session, features: &Features, output: &Output) -> Result<u8, Failure> {
    let (lease, info) = acquire(session, features)?;
    // The answer is known, so it is printed even if the slot can't be given back.
    let printed = output.print_lease(&info);
    lease.release_keeping_borrows("{}")?;
    printed.map(|()| 0)
}

/// What to borrow, and until when.
struct Borrow {
    features: Features,
    until: Option<String>,
    lasts: Option<Duration>,
}

impl Borrow {
    fn run(self, session: &Session, config: &Config, output: &Output) -> Result<u8, Failure> {
        // Mistakes that the library would find after it has taken the slot.
        if config.text("storage_dir").is_none() {
            let message = "borrow needs storage_dir, because its proof must outlive this command: name a folder.";
            return Err(Failure::usage(Status::MissingKey, message));
        }
        let until = self.until()?;
        let (lease, _) = acquire(session, &self.features)?;
        let borrowed = lease.borrow(&json!({ "borrowed_until": until }).to_string());
        let released = lease.release_keeping_borrows("{}");
        let info = borrowed?;
        released?;
        output.print_lease(&info)?;
        Ok(0)
    }

    /// The date; `None` lets the server choose.
    fn until(&self) -> Result<Option<String>, Failure> {
        if let Some(lasts) = self.lasts {
            return date_after(lasts).map(Some);
        }
        match &self.until {
            Some(date) if model::parse_time(date).is_none() => {
                let message = "--until is invalid: expected a date as 2026-09-27, 2026-09-27 23:30 or \
                               2026-09-27T23:30:48Z, in UTC or with an offset.";
                Err(Failure::usage(Status::BadDate, message))
            }
            until => Ok(until.clone()),
        }
    }
}

fn date_after(lasts: Duration) -> Result<String, Failure> {
    // humantime can't write dates of five-digit years.
    let longest = Duration::from_secs(1000 * 365 * 24 * 60 * 60);
    let date = SystemTime::now().checked_add(lasts).filter(|_| lasts <= longest);
    let too_long = || Failure::usage(Status::BadValue, "--for is invalid: it must be shorter than 1000 years.");
    Ok(humantime::format_rfc3339_millis(date.ok_or_else(too_long)?).to_string())
}

/// What to release.
struct Release {
    features: Features,
    all: bool,
    keep_borrows: bool,
    within: Option<Duration>,
}

impl Release {
    fn run(self, session: &Session, config: &Config, output: &Output) -> Result<u8, Failure> {
        if config.text("storage_dir").is_none() {
            if self.all {
                let message = "release --all needs the files in storage_dir, which tell what this device holds.";
                return Err(Failure::usage(Status::MissingKey, message));
            }
            return self.release_at_server(session, output);
        }
        let reply = session.release_stored_slots(&self.request())?;
        let object: Map<String, Value> = serde_json::from_str(&reply).unwrap_or_default();
        let count = |key: &str| object.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        let is_unknown_here = ["released", "kept", "left"].into_iter().all(|key| count(key) == 0);
        if is_unknown_here && !self.all {
            return self.release_at_server(session, output);
        }
        output.print(&reply)?;
        let left = object.get("left").and_then(Value::as_array).into_iter().flatten();
        for slot in left {
            output.warn(&format!("{} is left: {}", name_of(slot), slot["reason"].as_str().unwrap_or_default()));
        }
        Ok(if count("left") == 0 { 0 } else { exit_code::NO })
    }

    fn request(&self) -> String {
        let mut more = vec![("keep_borrows", self.keep_borrows.into())];
        if self.all {
            more.push(("all", true.into()));
        }
        if let Some(within) = self.within {
            more.extend([("timeout_ms", millis(within)), ("wait_for_holders", true.into())]);
        }
        acquire_request(&self.features, &more)
    }

    /// Asks the server to free slots of which no file tells: they were taken by `call`, or the files are gone.
    fn release_at_server(&self, session: &Session, output: &Output) -> Result<u8, Failure> {
        let mut released = Vec::new();
        let timeout = self.within.map(|within| ("timeout_ms".to_owned(), millis(within)));
        let named = self.features.feature.iter().map(|feature| ("release_feature", Some(feature)));
        let license = self.features.feature.is_empty().then_some(("release_license", None));
        for (operation, feature) in named.chain(license) {
            let mut request: Map<String, Value> = timeout.clone().into_iter().collect();
            request.extend(feature.map(|feature| ("feature".to_owned(), feature.clone().into())));
            match session.call(operation, &Value::Object(request).to_string()) {
                Ok(_) => released.push(json!({ "feature": feature, "license_id": null })),
                Err(error) if is_nothing_held(error.status) => {}
                Err(error) => return Err(error.into()),
            }
        }
        output.print(&json!({ "released": released, "kept": [], "left": [] }).to_string())?;
        Ok(0)
    }
}

/// Returns whether a refusal of a release means that there is nothing to release.
fn is_nothing_held(status: Status) -> bool {
    matches!(status, Status::FloatingNotAvailable | Status::FloatingFeatureDeviceNotInUse | Status::FeatureNotFloating)
}

/// Names a slot in a sentence.
fn name_of(slot: &Value) -> String {
    slot["feature"].as_str().map_or("The license's own slot".to_owned(), |feature| format!("The slot of {feature}"))
}

fn consume(
    session: &Session,
    amount: i64,
    feature: Option<String>,
    queue: bool,
    output: &Output,
) -> Result<u8, Failure> {
    let operation = if feature.is_some() { "add_feature_consumption" } else { "add_consumption" };
    let mut request = Map::new();
    request.insert("consumptions".to_owned(), amount.into());
    request.extend(feature.map(|feature| ("feature".to_owned(), feature.into())));
    if queue {
        request.insert("offline".to_owned(), "queue".into());
    }
    output.print(&session.call(operation, &Value::Object(request).to_string())?)?;
    Ok(0)
}

fn status(session: &Session, config: &Config, output: &Output) -> Result<u8, Failure> {
    let product = config.text("product").unwrap_or_default();
    let hardware_id = match config.text("hardware_id") {
        Some(id) => id.to_owned(),
        None => HardwareId::of_this_machine(product)?.id,
    };
    let mut report = Map::new();
    report.insert("product".to_owned(), product.into());
    report.insert("hardware_id".to_owned(), hardware_id.into());
    report.insert("storage_dir".to_owned(), config.text("storage_dir").into());
    // Without a folder nothing outlives a process, so no file tells of a slot.
    let slots: Map<String, Value> = match config.text("storage_dir") {
        Some(_) => serde_json::from_str(&session.stored_slots("{}")?).unwrap_or_default(),
        None => Map::from_iter([("slots".to_owned(), json!([]))]),
    };
    report.extend(slots);
    output.print(&Value::Object(report).to_string())?;
    Ok(0)
}

fn diagnose(session: &Session, output: &Output) -> Result<u8, Failure> {
    let text = session.diagnose()?;
    let report: Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
    output.print_report(&text, &report)?;
    Ok(if report.get("ok") == Some(&Value::Bool(true)) { 0 } else { exit_code::NO })
}

fn call(session: &Session, operation: &str, request: &[String], output: &Output) -> Result<u8, Failure> {
    let reply = session.call(operation, &call_request(operation, request)?)?;
    output.print(&reply)?;
    Ok(0)
}

/// The request of `call`: JSON from the argument or from standard input, or made of pairs.
fn call_request(operation: &str, request: &[String]) -> Result<String, Failure> {
    match request {
        [] => Ok("{}".to_owned()),
        [dash] if dash == "-" => {
            let unreadable = |error| format!("The request on standard input can't be read: {error}.");
            io::read_to_string(io::stdin()).map_err(|error| Failure::usage(Status::BadValue, unreadable(error)))
        }
        [text] if text.trim_start().starts_with('{') => Ok(text.clone()),
        pairs => {
            let members: Result<Map<String, Value>, Failure> =
                pairs.iter().map(|pair| member(operation, pair)).collect();
            members.map(|members| Value::Object(members).to_string())
        }
    }
}

/// A member of a request, from a pair `key=value`. What the operation takes decides on its type.
fn member(operation: &str, pair: &str) -> Result<(String, Value), Failure> {
    let (key, value) = pair.split_once('=').ok_or_else(|| {
        let message = format!("The request is invalid: expected a JSON object, - or KEY=VALUE, found {pair:?}.");
        Failure::usage(Status::Json, message)
    })?;
    let operation = Operation::named(operation).or_else(|| Operation::of_file(operation));
    let parameter = operation.and_then(|operation| operation.parameter(key));
    // The keys that are the library's own: numbers and objects.
    let own = if ["timeout_ms", "extra"].contains(&key) { Kind::Object } else { Kind::Text };
    let value = match parameter.map_or(own, |parameter| parameter.kind) {
        Kind::Text => value.into(),
        Kind::File => fs::read_to_string(value).map(Value::from).map_err(|error| {
            Failure::usage(Status::BadValue, format!("The file {value} of \"{key}\" can't be read: {error}."))
        })?,
        Kind::TimeOrNull if value == "null" => Value::Null,
        Kind::TimeOrNull => value.into(),
        Kind::Texts if !value.starts_with('[') => json!([value]),
        // The library refuses a value that is neither, and names the key.
        Kind::Integer | Kind::Boolean | Kind::Object | Kind::Texts => {
            serde_json::from_str(value).unwrap_or_else(|_| value.into())
        }
    };
    Ok((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn request(operation: &str, arguments: &[&str]) -> String {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        call_request(operation, &arguments).unwrap()
    }

    #[test]
    fn pairs_have_the_types_that_the_operation_takes() {
        assert_eq!(
            request("add_consumption", &["consumptions=3", "timeout_ms=5"]),
            r#"{"consumptions":3,"timeout_ms":5}"#
        );
        assert_eq!(
            request("borrow_feature", &["feature=7", "borrowed_until=null"]),
            r#"{"feature":"7","borrowed_until":null}"#
        );
        assert_eq!(request("check_license", &["is_vm=true"]), r#"{"is_vm":true}"#);
        assert_eq!(request("add_consumption", &["event=a"]), r#"{"event":["a"]}"#);
    }

    #[test]
    fn value_of_wrong_type_is_left_to_the_library() {
        assert_eq!(request("add_consumption", &["consumptions=many"]), r#"{"consumptions":"many"}"#);
    }

    #[test]
    fn object_is_passed_as_it_stands() {
        assert_eq!(request("check_license", &["{ \"is_vm\": true }"]), "{ \"is_vm\": true }");
    }

    #[test]
    fn argument_without_equals_sign_is_refused() {
        let failure = call_request("check_license", &["MESH".to_owned()]).unwrap_err();
        assert!(failure.to_text().contains("KEY=VALUE"), "{failure:?}");
    }

    #[test]
    fn secret_in_request_is_refused() {
        for key in SECRETS.into_iter().chain([NEW_PASSWORD]) {
            for arguments in [format!(r#"{{"{key}":"AAAA"}}"#), format!("{key}=AAAA")] {
                let command = Command::Call { operation: "check_license".to_owned(), request: vec![arguments] };
                let text = check_arguments(&command, &ConfigFlags::default()).unwrap_err().to_text();
                // No variable holds the new password, which is no key of the config.
                assert_eq!(text.contains(&variable_of(key)), key != NEW_PASSWORD, "{text}");
                assert!(!text.contains("AAAA"), "{text}");
            }
        }
    }
}
