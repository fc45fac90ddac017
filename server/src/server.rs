//! Starts a server from its parts, and stops it in order.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::runtime::{Builder, Runtime};

use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::http::{self, BASE_PATH, Listener, RateLimits, Service, ServiceParts, ServiceThread};
use crate::keys::SigningKey;
use crate::openapi;
use crate::store::{Store, StoreError};

/// Time limit for the replies to requests that are under way when the server is stopped.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// The parts that a server is made from.
pub struct Setup {
    /// The licenses, and the API keys of clients.
    pub catalogue: Catalogue,
    /// Keeps changes.
    pub store: Box<dyn Store>,
    /// Shows license time.
    pub clock: Arc<dyn Clock>,
    /// Signs replies.
    pub key: SigningKey,
    /// Leaves signatures out. For benchmarks only.
    pub unsigned: bool,
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Limits for the number of requests.
    pub rate_limits: RateLimits,
}

/// A server that is listening.
pub struct Server {
    runtime: Runtime,
    listener: Listener,
    service_thread: ServiceThread,
    base_url: String,
    public_key: String,
}

/// The reason why a server could not start or had to stop, as a text for people.
#[derive(Debug)]
pub struct Failure(pub String);

impl Server {
    /// Starts a server, which listens when this returns.
    ///
    /// # Errors
    /// The address is taken, or the store can't be used.
    pub fn start(setup: Setup) -> Result<Server, Failure> {
        let Setup { catalogue, store, clock, key, unsigned, listen, rate_limits } = setup;
        let (socket, base_url) = bind_api(listen)?;
        let base = base_url.clone();
        let describe = openapi::v4;
        let parts = ServiceParts { catalogue, store, clock, key, unsigned, base_url: base, rate_limits, describe };
        let (service, service_thread) = Service::start(parts)?;
        let public_key = service.public_key().to_owned();
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let listener = Listener::open(runtime.handle(), socket, Arc::new(service))?;
        Ok(Server { runtime, listener, service_thread, base_url, public_key })
    }

    /// Returns why the server could not listen on this address, before anything else is begun.
    ///
    /// # Errors
    /// The address is taken, or is not this machine's.
    pub fn check_address(listen: SocketAddr) -> Result<(), Failure> {
        bind_api(listen).map(|_| ())
    }

    /// Returns the URL under which clients find the API.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Returns the public key that clients verify replies with, as PEM.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// Runs until `end` resolves or the server fails. Then it answers the requests under way, and closes the store.
    ///
    /// # Errors
    /// The store failed. Everything that the server has answered is kept.
    pub fn run_until<T>(self, end: impl Future<Output = T>) -> Result<Option<T>, Failure> {
        let Server { runtime, listener, service_thread, .. } = self;
        let ended = runtime.block_on(async {
            let ended = tokio::select! {
                ended = end => Some(ended),
                _ = service_thread.ended => None,
            };
            // An idle client must not delay the stop.
            listener.close(STOP_WITHIN).await;
            ended
        });
        // Another program may hold the data for ever. Nothing is lost by giving up: no write has begun.
        service_thread.stopping.store(true, Ordering::Relaxed);
        // This drops the last senders of jobs, so the writer ends too.
        runtime.shutdown_timeout(STOP_WITHIN);
        match service_thread.thread.join() {
            Ok(Ok(())) => Ok(ended),
            Ok(Err(error)) => Err(Failure(format!(
                "stopped, because the result of a request could not be kept: {error}; repair that and start again"
            ))),
            Err(_) => Err(Failure("stopped by a defect in the writer; report it and start again".to_owned())),
        }
    }

    /// Stops the server.
    ///
    /// # Errors
    /// The store failed. Everything that the server has answered is kept.
    pub fn stop(self) -> Result<(), Failure> {
        self.run_until(std::future::ready(())).map(|_| ())
    }
}

/// Binds a socket to an address.
pub(crate) fn bind_address(address: SocketAddr) -> Result<TcpListener, Failure> {
    http::bind(address).map_err(|error| Failure(format!("can't listen on {address}: {error}; choose another port")))
}

/// Binds a socket for the API, and returns it with the API's URL.
pub(crate) fn bind_api(listen: SocketAddr) -> Result<(TcpListener, String), Failure> {
    // HTTP dates can't express such times, and hyper panics at them.
    if SystemTime::now() < SystemTime::UNIX_EPOCH {
        return Err(Failure(
            "the clock of this machine shows a time before 1970: set it right and start again".to_owned(),
        ));
    }
    let listener = bind_address(listen)?;
    let base_url = format!("http://{}{BASE_PATH}", listener.local_addr()?);
    Ok((listener, base_url))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure(format!("can't start: {error}"))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure(format!("can't use the data: {error}"))
    }
}
