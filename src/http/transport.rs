//! Connections for ureq: made within the deadline, woken by a cancel, one write for each request.

use super::Route;
use super::buffers::{buffers, make_room};
use super::call::{Call, Calls, Stop};
use super::dial::dial;
use super::failure::Failure;
use super::kept::Kept;
use super::resolver::Names;
use super::secure::secure;
use super::socket::{self, WaitError, Waits};
use super::tunnel::{Forward, open_tunnel};
use crate::shortage;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;
use ureq::Error;
use ureq::http::Uri;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

/// Memory that a connection takes at most, with the buffers of ureq and rustls and a handshake with usual certificates.
const CONNECTION_BYTES: usize = 128 * 1024;

/// Makes connections to the server: by TCP, through the proxy if there is one, with TLS for `https`.
#[derive(Debug)]
pub(super) struct Connect {
    pub(super) calls: Arc<Calls>,
    pub(super) kept: Arc<Kept>,
    pub(super) names: Names,
    pub(super) route: Route,
}

impl Connector<()> for Connect {
    type Out = Box<dyn Transport>;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Self::Out>, Error> {
        let call = current(&self.calls)?;
        call.begin_connecting(self.route.connect_timeout);
        let transport = self.reach(details, &call)?;
        call.end_connecting();
        Ok(Some(transport))
    }
}

impl Connect {
    /// Connects to the server, through the proxy if there is one.
    fn reach(&self, details: &ConnectionDetails, call: &Call) -> Result<Box<dyn Transport>, Error> {
        let server = details.uri;
        let Some(proxy) = &self.route.proxy else {
            return self.open(server, details, call);
        };
        let mut transport = self.open(proxy.uri(), details, call)?;
        if !details.needs_tls() {
            return Ok(Forward::new(transport, proxy, server).boxed());
        }
        open_tunnel(&mut transport, proxy, server, &self.route.user_agent)?;
        self.secure(transport, server, details)
    }

    /// Connects to the host of a URL, with TLS if the URL asks for it.
    fn open(&self, uri: &Uri, details: &ConnectionDetails, call: &Call) -> Result<Box<dyn Transport>, Error> {
        let addresses = self.names.addresses(uri, call)?;
        call.trace(|trace| trace.resolved = Some(Instant::now()));
        let generation = self.kept.generation();
        shortage::expect_room(CONNECTION_BYTES).map_err(Failure::Connect)?;
        let stream = Arc::new(dial(&addresses, call)?);
        call.trace(|trace| trace.connected = Some(Instant::now()));
        let socket = Socket {
            calls: Arc::clone(&self.calls),
            kept: Arc::clone(&self.kept),
            generation,
            stream,
            buffers: buffers(),
            unsent: Vec::new(),
            waits: Waits::default(),
            idle_since: None,
        };
        let socket = socket.boxed();
        if uri.scheme_str() == Some("https") { self.secure(socket, uri, details) } else { Ok(socket) }
    }

    fn secure(
        &self,
        transport: Box<dyn Transport>,
        uri: &Uri,
        details: &ConnectionDetails,
    ) -> Result<Box<dyn Transport>, Error> {
        let config = self.route.tls.clone().ok_or(Error::TlsRequired)?;
        Ok(secure(transport, config, uri.host().unwrap_or_default(), details)?.boxed())
    }
}

fn current(calls: &Calls) -> Result<Arc<Call>, Failure> {
    calls.current().ok_or(Failure::NoCall)
}

/// A TCP connection.
#[derive(Debug)]
struct Socket {
    calls: Arc<Calls>,
    kept: Arc<Kept>,
    /// Of the connections that are kept; see [`Kept`].
    generation: u64,
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
    /// Written at once, when the reply is waited for: header and body leave in one packet.
    unsent: Vec<u8>,
    waits: Waits,
    /// When the connection was put aside after a reply; `None` while it carries a request.
    idle_since: Option<Instant>,
}

impl Socket {
    fn flush(&mut self, call: &Call) -> Result<(), Error> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let mut written = 0;
        while written < self.unsent.len() {
            self.waits.before_write(&self.stream, call)?;
            call.about_to_send();
            match (&*self.stream).write(&self.unsent[written..]) {
                Ok(0) => return Err(Error::Io(io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) => again(error, call)?,
            }
        }
        self.unsent.clear();
        Ok(())
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        self.idle_since = None;
        self.unsent.extend_from_slice(&self.buffers.output()[..amount]);
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let call = current(&self.calls)?;
        call.waits_on(&self.stream);
        self.flush(&call)?;
        make_room(&mut self.buffers);
        loop {
            self.waits.before_read(&self.stream, &call)?;
            match (&*self.stream).read(self.buffers.input_append_buf()) {
                Ok(count) => {
                    // A cancel shuts the socket down, which reads as an end of file.
                    if count == 0 && call.left() == Err(Stop::Cancelled) {
                        return Err(Failure::Stopped(Stop::Cancelled).into());
                    }
                    self.buffers.input_appended(count);
                    return Ok(count > 0);
                }
                Err(error) => again(error, &call)?,
            }
        }
    }

    /// Asked twice of a kept connection: when it is put aside, which is when this call lets go of it, and when it is
    /// taken up again.
    fn is_open(&mut self) -> bool {
        let Ok(call) = current(&self.calls) else { return false };
        let Some(idle_since) = self.idle_since else {
            self.idle_since = Some(Instant::now());
            return call.forget_socket();
        };
        let is_usable = self.generation == self.kept.generation() && socket::is_quiet(&self.stream);
        if is_usable {
            call.begin_reuse(|left| self.kept.reserve_of(left, idle_since.elapsed()));
        }
        is_usable
    }
}

/// Decides whether to go on after a failed read or write: yes, unless it is a real failure or the call is over.
fn again(error: io::Error, call: &Call) -> Result<(), Error> {
    match (error.kind(), call.left()) {
        (_, Err(Stop::Cancelled)) => Err(Failure::Stopped(Stop::Cancelled).into()),
        (io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut, _) => Ok(()),
        _ => Err(Error::Io(error)),
    }
}

impl From<WaitError> for Error {
    fn from(error: WaitError) -> Error {
        match error {
            WaitError::Stopped(stop) => Failure::Stopped(stop).into(),
            WaitError::Io(error) => Error::Io(error),
        }
    }
}
