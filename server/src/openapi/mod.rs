//! Makes OpenAPI 3.1 documents from the tables by which the server routes and the types that it serialises.
//!
//! So a document can't differ from what the server does.

mod v4;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

pub use v4::v4;

/// A document that is being built.
pub(crate) struct Document {
    document: Value,
    generator: SchemaGenerator,
}

/// An operation: a path with a method.
pub(crate) struct Endpoint<'a> {
    pub(crate) path: &'a str,
    pub(crate) method: &'a str,
    /// The operation's name, which is unique in the document.
    pub(crate) name: &'a str,
    pub(crate) summary: &'a str,
    /// Parameter objects.
    pub(crate) parameters: Vec<Value>,
    /// The request body object, if it has one.
    pub(crate) body: Option<Value>,
    /// The response object of a success.
    pub(crate) reply: Value,
    /// True if the operation needs no authorisation.
    pub(crate) open: bool,
}

impl Document {
    /// Makes a document without operations. `security` holds schemes by name. A request needs all of them.
    pub(crate) fn new(title: &str, description: &str, base_url: &str, security: Map<String, Value>) -> Document {
        let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        let needed: Map<String, Value> = security.keys().map(|name| (name.clone(), json!([]))).collect();
        let document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": title,
                "description": description,
                "version": env!("CARGO_PKG_VERSION"),
                "license": { "name": "MIT", "identifier": "MIT" },
            },
            "servers": [{ "url": base_url }],
            "security": [needed],
            "paths": {},
            "components": { "securitySchemes": security, "responses": {}, "schemas": {} },
        });
        Document { document, generator: settings.into_generator() }
    }

    /// Adds an error reply to all operations that are added later: `status`, with one of these codes.
    pub(crate) fn refusal(&mut self, status: u16, description: &str, codes: &[&str], headers: Value) {
        self.document["components"]["responses"][status.to_string()] =
            refusal_reply(status, description, codes, headers);
    }

    /// Returns the generator of types' schemas.
    pub(crate) fn generator(&mut self) -> &mut SchemaGenerator {
        &mut self.generator
    }

    /// Lets a request be authorised in another way, too: by all of these schemes together.
    pub(crate) fn also_secured_by(&mut self, schemes: Map<String, Value>, with: &[&str]) {
        let needed = schemes.keys().map(String::as_str).chain(with.iter().copied());
        let needed: Map<String, Value> = needed.map(|name| (name.to_owned(), json!([]))).collect();
        self.document["security"].as_array_mut().into_iter().for_each(|ways| ways.push(needed.clone().into()));
        self.document["components"]["securitySchemes"]
            .as_object_mut()
            .into_iter()
            .for_each(|all| all.extend(schemes.clone()));
    }

    /// Adds an operation whose refusals are not those of the others: all its replies by status.
    pub(crate) fn add_with_replies(&mut self, endpoint: Endpoint<'_>, replies: Map<String, Value>) {
        let (path, method) = (endpoint.path, endpoint.method);
        self.add(endpoint);
        self.document["paths"][path][method]["responses"] = replies.into();
    }

    /// Adds an operation that has error replies of its own, by status, in place of those of all operations.
    pub(crate) fn add_refusing(&mut self, endpoint: Endpoint<'_>, refusals: Map<String, Value>) {
        let (path, method) = (endpoint.path, endpoint.method);
        self.add(endpoint);
        let replies = self.document["paths"][path][method]["responses"].as_object_mut();
        replies.into_iter().for_each(|replies| replies.extend(refusals.clone()));
    }

    /// Adds an operation.
    pub(crate) fn add(&mut self, endpoint: Endpoint<'_>) {
        let mut responses = Map::from_iter([("200".to_owned(), endpoint.reply)]);
        let refusals = self.document["components"]["responses"].as_object().into_iter().flat_map(Map::keys);
        responses.extend(
            refusals.map(|status| (status.clone(), json!({ "$ref": format!("#/components/responses/{status}") }))),
        );
        let mut operation = json!({
            "operationId": endpoint.name,
            "summary": endpoint.summary,
            "parameters": endpoint.parameters,
            "responses": responses,
        });
        if let Some(body) = endpoint.body {
            operation["requestBody"] = body;
        }
        if endpoint.open {
            operation["security"] = json!([]);
        }
        self.document["paths"][endpoint.path][endpoint.method] = operation;
    }

    /// Returns the document.
    pub(crate) fn finish(mut self) -> Value {
        self.document["components"]["schemas"] = self.generator.take_definitions(true).into();
        self.document
    }
}

/// Makes a parameter object for a `place`: "query", "path" or "header".
pub(crate) fn parameter(place: &str, name: &str, required: bool, schema: Value) -> Value {
    json!({ "name": name, "in": place, "required": required, "schema": schema })
}

/// Makes the response object of a refusal: `status`, with one of these codes.
pub(crate) fn refusal_reply(status: u16, description: &str, codes: &[&str], headers: Value) -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "status": { "type": "integer", "const": status },
            "code": { "type": "string", "enum": codes },
            "message": { "type": "string", "minLength": 1, "description": "For people." },
        },
        "required": ["status", "code", "message"],
        "additionalProperties": false,
    });
    json_reply(description, headers, schema)
}

/// Makes the request body object of JSON with this media type object.
pub(crate) fn json_body(required: bool, media_type: Value) -> Value {
    json!({ "required": required, "content": { "application/json": media_type } })
}

/// Makes the response object of JSON with this schema.
pub(crate) fn json_reply(description: &str, headers: Value, schema: Value) -> Value {
    json!({
        "description": description,
        "headers": headers,
        "content": { "application/json": { "schema": schema } },
    })
}
