//! Programs in C and C++ that tests compile, run, and watch.

use super::abi::VERBS;
use super::{release_dir, root, run, sandbox_dir, server_binary, target_dir, tool};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a program is made of sources of this repository.
#[derive(Clone, Copy)]
pub struct Build<'a> {
    /// Of its file; tests that run side by side give it different ones.
    pub name: &'a str,
    pub compiler: &'a str,
    /// The language's standard, and whatever else is not said by every test.
    pub flags: &'a [&'a str],
    pub sources: &'a [&'a str],
    /// Where the shared libraries are that it needs, by name.
    pub libraries: &'a [(&'a str, PathBuf)],
}

impl Build<'_> {
    /// Compiles it without a warning, against `include/`.
    pub fn compile(&self) -> PathBuf {
        let program = target_dir().join(self.name);
        let mut compiler = tool(self.compiler);
        compiler
            .args(self.flags)
            .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-pthread", "-o"])
            .arg(&program)
            .args(self.sources.iter().map(|source| root().join(source)))
            .arg(format!("-I{}", root().join("include").display()));
        for (name, folder) in self.libraries {
            compiler
                .args([format!("-L{0}", folder.display()), format!("-Wl,-rpath,{}", folder.display())])
                .arg(format!("-l{name}"));
        }
        run(&mut compiler);
        program
    }
}

/// The library that ships, and the sandbox's, which only a test needs.
pub fn libraries() -> [(&'static str, PathBuf); 2] {
    [("floatlease", release_dir()), ("floatlease_sandbox", sandbox_dir())]
}

/// Runs a program that fails if valgrind finds an error or a leak in it.
pub fn under_valgrind(program: &Path) -> Command {
    valgrind(&[], program)
}

/// The same for one that has files sealed: valgrind can't tell what ring's assembly has written.
pub fn under_valgrind_sealing(program: &Path) -> Command {
    valgrind(&["--undef-value-errors=no"], program)
}

fn valgrind(options: &[&str], program: &Path) -> Command {
    let mut valgrind = tool("valgrind");
    valgrind
        .args(options)
        .args([
            "--fair-sched=try",
            "--error-exitcode=99",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite,indirect",
        ])
        .args(["--show-leak-kinds=definite,indirect", "--quiet"])
        .arg(program);
    valgrind
}

/// An empty folder.
pub fn empty(folder: PathBuf) -> PathBuf {
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// Runs an example's test in each of these ways, each in an empty folder that it must leave empty. It prints a sentence
/// for each thing it shows, and these are they.
pub fn assert_shows(name: &str, ways: impl IntoIterator<Item = Command>, shown: &[&str]) {
    for (number, mut command) in ways.into_iter().enumerate() {
        let folder = empty(target_dir().join(format!("{name}.{number}")));
        let said = run(command.current_dir(&folder));
        for sentence in shown {
            assert!(said.contains(sentence), "{sentence} in\n{said}");
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }
}

/// What the tests of the game show, in each language.
pub const GAME: &[&str] = &[
    "The first start: the picture was there at once, and the game soon.",
    "A server that never answers: a hundred thousand frames were drawn meanwhile.",
    "the game queued, and began when one was free.",
    "the game played on, was saved, stopped, and went on when the server was back.",
];

/// What the tests of the CAD program show.
pub const CAD: &[&str] = &[
    "Somebody has the one SOLVER: MESH was not kept either.",
    "An outage: the document was saved in time and again at the end, and work went on afterwards.",
    "A trip: MESH came along, a start needed no network, and an early return gave it back.",
    "A trip longer than the borrow: the document was saved.",
];

/// Runs a command around which a fresh server runs.
pub fn with_server(inner: &Command) -> Command {
    let mut command = Command::new(server_binary());
    command.args(["exec", "--"]).arg(inner.get_program()).args(inner.get_args());
    command
}

/// The quick start shows the ten operations and the refusal.
pub fn assert_quick_start(quickstart: &Command) {
    let transcript = run(&mut with_server(quickstart));
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

/// The program of the README is licensed, and then gives its slot back.
pub fn assert_minimal(program: &Command, last: &str) {
    let script = r#""$0" "$@"; echo "exit $?"; curl -s "$FLOATLEASE_CONTROL_URL/slots""#;
    tool("curl");
    let mut command = with_server(Command::new("sh").args(["-c", script]));
    let said = run(command.arg(program.get_program()).args(program.get_args()));
    assert!(said.starts_with("licensed for 12"), "{said}");
    assert!(said.ends_with(&format!("{last}\nexit 0\n{{\"slots\":[]}}")), "{said}");
}

/// A game of two seconds begins with this frame, comes to be licensed, and gives its slot back.
pub fn assert_game(game: &Path, first_frame: &str, licensed: &str) {
    let script = r#""$0" 120; echo "exit $?"; curl -s "$FLOATLEASE_CONTROL_URL/slots""#;
    let said = run(with_server(&Command::new("sh")).args(["-c", script]).arg(game));
    assert!(said.contains(first_frame) && said.contains(licensed), "{said}");
    assert!(said.ends_with("of 120 frames were played.\nexit 0\n{\"slots\":[]}"), "{said}");
}

/// A trip is three starts of the CAD program, and one of them without a network.
pub fn assert_trip(cad: &Path) {
    let folder = empty(cad.with_extension("trip"));
    let script = r#"
        run() { printf '%s\n' "$@" | "$program" "$PWD/leases" document; curl -s "$FLOATLEASE_CONTROL_URL/slots"; echo; }
        program=$0
        run 'draw a wall' solve trip solve
        curl -s "$FLOATLEASE_CONTROL_URL/faults/profile" -d '{"profile":"outage"}' > /dev/null
        run 'draw a door' solve
        curl -s -X DELETE "$FLOATLEASE_CONTROL_URL/faults" > /dev/null
        run home solve
    "#;
    let said = run(with_server(&Command::new("sh")).args(["-c", script]).arg(cad).current_dir(&folder));
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
