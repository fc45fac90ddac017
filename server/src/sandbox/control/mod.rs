//! The control interface: what a test may do to a world, as one table of routes.
//!
//! It has a port of its own, or is called directly by `libfloatlease_sandbox`. A path below a world's `control_url` and
//! the same path without it, for the world that is there from the beginning, are the same route.

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

/// Where the control interface lives on its port.
pub(crate) const BASE_PATH: &str = "/control";

/// What the control interface works on.
pub(crate) struct Control {
    pub(crate) worlds: Arc<Worlds>,
    /// The port of the API, unless it is closed at present.
    pub(crate) api: Mutex<Option<Listener>>,
    pub(crate) api_address: std::net::SocketAddr,
    pub(crate) runtime: tokio::runtime::Handle,
}

/// Every route.
pub(crate) static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(routes::all);

impl Control {
    /// The reply to a call; `path` is below [`BASE_PATH`], with or without a query.
    pub(crate) async fn call(self: &Arc<Self>, method: &str, path: &str, body: &[u8]) -> Result<Value, ControlError> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = path.trim_end_matches('/');
        let matching = ROUTES.iter().filter_map(|route| Some((route, route.matches(path)?)));
        let mut matching: Vec<(&Route, Map<String, Value>)> = matching.collect();
        // A path as it stands comes before one with a part to be filled in.
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
        Err(ControlError::not_found(format!("there is no {method} {path}; {advice}")))
    }

    /// The world that a path of a world names, or the one from the beginning.
    fn world(&self, members: &mut Map<String, Value>, route: &Route) -> Result<Arc<World>, ControlError> {
        let named = if route.of_world { members.remove("world") } else { None };
        match named.as_ref().and_then(Value::as_str) {
            Some(id) => self.worlds.get(id),
            None => Ok(Arc::clone(self.worlds.main())),
        }
    }
}

/// Adds members; what says a thing twice could mean either.
fn add(members: &mut Map<String, Value>, more: impl IntoIterator<Item = (String, Value)>) -> Result<(), ControlError> {
    for (name, value) in more {
        if members.contains_key(&name) {
            return Err(ControlError::invalid(format!("`{name}` is given twice: in the path, the body or the query")));
        }
        members.insert(name, value);
    }
    Ok(())
}

/// Numbers are read as such; a query has nothing but texts.
fn of_query(query: &str) -> impl Iterator<Item = (String, Value)> {
    let value = |text: &str| text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from);
    form_urlencoded::parse(query.as_bytes()).map(move |(name, text)| (name.into_owned(), value(&text)))
}

fn of_body(body: &[u8]) -> Result<Map<String, Value>, ControlError> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    let wrong = |why: String| ControlError::invalid(format!("the body must be a JSON object: {why}"));
    match with_integers(serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?) {
        Value::Object(members) => Ok(members),
        _ => Err(wrong("it is JSON of another type".to_owned())),
    }
}

/// The control interface on a port of its own.
pub(crate) struct ControlHandler(pub(crate) Arc<Control>);

impl Handler for ControlHandler {
    async fn handle(&self, request: ReceivedRequest, _: RawConnection) -> Response<Vec<u8>> {
        let path = request.path().strip_prefix(BASE_PATH).map(|path| match request.head.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        });
        let answer = match (path, &request.body) {
            _ if request.head.headers.contains_key(header::ORIGIN) => {
                Err(ControlError::invalid("the control interface is for programs; a page in a browser may not call it"))
            }
            (None, _) => Err(ControlError::not_found(format!("the control interface is below {BASE_PATH}"))),
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
