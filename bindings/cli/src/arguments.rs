//! The command line, as it is parsed and as help, man page and completions tell it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use floatlease::config::KEYS;
use floatlease::operations::{Kind, OFFLINE_FILES, OPERATIONS};

use crate::exit_code;

/// The keys of the config that are secrets. The command line is no place for them: every user of the machine can read it,
/// and shells write it into their history.
pub(crate) const SECRETS: [&str; 7] =
    ["license_key", "password", "id_token", "code", "api_key", "shared_key", "client_secret"];

/// The keys that tell how a program runs its calls. They are no flags, and the command ignores them where a config file
/// that it shares with a program has them: it would wait for ever for a program that runs its calls.
pub(crate) const OF_PROGRAMS: [&str; 2] = ["max_parallel", "threads"];

/// The keys of the config that the command reads, and their types.
pub(crate) fn keys() -> impl Iterator<Item = &'static (&'static str, Kind)> {
    KEYS.iter().filter(|(key, _)| !OF_PROGRAMS.contains(key))
}

/// The name of a value and the help of each key that has a flag.
const HELP: &[(&str, &str, &str)] = &[
    ("product", "CODE", "The product's short code"),
    ("username", "NAME", "The user who has the license; the password is in FLOATLEASE_PASSWORD"),
    ("customer_account_code", "CODE", "The customer account of an SSO token or code"),
    ("redirect_uri", "URL", "The redirect URI of an SSO code"),
    ("license_id", "NUMBER", "Which of several licenses of a user"),
    ("bundle_code", "CODE", "The bundle that the license came with"),
    ("client_id", "ID", "An OAuth client; its secret is in FLOATLEASE_CLIENT_SECRET"),
    ("oauth_url", "URL", "The address of the token endpoint [default: the server names it]"),
    ("base_url", "URL", "The address of the API [default: the vendor's cloud]"),
    ("hardware_id", "ID", "The name of this device [default: derived from the system]"),
    ("public_key", "PEM", "The key that verifies replies"),
    ("verify", "on|off", "off accepts replies without verification"),
    ("timeout_ms", "NUMBER", "The deadline of a request [default: 15000]"),
    ("connect_timeout_ms", "NUMBER", "The deadline of a connection [default: 5000]"),
    ("proxy", "URL", "env, none, or the proxy's address; one with a password belongs into FLOATLEASE_PROXY"),
    ("tls_roots", "ROOTS", "platform, bundled, or PEM certificates"),
    ("allow_http", "BOOL", "Allow plain http:// to another machine"),
    ("storage_dir", "DIR", "The folder for what outlives the command; '' for none [default: the user's state folder]"),
    ("app_name", "NAME", "The program's name for the server's logs"),
    ("app_version", "VERSION", "The program's version for the server's logs"),
];

/// Take, hold and give back floating licenses.
#[derive(Parser)]
#[command(
    name = "floatlease",
    version,
    arg_required_else_help = true,
    after_help = exit_code::help(),
    after_long_help = format!("{CONFIG_HELP}\n\n{}", exit_code::help())
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) config: ConfigFlags,
    /// Print JSON, or a table for people; errors are JSON only if this flag says so [default: a table on a terminal, JSON
    /// elsewhere]
    #[arg(long, global = true, value_enum)]
    pub(crate) format: Option<Format>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The names of the operations, for the help of `call`.
fn operations() -> String {
    let names = OPERATIONS.iter().chain(OFFLINE_FILES).map(|operation| operation.name).chain(["sync_consumptions"]);
    format!("Operations:\n{}", names.map(|name| format!("  {name}\n")).collect::<String>())
}

/// What the long help tells of the config.
const CONFIG_HELP: &str = "The config:
  A key of the config comes from its flag (--base-url), else from its variable (FLOATLEASE_BASE_URL), else from the
  config file. The file is that of --config; else its JSON is in FLOATLEASE_CONFIG, or its path in
  FLOATLEASE_CONFIG_FILE. Secrets (license_key, password, id_token, code, api_key, shared_key) have no flags.";

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The JSON of the library, for programs
    Json,
    /// Two columns, for people
    Table,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell whether the license may be used now
    ///
    /// Takes a slot as a program does, prints what the server says, and gives the slot back. A borrow that runs needs no
    /// server and stays.
    Check {
        #[command(flatten)]
        features: Features,
    },
    /// Keep a slot for this device until a date, with or without a network
    ///
    /// Without a date the server chooses the latest that the license allows.
    Borrow {
        #[command(flatten)]
        features: Features,
        /// The date, as 2026-09-27, 2026-09-27 23:30 or 2026-09-27T23:30:48Z, in UTC or with an offset
        #[arg(long, value_name = "DATE")]
        until: Option<String>,
        /// How long from now on, as 8h or 2days
        #[arg(long = "for", value_name = "TIME", value_parser = duration, conflicts_with = "until")]
        lasts: Option<Duration>,
    },
    /// Give back what this device holds: borrows, and slots that dead processes have left
    ///
    /// A slot that a process of this machine holds is left to it, and the exit code is 1.
    Release {
        #[command(flatten)]
        features: Features,
        /// Release the license's own slot and those of all features, as far as the files in storage_dir tell of them
        #[arg(long, conflicts_with = "feature")]
        all: bool,
        /// Leave borrows running
        #[arg(long)]
        keep_borrows: bool,
        /// End within this time, as 10s, and wait that long for processes that hold a slot
        #[arg(long, value_name = "TIME", value_parser = duration)]
        within: Option<Duration>,
    },
    /// Book consumptions
    Consume {
        /// How many; a negative number takes back
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        amount: i64,
        /// The code of a consumption feature, instead of the license
        #[arg(long, value_name = "CODE")]
        feature: Option<String>,
        /// Keep the consumption in storage_dir while the server can't be reached; `floatlease call sync_consumptions`
        /// sends it later
        #[arg(long)]
        queue: bool,
    },
    /// Hold a license while a command runs
    ///
    /// The exit code is the command's, or 128 plus the number of the signal that has ended it. Signals are passed on to
    /// it. If no license can be had, the command is not started, and the exit code tells why.
    Lease(LeaseArguments),
    /// Tell what this device holds, as the files in storage_dir say; asks no server
    Status,
    /// Test each step of the way to the server
    Diagnose,
    /// Call an operation of the API by name
    ///
    /// The request is a JSON object, or its members as KEY=VALUE, or - for JSON on standard input. A secret comes from
    /// standard input or from the config.
    #[command(after_help = operations())]
    Call {
        /// The name of the operation, as activate_license
        operation: String,
        /// The request
        #[arg(value_name = "JSON|-|KEY=VALUE")]
        request: Vec<String>,
    },
    /// Print the completions for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the man page
    Man {
        /// Write the page of each command into this folder instead
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Becomes a command that ends when its parent does. For `lease` alone.
    #[command(hide = true)]
    Tethered {
        parent: i32,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

/// The slots that a command is about.
#[derive(Debug, Args)]
pub(crate) struct Features {
    /// The code of a feature, instead of the license itself; may be given more than once
    #[arg(long, value_name = "CODE")]
    pub(crate) feature: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LeaseArguments {
    #[command(flatten)]
    pub(crate) features: Features,
    /// How long to wait for a slot when all are taken, as 30s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) wait: Option<Duration>,
    /// What to do with the command when the license is lost
    #[arg(long, value_enum, default_value_t = OnLoss::Warn)]
    pub(crate) on_loss: OnLoss,
    /// How long the command may go on after the server has taken the slot away or its time is up [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) grace: Option<Duration>,
    /// The command and its arguments, after --
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

/// What becomes of the command of `lease` when the license is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnLoss {
    /// Say so on standard error; the command goes on
    Warn,
    /// End the command by SIGTERM after the grace time; the exit code tells why the license was lost
    Stop,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 30s, 10m, 8h or 2days"))
}

/// The flags that make the config: one for each key, and the file.
#[derive(Debug, Default)]
pub(crate) struct ConfigFlags {
    /// The config file; `-` for standard input.
    pub(crate) file: Option<PathBuf>,
    /// Keys of the config and their values as they were given, secrets too.
    pub(crate) given: Vec<(&'static str, String)>,
}

/// The flag of a key of the config.
pub(crate) fn flag_of(key: &str) -> String {
    key.replace('_', "-")
}

/// The argument of a key of the config.
fn argument(key: &'static str, kind: Kind) -> Arg {
    let argument = Arg::new(key).long(flag_of(key)).global(true).action(ArgAction::Set);
    let Some((_, value_name, help)) = HELP.iter().find(|(known, _, _)| *known == key) else {
        // It is parsed to be refused with a reason.
        return argument.hide(true).num_args(0..=1).default_missing_value("");
    };
    let is_rare = !["product", "base_url", "hardware_id", "storage_dir"].contains(&key);
    let argument = argument.value_name(*value_name).help(*help).help_heading("Config").hide_short_help(is_rare);
    match kind {
        Kind::Boolean => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Integer => argument.allow_negative_numbers(true),
        _ => argument,
    }
}

impl Args for ConfigFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .global(true)
            .help("The config file, one JSON object; - for standard input")
            .help_heading("Config");
        command.arg(file).args(keys().map(|(key, kind)| argument(key, *kind)))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        ConfigFlags::augment_args(command)
    }
}

impl clap::FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<ConfigFlags, clap::Error> {
        let mut flags = ConfigFlags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one::<PathBuf>("config").cloned();
        let value = |key: &'static str| Some((key, matches.get_one::<String>(key)?.clone()));
        self.given = keys().filter_map(|(key, _)| value(key)).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_key_of_config_is_secret_or_has_help() {
        for (key, _) in keys() {
            let has_help = HELP.iter().any(|(known, _, _)| known == key);
            assert_ne!(has_help, SECRETS.contains(key), "{key}");
        }
    }

    #[test]
    fn help_is_of_keys_alone() {
        for (key, _, _) in HELP {
            assert!(keys().any(|(known, _)| known == key), "{key}");
        }
    }

    #[test]
    fn flag_after_command_counts_as_one_before_it() {
        for arguments in [["floatlease", "--product=XY", "check"], ["floatlease", "check", "--product=XY"]] {
            assert_eq!(Cli::parse_from(arguments).config.given, [("product", "XY".to_owned())]);
        }
    }

    #[test]
    fn arguments_of_leased_command_are_its_own() {
        let cli = Cli::parse_from(["floatlease", "lease", "--", "program", "--product", "--", "-x"]);
        let Command::Lease(lease) = cli.command else { panic!("{:?}", cli.command) };
        assert_eq!(lease.command, ["program", "--product", "--", "-x"]);
        assert_eq!(cli.config.given, []);
    }
}
