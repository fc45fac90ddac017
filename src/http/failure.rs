//! Failures of this module's resolver and transport, which pass through ureq, and the meaning of ureq's own errors.

use super::call::Stop;
use crate::error::Error;
use crate::shortage;
use crate::status::Status;
use rustls::CertificateError;
use std::fmt;
use std::io;
use std::sync::Arc;

/// A failure of this module, passed through ureq unchanged.
#[derive(Debug)]
pub(super) enum Failure {
    /// The deadline passed, or the call was cancelled.
    Stopped(Stop),
    /// The name could not be resolved.
    Dns(Arc<io::Error>),
    /// No thread could be started to resolve the name.
    NoThread(io::Error),
    /// No address could be connected to.
    Connect(io::Error),
    /// The proxy answered a request for a tunnel with this HTTP status.
    ProxyRefused(u16),
    /// The proxy made no tunnel, for this reason.
    Proxy(&'static str),
    /// The proxy sent a reply to a request that was not sent yet.
    SpokeFirst,
    /// ureq asked for work on a thread without a call: a defect.
    NoCall,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Stopped(Stop::Timeout) => out.write_str("the deadline passed"),
            Failure::Stopped(Stop::Cancelled) => out.write_str("the call was cancelled"),
            Failure::Dns(error) => error.fmt(out),
            Failure::Connect(error) | Failure::NoThread(error) => error.fmt(out),
            Failure::ProxyRefused(status) => write!(out, "the proxy answered with HTTP {status}"),
            Failure::Proxy(why) => out.write_str(why),
            Failure::SpokeFirst => out.write_str("a reply came before the request was sent"),
            Failure::NoCall => out.write_str("no call on this thread"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for rustls::Error {
    fn from(failure: Failure) -> Self {
        rustls::Error::Other(rustls::OtherError(Arc::new(failure)))
    }
}

impl From<Failure> for ureq::Error {
    fn from(failure: Failure) -> Self {
        ureq::Error::Other(Box::new(failure))
    }
}

/// A status and, where it helps, the words of the system, ureq or rustls.
pub(super) type Verdict = (Status, Option<String>);

pub(super) fn stopped(stop: Stop) -> Status {
    match stop {
        Stop::Timeout => Status::Timeout,
        Stop::Cancelled => Status::Cancelled,
    }
}

/// Translates an error of ureq into a status for the host.
pub(super) fn verdict(error: &ureq::Error) -> Verdict {
    match error {
        ureq::Error::Other(other) => match other.downcast_ref::<Failure>() {
            Some(failure) => ours(failure),
            None => (Status::Internal, Some(other.to_string())),
        },
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => tls(error),
            None => of_system(Status::ConnectionLost, error),
        },
        ureq::Error::Tls(words) => (Status::Tls, Some(format!("({words})"))),
        ureq::Error::BodyExceedsLimit(_) => (Status::ReplyTooLarge, None),
        ureq::Error::LargeResponseHeader(..) => (Status::ReplyHeadersTooLarge, None),
        ureq::Error::Timeout(_) => (Status::Timeout, None),
        // ureq does not export the type that tells it apart.
        ureq::Error::Protocol(error) if format!("{error:?}") == "HttpParseTooManyHeaders" => {
            (Status::ReplyHeadersTooLarge, None)
        }
        ureq::Error::Protocol(error) => (Status::ReplyNotApi, Some(format!("({error})"))),
        other => (Status::Internal, Some(other.to_string())),
    }
}

fn ours(failure: &Failure) -> Verdict {
    let words = Some(format!("({failure})"));
    match failure {
        Failure::Stopped(stop) => (stopped(*stop), None),
        Failure::Dns(error) => of_system(Status::Dns, error),
        Failure::Connect(error) => of_system(Status::Connect, error),
        Failure::NoThread(_) => (Status::OutOfResources, words.map(|words| format!("{} {words}", shortage::THREADS))),
        Failure::ProxyRefused(407) => (Status::ProxyAuth, None),
        Failure::ProxyRefused(_) | Failure::Proxy(_) | Failure::SpokeFirst => (Status::Proxy, words),
        Failure::NoCall => (Status::Internal, words),
    }
}

/// Returns `status` with the system's words, unless the system has run out of a resource.
fn of_system(status: Status, error: &io::Error) -> Verdict {
    let error = Error::of_system(status, format!("({error})"), error);
    (error.status, error.detail.clone())
}

fn tls(error: &rustls::Error) -> Verdict {
    // Our verifier of certificates has no other way to tell that the call is over.
    if let rustls::Error::Other(other) = error
        && let Some(failure) = other.0.downcast_ref::<Failure>()
    {
        return ours(failure);
    }
    let status = match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Status::TlsExpired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Status::TlsWrongHost,
            // A signature that does not fit is an authority of the same name with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Status::TlsUnknownCa,
            CertificateError::Other(words) => of_verifier(&words.to_string()),
            _ => Status::Tls,
        },
        _ => Status::Tls,
    };
    (status, Some(format!("({error})")))
}

/// Failures that the systems' verifiers tell in words only, recognised by the number at their end.
const OF_SYSTEMS: [(&str, Status); 3] = [
    // Windows, CERT_E_CHAINING: no path to a root. A private authority whose root is not installed here.
    ("(os error -2146762486)", Status::TlsUnknownCa),
    // Apple, errSecNotTrusted and errSecCertificateExpired.
    (": -67843", Status::TlsUnknownCa),
    (": -67818", Status::TlsExpired),
];

fn of_verifier(words: &str) -> Status {
    OF_SYSTEMS.iter().find(|(ending, _)| words.ends_with(ending)).map_or(Status::Tls, |(_, status)| *status)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As rustls-platform-verifier words what it does not map.
    #[test]
    fn unknown_authority_of_a_system_is_told_as_such() {
        for (words, expected) in [
            (
                "A certificate chain could not be built to a trusted root authority. (os error -2146762486)",
                Status::TlsUnknownCa,
            ),
            ("“server” certificate is not trusted: -67843", Status::TlsUnknownCa),
            ("“server” certificate is expired: -67818", Status::TlsExpired),
            ("The certificate has an invalid policy. (os error -2146762477)", Status::Tls),
        ] {
            let error = CertificateError::Other(rustls::OtherError(Arc::from(Box::from(words))));
            assert_eq!(tls(&rustls::Error::InvalidCertificate(error)).0, expected, "{words}");
        }
    }
}
