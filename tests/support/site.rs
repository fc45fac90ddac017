//! A `floatlease-server serve` whose administrator edits the catalogue and starts it again.

use super::abi::Client;
use super::folder::Folder;
use super::{server_binary, with};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What every catalogue of a site begins with.
const KEYS: &str = "product = [{ code = \"P\" }, { code = \"U\", authorization_method = \"user\" }]\napi_key = [{ key = \"site-key\", shared_key = \"site-secret\" }]\n";

/// A server of a site, on a port that stays the same.
pub struct Site {
    folder: Folder,
    address: String,
    child: Child,
    public_key: String,
}

impl Site {
    /// Starts a server on licenses that are written as in `examples/catalogue.toml`, of the products "P", licensed by key, and "U", by user.
    pub fn start(name: &str, licenses: &str) -> Site {
        let folder = Folder::new(&format!("site-{name}"));
        fs::create_dir_all(folder.path()).unwrap();
        // The port is free again when the listener is dropped.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (child, public_key) = serve(&folder, &address, licenses);
        Site { folder, address, child, public_key }
    }

    /// The administrator has changed the catalogue.
    pub fn restart(&mut self, licenses: &str) {
        self.stop();
        (self.child, self.public_key) = serve(&self.folder, &self.address, licenses);
    }

    /// The server was set up anew: it has its key and catalogue, and knows nothing of what happened before.
    pub fn rebuild(&mut self, licenses: &str) {
        self.stop();
        for entry in fs::read_dir(data(&self.folder)).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.to_str().unwrap().contains("floatlease.sqlite") {
                fs::remove_file(entry).unwrap();
            }
        }
        (self.child, self.public_key) = serve_with(&self.folder, &self.address, licenses, &["--begin-anew"]);
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The config of a client on the machine "desk"; `changes` name the license.
    pub fn config(&self, changes: Value) -> Value {
        let config = json!({
            "base_url": format!("http://{}/api/v4", self.address), "product": "P", "api_key": "site-key",
            "shared_key": "site-secret", "public_key": self.public_key, "hardware_id": "desk",
        });
        with(&config, changes)
    }

    /// How many slots of a license are taken, of itself or of a feature. Asked by an activation, which takes none.
    pub fn in_use(&self, who: Value, feature: Option<&str>) -> i64 {
        let client = Client::open(&self.config(with(&who, json!({ "hardware_id": "auditor" })))).unwrap();
        let license = client.call("activate_license", &Value::Null).ok();
        let features = license["product_features"].as_array().unwrap();
        let entry = feature.map(|feature| features.iter().find(|entry| entry["code"] == feature).unwrap());
        entry.unwrap_or(&license)["floating_in_use_devices"].as_i64().unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn data(folder: &Folder) -> PathBuf {
    folder.path().join("data")
}

fn serve(folder: &Folder, address: &str, licenses: &str) -> (Child, String) {
    serve_with(folder, address, licenses, &[])
}

fn serve_with(folder: &Folder, address: &str, licenses: &str, arguments: &[&str]) -> (Child, String) {
    let catalogue = folder.path().join("catalogue.toml");
    fs::write(&catalogue, format!("{KEYS}{licenses}")).unwrap();
    let mut command = Command::new(server_binary());
    command
        .args(["serve", "--limit-authorization", "off", "--limit-company", "off", "--listen", address, "--data"])
        .arg(data(folder))
        .arg("--catalogue")
        .arg(catalogue)
        .args(arguments);
    let (child, _, public_key) = listening(&mut command);
    (child, public_key)
}

/// Starts a `serve`, and returns what it says when it listens, and its public key.
pub fn listening(command: &mut Command) -> (Child, Value, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in what serve said: {line}"));
    let public_key = fs::read_to_string(said["public_key_file"].as_str().unwrap()).unwrap();
    (child, said, public_key)
}
