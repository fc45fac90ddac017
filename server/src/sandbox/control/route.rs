//! A route: a method, a path, and a function from a request to a reply.

use std::pin::Pin;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Control;
use crate::sandbox::control_error::{ControlError, read};
use crate::sandbox::world::World;

type Answer = Pin<Box<dyn Future<Output = Result<Value, ControlError>> + Send>>;
type Run = Box<dyn Fn(Arc<Control>, Arc<World>, Value) -> Answer + Send + Sync>;
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A type that a request of the control interface is read into.
pub(super) trait RequestBody: DeserializeOwned + JsonSchema + 'static {}
impl<T: DeserializeOwned + JsonSchema + 'static> RequestBody for T {}

/// A type that a reply of the control interface is made from.
pub(super) trait ReplyBody: Serialize + JsonSchema + 'static {}
impl<T: Serialize + JsonSchema + 'static> ReplyBody for T {}

/// A row of the table of routes.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// Path below the control interface or below a world's `control_url`. `{name}` stands for one part.
    pub(crate) path: &'static str,
    /// A description for people.
    pub(crate) about: &'static str,
    /// True if the route is about one world.
    pub(crate) of_world: bool,
    /// Schema of the request, which is the body, or the query of a GET.
    pub(crate) takes: SchemaOf,
    /// Schema of the reply.
    pub(crate) gives: SchemaOf,
    run: Run,
}

impl Route {
    /// Makes a route about one world.
    pub(super) fn of_world<Q, R, F>(
        method: &'static str,
        path: &'static str,
        about: &'static str,
        run: fn(Arc<World>, Q) -> F,
    ) -> Route
    where
        Q: RequestBody,
        R: ReplyBody,
        F: Future<Output = Result<R, ControlError>> + Send + 'static,
    {
        Route::new(method, path, about, true, move |_, world, request| run(world, request))
    }

    /// Makes a route about the server.
    pub(super) fn of_server<Q, R, F>(
        method: &'static str,
        path: &'static str,
        about: &'static str,
        run: fn(Arc<Control>, Q) -> F,
    ) -> Route
    where
        Q: RequestBody,
        R: ReplyBody,
        F: Future<Output = Result<R, ControlError>> + Send + 'static,
    {
        Route::new(method, path, about, false, move |control, _, request| run(control, request))
    }

    fn new<Q, R, F>(
        method: &'static str,
        path: &'static str,
        about: &'static str,
        of_world: bool,
        run: impl Fn(Arc<Control>, Arc<World>, Q) -> F + Send + Sync + 'static,
    ) -> Route
    where
        Q: RequestBody,
        R: ReplyBody,
        F: Future<Output = Result<R, ControlError>> + Send + 'static,
    {
        let run: Run = Box::new(move |control, world, request| match read::<Q>(request) {
            Err(error) => Box::pin(std::future::ready(Err(error))),
            Ok(request) => {
                let answer = run(control, world, request);
                Box::pin(async move {
                    serde_json::to_value(answer.await?).map_err(|error| ControlError::internal(error.to_string()))
                })
            }
        });
        let takes = |generator: &mut SchemaGenerator| generator.subschema_for::<Q>();
        let gives = |generator: &mut SchemaGenerator| generator.subschema_for::<R>();
        Route { method, path, about, of_world, takes, gives, run }
    }

    /// Returns the parts that stand for `{name}`s, if the path is this route's, by itself or below a world.
    pub(super) fn matches(&self, path: &str) -> Option<Map<String, Value>> {
        let below_world = || parts(&format!("/worlds/{{world}}{}", self.path), path);
        parts(self.path, path).or_else(|| below_world().filter(|_| self.of_world))
    }

    /// Returns whether the path has no placeholder besides the world.
    pub(super) fn is_literal(&self) -> bool {
        !self.path.contains('{')
    }

    pub(super) fn run(&self, control: Arc<Control>, world: Arc<World>, request: Value) -> Answer {
        (self.run)(control, world, request)
    }
}

fn parts(pattern: &str, path: &str) -> Option<Map<String, Value>> {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    if pattern.len() != path.len() {
        return None;
    }
    let mut found = Map::new();
    for (pattern, part) in pattern.into_iter().zip(path) {
        match pattern.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => {
                let number = part.parse::<u64>().ok().filter(|_| name != "world");
                found.insert(name.to_owned(), number.map_or_else(|| part.into(), Value::from));
            }
            None if pattern == part => {}
            None => return None,
        }
    }
    Some(found)
}
