//! Where `make library` finds what cargo has built, on other systems and for other targets than this one. Cargo is a
//! stand-in that writes an empty file.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use support::programs::empty;
use support::{root, run, target_dir, tool};

const CARGO: &str = r#"#!/bin/sh
folder="$CARGO_TARGET_DIR${CARGO_BUILD_TARGET:+/$CARGO_BUILD_TARGET}/release"
mkdir -p "$folder"
touch "$folder/$FILE"
"#;

/// Runs `make library` with its output in a folder with a blank and an umlaut in its name.
fn library(name: &str, target: &str, file: &str) -> (PathBuf, String) {
    std::fs::create_dir_all(target_dir().join("makefile")).unwrap();
    let home = empty(target_dir().join("makefile").join(name));
    let cargo = home.join("cargo");
    std::fs::write(&cargo, CARGO).unwrap();
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
    let built = home.join("für alle");
    let mut make = tool("make");
    make.arg("library").arg(format!("CARGO=\"{}\"", cargo.display())).current_dir(root());
    make.env("CARGO_TARGET_DIR", &built).env("FILE", file).env_remove("MAKEFLAGS");
    if target.is_empty() {
        make.env_remove("CARGO_BUILD_TARGET");
    } else {
        make.env("CARGO_BUILD_TARGET", target);
    }
    let said = run(&mut make);
    (built, said)
}

fn leads_to(link: &Path, file: &str) {
    assert_eq!(std::fs::read_link(link).unwrap(), Path::new(file), "{}", link.display());
}

#[test]
fn library_of_this_machine_gets_its_soname() {
    let (built, said) = library("own", "", "libfloatlease.so");
    leads_to(&built.join("release/libfloatlease.so.1"), "libfloatlease.so");
    assert!(said.contains("release/libfloatlease.so: 0 bytes"), "{said}");
}

#[test]
fn library_of_another_target_is_found_in_its_folder() {
    let target = "aarch64-unknown-linux-gnu";
    let (built, said) = library("target", target, "libfloatlease.so");
    leads_to(&built.join(target).join("release/libfloatlease.so.1"), "libfloatlease.so");
    assert!(said.contains(&format!("{target}/release/libfloatlease.so: 0 bytes")), "{said}");
}

#[test]
fn library_of_macos_is_a_dylib() {
    let target = "aarch64-apple-darwin";
    let (built, said) = library("macos", target, "libfloatlease.dylib");
    leads_to(&built.join(target).join("release/libfloatlease.1.dylib"), "libfloatlease.dylib");
    assert!(said.contains("libfloatlease.dylib: 0 bytes"), "{said}");
}

#[test]
fn library_of_windows_is_a_dll() {
    let (_, said) = library("windows", "x86_64-pc-windows-gnu", "floatlease.dll");
    assert!(said.contains("release/floatlease.dll: 0 bytes"), "{said}");
}
