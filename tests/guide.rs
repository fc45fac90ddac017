//! The guide to testing tells the truth: its calls are made, its tables are the code's.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::lease::state_machine::TRANSITIONS;
use floatlease::status::STATUSES;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::Demo;
use support::document::{assert_shell_commands, blocks_in, fits, read};
use support::faults::ROWS;
use support::sandbox::{World, call, call_with_text};

fn guide() -> String {
    read("docs/testing-your-integration.md")
}

/// A call as `floatlease_sandbox_control` takes it: about a world, or about the server.
fn control(demo: &Demo, world: &World, line: &str) -> (u16, String) {
    let body = line.find(" {").map_or("", |place| &line[place..]);
    let (method, path) = line[..line.len() - body.len()].split_once(' ').expect(line);
    let url = if path.starts_with("/worlds") { demo.text("control_url") } else { &world.control_url };
    call_with_text(&format!("{url}{path}"), method, body)
}

#[test]
fn its_calls_are_answered_as_it_says() {
    let demo = Demo::start();
    let mut answers = 0;
    for block in blocks_in(&guide(), "http") {
        let world = World::new(&demo, &json!({"now": "2027-03-01T09:00:00Z", "rate": 0}));
        let client = world.client("my-desk");
        client.call("activate_license", &Value::Null).ok();
        client.call("check_license", &Value::Null).ok();
        let mut lines = block.lines().peekable();
        while let Some(line) = lines.next() {
            let (status, reply) = control(&demo, &world, line);
            let Some(expected) = lines.next_if(|line| line.starts_with('→')) else {
                assert_eq!(status, 200, "{line}: {reply}");
                continue;
            };
            answers += 1;
            let message = || serde_json::from_str::<Value>(&reply).unwrap()["message"].as_str().unwrap().to_owned();
            let said = if status == 200 { reply } else { message() };
            // In the guide it is the world from the beginning, whose calls need no name.
            let said = said.replace(&format!("/worlds/{}/", world.said["world"].as_str().unwrap()), "/");
            assert!(fits(expected.trim_start_matches("→ "), &said), "{line}\n{expected}\n  {said}");
        }
    }
    assert!(answers > 25, "{answers}");
}

#[test]
fn its_shell_commands_do_what_it_says() {
    assert_shell_commands(&guide(), "guide");
}

#[test]
fn its_table_of_faults_is_the_one_that_is_tested_and_leaves_none_out() {
    let guide = guide();
    let rows: String = ROWS
        .iter()
        .map(|(fault, status, outcome, slot)| {
            format!("| `{fault}` | `{status}` | {outcome} | {} |\n", format!("{slot:?}").to_lowercase())
        })
        .collect();
    let table = guide.split("| `do` |").nth(1).unwrap().split_once("---|\n").unwrap().1.split("\n\n").next().unwrap();
    assert_eq!(format!("{table}\n"), rows);

    let faults: BTreeSet<String> = ROWS.iter().map(|row| kind(&serde_json::from_str(row.0).unwrap())).collect();
    let description = described();
    let schemas = &description["components"]["schemas"];
    let mut kinds = BTreeSet::new();
    for (phase, schema) in [("before", "Before"), ("after_commit", "AfterCommit"), ("reply", "Alter")] {
        kinds.extend(variants(&schemas[schema]).into_iter().map(|kind| format!("{phase}.{kind}")));
    }
    assert_eq!(faults, kinds);
}

/// Phase and name of a fault.
fn kind(fault: &Value) -> String {
    let (phase, what) = fault.as_object().unwrap().iter().next().unwrap();
    let of_object = || what.as_object().unwrap().keys().next().unwrap().clone();
    format!("{phase}.{}", what.as_str().map_or_else(of_object, str::to_owned))
}

/// The interface as it describes itself.
fn described() -> Value {
    let demo = Demo::start();
    call(&format!("{}/openapi.json", demo.text("control_url")), "GET", &Value::Null).1
}

/// The names that an enum's schema allows: texts, or objects with one member.
fn variants(schema: &Value) -> BTreeSet<String> {
    let texts = |schema: &Value| {
        let list = schema["enum"].as_array().cloned().unwrap_or_default();
        let one = schema.get("const").cloned();
        list.into_iter().chain(one).map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let members = |schema: &Value| schema["properties"].as_object().map(|members| members.keys().cloned().collect());
    let cases = schema["oneOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
    cases.iter().flat_map(|case| members(case).unwrap_or_else(|| texts(case))).collect()
}

#[test]
fn it_names_every_profile_every_condition_and_no_status_that_is_none() {
    let (guide, description) = (guide(), described());
    let schemas = &description["components"]["schemas"];
    let named = |name: &str| guide.contains(&format!("`{name}`"));
    let row = |name: &str| guide.contains(&format!("\n| `{name}` |"));
    let members = |schema: &str| schemas[schema]["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let request = &description["paths"]["/faults/profile"]["post"]["requestBody"]["content"]["application/json"];
    let profiles = variants(&request["schema"]["properties"]["profile"]);
    assert!(profiles.len() > 3 && profiles.iter().all(|name| row(name)), "{profiles:?}");
    for member in members("Match").iter().chain(&members("When")) {
        assert!(named(member), "{member}");
    }
    for path in description["paths"].as_object().unwrap().keys().filter(|path| !path.contains('{')) {
        assert!(guide.contains(path), "{path}");
    }
    let words = guide.split('`').skip(1).step_by(2).filter(|word| word.len() > 3);
    let capitals = |word: &&str| word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    for word in words.filter(capitals).filter(|word| !word.starts_with("FLOATLEASE_C")) {
        let name = word.trim_start_matches("FLOATLEASE_E_");
        let is_status = STATUSES.iter().any(|status| status.row().name == name);
        let is_state =
            TRANSITIONS.iter().any(|turn| turn.2.name() == name || turn.3.is_some_and(|told| told.name() == name));
        assert!(is_status || is_state || name == "SOON", "{word}");
    }
}

#[test]
fn its_preset_is_one_of_those() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({"presets": true}));
    let shown: Vec<Value> =
        blocks_in(&guide(), "json").iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(shown.len(), 1);
    assert!(world.said["presets"].as_array().unwrap().contains(&shown[0]), "{}", shown[0]);
}
