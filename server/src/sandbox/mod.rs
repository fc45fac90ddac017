//! A license server for tests, whose time and failures a test controls. `serve` never uses it.
//!
//! `demo`, `exec` and `libfloatlease_sandbox` run a [`Sandbox`]. It holds [worlds](worlds) behind one port. The
//! [control interface](control) moves their clocks, makes their requests fail, and reports what happened.

mod connection_info;
mod control;
mod control_error;
mod fault;
mod journal;
mod keys;
mod near_miss;
mod options;
mod presets;
mod request_info;
mod strict_json;
mod time_spec;
mod world;
mod worlds;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Mutex;

pub use connection_info::ConnectionInfo;
pub use options::SAMPLE;

use crate::catalogue::ApiKey;
use crate::http::Listener;
use crate::server::{Failure, bind_address, bind_api};
use control::{BASE_PATH, Control, ControlHandler};
use control_error::{ControlError, read};
use options::WorldOptions;
use worlds::Worlds;

/// Time limit for the replies to requests that are under way when a sandbox is stopped.
const STOP_WITHIN: Duration = Duration::from_millis(200);

/// A running server for tests.
pub struct Sandbox {
    /// `None` after the sandbox was stopped.
    running: RwLock<Option<Running>>,
    info: ConnectionInfo,
}

struct Running {
    runtime: Runtime,
    control: Arc<Control>,
    control_port: Option<Listener>,
}

/// The ports of a sandbox, both on the loopback interface. 0 takes a free port.
#[derive(Debug, Clone, Default)]
pub struct Ports {
    /// The API's port.
    pub api: u16,
    /// The port of the control interface. It needs none if it is called directly.
    pub control: Option<u16>,
}

/// The reason why a sandbox refused a call.
#[derive(Debug)]
pub enum SandboxError {
    /// The text is not a JSON object.
    Json(String),
    /// The call is invalid or impossible, or an expectation is not met. A sentence for people.
    Refused(String),
    /// The system lacks something, most likely the port is taken.
    Unavailable(String),
    /// The server has a defect.
    Internal(String),
}

impl Sandbox {
    /// Starts a sandbox, which listens when this returns. Also returns the reply of `POST /worlds`.
    ///
    /// `options` is the text of a JSON object with the members of `POST /worlds`, and `port` and `control_port`.
    ///
    /// # Errors
    /// The options are wrong, or a port is taken.
    pub fn start(options: &str) -> Result<(Sandbox, String), SandboxError> {
        let given = if options.trim().is_empty() { "{}" } else { options };
        let mut members: Map<String, Value> =
            serde_json::from_str(given).map_err(|error| SandboxError::Json(error.to_string()))?;
        let mut port =
            |name| members.shift_remove(name).filter(|value| !value.is_null()).map(|value| port(name, &value));
        let (api, control) = (port("port").transpose()?, port("control_port").transpose()?);
        let ports = Ports { api: api.unwrap_or_default(), control };
        let sandbox = Sandbox::with(&ports, Value::Object(members), Vec::new()).map_err(|error| match error {
            // The error lists the members of a world, and these two are not among them.
            SandboxError::Refused(why) if why.contains("unknown field") => {
                SandboxError::Refused(format!("{why}; or, for a sandbox, `port` or `control_port`"))
            }
            error => error,
        })?;
        let said = sandbox.control("GET /worlds/main", "")?;
        Ok((sandbox, said))
    }

    /// Starts a sandbox with [`SAMPLE`], or with the text of another catalogue.
    ///
    /// # Errors
    /// The catalogue is wrong, or a port is taken.
    pub fn demo(ports: &Ports, catalogue: Option<String>) -> Result<Sandbox, SandboxError> {
        let keys = if catalogue.is_none() { sample_keys() } else { Vec::new() };
        let options = catalogue.map(|text| ("catalogue".to_owned(), Value::from(text)));
        Sandbox::with(ports, Value::Object(options.into_iter().collect()), keys)
    }

    fn with(ports: &Ports, options: Value, api_keys: Vec<ApiKey>) -> Result<Sandbox, SandboxError> {
        let options: WorldOptions = read(options)?;
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (api, base_url) = bind_api(local(ports.api))?;
        let control = ports.control.map(|port| bind_address(local(port))).transpose()?;
        let control_url = control.as_ref().map(|control| control.local_addr().map_err(Failure::from)).transpose()?;
        let control_url = control_url.map(|address| format!("http://{address}{BASE_PATH}"));
        let worlds = Arc::new(Worlds::start(&options, base_url, control_url, api_keys)?);
        let info = worlds.main().info.clone();

        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("floatlease").enable_all().build();
        let runtime = runtime.map_err(Failure::from)?;
        let handle = runtime.handle().clone();
        let api = Listener::open(&handle, api, Arc::clone(&worlds)).map_err(Failure::from)?;
        runtime.spawn(Arc::clone(&worlds).sweep());
        let api_address = api.address();
        let state = Control { worlds, api: Mutex::new(Some(api)), api_address, runtime: handle.clone() };
        let state = Arc::new(state);
        let open = |control| Listener::open(&handle, control, Arc::new(ControlHandler(Arc::clone(&state))));
        let control_port = control.map(open).transpose().map_err(Failure::from)?;
        let running = Running { runtime, control: state, control_port };
        Ok(Sandbox { running: RwLock::new(Some(running)), info })
    }

    /// Returns the facts that a client needs.
    pub fn connection_info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Calls the control interface, and returns the JSON of the reply.
    ///
    /// `method_path` is, for example, `POST /clock/advance`, or the same below `/worlds/{world}`. `body` is empty or the
    /// text of a JSON object, which may also hold the query of a GET.
    ///
    /// # Errors
    /// The call is invalid or impossible, its expectation is not met, or the sandbox was stopped.
    pub fn control(&self, method_path: &str, body: &str) -> Result<String, SandboxError> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let stopped = || SandboxError::Refused("the sandbox was stopped; start another one".to_owned());
        let Running { runtime, control, .. } = running.as_ref().ok_or_else(stopped)?;
        let (method, path) = method_path.trim().split_once(' ').ok_or_else(|| {
            SandboxError::Refused(format!(
                "invalid call {method_path:?}: write a method and a path, as in \"GET /clock\""
            ))
        })?;
        let path = path.trim();
        let path = path.strip_prefix(BASE_PATH).unwrap_or(path);
        if !body.trim().is_empty() {
            serde_json::from_str::<Map<String, Value>>(body).map_err(|error| SandboxError::Json(error.to_string()))?;
        }
        let reply = runtime.block_on(control.call(method, path, body.as_bytes()))?;
        Ok(reply.to_string())
    }

    /// Runs until `end` resolves.
    pub fn run_until<T>(&self, end: impl Future<Output = T>) -> Option<T> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map(|running| running.runtime.block_on(end))
    }

    /// Stops the sandbox within a second, whatever its clients do, and frees everything.
    ///
    /// Any thread may call this, and more than once.
    ///
    /// # Errors
    /// None at present, since a sandbox keeps nothing that could be lost.
    pub fn stop(&self) -> Result<(), Failure> {
        let running = self.running.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { runtime, control, control_port }) = running else { return Ok(()) };
        runtime.block_on(async {
            let api = control.api.lock().await.take();
            let close = |port: Option<Listener>| async {
                if let Some(port) = port {
                    port.close(STOP_WITHIN).await
                }
            };
            tokio::join!(close(api), close(control_port));
        });
        runtime.shutdown_timeout(STOP_WITHIN);
        let worlds = Arc::into_inner(control).map(|control| control.worlds);
        if let Some(worlds) = worlds.and_then(Arc::into_inner) {
            worlds.finish();
        }
        Ok(())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // `stop` has no errors at present.
        let _ = self.stop();
    }
}

fn port(name: &str, value: &Value) -> Result<u16, SandboxError> {
    let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
    number.ok_or_else(|| SandboxError::Refused(format!("`{name}` must be a port from 0 (any free one) to 65535")))
}

/// Returns API keys for trying refusals. They are not in the sample catalogue, because people copy that.
fn sample_keys() -> Vec<ApiKey> {
    let key = |name: &str| ApiKey {
        key: name.to_owned(),
        shared_key: format!("{name}-shared-key"),
        read_only: name == "demo-read-only",
        revoked: name == "demo-revoked",
        products: (name == "demo-studio-only").then(|| vec!["STUDIO".to_owned()]),
    };
    ["demo-read-only", "demo-revoked", "demo-studio-only"].map(key).to_vec()
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SandboxError::Json(why) => write!(f, "the text is invalid: expected a JSON object: {why}"),
            SandboxError::Refused(why) | SandboxError::Unavailable(why) | SandboxError::Internal(why) => {
                f.write_str(why)
            }
        }
    }
}

impl std::error::Error for SandboxError {}

impl From<ControlError> for SandboxError {
    fn from(error: ControlError) -> SandboxError {
        if error.status < 500 { SandboxError::Refused(error.message) } else { SandboxError::Internal(error.message) }
    }
}

impl From<Failure> for SandboxError {
    fn from(failure: Failure) -> SandboxError {
        SandboxError::Unavailable(failure.0)
    }
}
