//! Fetches a small document over HTTPS, without redirects.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::{Body, Bytes};
use hyper::http::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// Time limit for the whole of it. A user who signs in is waiting.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest document.
const LONGEST_BYTES: usize = 1 << 20;

/// Returns the document at an address, or a clause that says why not.
pub(super) async fn fetch(url: &str) -> Result<Vec<u8>, String> {
    let uri: Uri = url.parse().map_err(|error| format!("is not a URL: {error}"))?;
    match tokio::time::timeout(TIMEOUT, fetch_from(&uri)).await {
        Ok(fetched) => fetched,
        Err(_) => Err(format!("did not reply within {} s", TIMEOUT.as_secs())),
    }
}

async fn fetch_from(uri: &Uri) -> Result<Vec<u8>, String> {
    let is_tls = uri.scheme_str() == Some("https");
    let host = uri.host().ok_or("has no host name")?.trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.map_err(|error| format!("can't be reached: {error}"))?;
    if !is_tls {
        return exchange(uri, stream).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("has an invalid host name: {error}"))?;
    let connected = TlsConnector::from(tls()?).connect(name, stream).await;
    exchange(uri, connected.map_err(|error| format!("can't be trusted: {error}"))?).await
}

async fn exchange(uri: &Uri, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Vec<u8>, String> {
    let failed = |error: hyper::Error| format!("has broken the connection off: {error}");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(failed)?;
    // The task ends with the sender, at the end of this function.
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let request = Request::get(path).header(header::HOST, host).header(header::ACCEPT, "application/json");
    let request = request.body(Empty::new()).map_err(|error| format!("can't be asked for: {error}"))?;
    let reply = sender.send_request(request).await.map_err(failed)?;
    if reply.status() != StatusCode::OK {
        return Err(format!("has replied with status {}", reply.status()));
    }
    let mut body = reply.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.map_err(failed)?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > LONGEST_BYTES {
            return Err(format!("is longer than {LONGEST_BYTES} bytes"));
        }
    }
    Ok(bytes)
}

/// Returns the set-up of TLS, which trusts the authorities of the system: a provider inside a company may have one of its own.
fn tls() -> Result<Arc<ClientConfig>, String> {
    static TLS: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = TLS.get() {
        return Ok(Arc::clone(config));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("can't be trusted: this system has no trusted certificate authorities; install them".to_owned());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| format!("can't be asked: {error}"))?;
    let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    Ok(Arc::clone(TLS.get_or_init(|| config)))
}
