//! C programs against the headers and the libraries that ship: misuse, panics, threads, the quick start, sandboxes.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::programs::{
    Build, CAD, GAME, assert_game, assert_minimal, assert_quick_start, assert_shows, assert_trip, empty, libraries,
    under_valgrind, under_valgrind_sealing, with_server,
};
use support::sandbox::World;
use support::tls::Authority;
use support::{Demo, release_dir, run, tool, with};

/// Compiles a C program against `include/` and the shared library in `library`.
fn compile(source: &str, library: PathBuf) -> PathBuf {
    compile_with("gnu11", &[source], &[("floatlease", library)])
}

/// The same for one that tests the sandbox: it needs both libraries.
fn compile_with_sandbox(source: &str) -> PathBuf {
    compile_with("gnu11", &[source], &libraries())
}

/// An example is plain C11, and links both libraries if it is a test.
fn compile_example(sources: &[&str]) -> PathBuf {
    let sources: Vec<String> = sources.iter().map(|source| format!("examples/c/{source}")).collect();
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let is_test = sources[0].contains("test");
    compile_with("c11", &sources, &libraries()[..if is_test { 2 } else { 1 }])
}

fn compile_with(standard: &str, sources: &[&str], libraries: &[(&str, PathBuf)]) -> PathBuf {
    let name = Path::new(sources[0]).file_stem().unwrap().to_str().unwrap();
    Build { name, compiler: "cc", flags: &[&format!("-std={standard}")], sources, libraries }.compile()
}

fn misuse(command: &mut Command) {
    let demo = Demo::start();
    let silent = World::silent(&demo);
    let said = run(command
        .env("FLOATLEASE_CONFIG", demo.config("misuse").to_string())
        .env("FLOATLEASE_SILENT_CONFIG", silent.config("misuse").to_string()));
    assert!(said.contains("checks hold"), "{said}");
}

#[test]
fn every_misuse_is_a_status_and_under_valgrind_no_error_and_no_leak() {
    let program = compile("tests/abi/misuse.c", release_dir());
    misuse(&mut Command::new(&program));
    misuse(&mut under_valgrind(&program));
}

/// A kernel may refuse namespaces, and says so then; the pretended id shows the same on any.
#[cfg(target_os = "linux")]
#[test]
fn a_child_with_its_parents_process_id_is_forked() {
    let program = compile("tests/abi/same_id.c", release_dir());
    let demo = Demo::start();
    let config = demo.config("same-id").to_string();
    for way in ["pretended", "namespace", "dead"] {
        let said = run(tool("timeout").arg("100").arg(&program).arg(way).env("FLOATLEASE_CONFIG", &config));
        println!("{way}: {said}");
        assert!(said.contains("checks hold") || way != "pretended" && said.contains("refused"), "{way}: {said}");
    }
}

/// With TLS there are more buffers that keys go through.
#[cfg(target_os = "linux")]
#[test]
fn closed_client_leaves_no_secret_in_memory() {
    let program = compile("tests/abi/forgotten.c", release_dir());
    let (demo, authority) = (Demo::start(), Authority::new());
    let front = authority.front(demo.address(), &["localhost"], false);
    let by_tls = json!({
        "base_url": format!("https://localhost:{}/api/v4", front.rsplit(':').next().unwrap()),
        "tls_roots": authority.pem(),
    });
    for (name, way) in [("plain", json!({})), ("tls", by_tls)] {
        let folder = empty(support::target_dir().join(format!("forgotten.{name}")));
        let config = with(&with(&demo.config("forgotten"), way), json!({ "storage_dir": folder })).to_string();
        let mut child = tool("timeout")
            .arg("100")
            .arg(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{name}: {said}");
        assert!(said.contains("checks hold"), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_panic_is_a_status_and_nothing_is_printed() {
    let program = compile("tests/abi/panic.c", support::panic_dir());
    let demo = Demo::start();
    let output = Command::new(program).env("FLOATLEASE_CONFIG", demo.config("panic").to_string()).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"contained\n".as_slice()));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn behind_the_hosts_back_there_is_no_thread_no_file_no_signal_handler_and_no_output() {
    let quickstart = compile("examples/c/quickstart.c", release_dir());
    let log = support::target_dir().join("quickstart.strace");
    run(with_server(&tool("strace"))
        .args(["-f", "-o"])
        .arg(&log)
        .args(["-e", "trace=clone,clone3,fork,vfork,rt_sigaction,openat,open,creat,write,writev,sendto"])
        .arg(quickstart));
    let calls = std::fs::read_to_string(&log).unwrap();
    assert!(calls.contains("+++ exited with 0 +++") && calls.contains("sendto("), "{calls}");
    for call in calls.lines() {
        // With the bracket: a path may hold such a word.
        let calls = ["clone(", "clone3(", "fork(", "rt_sigaction(", "creat(", "write(2,", "writev("];
        let unwanted = [&calls[..], &["O_WRONLY", "O_RDWR", "O_CREAT"]].concat();
        assert!(!unwanted.iter().any(|unwanted| call.contains(unwanted)), "{call}");
    }
}

#[test]
fn a_leases_state_and_remaining_time_are_read_without_system_call_memory_or_lock() {
    let program = compile("tests/abi/wait_free.c", release_dir());
    let demo = Demo::start();
    let log = support::target_dir().join("wait_free.strace");
    // A lock would make it wait for ever.
    let config = demo.config("wait-free").to_string();
    let said = run(tool("timeout").arg("100").arg(&program).env("FLOATLEASE_CONFIG", &config));
    assert!(said.contains("checks hold"), "{said}");
    let mut strace = tool("strace");
    run(strace.args(["-f", "-o"]).arg(&log).args(["timeout", "100"]).arg(&program).env("FLOATLEASE_CONFIG", &config));
    let calls = std::fs::read_to_string(&log).unwrap();
    let parts: Vec<&str> = calls.split("getppid()").collect();
    assert_eq!(parts.len(), 3, "{calls}");
    // What is left of the first marker's line, and the number of the process before the second.
    assert_eq!(parts[1].lines().count(), 2, "{}", parts[1]);
    assert!(parts[0].contains("connect(") && parts[2].contains("SIGALRM"), "{calls}");
}

#[test]
fn memory_threads_and_files_stay_as_they_are_over_ten_thousand_renewals() {
    let program = compile("tests/abi/renewals.c", release_dir());
    for how in ["thread", "host"] {
        let demo = Demo::start();
        let config = demo.config("renewals").to_string();
        print!("{}", run(Command::new(&program).args([how, "10000"]).env("FLOATLEASE_CONFIG", config)));
    }
}

/// The long form is `make soak-clients`, with a thousand of them.
#[cfg(target_os = "linux")]
#[test]
fn many_clients_cost_little_and_leave_nothing_after_close() {
    const CLIENTS: i64 = 100;
    let program = compile("tests/abi/many_clients.c", release_dir());
    let demo = Demo::start();
    let catalogue = json!({
        "api_key": [{ "key": "key", "shared_key": "shared-key" }],
        "product": [{ "code": "P" }],
        "license": [{ "license_key": "AAAA-AAAA-AAAA-AAAA", "product": "P", "allow_unlimited_activations": true,
                      "floating": { "users": 1_000, "timeout_minutes": 120 } }],
    });
    let world = World::new(&demo, &json!({ "catalogue": catalogue }));
    let config = with(&world.config("any"), json!({ "hardware_id": null })).to_string();
    let said = run(tool("timeout")
        .arg("100")
        .arg(&program)
        .args(["100", "3"])
        // With the arenas of many threads, the allocator could not give back what was freed.
        .env("MALLOC_ARENA_MAX", "1")
        .env("FLOATLEASE_CONFIG", config));
    print!("{said}");
    let figures: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(figures["threads"].as_i64().unwrap() <= CLIENTS, "{said}");
    assert_eq!(figures["threads_after_close"], 0, "{said}");
    assert_eq!(figures["files_after_close"], 0, "{said}");
    // Twice what it is; see docs/figures.md.
    assert!(figures["resident_kb_a_client"].as_f64().unwrap() <= 128.0, "{said}");
    // The C library keeps up to 80 stacks of threads that have ended, of which calls have used some 40 kB each.
    assert!(figures["resident_kb_after_free"].as_i64().unwrap() <= 16 * CLIENTS + 80 * 40, "{said}");
    assert!(figures["idle_processor_ms_a_second"].as_f64().unwrap() <= 10.0, "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn many_submitted_calls_hold_little_and_leave_nothing() {
    const CALLS: i64 = 100;
    let program = compile("tests/abi/many_calls.c", release_dir());
    let demo = Demo::start();
    let world = World::silent(&demo);
    let config = |changes| with(&with(&world.config("desk"), json!({ "timeout_ms": 60_000 })), changes).to_string();
    let said = run(tool("timeout")
        .arg("100")
        .arg(&program)
        .args(["holdings", &CALLS.to_string()])
        .env("FLOATLEASE_CONFIG", config(json!({ "max_parallel": CALLS }))));
    print!("{said}");
    let figures: serde_json::Value = serde_json::from_str(&said).unwrap();
    // One thread and one connection each.
    assert_eq!((&figures["threads"], &figures["files"]), (&json!(CALLS), &json!(CALLS)), "{said}");
    assert_eq!((&figures["threads_after"], &figures["files_after"]), (&json!(0), &json!(0)), "{said}");
    // Twice what it is; see docs/figures.md.
    assert!(figures["resident_kb"].as_i64().unwrap() <= 200 * CALLS, "{said}");
    let answering = World::new(&demo, &json!({}));
    let rate = run(tool("timeout")
        .arg("100")
        .arg(&program)
        .args(["rate", "2000"])
        .env("FLOATLEASE_CONFIG", with(&answering.config("desk"), json!({ "max_parallel": 64 })).to_string()));
    assert!(rate.contains("calls_a_second"), "{rate}");
}

#[test]
fn everything_about_leases_at_once_from_many_threads() {
    let program = compile("tests/abi/stress.c", release_dir());
    let demo = Demo::start();
    let config = demo.config("stress").to_string();
    let said = run(tool("timeout").arg("100").arg(program).arg("2").env("FLOATLEASE_CONFIG", config));
    assert!(said.contains("calls"), "{said}");
}

#[test]
fn without_new_threads_slots_are_given_back() {
    let program = compile_with_sandbox("tests/abi/no_threads.c");
    let said = run(tool("timeout").arg("100").arg(program));
    assert!(said.contains("checks hold"), "{said}");
}

#[test]
fn a_sandbox_serves_a_client_in_the_same_process_and_every_misuse_of_it_is_a_status() {
    let program = compile_with_sandbox("tests/abi/sandbox.c");
    for mut command in [Command::new(&program), under_valgrind(&program)] {
        let said = run(&mut command);
        assert!(said.contains("checks hold"), "{said}");
    }
}

#[test]
fn two_hundred_sandboxes_leave_nothing_behind_and_do_nothing_behind_the_hosts_back() {
    let folder = empty(support::target_dir().join("sandbox_many.empty"));
    let program = compile_with_sandbox("tests/abi/sandbox_many.c");
    println!("{}", run(Command::new(&program).arg("200").env("TMPDIR", &folder).current_dir(&folder)));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);

    let log = support::target_dir().join("sandbox_many.strace");
    let mut strace = tool("strace");
    strace.args(["-f", "-e", "trace=rt_sigaction,openat,open,creat,write,writev,bind", "-o"]).arg(&log);
    let output = strace.arg(program).arg("1").current_dir(&folder).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let calls = std::fs::read_to_string(&log).unwrap();
    assert!(calls.contains("bind("), "{calls}");
    for call in calls.lines() {
        let unwanted = ["O_WRONLY", "O_RDWR", "O_CREAT", "creat(", "write(2,", "writev(", "--- SIG"];
        assert!(!unwanted.iter().any(|unwanted| call.contains(unwanted)), "{call}");
        assert!(!call.contains("bind(") || call.contains("127.0.0.1"), "{call}");
        // The C library's own, for its threads, and the program's.
        let known = ["SIGRT_", "SIGPIPE"].iter().any(|known| call.contains(known));
        assert!(!call.contains("rt_sigaction") || known, "{call}");
    }
}

#[test]
fn the_quick_start_shows_the_ten_operations_and_the_refusal() {
    assert_quick_start(&Command::new(compile("examples/c/quickstart.c", release_dir())));
}

#[test]
fn minimal_program_holds_a_lease_and_gives_it_back() {
    let program = compile_example(&["minimal.c"]);
    for command in [Command::new(&program), under_valgrind(&program)] {
        assert_minimal(&command, "minutes\nOK");
    }
}

#[test]
fn the_first_test_of_the_guide_takes_the_last_seat() {
    let said = run(&mut Command::new(compile_example(&["first_test.c"])));
    let statuses: Vec<&str> = said.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(statuses, ["OK", "OK", "FLOATING_NOT_AVAILABLE"]);
}

/// Runs an example's test, also under valgrind.
fn shows(sources: &[&str], shown: &[&str]) {
    let program = compile_example(sources);
    assert_shows(sources[0], [Command::new(&program), under_valgrind_sealing(&program)], shown);
}

#[test]
fn the_editor_saves_its_work_when_its_license_is_lost() {
    shows(
        &["test_save_your_work.c", "editor.c"],
        &[
            "the editor worked on and saved nothing.",
            "An outage longer than the slot's time: the work was saved, the editor stopped, and went on afterwards.",
            "A server that wants to be left alone: it was asked a few times, and the work was saved.",
            "A colleague took the slot meanwhile: the work was saved, and the editor stopped.",
            "The license expired: the work was saved, and the editor stopped.",
            "the editor holds exactly one slot.",
            "the editor says so, and begins when one is free.",
        ],
    );
}

#[test]
fn the_game_plays_when_it_may_and_never_waits() {
    shows(&["test_game_loop.c"], GAME);
}

#[test]
fn the_cad_program_saves_its_document_and_takes_a_feature_along() {
    shows(&["test_cad_document.c"], CAD);
}

#[test]
fn a_game_of_two_seconds_gives_its_slot_back() {
    assert_game(&compile_example(&["game_loop.c"]), "frame 1: state 0, Looking for a license.\n", ": state 1\n");
}

#[test]
fn a_trip_is_three_starts_of_the_cad_program_and_one_without_a_network() {
    assert_trip(&compile_example(&["cad_document.c"]));
}

#[test]
fn the_editor_saves_what_is_typed_and_gives_its_slot_back() {
    let program = compile_example(&["save_your_work.c", "editor.c"]);
    let document = support::target_dir().join("save_your_work.txt");
    let _ = std::fs::remove_file(&document);
    let script = r#"printf 'hello\nworld\n' | "$0" "$1"; echo "exit $?"; curl -s "$FLOATLEASE_CONTROL_URL/slots""#;
    let said = run(with_server(&Command::new("sh")).args(["-c", script]).args([&program, &document]));
    assert!(said.ends_with("exit 0\n{\"slots\":[]}"), "{said}");
    assert_eq!(std::fs::read_to_string(&document).unwrap(), "hello\nworld\n");

    let output = Command::new(&program).env_remove("FLOATLEASE_CONFIG").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("usage: "), "{output:?}");
}
