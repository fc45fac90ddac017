//! What a handler may do to the line its request came on, beyond answering as HTTP wants it: the sandbox does to it what
//! broken networks do.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A connection that was closed is listened to for so long.
const LINGER: Duration = Duration::from_millis(200);

/// One thing done to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WireAction {
    /// Bytes leave as they are.
    Write(Vec<u8>),
    /// Nothing happens for so long.
    Pause(Duration),
    /// Nothing happens until the client goes.
    Hold,
    /// It ends as TCP connections end.
    Close,
    /// It ends by an RST, and what is still on its way to the client is lost.
    Reset,
}

/// A way to take the line over from HTTP.
#[derive(Debug, Clone)]
pub(crate) struct RawConnection(UnboundedSender<Vec<WireAction>>);

impl RawConnection {
    /// A line, and where its connection learns what was hijacked.
    pub(super) fn new() -> (RawConnection, UnboundedReceiver<Vec<WireAction>>) {
        let (hijack, hijacks) = unbounded_channel();
        (RawConnection(hijack), hijacks)
    }

    /// Has the actions done instead of an answer. If the last one leaves the connection open, HTTP goes on there; what the
    /// client has sent ahead of this answer is lost. Never returns: the request ends with this.
    pub(crate) async fn hijack(&self, actions: Vec<WireAction>) -> Infallible {
        // A connection that is gone needs nothing more.
        let _ = self.0.send(actions);
        pending().await
    }
}

/// Does the actions; what is left of the connection.
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
                let _ = stream.shutdown().await;
                // What the client still sends is read for a while, or the system would answer it by an RST.
                let _ = tokio::time::timeout(LINGER, drain(&mut stream)).await;
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

/// Reads until the client has gone.
async fn drain(stream: &mut TcpStream) {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
}
