//! The readable parts of a request, for faults and the journal, which also see invalid requests.

use hyper::HeaderMap;
use serde_json::{Map, Value};

use crate::http::{ReceivedRequest, is_token_request};

/// The name of a request for an access token, in faults and in the journal.
pub(crate) const TOKEN_REQUEST: &str = "oauth_token";

/// The parameters and headers of a request, as far as they can be read.
#[derive(Debug)]
pub(crate) struct RequestInfo {
    /// The operation's name, if the request asks for one. A request for an access token counts as [`TOKEN_REQUEST`].
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
        let operation = operation.or(is_token_request(request).then_some(TOKEN_REQUEST));
        RequestInfo { operation, parameters, headers: request.head.headers.clone() }
    }

    /// Returns the text of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).and_then(Value::as_str)
    }

    /// Returns the text of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Returns the text, cut to 1024 characters. No valid value is longer, and the journal must not grow without end.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 1024;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
