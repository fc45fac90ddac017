//! The config: what flags, environment and file make together, in this order.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{env, fmt, fs, io, path};

use floatlease::operations::Kind;
use floatlease::{Error, Status};
use serde_json::{Map, Value};

use crate::arguments::{ConfigFlags, OF_PROGRAMS, SECRETS, flag_of, keys};
use crate::failure::Failure;

/// The keys that name a license. Exactly one of them does.
const WAYS: [&str; 4] = ["license_key", "username", "id_token", "code"];
/// The keys that authorise requests, in pairs. A config has one of them.
const AUTHORISATIONS: [[&str; 2]; 2] = [["api_key", "shared_key"], ["client_id", "client_secret"]];

/// The variables of the environment.
pub(crate) struct Environment(HashMap<OsString, OsString>);

impl Environment {
    /// The variables of this process.
    pub(crate) fn of_process() -> Environment {
        Environment(env::vars_os().collect())
    }

    fn get(&self, name: &str) -> Result<Option<String>, Failure> {
        let text = self.0.get(OsStr::new(name)).map(|text| text.to_str().map(str::to_owned).ok_or(name)).transpose();
        text.map_err(|name| Failure::usage(Status::Utf8, format!("The variable {name} is invalid UTF-8.")))
    }
}

/// Where the folder for what outlives the command comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum StorageDir {
    /// The user has named it.
    Named,
    /// Nobody has named one, so it is the user's state folder.
    Default(PathBuf),
    /// There is none.
    Off,
}

/// The config that a client is opened with.
pub(crate) struct Config {
    object: Map<String, Value>,
    storage_dir: StorageDir,
    /// True if neither a file nor a variable with a whole config was given.
    is_without_file: bool,
    /// What the user should know.
    pub(crate) warnings: Vec<String>,
}

/// A config file that was read.
struct File {
    object: Map<String, Value>,
    warning: Option<String>,
}

impl Config {
    /// Reads all sources of the config.
    pub(crate) fn read(flags: &ConfigFlags, environment: &Environment) -> Result<Config, Failure> {
        refuse_secrets(flags)?;
        let file = read_file(flags.file.as_deref(), environment)?;
        let is_without_file = file.is_none();
        let (file, warning) = file.map_or_else(Default::default, |file| (file.object, file.warning));
        let sources = [of_flags(flags)?, of_environment(environment)?, file];
        let mut object = merged(sources);
        object.retain(|key, _| !OF_PROGRAMS.contains(&key.as_str()));
        let storage_dir = settle_storage_dir(&mut object, environment)?;
        object.entry("app_name").or_insert_with(|| "floatlease-cli".into());
        Ok(Config { object, storage_dir, is_without_file, warnings: warning.into_iter().collect() })
    }

    /// The JSON that opens a client.
    pub(crate) fn json(&self) -> String {
        Value::Object(self.object.clone()).to_string()
    }

    /// The value of a key, if it is a text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.object.get(key).and_then(Value::as_str)
    }

    /// Adds to an error of the config where keys come from.
    pub(crate) fn explain(&self, error: Error) -> Failure {
        let status = error.status;
        let failure = Failure::from(error);
        if status != Status::MissingKey && status != Status::UnknownKey {
            return self.explain_storage(failure);
        }
        if self.is_without_file {
            return failure.with_hint(
                "No config was given: name its file by --config or FLOATLEASE_CONFIG_FILE, or put its JSON into \
                 FLOATLEASE_CONFIG.",
            );
        }
        failure.with_hint(
            "A key is in the config file, in a variable such as FLOATLEASE_API_KEY, or, if it is no secret, a flag.",
        )
    }

    /// Adds to an error of the files which folder they are in, if the user has not named it.
    pub(crate) fn explain_storage(&self, failure: Failure) -> Failure {
        match &self.storage_dir {
            StorageDir::Default(folder) if failure.status() == Status::Storage => failure.with_hint(format!(
                "The folder is {}, because none was named. --storage-dir DIR names another, --storage-dir '' uses none.",
                folder.display()
            )),
            _ => failure,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values may be secrets.
        f.debug_struct("Config").field("keys", &self.object.keys()).field("storage_dir", &self.storage_dir).finish()
    }
}

/// Refuses secrets among the flags, and says where they belong.
fn refuse_secrets(flags: &ConfigFlags) -> Result<(), Failure> {
    let why = "Every user of this machine can read a command line, and shells keep it";
    if let Some((key, _)) = flags.given.iter().find(|(key, _)| SECRETS.contains(key)) {
        let message = format!(
            "--{} is no flag: {key} is a secret. {why}. Put it into the config file or into {}.",
            flag_of(key),
            variable_of(key)
        );
        return Err(Failure::usage(Status::BadValue, message));
    }
    if flags.given.iter().any(|(key, value)| *key == "proxy" && value.contains('@')) {
        let message = format!(
            "--proxy is invalid: it holds a password. {why}. Put the proxy into the config file or into FLOATLEASE_PROXY."
        );
        return Err(Failure::usage(Status::BadValue, message));
    }
    Ok(())
}

/// The name of a key's variable, as `floatlease-server exec` sets it.
pub(crate) fn variable_of(key: &str) -> String {
    format!("FLOATLEASE_{}", key.to_uppercase())
}

fn of_flags(flags: &ConfigFlags) -> Result<Map<String, Value>, Failure> {
    let mut object = Map::new();
    for (key, text) in &flags.given {
        let text = match *key {
            // The shell's user means the folder as seen from where the shell is. The library takes absolute paths alone.
            "storage_dir" if !text.is_empty() => absolute(text),
            _ => text.clone(),
        };
        object.insert((*key).to_owned(), typed(key, &format!("--{}", flag_of(key)), &text)?);
    }
    Ok(object)
}

fn absolute(path: &str) -> String {
    path::absolute(path)
        .ok()
        .and_then(|path| path.into_os_string().into_string().ok())
        .unwrap_or_else(|| path.to_owned())
}

fn of_environment(environment: &Environment) -> Result<Map<String, Value>, Failure> {
    let mut object = Map::new();
    for (key, _) in keys() {
        let name = variable_of(key);
        if let Some(text) = environment.get(&name)? {
            object.insert((*key).to_owned(), typed(key, &name, &text)?);
        }
    }
    Ok(object)
}

/// Reads a value as the type of its key. `source` names it for the error, which never shows it.
fn typed(key: &str, source: &str, text: &str) -> Result<Value, Failure> {
    let kind = keys().find(|(known, _)| *known == key).map(|(_, kind)| *kind);
    let invalid =
        |expected: &str| Failure::usage(Status::WrongType, format!("{source} is invalid: expected {expected}."));
    match kind {
        Some(Kind::Integer) => text.parse::<i64>().map(Value::from).map_err(|_| invalid("a number")),
        Some(Kind::Boolean) => text.parse::<bool>().map(Value::from).map_err(|_| invalid("true or false")),
        _ => Ok(text.into()),
    }
}

/// Merges flags, environment and file. An earlier source goes before a later one.
///
/// A license is named in one way: the first of flags and environment that names one decides which. So the key of another
/// license in a later source is no conflict. In the environment `license_key` goes first, because `floatlease-server exec`
/// sets a variable for each license of its sample. The same holds for the keys that authorise requests: there `api_key` goes
/// first.
fn merged(sources: [Map<String, Value>; 3]) -> Map<String, Value> {
    let [flags, environment, _] = &sources;
    let way =
        [flags, environment].into_iter().find_map(|source| WAYS.into_iter().find(|way| source.contains_key(*way)));
    let authorises = |source: &&Map<String, Value>, keys: [&str; 2]| keys.iter().any(|key| source.contains_key(*key));
    let source =
        [flags, environment].into_iter().find(|source| AUTHORISATIONS.iter().any(|keys| authorises(source, *keys)));
    let authorisation = source.and_then(|source| AUTHORISATIONS.into_iter().find(|keys| authorises(&source, *keys)));
    let [flags, environment, file] = &sources;
    let is_given = |key: &str| flags.contains_key(key) || environment.contains_key(key);
    let replaces = |key: &str| is_given(key) && flags.get(key).or(environment.get(key)) != file.get(key);
    let names_another = WAYS.into_iter().chain(["product"]).any(replaces);
    let of_file = ["license_id", "bundle_code"].into_iter().filter(|key| !is_given(key)).collect::<Vec<_>>();
    let mut object = Map::new();
    for (key, value) in sources.into_iter().flatten() {
        object.entry(key).or_insert(value);
    }
    if let Some(authorisation) = authorisation {
        let others = AUTHORISATIONS.into_iter().filter(|keys| *keys != authorisation).flatten();
        others.for_each(|key| drop(object.remove(key)));
    }
    if names_another {
        // They belong to the license of the source that they are in.
        of_file.into_iter().for_each(|key| drop(object.remove(key)));
    }
    if let Some(way) = way {
        object.retain(|key, _| key == way || !WAYS.contains(&key.as_str()));
        if way != "username" {
            object.remove("password");
        }
    }
    object
}

/// Decides on the folder for what outlives the command, and writes it into the config.
fn settle_storage_dir(object: &mut Map<String, Value>, environment: &Environment) -> Result<StorageDir, Failure> {
    match object.get("storage_dir") {
        Some(Value::Null) => {}
        Some(Value::String(text)) if text.is_empty() => {}
        Some(_) => return Ok(StorageDir::Named),
        None => {
            if let Some(folder) = state_folder(environment)? {
                object.insert("storage_dir".to_owned(), folder.to_string_lossy().into_owned().into());
                return Ok(StorageDir::Default(folder));
            }
        }
    }
    object.remove("storage_dir");
    Ok(StorageDir::Off)
}

/// The folder for the state of the user's programs, by the conventions of the system.
fn state_folder(environment: &Environment) -> Result<Option<PathBuf>, Failure> {
    let folder = |name: &str| -> Result<Option<PathBuf>, Failure> {
        Ok(environment.get(name)?.map(PathBuf::from).filter(|path| path.is_absolute()))
    };
    let parent: Option<PathBuf> = if cfg!(windows) {
        folder("LOCALAPPDATA")?
    } else {
        let of_home = folder("HOME")?.map(|home| home.join(".local/state"));
        folder("XDG_STATE_HOME")?.or(of_home)
    };
    Ok(parent.map(|parent| parent.join("floatlease")))
}

/// Reads the config file: the one of the flag, else the whole config in the environment, else the file that the
/// environment names.
fn read_file(flag: Option<&Path>, environment: &Environment) -> Result<Option<File>, Failure> {
    let named = match flag {
        Some(path) => Some(path.to_owned()),
        None => match environment.get("FLOATLEASE_CONFIG")? {
            Some(text) => {
                let object = parsed("FLOATLEASE_CONFIG", &text)?;
                return Ok(Some(File { object, warning: None }));
            }
            None => environment.get("FLOATLEASE_CONFIG_FILE")?.map(PathBuf::from),
        },
    };
    let Some(path) = named else { return Ok(None) };
    let is_stdin = path.as_os_str() == "-";
    let name = if is_stdin { "the config on standard input".to_owned() } else { path.display().to_string() };
    let text = if is_stdin { io::read_to_string(io::stdin()) } else { fs::read_to_string(&path) };
    let unreadable = |error| Failure::usage(Status::BadValue, format!("{name} can't be read: {error}."));
    let object = parsed(&name, &text.map_err(unreadable)?)?;
    let has_secret = object.keys().any(|key| SECRETS.contains(&key.as_str()));
    let is_open = has_secret && !is_stdin && is_readable_by_others(&path);
    let warning = is_open.then(|| format!("{name} holds a secret, and other users may read it: chmod o-r {name}"));
    Ok(Some(File { object, warning }))
}

fn parsed(name: &str, text: &str) -> Result<Map<String, Value>, Failure> {
    // Editors on Windows put a byte order mark before a file.
    match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Failure::usage(Status::Json, format!("{name} is invalid: expected one JSON object."))),
        Err(error) => {
            let message = format!("{name} is invalid JSON: {error}. Expected one object, as {{\"product\":\"XY\"}}.");
            Err(Failure::usage(Status::Json, message))
        }
    }
}

/// Returns whether users may read a file who are neither its owner nor of its group.
#[cfg(unix)]
fn is_readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o004 != 0)
}

/// Windows gives a file in a user's folder to that user alone, and std can't read what else it gives.
#[cfg(not(unix))]
fn is_readable_by_others(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// An environment of these variables.
    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment(variables.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    fn flags(given: &[(&'static str, &str)]) -> ConfigFlags {
        ConfigFlags { file: None, given: given.iter().map(|(key, value)| (*key, (*value).to_owned())).collect() }
    }

    fn read(given: &[(&'static str, &str)], variables: &[(&str, &str)]) -> Config {
        Config::read(&flags(given), &environment(variables)).unwrap()
    }

    fn refusal(given: &[(&'static str, &str)], variables: &[(&str, &str)]) -> String {
        Config::read(&flags(given), &environment(variables)).unwrap_err().to_text()
    }

    const WHOLE: (&str, &str) = ("FLOATLEASE_CONFIG", r#"{"product":"FILE","license_key":"F","timeout_ms":1}"#);

    #[test]
    fn flag_goes_before_environment_and_environment_before_file() {
        assert_eq!(read(&[], &[WHOLE]).text("product"), Some("FILE"));
        let variable = ("FLOATLEASE_PRODUCT", "VARIABLE");
        assert_eq!(read(&[], &[WHOLE, variable]).text("product"), Some("VARIABLE"));
        assert_eq!(read(&[("product", "FLAG")], &[WHOLE, variable]).text("product"), Some("FLAG"));
    }

    #[test]
    fn values_have_the_types_of_their_keys() {
        let config = read(&[("allow_http", "true")], &[("FLOATLEASE_TIMEOUT_MS", "5000")]);
        assert_eq!(config.object["timeout_ms"], 5000);
        assert_eq!(config.object["allow_http"], true);
        assert_eq!(refusal(&[("timeout_ms", "5s")], &[]), "--timeout-ms is invalid: expected a number.");
        let message = "FLOATLEASE_ALLOW_HTTP is invalid: expected true or false.";
        assert_eq!(refusal(&[], &[("FLOATLEASE_ALLOW_HTTP", "1")]), message);
    }

    #[test]
    fn keys_that_tell_how_a_program_runs_its_calls_are_ignored() {
        let file = r#"{"product":"XY","threads":"host","max_parallel":1}"#;
        let config = read(&[], &[("FLOATLEASE_CONFIG", file), ("FLOATLEASE_THREADS", "host")]);
        assert_eq!(config.text("product"), Some("XY"));
        assert_eq!(OF_PROGRAMS.map(|key| config.object.contains_key(key)), [false, false]);
    }

    #[test]
    fn secret_in_flag_is_refused_and_not_repeated() {
        for key in SECRETS {
            let message = refusal(&[(key, "AAAA-BBBB")], &[]);
            assert!(message.contains(&variable_of(key)), "{message}");
            assert!(!message.contains("AAAA"), "{message}");
        }
        assert!(refusal(&[("proxy", "http://me:hush@proxy")], &[]).contains("FLOATLEASE_PROXY"));
    }

    #[test]
    fn user_of_a_flag_replaces_license_key_of_environment() {
        let variables = [("FLOATLEASE_LICENSE_KEY", "V"), ("FLOATLEASE_PASSWORD", "P")];
        let config = read(&[("username", "ada")], &variables);
        assert_eq!(config.text("username"), Some("ada"));
        assert_eq!(config.text("password"), Some("P"));
        assert_eq!(config.text("license_key"), None);
    }

    #[test]
    fn license_key_of_environment_replaces_user_of_file() {
        let file = ("FLOATLEASE_CONFIG", r#"{"username":"ada","password":"P"}"#);
        let config = read(&[], &[file, ("FLOATLEASE_LICENSE_KEY", "V")]);
        assert_eq!(config.text("license_key"), Some("V"));
        assert_eq!(config.text("username"), None);
        assert_eq!(config.text("password"), None);
    }

    #[test]
    fn license_id_of_file_goes_with_the_license_of_the_file_only() {
        let file = ("FLOATLEASE_CONFIG", r#"{"product":"P","license_key":"F","license_id":7,"bundle_code":"B"}"#);
        for (variables, is_kept) in [
            (vec![file], true),
            (vec![file, ("FLOATLEASE_LICENSE_KEY", "F")], true),
            (vec![file, ("FLOATLEASE_LICENSE_KEY", "V")], false),
            (vec![file, ("FLOATLEASE_PRODUCT", "Q")], false),
        ] {
            let config = read(&[], &variables);
            assert_eq!(config.object.contains_key("license_id"), is_kept, "{variables:?}");
            assert_eq!(config.object.contains_key("bundle_code"), is_kept, "{variables:?}");
        }
        let both = read(&[("license_id", "8")], &[file, ("FLOATLEASE_LICENSE_KEY", "V")]);
        assert_eq!(both.object["license_id"], 8);
    }

    #[test]
    fn api_key_goes_before_oauth_client_in_environment() {
        let both = [("FLOATLEASE_API_KEY", "a"), ("FLOATLEASE_CLIENT_ID", "c"), ("FLOATLEASE_CLIENT_SECRET", "s")];
        let config = read(&[], &both);
        assert_eq!((config.text("api_key"), config.text("client_id")), (Some("a"), None));
        let oauth = read(&[("client_id", "c")], &[("FLOATLEASE_API_KEY", "a"), ("FLOATLEASE_SHARED_KEY", "s")]);
        assert_eq!((oauth.text("api_key"), oauth.text("shared_key"), oauth.text("client_id")), (None, None, Some("c")));
    }

    #[test]
    fn license_key_goes_before_user_in_environment() {
        let config = read(&[], &[("FLOATLEASE_LICENSE_KEY", "V"), ("FLOATLEASE_USERNAME", "ada")]);
        assert_eq!(config.text("license_key"), Some("V"));
        assert_eq!(config.text("username"), None);
    }

    #[test]
    fn two_ways_of_a_file_stay_for_the_library_to_refuse() {
        let config = read(&[], &[("FLOATLEASE_CONFIG", r#"{"username":"ada","license_key":"F"}"#)]);
        assert!(config.text("username").and(config.text("license_key")).is_some());
    }

    #[cfg(unix)]
    #[test]
    fn storage_dir_is_state_folder_unless_named_or_switched_off() {
        let home = ("HOME", "/home/ada");
        assert_eq!(read(&[], &[home]).text("storage_dir"), Some("/home/ada/.local/state/floatlease"));
        assert_eq!(read(&[], &[home, ("XDG_STATE_HOME", "/state")]).text("storage_dir"), Some("/state/floatlease"));
        assert_eq!(read(&[], &[home, ("FLOATLEASE_STORAGE_DIR", "/x")]).text("storage_dir"), Some("/x"));
        assert_eq!(read(&[], &[home, ("FLOATLEASE_STORAGE_DIR", "")]).text("storage_dir"), None);
        assert_eq!(read(&[], &[home, ("FLOATLEASE_CONFIG", r#"{"storage_dir":null}"#)]).text("storage_dir"), None);
        assert_eq!(read(&[], &[]).text("storage_dir"), None);
    }

    #[test]
    fn relative_storage_dir_of_flag_is_made_absolute() {
        let expected = std::env::current_dir().unwrap().join("state");
        assert_eq!(read(&[("storage_dir", "state")], &[]).text("storage_dir"), expected.to_str());
    }

    #[test]
    fn file_that_is_no_object_is_named() {
        assert!(refusal(&[], &[("FLOATLEASE_CONFIG", "[]")]).starts_with("FLOATLEASE_CONFIG is invalid"));
        let flags = ConfigFlags { file: Some("/does/not/exist".into()), given: Vec::new() };
        let failure = Config::read(&flags, &environment(&[])).unwrap_err();
        assert!(failure.to_text().starts_with("/does/not/exist can't be read"), "{failure:?}");
    }
}
