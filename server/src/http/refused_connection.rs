//! Connections for which there is no place: their clients are told so before they are closed.

use std::sync::Arc;
use std::time::Duration;

use floatlease::model::TOO_MANY_CONNECTIONS;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::raw_connection::close;
use super::response::error_body;

/// Most connections that are being refused at a time. Each has a descriptor besides those of the places.
const MOST: usize = 16;
/// Time limit for a client to send its request, and to take the reply.
const PATIENCE: Duration = Duration::from_millis(200);
const MESSAGE: &str = "The server takes no more connections; ask again in a while.";

/// The connections that are being refused.
#[derive(Debug)]
pub(super) struct Refusals(Arc<Semaphore>);

impl Refusals {
    pub(super) fn new() -> Refusals {
        Refusals(Arc::new(Semaphore::new(MOST)))
    }

    /// Refuses a connection in the background. Waits while too many others are being refused.
    pub(super) async fn refuse(&self, stream: TcpStream) {
        let Ok(permit) = Arc::clone(&self.0).acquire_owned().await else { return };
        tokio::spawn(async move {
            let _ = tokio::time::timeout(PATIENCE, reply(stream)).await;
            drop(permit);
        });
    }
}

/// Replies to a request that is not read. A client that has sent none yet may not expect a reply.
async fn reply(mut stream: TcpStream) {
    let body = error_body(503, TOO_MANY_CONNECTIONS, MESSAGE);
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Retry-After: 1\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.readable().await;
    if stream.write_all(&[head.as_bytes(), &body].concat()).await.is_ok() {
        close(stream).await;
    }
}
