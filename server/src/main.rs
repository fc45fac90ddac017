//! The command line: `demo`, `exec`, `serve`, `check` and `hash-password`.
#![forbid(unsafe_code)]

mod data;
mod hash_password;
mod limits;
mod signals;

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::{Args, Parser, Subcommand};
use data::{Data, DataError};
use floatlease_server::catalogue::{self, Catalogue, CustomerAccount, Password, User};
use floatlease_server::clock::SystemClock;
use floatlease_server::domain::reply;
use floatlease_server::sandbox::{ConnectionInfo, Ports, Sandbox, SandboxError};
use floatlease_server::{Failure, Limit, RateLimits, Server, Setup};
use hash_password::PasswordError;
use serde_json::{Value, json};
use signals::EndSignals;
use tokio::sync::oneshot;

/// A license server that speaks the LicenseSpring License API v4.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve for trying and testing, until standard input closes: fresh keys, nothing on disk, time and failures at your
    /// command.
    ///
    /// Prints one line of JSON when it listens: the URLs, the keys, and names to try. GET /openapi.json below its
    /// control_url describes how to move the clock and make requests fail.
    Demo {
        #[command(flatten)]
        seed: Seed,
        /// Listen on 127.0.0.1 at this port; 0 takes a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// Listen for control calls on 127.0.0.1 at this port; 0 takes a free one.
        #[arg(long, default_value_t = 0, value_name = "PORT")]
        control_port: u16,
    },
    /// Run a command beside such a server, and forward signals and its exit code.
    ///
    /// The command finds the URLs and the keys in FLOATLEASE_BASE_URL, FLOATLEASE_API_KEY and so on, and a whole
    /// client configuration in FLOATLEASE_CONFIG.
    Exec {
        #[command(flatten)]
        seed: Seed,
        /// The command and its arguments, after `--`.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Serve your own catalogue, and keep the data in a directory.
    ///
    /// Prints one line of JSON when it listens. SIGTERM or Ctrl-C ends it in order; on Windows also Ctrl-Break, closing its
    /// console, and shutting the system down.
    Serve(Serve),
    /// Read a catalogue, and print a summary or all errors in it.
    Check {
        /// The catalogue, in TOML.
        file: PathBuf,
    },
    /// Read a password from standard input, and print its hash for the catalogue's `password_hash`.
    ///
    /// In a terminal it asks for the password, twice and without showing it. There is no argument for the password, because
    /// every user of the machine can read arguments, and shells keep them.
    HashPassword,
}

#[derive(Args)]
struct Seed {
    /// A catalogue in TOML or JSON, instead of the sample. Its times may be relative, as in
    /// validity_period = "now+30days".
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
}

#[derive(Args)]
struct Serve {
    /// The directory for data and keys. It is made if it is missing.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The catalogue, in TOML; examples/catalogue.toml is an example.
    #[arg(long, value_name = "FILE")]
    catalogue: PathBuf,
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Allow other than loopback addresses, without TLS: only behind a proxy that adds it.
    #[arg(long)]
    allow_http: bool,
    /// Start although files in DIR are missing or older than they were: with what is left of the data, or with a new key.
    ///
    /// Devices, slots and consumption that are not in the files are forgotten. Clients accept a new key only after they
    /// have got its public key.
    #[arg(long)]
    begin_anew: bool,
    /// Limit for the requests of each client address in a time, or `off`. Loopback addresses have none, because behind
    /// them is a proxy for all clients.
    #[arg(long, default_value = "2000/10s", value_name = "LIMIT", value_parser = limit)]
    limit_address: RateLimit,
    /// Limit for the requests of each API key or OAuth client, or `off`.
    #[arg(long, default_value = "300/1s", value_name = "LIMIT", value_parser = limit)]
    limit_authorization: RateLimit,
    /// Limit for the authorised requests of all clients together, or `off`.
    #[arg(long, default_value = "18000/1m", value_name = "LIMIT", value_parser = limit)]
    limit_company: RateLimit,
    /// Leave out signatures. For benchmarks only: clients that verify replies refuse them.
    #[arg(long)]
    unsigned: bool,
    /// Not an option of `serve`. It is parsed to be refused with a reason.
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    control_port: Option<String>,
    /// Not an option of `serve`. It is parsed to be refused with a reason.
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    seed: Option<String>,
}

/// A limit of the command line; `None` for `off`.
#[derive(Clone)]
struct RateLimit(Option<Limit>);

fn limit(text: &str) -> Result<RateLimit, String> {
    if text == "off" { Ok(RateLimit(None)) } else { text.parse().map(|limit| RateLimit(Some(limit))) }
}

/// An early end of the program: the exit code, and the message.
struct Exit(u8, String);

/// The exit code for errors in the command line or the catalogue.
const USAGE: u8 = 2;
/// The exit code for a command that is not a program.
const NO_PROGRAM: u8 = 126;
/// The exit code for a command that does not exist.
const NO_COMMAND: u8 = 127;

fn main() -> ExitCode {
    // A log that can't be written, as on a full disk, must not end the server: reporting that to stderr would panic.
    tracing_subscriber::fmt().with_writer(io::stderr).with_target(false).log_internal_errors(false).init();
    let result = match Cli::parse().command {
        Command::Demo { seed, port, control_port } => {
            run_demo(&seed, &Ports { api: port, control: Some(control_port) })
        }
        Command::Exec { seed, command } => exec(&seed, &command),
        Command::Serve(serve) => run_serve(serve),
        Command::Check { file } => check(&file),
        Command::HashPassword => print_hash(),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(Exit(code, message)) => {
            // If this fails, there is nowhere left to print to.
            let _ = writeln!(io::stderr(), "floatlease-server: {message}");
            ExitCode::from(code)
        }
    }
}

fn run_demo(seed: &Seed, ports: &Ports) -> Result<u8, Exit> {
    let sandbox = seed.sandbox(ports)?;
    let mut line = sandbox.connection_info().to_json();
    line.insert("pid".to_owned(), std::process::id().into());
    let (closed, stdin_closed) = oneshot::channel::<()>();
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(closed);
    });
    let ended = sandbox.run_until(async {
        let end_signals = ready(&Value::Object(line))?;
        tokio::select! {
            _ = stdin_closed => tracing::info!("standard input is closed, so the demo ends; keep it open, or use `exec`"),
            () = end_signals.received() => {}
        }
        Ok(0)
    });
    sandbox.stop()?;
    ended.unwrap_or(Ok(0))
}

/// Prints the line that tells that the server is ready, after everything that may follow has been prepared for.
///
/// A supervisor may stop the server as soon as it reads the line, so the signals are caught first.
fn ready(line: &Value) -> Result<EndSignals, Exit> {
    let end_signals = EndSignals::catch().map_err(|error| Exit(1, format!("can't catch signals: {error}")))?;
    print_line(line)?;
    Ok(end_signals)
}

fn exec(seed: &Seed, command: &[String]) -> Result<u8, Exit> {
    let sandbox = seed.sandbox(&Ports { api: 0, control: Some(0) })?;
    let (program, arguments) =
        command.split_first().ok_or_else(|| Exit(USAGE, "the command is missing: name it after --".to_owned()))?;
    let info = sandbox.connection_info();
    let variable = |name: &str| format!("FLOATLEASE_{}", name.to_uppercase());
    let mut child = tokio::process::Command::new(program);
    child.args(arguments);
    // The caller's settings for the real server must not be mixed with those of this one.
    for name in ConnectionInfo::NAMES {
        child.env_remove(variable(name));
    }
    child
        .envs(info.facts().map(|(name, value)| (variable(name), value)))
        .env("FLOATLEASE_CONFIG", Value::Object(info.client_config()).to_string());
    child.kill_on_drop(true);
    let ended = sandbox.run_until(async {
        let signals = signals::SignalForwarder::new()?;
        let mut child = child.spawn()?;
        signals.forward_to(child.id());
        child.wait().await.map(exit_code)
    });
    sandbox.stop()?;
    // Shells, env and timeout use the same codes, which few commands use themselves.
    let code = |error: &io::Error| if error.kind() == io::ErrorKind::NotFound { NO_COMMAND } else { NO_PROGRAM };
    let failed = |error| Exit(code(&error), format!("can't run {program}: {error}; check the command after --"));
    ended.unwrap_or(Ok(1)).map_err(failed)
}

impl Seed {
    fn sandbox(&self, ports: &Ports) -> Result<Sandbox, Exit> {
        let text = self.seed.as_deref().map(catalogue_text).transpose()?;
        Sandbox::demo(ports, text).map_err(|error| match (error, &self.seed) {
            (SandboxError::Refused(why), Some(file)) => Exit(USAGE, format!("in {}: {why}", file.display())),
            (error, _) => error.into(),
        })
    }
}

fn run_serve(serve: Serve) -> Result<u8, Exit> {
    for (flag, given) in [("--control-port", &serve.control_port), ("--seed", &serve.seed)] {
        if given.is_some() {
            let message = "serve hands out real licenses, so its clock can't be moved, and its catalogue comes from --catalogue alone";
            return Err(Exit(USAGE, format!("{flag} is for demo and exec: {message}")));
        }
    }
    if !serve.listen.ip().is_loopback() && !serve.allow_http {
        let message = format!(
            "{} can be reached from other machines, and this server speaks plain HTTP: put a TLS proxy in front and \
             let it reach 127.0.0.1, or add --allow-http if the proxy is elsewhere",
            serve.listen
        );
        return Err(Exit(USAGE, message));
    }
    limits::raise_open_files();
    limits::survive_file_size().map_err(|error| Exit(1, format!("can't catch signals: {error}")))?;
    let catalogue = read_catalogue(&serve.catalogue)?;
    if !catalogue.has_clients() {
        let missing = if catalogue.oauth_only { "[[oauth_client]]" } else { "[[api_key]] and no [[oauth_client]]" };
        tracing::warn!("the catalogue has no {missing}, so no client can sign in; add one, and start again");
    }
    warn_of_plain_passwords(&catalogue);
    refuse_stand_ins(&catalogue, &serve.catalogue)?;
    // A start that is refused for its address leaves the data as it is.
    Server::check_address(serve.listen)?;
    let Data { store, key, public_key_file, lock: _lock } = data::open(&serve.data, serve.begin_anew)?;
    let server = Server::start(Setup {
        catalogue,
        store: Box::new(store),
        clock: Arc::new(SystemClock),
        key,
        unsigned: serve.unsigned,
        listen: serve.listen,
        rate_limits: RateLimits {
            address: serve.limit_address.0,
            authorization: serve.limit_authorization.0,
            company: serve.limit_company.0,
        },
    })?;
    let base_url = server.base_url().to_owned();
    let line = json!({ "base_url": base_url, "public_key_file": public_key_file, "pid": std::process::id() });
    let ended = server.run_until(async {
        let end_signals = ready(&line)?;
        tracing::info!("listening on {base_url}");
        end_signals.received().await;
        Ok(0)
    })?;
    tracing::info!("stopped");
    ended.unwrap_or(Ok(0))
}

/// Warns of passwords that whoever reads the catalogue or a copy of it knows.
///
/// It is no more than a warning, so that a site whose catalogue is of an earlier version can go on serving.
fn warn_of_plain_passwords(catalogue: &Catalogue) {
    let is_plain = |user: &&Arc<User>| matches!(user.password, Some(Password::Plain(_)));
    let mut names: Vec<&str> = catalogue.users().filter(is_plain).map(|user| user.username.as_str()).collect();
    names.sort_unstable();
    for name in names {
        tracing::warn!(
            "user {name:?}: the catalogue holds the password itself; replace `password` by `password_hash`, which \
             `floatlease-server hash-password` makes"
        );
    }
}

/// Refuses tokens that stand in for an identity provider. They never expire, and those of the sample are public.
fn refuse_stand_ins(catalogue: &Catalogue, file: &Path) -> Result<(), Exit> {
    let stands_in = |account: &&CustomerAccount| !(account.id_tokens.is_empty() && account.codes.is_empty());
    let mut codes: Vec<&str> =
        catalogue.customer_accounts().filter(stands_in).map(|account| account.label.code.as_str()).collect();
    codes.sort_unstable();
    let refusal = |code: &str| {
        format!(
            "customer_account {code:?}: `id_tokens` and `codes` stand in for an identity provider in demonstrations and \
             tests, and never expire: remove them, and give `issuer`, `audience` and `jwks_url` of the real one"
        )
    };
    let refusals: Vec<String> = codes.into_iter().map(refusal).collect();
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(Exit(USAGE, format!("in {}:\n{}", file.display(), refusals.join("\n"))))
    }
}

fn check(file: &Path) -> Result<u8, Exit> {
    let catalogue = read_catalogue(file)?;
    write_out(&format!("{}: {}\n", file.display(), catalogue.summary()))?;
    Ok(0)
}

fn print_hash() -> Result<u8, Exit> {
    let hash = hash_password::run()?;
    write_out(&format!("{hash}\n"))?;
    Ok(0)
}

fn catalogue_text(file: &Path) -> Result<String, Exit> {
    let unreadable = |error| Exit(USAGE, format!("can't read the catalogue {}: {error}", file.display()));
    fs::read_to_string(file).map_err(unreadable)
}

/// Reads a catalogue that real clients are to be served from.
fn read_catalogue(file: &Path) -> Result<Catalogue, Exit> {
    let refused = |errors: String| Exit(USAGE, format!("in {}:\n{errors}", file.display()));
    let catalogue = catalogue::parse(&catalogue_text(file)?).map_err(|errors| refused(errors.to_string()))?;
    let too_long = reply::too_long(&catalogue);
    if too_long.is_empty() { Ok(catalogue) } else { Err(refused(too_long.join("\n"))) }
}

fn print_line(line: &Value) -> Result<(), Exit> {
    write_out(&format!("{line}\n"))
}

fn write_out(text: &str) -> Result<(), Exit> {
    let mut stdout = io::stdout();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| Exit(1, format!("can't write to standard output: {error}")))
}

/// Returns the exit code as a shell does: 128 plus the signal for a command that was killed.
fn exit_code(status: std::process::ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

impl From<Failure> for Exit {
    fn from(failure: Failure) -> Exit {
        Exit(1, failure.to_string())
    }
}

impl From<DataError> for Exit {
    fn from(error: DataError) -> Exit {
        match error {
            DataError::InUse(message) => Exit(USAGE, message),
            DataError::Unusable(message) => Exit(1, message),
        }
    }
}

impl From<PasswordError> for Exit {
    fn from(error: PasswordError) -> Exit {
        match error {
            PasswordError::Unusable(message) => Exit(USAGE, message),
            PasswordError::System(message) => Exit(1, message),
        }
    }
}

impl From<SandboxError> for Exit {
    fn from(error: SandboxError) -> Exit {
        Exit(if matches!(error, SandboxError::Refused(_)) { USAGE } else { 1 }, error.to_string())
    }
}
