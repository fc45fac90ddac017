//! Answers requests: a catalogue, a state and a key behind the API.
//!
//! One service answers everything, because every answer must have a v4 body, also one to a wrong path or method.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::{DateTime, Utc};
use floatlease::model::{IDEMPOTENCY_KEY, ORDER};
use floatlease::operations::{Auth, Operation};
use hyper::http::{HeaderValue, Method, Response};
use rand::seq::IndexedRandom;
use tokio::sync::oneshot;

use super::authorise::{self, Rights};
use super::listener::Handler;
use super::offline_file::OfflineFile;
use super::parameters::{self, Parameters};
use super::public_routes::{self, DescribeApi, ServiceInfo};
use super::rate_limits::{RateGuard, RateLimits};
use super::raw_connection::RawConnection;
use super::request::ReceivedRequest;
use super::response::{refused, response};
use super::sign::Signer;
use super::sign_in::SignIn;
use super::token_endpoint::{self, is_token_request};
use super::tokens::Tokens;
use crate::catalogue::{Catalogue, Product, ProductStatus};
use crate::clock::Clock;
use crate::domain::{Command, Credential, OfflineRequest, Outcome, Refusal, State, reply, usable_product, user_based};
use crate::keys::SigningKey;
use crate::store::{Store, StoreError};
use crate::writer::{Transaction, Writer, WriterThread};

/// Everything that requests are answered from.
pub(crate) struct Service {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) writer: Writer,
    signer: Signer,
    sign_in: SignIn,
    tokens: Tokens,
    clock: Arc<dyn Clock>,
    info: ServiceInfo,
    rate_guard: RateGuard,
}

/// The parts that a service is made from.
pub(crate) struct ServiceParts {
    pub(crate) catalogue: Catalogue,
    pub(crate) store: Box<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) key: SigningKey,
    /// Leaves signatures out.
    pub(crate) unsigned: bool,
    pub(crate) base_url: String,
    pub(crate) rate_limits: RateLimits,
    /// Makes the OpenAPI document of the API at a URL.
    pub(crate) describe: DescribeApi,
}

/// The writer's thread behind a service. It ends after the service is dropped.
pub(crate) struct ServiceThread {
    pub(crate) thread: WriterThread,
    /// Resolves when the thread has ended.
    pub(crate) ended: oneshot::Receiver<()>,
    /// Tells the store, once set, to stop waiting for other programs.
    pub(crate) stopping: Arc<AtomicBool>,
}

impl Service {
    /// Recovers the state from the store, and starts the writer.
    pub(crate) fn start(parts: ServiceParts) -> Result<(Service, ServiceThread), StoreError> {
        let ServiceParts { catalogue, mut store, clock, key, unsigned, base_url, rate_limits, describe } = parts;
        let stopping = Arc::new(AtomicBool::new(false));
        store.give_up_when(Arc::clone(&stopping));
        let sign_in = SignIn::new(&catalogue).map_err(StoreError)?;
        let catalogue = Arc::new(catalogue);
        let licensed = Arc::clone(&catalogue);
        let license_time = Arc::clone(&clock);
        let (ending, ended) = oneshot::channel();
        let (writer, thread) = Writer::start(store, |changes| State::recover(licensed, changes), clock, ending)?;
        let public_key = key.public_pem().map_err(|error| StoreError(format!("can't read the key: {error}")))?;
        let signer = Signer::new(Some(key).filter(|_| !unsigned));
        let info = ServiceInfo::new(base_url, public_key, catalogue.oauth_url.clone(), describe);
        let (tokens, rate_guard) = (Tokens::new(catalogue.oauth_token_seconds), RateGuard::new(rate_limits));
        let clock = license_time;
        let service = Service { catalogue, writer, signer, sign_in, tokens, clock, info, rate_guard };
        Ok((service, ServiceThread { thread, ended, stopping }))
    }

    /// Returns the public key that clients verify replies with, as PEM.
    pub(crate) fn public_key(&self) -> &str {
        &self.info.public_key
    }

    /// Returns the signature of a body, or `None` if this service does not sign.
    pub(crate) fn sign(&self, body: &[u8]) -> Option<String> {
        self.signer.v2(body).ok().flatten()
    }

    /// Expires every access token that was issued so far.
    pub(crate) fn expire_tokens(&self) {
        self.tokens.expire_all();
    }

    /// Replies to any request. `now` is real time, which the `Date` of a request is compared with.
    pub(crate) async fn reply(&self, request: &ReceivedRequest, now: DateTime<Utc>) -> Response<Vec<u8>> {
        if let Err(refusal) = self.rate_guard.count(request.client) {
            return refused(&refusal, "");
        }
        let is_get = request.head.method == Method::GET;
        if request.path().is_empty() && (is_get || request.head.method == Method::HEAD) {
            return response(b"floatlease-server\n".to_vec(), "text/plain; charset=utf-8");
        }
        if is_get && let Some(reply) = self.public_reply(request, now) {
            return reply;
        }
        if is_token_request(request) {
            return token_endpoint::reply(&self.catalogue, &self.tokens, request, self.clock.now());
        }
        match request.operation() {
            Ok(operation) => {
                let reply = self.reply_to_operation(operation, request, now).await;
                let mut reply = reply.unwrap_or_else(|refusal| refused(&refusal, operation.name));
                echo(request, &mut reply);
                reply
            }
            Err(refusal) => refused(&refusal, ""),
        }
    }

    /// Replies to a request for a public route, if its path is one.
    fn public_reply(&self, request: &ReceivedRequest, now: DateTime<Utc>) -> Option<Response<Vec<u8>>> {
        let route = public_routes::find(request.path_of_api()?)?;
        let body = route.body(&self.info, request.query(), now);
        let reply =
            body.and_then(|json| if route.signed { self.signed(json) } else { Ok(response(json, "application/json")) });
        Some(reply.unwrap_or_else(|refusal| refused(&refusal, "")))
    }

    async fn reply_to_operation(
        &self,
        operation: &Operation,
        request: &ReceivedRequest,
        now: DateTime<Utc>,
    ) -> Result<Response<Vec<u8>>, Refusal> {
        let rights = authorise::authorise(&self.catalogue, &self.tokens, operation, &request.head.headers, now)?;
        self.rate_guard.count_authorised(rights.client)?;
        let body = request.body.as_ref().map_err(Refusal::clone)?;
        if operation.takes_file() {
            let headers = &request.head.headers;
            let file = OfflineFile::read(&self.catalogue, operation, headers, body, now, self.clock.now())?;
            return self.offline(operation, &rights, file).await;
        }
        let parameters = Parameters::read(operation, request.query(), body)?;
        let product = parameters.required("product");
        let of_bundle = operation.is_of_bundle();
        let bundle = self.catalogue.bundle(&product).filter(|_| of_bundle);
        for product in bundle.map_or(std::slice::from_ref(&product), |bundle| &bundle.products) {
            rights.require_product(operation, product)?;
        }
        rights.require_single_license(operation)?;
        let outcome = match operation.auth {
            Auth::User | Auth::Password => self.of_user(operation, &parameters).await?,
            Auth::None if operation.name == "sso_url" => return self.sso_url(&parameters),
            Auth::None if operation.name == "customer_license_users" => {
                let (product, customer) = (parameters.required("product"), parameters.required("customer"));
                let list = move |transaction: &mut Transaction<'_>| {
                    transaction.state.customer_license_users(&product, &customer, *transaction.now)
                };
                self.writer.work(list).await
            }
            Auth::None if operation.device && operation.product => {
                let request = parameters.trial(random_license_key());
                let issue = move |transaction: &mut Transaction<'_>| {
                    transaction.state.issue_trial(&request, *transaction.now, transaction.changes)
                };
                self.writer.work(issue).await
            }
            Auth::None if operation.device => {
                let hardware_id = parameters.required("hardware_id");
                let list = move |transaction: &mut Transaction<'_>| {
                    transaction.state.device_licenses(&hardware_id, *transaction.now, transaction.changes)
                };
                self.writer.work(list).await
            }
            Auth::None if operation.product => return self.product_details(&parameters),
            Auth::None => return self.products(&rights),
            Auth::Ident | Auth::Set => {
                let idempotency_key = parameters::idempotency_key(&request.head.headers)?;
                let order = parameters::order(operation, &request.head.headers)?;
                let licenses = rights.licenses.cloned();
                let command = Command { idempotency_key, order, licenses, ..parameters.command(operation)? };
                let given = command.credential.clone();
                let apply = move |credential: &Credential, transaction: &mut Transaction<'_>| {
                    let command = Command { credential: credential.clone(), ..command.clone() };
                    let apply = if of_bundle { State::apply_to_bundle } else { State::apply };
                    apply(transaction.state, &command, *transaction.now, transaction.changes)
                };
                Some(self.sign_in.apply(&self.writer, given, apply).await?)
            }
        };
        self.outcome(outcome.ok_or(Refusal::InternalError)?)
    }

    /// Answers a request that came as a file. `rights` are those of the client that has sent it.
    async fn offline(
        &self,
        operation: &Operation,
        rights: &Rights<'_>,
        file: OfflineFile<'_>,
    ) -> Result<Response<Vec<u8>>, Refusal> {
        rights.require_product(operation, &file.request.command.product)?;
        file.rights.require_product(operation, &file.request.command.product)?;
        // A client of some licenses only must not pass on the request of another.
        if rights.licenses.is_some() && rights.client != file.rights.client {
            return Err(Refusal::LicenseNotFound);
        }
        let command = Command { licenses: file.rights.licenses.cloned(), ..file.request.command.clone() };
        let given = command.credential.clone();
        let request = OfflineRequest { command, ..file.request.clone() };
        let apply = move |credential: &Credential, transaction: &mut Transaction<'_>| {
            let command = Command { credential: credential.clone(), ..request.command.clone() };
            let request = OfflineRequest { command, ..request.clone() };
            transaction.state.apply_offline(&request, *transaction.now, transaction.changes)
        };
        let reply = self.sign_in.apply(&self.writer, given, apply).await??;
        match reply.body(&self.catalogue, |text| self.signer.v1(text)).map_err(|_| Refusal::InternalError)? {
            reply::Body::Json(license) => {
                let sign = |text: &[u8]| self.signer.v2(text).map_err(|_| Refusal::InternalError);
                self.signed(file.reply(&license, sign)?)
            }
            other => self.response(other),
        }
    }

    /// Answers an operation about a user, and no license.
    async fn of_user(&self, operation: &Operation, parameters: &Parameters) -> Result<Option<Outcome>, Refusal> {
        if operation.auth == Auth::Password {
            let passwords = ["username", "password", "new_password"].map(|name| parameters.required(name));
            return self.sign_in.change_password(&self.writer, passwords.into()).await.map(Some);
        }
        let product = parameters.required("product");
        let list = move |credential: &Credential, transaction: &mut Transaction<'_>| {
            transaction.state.user_licenses(&product, credential, *transaction.now)
        };
        self.sign_in.apply(&self.writer, parameters.credential(), list).await.map(Some)
    }

    /// Answers `sso_url`, which depends on the catalogue alone, so the writer is not asked.
    fn sso_url(&self, parameters: &Parameters) -> Result<Response<Vec<u8>>, Refusal> {
        let product = usable_product(&self.catalogue, &parameters.required("product"))?;
        user_based(product)?;
        let account = self.catalogue.customer_account(&parameters.required("customer_account_code"));
        let sign_on = account.ok_or(Refusal::CustomerAccountNotFound)?.sign_on.as_ref();
        let sign_on = sign_on.filter(|sign_on| !sign_on.authorization_endpoint.is_empty());
        let sign_on = sign_on.ok_or(Refusal::NoSingleSignOn)?;
        let (redirect_uri, response_type) = parameters.sign_on(sign_on)?;
        self.response(reply::sso_url(sign_on, &redirect_uri, &response_type).map_err(|_| Refusal::InternalError)?)
    }

    fn outcome(&self, outcome: Outcome) -> Result<Response<Vec<u8>>, Refusal> {
        let body = outcome?.body(&self.catalogue, |text| self.signer.v1(text));
        self.response(body.map_err(|_| Refusal::InternalError)?)
    }

    /// Answers `product_details`, which depends on the catalogue alone, so the writer is not asked.
    fn product_details(&self, parameters: &Parameters) -> Result<Response<Vec<u8>>, Refusal> {
        let product = self.catalogue.product(&parameters.required("product")).ok_or(Refusal::UnknownProduct)?;
        let (version, fields) = (parameters.flag("include_latest_version"), parameters.flag("include_custom_fields"));
        let body = reply::product_details(&self.catalogue, product, &parameters.versions(), version, fields);
        self.response(body.map_err(|_| Refusal::InternalError)?)
    }

    /// Answers `products`: the products that are enabled and that the API key may activate.
    fn products(&self, rights: &Rights<'_>) -> Result<Response<Vec<u8>>, Refusal> {
        let listed =
            |product: &&Product| product.status == ProductStatus::Enabled && rights.may_activate(&product.code);
        let mut products: Vec<&Product> = self.catalogue.products().filter(listed).collect();
        products.sort_by(|one, other| one.code.cmp(&other.code));
        let body = reply::products(&self.catalogue, products.into_iter());
        self.response(body.map_err(|_| Refusal::InternalError)?)
    }

    fn response(&self, body: reply::Body) -> Result<Response<Vec<u8>>, Refusal> {
        match body {
            reply::Body::Empty => Ok(Response::new(Vec::new())),
            reply::Body::Text(text) => Ok(response(text.as_bytes().to_vec(), "text/plain; charset=utf-8")),
            reply::Body::Json(json) => self.signed(json),
        }
    }

    /// Makes a response of JSON that is signed: the very bytes that are sent.
    fn signed(&self, json: Vec<u8>) -> Result<Response<Vec<u8>>, Refusal> {
        let signature = self.signer.v2(&json).map_err(|_| Refusal::InternalError)?;
        let mut response = response(json, "application/json");
        if let Some(value) = signature.and_then(|signature| HeaderValue::try_from(signature).ok()) {
            response.headers_mut().insert("LicenseSignature", value);
        }
        Ok(response)
    }
}

/// Makes the key of a trial's license, of characters that are not mistaken for each other.
fn random_license_key() -> String {
    const CHARACTERS: [char; 32] = [
        'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J', 'K', 'L', 'M', 'N', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X',
        'Y', 'Z', '2', '3', '4', '5', '6', '7', '8', '9',
    ];
    let mut random = rand::rng();
    let mut group = || (0..4).filter_map(|_| CHARACTERS.choose(&mut random)).collect::<String>();
    [group(), group(), group(), group()].join("-")
}

impl Handler for Service {
    async fn handle(&self, request: ReceivedRequest, _: RawConnection) -> Response<Vec<u8>> {
        self.reply(&request, Utc::now()).await
    }
}

/// Repeats the request's key and order number in the response, which tells the client that this server heeds them.
///
/// Consumptions of the same key are booked once, and no request is carried out after one with a higher number.
pub(crate) fn echo(request: &ReceivedRequest, response: &mut Response<Vec<u8>>) {
    let Ok(operation) = request.operation() else { return };
    let given = &request.head.headers;
    let key = parameters::idempotency_key(given).ok().flatten().filter(|_| operation.is_consumption());
    if let Some(key) = key.and_then(|key| HeaderValue::try_from(key).ok()) {
        response.headers_mut().insert(IDEMPOTENCY_KEY, key);
    }
    // The refusal of an outdated request has named the highest number already.
    if let Ok(Some(number)) = parameters::order(operation, given) {
        response.headers_mut().entry(ORDER).or_insert(number.into());
    }
}
