//! Windows: everything that waits asks the system in slices.
//!
//! A socket's own timeouts are not used: after one the state of the socket is not documented, and they are half a
//! second late. And what another thread's shutdown wakes is not written down anywhere.
#![allow(unsafe_code)]

use super::super::call::Call;
use super::WaitError;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::windows::io::{AsRawSocket, FromRawSocket, OwnedSocket};
use std::sync::OnceLock;
use std::time::Duration;

/// How soon a cancel is noticed, and by how much a deadline may be missed: the system's clock ticks once in 16 ms.
const CANCEL_NOTICED_WITHIN: Duration = Duration::from_millis(10);

type Socket = usize;

#[repr(C)]
struct Watched {
    socket: Socket,
    events: i16,
    happened: i16,
}
const READABLE: i16 = 0x0100;
const WRITABLE: i16 = 0x0010;

/// The most sockets in a set, as in the system's headers. Any further ones are not watched.
const MOST_SOCKETS: usize = 64;

/// A set of sockets. The system leaves those in it that are ready, first ones first.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sockets {
    count: u32,
    sockets: [Socket; MOST_SOCKETS],
}

impl Sockets {
    fn of(streams: &[TcpStream]) -> Sockets {
        let mut set = Sockets { count: 0, sockets: [0; MOST_SOCKETS] };
        for (room, stream) in set.sockets.iter_mut().zip(streams) {
            *room = stream.as_raw_socket() as Socket;
            set.count += 1;
        }
        set
    }

    fn holds(&self, stream: &TcpStream) -> bool {
        self.sockets.iter().take(self.count as usize).any(|socket| *socket == stream.as_raw_socket() as Socket)
    }
}

#[repr(C)]
struct Time {
    seconds: i32,
    microseconds: i32,
}

/// A `sockaddr_in` or the longer `sockaddr_in6`.
#[repr(C, align(4))]
struct Address([u8; 28]);

#[link(name = "ws2_32")]
unsafe extern "system" {
    fn WSAStartup(version: u16, data: *mut u64) -> i32;
    fn WSASocketW(family: i32, kind: i32, protocol: i32, info: *const u8, group: u32, flags: u32) -> Socket;
    fn WSAPoll(watched: *mut Watched, count: u32, timeout_ms: i32) -> i32;
    #[link_name = "connect"]
    fn start_connecting(socket: Socket, address: *const Address, length: i32) -> i32;
    fn select(
        unused: i32,
        readable: *mut Sockets,
        writable: *mut Sockets,
        failed: *mut Sockets,
        timeout: *const Time,
    ) -> i32;
}

/// Waits until one of these sockets is connected or has failed, and returns its index; `None` if that takes longer.
pub(crate) fn first_ready(streams: &[TcpStream], within: Duration) -> io::Result<Option<usize>> {
    let within_us = within.as_micros().max(1000);
    let timeout = Time { seconds: 0, microseconds: i32::try_from(within_us).unwrap_or(1000).min(999_999) };
    let watched = Sockets::of(streams);
    let (mut connected, mut failed) = (watched, watched);
    // SAFETY: both sets have as many sockets as they count, which `streams` own; all outlive the call. `WSAPoll` would not
    // tell of a failure before Windows 10, version 2004.
    let ready = unsafe { select(0, std::ptr::null_mut(), &raw mut connected, &raw mut failed, &raw const timeout) };
    if ready < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(streams.iter().position(|stream| connected.holds(stream) || failed.holds(stream)))
}

/// Returns a non-blocking socket on its way to `address`.
pub(crate) fn start_connect(address: SocketAddr) -> io::Result<TcpStream> {
    const STREAM: i32 = 1;
    const OVERLAPPED_AND_NOT_INHERITED: u32 = 0x01 | 0x80;
    const WOULD_BLOCK: i32 = 10035;

    start_winsock()?;
    let (family, address, length) = to_c(address);
    // SAFETY: no protocol is described, which is allowed.
    let socket = unsafe { WSASocketW(family.into(), STREAM, 0, std::ptr::null(), 0, OVERLAPPED_AND_NOT_INHERITED) };
    if socket == Socket::MAX {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `socket` was just opened, and nothing else owns it.
    let stream = TcpStream::from(unsafe { OwnedSocket::from_raw_socket(socket as u64) });
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    // SAFETY: `address` has the length given and outlives the call.
    if unsafe { start_connecting(socket, &raw const address, length) } == 0 {
        return Ok(stream);
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(WOULD_BLOCK) => Ok(stream),
        error => Err(error),
    }
}

/// Family, address and its length, as the system has them.
fn to_c(address: SocketAddr) -> (u16, Address, i32) {
    let mut bytes = [0; 28];
    let (family, length) = match address {
        SocketAddr::V4(v4) => {
            bytes[4..8].copy_from_slice(&v4.ip().octets());
            (2_u16, 16)
        }
        SocketAddr::V6(v6) => {
            bytes[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
            bytes[8..24].copy_from_slice(&v6.ip().octets());
            bytes[24..].copy_from_slice(&v6.scope_id().to_ne_bytes());
            (23, 28)
        }
    };
    bytes[..2].copy_from_slice(&family.to_ne_bytes());
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    (family, Address(bytes), length)
}

/// Once in a process that uses sockets; std does it for its own alone. The system ends it with the process.
fn start_winsock() -> io::Result<()> {
    const VERSION_2_2: u16 = 0x0202;
    static RESULT: OnceLock<i32> = OnceLock::new();
    let result = *RESULT.get_or_init(|| {
        let mut data = [0; 64];
        // SAFETY: the 408 bytes that it writes have room.
        unsafe { WSAStartup(VERSION_2_2, data.as_mut_ptr()) }
    });
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

/// Returns whether any of `events`, or the end of the connection, happens within this time.
fn happens(stream: &TcpStream, events: i16, within: Duration) -> io::Result<bool> {
    let mut watched = Watched { socket: stream.as_raw_socket() as Socket, events, happened: 0 };
    // SAFETY: `watched` is the one that is counted, alive for the call; its socket is owned by `stream`.
    match unsafe { WSAPoll(&raw mut watched, 1, i32::try_from(within.as_millis()).unwrap_or(i32::MAX)) } {
        0 => Ok(false),
        1.. => Ok(true),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits before each read and write, so that these do not.
#[derive(Debug, Default)]
pub(crate) struct Waits;

impl Waits {
    /// Until there is something to read, or the connection's end.
    pub(crate) fn before_read(&mut self, stream: &TcpStream, call: &Call) -> Result<(), WaitError> {
        wait_for(READABLE, stream, call)
    }

    /// Until there is room for something.
    pub(crate) fn before_write(&mut self, stream: &TcpStream, call: &Call) -> Result<(), WaitError> {
        wait_for(WRITABLE, stream, call)
    }
}

fn wait_for(events: i16, stream: &TcpStream, call: &Call) -> Result<(), WaitError> {
    loop {
        let slice = call.left()?.min(CANCEL_NOTICED_WITHIN).max(Duration::from_millis(1));
        if happens(stream, events, slice)? {
            return Ok(());
        }
    }
}

/// Returns whether an idle connection is still open and no byte has arrived on it. A byte would answer no request.
pub(crate) fn is_quiet(stream: &TcpStream) -> bool {
    happens(stream, READABLE, Duration::ZERO).is_ok_and(|happened| !happened)
}
