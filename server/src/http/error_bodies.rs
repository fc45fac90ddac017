//! Gives a v4 body to the replies that hyper itself sends to what is not valid HTTP. hyper sends them without any.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::response::error_body;

/// The replies of hyper's own: the first line, the status, and the message for the client.
const REPLIES: [(&str, u16, &str); 3] = [
    ("HTTP/1.1 400 ", 400, "The request is not valid HTTP/1.1; send one that is, without TLS."),
    ("HTTP/1.1 414 ", 414, "The URL is too long; send less in the query."),
    ("HTTP/1.1 431 ", 431, "The headers are too long or too many; send fewer and shorter ones."),
];
/// The code of these refusals. The protocol has none of its own for them.
const CODE: &str = "validation_error";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A connection on which hyper's own replies get a body.
#[derive(Debug)]
pub(super) struct ErrorBodies {
    stream: TcpStream,
    /// A reply in place of hyper's, with whatever hyper wrote before it. Only its end is still unsent.
    replaced: Vec<u8>,
    sent: usize,
}

impl ErrorBodies {
    pub(super) fn new(stream: TcpStream) -> ErrorBodies {
        ErrorBodies { stream, replaced: Vec::new(), sent: 0 }
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
    }

    fn poll_replaced(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.replaced.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ErrorBodies {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ErrorBodies {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_replaced(context))?;
        let Some(replaced) = with_body(bytes) else {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        };
        (self.replaced, self.sent) = (replaced, 0);
        // What is not sent now is sent by the flush that follows.
        if let Poll::Ready(Err(error)) = self.poll_replaced(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_replaced(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_replaced(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Returns the bytes with a body, if they end with a reply of hyper's own.
///
/// Replies of ours that have one of these statuses have a body, and so a `Content-Type`.
fn with_body(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.ends_with(END_OF_HEAD) {
        return None;
    }
    let find = |line: &str| bytes.windows(line.len()).rposition(|window| window == line.as_bytes());
    let found = REPLIES.iter().filter_map(|(line, status, message)| Some((find(line)?, *status, *message)));
    let (start, status, message) = found.max_by_key(|row| row.0)?;
    let (before, head) = bytes.split_at_checked(start)?;
    let head = std::str::from_utf8(head).ok()?.to_ascii_lowercase();
    if !head.contains("\r\ncontent-length: 0\r\n") || head.contains("\r\ncontent-type:") {
        return None;
    }
    let body = error_body(status, CODE, message);
    let described = format!("\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
    let head = head.replacen("\r\ncontent-length: 0\r\n", &described, 1);
    let head = head.replacen("http/1.1", "HTTP/1.1", 1);
    Some([before, head.as_bytes(), &body].concat())
}
