//! The ways through an HTTP proxy: a tunnel for `https`, and requests that it passes on for plain `http`.
//!
//! Plain `http` asks for no tunnel, because proxies commonly allow one to port 443 alone.

use super::buffers::LONGEST_HEAD_BYTES;
use super::failure::Failure;
use super::proxy::Proxy;
use crate::secret::Secret;
use ureq::Error;
use ureq::http::Uri;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

/// Has the proxy at the other end of `transport` connect to the host and port of `target`.
pub(super) fn open_tunnel(
    transport: &mut Box<dyn Transport>,
    proxy: &Proxy,
    target: &Uri,
    user_agent: &str,
) -> Result<(), Error> {
    let (host, port) = (target.host().unwrap_or_default(), target.port_u16().unwrap_or(443));
    let authorization = proxy.authorization_line();
    let request = format!(
        "CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {user_agent}\r\n\
         Proxy-Connection: Keep-Alive\r\n{}\r\n",
        authorization.expose()
    );
    send(transport, request.as_bytes())?;
    let head_bytes = loop {
        let made_progress = transport.await_input(NextTimeout::default())?;
        let input = transport.buffers().input();
        if let Some(head_bytes) = position(input, b"\r\n\r\n") {
            break head_bytes + 4;
        }
        if !made_progress {
            return Err(Failure::Proxy("the proxy ended the connection without a reply").into());
        }
        if input.len() > LONGEST_HEAD_BYTES {
            return Err(Failure::Proxy("the proxy's reply is larger than 64 KiB").into());
        }
    };
    let buffers = transport.buffers();
    let status = status_of(buffers.input());
    buffers.input_consume(head_bytes);
    match status {
        // Bytes behind the proxy's own reply would be taken for the server's.
        Some(200..=299) if !buffers.input().is_empty() => Err(Failure::SpokeFirst.into()),
        Some(200..=299) => Ok(()),
        Some(status) => Err(Failure::ProxyRefused(status).into()),
        None => Err(Failure::Proxy("the proxy's reply is not HTTP").into()),
    }
}

/// Sends bytes in pieces that the transport's buffer has room for.
fn send(transport: &mut Box<dyn Transport>, mut bytes: &[u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        let output = transport.buffers().output();
        let amount = bytes.len().min(output.len());
        output[..amount].copy_from_slice(&bytes[..amount]);
        transport.transmit_output(amount, NextTimeout::default())?;
        bytes = &bytes[amount..];
    }
    Ok(())
}

/// The number in `HTTP/1.1 200 …`.
fn status_of(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// A connection to a proxy that passes requests on to a plain `http` server. Each request names its whole URL.
#[derive(Debug)]
pub(super) struct Forward {
    transport: Box<dyn Transport>,
    /// The beginning of each URL, such as `http://licenses.example:8080`.
    server: String,
    authorization: Secret,
    /// True until the first bytes of a request are sent.
    is_at_request: bool,
}

impl Forward {
    pub(super) fn new(transport: Box<dyn Transport>, proxy: &Proxy, target: &Uri) -> Forward {
        let authority = target.authority().map(ToString::to_string).unwrap_or_default();
        let authorization = proxy.authorization_line();
        Forward { transport, server: format!("http://{authority}"), authorization, is_at_request: true }
    }

    /// Returns the head of a request, or as much of it as there is, as a proxy expects it.
    fn for_proxy(&self, head: &[u8]) -> Vec<u8> {
        let (Some(method_ends), Some(line_ends)) = (position(head, b" "), position(head, b"\r\n")) else {
            return head.to_vec();
        };
        let (method, rest) = head.split_at(method_ends + 1);
        let (target, headers) = rest.split_at(line_ends + 2 - method.len());
        [method, self.server.as_bytes(), target, self.authorization.expose().as_bytes(), headers].concat()
    }
}

impl Transport for Forward {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    /// ureq sends the request line whole, and first.
    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if !std::mem::replace(&mut self.is_at_request, false) {
            return self.transport.transmit_output(amount, timeout);
        }
        let head = self.transport.buffers().output()[..amount].to_vec();
        let head = self.for_proxy(&head);
        send(&mut self.transport, &head)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.is_at_request = true;
        self.transport.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.transport.is_open()
    }
}
