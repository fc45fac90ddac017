//! Sockets for ureq: connected within the deadline, woken by a cancel, one write for each request.

use super::call::{Call, Calls, Stop};
use super::failure::Failure;
use super::resolver::Names;
use super::secure::Secure;
use super::socket::{self, WaitError, Waits};
use crate::shortage;
use rustls::ClientConfig;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};

/// Memory that a connection takes at most, with the buffers of ureq and rustls and a handshake with usual certificates.
const CONNECTION_BYTES: usize = 128 * 1024;

/// The chain that makes a connection: through the proxy if there is one, by TCP, then TLS for `https`.
pub(super) fn connector(
    calls: &Arc<Calls>,
    connect_timeout: Duration,
    is_plain: bool,
    tls: Option<Arc<ClientConfig>>,
) -> impl Connector<()> {
    ().chain(Begin { calls: Arc::clone(calls), connect_timeout })
        .chain(ConnectProxyConnector::default())
        .chain(Dial { calls: Arc::clone(calls), names: Names::new(), is_plain })
        .chain(Secure::new(tls))
        .chain(End { calls: Arc::clone(calls) })
}

fn current(calls: &Calls) -> Result<Arc<Call>, Failure> {
    calls.current().ok_or(Failure::NoCall)
}

/// The first connector: starts the time limit of connecting.
#[derive(Debug)]
struct Begin {
    calls: Arc<Calls>,
    connect_timeout: Duration,
}

impl<In: Transport> Connector<In> for Begin {
    type Out = In;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<In>, Error> {
        current(&self.calls)?.begin_connecting(self.connect_timeout);
        Ok(chained)
    }
}

/// The last connector: ends the time limit of connecting.
#[derive(Debug)]
struct End {
    calls: Arc<Calls>,
}

impl<In: Transport> Connector<In> for End {
    type Out = In;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<In>, Error> {
        current(&self.calls)?.end_connecting();
        Ok(chained)
    }
}

/// Resolves a name and connects, unless a proxy has done it.
#[derive(Debug)]
struct Dial {
    calls: Arc<Calls>,
    names: Names,
    is_plain: bool,
}

impl<In: Transport> Connector<In> for Dial {
    type Out = Either<In, Socket>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let call = current(&self.calls)?;
        let addresses = self.names.addresses(details.uri, &call)?;
        call.trace(|trace| trace.resolved = Some(Instant::now()));
        shortage::expect_room(CONNECTION_BYTES).map_err(Failure::Connect)?;
        let stream = Arc::new(dial(&addresses, &call)?);
        call.trace(|trace| trace.connected = Some(Instant::now()));
        let config = details.config;
        Ok(Some(Either::B(Socket {
            calls: Arc::clone(&self.calls),
            stream,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            unsent: Vec::new(),
            waits: Waits::default(),
            idle: false,
            expects_silence: self.is_plain,
        })))
    }
}

/// Tries the addresses in turn; each but the last gets half of the time that is left.
fn dial(addresses: &[SocketAddr], call: &Call) -> Result<TcpStream, Failure> {
    let mut last_error = io::Error::from(io::ErrorKind::NotFound);
    for (index, address) in addresses.iter().enumerate() {
        let left = call.left().map_err(Failure::Stopped)?;
        let longest = if index + 1 == addresses.len() { left } else { left / 2 };
        match socket::connect(*address, longest, call) {
            Ok(stream) => return Ok(stream),
            Err(WaitError::Stopped(stop)) => return Err(Failure::Stopped(stop)),
            Err(WaitError::Io(error)) => last_error = error,
        }
    }
    Err(Failure::Connect(last_error))
}

/// A TCP connection.
#[derive(Debug)]
struct Socket {
    calls: Arc<Calls>,
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
    /// Written at once, when the reply is waited for: header and body leave in one packet.
    unsent: Vec<u8>,
    waits: Waits,
    /// True while the connection is idle after a reply and was not checked again.
    idle: bool,
    /// True if no byte may arrive before the first request. Bytes that a proxy sends behind its own reply would be read as
    /// the server's. TLS needs no such check, because it authenticates the server.
    expects_silence: bool,
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
        self.idle = false;
        if self.expects_silence && !current(&self.calls)?.is_connecting() {
            self.expects_silence = false;
            if !self.buffers.input().is_empty() {
                return Err(Failure::SpokeFirst.into());
            }
        }
        self.unsent.extend_from_slice(&self.buffers.output()[..amount]);
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let call = current(&self.calls)?;
        call.waits_on(&self.stream);
        self.flush(&call)?;
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
        if std::mem::replace(&mut self.idle, true) {
            return socket::is_quiet(&self.stream);
        }
        current(&self.calls).is_ok_and(|call| call.forget_socket())
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
