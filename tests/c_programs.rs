//! C programs against the header and the library that ships: misuse, valgrind, the header alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Demo, root, run, stub, tool, with};

/// Compiles a C program against `include/` and the release library.
fn compile(source: &str) -> PathBuf {
    let program = support::target_dir().join(Path::new(source).file_stem().unwrap());
    let library = support::release_dir();
    run(tool("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-pthread", "-o"])
        .arg(&program)
        .arg(root().join(source))
        .arg(format!("-I{}", root().join("include").display()))
        .arg(format!("-L{}", library.display()))
        .arg(format!("-Wl,-rpath,{}", library.display()))
        .arg("-lfloatlease"));
    program
}

fn misuse(command: &mut Command) {
    let demo = Demo::start();
    let silent = json!({"base_url": format!("http://{}/api/v4", stub::silent())});
    let config = demo.config("misuse");
    let said = run(command
        .env("FLOATLEASE_CONFIG", config.to_string())
        .env("FLOATLEASE_SILENT_CONFIG", with(&config, silent).to_string()));
    assert!(said.contains("checks hold"), "{said}");
}

#[test]
fn every_misuse_is_a_status() {
    misuse(&mut Command::new(compile("tests/abi/misuse.c")));
}

#[test]
fn valgrind_finds_no_error_and_no_leak() {
    let program = compile("tests/abi/misuse.c");
    misuse(
        tool("valgrind")
            .args(["--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect"])
            .args(["--show-leak-kinds=definite,indirect", "--quiet", "--child-silent-after-fork=yes"])
            .arg(program),
    );
}
