//! C programs against the headers and the libraries that ship: misuse, panics, threads, the quick start, sandboxes.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::abi::VERBS;
use support::sandbox::World;
use support::{Demo, release_dir, root, run, sandbox_dir, tool};

/// Compiles a C program against `include/` and the shared library in `library`.
fn compile(source: &str, library: &Path) -> PathBuf {
    compile_with("gnu11", &[source], &[("floatlease", library)])
}

/// The same for one that tests the sandbox: it needs both libraries.
fn compile_with_sandbox(source: &str) -> PathBuf {
    compile_with("gnu11", &[source], &[("floatlease", &release_dir()), ("floatlease_sandbox", &sandbox_dir())])
}

/// An example is plain C11, and links both libraries if it is a test.
fn compile_example(sources: &[&str]) -> PathBuf {
    let sources: Vec<String> = sources.iter().map(|source| format!("examples/c/{source}")).collect();
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let (client, sandbox) = (release_dir(), sandbox_dir());
    let libraries = [("floatlease", client.as_path()), ("floatlease_sandbox", sandbox.as_path())];
    let is_test = sources[0].contains("test");
    compile_with("c11", &sources, if is_test { &libraries } else { &libraries[..1] })
}

fn compile_with(standard: &str, sources: &[&str], libraries: &[(&str, &Path)]) -> PathBuf {
    let program = support::target_dir().join(Path::new(sources[0]).file_stem().unwrap());
    let mut compiler = tool("cc");
    compiler
        .arg(format!("-std={standard}"))
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-pthread", "-o"])
        .arg(&program)
        .args(sources.iter().map(|source| root().join(source)))
        .arg(format!("-I{}", root().join("include").display()));
    for (name, folder) in libraries {
        compiler
            .args([format!("-L{0}", folder.display()), format!("-Wl,-rpath,{}", folder.display())])
            .arg(format!("-l{name}"));
    }
    run(&mut compiler);
    program
}

/// Runs a program that fails if valgrind finds an error or a leak in it.
fn under_valgrind(program: &Path) -> Command {
    let mut valgrind = tool("valgrind");
    valgrind
        .args(["--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect"])
        .args(["--show-leak-kinds=definite,indirect", "--quiet"])
        .arg(program);
    valgrind
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
    let program = compile("tests/abi/misuse.c", &release_dir());
    misuse(&mut Command::new(&program));
    misuse(&mut under_valgrind(&program));
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
        // With the bracket: a path may hold such a word.
        let calls = ["clone(", "clone3(", "fork(", "rt_sigaction(", "creat(", "write(2,", "writev("];
        let unwanted = [&calls[..], &["O_WRONLY", "O_RDWR", "O_CREAT"]].concat();
        assert!(!unwanted.iter().any(|unwanted| call.contains(unwanted)), "{call}");
    }
}

#[test]
fn a_leases_state_and_remaining_time_are_read_without_system_call_memory_or_lock() {
    let program = compile("tests/abi/wait_free.c", &release_dir());
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
    let program = compile("tests/abi/renewals.c", &release_dir());
    for how in ["thread", "host"] {
        let demo = Demo::start();
        let config = demo.config("renewals").to_string();
        print!("{}", run(Command::new(&program).args([how, "10000"]).env("FLOATLEASE_CONFIG", config)));
    }
}

#[test]
fn everything_about_leases_at_once_from_many_threads() {
    let program = compile("tests/abi/stress.c", &release_dir());
    let demo = Demo::start();
    let config = demo.config("stress").to_string();
    let said = run(tool("timeout").arg("100").arg(program).arg("2").env("FLOATLEASE_CONFIG", config));
    assert!(said.contains("calls"), "{said}");
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
    let folder = support::target_dir().join("sandbox_many.empty");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
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

#[test]
fn the_first_test_of_the_guide_takes_the_last_seat() {
    let said = run(&mut Command::new(compile_example(&["first_test.c"])));
    let statuses: Vec<&str> = said.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(statuses, ["OK", "OK", "FLOATING_NOT_AVAILABLE"]);
}

/// Runs an example's test, also under valgrind, in an empty folder that it must leave empty. It prints a sentence for
/// each thing it shows, and these are they.
fn shows(sources: &[&str], shown: &[&str]) {
    let program = compile_example(sources);
    // It can't tell what ring's assembly, which seals files, has written.
    let mut valgrind = tool("valgrind");
    valgrind.arg("--undef-value-errors=no").args(under_valgrind(&program).get_args());
    for (number, mut command) in [Command::new(&program), valgrind].into_iter().enumerate() {
        let folder = program.with_extension(number.to_string());
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let said = run(command.current_dir(&folder));
        for sentence in shown {
            assert!(said.contains(sentence), "{sentence} in\n{said}");
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }
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
    shows(
        &["test_game_loop.c"],
        &[
            "The first start: the picture was there at once, and the game soon.",
            "A server that never answers: a hundred thousand frames were drawn meanwhile.",
            "the game queued, and began when one was free.",
            "the game played on, was saved, stopped, and went on when the server was back.",
        ],
    );
}

#[test]
fn the_cad_program_saves_its_document_and_takes_a_feature_along() {
    shows(
        &["test_cad_document.c"],
        &[
            "Somebody has the one SOLVER: MESH was not kept either.",
            "An outage: the document was saved in time and again at the end, and work went on afterwards.",
            "A trip: MESH came along, a start needed no network, and an early return gave it back.",
            "A trip longer than the borrow: the document was saved.",
        ],
    );
}

#[test]
fn a_game_of_two_seconds_gives_its_slot_back() {
    let program = compile_example(&["game_loop.c"]);
    let script = r#""$0" 120; echo "exit $?"; curl -s "$FLOATLEASE_CONTROL_URL/slots""#;
    let said = run(Command::new(support::server_binary()).args(["exec", "--", "sh", "-c", script]).arg(&program));
    assert!(said.contains("frame 1: state 0, Looking for a license.\n") && said.contains(": state 1\n"), "{said}");
    assert!(said.ends_with("of 120 frames were played.\nexit 0\n{\"slots\":[]}"), "{said}");
}

#[test]
fn a_trip_is_three_starts_of_the_cad_program_and_one_without_a_network() {
    let program = compile_example(&["cad_document.c"]);
    let folder = program.with_extension("trip");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    let script = r#"
        run() { printf '%s\n' "$@" | "$program" "$PWD/leases" document; curl -s "$FLOATLEASE_CONTROL_URL/slots"; echo; }
        program=$0
        run 'draw a wall' solve trip solve
        curl -s "$FLOATLEASE_CONTROL_URL/faults/profile" -d '{"profile":"outage"}' > /dev/null
        run 'draw a door' solve
        curl -s -X DELETE "$FLOATLEASE_CONTROL_URL/faults" > /dev/null
        run home solve
    "#;
    let mut command = Command::new(support::server_binary());
    let said = run(command.args(["exec", "--", "sh", "-c", script]).arg(&program).current_dir(&folder));
    let lines: Vec<&str> = said.lines().map(|line| line.split("\"hardware_id\"").next().unwrap()).collect();
    let mesh = r#"{"slots":[{"license":"CADP-FLOA-TING-0002","feature":"MESH","#;
    let expected = [
        &["MESH and SOLVER are yours.", "Drawn.", "Solved.", "MESH is borrowed: pull the plug when you like."][..],
        &["Not solved: SOLVER stayed at the office.", mesh],
        &["MESH is borrowed.", "Drawn.", "Not solved: SOLVER stayed at the office.", mesh],
        &["MESH is borrowed.", "The borrow is given back.", "MESH and SOLVER are yours.", "Solved.", "{\"slots\":[]}"],
    ];
    assert_eq!(lines, expected.concat(), "{said}");
    assert_eq!(std::fs::read_to_string(folder.join("document")).unwrap(), "a wall\na door\n");
}

#[test]
fn the_editor_saves_what_is_typed_and_gives_its_slot_back() {
    let program = compile_example(&["save_your_work.c", "editor.c"]);
    let document = support::target_dir().join("save_your_work.txt");
    let _ = std::fs::remove_file(&document);
    let script = r#"printf 'hello\nworld\n' | "$0" "$1"; echo "exit $?"; curl -s "$FLOATLEASE_CONTROL_URL/slots""#;
    let said = run(Command::new(support::server_binary())
        .args(["exec", "--", "sh", "-c", script])
        .args([&program, &document]));
    assert!(said.ends_with("exit 0\n{\"slots\":[]}"), "{said}");
    assert_eq!(std::fs::read_to_string(&document).unwrap(), "hello\nworld\n");

    let output = Command::new(&program).env_remove("FLOATLEASE_CONFIG").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("usage: "), "{output:?}");
}
