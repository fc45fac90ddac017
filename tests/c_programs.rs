//! C programs against the header and the library that ships: misuse, panics, threads, the quick start.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::abi::VERBS;
use support::{Demo, release_dir, root, run, stub, tool, with};

/// Compiles a C program against `include/` and the shared library in `library`.
fn compile(source: &str, library: &Path) -> PathBuf {
    let program = support::target_dir().join(Path::new(source).file_stem().unwrap());
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
fn every_misuse_is_a_status_and_under_valgrind_no_error_and_no_leak() {
    let program = compile("tests/abi/misuse.c", &release_dir());
    misuse(&mut Command::new(&program));
    misuse(
        tool("valgrind")
            .args(["--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect"])
            .args(["--show-leak-kinds=definite,indirect", "--quiet"])
            .arg(program),
    );
}

#[test]
fn a_panic_is_a_status_and_nothing_is_printed() {
    let program = compile("tests/abi/panic.c", &support::panic_dir());
    let demo = Demo::start();
    let output = Command::new(program).env("FLOATLEASE_CONFIG", demo.config("panic").to_string()).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"contained\n".as_slice()));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn behind_the_hosts_back_there_is_no_thread_no_file_no_signal_handler_and_no_output() {
    let quickstart = compile("examples/c/quickstart.c", &release_dir());
    let log = support::target_dir().join("quickstart.strace");
    run(Command::new(support::server_binary())
        .args(["exec", "--", "strace", "-f", "-o"])
        .arg(&log)
        .args(["-e", "trace=clone,clone3,fork,vfork,rt_sigaction,openat,open,creat,write,writev,sendto"])
        .arg(quickstart));
    let calls = std::fs::read_to_string(&log).unwrap();
    assert!(calls.contains("+++ exited with 0 +++") && calls.contains("sendto("), "{calls}");
    for call in calls.lines() {
        let unwanted =
            ["clone", "fork", "rt_sigaction", "O_WRONLY", "O_RDWR", "O_CREAT", "creat(", "write(2,", "writev("];
        assert!(!unwanted.iter().any(|unwanted| call.contains(unwanted)), "{call}");
    }
}

#[test]
fn the_quick_start_shows_the_ten_operations_and_the_refusal() {
    let quickstart = compile("examples/c/quickstart.c", &release_dir());
    let transcript = run(Command::new(support::server_binary()).args(["exec", "--"]).arg(quickstart));
    for (verb, _) in VERBS {
        let done = transcript.lines().any(|line| line.contains(&format!(" {verb} ")) && line.contains(" ok"));
        assert!(done, "{verb} in\n{transcript}");
    }
    for words in
        ["refused: FLOATING_NOT_AVAILABLE", "what to do:    Wait until a colleague", "borrowed_until=20", "Done."]
    {
        assert!(transcript.contains(words), "{words} in\n{transcript}");
    }
}
