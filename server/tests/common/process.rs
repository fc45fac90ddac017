//! A `floatlease-server serve` of its own, as an administrator starts it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{API_KEY, Client, SHARED_KEY, directory};

/// A license for any number of devices.
pub const CATALOGUE: &str = r#"
product = [{ code = "P" }]
api_key = [{ key = "test-api-key", shared_key = "test-shared-key" }]
[[license]]
product = "P"
license_key = "K"
allow_unlimited_activations = true
floating = { users = 100, can_borrow = true, max_borrow_time_hours = 24 }
feature = [{ code = "DAILY", consumption = { max_consumptions = 10, consumption_period = "daily" } }]
"#;

/// Arguments of `serve` that let clients ask as often as they like.
pub const NO_RATE_LIMITS: [&str; 4] = ["--limit-authorization", "off", "--limit-company", "off"];

/// The folder of a site: a catalogue, and the data beside it.
pub struct Site {
    pub folder: PathBuf,
}

impl Site {
    /// Makes an empty folder with a catalogue.
    pub fn new(name: &str, catalogue: &str) -> Site {
        let site = Site { folder: directory(name) };
        site.edit(catalogue);
        site
    }

    /// Writes another catalogue.
    pub fn edit(&self, catalogue: &str) {
        std::fs::write(self.folder.join("catalogue.toml"), catalogue).unwrap();
    }

    /// The path of a file in the data.
    pub fn data(&self, file: &str) -> PathBuf {
        self.folder.join("data").join(file)
    }

    /// The command that serves the site on a free port. `before` is shell code that is run first.
    pub fn command(&self, before: &str) -> Command {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            &format!("{before}\nexec \"$0\" \"$@\""),
            env!("CARGO_BIN_EXE_floatlease-server"),
            "serve",
        ]);
        // A test asks more often than people do.
        command.args(NO_RATE_LIMITS);
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(self.data("")).arg("--catalogue");
        command.arg(self.folder.join("catalogue.toml"));
        command
    }

    /// Starts a server, which is ready when this returns.
    pub fn serve(&self) -> Process {
        self.serve_after("", &[])
    }

    /// The same with shell code that is run first, and more arguments.
    pub fn serve_after(&self, before: &str, arguments: &[&str]) -> Process {
        Process::start(self.command(before).args(arguments)).unwrap_or_else(|(_, said)| panic!("not started: {said}"))
    }

    /// Starts a server that must refuse to start. Returns its exit code and what it says.
    pub fn refused(&self, arguments: &[&str]) -> (Option<i32>, String) {
        match Process::start(self.command("").args(arguments)) {
            Ok(server) => panic!("started: {}", server.log()),
            Err((status, said)) => (status.code(), said),
        }
    }
}

/// A running server. It is killed if a test fails.
pub struct Process {
    pub child: Child,
    pub base_url: String,
    log: PathBuf,
}

impl Process {
    /// Starts a server. If it ends instead, returns its status and what it says.
    pub fn start(command: &mut Command) -> Result<Process, (ExitStatus, String)> {
        static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("log-{}-{number}", std::process::id()));
        let stderr = std::fs::File::create(&log).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        match serde_json::from_str::<Value>(&line) {
            Ok(line) => Ok(Process { child, base_url: line["base_url"].as_str().unwrap().to_owned(), log }),
            Err(_) => {
                let said = (child.wait().unwrap(), std::fs::read_to_string(&log).unwrap());
                let _ = std::fs::remove_file(&log);
                Err(said)
            }
        }
    }

    pub fn client(&self) -> Client {
        Client::new(&self.base_url, API_KEY, SHARED_KEY)
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        let mut text = Vec::new();
        std::fs::File::open(&self.log).unwrap().read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits until the server has logged this text.
    pub fn wait_for_log(&self, text: &str) {
        eventually(&format!("the server logs {text:?}"), || self.log().contains(text));
    }

    pub fn signal(&self, name: &str) {
        // Turkish has another capital of "i", so that INT would be no signal.
        let mut kill = Command::new("kill");
        kill.args(["-s", name, &self.child.id().to_string()]).env("LC_ALL", "C");
        assert!(kill.status().unwrap().success());
    }

    /// Waits until the server has ended by itself. Returns its status and what it has logged.
    pub fn ended(mut self) -> (ExitStatus, String) {
        eventually("the server ends", || self.child.try_wait().unwrap().is_some());
        (self.child.wait().unwrap(), self.log())
    }

    /// Ends the server in order.
    pub fn stop(self) {
        self.signal("TERM");
        let (status, log) = self.ended();
        assert_eq!(status.code(), Some(0), "{log}");
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.log);
    }
}

/// Waits for what must come; a test that waits in vain fails.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A request of this device about the license of [`CATALOGUE`].
pub fn about(hardware_id: &str) -> Value {
    serde_json::json!({ "product": "P", "license_key": "K", "hardware_id": hardware_id, "feature": "DAILY" })
}
