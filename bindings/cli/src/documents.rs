//! The man page and the completions of shells, made of the definition of the command line.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use floatlease::{Error, Status};

use crate::arguments::Cli;
use crate::failure::Failure;
use crate::output::Output;

/// Prints the completions for a shell.
pub(crate) fn print_completions(shell: Shell, output: &Output) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "floatlease", &mut script);
    output.write(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

/// Prints the man page, or writes the page of each command into a folder.
pub(crate) fn print_man_page(folder: Option<&Path>, output: &Output) -> Result<u8, Failure> {
    if let Some(folder) = folder {
        let failed = |error| format!("The man pages can't be written to {}: {error}.", folder.display());
        let written = clap_mangen::generate_to(Cli::command(), folder);
        return written.map(|()| 0).map_err(|error| Failure::usage(Status::BadValue, failed(error)));
    }
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
    rendered.map_err(|error| Error::because(Status::Internal, format!("The man page can't be made: {error}.")))?;
    output.write(&String::from_utf8_lossy(&page))?;
    Ok(0)
}
