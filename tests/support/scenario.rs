//! Scenarios, performed in Rust through the crate: what `tests/scenarios/README.md` says, step by step.

use super::folder::Folder;
use super::sandbox::{self, World};
use super::{Demo, with};
use floatlease::lease::{Lease, Session, caught};
use floatlease::{Error, Status};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest that a step waits.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// What a step came to.
struct Came {
    status: String,
    json: Value,
}

impl Came {
    fn of(result: Result<String, Error>) -> Came {
        match result {
            Ok(reply) => Came { status: "OK".to_owned(), json: parsed(&reply) },
            Err(error) => Came { status: error.status.row().name.to_owned(), json: parsed(&error.to_json()) },
        }
    }

    fn ok(json: Value) -> Came {
        Came { status: "OK".to_owned(), json }
    }
}

/// One step of a scenario.
struct Step<'a>(&'a Map<String, Value>);

impl<'a> Step<'a> {
    /// What is done, and to what.
    fn action(&self) -> (&'a str, &'a Value) {
        let arguments = ["client", "lease", "request", "config", "as", "status", "json"];
        let mut actions = self.0.iter().filter(|(key, _)| !arguments.contains(&key.as_str()));
        let (name, value) = actions.next().expect("a step says what is done");
        (name, value)
    }

    fn text(&self, key: &str) -> &'a str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("{key} of {:?} is no text", self.0))
    }

    fn object(&self, key: &str) -> Value {
        self.0.get(key).cloned().unwrap_or_else(|| json!({}))
    }
}

/// A scenario that is being performed.
struct Performance {
    world: World,
    server: String,
    folder: Folder,
    clients: HashMap<String, Arc<Session>>,
    leases: HashMap<String, Lease>,
    /// Of submitted calls: whose they are, and their numbers.
    tickets: HashMap<String, (String, u64)>,
    /// What was read of a client's events and not asked for yet.
    unread: HashMap<String, Vec<Value>>,
    /// Added to the config of each client.
    changes: Value,
    _demo: Demo,
}

/// Performs the scenario in that file; tells the step that came out otherwise.
pub fn perform(file: &Path) -> Result<(), String> {
    perform_with(file, json!({}))
}

/// The same with clients that start no thread: threads of the test do what is due.
pub fn perform_by_work(file: &Path) -> Result<(), String> {
    perform_with(file, json!({"threads": "host"}))
}

fn perform_with(file: &Path, changes: Value) -> Result<(), String> {
    let name = file.file_stem().unwrap().to_str().unwrap();
    let scenario = parsed(&std::fs::read_to_string(file).unwrap());
    assert!(scenario["title"].is_string(), "{name} has no title");
    let demo = Demo::start();
    let mut performance = Performance {
        world: World::new(&demo, &scenario["sandbox"]),
        server: demo.text("control_url").to_owned(),
        folder: Folder::new(&format!("scenario-{name}")),
        clients: HashMap::new(),
        leases: HashMap::new(),
        tickets: HashMap::new(),
        unread: HashMap::new(),
        changes,
        _demo: demo,
    };
    for (number, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
        let differs = |what: String| format!("{name}: step {} {step}: {what}", number + 1);
        let came = performance.step(&Step(step.as_object().unwrap())).map_err(differs)?;
        let expected = step.get("status").and_then(Value::as_str).unwrap_or("OK");
        if came.status != expected {
            return Err(differs(format!("expected {expected}, got {} {}", came.status, came.json)));
        }
        if let Some(unfit) = step.get("json").and_then(|expected| unfit("", expected, &came.json)) {
            return Err(differs(unfit));
        }
    }
    Ok(())
}

impl Performance {
    fn step(&mut self, step: &Step<'_>) -> Result<Came, String> {
        let (action, value) = step.action();
        if let Some(by_ms) = value.as_u64().filter(|_| action == "advance_ms") {
            self.world.control("POST /clock/advance", &json!({ "by": format!("{by_ms}ms") }));
            self.clients.values().for_each(|client| client.advance_clock(u32::try_from(by_ms).unwrap()));
            return Ok(Came::ok(json!({})));
        }
        let name = value.as_str().ok_or("the step's first member is no text")?;
        Ok(match action {
            "open" => self.open(name, &step.object("config")),
            "close" => {
                self.clients.remove(name).ok_or("no such client")?.close();
                Came::ok(json!({}))
            }
            "call" => Came::of(self.client(step)?.call(name, &step.object("request").to_string())),
            "acquire" => {
                let acquired = self.client(step)?.acquire(&step.object("request").to_string());
                Came::of(acquired.map(|(lease, info)| {
                    self.leases.insert(name.to_owned(), lease);
                    info
                }))
            }
            "info" => Came::of(Ok(self.lease(name)?.info())),
            "renew" => Came::of(self.lease(name)?.renew("{}")),
            "release" => Came::of(self.lease(name)?.release("{}")),
            "borrow" => Came::of(self.lease(name)?.borrow(&step.object("request").to_string())),
            "free" => {
                self.leases.remove(name).ok_or("no such lease")?;
                Came::ok(json!({}))
            }
            "state" => self.wait_for_state(name, step.text("lease"))?,
            "submit" => {
                let ticket = self.client(step)?.submit(name, &step.object("request").to_string());
                let client = step.text("client").to_owned();
                Came::of(ticket.map(|ticket| {
                    self.tickets.insert(step.text("as").to_owned(), (client, ticket));
                    "{}".to_owned()
                }))
            }
            "cancel" => {
                let (client, ticket) = self.tickets.get(name).ok_or("no such ticket")?;
                Came::of(self.clients[client].cancel_submitted(*ticket).map(|()| "{}".to_owned()))
            }
            "completed" => self.completed(name, step)?,
            "event" => {
                let client = step.text("client");
                Came::ok(self.await_event(client, true, &|event| event["event"] == name)?)
            }
            "control" => self.control(name, &step.0.get("request").cloned().unwrap_or_default()),
            _ => return Err("there is no such step".to_owned()),
        })
    }

    fn client(&self, step: &Step<'_>) -> Result<&Session, String> {
        self.clients.get(step.text("client")).map(|client| &**client).ok_or("no such client".to_owned())
    }

    fn lease(&self, name: &str) -> Result<&Lease, String> {
        self.leases.get(name).ok_or("no such lease".to_owned())
    }

    fn open(&mut self, name: &str, changes: &Value) -> Came {
        let folder = self.folder.path().to_str().unwrap();
        let mut changes = changes.clone();
        for value in changes.as_object_mut().unwrap().values_mut() {
            if let Some(text) = value.as_str().filter(|text| text.contains("$storage")) {
                *value = text.replace("$storage", folder).into();
            }
        }
        let config = with(&self.world.control("GET /client_config", &Value::Null), self.changes.clone());
        let config = with(&config, changes);
        Came::of(Session::open(&config.to_string(), caught).map(|session| {
            let session = Arc::new(session);
            if self.changes["threads"] == "host" {
                // Two, because a call that hangs occupies one.
                (0..2).for_each(|_| work_for(&session));
            }
            self.clients.insert(name.to_owned(), session);
            "{}".to_owned()
        }))
    }

    /// Of one world, or of its server.
    fn control(&self, method_path: &str, request: &Value) -> Came {
        let (method, path) = method_path.split_once(' ').unwrap();
        let of_server = ["/worlds", "/listener", "/openapi"].iter().any(|start| path.starts_with(start));
        let url = if of_server { &self.server } else { &self.world.control_url };
        let (status, json) = sandbox::call(&format!("{url}{path}"), method, request);
        if status == 200 { Came::ok(json) } else { Came { status: Status::Sandbox.row().name.to_owned(), json } }
    }

    fn wait_for_state(&self, wanted: &str, lease: &str) -> Result<Came, String> {
        let started = Instant::now();
        loop {
            let state = self.leases.get(lease).map_or("NONE", |lease| lease.state().name());
            if state == wanted {
                return Ok(Came::ok(json!({})));
            }
            if started.elapsed() > LONGEST_WAIT {
                return Err(format!("it is {state}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn completed(&mut self, name: &str, step: &Step<'_>) -> Result<Came, String> {
        let (client, ticket) = self.tickets.get(name).cloned().ok_or("no such ticket")?;
        let event =
            self.await_event(&client, false, &|event| event["event"] == "COMPLETED" && event["ticket"] == ticket)?;
        let status = i32::try_from(event["status"].as_i64().unwrap()).unwrap();
        if status != 0 {
            return Ok(Came {
                status: event["error"]["name"].as_str().unwrap().to_owned(),
                json: event["error"].clone(),
            });
        }
        if step.0.contains_key("lease") {
            let lease = self.clients[&client].accept(ticket).map_err(|error| error.message())?;
            self.leases.insert(step.text("lease").to_owned(), lease);
        }
        Ok(Came::ok(event["reply"].clone()))
    }

    /// The first event that fits; `passing`: leases' events before it are forgotten, as are none of completions.
    fn await_event(&mut self, client: &str, passing: bool, fits: &dyn Fn(&Value) -> bool) -> Result<Value, String> {
        let unread = self.unread.entry(client.to_owned()).or_default();
        let session = self.clients.get(client).ok_or("no such client")?;
        let started = Instant::now();
        loop {
            if let Some(at) = unread.iter().position(fits) {
                let event = unread.remove(at);
                if passing {
                    let mut place = 0;
                    unread.retain(|passed| {
                        place += 1;
                        place > at || passed["event"] == "COMPLETED"
                    });
                }
                return Ok(event);
            }
            let left = LONGEST_WAIT.checked_sub(started.elapsed()).ok_or("it did not come")?;
            match session.next_event(left).map_err(|error| error.message())? {
                Some(event) => unread.push(parsed(&event)),
                None => return Err(format!("it did not come, but {unread:?}")),
            }
        }
    }
}

/// Does what is due for a client on a thread of the test, as long as the scenario uses the client.
fn work_for(session: &Arc<Session>) {
    let session = Arc::downgrade(session);
    std::thread::spawn(move || {
        while let Some(next) = session.upgrade().map(|session| session.work(Duration::from_secs(1)).unwrap()) {
            std::thread::sleep(next.unwrap_or(Duration::MAX).min(Duration::from_millis(2)));
        }
    });
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {json}"))
}

/// Where and how what came does not fit, if so.
fn unfit(place: &str, expected: &Value, came: &Value) -> Option<String> {
    let differs = || Some(format!("{place} should be {expected}, but is {came}"));
    if let Some((rule, value)) = expected.as_object().and_then(|object| object.iter().next())
        && rule.starts_with('$')
    {
        let fits = match rule.as_str() {
            "$any" => !came.is_null(),
            "$at_least" => came.as_f64() >= value.as_f64() && came.is_number(),
            "$at_most" => came.as_f64() <= value.as_f64() && came.is_number(),
            "$holds" => came.as_str().is_some_and(|text| text.contains(value.as_str().unwrap())),
            _ => panic!("there is no {rule}"),
        };
        return if fits { None } else { differs() };
    }
    match (expected, came) {
        (Value::Object(expected), Value::Object(came)) => expected.iter().find_map(|(key, expected)| {
            unfit(&format!("{place}.{key}"), expected, came.get(key).unwrap_or(&Value::Null))
        }),
        (Value::Array(expected), Value::Array(came)) if expected.len() == came.len() => {
            let mut pairs = expected.iter().zip(came).enumerate();
            pairs.find_map(|(at, (expected, came))| unfit(&format!("{place}[{at}]"), expected, came))
        }
        _ if expected == came => None,
        _ => differs(),
    }
}
