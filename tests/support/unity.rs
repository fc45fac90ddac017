//! The Unity packages, packed and unpacked.

use super::programs::empty;
use super::{release_dir, root, run, sandbox_dir, target_dir, tool};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const CLIENT: &str = "com.floatlease";
pub const SANDBOX: &str = "com.floatlease.sandbox";
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub fn folder(name: &str) -> PathBuf {
    let home = target_dir().join("unity");
    fs::create_dir_all(&home).unwrap();
    empty(home.join(name))
}

pub fn pack(into: &Path) -> Command {
    let mut command = tool("python3");
    command.arg(root().join("scripts/dist/unity")).arg("--into").arg(into);
    command
}

pub fn archive(package: &str) -> String {
    format!("{package}-{VERSION}.tgz")
}

/// Packs both with the libraries that ship, and unpacks them as Unity would.
pub fn packages(name: &str) -> PathBuf {
    let home = folder(name);
    run(pack(&home)
        .args(["--library", &format!("linux-x86_64={}", release_dir().display())])
        .args(["--sandbox", &format!("linux-x86_64={}", sandbox_dir().display())])
        .args(["--notices", "LICENSE"])
        .current_dir(root()));
    unpack(&home);
    home
}

pub fn unpack(home: &Path) {
    for package in [CLIENT, SANDBOX] {
        fs::create_dir(home.join(package)).unwrap();
        run(tool("tar")
            .arg("xzf")
            .arg(home.join(archive(package)))
            .arg("-C")
            .arg(home.join(package))
            .arg("--strip-components=1"));
    }
}

/// All files and folders below, by their path from there.
pub fn below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found
}
