//! A listening socket and its connections: how many there may be, how long they may be idle, how they end.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::error_bodies::ErrorBodies;
use super::places::{Place, Places, most_connections};
use super::raw_connection::{self, RawConnection, WireAction, perform};
use super::refused_connection::Refusals;
use super::request::ReceivedRequest;

/// Time limit for a client that sends no request, or does not read its reply.
///
/// It is longer than the pause between two calls of a program that is starting.
const IDLE_AT_MOST: Duration = Duration::from_secs(60);
/// Time for which connections wait while all places are taken by requests that are carried out. It is shorter than clients
/// wait by default, so that they learn the reason.
const PLACE_WITHIN: Duration = Duration::from_secs(5);
/// Time between two lines of the log while no connection can be accepted.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Pause after a failed accept, whose cause most likely lasts for a while.
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

/// The limits for the connections of a listener.
#[derive(Debug, Clone, Copy)]
struct Limits {
    most_connections: usize,
    idle_at_most: Duration,
    place_within: Duration,
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
        let limits =
            Limits { most_connections: most_connections(), idle_at_most: IDLE_AT_MOST, place_within: PLACE_WITHIN };
        Listener::open_limited(runtime, listener, limits, handler)
    }

    fn open_limited(
        runtime: &Handle,
        listener: std::net::TcpListener,
        limits: Limits,
        handler: Arc<impl Handler>,
    ) -> io::Result<Listener> {
        let address = listener.local_addr()?;
        let _inside = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        let (stop, stopping) = watch::channel(Stop::No);
        let serving = runtime.spawn(serve(listener, limits, handler, stopping));
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

/// Accepts connections, and tells the administrator if it can't.
struct Acceptor {
    listener: TcpListener,
    places: Arc<Places>,
    place_within: Duration,
    /// The moment from which on no place could be had.
    full_since: Option<Instant>,
    refusals: Refusals,
    logged_at: Option<Instant>,
}

impl Acceptor {
    /// Returns the next connection, with a place for it.
    async fn accept(&mut self) -> (TcpStream, Place) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => match self.place_for(address.ip()).await {
                    Some(place) => {
                        if self.logged_at.take().is_some() {
                            tracing::info!("connections are accepted again");
                        }
                        return (stream, place);
                    }
                    None => {
                        self.log("all places are taken by requests that are carried out");
                        self.refusals.refuse(stream).await;
                    }
                },
                // The client was gone before its connection was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    let lacks_resource = lacks_resource(&error);
                    let advice = "let this process open more files (ulimit -n, LimitNOFILE=)";
                    self.log(&if lacks_resource { format!("{error}; {advice}") } else { error.to_string() });
                    if lacks_resource {
                        // Every connection has a descriptor and buffers.
                        self.places.close_one(None);
                    }
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }

    /// Returns a place. Connections that come while none could be had for a while do not wait as long again.
    async fn place_for(&mut self, address: IpAddr) -> Option<Place> {
        let until = *self.full_since.get_or_insert_with(Instant::now) + self.place_within;
        let place = self.places.enter(address, until.into()).await?;
        self.full_since = None;
        Some(place)
    }

    fn log(&mut self, why: &str) {
        if self.logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            tracing::error!("can't accept a connection: {why}");
            self.logged_at = Some(Instant::now());
        }
    }
}

/// Returns true if the system has no descriptor or no buffers left. Then fewer connections help. Other failures are about
/// the connection that was to be accepted, as when a firewall forbids it.
fn lacks_resource(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| RESOURCE_CODES.contains(&code))
}

#[cfg(unix)]
const RESOURCE_CODES: [i32; 4] = {
    use nix::libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    [EMFILE, ENFILE, ENOBUFS, ENOMEM]
};
/// WSAEMFILE and WSAENOBUFS.
#[cfg(windows)]
const RESOURCE_CODES: [i32; 2] = [10024, 10055];
#[cfg(not(any(unix, windows)))]
const RESOURCE_CODES: [i32; 0] = [];

async fn serve(listener: TcpListener, limits: Limits, handler: Arc<impl Handler>, stopping: watch::Receiver<Stop>) {
    let mut acceptor = Acceptor {
        listener,
        places: Places::new(limits.most_connections),
        place_within: limits.place_within,
        full_since: None,
        refusals: Refusals::new(),
        logged_at: None,
    };
    let mut connections = JoinSet::new();
    loop {
        let (stream, place) = tokio::select! {
            accepted = acceptor.accept() => accepted,
            () = stopped(stopping.clone(), Stop::WhenAnswered) => break,
        };
        // Without this, the second segment of a reply would wait for the acknowledgement of the first.
        let _ = stream.set_nodelay(true);
        connections.spawn(connection(stream, place, limits.idle_at_most, Arc::clone(&handler), stopping.clone()));
        while connections.try_join_next().is_some() {}
    }
    drop(acceptor);
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

/// Serves a connection until it ends, is idle for too long, or has to make room for another one.
async fn connection(
    stream: TcpStream,
    place: Place,
    idle_at_most: Duration,
    handler: Arc<impl Handler>,
    stopping: watch::Receiver<Stop>,
) {
    let place = Arc::new(place);
    tokio::select! {
        () = speak(stream, Arc::clone(&place), handler, stopping) => {}
        () = place.is_over(idle_at_most) => {}
    }
}

/// Speaks HTTP on a connection, except while a handler has hijacked it.
async fn speak(mut stream: TcpStream, place: Arc<Place>, handler: Arc<impl Handler>, stopping: watch::Receiver<Stop>) {
    let mut protocol = http1::Builder::new();
    // The place has a time limit for all that a client may delay, so hyper needs none.
    protocol.header_read_timeout(None);
    // A client that has closed its sending side still gets its reply.
    protocol.half_close(true);
    // Head and body share one buffer. If the client has gone, a plain write returns an error; a vectored one raises
    // SIGPIPE, which would end the host's process when the server runs inside it.
    protocol.writev(false);
    let client = stream.peer_addr().ok().map(|address| address.ip());
    let (raw, mut hijacks) = RawConnection::new();
    loop {
        place.is_waiting();
        let service = service_fn(|request: Request<Incoming>| answer(request, client, &place, &handler, &raw));
        let mut http = protocol.serve_connection(TokioIo::new(ErrorBodies::new(stream)), service);
        let ended = tokio::select! {
            biased;
            Some(actions) = hijacks.recv() => Ended::Hijacked(actions),
            // An error is the client's: it has gone, or has not sent HTTP.
            result = &mut http => match result {
                Err(error) if error.is_parse() => Ended::Refused,
                _ => return,
            },
            () = stopped(stopping.clone(), Stop::WhenAnswered) => Ended::Stopped,
        };
        if matches!(ended, Ended::Stopped) {
            std::pin::Pin::new(&mut http).graceful_shutdown();
            let _ = http.await;
            return;
        }
        let raw_stream = http.into_parts().io.into_inner().into_inner();
        let Ended::Hijacked(actions) = ended else { return raw_connection::close(raw_stream).await };
        let left = tokio::select! {
            left = perform(actions, raw_stream) => left,
            () = stopped(stopping.clone(), Stop::WhenAnswered) => return,
        };
        let Some(left) = left else { return };
        stream = left;
    }
}

/// The way in which HTTP has ended on a connection that is still open.
enum Ended {
    /// A handler wants to perform these actions on it.
    Hijacked(Vec<WireAction>),
    /// hyper has refused what the client sent.
    Refused,
    /// The listener is to be closed.
    Stopped,
}

/// Reads the rest of a request, and returns its reply. Never returns if the connection is being closed to make room.
async fn answer(
    request: Request<Incoming>,
    client: Option<IpAddr>,
    place: &Place,
    handler: &Arc<impl Handler>,
    raw: &RawConnection,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if !place.is_receiving() {
        return std::future::pending().await;
    }
    let request = ReceivedRequest::read(request, client).await;
    if !place.is_answering() {
        return std::future::pending().await;
    }
    let response = handler.handle(request, raw.clone()).await;
    place.is_waiting();
    Ok(response.map(|body| Full::new(Bytes::from(body))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream as Client;

    /// Replies with more than the system's buffers take.
    struct LongReplies;

    impl Handler for LongReplies {
        async fn handle(&self, _: ReceivedRequest, _: RawConnection) -> Response<Vec<u8>> {
            Response::new(vec![b'x'; 64 << 20])
        }
    }

    /// Never replies.
    struct Busy;

    impl Handler for Busy {
        async fn handle(&self, _: ReceivedRequest, _: RawConnection) -> Response<Vec<u8>> {
            std::future::pending().await
        }
    }

    fn eventually(what: &str, is_so: impl Fn() -> bool) {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < Duration::from_secs(60), "in vain: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn client_that_sends_or_reads_nothing_loses_its_connection() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let handler = Arc::new(LongReplies);
        let limits =
            Limits { most_connections: 8, idle_at_most: Duration::from_millis(300), place_within: PLACE_WITHIN };
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = Listener::open_limited(runtime.handle(), socket, limits, Arc::clone(&handler)).unwrap();
        // Each connection has a handle on the handler, besides those of the listener and of this test.
        let connections = || Arc::strong_count(&handler) - 2;
        for sent in [&b""[..], b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n\r\n"] {
            let mut client = Client::connect(listener.address()).unwrap();
            client.write_all(sent).unwrap();
            eventually("the connection is served", || connections() == 1);
            eventually("the connection is closed", || connections() == 0);
        }
        runtime.block_on(listener.close(Duration::from_secs(1)));
    }

    #[test]
    fn client_is_told_that_there_is_no_place_while_all_requests_are_carried_out() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let place_within = Duration::from_millis(100);
        let limits = Limits { most_connections: 2, idle_at_most: IDLE_AT_MOST, place_within };
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = Listener::open_limited(runtime.handle(), socket, limits, Arc::new(Busy)).unwrap();
        let connect = || {
            let mut client = Client::connect(listener.address()).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            client
        };
        let busy = [connect(), connect()];
        for mut refused in [connect(), connect()] {
            let mut reply = String::new();
            refused.read_to_string(&mut reply).unwrap();
            assert!(reply.starts_with("HTTP/1.1 503 ") && reply.contains("\"too_many_connections\""), "{reply}");
        }
        drop(busy);
        runtime.block_on(listener.close(Duration::ZERO));
    }
}
