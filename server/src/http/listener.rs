//! A port: who may have a connection, for how long without saying anything, and how all of them end.

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

use super::ReceivedRequest;
use super::raw_connection::{RawConnection, perform};

/// So many clients are served at once; more wait. Below what systems allow a process to have open by default.
const MOST_CONNECTIONS: usize = 900;
/// A client that sleeps or has gone without a word must not keep its place. Longer than a client's pause between two
/// calls of a program that is starting, shorter than anybody's patience.
const IDLE_AT_MOST: Duration = Duration::from_secs(60);
/// After a failure to accept, most likely for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What answers requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The reply to a request that has been read; or nothing ever, if the line was taken over.
    fn handle(
        &self,
        request: ReceivedRequest,
        connection: RawConnection,
    ) -> impl Future<Output = Response<Vec<u8>>> + Send;
}

/// A port that is being served.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    stop: watch::Sender<Stop>,
    serving: JoinHandle<()>,
}

/// Whether and how a port is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    No,
    WhenAnswered,
    AtOnce,
}

/// Takes an address; connections wait from here on, and are served by [`Listener::open`].
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Listener {
    /// Serves it until it is closed.
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

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nobody in any more. What is in flight may be answered within this time, then it is cut off.
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
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = stopped(stopping.clone(), Stop::WhenAnswered) => break,
        };
        // A reply of several segments must not wait for the acknowledgement of the first.
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

/// Over when the port is to be closed that soon.
async fn stopped(mut stopping: watch::Receiver<Stop>, how: Stop) {
    // An error means that the port is gone, which is as good as a word from it.
    let _ = stopping.wait_for(|stop| *stop >= how).await;
}

/// Speaks HTTP, except while a handler has the line.
async fn connection(mut stream: TcpStream, handler: Arc<impl Handler>, stopping: watch::Receiver<Stop>) {
    let mut protocol = http1::Builder::new();
    // Also ends a kept connection on which nothing more comes.
    protocol.timer(TokioTimer::new()).header_read_timeout(IDLE_AT_MOST);
    // Who has said all that he wants to say still gets his answer.
    protocol.half_close(true);
    // One buffer for head and body: a plain write tells of a client that has gone by an error, a vectored one by SIGPIPE,
    // which would end a process that the server is a guest in.
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
            // An error is the client's: it has gone, or sent what is not HTTP.
            _ = &mut http => return,
            () = stopped(stopping.clone(), Stop::WhenAnswered) => None,
        };
        let Some(actions) = hijacked else {
            std::pin::Pin::new(&mut http).graceful_shutdown();
            let _ = http.await;
            return;
        };
        let stream = http.into_parts().io.into_inner();
        let left = tokio::select! {
            left = perform(actions, stream) => left,
            () = stopped(stopping.clone(), Stop::WhenAnswered) => return,
        };
        let Some(left) = left else { return };
        stream = left;
    }
}
