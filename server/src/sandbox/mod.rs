//! The testers' side: a server whose time and failures a test decides. Never part of `serve`.
//!
//! [`Sandbox`] is `demo`, `exec` and `libfloatlease_sandbox`. It holds [worlds](worlds) behind one port; the
//! [control interface](control) moves their clocks, makes their requests go wrong, and tells what happened.

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

use crate::Failure;
use crate::catalogue::ApiKey;
use crate::http::Listener;
use crate::server::{bind_address, bind_api};
use control::{BASE_PATH, Control, ControlHandler};
use control_error::{ControlError, read};
use options::WorldOptions;
use worlds::Worlds;

/// What is in flight when it is stopped has so long to be answered.
const STOP_WITHIN: Duration = Duration::from_millis(200);

/// A server for tests, running.
pub struct Sandbox {
    /// `None` when it was stopped.
    running: RwLock<Option<Running>>,
    info: ConnectionInfo,
}

struct Running {
    runtime: Runtime,
    control: Arc<Control>,
    control_port: Option<Listener>,
}

/// Where a sandbox listens. Both ports are on the loopback interface; 0 is a free one.
#[derive(Debug, Clone, Default)]
pub struct Ports {
    /// Of the API.
    pub api: u16,
    /// Of the control interface, which needs none if it is called directly.
    pub control: Option<u16>,
}

/// Why a sandbox refused.
#[derive(Debug)]
pub enum SandboxError {
    /// What was given is no JSON object; why.
    Json(String),
    /// It was understood and can't be done, or what was expected is not so; a sentence for people.
    Refused(String),
    /// The system has not what it needs, most likely the port.
    Unavailable(String),
    /// A defect of ours.
    Internal(String),
}

impl Sandbox {
    /// Starts one; it listens when this returns. `options` is the text of a JSON object with the members of
    /// `POST /worlds`, and `port` and `control_port`. Answers the reply of `POST /worlds` too.
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
            // Which lists the members of a world, and these are none.
            SandboxError::Refused(why) if why.contains("unknown field") => {
                SandboxError::Refused(format!("{why}; and a sandbox `port` and `control_port`"))
            }
            error => error,
        })?;
        let said = sandbox.control("GET /worlds/main", "")?;
        Ok((sandbox, said))
    }

    /// The demo: [`SAMPLE`] or another catalogue (its text), with a control port.
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

    /// What a client needs.
    pub fn connection_info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Calls the control interface: `POST /clock/advance`, or the same below `/worlds/{world}`, with the text of a JSON
    /// object or an empty one as `body`; what a GET takes may stand there too. Answers the JSON of the reply.
    ///
    /// # Errors
    /// The call is wrong or can't be done, what it expected is not so, or the sandbox was stopped.
    pub fn control(&self, method_path: &str, body: &str) -> Result<String, SandboxError> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let stopped = || SandboxError::Refused("the sandbox was stopped".to_owned());
        let Running { runtime, control, .. } = running.as_ref().ok_or_else(stopped)?;
        let (method, path) = method_path.trim().split_once(' ').ok_or_else(|| {
            SandboxError::Refused(format!(
                "{method_path:?} is no call; write a method and a path, as in \"GET /clock\""
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

    /// Runs until `end` is over.
    pub fn run_until<T>(&self, end: impl Future<Output = T>) -> Option<T> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map(|running| running.runtime.block_on(end))
    }

    /// Stops it within a second, whatever its clients do; nothing of it is left. From any thread, and again.
    ///
    /// # Errors
    /// None at present: a sandbox keeps nothing that could be lost.
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
        // It has no errors at present.
        let _ = self.stop();
    }
}

fn port(name: &str, value: &Value) -> Result<u16, SandboxError> {
    let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
    number.ok_or_else(|| {
        SandboxError::Refused(format!("`{name}` must be a port from 0, which is any free one, to 65535"))
    })
}

/// API keys for trying refusals; not in the sample, which people copy.
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
            SandboxError::Json(why) => write!(f, "this is no JSON object: {why}"),
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
