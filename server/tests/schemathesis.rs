//! The server against its own OpenAPI documents: thousands of requests made up by schemathesis, right and wrong ones.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Command;

#[test]
fn nothing_that_the_documents_allow_or_forbid_is_answered_otherwise() {
    let executable = std::env::current_exe().unwrap();
    // It lies in TARGET/debug/deps.
    let target = executable.ancestors().nth(3).unwrap();
    let python = target.join("schemathesis/bin/python");
    assert!(python.exists(), "{} is missing: run scripts/setup", python.display());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/schemathesis");
    let mut command = Command::new(python);
    command.arg(script).arg(env!("CARGO_BIN_EXE_floatlease-server"));
    // In another locale Python would misspell the folder.
    let output = command.env("PYTHONUTF8", "1").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
}
