//! The files that ship, not the intention: symbols, names, hardening. Sizes are tests/size_ledger.rs's.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use support::{release_dir, root, run, sandbox_dir, tool};

fn library() -> PathBuf {
    release_dir().join("libfloatlease.so.1")
}

fn sandbox() -> PathBuf {
    sandbox_dir().join("libfloatlease_sandbox.so.1")
}

/// The functions that a header declares.
fn declared(header: &str) -> BTreeSet<String> {
    let header = std::fs::read_to_string(root().join("include").join(header)).unwrap();
    let code = header.lines().filter(|line| !line.trim_start().starts_with(['*', '/', '#']));
    let calls = code.filter_map(|line| line.split_once('(')).map(|(before, _)| before);
    let names = calls.filter_map(|before| before.rsplit([' ', '*']).next());
    names.filter(|name| name.starts_with("floatlease_")).map(str::to_owned).collect()
}

fn exported(library: &Path) -> BTreeSet<String> {
    let listed = run(tool("nm").args(["-D", "--defined-only", "--format=posix"]).arg(library));
    let exported: BTreeSet<String> = listed.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    println!("{} exported functions", exported.len());
    exported
}

fn assert_named_and_hardened(library: &Path, needs: &[&str]) {
    let dynamic = run(tool("readelf").args(["-W", "-d"]).arg(library));
    let name = library.file_name().unwrap().to_str().unwrap();
    assert!(dynamic.contains(&format!("Library soname: [{name}]")), "{dynamic}");
    assert!(dynamic.contains("NODELETE") && dynamic.contains("NOW"), "{dynamic}");
    for line in dynamic.lines().filter(|line| line.contains("(NEEDED)")) {
        assert!(needs.iter().any(|name| line.contains(name)), "{line}");
    }
    let segments = run(tool("readelf").args(["-W", "-l"]).arg(library));
    let stack = segments.lines().find(|line| line.contains("GNU_STACK")).unwrap();
    assert!(segments.contains("GNU_RELRO") && !stack.contains("RWE"), "{segments}");
}

#[test]
fn it_exports_exactly_what_the_header_declares() {
    let exported = exported(&library());
    assert_eq!(exported, declared("floatlease.h"));
    assert!(exported.len() >= 32, "{exported:?}");
}

#[test]
fn the_sandbox_exports_its_four_functions_alone() {
    let exported = exported(&sandbox());
    assert_eq!(exported, declared("floatlease_sandbox.h"));
    assert_eq!(exported.len(), 4, "{exported:?}");
}

#[test]
fn both_are_named_and_hardened_and_need_libc_alone() {
    let libc = ["[libc.so.6]", "[libgcc_s.so.1]", "[ld-linux"];
    assert_named_and_hardened(&library(), &libc);
    assert_named_and_hardened(&sandbox(), &[&libc[..], &["[libm.so.6]"]].concat());
}

#[test]
fn the_operation_that_panics_is_not_in_it() {
    let holds = |library: PathBuf| {
        let bytes = std::fs::read(library).unwrap();
        bytes.windows(b"panic_for_test".len()).any(|window| window == b"panic_for_test")
    };
    assert!(!holds(library()));
    assert!(holds(support::panic_dir().join("libfloatlease.so.1")), "so the search would have found it");
}
