//! An early end of the command: the library's error, and what to do about it on a command line.

use floatlease::{Error, Status};
use serde_json::Value;

use crate::exit_code;

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Error,
    /// What to do about it on a command line, where the library's advice speaks to programmers.
    hint: Option<String>,
    /// The exit code, if it is not that of the error's category.
    code: Option<u8>,
    /// True if the message is of this command and says what to do. The advice of the status table is for programmers.
    is_own: bool,
}

impl Failure {
    /// A mistake in the command line, the environment or the config file.
    pub(crate) fn usage(status: Status, message: impl Into<String>) -> Failure {
        Failure { error: Error::because(status, message), hint: None, code: None, is_own: true }
    }

    /// Replaces the hint.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Replaces the exit code.
    #[must_use]
    pub(crate) fn with_code(mut self, code: u8) -> Failure {
        self.code = Some(code);
        self
    }

    /// The status of the error.
    pub(crate) fn status(&self) -> Status {
        self.error.status
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code.unwrap_or_else(|| exit_code::of(self.error.status.row().category))
    }

    /// The error object of the library.
    pub(crate) fn to_json(&self) -> String {
        self.error.to_json()
    }

    /// The error for people, in lines: its name and message, the library's advice, and the hint.
    pub(crate) fn to_text(&self) -> String {
        let error: Value = serde_json::from_str(&self.to_json()).unwrap_or_default();
        let text = |key: &str| error[key].as_str().unwrap_or_default();
        let mut lines = match self.is_own {
            true => vec![text("message").to_owned()],
            false => vec![format!("{}: {}", text("name"), text("message")), text("advice").to_owned()],
        };
        lines.extend(self.hint.clone());
        lines.join("\n")
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let hint = hint(error.status).map(str::to_owned);
        Failure { error, hint, code: None, is_own: false }
    }
}

/// What to do about an error on a command line.
fn hint(status: Status) -> Option<&'static str> {
    Some(match status {
        Status::DeviceNotFound => "Activate this device once: floatlease call activate_license",
        Status::UnknownOperation => "floatlease help call lists the operations.",
        Status::FloatingNotAvailable => "floatlease lease --wait 10m waits for a slot.",
        Status::Dns | Status::Connect | Status::Proxy => {
            "floatlease diagnose tests each step of the way to the server."
        }
        Status::NoPublicKey => "FLOATLEASE_PUBLIC_KEY, or public_key in the config file, holds the key's PEM text.",
        Status::InsecureUrl => "On the command line it is --allow-http.",
        _ => return None,
    })
}
