//! Describes the control interface in OpenAPI 3.1, from its table of routes.

use schemars::Schema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::{Map, Value, json};

use super::ROUTES;
use super::route::Route;
use crate::openapi::{Document, Endpoint, json_body, json_reply, parameter};

/// Errors that every route may reply: status, code, description.
const REFUSALS: [(u16, &str, &str); 4] = [
    (400, "invalid", "The call is invalid; the message says what to write instead."),
    (404, "not_found", "The call, world or fault is unknown."),
    (409, "conflict", "The call is impossible in the present state."),
    (417, "not_met", "An expectation of the test is not met."),
];

/// Makes the document of the interface at `url`.
pub(super) fn document(url: &str) -> Value {
    let about = "Moves the clocks of a floatlease sandbox, makes requests fail, and reports what happened. Every call \
                 about a world can be made below /worlds/{world} too; without that, it is about the world that exists \
                 from the start.";
    let mut document = Document::new("floatlease sandbox control", about, url, Map::new());
    for (status, code, description) in REFUSALS {
        document.refusal(status, description, &[code], json!({}));
    }
    for route in ROUTES.iter() {
        add(&mut document, route, route.path, "");
        if route.of_world {
            add(&mut document, route, &format!("/worlds/{{world}}{}", route.path), "_of_world");
        }
    }
    document.finish()
}

fn add(document: &mut Document, route: &Route, path: &str, suffix: &str) {
    let takes = RequestSchema::new(route);
    let gives = Value::from((route.gives)(document.generator()));
    let of_path = |name: &str| path.contains(&format!("{{{name}}}"));
    let world = of_path("world").then(|| parameter("path", "world", true, json!({ "type": "string", "minLength": 1 })));
    let in_path = takes.members().filter(|member| of_path(member.0));
    let in_path = in_path.map(|(name, schema)| parameter("path", name, true, schema.clone()));
    let in_query = takes.members().filter(|member| route.method == "GET" && !of_path(member.0));
    let in_query = in_query.map(|(name, schema)| parameter("query", name, takes.requires(name), schema.clone()));
    let has_body = route.method != "GET" && takes.members().any(|member| !of_path(member.0));
    let is_required = takes.0.get("minProperties").is_some() || takes.members().any(|(name, _)| takes.requires(name));
    let name = format!("{}{}{suffix}", route.method.to_lowercase(), route.path.replace(['/', '.'], "_"));
    document.add(Endpoint {
        path,
        method: &route.method.to_lowercase(),
        name: &name.replace(['{', '}'], ""),
        summary: route.about,
        parameters: world.into_iter().chain(in_path).chain(in_query).collect(),
        body: has_body.then(|| json_body(is_required, json!({ "schema": takes.0 }))),
        reply: json_reply("Done.", json!({}), gives),
        open: true,
    });
}

/// Replaces the name of an integer type by its bounds, which every program understands.
fn bounded(schema: &mut Schema) {
    let ends = schema.get("format").and_then(Value::as_str).and_then(|format| match format {
        "uint8" => Some((json!(0), json!(u8::MAX))),
        "uint16" => Some((json!(0), json!(u16::MAX))),
        "uint32" => Some((json!(0), json!(u32::MAX))),
        "uint64" => Some((json!(0), json!(u64::MAX))),
        "int64" => Some((json!(i64::MIN), json!(i64::MAX))),
        _ => None,
    });
    if let Some((least, most)) = ends {
        schema.ensure_object().entry("minimum").or_insert(least);
        schema.ensure_object().entry("maximum").or_insert(most);
    }
}

/// The schema of a route's request, without references.
///
/// Requests and replies may differ in their `required`, so they share no components.
struct RequestSchema(Value);

impl RequestSchema {
    fn new(route: &Route) -> RequestSchema {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let mut schema = (route.takes)(&mut SchemaGenerator::new(settings));
        RecursiveTransform(bounded).transform(&mut schema);
        RequestSchema(schema.into())
    }

    fn members(&self) -> impl Iterator<Item = (&str, &Value)> {
        let members = self.0.get("properties").and_then(Value::as_object);
        members.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
    }

    fn requires(&self, name: &str) -> bool {
        let required = self.0.get("required").and_then(Value::as_array);
        required.is_some_and(|required| required.iter().any(|member| member == name))
    }
}
