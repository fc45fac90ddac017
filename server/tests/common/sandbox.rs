//! A sandbox in this process, its worlds, and its control interface over HTTP.

use std::sync::{Mutex, PoisonError};

use floatlease_server::sandbox::{Ports, Sandbox};
use serde_json::{Value, json};

use super::{Answer, Client};

/// A sandbox with the sample catalogue and a control port.
pub struct Demo {
    pub sandbox: Sandbox,
    control: Mutex<Client>,
}

impl Demo {
    pub fn start() -> Demo {
        let sandbox = Sandbox::demo(&Ports { api: 0, control: Some(0) }, None).unwrap();
        let control = Mutex::new(Client::new(sandbox.connection_info().get("control_url").unwrap(), "", ""));
        Demo { sandbox, control }
    }

    /// Asks the control port; the path is below the interface.
    pub fn send(&self, method: &str, path: &str, headers: &[(String, String)], body: &[u8]) -> Answer {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        control.send(method, &format!("/control{path}"), headers, body).unwrap()
    }

    /// `POST /worlds` and the like; status and reply.
    pub fn call(&self, method_path: &str, body: &Value) -> (u16, Value) {
        let (method, path) = method_path.split_once(' ').unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.send(method, path, &[], body.as_bytes());
        (answer.status, answer.json())
    }

    /// A refusal of this status, and what it says.
    pub fn refused(&self, status: u16, method_path: &str, body: &Value) -> String {
        let (given, reply) = self.call(method_path, body);
        assert_eq!(given, status, "{method_path} {body}: {reply}");
        reply["message"].as_str().unwrap().to_owned()
    }

    /// Another world.
    pub fn world(&self, options: &Value) -> World<'_> {
        let (status, said) = self.call("POST /worlds", options);
        assert_eq!(status, 200, "{options}: {said}");
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        let api = Client::new(&text("base_url"), &text("api_key"), &text("shared_key"));
        World { demo: self, id: text("world"), api, said }
    }

    /// A world whose clock stands.
    pub fn still(&self) -> World<'_> {
        self.world(&json!({ "now": "2026-01-01", "rate": 0 }))
    }

    /// The names of all worlds.
    pub fn worlds(&self) -> Vec<String> {
        let worlds = self.call("GET /worlds", &Value::Null).1["worlds"].clone();
        serde_json::from_value(worlds).unwrap()
    }
}

/// A world, and a client of it.
pub struct World<'d> {
    pub demo: &'d Demo,
    pub id: String,
    /// What the server said of it.
    pub said: Value,
    pub api: Client,
}

impl World<'_> {
    fn path(&self, method_path: &str) -> String {
        method_path.replacen(' ', &format!(" /worlds/{}", self.id), 1)
    }

    /// `POST /clock/advance` and the like; must succeed.
    pub fn control(&self, method_path: &str, body: &Value) -> Value {
        let (status, reply) = self.demo.call(&self.path(method_path), body);
        assert_eq!(status, 200, "{method_path} {body}: {reply}");
        reply
    }

    pub fn refused(&self, status: u16, method_path: &str, body: &Value) -> String {
        self.demo.refused(status, &self.path(method_path), body)
    }

    pub fn get(&self, path: &str) -> Value {
        self.control(&format!("GET {path}"), &Value::Null)
    }

    /// Adds a fault for every request that fits; its number.
    pub fn fault(&self, matching: Value, when: Value, what: Value) -> u64 {
        let fault = json!({ "match": matching, "when": when, "do": what });
        self.control("POST /faults", &fault)["id"].as_u64().unwrap()
    }

    /// Asks the sample's floating license for a device, with these parameters besides or instead.
    pub fn ask(&mut self, operation: &str, hardware_id: &str, more: Value) -> Answer {
        self.ask_with(operation, hardware_id, more, &[])
    }

    /// Asks as `ask` does, with more headers.
    pub fn ask_with(&mut self, operation: &str, hardware_id: &str, more: Value, headers: &[(&str, &str)]) -> Answer {
        let mut parameters =
            json!({ "product": "CAD-PRO", "license_key": "CADP-FLOA-TING-0002", "hardware_id": hardware_id });
        parameters.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.api.call_with(operation, &parameters, headers)
    }

    /// A GET with the authorisation of this world, whatever it is for.
    pub fn send(&mut self, target: &str) -> Answer {
        let headers = self.api.authorised();
        self.api.send("GET", &format!("/api/v4{target}"), &headers, b"").unwrap()
    }

    /// Asks as `ask` does, and must succeed.
    pub fn done(&mut self, operation: &str, hardware_id: &str, more: Value) -> Answer {
        let answer = self.ask(operation, hardware_id, more);
        assert_eq!(answer.status, 200, "{operation}: {answer:?}");
        answer
    }

    /// The device is active and holds a slot of the license.
    pub fn take_slot(&mut self, hardware_id: &str) {
        self.done("activate_license", hardware_id, Value::Null);
        self.done("check_license", hardware_id, Value::Null);
    }

    /// Whether a fault happened to each of so many requests.
    pub fn hits(&mut self, count: usize) -> String {
        let hit = |answer: Answer| if answer.headers.contains_key("x-sandbox-fault") { 'x' } else { '.' };
        (0..count).map(|_| hit(self.ask("check_license", "hw", Value::Null))).collect()
    }

    /// The world's time.
    pub fn now(&self) -> String {
        self.get("/clock")["now"].as_str().unwrap().to_owned()
    }

    /// (device, until) of every slot.
    pub fn slots(&self) -> Vec<(String, String)> {
        let text = |slot: &Value, name: &str| slot[name].as_str().unwrap().to_owned();
        let slots = self.get("/slots")["slots"].as_array().unwrap().clone();
        slots.iter().map(|slot| (text(slot, "hardware_id"), text(slot, "until"))).collect()
    }
}
