//! Damages or delays a finished reply on the wire.

use std::time::Duration;

use chrono::Utc;
use floatlease::model::format_http_date;
use hyper::Response;

use super::{AfterCommit, Dribble};
use crate::http::WireAction;

/// Returns the actions by which the connection delivers the reply; `None` for a delay, which needs none.
pub(crate) fn wire_actions(fault: &AfterCommit, reply: &Response<Vec<u8>>) -> Option<Vec<WireAction>> {
    let length = reply.body().len();
    Some(match fault {
        AfterCommit::Close => vec![WireAction::Close],
        AfterCommit::Reset => vec![WireAction::Reset],
        AfterCommit::Truncate => {
            let mut bytes = bytes(reply, length);
            // If the reply has no body, half of its head is cut off.
            let cut = if length == 0 { bytes.len() / 2 } else { length.div_ceil(2) };
            bytes.truncate(bytes.len() - cut);
            vec![WireAction::Write(bytes), WireAction::Close]
        }
        AfterCommit::Dribble(Dribble { bytes: at_a_time, every_ms }) => {
            let pause = Duration::from_millis((*every_ms).into());
            let pieces = bytes(reply, length);
            let pieces = pieces.chunks((*at_a_time).max(1) as usize);
            pieces.flat_map(|piece| [WireAction::Write(piece.to_vec()), WireAction::Pause(pause)]).collect()
        }
        AfterCommit::WrongLength(by) => {
            let claimed = length.saturating_add_signed(isize::try_from(*by).unwrap_or_default());
            let written = WireAction::Write(bytes(reply, claimed));
            // If too many bytes are claimed, the client waits for the rest. If too few are, it goes on with the next
            // request.
            if claimed > length { vec![written, WireAction::Hold] } else { vec![written] }
        }
        AfterCommit::Delay(_) => return None,
    })
}

/// Returns the bytes of the reply, with this `Content-Length`.
fn bytes(reply: &Response<Vec<u8>>, claimed_length: usize) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\n", reply.status()).into_bytes();
    for (name, value) in reply.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    if !reply.headers().contains_key(hyper::header::DATE) {
        bytes.extend_from_slice(format!("date: {}\r\n", format_http_date(Utc::now())).as_bytes());
    }
    bytes.extend_from_slice(format!("content-length: {claimed_length}\r\n\r\n").as_bytes());
    bytes.extend_from_slice(reply.body());
    bytes
}
