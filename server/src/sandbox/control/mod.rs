//! The control interface: finds the route of a call, and runs it.
//!
//! It has a port of its own, or `libfloatlease_sandbox` calls it directly. A path below a world's `control_url` and the
//! same path without it are the same route; without it, the call is about the world that exists from the start.

mod bodies;
mod description;
mod route;
mod routes;

use std::sync::{Arc, LazyLock};

use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::control_error::ControlError;
use super::strict_json::with_integers;
use super::world::World;
use super::worlds::Worlds;
use crate::http::{self, Handler, Listener, RawConnection, ReceivedRequest, response};
pub(crate) use route::Route;

/// Path under which the control interface lives on its port.
pub(crate) const BASE_PATH: &str = "/control";

/// The objects that the control interface works on.
pub(crate) struct Control {
    pub(crate) worlds: Arc<Worlds>,
    /// The API's listener, unless it is closed at present.
    pub(crate) api: Mutex<Option<Listener>>,
    pub(crate) api_address: std::net::SocketAddr,
    pub(crate) runtime: tokio::runtime::Handle,
}

/// Every route.
pub(crate) static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(routes::all);

impl Control {
    /// Runs a call. `path` is below [`BASE_PATH`], with or without a query.
    pub(crate) async fn call(self: &Arc<Self>, method: &str, path: &str, body: &[u8]) -> Result<Value, ControlError> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = path.trim_end_matches('/');
        let matching = ROUTES.iter().filter_map(|route| Some((route, route.matches(path)?)));
        let mut matching: Vec<(&Route, Map<String, Value>)> = matching.collect();
        // A literal path comes before one with a placeholder.
        if matching.iter().any(|(route, _)| route.is_literal()) {
            matching.retain(|(route, _)| route.is_literal());
        }
        let right: Vec<&str> = matching.iter().map(|(route, _)| route.method).collect();
        if let Some((route, mut members)) = matching.into_iter().find(|(route, _)| route.method == method) {
            let world = self.world(&mut members, route)?;
            add(&mut members, of_body(body)?)?;
            add(&mut members, of_query(query))?;
            return route.run(Arc::clone(self), world, Value::Object(members)).await;
        }
        let advice = if right.is_empty() {
            "GET /openapi.json lists every call".to_owned()
        } else {
            format!("use {}", right.join(" or "))
        };
        Err(ControlError::not_found(format!("unknown call {method} {path}; {advice}")))
    }

    /// Returns the world that the path names, or the world that exists from the start.
    fn world(&self, members: &mut Map<String, Value>, route: &Route) -> Result<Arc<World>, ControlError> {
        let named = if route.of_world { members.remove("world") } else { None };
        match named.as_ref().and_then(Value::as_str) {
            Some(id) => self.worlds.get(id),
            None => Ok(Arc::clone(self.worlds.main())),
        }
    }
}

/// Adds members. A member that is given twice is refused, since either value could be meant.
fn add(members: &mut Map<String, Value>, more: impl IntoIterator<Item = (String, Value)>) -> Result<(), ControlError> {
    for (name, value) in more {
        if members.contains_key(&name) {
            return Err(ControlError::invalid(format!(
                "`{name}` is given twice: give it in the path, the body or the query only"
            )));
        }
        members.insert(name, value);
    }
    Ok(())
}

/// Returns the members of a query. Digits become numbers, since every value of a query is a text.
fn of_query(query: &str) -> impl Iterator<Item = (String, Value)> {
    let value = |text: &str| text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from);
    form_urlencoded::parse(query.as_bytes()).map(move |(name, text)| (name.into_owned(), value(&text)))
}

fn of_body(body: &[u8]) -> Result<Map<String, Value>, ControlError> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    let wrong = |why: String| ControlError::invalid(format!("the body is invalid: expected a JSON object: {why}"));
    match with_integers(serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?) {
        Value::Object(members) => Ok(members),
        _ => Err(wrong("found another type".to_owned())),
    }
}

/// Answers requests for the control interface on its own port.
pub(crate) struct ControlHandler(pub(crate) Arc<Control>);

impl Handler for ControlHandler {
    async fn handle(&self, request: ReceivedRequest, _: RawConnection) -> Response<Vec<u8>> {
        let path = request.path().strip_prefix(BASE_PATH).map(|path| match request.head.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        });
        let answer = match (path, &request.body) {
            _ if request.head.headers.contains_key(header::ORIGIN) => Err(ControlError::invalid(
                "an Origin header is not allowed: the control interface is for programs, not for pages in a browser",
            )),
            (None, _) => {
                Err(ControlError::not_found(format!("unknown path; the control interface is below {BASE_PATH}")))
            }
            (_, Err(refusal)) => Err(ControlError::invalid(refusal.message(""))),
            (Some(path), Ok(body)) => self.0.call(request.head.method.as_str(), &path, body).await,
        };
        let (status, body) = match answer {
            Ok(value) => (200, value),
            Err(error) => (error.status, serde_json::to_value(&error).unwrap_or_default()),
        };
        let mut reply = response(body.to_string().into_bytes(), "application/json");
        *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        reply
    }
}

impl Control {
    /// Closes the API's port, as if the server were not running, or opens it again.
    async fn listen(&self, open: bool) -> Result<(), ControlError> {
        let mut api = self.api.lock().await;
        match (open, api.take()) {
            (true, None) => {
                let failed =
                    |error: std::io::Error| ControlError::conflict(format!("can't open the port again: {error}"));
                let listener = http::bind(self.api_address).map_err(failed)?;
                *api = Some(Listener::open(&self.runtime, listener, Arc::clone(&self.worlds)).map_err(failed)?);
            }
            (false, Some(port)) => port.close(std::time::Duration::ZERO).await,
            (_, same) => *api = same,
        }
        Ok(())
    }
}
