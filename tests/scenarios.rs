//! Every scenario, in every language; and that each language's driver notices what is not as it should be.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use support::csharp::{self, Runtime};
use support::programs::{Build, libraries};
use support::{root, scenario, tool};

/// What a driver made of some scenarios.
struct Verdict {
    /// The titles of those that came out as they should.
    fine: HashSet<String>,
    /// What it said of the others.
    said: String,
}

type Driver = fn(&[PathBuf]) -> Verdict;

fn title_of(file: &Path) -> String {
    let scenario: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    scenario["title"].as_str().unwrap().to_owned()
}

fn rust(files: &[PathBuf]) -> Verdict {
    let mut verdict = Verdict { fine: HashSet::new(), said: String::new() };
    for file in files {
        match scenario::perform(file) {
            Ok(()) => drop(verdict.fine.insert(title_of(file))),
            Err(differs) => verdict.said += &(differs + "\n"),
        }
    }
    verdict
}

/// What a program says: `ok TITLE`, or what differs.
fn told(mut driver: Command, files: &[PathBuf]) -> Verdict {
    let output = driver.args(files).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let (fine, others): (Vec<&str>, Vec<&str>) = said.lines().partition(|line| line.starts_with("ok "));
    assert_eq!(output.status.success(), others.is_empty(), "{driver:?} ended with {}\n{said}", output.status);
    Verdict { fine: fine.iter().map(|line| line["ok ".len()..].to_owned()).collect(), said: others.join("\n") }
}

/// A driver that a compiler makes.
fn compiled(compiler: &str, standard: &str, source: &str) -> PathBuf {
    let [client, sandbox] = libraries();
    let cjson = ("cjson", support::target_dir());
    let (name, flags) = (source.replace(['/', '.'], "_"), [standard]);
    let libraries = [client, sandbox, cjson];
    Build { name: &name, compiler, flags: &flags, sources: &[source], libraries: &libraries }.compile()
}

fn c(files: &[PathBuf]) -> Verdict {
    static DRIVER: LazyLock<PathBuf> = LazyLock::new(|| compiled("cc", "-std=gnu11", "tests/drivers/driver.c"));
    told(Command::new(&*DRIVER), files)
}

fn cpp(files: &[PathBuf]) -> Verdict {
    static DRIVER: LazyLock<PathBuf> = LazyLock::new(|| compiled("c++", "-std=c++17", "tests/drivers/driver.cpp"));
    told(Command::new(&*DRIVER), files)
}

fn python(files: &[PathBuf]) -> Verdict {
    let mut driver = tool("python3");
    let [(_, client), (_, sandbox)] = libraries();
    driver
        .arg(root().join("tests/drivers/driver.py"))
        .env("PYTHONPATH", root().join("bindings/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("FLOATLEASE_LIBRARY", client.join("libfloatlease.so.1"))
        .env("FLOATLEASE_SANDBOX_LIBRARY", sandbox.join("libfloatlease_sandbox.so.1"));
    told(driver, files)
}

fn csharp_on(runtime: Runtime, files: &[PathBuf]) -> Verdict {
    told(runtime.command(&csharp::compile("Driver", &["tests/drivers/Driver.cs"], true)), files)
}

fn mono(files: &[PathBuf]) -> Verdict {
    csharp_on(Runtime::Mono, files)
}

fn dotnet(files: &[PathBuf]) -> Verdict {
    csharp_on(Runtime::DotNet, files)
}

/// All of them: a scenario that is added is run by all.
fn agrees_with_all_scenarios(driver: Driver) {
    let entries = std::fs::read_dir(root().join("tests/scenarios")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    assert!(files.len() >= 15, "{files:?}");
    let verdict = driver(&files);
    let titles: HashSet<String> = files.iter().map(|file| title_of(file)).collect();
    assert_eq!((&verdict.fine, verdict.said.as_str()), (&titles, ""));
}

/// What can't be, after `anna` has activated her machine: a step, or several, the last of which must be found wrong.
fn impossible() -> Vec<(&'static str, Value)> {
    let check = |json: Value| json!([{ "call": "check_license", "client": "anna", "json": json }]);
    let fault = json!({ "control": "POST /faults", "request": { "do": { "before": { "http": { "status": 503 } } } } });
    vec![
        (
            "a refusal that did not come",
            json!([{ "call": "check_license", "client": "anna", "status": "LICENSE_EXPIRED" }]),
        ),
        ("a success that did not come", json!([{ "call": "release_license", "client": "anna" }])),
        ("another refusal", json!([{ "call": "release_license", "client": "anna", "status": "LICENSE_EXPIRED" }])),
        (
            "another member of the error",
            json!([{ "call": "release_license", "client": "anna", "status": "FLOATING_NOT_AVAILABLE", "json": { "outcome": "unknown" } }]),
        ),
        ("another number", check(json!({ "floating_in_use_devices": 2 }))),
        ("another text", check(json!({ "product_details": { "short_code": "STUDIO" } }))),
        ("a text for a number", check(json!({ "floating_users": "2" }))),
        ("a number for a truth", check(json!({ "is_borrowed": 0 }))),
        ("another truth", check(json!({ "is_borrowed": true }))),
        ("nothing where something is", check(json!({ "license_key": null }))),
        ("something where nothing is", check(json!({ "borrowed_until": { "$any": true } }))),
        ("a member that is not there", check(json!({ "nowhere": 1 }))),
        ("more than there is", check(json!({ "floating_users": { "$at_least": 3 } }))),
        ("less than there is", check(json!({ "floating_users": { "$at_most": 1 } }))),
        ("words that are not there", check(json!({ "license_key": { "$holds": "QQ" } }))),
        ("fewer elements", json!([check(json!({}))[0], { "control": "GET /slots", "json": { "slots": [] } }])),
        (
            "another element",
            json!([check(json!({}))[0], { "control": "GET /slots", "json": { "slots": [{ "hardware_id": "ben" }] } }]),
        ),
        ("another lease", json!([{ "acquire": "work", "client": "anna", "json": { "state": "BORROWED" } }])),
        ("another state", json!([{ "acquire": "work", "client": "anna" }, { "state": "LOST", "lease": "work" }])),
        (
            "another event",
            json!([
                { "acquire": "work", "client": "anna" }, fault, { "advance_ms": 4_380_000 },
                { "event": "DEGRADED", "client": "anna", "json": { "status": 21 } },
            ]),
        ),
        (
            "another completion",
            json!([
                { "submit": "check_license", "client": "anna", "as": "ticket" },
                { "completed": "ticket", "status": "TIMEOUT" },
            ]),
        ),
        (
            "another reply",
            json!([
                { "submit": "check_license", "client": "anna", "as": "ticket" },
                { "completed": "ticket", "json": { "floating_users": 3 } },
            ]),
        ),
        ("a refusal of the sandbox", json!([{ "control": "GET /nowhere" }])),
        ("a step that there is none of", json!([{ "juggle": "work", "client": "anna" }])),
    ]
}

fn notices_what_differs(driver: Driver, name: &str) {
    let folder = support::target_dir().join("impossible").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let mut files = Vec::new();
    for (number, (title, last)) in impossible().into_iter().enumerate() {
        let mut steps = vec![
            json!({ "open": "anna", "config": { "hardware_id": "anna" } }),
            json!({ "call": "activate_license", "client": "anna" }),
        ];
        steps.extend(last.as_array().unwrap().iter().cloned());
        let file = folder.join(format!("impossible-{number:02}.json"));
        let text = json!({ "title": title, "sandbox": { "rate": 0 }, "steps": steps });
        std::fs::write(&file, text.to_string()).unwrap();
        files.push((file, steps.len()));
    }
    let verdict = driver(&files.iter().map(|(file, _)| file.clone()).collect::<Vec<PathBuf>>());
    assert_eq!(verdict.fine, HashSet::new());
    for (file, step) in files {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let told = verdict.said.lines().any(|line| line.contains(stem) && line.contains(&format!("step {step} ")));
        assert!(told, "{}: nothing of step {step} in\n{}", title_of(&file), verdict.said);
    }
}

/// The tests of each driver.
macro_rules! drivers {
    ($($(#[$attribute:meta])? $driver:ident)*) => {$(
        mod $driver {
            #[test]
            $(#[$attribute])?
            fn agrees_with_all_scenarios() {
                super::agrees_with_all_scenarios(super::$driver);
            }

            #[test]
            $(#[$attribute])?
            fn notices_what_differs() {
                super::notices_what_differs(super::$driver, stringify!($driver));
            }
        }
    )*};
}

drivers!(rust c cpp python mono);
drivers!(
    #[cfg_attr(not(target_arch = "x86_64"), ignore = "there is no wheel of .NET for this processor")]
    dotnet
);
