//! The certificate authorities to trust.

use crate::config::TlsRoots;
use crate::error::Error;
use crate::status::Status;
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

/// Where systems without a certificate API keep their authorities, as a file of PEM certificates.
#[cfg(all(unix, not(target_vendor = "apple")))]
const SYSTEM_FILES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// The authorities, and what to call them in an error.
pub(super) fn load(roots: &TlsRoots) -> Result<(RootCerts, String), Error> {
    match roots {
        TlsRoots::Bundled => Ok((RootCerts::WebPki, "the bundled authorities".to_owned())),
        TlsRoots::Pem(pem) => match certificates(pem.as_bytes()) {
            Some(certificates) => Ok((certificates, "the authorities of \"tls_roots\"".to_owned())),
            None => {
                let message = "\"tls_roots\" in the config holds no readable certificate.";
                Err(Error::because(Status::BadValue, message))
            }
        },
        TlsRoots::Platform => platform(),
    }
}

/// The variable that OpenSSL, curl and Python honour, else the first file that holds certificates.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn platform() -> Result<(RootCerts, String), Error> {
    let chosen = std::env::var("SSL_CERT_FILE").ok();
    let files = chosen.as_deref().into_iter().chain(SYSTEM_FILES.iter().copied());
    let found = files.filter_map(|file| Some((certificates(&std::fs::read(file).ok()?)?, file.to_owned()))).next();
    found.ok_or_else(|| Error::new(Status::TlsRoots))
}

/// The system's own verifier.
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn platform() -> Result<(RootCerts, String), Error> {
    Ok((RootCerts::PlatformVerifier, "the system's authorities".to_owned()))
}

fn certificates(pem: &[u8]) -> Option<RootCerts> {
    let certificates: Vec<Certificate<'static>> = parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    (!certificates.is_empty()).then(|| RootCerts::new_with_certs(&certificates))
}
