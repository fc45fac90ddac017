//! The command `floatlease`: floating licenses for shells, installers, containers, and programs that can't be changed.
//!
//! | module | its job |
//! |---|---|
//! | `arguments` | the command line, as it is parsed and as help, man page and completions tell it |
//! | `config` | the config that flags, environment and file make together |
//! | `commands` | the commands that call the library once and print what came of it |
//! | `lease` | the command that holds a lease while another command runs |
//! | `child` | that other command: how it is started and how it ends |
//! | `signals` | the signals that are passed on to it |
//! | `documents` | the man page and the completions |
//! | `output` | JSON and tables, on standard output |
//! | `failure` | an early end: the error, and what to do about it on a command line |
//! | `exit_code` | the table of exit codes |
#![forbid(unsafe_code)]

mod arguments;
mod child;
mod commands;
mod config;
mod documents;
mod exit_code;
mod failure;
mod lease;
mod output;
mod signals;

use std::process::ExitCode;

use arguments::{Cli, Command};
use clap::Parser;
use config::{Config, Environment};
use failure::Failure;
use floatlease::lease::{Session, caught};
use output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.format);
    match run(cli, &output) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            output.print_failure(&failure);
            ExitCode::from(failure.code())
        }
    }
}

/// Runs the command. Returns the exit code.
fn run(cli: Cli, output: &Output) -> Result<u8, Failure> {
    let command = match cli.command {
        Command::Completions { shell } => return documents::print_completions(shell, output),
        Command::Man { dir } => return documents::print_man_page(dir.as_deref(), output),
        Command::Tethered { parent, command } => return child::run_tethered(parent, &command),
        command => command,
    };
    commands::check_arguments(&command, &cli.config)?;
    let config = Config::read(&cli.config, &Environment::of_process())?;
    for warning in &config.warnings {
        output.warn(warning);
    }
    let session = Session::open(&config.json(), caught).map_err(|error| config.explain(error))?;
    let done = match command {
        Command::Lease(options) => lease::run(session, &options, output),
        command => commands::run(&session, &config, command, output),
    };
    done.map_err(|failure| config.explain_storage(failure))
}
