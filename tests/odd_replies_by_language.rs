//! Replies with odd values, in every language: a program reads through its binding what the C ABI gave, and a reply that
//! the C ABI refuses is refused with the same status and sentence. Each language gets the same altered replies of a stub.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};
use support::abi::{Answer, Client};
use support::csharp::{self, Runtime};
use support::odd::{Alteration, Path, UNKNOWN_MEMBER, VALUES, members};
use support::programs::{Build, libraries};
use support::stub::{self, Message, read_message};
use support::{Demo, root, tool, with};

/// Names a license that counts, the license of a user, and the same with the password.
fn other_licenses() -> [Value; 3] {
    let user = json!({ "product": "STUDIO", "username": "ada@example.com" });
    let signed_in = with(&user, json!({ "password": "correct-horse" }));
    [json!({ "license_key": "CADP-CONS-UMPT-0100" }), user, signed_in]
}

/// The operations whose replies are altered, with their requests. The first is refused, so that its error is altered.
fn operations() -> Vec<(&'static str, Value)> {
    let [count, user, signed_in] = other_licenses();
    vec![
        ("borrow_feature", json!({ "feature": "SOLVER" })),
        ("activate_license", json!({ "variables": { "room": 12 } })),
        ("check_license", json!({})),
        ("check_license", count.clone()),
        ("check_license", user),
        ("check_feature", json!({ "feature": "MESH" })),
        ("check_feature", json!({ "feature": "AI-RUNS" })),
        ("borrow_license", json!({})),
        ("borrow_feature", json!({ "feature": "MESH" })),
        ("add_consumption", count),
        ("add_feature_consumption", json!({ "feature": "CLOUD-CREDITS" })),
        ("product_details", json!({ "include_latest_version": true, "include_custom_fields": true })),
        ("trial_key", json!({})),
        ("versions", json!({})),
        ("installation_file", json!({})),
        ("device_licenses", json!({})),
        ("track_device_variables", json!({ "variables": { "room": 12 } })),
        ("get_device_variables", json!({})),
        ("user_licenses", signed_in),
        ("sso_url", json!({ "product": "STUDIO", "customer_account_code": "EXAMPLE" })),
        ("check_bundle", json!({ "product": "SUITE" })),
    ]
}

/// One call, and what is altered in the reply to it.
struct Case {
    operation: &'static str,
    request: Value,
    /// The server's reply.
    reply: Message,
    alteration: Option<Alteration>,
}

impl Case {
    fn about(&self) -> String {
        match &self.alteration {
            Some(alteration) => {
                format!("{} with {} as {}", self.operation, alteration.value, alteration.path.join("."))
            }
            None => format!("{} as it is", self.operation),
        }
    }

    fn altered(&self) -> Message {
        self.alteration.as_ref().map_or(self.reply.clone(), |alteration| alteration.of(self.reply.clone()))
    }
}

/// What a server replies to each of these operations, one after the other.
fn recorded() -> Vec<(&'static str, Value, Message)> {
    let demo = Demo::start();
    let last = Arc::new(Mutex::new(None));
    let (kept, recorder) = (last.clone(), move |reply: Message| {
        *last.lock().unwrap() = Some(reply.clone());
        reply.bytes()
    });
    let address = stub::between(demo.address(), |request| request, recorder);
    let config = json!({ "base_url": format!("http://{address}/api/v4"), "verify": "off", "public_key": null });
    let client = Client::open(&with(&demo.config("desk"), config)).unwrap();
    let [count, _, signed_in] = other_licenses();
    for license in [json!({}), count, signed_in] {
        client.call("activate_license", &license).ok();
    }
    let record = |(operation, request): (&'static str, Value)| {
        client.call(operation, &request);
        let reply: Message = kept.lock().unwrap().take().unwrap();
        // The other headers are those of this very request, such as its idempotency key.
        let status = reply.head.lines().next().unwrap().to_owned();
        (operation, request, Message { head: status + "\r\nContent-Type: application/json", body: reply.body })
    };
    operations().into_iter().map(record).collect()
}

/// What is put into the replies that hold licenses, besides that of a check.
const FEWER_VALUES: [&str; 6] = ["null", "\"\"", "\"7\"", "\"brand_new_word\"", "1.5", "[]"];

/// Every alteration of a reply: a member that is not known in each object, and each value in place of each member.
fn alterations(operation: &str, body: &Value) -> Vec<Alteration> {
    let mut paths = members(body, 1);
    let mut values = &VALUES[..];
    if ["activate_license", "device_licenses", "check_bundle", "lease_acquire"].contains(&operation) {
        // A license is altered in all its depth where it is checked.
        let depth = if body.is_array() { 2 } else { 1 };
        paths.retain(|path| path.len() <= depth);
        values = &FEWER_VALUES;
    }
    let objects: BTreeSet<Path> = paths.iter().map(|path| path[..path.len() - 1].to_vec()).collect();
    let unknown = objects.into_iter().map(|object| [object, vec![UNKNOWN_MEMBER.to_owned()]].concat());
    let unknown = unknown.map(|path| Alteration { path, value: "[{\"a\":null}]".to_owned() });
    let mut all: Vec<Alteration> = unknown.collect();
    for path in paths {
        all.extend(values.iter().map(|value| Alteration { path: path.clone(), value: (*value).to_owned() }));
    }
    all
}

/// Every case: each reply as it is, and with each alteration.
fn cases() -> Vec<Case> {
    let mut replies = recorded();
    // A lease is taken by a check.
    let check = replies.iter().find(|(operation, ..)| *operation == "check_license").unwrap();
    let lease = ("lease_acquire", check.1.clone(), check.2.clone());
    replies.push(lease);
    let (mut cases, mut seen) = (Vec::new(), BTreeSet::new());
    for (operation, request, reply) in replies {
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        let status = reply.head.lines().next().unwrap().to_owned();
        let mut alterations = alterations(operation, &body);
        // Of another license or feature, the members that the first does not have.
        alterations.retain(|one| seen.insert((operation, status.clone(), one.path.clone(), one.value.clone())));
        let alterations = alterations.into_iter().map(Some);
        for alteration in std::iter::once(None).chain(alterations) {
            let request = with(&request, json!({ "extra": { "case": cases.len() } }));
            cases.push(Case { operation, request, reply: reply.clone(), alteration });
        }
    }
    cases
}

/// The number of the case that a request names.
fn number_in(request: &Message) -> Option<usize> {
    let text = request.head.lines().next()?.to_owned() + &String::from_utf8_lossy(&request.body);
    let rest = text.split_once("case=").or_else(|| text.split_once("\"case\":"))?.1;
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// The cases, the server that gives their replies, and what the C ABI makes of them.
struct Stage {
    cases: Vec<Case>,
    config: Value,
    answers: Vec<Answer>,
    /// The file that the programs read the cases from.
    file: PathBuf,
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| {
    let cases = cases();
    let replies: Arc<Vec<Vec<u8>>> = Arc::new(cases.iter().map(|case| case.altered().bytes()).collect());
    let address = stub::listen(move |mut stream| {
        let mut requests = std::io::BufReader::new(stream.try_clone().unwrap());
        while let Some(request) = read_message(&mut requests) {
            let is_release = request.head.contains("/floating/release");
            let number = number_in(&request).filter(|_| !is_release);
            let empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
            let reply = number.map_or(empty, |number| replies[number].clone());
            if std::io::Write::write_all(&mut stream, &reply).is_err() {
                return;
            }
        }
    });
    let config = json!({
        "base_url": format!("http://{address}/api/v4"), "verify": "off", "hardware_id": "desk", "product": "CAD-PRO",
        "license_key": "CADP-FLOA-TING-0002", "api_key": "a", "shared_key": "s", "proxy": "none", "timeout_ms": 60_000,
    });
    let client = Client::open(&config).unwrap();
    let answers = cases.iter().map(|case| ask(&client, case)).collect();
    let file = support::target_dir().join("odd_replies_by_language.cases");
    let lines =
        cases.iter().map(|case| format!("{}\t{}\t{}\n", case.operation, case.request, names_of(case).join(" ")));
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    Stage { cases, config, answers, file }
});

fn ask(client: &Client, case: &Case) -> Answer {
    if case.operation != "lease_acquire" {
        return client.call(case.operation, &case.request);
    }
    let (lease, answer) = client.try_acquire(&case.request);
    if let Some(lease) = lease {
        lease.release().ok();
    }
    answer
}

/// The members that a program reads of a reply: all that the server sent.
fn names_of(case: &Case) -> Vec<String> {
    match serde_json::from_slice(&case.reply.body).unwrap() {
        Value::Object(object) => object.keys().cloned().chain([UNKNOWN_MEMBER.to_owned()]).collect(),
        _ => vec!["items".to_owned()],
    }
}

/// The members of an error that are the same each time.
const OF_ERRORS: [&str; 9] =
    ["status", "name", "category", "message", "advice", "retryable", "outcome", "http_status", "server_code"];
/// The members of a lease's info that are the same each time.
const OF_LEASES: [&str; 5] = ["features", "state", "status", "borrowed_until", "slots"];

/// The part of a reply or an error that is the same each time.
fn comparable(operation: &str, status: &str, json: &Value) -> Value {
    let kept =
        |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), json[*name].clone())).collect::<Map<_, _>>();
    match (status, operation) {
        ("OK", "lease_acquire") => kept(&OF_LEASES).into(),
        ("OK", _) => json.clone(),
        _ => kept(&OF_ERRORS).into(),
    }
}

/// Compares the lines that a program prints with what the C ABI gave. `ways` is how often it performs all cases.
fn agrees(mut program: Command, ways: usize, has_read: impl Fn(&str, &Value, &Value) -> Result<(), String>) {
    let stage = &*STAGE;
    let mut command = tool("timeout");
    command
        .arg("240")
        .arg(program.arg(stage.config.to_string()).arg(&stage.file).get_program())
        .args(program.get_args());
    for (key, value) in program.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    let output = command.output().unwrap();
    let (said, complained) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = said.lines().collect();
    let place = stage.cases.get(lines.len() % stage.cases.len()).map(Case::about);
    assert!(output.status.success(), "{} at {place:?}\n{complained}", output.status);
    assert_eq!(lines.len(), ways * stage.cases.len(), "{complained}");
    let mut differing = Vec::new();
    for (line, (case, answer)) in lines.iter().zip(stage.cases.iter().zip(&stage.answers).cycle()) {
        let parts: Vec<&str> = line.split('\t').collect();
        let [status, json, read] = parts[..] else { panic!("{line}") };
        let json: Value =
            serde_json::from_str(json).unwrap_or_else(|error| panic!("{}: {error} in {line}", case.about()));
        let found = comparable(case.operation, status, &json);
        let expected = comparable(case.operation, &answer.status, &answer.json);
        if status != answer.status || found != expected {
            differing.push(format!("{}: {status} {found}, expected {} {expected}", case.about(), answer.status));
        } else if status == "OK" {
            let read = serde_json::from_str(read).unwrap();
            if let Err(differs) = has_read(case.operation, &json, &read) {
                differing.push(format!("{}: {differs}", case.about()));
            }
        }
    }
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing[..differing.len().min(20)].join("\n"));
}

fn compiled(compiler: &str, standard: &str, source: &str) -> Command {
    let [client, _] = libraries();
    let (name, flags, libraries) = (source.replace(['/', '.'], "_"), [standard, "-O2"], [client]);
    Command::new(Build { name: &name, compiler, flags: &flags, sources: &[source], libraries: &libraries }.compile())
}

#[test]
fn cases_are_many_and_are_read_or_refused_by_name() {
    let stage = &*STAGE;
    assert!(stage.cases.len() > 5_000, "{}", stage.cases.len());
    for member in ["floating_users", "max_consumption", "max_consumptions", "max_borrow_time", "is_initial_password"] {
        let of_member = |alteration: &Alteration| alteration.path.iter().any(|key| key == member);
        assert!(stage.cases.iter().any(|case| case.alteration.as_ref().is_some_and(of_member)), "{member}");
    }
    for (case, answer) in stage.cases.iter().zip(&stage.answers) {
        assert_ne!(answer.status, "INTERNAL", "{}: {}", case.about(), answer.json);
        let is_advised = answer.json["advice"].as_str().is_some_and(|advice| !advice.is_empty());
        assert!(answer.status == "OK" || is_advised, "{}: {}", case.about(), answer.json);
        let is_unknown = case.alteration.as_ref().is_some_and(|one| one.path.last().unwrap() == UNKNOWN_MEMBER);
        let is_as_it_is = case.alteration.is_none();
        let expected = if case.request["feature"] == "SOLVER" { "FEATURE_BORROW_NOT_ALLOWED" } else { "OK" };
        assert!(!(is_unknown || is_as_it_is) || answer.status == expected, "{}: {}", case.about(), answer.json);
    }
    let refused = stage.answers.iter().filter(|answer| answer.status != "OK").count();
    assert!(refused > 500 && refused < stage.cases.len() / 2, "{refused}");
}

#[test]
fn c_gives_what_the_abi_gives() {
    agrees(compiled("cc", "-std=gnu11", "tests/drivers/replies.c"), 1, |_, _, _| Ok(()));
}

#[test]
fn cpp_reads_texts_numbers_and_members() {
    agrees(compiled("c++", "-std=c++17", "tests/drivers/replies.cpp"), 2, |_, reply, read| {
        for (name, came) in read.as_object().unwrap() {
            let member = reply.get(name);
            let text = came[0].as_str().unwrap();
            let is_text = match member {
                None | Some(Value::Null) => text.is_empty(),
                Some(Value::String(expected)) => text == expected,
                Some(other) => serde_json::from_str::<Value>(text).is_ok_and(|value| value == *other),
            };
            let json = came[2].as_str().unwrap();
            let is_member =
                member.map_or(json.is_empty(), |member| serde_json::from_str::<Value>(json).unwrap() == *member);
            let is_number = came[1] == member.and_then(Value::as_i64).unwrap_or(0);
            if !(is_text && is_member && is_number) {
                return Err(format!("{name} is {member:?}, but it read {came}"));
            }
        }
        Ok(())
    });
}

#[test]
fn python_raises_its_errors_and_no_others() {
    let [(_, client), _] = libraries();
    let mut program = tool("python3");
    program
        .arg(root().join("tests/drivers/replies.py"))
        .env("PYTHONPATH", root().join("bindings/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("FLOATLEASE_LIBRARY", client.join("libfloatlease.so.1"));
    agrees(program, 2, |_, _, _| Ok(()));
}

/// The properties of C#'s reply types that read one member: by file, the property, the member, and how it is read.
fn properties_of(file: &str) -> Vec<(String, String, String)> {
    let folder = root().join("bindings/csharp/FloatLease/Replies");
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let mut text = read(file);
    if text.contains(" : FloatingReply") {
        text.push_str(&read("FloatingReply.cs"));
    }
    let property = |line: &str| {
        let (before, reading) = line.trim().strip_prefix("public ")?.split_once(" => ")?;
        let (around, rest) = reading.split_once("Members[\"")?;
        let (member, how) = rest.split_once("\"]")?;
        let name = before.rsplit(' ').next()?;
        Some((name.to_owned(), member.to_owned(), format!("{around}{how}")))
    };
    text.lines().filter_map(property).collect()
}

/// What C# makes of a member; `None` if it is not compared.
fn in_csharp(how: &str, member: &Value) -> Option<Value> {
    match how {
        ".Text;" => Some(member.as_str().map(Value::from).unwrap_or_default()),
        ".Int64;" => Some(member.as_i64().map(Value::from).unwrap_or_default()),
        "Is();" => Some(member.as_bool().unwrap_or_default().into()),
        "WholeNumber();" => {
            let text = || member.as_str()?.parse::<i64>().ok();
            Some(member.as_i64().or_else(text).map(Value::from).unwrap_or_default())
        }
        ".Items;" => Some(member.as_array().cloned().unwrap_or_default().into()),
        _ => None,
    }
}

fn csharp_agrees(runtime: Runtime) {
    let folder = std::fs::read_dir(root().join("bindings/csharp/FloatLease/Replies")).unwrap();
    let files = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let types: BTreeMap<String, Vec<(String, String, String)>> =
        files.map(|file| (file.trim_end_matches(".cs").to_owned(), properties_of(&file))).collect();
    let of = |operation: &str| match operation {
        "activate_license" | "check_license" => "LicenseReply",
        "check_feature" => "FeatureReply",
        "borrow_license" | "borrow_feature" => "BorrowReply",
        "add_consumption" | "add_feature_consumption" => "ConsumptionReply",
        "product_details" => "ProductReply",
        "trial_key" => "TrialReply",
        "versions" => "VersionsReply",
        "installation_file" => "InstallationFileReply",
        "device_licenses" | "check_bundle" => "LicensesReply",
        "get_device_variables" | "track_device_variables" => "DeviceVariablesReply",
        "user_licenses" => "UserLicensesReply",
        "sso_url" => "SsoUrlReply",
        "lease_acquire" => "LeaseInfo",
        other => panic!("{other}"),
    };
    let program = csharp::compile("Replies", &["tests/drivers/Replies.cs"], false);
    agrees(runtime.command(&program), 2, |operation, reply, read| {
        for (name, member, how) in &types[of(operation)] {
            let found = read.get(name).ok_or_else(|| format!("{name} is not read"))?;
            let expected = in_csharp(how, &reply[member]);
            if expected.is_some_and(|expected| expected != *found) {
                return Err(format!("{member} is {}, but {name} is {found}", reply[member]));
            }
        }
        Ok(())
    });
}

#[test]
fn csharp_on_mono_throws_its_exceptions_and_no_others() {
    csharp_agrees(Runtime::Mono);
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "there is no wheel of .NET for this processor")]
fn csharp_on_dotnet_throws_its_exceptions_and_no_others() {
    csharp_agrees(Runtime::DotNet);
}
