//! The API over HTTP: routes from the table of operations, raw bytes in, signed bytes out.
//!
//! One handler for everything, because every answer, also to a wrong path or method, must be a v4 body.

mod authorise;
mod error;
mod listener;
pub(crate) mod parameters;
pub(crate) mod public_routes;
mod raw_connection;
mod sign;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::{DateTime, Utc};
use floatlease::model::{IDEMPOTENCY_KEY, ORDER};
use floatlease::operations::{Auth, Method, OPERATIONS, Operation};
use hyper::body::Body;
use hyper::body::Incoming;
use hyper::http::{HeaderValue, Request, Response, header, request};
use tokio::sync::oneshot;

use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::domain::{Command, Outcome, Refusal, State, reply};
use crate::keys::SigningKey;
use crate::store::{Store, StoreError};
use crate::writer::{Writer, WriterThread};
pub(crate) use listener::{Handler, Listener, bind};
use parameters::Parameters;
pub(crate) use raw_connection::{RawConnection, WireAction};
use sign::Signer;

/// Where the API lives on a host.
pub(crate) const BASE_PATH: &str = "/api/v4";
/// A request body longer than this is refused.
const LARGEST_BODY: usize = 1 << 20;
/// It is read nevertheless up to here, so that its sender gets to read the refusal.
const LARGEST_DISCARDED_BODY: usize = 64 << 20;

const NO_CONTROL: &str = " A server that hands out real licenses has no control interface; that of `demo`, `exec` \
                          and the sandbox has a port of its own, see their control_url.";

/// A client that has begun a body has so long to end it.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// A request that was read to its end.
#[derive(Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) head: request::Parts,
    /// Or why it can't be had.
    pub(crate) body: Result<Vec<u8>, Refusal>,
}

impl ReceivedRequest {
    /// Reads it to its end, or a client still sending would lose the connection instead of reading why it is refused.
    async fn read(request: Request<Incoming>) -> ReceivedRequest {
        let (head, body) = request.into_parts();
        let body = match tokio::time::timeout(BODY_WITHIN, read(body)).await {
            Ok(body) => body,
            Err(_) => Err(Refusal::ValidationError("The body came too slowly; send it at once.".to_owned())),
        };
        ReceivedRequest { head, body }
    }

    /// Its path below [`BASE_PATH`].
    fn below(&self) -> Option<&str> {
        self.path().strip_prefix(BASE_PATH)
    }

    pub(crate) fn path(&self) -> &str {
        self.head.uri.path().trim_end_matches('/')
    }

    fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// A parameter of its `Authorization` header, whether or not it proves anything.
    pub(crate) fn authorization(&self, name: &str) -> Option<String> {
        authorise::parameter(&self.head.headers, name)
    }

    /// The operation it asks for.
    pub(crate) fn operation(&self) -> Result<&'static Operation, Refusal> {
        let (method, path) = (&self.head.method, self.path());
        let Some(operation) = OPERATIONS.iter().find(|operation| Some(operation.path) == self.below()) else {
            let control = if path.starts_with("/control") { NO_CONTROL } else { "" };
            let message = format!("There is nothing at {path}; the API is below {BASE_PATH}.{control}");
            return Err(Refusal::NotFound(message));
        };
        let right = match operation.method {
            Method::Get => hyper::http::Method::GET,
            Method::Post => hyper::http::Method::POST,
        };
        if *method == right {
            Ok(operation)
        } else {
            Err(Refusal::NotFound(format!("{path} is not asked by {method}; use {right}.")))
        }
    }
}

/// What requests are answered with: a catalogue, a state, a key.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) writer: Writer,
    signer: Signer,
    base_url: String,
    public_key: String,
}

/// What a service is made of.
pub(crate) struct ServiceParts {
    pub(crate) catalogue: Catalogue,
    pub(crate) store: Box<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) key: SigningKey,
    /// Leaves signatures out.
    pub(crate) unsigned: bool,
    pub(crate) base_url: String,
}

/// The thread behind a service, which ends after the service is dropped.
pub(crate) struct ServiceThread {
    pub(crate) thread: WriterThread,
    /// Over when the thread is.
    pub(crate) ended: oneshot::Receiver<()>,
    /// Set to tell the store that it is not to wait for other programs any longer.
    pub(crate) stopping: Arc<AtomicBool>,
}

impl Service {
    /// Recovers what the store has kept, and starts the writer.
    pub(crate) fn start(parts: ServiceParts) -> Result<(Service, ServiceThread), StoreError> {
        let ServiceParts { catalogue, mut store, clock, key, unsigned, base_url } = parts;
        let stopping = Arc::new(AtomicBool::new(false));
        store.give_up_when(Arc::clone(&stopping));
        let catalogue = Arc::new(catalogue);
        let licensed = Arc::clone(&catalogue);
        let (ending, ended) = oneshot::channel();
        let (writer, thread) = Writer::start(store, |changes| State::recover(licensed, changes), clock, ending)?;
        let public_key = key.public_pem().map_err(|error| StoreError(format!("can't read the key: {error}")))?;
        let signer = Signer::new(Some(key).filter(|_| !unsigned));
        Ok((Service { catalogue, writer, signer, base_url, public_key }, ServiceThread { thread, ended, stopping }))
    }

    /// What clients verify replies with, PEM.
    pub(crate) fn public_key(&self) -> &str {
        &self.public_key
    }

    /// The signature of a body, unless this service does not sign.
    pub(crate) fn sign(&self, body: &[u8]) -> Option<String> {
        self.signer.v2(body).ok().flatten()
    }

    /// The reply to anything that may arrive; `now` is transport time, which the `Date` of a request is held against.
    pub(crate) async fn reply(&self, request: &ReceivedRequest, now: DateTime<Utc>) -> Response<Vec<u8>> {
        let get = request.head.method == hyper::http::Method::GET;
        let probe = get || request.head.method == hyper::http::Method::HEAD;
        if request.path().is_empty() && probe {
            return response(b"floatlease-server\n".to_vec(), "text/plain; charset=utf-8");
        }
        let open = request.below().filter(|_| get);
        if let Some(answer) = open.and_then(|path| public_routes::answer(self, path, request.query(), now)) {
            return answer.unwrap_or_else(|refusal| error::response(&refusal, ""));
        }
        match request.operation() {
            Ok(operation) => {
                let answer = self.answer(operation, request, now).await;
                let mut answer = answer.unwrap_or_else(|refusal| error::response(&refusal, operation.name));
                echo(request, &mut answer);
                answer
            }
            Err(refusal) => error::response(&refusal, ""),
        }
    }

    async fn answer(
        &self,
        operation: &Operation,
        request: &ReceivedRequest,
        now: DateTime<Utc>,
    ) -> Result<Response<Vec<u8>>, Refusal> {
        let api_key = authorise::authorise(&self.catalogue, operation, &request.head.headers, now)?;
        let body = request.body.as_ref().map_err(Refusal::clone)?;
        let parameters = Parameters::read(operation, request.query(), body)?;
        authorise::require_product(api_key, operation, &parameters.required("product"))?;
        let outcome = match operation.auth {
            Auth::None => return self.product_details(&parameters),
            Auth::Ident | Auth::Set => {
                let idempotency_key = parameters::idempotency_key(&request.head.headers)?;
                let order = parameters::order(operation, &request.head.headers)?;
                let command = Command { idempotency_key, order, ..parameters.command(operation)? };
                self.writer
                    .work(move |transaction| transaction.state.apply(&command, *transaction.now, transaction.changes))
                    .await
            }
        };
        self.outcome(outcome.ok_or(Refusal::InternalError)?)
    }

    fn outcome(&self, outcome: Outcome) -> Result<Response<Vec<u8>>, Refusal> {
        let body = outcome?.body(&self.catalogue, |text| self.signer.v1(text));
        self.body(body.map_err(|_| Refusal::InternalError)?)
    }

    /// Depends on the catalogue alone, so the writer need not be asked.
    fn product_details(&self, parameters: &Parameters) -> Result<Response<Vec<u8>>, Refusal> {
        let product = self.catalogue.product(&parameters.required("product")).ok_or(Refusal::UnknownProduct)?;
        let (version, fields) = (parameters.flag("include_latest_version"), parameters.flag("include_custom_fields"));
        let body = reply::product_details(&self.catalogue, product, version, fields);
        self.body(body.map_err(|_| Refusal::InternalError)?)
    }

    fn body(&self, body: reply::Body) -> Result<Response<Vec<u8>>, Refusal> {
        match body {
            reply::Body::Empty => Ok(Response::new(Vec::new())),
            reply::Body::Text(text) => Ok(response(text.as_bytes().to_vec(), "text/plain; charset=utf-8")),
            reply::Body::Json(json) => self.signed(json),
        }
    }

    /// Signs and sends the very same bytes.
    fn signed(&self, json: Vec<u8>) -> Result<Response<Vec<u8>>, Refusal> {
        let signature = self.signer.v2(&json).map_err(|_| Refusal::InternalError)?;
        let mut response = response(json, "application/json");
        if let Some(value) = signature.and_then(|signature| HeaderValue::try_from(signature).ok()) {
            response.headers_mut().insert("LicenseSignature", value);
        }
        Ok(response)
    }
}

impl Handler for Service {
    async fn handle(&self, request: ReceivedRequest, _: RawConnection) -> Response<Vec<u8>> {
        self.reply(&request, Utc::now()).await
    }
}

/// Repeats the key and the number of a request, so that the client knows that this server heeds them: consumptions of the
/// same key are booked once, and no request is carried out after one with a higher number.
pub(crate) fn echo(request: &ReceivedRequest, answer: &mut Response<Vec<u8>>) {
    let Ok(operation) = request.operation() else { return };
    let given = &request.head.headers;
    let key = parameters::idempotency_key(given).ok().flatten().filter(|_| operation.is_consumption());
    if let Some(key) = key.and_then(|key| HeaderValue::try_from(key).ok()) {
        answer.headers_mut().insert(IDEMPOTENCY_KEY, key);
    }
    // A refusal as outdated has named the highest number already.
    if let Ok(Some(number)) = parameters::order(operation, given) {
        answer.headers_mut().entry(ORDER).or_insert(number.into());
    }
}

/// A response of this type.
pub(crate) fn response(body: Vec<u8>, content_type: &'static str) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The whole body, if it is not too long.
async fn read(mut body: Incoming) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut length = 0;
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let incomplete = |_| Refusal::ValidationError("The body ended early; send all of it.".to_owned());
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
