//! The benchmarks compile and run. What they measure is not looked at here.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{root, run, tool};

#[test]
fn benchmarks_run() {
    let said = run(tool("python3")
        .arg(root().join("benches/run.py"))
        .arg("--quick")
        .env("FLOATLEASE_BENCH_PROFILE", "debug")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUTF8", "1"));
    assert!(said.contains("| `floatlease_sandbox_stop` |"), "{said}");
}

/// The rest of `make test-windows` takes a quarter of an hour.
#[test]
fn programs_for_windows_compile() {
    for entry in std::fs::read_dir(root().join("tests/windows")).unwrap() {
        let mut compiler = tool("x86_64-w64-mingw32-g++");
        compiler.args(["-x", "c", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"]);
        run(compiler.arg(root().join("include")).arg(entry.unwrap().path()));
    }
}
