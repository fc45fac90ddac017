//! TLS: the certificate authorities to trust, and no more cryptography than a client needs.

use super::call::Calls;
use crate::config::TlsRoots;
#[cfg(not(any(windows, target_vendor = "apple")))]
use crate::descriptor;
use crate::error::Error;
use crate::model;
use crate::pem;
use crate::random;
#[cfg(not(any(windows, target_vendor = "apple")))]
use crate::shortage;
use crate::status::Status;
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::ring::{cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::SigningKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, SignatureScheme, WantsVerifier};
use std::sync::Arc;
use webpki::ring as algorithm;

/// TLS before and after it is said which certificates are trusted.
type Unverified = ConfigBuilder<ClientConfig, WantsVerifier>;
type Verified = ConfigBuilder<ClientConfig, WantsClientCert>;

/// ring without what every server can do without: ChaCha20, P-384, and keys of our own. Smaller by a twentieth of the
/// library, and never the process's default provider.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Client,
        key_provider: &Client,
    })
}

/// How certificates and handshakes may be signed.
static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        algorithm::ECDSA_P256_SHA256,
        algorithm::ECDSA_P256_SHA384,
        algorithm::ECDSA_P384_SHA256,
        algorithm::ECDSA_P384_SHA384,
        algorithm::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        algorithm::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        algorithm::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        algorithm::RSA_PKCS1_2048_8192_SHA256,
        algorithm::RSA_PKCS1_2048_8192_SHA384,
        algorithm::RSA_PKCS1_2048_8192_SHA512,
    ],
    mapping: &[
        // In TLS 1.2 the name of a scheme does not fix the curve.
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[algorithm::ECDSA_P256_SHA256, algorithm::ECDSA_P384_SHA256]),
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[algorithm::ECDSA_P384_SHA384, algorithm::ECDSA_P256_SHA384]),
        (SignatureScheme::RSA_PSS_SHA256, &[algorithm::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[algorithm::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA512, &[algorithm::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[algorithm::RSA_PKCS1_2048_8192_SHA256]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[algorithm::RSA_PKCS1_2048_8192_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[algorithm::RSA_PKCS1_2048_8192_SHA512]),
    ],
};

/// A client's needs: randomness, the date, and no key.
#[derive(Debug)]
struct Client;

impl SecureRandom for Client {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        random::fill(bytes).map_err(|_| GetRandomFailed)
    }
}

impl KeyProvider for Client {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("a client of floatlease has no key of its own".to_owned()))
    }
}

impl TimeProvider for Client {
    fn current_time(&self) -> Option<UnixTime> {
        // `UnixTime::now` panics before 1970. Of that date no certificate is valid, and the host hears so.
        Some(UnixTime::since_unix_epoch(model::since_1970()))
    }
}

/// Where systems without a certificate API keep their authorities, as a file of PEM certificates.
#[cfg(not(any(windows, target_vendor = "apple")))]
const SYSTEM_FILES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// TLS for one client, and what to call the authorities that it trusts in an error.
pub(super) fn client_config(roots: &TlsRoots, calls: &Arc<Calls>) -> Result<(Arc<ClientConfig>, String), Error> {
    let builder = ClientConfig::builder_with_details(provider(), Arc::new(Client))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::because(Status::Internal, error.to_string()))?;
    let (builder, words) = match roots {
        TlsRoots::Bundled => {
            let store: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
            (builder.with_root_certificates(store), "the bundled authorities".to_owned())
        }
        TlsRoots::Pem(pem) => match certificates(pem) {
            Some(store) => (builder.with_root_certificates(store), "the authorities of \"tls_roots\"".to_owned()),
            None => {
                let message = "\"tls_roots\" in the config holds no readable certificate.";
                return Err(Error::because(Status::BadValue, message));
            }
        },
        TlsRoots::Platform => platform(builder, calls)?,
    };
    Ok((Arc::new(builder.with_no_client_auth()), words))
}

/// Copies a config without the sessions that a server would resume, because a resumed session shows no certificate.
pub(super) fn without_sessions(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.resumption = Resumption::default();
    Arc::new(config)
}

/// The variable that OpenSSL, curl and Python honour, else the first file that holds certificates.
#[cfg(not(any(windows, target_vendor = "apple")))]
fn platform(builder: Unverified, _: &Arc<Calls>) -> Result<(Verified, String), Error> {
    // Decoded certificates, and what is kept of them, take about as much as their text each.
    let with_room = |pem: Vec<u8>| shortage::expect_room(2 * pem.len()).map(|()| pem);
    let read = |file: &str| match descriptor::read(file).and_then(with_room) {
        Ok(pem) => Ok(certificates(&String::from_utf8_lossy(&pem)).map(|store| (store, file.to_owned()))),
        // The file may be as it should be, and another file would hold other authorities.
        Err(error) if shortage::named(&error).is_some() => {
            Err(Error::of_system(Status::TlsRoots, format!("{file} can't be read: {error}."), &error))
        }
        Err(_) => Ok(None),
    };
    let (store, file) = match std::env::var("SSL_CERT_FILE") {
        // A mistake in the variable must not widen the trust to all authorities of the system.
        Ok(file) if !file.is_empty() => read(&file)?.ok_or_else(|| {
            Error::because(
                Status::TlsRoots,
                "The environment's SSL_CERT_FILE names a file that holds no readable certificate.",
            )
        })?,
        _ => {
            let mut found = SYSTEM_FILES.iter().filter_map(|file| read(file).transpose());
            found.next().ok_or_else(|| Error::new(Status::TlsRoots))??
        }
    };
    Ok((builder.with_root_certificates(store), file))
}

/// The system's own verifier. It may fetch lists of revoked certificates for seconds and can't be ended, so a call waits
/// for it only while the call lasts.
#[cfg(any(windows, target_vendor = "apple"))]
fn platform(builder: Unverified, calls: &Arc<Calls>) -> Result<(Verified, String), Error> {
    let system = rustls_platform_verifier::Verifier::new(Arc::clone(builder.crypto_provider()))
        .map_err(|error| Error::because(Status::TlsRoots, error.to_string()))?;
    let verifier = super::verifier::Verifier::new(Arc::new(system), calls);
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok((builder, "the system's authorities".to_owned()))
}

fn certificates(text: &str) -> Option<RootCertStore> {
    let mut store = RootCertStore::empty();
    let blocks = pem::blocks(text).filter(|block| ["CERTIFICATE", "X509 CERTIFICATE"].contains(&block.label));
    store.add_parsable_certificates(blocks.filter_map(|block| block.der).map(CertificateDer::from));
    (!store.is_empty()).then_some(store)
}
