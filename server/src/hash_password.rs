//! `hash-password`: makes the hash of a password for the catalogue.

use std::io::{self, IsTerminal, Read};

use floatlease_server::catalogue;

/// Longest password. Requests can't hold a longer one.
const LONGEST_BYTES: usize = 1024;

/// The reason why there is no hash, as a text for people.
#[derive(Debug)]
pub(crate) enum PasswordError {
    /// The password can't be used.
    Unusable(String),
    /// The system has failed.
    System(String),
}

/// Reads a password, and returns its hash.
pub(crate) fn run() -> Result<String, PasswordError> {
    let password = if io::stdin().is_terminal() { ask()? } else { read()? };
    if password.is_empty() {
        let message = "the password is empty: type one, or write one to standard input";
        return Err(PasswordError::Unusable(message.to_owned()));
    }
    if password.len() > LONGEST_BYTES {
        let message = format!("the password is too long: expected at most {LONGEST_BYTES} bytes");
        return Err(PasswordError::Unusable(message));
    }
    catalogue::hash_password(&password).map_err(|error| PasswordError::System(error.to_string()))
}

/// Asks for the password in the terminal, which does not show it.
fn ask() -> Result<String, PasswordError> {
    let prompt = |text| rpassword::prompt_password(text).map_err(|error| unreadable(&error));
    let password = prompt("Password: ")?;
    if prompt("Password, again: ")? != password {
        return Err(PasswordError::Unusable("the two passwords differ: start again".to_owned()));
    }
    Ok(password)
}

/// Reads the password from a pipe or a file, whose last line end is not part of it.
fn read() -> Result<String, PasswordError> {
    let mut text = String::new();
    let longest = u64::try_from(LONGEST_BYTES).unwrap_or_default() + 3;
    io::stdin().take(longest).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn unreadable(error: &io::Error) -> PasswordError {
    PasswordError::System(format!("can't read the password: {error}"))
}
