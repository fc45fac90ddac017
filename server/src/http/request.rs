//! A request as it arrived: its head, its whole body, and the operation that it asks for.

use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use floatlease::operations::{Method, OPERATIONS, Operation};
use hyper::body::{Body, Incoming};
use hyper::http::{Request, request};

use super::authorise;
use crate::domain::Refusal;

/// Path under which the API lives on a host.
pub(crate) const BASE_PATH: &str = "/api/v4";
/// Longest request body that the server accepts.
const LARGEST_BODY: usize = 1 << 20;
/// Longest request body that the server reads to its end although it is too long, so that the client reads the refusal.
const LARGEST_DISCARDED_BODY: usize = 64 << 20;
/// Time limit for a client to send its whole body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

const NO_CONTROL: &str = " A server that hands out real licenses has no control interface; that of `demo`, `exec` \
                          and the sandbox has a port of its own, see their control_url.";

/// A request that was read to its end.
#[derive(Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) head: request::Parts,
    /// The address of the client, or of the proxy before it.
    pub(crate) client: Option<IpAddr>,
    /// The body, or the refusal if it could not be read.
    pub(crate) body: Result<Vec<u8>, Refusal>,
}

impl ReceivedRequest {
    /// Reads the request to its end. Otherwise a client that is still sending would lose the connection before it can
    /// read why it is refused.
    pub(super) async fn read(request: Request<Incoming>, client: Option<IpAddr>) -> ReceivedRequest {
        let (head, body) = request.into_parts();
        let body = match tokio::time::timeout(BODY_TIMEOUT, read(body)).await {
            Ok(body) => body,
            Err(_) => Err(Refusal::ValidationError("The body came too slowly; send it at once.".to_owned())),
        };
        ReceivedRequest { head, client, body }
    }

    /// Returns the path below [`BASE_PATH`], if it is there.
    pub(super) fn path_of_api(&self) -> Option<&str> {
        self.path().strip_prefix(BASE_PATH)
    }

    pub(crate) fn path(&self) -> &str {
        self.head.uri.path().trim_end_matches('/')
    }

    pub(super) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// Returns a parameter of the `Authorization` header, whether or not the header proves anything.
    pub(crate) fn authorization(&self, name: &str) -> Option<String> {
        authorise::parameter(&self.head.headers, name)
    }

    /// Returns the operation that the request asks for.
    pub(crate) fn operation(&self) -> Result<&'static Operation, Refusal> {
        let (method, path) = (&self.head.method, self.path());
        let Some(operation) = OPERATIONS.iter().find(|operation| Some(operation.path) == self.path_of_api()) else {
            let control = if path.starts_with("/control") { NO_CONTROL } else { "" };
            let message = format!("The path {path} is unknown; the API is below {BASE_PATH}.{control}");
            return Err(Refusal::NotFound(message));
        };
        let expected = match operation.method {
            Method::Get => hyper::http::Method::GET,
            Method::Post => hyper::http::Method::POST,
        };
        if *method == expected {
            Ok(operation)
        } else {
            Err(Refusal::NotFound(format!("The method of {path} is wrong: expected {expected}, found {method}.")))
        }
    }
}

/// Reads the whole body, or refuses it if it is too long.
async fn read(mut body: Incoming) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut length = 0;
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let incomplete = |_| Refusal::ValidationError("The body is incomplete; send all of it.".to_owned());
        let Ok(data) = frame.map_err(incomplete)?.into_data() else { continue };
        length += data.len();
        if length <= LARGEST_BODY {
            bytes.extend_from_slice(&data);
        }
        if length > LARGEST_DISCARDED_BODY {
            break;
        }
    }
    if length <= LARGEST_BODY {
        return Ok(bytes);
    }
    Err(Refusal::ValidationError(format!("The body is longer than {LARGEST_BODY} bytes; send a shorter one.")))
}
