//! What `make release` builds is no larger than docs/size.md allows.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use support::{release_dir, root, sandbox_dir};

/// The most bytes of each file of the page's table.
fn ceilings() -> BTreeMap<String, u64> {
    let page = std::fs::read_to_string(root().join("docs/size.md")).unwrap();
    let number = |text: &str| text.replace(',', "").parse::<u64>().ok();
    let rows = page.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    // The composition's rows have as many columns, but name no file.
    let files = rows.filter(|cells| cells.len() == 5 && cells[1].contains('/'));
    files.filter_map(|cells| Some((cells[1].to_owned(), number(cells[3])?))).collect()
}

fn assert_small(file: PathBuf, name: &str) {
    let bytes = std::fs::metadata(file).unwrap().len();
    let ceiling =
        *ceilings().get(name).unwrap_or_else(|| panic!("docs/size.md has no line for {name}: run `make size`"));
    println!("{name}: {bytes} bytes");
    assert!(bytes <= ceiling, "{name}: {bytes} bytes are more than the {ceiling} of docs/size.md");
}

#[test]
fn the_client_is_small() {
    assert_small(release_dir().join("libfloatlease.so"), "target/release/libfloatlease.so");
}

#[test]
fn the_sandbox_is_small() {
    assert_small(sandbox_dir().join("libfloatlease_sandbox.so"), "target/sandbox/libfloatlease_sandbox.so");
}

/// Nobody raises this by the way: beyond it a product's user would notice, and so must whoever changes it here.
#[test]
fn the_ceiling_of_what_ships_is_the_aim() {
    let ceiling = ceilings()["target/dist/x86_64-unknown-linux-gnu/lib/libfloatlease.so.1"];
    assert!(ceiling <= 1_900_000, "{ceiling} bytes are more than design and page promise");
}
