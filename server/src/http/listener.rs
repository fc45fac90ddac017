//! A listening socket and its connections: how many there may be, how long they may be idle, how they end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::raw_connection::{RawConnection, perform};
use super::request::ReceivedRequest;

/// Upper bound for clients that are served at once; more clients wait. Systems let a process open more by default.
const MOST_CONNECTIONS: usize = 900;
/// Time limit for an idle connection, so that a client that sleeps or has vanished does not keep its place.
///
/// It is longer than the pause between two calls of a program that is starting.
const IDLE_AT_MOST: Duration = Duration::from_secs(60);
/// Pause after a failed accept, which most likely lacked a file descriptor.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Answers requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Returns the reply to a request. Never returns if it has hijacked the connection.
    fn handle(
        &self,
        request: ReceivedRequest,
        connection: RawConnection,
    ) -> impl Future<Output = Response<Vec<u8>>> + Send;
}

/// A socket whose connections are being served.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    stop: watch::Sender<Stop>,
    serving: JoinHandle<()>,
}

/// The way in which a listener is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    No,
    WhenAnswered,
    AtOnce,
}

/// Binds a socket to an address. Connections queue from now on, until [`Listener::open`] serves them.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Listener {
    /// Serves the socket's connections until the listener is closed.
    pub(crate) fn open(
        runtime: &Handle,
        listener: std::net::TcpListener,
        handler: Arc<impl Handler>,
    ) -> io::Result<Listener> {
        let address = listener.local_addr()?;
        let _inside = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        let (stop, stopping) = watch::channel(Stop::No);
        let serving = runtime.spawn(serve(listener, handler, stopping));
        Ok(Listener { address, stop, serving })
    }

    /// Returns the address that it listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more connections. Requests under way may be answered within this time, then they are cut off.
    pub(crate) async fn close(mut self, within: Duration) {
        let _ = self.stop.send(Stop::WhenAnswered);
        if tokio::time::timeout(within, &mut self.serving).await.is_err() {
            let _ = self.stop.send(Stop::AtOnce);
            let _ = self.serving.await;
        }
    }
}

async fn serve(listener: TcpListener, handler: Arc<impl Handler>, stopping: watch::Receiver<Stop>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (stream, place) = tokio::select! {
            (accepted, place) = accepted => match accepted {
                Ok((stream, _)) => (stream, place),
                Err(_) => {
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                    continue;
                }
            },
            () = stopped(stopping.clone(), Stop::WhenAnswered) => break,
        };
        // Without this, the second segment of a reply would wait for the acknowledgement of the first.
        let _ = stream.set_nodelay(true);
        let connection = connection(stream, Arc::clone(&handler), stopping.clone());
        connections.spawn(async move {
            connection.await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    tokio::select! {
        () = async { while connections.join_next().await.is_some() {} } => return,
        () = stopped(stopping, Stop::AtOnce) => {}
    }
    connections.shutdown().await;
}

/// Resolves when the listener is to be closed that soon.
async fn stopped(mut stopping: watch::Receiver<Stop>, how: Stop) {
    // An error means that the listener is gone, which ends its connections too.
    let _ = stopping.wait_for(|stop| *stop >= how).await;
}

/// Speaks HTTP on a connection, except while a handler has hijacked it.
async fn connection(mut stream: TcpStream, handler: Arc<impl Handler>, stopping: watch::Receiver<Stop>) {
    let mut protocol = http1::Builder::new();
    // This also closes a kept-alive connection on which no request comes.
    protocol.timer(TokioTimer::new()).header_read_timeout(IDLE_AT_MOST);
    // A client that has closed its sending side still gets its reply.
    protocol.half_close(true);
    // Head and body share one buffer. If the client has gone, a plain write returns an error; a vectored one raises
    // SIGPIPE, which would end the host's process when the server runs inside it.
    protocol.writev(false);
    let (raw, mut hijacks) = RawConnection::new();
    loop {
        let service = service_fn(|request: Request<Incoming>| {
            let (handler, raw) = (Arc::clone(&handler), raw.clone());
            async move {
                let request = ReceivedRequest::read(request).await;
                Ok::<_, std::convert::Infallible>(
                    handler.handle(request, raw).await.map(|body| Full::new(Bytes::from(body))),
                )
            }
        });
        let mut http = protocol.serve_connection(TokioIo::new(stream), service);
        let hijacked = tokio::select! {
            biased;
            Some(actions) = hijacks.recv() => Some(actions),
            // An error is the client's: it has gone, or has not sent HTTP.
            _ = &mut http => return,
            () = stopped(stopping.clone(), Stop::WhenAnswered) => None,
        };
        let Some(actions) = hijacked else {
            std::pin::Pin::new(&mut http).graceful_shutdown();
            let _ = http.await;
            return;
        };
        let raw_stream = http.into_parts().io.into_inner();
        let left = tokio::select! {
            left = perform(actions, raw_stream) => left,
            () = stopped(stopping.clone(), Stop::WhenAnswered) => return,
        };
        let Some(left) = left else { return };
        stream = left;
    }
}
