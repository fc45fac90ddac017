//! The system's verification of certificates, within the deadline of the call that needs it.
//!
//! rustls asks for a verification inside the handshake, on the call's thread. Windows and macOS may fetch lists of revoked
//! certificates for it, for seconds, and can't be told to stop. So a helper thread asks the system, and the call waits.

use super::call::Calls;
use super::failure::Failure;
use super::helpers::{Helpers, Unanswered, Work};
use crate::model;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// Waits for another verifier, but only while the call of its thread lasts.
#[derive(Debug)]
pub(super) struct Verifier {
    calls: Arc<Calls>,
    helpers: Arc<Helpers<System>>,
}

/// The verifier that may take its time.
#[derive(Debug)]
struct System(Arc<dyn ServerCertVerifier>);

/// The evidence that a server presents. Servers that differ in any part of it are verified separately.
#[derive(Debug, Clone, PartialEq)]
struct Presented {
    certificate: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    server_name: ServerName<'static>,
    ocsp_response: Vec<u8>,
}

impl Verifier {
    pub(super) fn new(system: Arc<dyn ServerCertVerifier>, calls: &Arc<Calls>) -> Verifier {
        Verifier { calls: Arc::clone(calls), helpers: Helpers::new(System(system)) }
    }

    fn system(&self) -> &dyn ServerCertVerifier {
        &*self.helpers.work().0
    }
}

impl Work for System {
    const THREAD_NAME: &str = "floatlease-cert";
    const KEEPS_LATE_ANSWERS: bool = true;
    type Question = Presented;
    type Answer = Result<(), Error>;

    fn answer(&self, shown: &Presented) -> Result<(), Error> {
        let Presented { certificate, intermediates, server_name, ocsp_response } = shown;
        let now = UnixTime::since_unix_epoch(model::since_1970());
        self.0.verify_server_cert(certificate, intermediates, server_name, ocsp_response, now).map(|_| ())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let call = self.calls.current().ok_or(Failure::NoCall)?;
        let presented = Presented {
            certificate: end_entity.clone().into_owned(),
            intermediates: intermediates.iter().map(|certificate| certificate.clone().into_owned()).collect(),
            server_name: server_name.to_owned(),
            ocsp_response: ocsp_response.to_vec(),
        };
        let answer = match self.helpers.ask(&presented, &call) {
            Ok(answer) => answer,
            Err(Unanswered::Stopped(stop)) => return Err(Failure::Stopped(stop).into()),
            // A verification that can't be ended is better than none.
            Err(Unanswered::NoThread(_)) => self.helpers.work().answer(&presented),
            Err(Unanswered::Panicked) => return Err(Error::General("the system's verifier panicked".to_owned())),
        };
        answer.map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.system().verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.system().verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.system().supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::error::Outcome;
    use crate::http::helpers::tests::{Gate, PATIENCE, wait_until};
    use crate::http::{Exchange, Http, Lost, Waiter};
    use crate::operations::Method;
    use crate::status::Status;
    use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{CertificateError, ClientConfig, ServerConfig, ServerConnection, StreamOwned};
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    /// A system that verifies no certificate before the test lets it.
    #[derive(Debug)]
    struct HangingSystem {
        gate: Gate,
        verdict: Result<(), Error>,
        algorithms: WebPkiSupportedAlgorithms,
    }

    impl ServerCertVerifier for HangingSystem {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            self.gate.pass();
            self.verdict.clone().map(|()| ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signature, &self.algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signature, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    }

    /// A client of a server with TLS, whose certificate a hanging system verifies.
    struct Scene {
        http: Http,
        url: String,
        system: Arc<HangingSystem>,
        verifier: Arc<Verifier>,
    }

    impl Scene {
        fn with_verdict(verdict: Result<(), Error>) -> Scene {
            let (mut http, url) = client_and_server("bundled");
            let algorithms = ring::default_provider().signature_verification_algorithms;
            let system = Arc::new(HangingSystem { gate: Gate::default(), verdict, algorithms });
            let verifier = Arc::new(Verifier::new(Arc::clone(&system) as _, &http.calls));
            let mut tls = ClientConfig::clone(http.route.tls.as_deref().unwrap());
            tls.dangerous().set_certificate_verifier(Arc::clone(&verifier) as _);
            http.route.tls = Some(Arc::new(tls));
            Scene { http: http.unconnected(), url, system, verifier }
        }

        fn ask(&self, timeout: Duration) -> Result<u16, Lost> {
            ask(&self.http, &self.url, timeout)
        }

        /// Ends a call in its verification, and tells its status.
        fn status_after(&self, end: impl FnOnce(&Http)) -> Status {
            thread::scope(|scope| {
                let call = scope.spawn(|| self.ask(PATIENCE).unwrap_err().status);
                wait_until(|| self.system.gate.begun() == 1);
                end(&self.http);
                call.join().unwrap()
            })
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            self.system.gate.open();
        }
    }

    /// A client that trusts `roots`, and the URL of a server that it can ask.
    fn client_and_server(roots: &str) -> (Http, String) {
        let url = format!("https://{}/api/v4", serve());
        let config = serde_json::json!({
            "product": "XY", "license_key": "AAAA", "api_key": "api", "shared_key": "shared", "base_url": url,
            "verify": "off", "tls_roots": roots, "proxy": "none", "timeout_ms": 60_000, "connect_timeout_ms": 60_000,
        });
        (Http::new(&Config::parse(&config.to_string()).unwrap()).unwrap(), url)
    }

    fn ask(http: &Http, url: &str, timeout: Duration) -> Result<u16, Lost> {
        let in_flight = http.begin(Waiter::Host, timeout);
        let exchange = Exchange {
            method: Method::Get,
            may_be_repeated: true,
            url,
            authorization: None,
            content_type: "application/json",
            idempotency_key: None,
            order: None,
            body: "",
        };
        http.exchange(&in_flight.call, &exchange).map(|reply| reply.status)
    }

    /// Answers one request of each connection, and returns its address.
    fn serve() -> std::net::SocketAddr {
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        // Each handshake shows the certificate.
        config.send_tls13_tickets = 0;
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for client in listener.incoming() {
                let config = Arc::clone(&config);
                thread::spawn(move || {
                    let mut client = StreamOwned::new(ServerConnection::new(config).unwrap(), client.unwrap());
                    if client.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                        client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
                    }
                });
            }
        });
        address
    }

    #[test]
    fn hanging_verification_ends_at_the_deadline() {
        let scene = Scene::with_verdict(Ok(()));
        let lost = scene.ask(Duration::from_secs(2)).unwrap_err();
        assert_eq!(lost.status, Status::Timeout);
        assert_eq!(lost.outcome, Outcome::NotSent);
        assert_eq!(scene.system.gate.begun(), 1);
    }

    #[test]
    fn hanging_verification_ends_by_cancel() {
        assert_eq!(Scene::with_verdict(Ok(())).status_after(Http::cancel_all), Status::Cancelled);
    }

    #[test]
    fn hanging_verification_ends_by_close() {
        assert_eq!(Scene::with_verdict(Ok(())).status_after(Http::shut), Status::Cancelled);
    }

    #[test]
    fn calls_to_one_server_share_a_verification() {
        let scene = Scene::with_verdict(Ok(()));
        thread::scope(|scope| {
            let calls = [(); 2].map(|()| scope.spawn(|| scene.ask(PATIENCE).unwrap()));
            wait_until(|| scene.verifier.helpers.waiting() == calls.len());
            scene.system.gate.open();
            for call in calls {
                assert_eq!(call.join().unwrap(), 200);
            }
        });
        assert_eq!(scene.system.gate.begun(), 1);
    }

    #[test]
    fn call_after_a_hanging_verification_succeeds() {
        let scene = Scene::with_verdict(Ok(()));
        assert_eq!(scene.status_after(Http::cancel_all), Status::Cancelled);
        scene.system.gate.open();
        assert_eq!(scene.ask(PATIENCE).unwrap(), 200);
        assert_eq!(scene.system.gate.begun(), 1);
    }

    #[test]
    fn refused_certificate_is_told_from_the_helper_thread() {
        let scene = Scene::with_verdict(Err(Error::InvalidCertificate(CertificateError::Expired)));
        scene.system.gate.open();
        assert_eq!(scene.ask(PATIENCE).unwrap_err().status, Status::TlsExpired);
    }

    #[cfg(windows)]
    #[test]
    fn unknown_certificate_is_refused_by_windows() {
        let (http, url) = client_and_server("platform");
        assert_eq!(ask(&http, &url, PATIENCE).unwrap_err().status, Status::TlsUnknownCa);
    }
}
