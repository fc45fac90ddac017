//! A connection as raw bytes: lets a handler do to it what no HTTP library would, as broken networks do.
//!
//! Only the sandbox uses it: it cuts a reply short, lies about its length, or resets the connection.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Time for which a closed connection is still read.
const LINGER: Duration = Duration::from_millis(200);

/// One action on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WireAction {
    /// Writes these bytes as they are.
    Write(Vec<u8>),
    /// Does nothing for this time.
    Pause(Duration),
    /// Does nothing until the client closes the connection.
    Hold,
    /// Closes the connection in order (FIN).
    Close,
    /// Resets the connection (RST). Bytes that are still on their way to the client are lost.
    Reset,
}

/// A handle by which a handler takes its connection over from HTTP.
#[derive(Debug, Clone)]
pub(crate) struct RawConnection(UnboundedSender<Vec<WireAction>>);

impl RawConnection {
    /// Returns a handle, and the channel on which the connection receives the actions.
    pub(super) fn new() -> (RawConnection, UnboundedReceiver<Vec<WireAction>>) {
        let (hijack, hijacks) = unbounded_channel();
        (RawConnection(hijack), hijacks)
    }

    /// Has the connection perform the actions instead of a reply. Never returns, since the request ends with this.
    ///
    /// If the last action leaves the connection open, HTTP goes on there. Bytes that the client has sent ahead of this
    /// reply are lost.
    pub(crate) async fn hijack(&self, actions: Vec<WireAction>) -> Infallible {
        // A connection that is closed already needs no actions.
        let _ = self.0.send(actions);
        pending().await
    }
}

/// Performs the actions, and returns the connection if it is still open.
pub(super) async fn perform(actions: Vec<WireAction>, mut stream: TcpStream) -> Option<TcpStream> {
    for action in actions {
        match action {
            WireAction::Write(bytes) => stream.write_all(&bytes).await.ok()?,
            WireAction::Pause(duration) => tokio::time::sleep(duration).await,
            WireAction::Hold => {
                drain(&mut stream).await;
                return None;
            }
            WireAction::Close => {
                close(stream).await;
                return None;
            }
            WireAction::Reset => {
                let _ = stream.set_zero_linger();
                return None;
            }
        }
    }
    Some(stream)
}

/// Closes a connection in order.
///
/// The client may still be sending. Unread bytes would make the system answer with an RST, by which the client may lose the
/// reply.
pub(super) async fn close(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let _ = tokio::time::timeout(LINGER, drain(&mut stream)).await;
}

/// Reads until the client closes the connection.
async fn drain(stream: &mut TcpStream) {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
}
