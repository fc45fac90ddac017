//! The config of a client: its keys in one table, their checks and their defaults.

use crate::error::Error;
use crate::hardware::HardwareId;
use crate::operations::Kind;
use crate::secret::Secret;
use crate::status::Status;
use crate::strict::{self, Object};
use crate::verify::{PublicKey, VENDOR_CLOUD_KEY};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Address of the vendor's cloud.
const VENDOR_CLOUD: &str = "https://api.licensespring.com/api/v4";

/// Every key of the config, with its type. A key that is also a parameter of requests is their default.
pub const KEYS: &[(&str, Kind)] = &[
    ("product", Kind::Text),
    ("license_key", Kind::Text),
    ("username", Kind::Text),
    ("password", Kind::Text),
    ("id_token", Kind::Text),
    ("code", Kind::Text),
    ("customer_account_code", Kind::Text),
    ("redirect_uri", Kind::Text),
    ("license_id", Kind::Integer),
    ("bundle_code", Kind::Text),
    ("api_key", Kind::Text),
    ("shared_key", Kind::Text),
    ("client_id", Kind::Text),
    ("client_secret", Kind::Text),
    ("oauth_url", Kind::Text),
    ("base_url", Kind::Text),
    ("hardware_id", Kind::Text),
    ("public_key", Kind::Text),
    ("verify", Kind::Text),
    ("timeout_ms", Kind::Integer),
    ("connect_timeout_ms", Kind::Integer),
    ("max_parallel", Kind::Integer),
    ("threads", Kind::Text),
    ("proxy", Kind::Text),
    ("tls_roots", Kind::Text),
    ("allow_http", Kind::Boolean),
    ("storage_dir", Kind::Text),
    ("app_name", Kind::Text),
    ("app_version", Kind::Text),
];

/// The keys that name a license, in the config and in requests.
pub(crate) const CREDENTIALS: &[&str] =
    &["license_key", "username", "password", "id_token", "code", "customer_account_code", "redirect_uri"];

/// The choice of a proxy.
#[derive(Debug, Clone)]
pub enum ProxyChoice {
    /// The one that the environment named when the client was opened.
    Env,
    /// No proxy.
    Direct,
    /// The proxy with this URL, which may hold a password.
    Url(Secret),
}

/// The choice of trusted certificate authorities.
#[derive(Debug, Clone)]
pub enum TlsRoots {
    /// The system's authorities.
    Platform,
    /// Mozilla's authorities, compiled in.
    Bundled,
    /// The authorities in this PEM text, and no others.
    Pem(String),
}

/// Whose threads do what is due: submitted calls, renewals, releases and bookings.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// Threads of the library.
    #[default]
    Library,
    /// Threads of the host, in `floatlease_work`. The library starts none.
    Host,
}

/// The way in which requests are authorised.
#[derive(Debug, Clone)]
pub enum Authorization {
    /// Each request is signed.
    ApiKey {
        /// The name of the vendor's account.
        api_key: Secret,
        /// The key that signs requests.
        shared_key: Secret,
    },
    /// Each request has an access token, by OAuth 2.0 client credentials.
    ClientCredentials {
        /// The name of the OAuth client.
        client_id: Secret,
        /// The secret that tokens are fetched with.
        client_secret: Secret,
        /// The address of the token endpoint. `None` if the server is to name it.
        oauth_url: Option<String>,
    },
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The product's short code.
    pub product: String,
    /// The parameters that name the license.
    pub credentials: Vec<(&'static str, Secret)>,
    /// Chooses one of several licenses of a user.
    pub license_id: Option<Value>,
    /// The bundle that the license came with.
    pub bundle_code: Option<String>,
    /// The way in which requests are authorised.
    pub authorization: Authorization,
    /// The address of the API, without a final slash.
    pub base_url: String,
    /// The id of this device.
    pub hardware_id: HardwareId,
    /// The key that verifies replies; `None` only with `"verify":"off"`.
    pub public_key: Option<PublicKey>,
    /// The deadline of a call that names none.
    pub timeout: Duration,
    /// Limit for name resolution, connection and TLS together.
    pub connect_timeout: Duration,
    /// The most submitted calls that run at the same time.
    pub max_parallel: usize,
    /// Whose threads do what is due.
    pub threads: Threads,
    /// The proxy to use.
    pub proxy: ProxyChoice,
    /// The certificate authorities to trust.
    pub tls_roots: TlsRoots,
    /// The folder for everything that outlives the process; without it nothing is written.
    pub storage_dir: Option<PathBuf>,
    /// The name of the host program, for the `User-Agent`.
    pub app_name: Option<String>,
    /// The version of the host program, also sent as `app_ver`.
    pub app_version: Option<String>,
}

impl Config {
    /// Reads and checks a config object.
    pub fn parse(json: &str) -> Result<Config, Error> {
        let mut object = strict::parse_object("the config", json)?;
        strict::check("the config", &mut object, KEYS)?;
        for (key, value) in &object {
            // NUL and line ends would end up in headers or C strings. An empty text is a value that was forgotten.
            let text = value.as_str().unwrap_or("-");
            let printable = key == "public_key" || key == "tls_roots" || !text.contains(char::is_control);
            if key == "api_key" && !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') {
                return Err(bad_value(key, "is invalid: expected visible ASCII characters without quotation marks"));
            }
            if text.trim().is_empty() {
                return Err(bad_value(key, "is empty: write a value, or leave the key out"));
            }
            if !printable {
                return Err(bad_value(key, "is invalid: it holds control characters"));
            }
        }

        let base_url = match take_text(&mut object, "base_url") {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => VENDOR_CLOUD.to_owned(),
        };
        let allow_http = object.remove("allow_http") == Some(Value::Bool(true));
        check_url("base_url", &base_url, allow_http)?;
        let authorization = take_authorization(&mut object, allow_http)?;

        let public_key = public_key(&mut object, &base_url)?;
        let credentials = take_credentials(&mut object)?;
        let product = require_text(&mut object, "product")?;
        let hardware_id = match take_text(&mut object, "hardware_id") {
            Some(id) => HardwareId::configured(id),
            None => HardwareId::of_this_machine(&product)?,
        };
        let timeout = take_millis(&mut object, "timeout_ms", 15_000)?;
        let storage_dir = take_text(&mut object, "storage_dir").map(PathBuf::from);
        // A relative path would be another folder for each process, and after each change of the working directory.
        if storage_dir.as_ref().is_some_and(|folder| !folder.is_absolute()) {
            return Err(bad_value("storage_dir", "must be an absolute path"));
        }
        Ok(Config {
            credentials,
            license_id: object.remove("license_id"),
            bundle_code: take_text(&mut object, "bundle_code"),
            authorization,
            public_key,
            connect_timeout: take_millis(&mut object, "connect_timeout_ms", 5_000)?.min(timeout),
            timeout,
            max_parallel: take_max_parallel(&mut object)?,
            threads: match take_text(&mut object, "threads").as_deref() {
                None | Some("library") => Threads::Library,
                Some("host") => Threads::Host,
                Some(_) => return Err(bad_value("threads", "must be \"library\" or \"host\"")),
            },
            proxy: match take_text(&mut object, "proxy").as_deref() {
                None | Some("env") => ProxyChoice::Env,
                Some("none") => ProxyChoice::Direct,
                Some(url) => ProxyChoice::Url(Secret::new(url.to_owned())),
            },
            tls_roots: match take_text(&mut object, "tls_roots") {
                None => TlsRoots::Platform,
                Some(text) if text == "platform" => TlsRoots::Platform,
                Some(text) if text == "bundled" => TlsRoots::Bundled,
                Some(text) if text.contains("-----BEGIN CERTIFICATE-----") => TlsRoots::Pem(text),
                Some(_) => {
                    return Err(bad_value("tls_roots", "must be \"platform\", \"bundled\" or PEM certificates"));
                }
            },
            storage_dir,
            app_name: take_text(&mut object, "app_name"),
            app_version: take_text(&mut object, "app_version"),
            product,
            base_url,
            hardware_id,
        })
    }

    /// Returns everything that no message may show. A username is left out, because redacting it would damage ordinary
    /// words.
    pub(crate) fn secrets(&self) -> Vec<&Secret> {
        let open = ["username", "customer_account_code", "redirect_uri"];
        let credentials = self.credentials.iter().filter(|(name, _)| !open.contains(name));
        let (name, secret) = match &self.authorization {
            Authorization::ApiKey { api_key, shared_key } => (api_key, shared_key),
            Authorization::ClientCredentials { client_id, client_secret, .. } => (client_id, client_secret),
        };
        let mut secrets = vec![name, secret];
        secrets.extend(credentials.map(|(_, secret)| secret));
        secrets
    }

    /// Returns true if the server runs on this machine.
    pub fn is_local_server(&self) -> bool {
        is_local(&self.base_url)
    }

    /// Returns the `User-Agent`: the host program, for the server's logs.
    pub fn user_agent(&self) -> String {
        let library = concat!("floatlease/", env!("CARGO_PKG_VERSION"));
        match (&self.app_name, &self.app_version) {
            (Some(name), Some(version)) => format!("{name}/{version} {library}"),
            (Some(name), None) => format!("{name} {library}"),
            _ => library.to_owned(),
        }
    }
}

/// Returns the host of a URL that [`check_url`] accepted, without port or brackets.
fn host_of(url: &str) -> &str {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => authority.split(':').next().unwrap_or_default(),
    }
}

fn bad_value(key: &str, what: &str) -> Error {
    Error::because(Status::BadValue, format!("\"{key}\" in the config {what}."))
}

fn take_text(object: &mut Object, key: &str) -> Option<String> {
    match object.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn require_text(object: &mut Object, key: &str) -> Result<String, Error> {
    let missing = || Error::because(Status::MissingKey, format!("\"{key}\" is missing from the config."));
    take_text(object, key).ok_or_else(missing)
}

fn take_millis(object: &mut Object, key: &str, default: u64) -> Result<Duration, Error> {
    let millis = object.remove(key).map_or(Some(default), |value| value.as_u64());
    checked_millis(key, millis)
}

fn take_max_parallel(object: &mut Object) -> Result<usize, Error> {
    let most = object.remove("max_parallel").map_or(Some(64), |value| value.as_u64());
    let most = most.filter(|most| (1..=1_000).contains(most)).and_then(|most| usize::try_from(most).ok());
    most.ok_or_else(|| bad_value("max_parallel", "must be from 1 to 1000"))
}

/// Checks a timeout of a config or a request: at least a millisecond, at most an hour.
pub(crate) fn checked_millis(key: &str, millis: Option<u64>) -> Result<Duration, Error> {
    match millis {
        Some(millis @ 1..=3_600_000) => Ok(Duration::from_millis(millis)),
        _ => Err(Error::because(
            Status::BadValue,
            format!("\"{key}\" must be a number of milliseconds from 1 to 3600000."),
        )),
    }
}

/// Takes the keys that name the license, and checks them.
fn take_credentials(object: &mut Object) -> Result<Vec<(&'static str, Secret)>, Error> {
    let mut found = Vec::new();
    for key in CREDENTIALS {
        if let Some(text) = take_text(object, key) {
            found.push((*key, Secret::new(text)));
        }
    }
    let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    check_credentials("the config", &names)?;
    Ok(found)
}

/// Checks that `names` name a license in exactly one way. `what` names the object for messages.
pub(crate) fn check_credentials(what: &str, names: &[&str]) -> Result<(), Error> {
    let has = |name: &str| names.contains(&name);
    let needs = |owner: &str, name: &str| {
        if !has(owner) || has(name) {
            return Ok(());
        }
        Err(Error::because(Status::MissingKey, format!("\"{name}\" is missing from {what}: \"{owner}\" requires it.")))
    };
    let ways: Vec<&str> = ["license_key", "username", "id_token", "code"].into_iter().filter(|way| has(way)).collect();
    match ways.as_slice() {
        [_] => {}
        [] => {
            let message = format!(
                "The license's name is missing from {what}: add \"license_key\", or \"username\" and \"password\", or an SSO token."
            );
            return Err(Error::because(Status::MissingKey, message));
        }
        [first, second, ..] => return Err(conflict(what, first, second)),
    }
    needs("password", "username")?;
    needs("id_token", "customer_account_code")?;
    needs("code", "customer_account_code")
}

/// Returns the key that verifies replies. The vendor's key is the default for the vendor's cloud only.
fn public_key(object: &mut Object, base_url: &str) -> Result<Option<PublicKey>, Error> {
    let verify = match take_text(object, "verify").as_deref() {
        None | Some("on") => true,
        Some("off") => false,
        Some(_) => return Err(bad_value("verify", "must be \"on\" or \"off\"")),
    };
    let pem = take_text(object, "public_key");
    let pem = pem.as_deref().or((base_url == VENDOR_CLOUD).then_some(VENDOR_CLOUD_KEY));
    match (verify, pem) {
        (false, _) => Ok(None),
        (true, None) => Err(Error::because(
            Status::NoPublicKey,
            format!("\"public_key\" is missing from the config: the replies of {base_url} could not be verified."),
        )),
        (true, Some(pem)) => match PublicKey::from_pem(pem) {
            Ok(key) => Ok(Some(key)),
            Err(what) => Err(bad_value("public_key", what)),
        },
    }
}

/// Takes the keys that authorise requests: an API key with its shared key, or an OAuth client with its secret.
fn take_authorization(object: &mut Object, allow_http: bool) -> Result<Authorization, Error> {
    let first_of = |keys: &[&'static str]| keys.iter().copied().find(|key| object.contains_key(*key));
    let of_api_key = first_of(&["api_key", "shared_key"]);
    let of_client = first_of(&["client_id", "client_secret", "oauth_url"]);
    if let (Some(first), Some(second)) = (of_api_key, of_client) {
        return Err(conflict("the config", first, second));
    }
    if of_api_key.is_some() {
        let [api_key, shared_key] = take_secrets(object, ["api_key", "shared_key"])?;
        return Ok(Authorization::ApiKey { api_key, shared_key });
    }
    let first = if of_client.is_none() { "api_key\" or \"client_id" } else { "client_id" };
    let [client_id, client_secret] = take_secrets(object, [first, "client_secret"])?;
    let oauth_url = take_text(object, "oauth_url");
    oauth_url.as_ref().map_or(Ok(()), |url| check_url("oauth_url", url, allow_http))?;
    Ok(Authorization::ClientCredentials { client_id, client_secret, oauth_url })
}

/// Takes two keys, both of which must be there.
fn take_secrets(object: &mut Object, keys: [&str; 2]) -> Result<[Secret; 2], Error> {
    let [name, secret] = keys.map(|key| require_text(object, key));
    Ok([Secret::new(name?), Secret::new(secret?)])
}

/// Makes the error of two keys that exclude each other. `what` names the object.
fn conflict(what: &str, first: &str, second: &str) -> Error {
    let message = format!("\"{first}\" and \"{second}\" in {what} exclude each other: give only one of them.");
    Error::because(Status::ConflictingKeys, message)
}

/// Checks a URL of the config. `https://` may go anywhere; `http://` needs this machine or `allow_http`.
fn check_url(key: &str, url: &str, allow_http: bool) -> Result<(), Error> {
    if let Some(flaw) = url_flaw(url) {
        return Err(bad_value(key, flaw));
    }
    match url.starts_with("https:") || allow_http || is_local(url) {
        true => Ok(()),
        false if key == "base_url" => Err(Error::new(Status::InsecureUrl)),
        false => {
            let message = "The oauth_url would send the client secret unencrypted to another machine.";
            Err(Error::because(Status::InsecureUrl, message))
        }
    }
}

/// Returns what is wrong with the form of a URL; `None` if it is right.
pub(crate) fn url_flaw(url: &str) -> Option<&'static str> {
    let Some(("http" | "https", rest)) = url.split_once("://") else {
        return Some("must be a URL such as https://licenses.example.com/api/v4");
    };
    if rest.contains(['?', '#', '@']) {
        return Some("must not hold a user, a query or a fragment");
    }
    // A request line holds printable ASCII. A host name of another script is written as punycode.
    if !rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
        return Some("is invalid: it holds characters that a URL may not hold");
    }
    let host = host_of(url);
    let authority = rest.split('/').next().unwrap_or_default();
    let port = authority.rsplit(']').next().unwrap_or_default().split_once(':').map(|(_, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Some("is invalid: the port must be a number from 1 to 65535");
    }
    host.is_empty().then_some("is invalid: the host name is missing")
}

/// Returns true if the host of a URL is this machine, by name or by address.
pub(crate) fn is_local(url: &str) -> bool {
    let host = host_of(url);
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = include_str!("../tests/data/signing-public-key.pem");

    fn with(changes: &[(&str, Value)]) -> Result<Config, Error> {
        let mut object = serde_json::json!({
            "product": "XY", "license_key": "AAAA", "api_key": "api", "shared_key": "shared",
            "base_url": "http://127.0.0.1:8080/api/v4/", "public_key": KEY,
        });
        for (key, value) in changes {
            match value {
                Value::Null => drop(object.as_object_mut().unwrap().remove(*key)),
                value => object[*key] = value.clone(),
            }
        }
        Config::parse(&object.to_string())
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let config = with(&[]).unwrap();
        assert_eq!((config.timeout.as_millis(), config.connect_timeout.as_millis()), (15_000, 5_000));
        assert_eq!(config.base_url, "http://127.0.0.1:8080/api/v4");
        let vendor = with(&[("base_url", Value::Null), ("public_key", Value::Null)]).unwrap();
        assert_eq!(vendor.base_url, VENDOR_CLOUD);
        assert!(vendor.public_key.is_some(), "the vendor's key is compiled in");
    }

    #[test]
    fn every_key_is_documented() {
        for (key, _) in KEYS {
            assert!(include_str!("ffi/exports/client.rs").contains(key), "{key} in the header");
            assert!(
                include_str!("../docs/configuration.md").contains(&format!("`{key}`")),
                "{key} in docs/configuration.md"
            );
        }
    }

    #[test]
    fn each_mistake_has_its_own_status_and_names_the_key() {
        for (key, value, status) in [
            ("product", Value::Null, Status::MissingKey),
            ("api_key", Value::Null, Status::MissingKey),
            ("shared_key", "".into(), Status::BadValue),
            ("license_key", Value::Null, Status::MissingKey),
            ("username", "a@example.com".into(), Status::ConflictingKeys),
            ("password", "p".into(), Status::MissingKey),
            ("public_key", Value::Null, Status::NoPublicKey),
            ("public_key", "-----BEGIN NONSENSE-----".into(), Status::BadValue),
            ("base_url", "http://192.0.2.1/api/v4".into(), Status::InsecureUrl),
            ("base_url", "licenses.example.com".into(), Status::BadValue),
            ("base_url", "ftp://licenses.example.com".into(), Status::BadValue),
            ("base_url", "https://u:p@licenses.example.com".into(), Status::BadValue),
            ("base_url", "https://exa mple.com".into(), Status::BadValue),
            ("base_url", "http://127.0.0.1:99999/api/v4".into(), Status::BadValue),
            ("base_url", "http://127.0.0.1:abc/api/v4".into(), Status::BadValue),
            ("base_url", "http://[::1]:70000/api/v4".into(), Status::BadValue),
            ("base_url", "https:///api/v4".into(), Status::BadValue),
            ("api_key", "schlüssel".into(), Status::BadValue),
            ("timeout_ms", 0.into(), Status::BadValue),
            ("timeout_ms", (-5).into(), Status::BadValue),
            ("timeout_ms", "5".into(), Status::WrongType),
            ("tls_roots", "mine".into(), Status::BadValue),
            ("storage_dir", "leases".into(), Status::BadValue),
            ("storage_dir", "~/leases".into(), Status::BadValue),
            ("verify", "no".into(), Status::BadValue),
            ("api_key", "a\nb".into(), Status::BadValue),
            ("apikey", "x".into(), Status::UnknownKey),
        ] {
            let error = with(&[(key, value.clone())]).expect_err(key);
            assert_eq!(error.status, status, "{key}={value}: {error}");
        }
    }

    #[test]
    fn requests_are_authorised_in_exactly_one_way() {
        let oauth = [("api_key", Value::Null), ("shared_key", Value::Null), ("client_id", "auth-company-1".into())];
        let with_oauth = |changes: &[(&str, Value)]| with(&[&oauth, changes].concat());
        let secret = ("client_secret", Value::from("hush"));
        let config = with_oauth(std::slice::from_ref(&secret)).unwrap();
        assert!(matches!(config.authorization, Authorization::ClientCredentials { oauth_url: None, .. }));
        assert!(!format!("{config:?}").contains("hush"));
        for (changes, status, named) in [
            (vec![], Status::MissingKey, "client_secret"),
            (vec![secret.clone(), ("client_id", Value::Null)], Status::MissingKey, "client_id"),
            (vec![("client_id", Value::Null)], Status::MissingKey, "\"api_key\" or \"client_id\" is missing"),
            (vec![secret.clone(), ("api_key", "a".into())], Status::ConflictingKeys, "api_key"),
            (vec![secret.clone(), ("shared_key", "s".into())], Status::ConflictingKeys, "shared_key"),
            (vec![secret.clone(), ("oauth_url", "http://192.0.2.1/t".into())], Status::InsecureUrl, "oauth_url"),
            (vec![secret.clone(), ("oauth_url", "login".into())], Status::BadValue, "oauth_url"),
            (vec![("client_id", Value::Null), ("oauth_url", "https://a/t".into())], Status::MissingKey, "client_id"),
        ] {
            let error = with_oauth(&changes).expect_err(named);
            assert_eq!(error.status, status, "{error}");
            assert!(error.message().contains(named), "{named}: {error}");
        }
        let both = [("oauth_url", Value::from("https://a/t"))];
        assert_eq!(with(&both).unwrap_err().status, Status::ConflictingKeys);
        assert!(with_oauth(&[secret, ("oauth_url", "https://login.example/t".into())]).is_ok());
    }

    #[test]
    fn plain_http_to_another_machine_must_be_allowed_in_so_many_words() {
        let url = ("base_url", Value::from("http://192.0.2.1/api/v4"));
        assert!(with(&[url, ("allow_http", true.into())]).is_ok());
        for host in ["localhost", "127.9.9.9", "[::1]"] {
            assert!(with(&[("base_url", format!("http://{host}:1/").into())]).is_ok(), "{host}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let config = with(&[("proxy", "http://me:hush@proxy:3128".into())]).unwrap();
        let text = format!("{config:?}");
        for secret in ["AAAA", "\"api\"", "shared\"", "hush"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
