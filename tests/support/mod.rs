//! What the integration tests share: a real server process, the C ABI in safe clothes, and things in between.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod abi;
pub mod actor;
pub mod consumption;
pub mod csharp;
#[cfg(unix)]
pub mod document;
pub mod faults;
pub mod folder;
pub mod holder;
#[cfg(target_os = "linux")]
pub mod lateness;
pub mod machine;
pub mod oauth;
pub mod odd;
pub mod programs;
pub mod proxy;
pub mod sandbox;
pub mod scenario;
pub mod seed;
pub mod site;
pub mod stub;
pub mod tls;
pub mod unity;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo puts what it builds with this test's profile.
pub fn target_dir() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().to_owned()
}

/// Where `make release` puts the library that ships.
pub fn release_dir() -> PathBuf {
    library_dir("release", "libfloatlease.so.1", "make release")
}

/// Where `make release` puts the sandbox's library.
pub fn sandbox_dir() -> PathBuf {
    library_dir("sandbox", "libfloatlease_sandbox.so.1", "make release")
}

/// Where `make test-panic` puts one that panics on demand.
pub fn panic_dir() -> PathBuf {
    library_dir("panic/release", "libfloatlease.so.1", "make test-panic")
}

fn library_dir(name: &str, library: &str, maker: &str) -> PathBuf {
    let directory = target_dir().parent().unwrap().join(name);
    assert!(directory.join(library).exists(), "{} has no {library}: run `{maker}`", directory.display());
    directory
}

/// The server built with the same profile.
pub fn server_binary() -> PathBuf {
    let path = target_dir().join(format!("floatlease-server{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is missing: run `make test`, or `cargo build --workspace` first", path.display());
    path
}

/// The command `floatlease`, built with the same profile.
pub fn command_line_binary() -> PathBuf {
    let path = target_dir().join(format!("floatlease{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is missing: run `make test`, or `cargo build --workspace` first", path.display());
    path
}

/// A tool of the system; a missing one is a failure, never a skip. It speaks English, for what it says is looked at.
pub fn tool(name: &str) -> Command {
    let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", name]).stdout(Stdio::null()).status();
    assert!(found.unwrap().success(), "{name} is missing: run scripts/setup");
    let mut command = Command::new(name);
    command.env("LANGUAGE", "C");
    command
}

/// Runs a command, asserts that it succeeds and returns what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// A `floatlease-server demo` of its own for a test.
pub struct Demo {
    child: Child,
    /// What it said when it listened.
    pub said: Value,
}

impl Demo {
    pub fn start() -> Demo {
        Demo::launch(&mut Command::new(server_binary()))
    }

    /// The same with shell code that is run first, as for limits of the process.
    pub fn start_after(before: &str) -> Demo {
        Demo::launch(Command::new("sh").args(["-c", &format!("{before}\nexec \"$0\" \"$@\"")]).arg(server_binary()))
    }

    fn launch(command: &mut Command) -> Demo {
        let mut child =
            command.arg("demo").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in what demo said: {line}"));
        Demo { child, said }
    }

    pub fn text(&self, key: &str) -> &str {
        self.said[key].as_str().unwrap_or_else(|| panic!("demo did not say {key}: {}", self.said))
    }

    /// The config of a client on the machine `hardware_id`, with the demo's own license.
    pub fn config(&self, hardware_id: &str) -> Value {
        let mut config = json!({ "hardware_id": hardware_id });
        for key in ["base_url", "api_key", "shared_key", "public_key", "product", "license_key"] {
            config[key] = self.said[key].clone();
        }
        config
    }

    /// An opened client of that config.
    pub fn client(&self, hardware_id: &str) -> abi::Client {
        abi::Client::open(&self.config(hardware_id)).unwrap()
    }

    /// Closes the server's port, as if the server were not running, or opens it again.
    pub fn listen(&self, open: bool) {
        let url = format!("{}/listener", self.text("control_url"));
        let (status, reply) = sandbox::call(&url, "POST", &json!({ "open": open }));
        assert_eq!(status, 200, "{reply}");
    }

    /// Its number as a process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Host and port.
    pub fn address(&self) -> String {
        let url = self.text("base_url").strip_prefix("http://").unwrap();
        url.split('/').next().unwrap().to_owned()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The config of a client that believes whatever answers at `address`.
pub fn believing(address: &str) -> Value {
    json!({
        "product": "XY", "license_key": "AAAA", "api_key": "a", "shared_key": "s", "hardware_id": "hw-1",
        "verify": "off", "base_url": format!("http://{address}/api/v4"),
    })
}

/// `base` with some members changed; null removes one.
pub fn with(base: &Value, changes: Value) -> Value {
    let mut object = base.clone();
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(key)),
            value => object[key] = value.clone(),
        }
    }
    object
}
