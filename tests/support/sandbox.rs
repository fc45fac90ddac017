//! The control interface of a server, as tests use it.

use super::abi::Client;
use super::stub::read_message;
use super::{Demo, with};
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::net::TcpStream;

/// A world of its own for a test.
pub struct World {
    /// Where it is controlled.
    pub control_url: String,
    /// What the server said of it.
    pub said: Value,
}

/// Calls a URL of the control interface; status and reply.
pub fn call(url: &str, method: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, reply) = call_with_text(url, method, &body);
    (status, serde_json::from_str(&reply).unwrap())
}

/// The same with both bodies as they stand.
pub fn call_with_text(url: &str, method: &str, body: &str) -> (u16, String) {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let head = format!("{method} /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
    let reply = read_message(&mut BufReader::new(stream)).expect("the control interface answers");
    let status = reply.head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, String::from_utf8(reply.body).unwrap())
}

impl World {
    /// A world with these options in the server of `demo`.
    pub fn new(demo: &Demo, options: &Value) -> World {
        let (status, said) = call(&format!("{}/worlds", demo.text("control_url")), "POST", options);
        assert_eq!(status, 200, "{said}");
        World { control_url: said["control_url"].as_str().unwrap().to_owned(), said }
    }

    /// A world in which this happens to every request.
    pub fn with_fault(demo: &Demo, what: &Value) -> World {
        World::new(demo, &json!({ "faults": [{ "do": what }] }))
    }

    /// A world that takes requests and never answers.
    pub fn silent(demo: &Demo) -> World {
        World::with_fault(demo, &json!({"before": "hang"}))
    }

    /// `POST /clock/advance` and the like; must succeed.
    pub fn control(&self, method_path: &str, body: &Value) -> Value {
        let (status, reply) = self.try_control(method_path, body);
        assert_eq!(status, 200, "{method_path} {body}: {reply}");
        reply
    }

    pub fn try_control(&self, method_path: &str, body: &Value) -> (u16, Value) {
        let (method, path) = method_path.split_once(' ').unwrap();
        call(&format!("{}{path}", self.control_url), method, body)
    }

    /// Makes this the only fault, for every request.
    pub fn only_fault(&self, what: &Value) {
        self.control("PUT /faults", &json!({ "faults": [{ "do": what }] }));
    }

    /// The slots of the device: (feature, borrowed).
    pub fn slots_of(&self, hardware_id: &str) -> Vec<(Value, bool)> {
        let slots = self.control("GET /slots", &Value::Null)["slots"].clone();
        let slots = slots.as_array().unwrap().iter().filter(|slot| slot["hardware_id"] == hardware_id);
        slots.map(|slot| (slot["feature"].clone(), slot["borrowed"].as_bool().unwrap())).collect()
    }

    /// The config of a client on the machine `hardware_id`.
    pub fn config(&self, hardware_id: &str) -> Value {
        with(&self.said["client_config"], json!({ "hardware_id": hardware_id }))
    }

    /// An opened client of that config.
    pub fn client(&self, hardware_id: &str) -> Client {
        Client::open(&self.config(hardware_id)).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        call(&self.control_url, "DELETE", &Value::Null);
    }
}
