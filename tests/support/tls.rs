//! A private certificate authority, and a TLS front for the plain server.

use super::stub::{listen, read_message};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

/// A certificate authority that exists for one test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate, for `tls_roots`.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Listens with a certificate for `names`, of today or long expired, and passes requests on to `server`.
    pub fn front(&self, server: String, names: &[&str], expired: bool) -> String {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        listen(move |client| {
            let mut client = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), client);
            let mut upstream = TcpStream::connect(&server).unwrap();
            while let Some(request) = read_message(&mut client) {
                upstream.write_all(&request.bytes()).unwrap();
                let reply = read_message(&mut upstream).expect("the server answers");
                client.write_all(&reply.bytes()).unwrap();
            }
        })
    }
}
