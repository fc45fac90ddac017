//! Every scenario, in every language.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::PathBuf;
use support::{root, scenario};

/// All of them: a scenario that is added is run by all.
fn scenarios() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("tests/scenarios")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    assert!(files.len() >= 15, "{files:?}");
    files
}

#[test]
fn in_rust() {
    let failures: Vec<String> = scenarios().iter().filter_map(|file| scenario::perform(file).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
