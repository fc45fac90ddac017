//! The proxy of a client: the one of its config, or the one that the environment names by curl's rules.
//!
//! `docs/proxies.md` has these rules as a table, and `tests/proxies.rs` asks curl itself for each of its rows.

use super::no_proxy::is_excepted;
use crate::config::{Config, ProxyChoice, is_local};
use crate::error::Error;
use crate::secret::Secret;
use crate::status::Status;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use std::ffi::OsString;
use std::fmt;
use ureq::http::Uri;

/// The variables that name the proxy of an `http` server; the first that is set and not empty counts.
///
/// `HTTP_PROXY` is left out, as curl does: a web server that runs CGI programs puts the header `Proxy` of a request into
/// it, so any visitor could choose the proxy of such a program.
const FOR_HTTP: [&str; 3] = ["http_proxy", "all_proxy", "ALL_PROXY"];

/// The variables that name the proxy of an `https` server.
const FOR_HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// The variables that list hosts to connect to without a proxy.
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The ports of proxies whose URL names none, which are curl's.
const HTTP_PROXY_PORT: u16 = 1080;
const HTTPS_PROXY_PORT: u16 = 443;

/// The setting that names a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Config,
    Variable(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Config => out.write_str("\"proxy\" in the config"),
            Origin::Variable(name) => write!(out, "The environment's {name}"),
        }
    }
}

/// An HTTP proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    /// Its address, without name, password and path.
    uri: Uri,
    /// The value of `Proxy-Authorization`, if the URL has a name or a password.
    authorization: Option<Secret>,
    origin: Origin,
}

impl Proxy {
    /// Chooses the proxy of a client for the server of this URL.
    pub(super) fn to(config: &Config, url: &str) -> Result<Option<Proxy>, Error> {
        match &config.proxy {
            ProxyChoice::Direct => Ok(None),
            // A proxy elsewhere can't reach a server on this machine.
            ProxyChoice::Env if is_local(url) => Ok(None),
            ProxyChoice::Env => Proxy::of_environment(url, |name| std::env::var_os(name)),
            ProxyChoice::Url(url) => Proxy::parse(url.expose(), Origin::Config).map(Some),
        }
    }

    /// Chooses the proxy for a URL by the variables that `read` gives.
    fn of_environment(url: &str, read: impl Fn(&str) -> Option<OsString>) -> Result<Option<Proxy>, Error> {
        let Ok(uri) = url.parse::<Uri>() else {
            return Err(Error::because(Status::BadValue, "\"base_url\" in the config is invalid: expected a URL."));
        };
        let first_of = |names: &[&'static str]| {
            names.iter().find_map(|name| read(name).filter(|value| !value.is_empty()).map(|value| (*name, value)))
        };
        let exceptions = first_of(&EXCEPTIONS).map(|(_, list)| list.to_string_lossy().into_owned());
        if exceptions.is_some_and(|list| is_excepted(uri.host().unwrap_or_default(), &list)) {
            return Ok(None);
        }
        let names: &[_] = if uri.scheme_str() == Some("https") { &FOR_HTTPS } else { &FOR_HTTP };
        let Some((name, value)) = first_of(names) else {
            return Ok(None);
        };
        // An invalid proxy is an error: the administrator who named it does not expect a direct connection.
        let origin = Origin::Variable(name);
        let url = value.to_str().ok_or_else(|| invalid(origin, "expected a URL in UTF-8"))?;
        Proxy::parse(url, origin).map(Some)
    }

    /// Reads the URL of a proxy: `http://name:password@host:port`, where only the host is required.
    fn parse(url: &str, origin: Origin) -> Result<Proxy, Error> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => ("http", HTTP_PROXY_PORT),
            "https" => ("https", HTTPS_PROXY_PORT),
            socks if socks.starts_with("socks") => {
                return Err(invalid(origin, "SOCKS proxies are not supported; expected an http or https proxy"));
            }
            _ => return Err(invalid(origin, "expected an http or https proxy, like http://host:3128")),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if rest[authority.len()..].contains('@') {
            // Otherwise a part of the password would be taken for the host, and shown.
            return Err(invalid(origin, "its credentials must have / as %2F, ? as %3F and # as %23"));
        }
        let (credentials, address) = match authority.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, authority),
        };
        let (host, port) = split_port(address);
        let port = match port.map(str::parse::<u16>) {
            None => default_port,
            Some(Ok(port)) if port != 0 => port,
            Some(_) => return Err(invalid(origin, "the port must be a number from 1 to 65535")),
        };
        let uri = format!("{scheme}://{host}:{port}/").parse().ok().filter(|_| !host.is_empty());
        let uri = uri.ok_or_else(|| invalid(origin, "expected a URL like http://host:3128"))?;
        Ok(Proxy { uri, authorization: credentials.map(basic), origin })
    }

    /// Its address as a URL.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Its host and port, for reports.
    pub(super) fn address(&self) -> String {
        self.uri.authority().map(ToString::to_string).unwrap_or_default()
    }

    /// Says in a sentence which setting names it.
    pub(super) fn origin(&self) -> String {
        format!("{} names the proxy {}, which the connection goes through.", self.origin, self.address())
    }

    /// Returns true if the connection to it is encrypted.
    pub(super) fn is_secure(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// The header that it may require, as a line, or nothing.
    pub(super) fn authorization_line(&self) -> Secret {
        let line = |value: &Secret| format!("Proxy-Authorization: {}\r\n", value.expose());
        Secret::new(self.authorization.as_ref().map(line).unwrap_or_default())
    }
}

fn invalid(origin: Origin, why: &str) -> Error {
    Error::because(Status::BadValue, format!("{origin} is invalid: {why}."))
}

/// Splits `host:port`, where an IPv6 host has brackets.
fn split_port(address: &str) -> (&str, Option<&str>) {
    let port_at = address.rfind(':').filter(|colon| !address[*colon..].contains(']'));
    port_at.map_or((address, None), |colon| (&address[..colon], Some(&address[colon + 1..])))
}

/// Returns `Basic` credentials for `name:password`, each percent-encoded as in a URL.
fn basic(credentials: &str) -> Secret {
    let (name, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let decode = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let plain = [decode(name), decode(password)].join(&b':');
    Secret::new(format!("Basic {}", BASE64_STANDARD.encode(plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Proxy, Error> {
        Proxy::parse(url, Origin::Variable("https_proxy"))
    }

    #[test]
    fn url_of_proxy_has_defaults() {
        for (url, expected) in [
            ("http://proxy:3128", "http://proxy:3128/"),
            ("proxy:3128", "http://proxy:3128/"),
            ("proxy", "http://proxy:1080/"),
            ("HTTP://proxy/path?query", "http://proxy:1080/"),
            ("https://proxy", "https://proxy:443/"),
            ("http://name:pass@proxy:65535", "http://proxy:65535/"),
            ("[::1]:8080", "http://[::1]:8080/"),
            ("http://[::1]", "http://[::1]:1080/"),
        ] {
            assert_eq!(parse(url).unwrap().uri().to_string(), expected, "{url}");
        }
    }

    #[test]
    fn invalid_url_of_proxy_is_refused() {
        for (url, expected) in [
            ("http://proxy:0", "port"),
            ("http://proxy:", "port"),
            ("http://proxy:65536", "port"),
            ("http://name:12/secret@proxy", "%2F"),
            ("http://12#secret@proxy", "%23"),
            ("http://name:pass@proxy:http", "port"),
            ("http://[::1]:x", "port"),
            ("http://", "expected a URL"),
            ("http://no host", "expected a URL"),
            ("http://name:pass@", "expected a URL"),
            ("socks5://proxy:1080", "SOCKS"),
            ("ftp://proxy:21", "http or https"),
        ] {
            let message = parse(url).unwrap_err().message();
            assert!(message.contains(expected), "{url}: {message}");
            assert!(message.contains("https_proxy"), "{url}: {message}");
            assert!(!message.contains("pass"), "{url}: {message}");
        }
    }

    #[test]
    fn credentials_are_decoded_once() {
        for (url, expected) in [
            ("http://u:p%40s%253A@proxy", "u:p@s%3A"),
            ("http://u@proxy", "u:"),
            ("http://:p@proxy", ":p"),
            ("http://u:p:q@proxy", "u:p:q"),
        ] {
            let line = parse(url).unwrap().authorization_line();
            let expected = format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(expected));
            assert_eq!(line.expose(), expected, "{url}");
        }
        assert_eq!(parse("http://proxy").unwrap().authorization_line().expose(), "");
    }

    #[test]
    #[cfg(unix)]
    fn value_that_is_no_utf8_is_refused_by_name() {
        use std::os::unix::ffi::OsStringExt;
        let read = |name: &str| (name == "ALL_PROXY").then(|| OsString::from_vec(vec![0xff]));
        let error = Proxy::of_environment("https://licenses.example", read).unwrap_err();
        assert!(error.message().contains("ALL_PROXY"), "{error}");
    }
}
