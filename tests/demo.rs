//! `make demo`: the quick starts of all languages, on one license.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::fs::PermissionsExt;
use support::folder::Folder;
use support::{release_dir, root, run, server_binary, tool};

#[test]
fn every_language_has_its_turn_on_the_same_license_and_comes_to_the_end() {
    let said = run(tool("bash").arg(root().join("scripts/demo")).arg(server_binary()).arg(release_dir()));
    let parts: Vec<&str> = said.split("=== ").collect();
    assert_eq!(parts[0].trim(), "", "nobody is left out");
    let languages: Vec<&str> = parts[1..].iter().map(|part| part.lines().next().unwrap()).collect();
    assert_eq!(languages, ["C", "C++", "C#", "Python"]);
    for part in &parts[1..] {
        assert!(part.contains("refused") && part.trim_end().ends_with("Done."), "{part}");
    }
    // Each has consumed five of the feature's, behind those before it.
    for (part, total) in parts[1..].iter().zip(["=5", "=10", "15 of", "=20"]) {
        let counted = part.lines().find(|line| line.contains("add_feature_consumption")).unwrap();
        assert!(counted.contains(total), "{counted}");
    }
}

/// Debian's python3-minimal is such a Python.
#[test]
fn python_without_its_library_is_left_out_and_said() {
    let folder = Folder::new("minimal-python");
    std::fs::create_dir(folder.path()).unwrap();
    let python = folder.path().join("python3");
    std::fs::write(&python, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let said =
        run(tool("bash").arg(root().join("scripts/demo")).arg(server_binary()).arg(release_dir()).env("PATH", path));
    assert!(said.starts_with("Python is left out: this python3 lacks a part of its standard library"), "{said}");
    assert!(said.contains("=== C++") && !said.contains("=== Python"), "{said}");
}
