//! TLS around a connection, for `https`.

use super::buffers::{buffers, make_room};
use super::resolver::bare;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, LazyBuffers, NextTimeout, Transport, TransportAdapter};

/// Makes a connection to `host` secure.
///
/// Shakes hands at once, so that a refused certificate is known before any byte of the request leaves.
pub(super) fn secure(
    transport: Box<dyn Transport>,
    config: Arc<ClientConfig>,
    host: &str,
    details: &ConnectionDetails,
) -> Result<SecureTransport, Error> {
    let name =
        ServerName::try_from(bare(host)).map_err(|_| Error::Tls("the host in base_url can't be in a certificate"))?;
    let mut connection = ClientConnection::new(config, name.to_owned()).map_err(io::Error::other)?;
    // The socket applies the call's deadline and cancel, so the adapter's own timeout stays unset.
    let mut socket = TransportAdapter::new(transport, Arc::clone(&details.current_time));
    connection.complete_io(&mut socket)?;
    Ok(SecureTransport { buffers: buffers(), stream: StreamOwned::new(connection, socket) })
}

/// A connection that is secure.
pub(super) struct SecureTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for SecureTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        make_room(&mut self.buffers);
        let count = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for SecureTransport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SecureTransport")
    }
}
