//! Unix: non-blocking connects that are polled together, and sockets' own timeouts.
#![allow(unsafe_code)]

use super::super::call::Call;
use super::WaitError;
use crate::descriptor;
use std::io;
use std::mem::zeroed;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Waits until one of these sockets is connected or has failed, and returns its index; `None` if that takes longer.
pub(crate) fn first_ready(streams: &[TcpStream], within: Duration) -> io::Result<Option<usize>> {
    let watch = |stream: &TcpStream| libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    let mut watched: Vec<libc::pollfd> = streams.iter().map(watch).collect();
    // Rounded up, so that the last wait is not a spin of zero milliseconds.
    let within_ms = i32::try_from(within.as_millis().max(1)).unwrap_or(i32::MAX);
    // SAFETY: `watched` has as many pollfds as are given, alive for the call; `streams` own their descriptors.
    let ready = unsafe { libc::poll(watched.as_mut_ptr(), watched.len() as libc::nfds_t, within_ms) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(None) } else { Err(error) };
    }
    Ok(watched.iter().position(|watched| watched.revents != 0))
}

/// Returns a non-blocking socket on its way to `address`.
pub(crate) fn start_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let kind = libc::SOCK_STREAM;

    let stream = descriptor::open(|| {
        // SAFETY: no pointers.
        let descriptor = unsafe { libc::socket(family, kind, 0) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `descriptor` was just opened, and nothing else owns it.
        Ok(TcpStream::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    })?;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    close_on_exec_without_sigpipe(&stream)?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;

    let fd = stream.as_raw_fd();
    let result = match address {
        SocketAddr::V4(v4) => {
            // SAFETY: all-zero bytes are a valid sockaddr_in.
            let mut raw: libc::sockaddr_in = unsafe { zeroed() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            // SAFETY: `raw` is a sockaddr_in of the size given, alive for the call.
            unsafe { libc::connect(fd, (&raw const raw).cast(), size_of::<libc::sockaddr_in>() as libc::socklen_t) }
        }
        SocketAddr::V6(v6) => {
            // SAFETY: all-zero bytes are a valid sockaddr_in6.
            let mut raw: libc::sockaddr_in6 = unsafe { zeroed() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_flowinfo = v6.flowinfo();
            raw.sin6_scope_id = v6.scope_id();
            // SAFETY: `raw` is a sockaddr_in6 of the size given, alive for the call.
            unsafe { libc::connect(fd, (&raw const raw).cast(), size_of::<libc::sockaddr_in6>() as libc::socklen_t) }
        }
    };
    if result == 0 {
        return Ok(stream);
    }
    match io::Error::last_os_error() {
        // An interrupted connect goes on in the background like one that would block.
        error if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => Ok(stream),
        error => Err(error),
    }
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn close_on_exec_without_sigpipe(stream: &TcpStream) -> io::Result<()> {
    // SAFETY: F_SETFD takes an integer; the descriptor is owned by `stream`.
    if unsafe { libc::fcntl(stream.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    #[cfg(target_vendor = "apple")]
    {
        let on: libc::c_int = 1;
        // SAFETY: `on` is the integer whose size is given, alive for the call.
        let result = unsafe {
            libc::setsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NOSIGPIPE,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Returns whether an idle connection is still open and no byte has arrived on it. A byte would answer no request.
pub(crate) fn is_quiet(stream: &TcpStream) -> bool {
    let mut byte = 0_u8;
    // SAFETY: one byte of room is given and `byte` has it; the descriptor is owned by `stream`.
    let received =
        unsafe { libc::recv(stream.as_raw_fd(), (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
    received < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
}

/// The timeouts that a socket has, so that no read and no write waits longer than its call may.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    read: Duration,
    write: Duration,
}

impl Waits {
    /// A read that follows ends in time; a cancel ends it by shutting the socket down.
    pub(crate) fn before_read(&mut self, stream: &TcpStream, call: &Call) -> Result<(), WaitError> {
        let left = call.left()?;
        Ok(set_timeout(&mut self.read, left, |timeout| stream.set_read_timeout(timeout))?)
    }

    /// Waits until the socket can be written to, as [`Waits::before_read`] waits for a read.
    pub(crate) fn before_write(&mut self, stream: &TcpStream, call: &Call) -> Result<(), WaitError> {
        let left = call.left()?;
        Ok(set_timeout(&mut self.write, left, |timeout| stream.set_write_timeout(timeout))?)
    }
}

/// Gives the socket a timeout that ends before the deadline does.
///
/// Rounding it down to a power of two makes it the same for nearly every request, so that the system call is
/// nearly never made; a wait that ends early is simply begun again with what is left.
fn set_timeout(
    current: &mut Duration,
    left: Duration,
    set: impl FnOnce(Option<Duration>) -> io::Result<()>,
) -> io::Result<()> {
    let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    let rounded = Duration::from_millis(1 << left_ms.ilog2());
    if rounded != *current {
        match set(Some(rounded)) {
            Ok(()) => *current = rounded,
            Err(error) if is_of_ended_connection(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns whether the system refuses options because the connection has ended, as macOS does after the peer's reset. The
/// error must not end the reading, since the reply may have arrived before the reset. Nor is the timeout missed: on such
/// a socket reads and writes never wait, and tell by themselves how the connection ended.
fn is_of_ended_connection(error: &io::Error) -> bool {
    cfg!(any(target_vendor = "apple", test)) && error.raw_os_error() == Some(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_never_reaches_beyond_the_deadline_and_seldom_changes() {
        let mut current = Duration::ZERO;
        let mut changes = 0;
        for left_ms in (8_192..=15_000).rev() {
            set_timeout(&mut current, Duration::from_millis(left_ms), |_| {
                changes += 1;
                Ok(())
            })
            .unwrap();
            assert!(current <= Duration::from_millis(left_ms));
        }
        assert_eq!(changes, 1);
    }

    #[test]
    fn ended_connection_that_takes_no_timeout_may_be_read() {
        let (mut current, mut refused) = (Duration::ZERO, 0);
        for _ in 0..2 {
            let refuse = |_| {
                refused += 1;
                Err(io::Error::from_raw_os_error(libc::EINVAL))
            };
            set_timeout(&mut current, Duration::from_secs(1), refuse).unwrap();
        }
        assert_eq!(current, Duration::ZERO, "it has no timeout");
        assert_eq!(refused, 2, "so it is given one again");
    }

    #[test]
    fn timeout_that_fails_otherwise_is_an_error() {
        let mut current = Duration::ZERO;
        let fail = |_| Err(io::Error::from_raw_os_error(libc::EBADF));
        let error = set_timeout(&mut current, Duration::from_secs(1), fail).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }
}
