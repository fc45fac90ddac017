//! What a request asks for, as far as it can be understood: for faults and the journal, which see wrong requests too.

use hyper::HeaderMap;
use serde_json::{Map, Value};

use crate::http::ReceivedRequest;

/// What a request says.
#[derive(Debug)]
pub(crate) struct RequestInfo {
    /// The operation's name, if it asks for one.
    pub(crate) operation: Option<&'static str>,
    parameters: Map<String, Value>,
    headers: HeaderMap,
}

impl RequestInfo {
    pub(crate) fn new(request: &ReceivedRequest) -> RequestInfo {
        let query = request.head.uri.query().unwrap_or_default();
        let mut parameters: Map<String, Value> = form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
            .collect();
        if let Some(Ok(Value::Object(body))) = request.body.as_ref().ok().map(|body| serde_json::from_slice(body)) {
            parameters.extend(body);
        }
        let operation = request.operation().ok().map(|operation| operation.name);
        RequestInfo { operation, parameters, headers: request.head.headers.clone() }
    }

    /// The text of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).and_then(Value::as_str)
    }

    /// The text of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
