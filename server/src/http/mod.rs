//! The API over HTTP: routes from the table of operations, raw bytes in, signed bytes out.
//!
//! One handler for everything, because every answer, also to a wrong path or method, must be a v4 body.

mod authorise;
mod connections;
mod error;
pub(crate) mod parameters;
mod sign;
pub(crate) mod well_known;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, header};
use chrono::Utc;
use floatlease::operations::{Auth, Method, OPERATIONS, Operation};

use crate::catalogue::Catalogue;
use crate::domain::{Outcome, Refusal, reply};
use crate::keys::SigningKey;
use crate::writer::Writer;
pub(crate) use connections::serve;
use parameters::Parameters;
use sign::Signer;

/// Where the API lives on a host.
pub(crate) const BASE_PATH: &str = "/api/v4";
/// A request body longer than this is refused.
const LARGEST_BODY: usize = 1 << 20;
/// It is read nevertheless up to here, so that its sender gets to read the refusal.
const LARGEST_DISCARDED_BODY: usize = 64 << 20;

/// A client that has begun a body has so long to end it.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// What requests are answered with.
#[derive(Debug)]
pub(crate) struct Service {
    catalogue: Arc<Catalogue>,
    writer: Writer,
    signer: Signer,
    base_url: String,
    public_key: String,
}

impl Service {
    /// `key` is `None` to leave signatures out.
    pub(crate) fn new(
        catalogue: Arc<Catalogue>,
        writer: Writer,
        key: Option<SigningKey>,
        base_url: String,
        public_key: String,
    ) -> Service {
        Service { catalogue, writer, signer: Signer::new(key), base_url, public_key }
    }

    /// What axum serves.
    pub(crate) fn router(self) -> Router {
        Router::new().fallback(handle).with_state(Arc::new(self))
    }

    async fn answer(&self, operation: &Operation, request: Request) -> Result<Response<Body>, Refusal> {
        let (head, body) = request.into_parts();
        let body = match tokio::time::timeout(BODY_WITHIN, read(body)).await {
            Ok(body) => body,
            Err(_) => Err(Refusal::ValidationError("The body came too slowly; send it at once.".to_owned())),
        };
        let api_key = authorise::authorise(&self.catalogue, operation, &head.headers, Utc::now())?;
        let parameters = Parameters::read(operation, head.uri.query().unwrap_or_default(), &body?)?;
        authorise::require_product(api_key, operation, &parameters.required("product"))?;
        let outcome = match operation.auth {
            Auth::None => return self.product_details(&parameters),
            Auth::Ident | Auth::Set => self.writer.apply(parameters.command(operation)?).await,
        };
        self.outcome(outcome.ok_or(Refusal::InternalError)?)
    }

    fn outcome(&self, outcome: Outcome) -> Result<Response<Body>, Refusal> {
        let body = outcome?.body(&self.catalogue, |text| self.signer.v1(text));
        self.body(body.map_err(|_| Refusal::InternalError)?)
    }

    /// Depends on the catalogue alone, so the writer need not be asked.
    fn product_details(&self, parameters: &Parameters) -> Result<Response<Body>, Refusal> {
        let product = self.catalogue.product(&parameters.required("product")).ok_or(Refusal::UnknownProduct)?;
        let (version, fields) = (parameters.flag("include_latest_version"), parameters.flag("include_custom_fields"));
        let body = reply::product_details(&self.catalogue, product, version, fields);
        self.body(body.map_err(|_| Refusal::InternalError)?)
    }

    fn body(&self, body: reply::Body) -> Result<Response<Body>, Refusal> {
        match body {
            reply::Body::Empty => Ok(Response::new(Body::empty())),
            reply::Body::Text(text) => Ok(response(Body::from(text), "text/plain; charset=utf-8")),
            reply::Body::Json(json) => self.signed(json),
        }
    }

    /// Signs and sends the very same bytes.
    fn signed(&self, json: Vec<u8>) -> Result<Response<Body>, Refusal> {
        let signature = self.signer.v2(&json).map_err(|_| Refusal::InternalError)?;
        let mut response = response(Body::from(json), "application/json");
        if let Some(value) = signature.and_then(|signature| HeaderValue::try_from(signature).ok()) {
            response.headers_mut().insert("LicenseSignature", value);
        }
        Ok(response)
    }
}

async fn handle(State(service): State<Arc<Service>>, request: Request) -> Response<Body> {
    let path = request.uri().path().trim_end_matches('/').to_owned();
    let get = request.method() == axum::http::Method::GET;
    let probe = get || request.method() == axum::http::Method::HEAD;
    if path.is_empty() && probe {
        return response(Body::from("floatlease-server\n"), "text/plain; charset=utf-8");
    }
    let below = path.strip_prefix(BASE_PATH).unwrap_or_default();
    let query = request.uri().query().unwrap_or_default().to_owned();
    if get && let Some(answer) = well_known::answer(&service, below, &query, Utc::now()) {
        return answer.unwrap_or_else(|refusal| error::response(&refusal, ""));
    }
    match route(request.method(), &path, below) {
        Ok(operation) => {
            let answer = service.answer(operation, request).await;
            answer.unwrap_or_else(|refusal| error::response(&refusal, operation.name))
        }
        Err(refusal) => {
            // Read to its end, or a client still sending would lose the connection instead of reading why.
            let _ = tokio::time::timeout(BODY_WITHIN, read(request.into_body())).await;
            error::response(&refusal, "")
        }
    }
}

fn route(method: &axum::http::Method, path: &str, below: &str) -> Result<&'static Operation, Refusal> {
    let Some(operation) = OPERATIONS.iter().find(|operation| operation.path == below) else {
        return Err(Refusal::NotFound(format!("There is nothing at {path}; the API is below {BASE_PATH}.")));
    };
    let right = match operation.method {
        Method::Get => axum::http::Method::GET,
        Method::Post => axum::http::Method::POST,
    };
    if *method == right {
        Ok(operation)
    } else {
        Err(Refusal::NotFound(format!("{path} is not asked by {method}; use {right}.")))
    }
}

/// A response without what axum would guess.
fn response(body: Body, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The whole body, if it is not too long.
async fn read(mut body: Body) -> Result<Vec<u8>, Refusal> {
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
