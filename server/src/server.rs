//! The server as a whole: started from its parts, stopped in order.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::domain::State;
use crate::http::{self, BASE_PATH, Service};
use crate::keys::SigningKey;
use crate::store::{Store, StoreError};
use crate::writer::{Writer, WriterThread};

/// What is in flight has so long to be answered when the server is stopped.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What a server is made of.
pub struct Setup {
    /// What is licensed to whom.
    pub catalogue: Catalogue,
    /// Where changes are kept.
    pub store: Box<dyn Store>,
    /// Licence time.
    pub clock: Arc<dyn Clock>,
    /// Signs replies.
    pub key: SigningKey,
    /// Leaves signatures out, which only benchmarks want.
    pub unsigned: bool,
    /// Where to listen; port 0 is a free one.
    pub listen: SocketAddr,
}

/// A server that is listening.
pub struct Server {
    runtime: Runtime,
    serving: JoinHandle<()>,
    stop: watch::Sender<bool>,
    writer: WriterThread,
    writer_ended: oneshot::Receiver<()>,
    base_url: String,
    public_key: String,
}

/// Why a server could not start or had to stop, for people.
#[derive(Debug)]
pub struct Failure(pub String);

impl Server {
    /// Starts it; it listens when this returns.
    ///
    /// # Errors
    /// The address is taken or the store unusable.
    pub fn start(setup: Setup) -> Result<Server, Failure> {
        let listen = setup.listen;
        let listening =
            |error| Failure(format!("can't listen on {listen}: {error}; choose another --listen or --port"));
        let socket = TcpListener::bind(listen).map_err(listening)?;
        socket.set_nonblocking(true)?;
        let base_url = format!("http://{}{BASE_PATH}", socket.local_addr()?);
        let public_key = setup.key.public_pem()?;

        let catalogue = Arc::new(setup.catalogue);
        let licensed = Arc::clone(&catalogue);
        let recover = |changes| State::recover(licensed, changes);
        let (ended, writer_ended) = oneshot::channel();
        let (writer, thread) = Writer::start(setup.store, recover, setup.clock, ended)?;

        let key = Some(setup.key).filter(|_| !setup.unsigned);
        let router = Service::new(catalogue, writer, key, base_url.clone(), public_key.clone()).router();
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(socket)?
        };
        let (stop, mut stopping) = watch::channel(false);
        let serving = runtime.spawn(async move {
            let stopped = async move {
                // An error means that the sender is gone, which is as good as a word from it.
                let _ = stopping.wait_for(|stop| *stop).await;
            };
            http::serve(listener, router, stopped).await;
        });
        Ok(Server { runtime, serving, stop, writer: thread, writer_ended, base_url, public_key })
    }

    /// Where clients find the API.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// What clients verify replies with, PEM.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// Runs until `end` is over or the server fails, then stops it: what is in flight is answered, the store is closed.
    ///
    /// # Errors
    /// The store failed; what was answered before is safe.
    pub fn run_until<T>(self, end: impl Future<Output = T>) -> Result<Option<T>, Failure> {
        let Server { runtime, serving, stop, writer, writer_ended, .. } = self;
        let ended = runtime.block_on(async {
            let ended = tokio::select! {
                ended = end => Some(ended),
                _ = writer_ended => None,
            };
            let _ = stop.send(true);
            // Clients that send nothing more must not hold the server back.
            let _ = tokio::time::timeout(STOP_WITHIN, serving).await;
            ended
        });
        // Drops the last senders of commands, so the writer ends too.
        runtime.shutdown_timeout(STOP_WITHIN);
        match writer.join() {
            Ok(Ok(())) => Ok(ended),
            Ok(Err(error)) => Err(Failure(format!(
                "stopped, because the result of a request could not be kept: {error}; repair that and start again"
            ))),
            Err(_) => Err(Failure("stopped by a defect in the writer; report it and start again".to_owned())),
        }
    }

    /// Stops it.
    ///
    /// # Errors
    /// The store failed; what was answered before is safe.
    pub fn stop(self) -> Result<(), Failure> {
        self.run_until(std::future::ready(())).map(|_| ())
    }
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
