//! The Python package: its types, its style, its own tests, its examples, and its wheel as a stranger would install it.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::{command_line_binary, release_dir, root, run, sandbox_dir, server_binary, tool};

/// Python with pytest, mypy, ruff and auditwheel, as scripts/environments/python-tools.txt pins them.
fn tools() -> PathBuf {
    let bin = support::target_dir().parent().unwrap().join("python-tools/bin");
    assert!(bin.join("python").exists(), "{} is missing: run scripts/setup", bin.display());
    bin
}

/// One of these programs, on the package as it lies here and the libraries as they ship.
fn command(program: &str) -> Command {
    let mut command = Command::new(tools().join(program));
    with_libraries(&mut command).env("PYTHONPATH", package()).current_dir(package());
    command
}

fn with_libraries(command: &mut Command) -> &mut Command {
    command
        .env("FLOATLEASE_LIBRARY", release_dir().join("libfloatlease.so.1"))
        .env("FLOATLEASE_SANDBOX_LIBRARY", sandbox_dir().join("libfloatlease_sandbox.so.1"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // In another locale Python would misspell the folder.
        .env("PYTHONUTF8", "1")
}

fn package() -> PathBuf {
    root().join("bindings/python")
}

/// A folder of the test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = support::target_dir().join("python").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn it_is_typed_and_so_are_its_examples() {
    let checked = [
        "floatlease",
        "floatlease_pyinstaller.py",
        "floatlease_pytest.py",
        "hatch_build.py",
        "tests",
        "../../tests/drivers/driver.py",
        "../../tests/drivers/replies.py",
    ];
    let mut mypy = command("mypy");
    mypy.args(["--cache-dir", folder("mypy").to_str().unwrap()]).env("MYPYPATH", ".:tests").args(checked);
    run(mypy.args(examples()));
}

/// What VS Code's Pylance shows, and mypy does not: a member that a reply may lack, and whatever has no type at all.
#[test]
fn pyright_finds_no_error_in_it_and_in_its_examples() {
    let pyright = |arguments: &[&str]| {
        let mut pyright = command("basedpyright");
        pyright.arg("--pythonpath").arg(tools().join("python")).args(arguments);
        pyright
    };
    run(&mut pyright(&["--warnings", "--project", "."]));
    // It takes PyInstaller's hooks for modules, and can't find one of that name; so its exit code tells nothing.
    let output = pyright(&["--verifytypes", "floatlease", "--ignoreexternal"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("Type completeness score: 100%"), "{said}");
}

/// Every example in Python.
fn examples() -> Vec<PathBuf> {
    let files = std::fs::read_dir(root().join("examples/python")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "py")).collect()
}

#[test]
fn it_is_tidy() {
    let places = [".", "../../examples/python", "../../tests/drivers"];
    for what in [&["check"][..], &["format", "--check"]] {
        run(command("ruff").args(what).args(["--no-cache", "--config", "pyproject.toml"]).args(places));
    }
}

#[test]
fn its_own_tests_pass() {
    let plugins = ["-p", "floatlease_pytest", "-p", "no:cacheprovider"];
    let folder = folder("pytest").join("base");
    run(command("python").args(["-m", "pytest", "-q", "tests"]).args(plugins).arg("--basetemp").arg(folder));
}

/// What an example prints beside a server of its own; then who holds what.
fn example(script: &str, name: &str) -> String {
    tool("curl");
    let mut server = Command::new(server_binary());
    let python = format!("{}/python", tools().display());
    server.args(["exec", "--", "sh", "-c", script, &python]).arg(root().join("examples/python").join(name));
    run(with_libraries(&mut server).env("PYTHONPATH", package()).current_dir(folder(name)))
}

const RUN: &str = r#""$0" -W error "$1" && curl -s "$FLOATLEASE_CONTROL_URL/slots""#;

#[test]
fn the_quick_start_tells_the_story_of_the_one_in_c() {
    let said = example(r#""$0" -W error "$1""#, "quickstart.py");
    let verbs = "activate_license check_license borrow_license release_license check_feature borrow_feature \
        release_feature add_feature_consumption add_consumption deactivate_license";
    for verb in verbs.split_whitespace() {
        let done = said.lines().any(|line| line.contains(&format!(" {verb} ")) && line.contains(" ok"));
        assert!(done, "{verb} in\n{said}");
    }
    for words in ["refused: FLOATING_NOT_AVAILABLE", "Wait until a colleague", "ACTIVE, for 12"] {
        assert!(said.contains(words), "{words} in\n{said}");
    }
    assert!(said.ends_with("\nDone.\n"), "{said}");
}

#[test]
fn minimal_program_holds_a_lease_and_gives_it_back() {
    let said = example(RUN, "minimal.py");
    assert!(said.starts_with("licensed for 12") && said.ends_with(" minutes\nreleased\n{\"slots\":[]}"), "{said}");
}

#[test]
fn the_editor_saves_what_is_typed_and_gives_its_slot_back() {
    let script = r#"printf 'hello\nworld\n' | "$0" -W error "$1" notes.txt && cat notes.txt && curl -s "$FLOATLEASE_CONTROL_URL/slots""#;
    let said = example(script, "editor.py");
    assert_eq!(said, "Licensed. Type; Ctrl-D saves and ends.\nhello\nworld\n{\"slots\":[]}");
}

#[test]
fn the_service_does_its_jobs_and_gives_its_feature_back() {
    let said = example(RUN, "service.py");
    assert!(said.starts_with("ACTIVE for 64 minutes\n") && said.ends_with("{\"slots\":[]}"), "{said}");
    for words in ["job 1 is rendered", "job 2 is rendered", "job 3 is rendered", ", 3 minutes in all"] {
        assert!(said.contains(words), "{words} in\n{said}");
    }
}

#[test]
fn worker_on_gevent_does_its_jobs_and_gives_its_feature_back() {
    let said = example(RUN, "gevent_worker.py");
    assert!(said.ends_with("{\"slots\":[]}"), "{said}");
    for words in ["job 1 is rendered", "job 2 is rendered", "job 3 is rendered", ", 3 minutes in all"] {
        assert!(said.contains(words), "{words} in\n{said}");
    }
}

/// The wheel's platform: by the older name for the same too, which a pip before 20.3 knows alone, as RHEL 8's.
const PLATFORM: &str = "manylinux_2_17_x86_64.manylinux2014_x86_64";

/// A wheel of these libraries, in a folder of that name.
fn wheel(name: &str) -> PathBuf {
    let mut script = Command::new(tools().join("python"));
    script.arg(root().join("scripts/dist/wheel")).args(["python", PLATFORM]).arg(folder(name));
    let libraries = [release_dir().join("libfloatlease.so"), sandbox_dir().join("libfloatlease_sandbox.so")];
    PathBuf::from(run(script.args(libraries)).trim())
}

#[test]
fn a_wheel_is_the_same_each_time_and_as_the_format_wants_it() {
    let (first, second) = (wheel("first"), wheel("second"));
    assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(second).unwrap());
    let name = format!("floatlease-{}-py3-none-{PLATFORM}.whl", env!("CARGO_PKG_VERSION"));
    assert_eq!(first.file_name().unwrap().to_str().unwrap(), name);
    run(command("python").args(["-c", CHECK_WHEEL]).arg(&first));
    let shown = run(Command::new(tools().join("auditwheel")).arg("show").arg(&first));
    assert!(shown.contains("is consistent with"), "{shown}");
}

/// By the rules of packaging.python.org: the record, the metadata, the tags.
const CHECK_WHEEL: &str = r#"
import base64, csv, hashlib, io, sys, zipfile
from packaging.metadata import Metadata
from packaging.utils import parse_wheel_filename

name, version, _, tags = parse_wheel_filename(sys.argv[1].rsplit("/", 1)[1])
archive = zipfile.ZipFile(sys.argv[1])
info = f"{name}-{version}.dist-info"
metadata = Metadata.from_email(archive.read(f"{info}/METADATA"))
assert (metadata.name, metadata.version, str(metadata.requires_python)) == ("floatlease", version, ">=3.9")
told = [line for line in archive.read(f"{info}/WHEEL").decode().splitlines() if line.startswith("Tag: ")]
assert sorted(told) == sorted(f"Tag: {tag}" for tag in tags) and len(tags) == 2, told
assert "floatlease = floatlease_pytest" in archive.read(f"{info}/entry_points.txt").decode()
record = {row[0]: row[1:] for row in csv.reader(io.StringIO(archive.read(f"{info}/RECORD").decode()))}
assert list(record) == archive.namelist()
assert len(set(record)) == len(archive.namelist()) > 20
for file, (digest, size) in record.items():
    if file != f"{info}/RECORD":
        data = archive.read(file)
        found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        assert (digest, int(size)) == (f"sha256={found}", len(data)), file
for file in ("py.typed", "libfloatlease.so", "libfloatlease_sandbox.so", "_status.py"):
    assert f"floatlease/{file}" in record, file
assert not any("__pycache__" in file for file in record)
"#;

/// A program in this folder, to which the environment tells nothing of the checkout.
fn stranger(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    for name in ["FLOATLEASE_LIBRARY", "FLOATLEASE_SANDBOX_LIBRARY", "PYTHONPATH", "LD_LIBRARY_PATH"] {
        command.env_remove(name);
    }
    command.current_dir(home);
    command
}

/// The extra `cli` is the command of the same version, which is found beside the environment's Python.
#[test]
fn extra_of_the_wheel_installs_the_command() {
    let (wheel, home) = (wheel("with-command"), folder("command"));
    let folder = wheel.parent().unwrap();
    let mut script = Command::new(tools().join("python"));
    script.arg(root().join("scripts/dist/wheel")).args(["python-cli", PLATFORM]).arg(folder);
    let of_command = run(script.arg(command_line_binary()));
    assert!(
        of_command.trim().ends_with(&format!("floatlease_cli-{}-py3-none-{PLATFORM}.whl", env!("CARGO_PKG_VERSION")))
    );
    let venv = home.join("venv");
    run(Command::new(tools().join("python")).args(["-m", "venv"]).arg(&venv));
    let mut pip = stranger(&venv.join("bin/python"), &home);
    pip.args(["-m", "pip", "install", "--quiet", "--no-index", "--find-links"]).arg(folder);
    run(pip.arg(format!("floatlease[cli]=={}", env!("CARGO_PKG_VERSION"))));
    run(stranger(&venv.join("bin/python"), &home).args(["-m", "pip", "check"]));
    let mut server = stranger(&server_binary(), &home);
    let said = run(server.args(["exec", "--"]).arg(venv.join("bin/floatlease")).args(["call", "activate_license"]));
    assert!(said.contains("license_type"), "{said}");
}

/// In an environment where nothing is but the wheel, and pytest from the tools.
#[test]
fn a_stranger_installs_the_wheel_and_runs_an_example_and_its_test() {
    let (wheel, home) = (wheel("strange"), folder("stranger"));
    let venv = home.join("venv");
    run(Command::new(tools().join("python")).args(["-m", "venv"]).arg(&venv));
    let python = venv.join("bin/python");
    let stranger = |program: &Path| stranger(program, &home);
    run(stranger(&python).args(["-m", "pip", "install", "--quiet", "--no-index"]).arg(wheel));
    run(stranger(&python).args(["-m", "pip", "check"]));

    let quickstart = root().join("examples/python/quickstart.py");
    let said = run(stranger(&server_binary()).args(["exec", "--"]).arg(&python).arg(quickstart));
    assert!(said.ends_with("Done.\n"), "{said}");

    for name in ["editor.py", "test_editor.py"] {
        std::fs::copy(root().join("examples/python").join(name), home.join(name)).unwrap();
    }
    let find = "import os, pytest; print(os.path.dirname(os.path.dirname(pytest.__file__)))";
    let pytest = run(Command::new(tools().join("python")).args(["-c", find]));
    let mut test = stranger(&python);
    let said = run(test.args(["-m", "pytest", "-q", "test_editor.py"]).env("PYTHONPATH", pytest.trim()));
    assert!(said.contains("4 passed"), "{said}");
}

/// PyInstaller, which finds the hooks of the wheel as they are installed, and the folder that it works in.
fn pyinstaller(name: &str) -> (Command, PathBuf) {
    let (wheel, home) = (wheel(&format!("{name}-wheel")), folder(name));
    let site = home.join("site");
    let mut pip = Command::new(tools().join("python"));
    run(pip.args(["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target"]).arg(&site).arg(wheel));
    let mut command = Command::new(tools().join("pyinstaller"));
    for name in ["FLOATLEASE_LIBRARY", "FLOATLEASE_SANDBOX_LIBRARY"] {
        command.env_remove(name);
    }
    command.args(["--noconfirm", "--log-level", "WARN"]).current_dir(&home);
    command.env("PYTHONPATH", &site).env("PYINSTALLER_CONFIG_DIR", home.join("config"));
    // It takes what the system's programs say for UTF-8.
    command.env("LC_ALL", "C.UTF-8");
    (command, home)
}

/// What a frozen program says that has no Python, and no library but what it was built with.
fn frozen(command: &mut Command) -> String {
    run(command.env_clear().env("PATH", "/nowhere").current_dir("/"))
}

#[test]
fn program_frozen_by_pyinstaller_holds_a_lease_and_gives_it_back() {
    let (mut pyinstaller, home) = pyinstaller("frozen");
    run(pyinstaller.arg(root().join("examples/python/minimal.py")));
    let program = home.join("dist/minimal");
    let libraries = program.join("_internal/floatlease");
    assert!(libraries.join("libfloatlease.so").exists());
    assert!(!libraries.join("libfloatlease_sandbox.so").exists(), "the sandbox must not ship");

    let said = frozen(Command::new(server_binary()).args(["exec", "--"]).arg(program.join("minimal")));
    assert!(said.starts_with("licensed for 12") && said.ends_with(" minutes\nreleased\n"), "{said}");
}

#[test]
fn program_frozen_into_one_file_takes_the_sandbox_along_if_it_imports_it() {
    let (mut pyinstaller, home) = pyinstaller("frozen-sandbox");
    let source = home.join("sandboxed.py");
    let lines = [
        "from floatlease.sandbox import Sandbox",
        "with Sandbox() as sandbox:",
        "    print(sandbox.info['license_key'])",
    ];
    std::fs::write(&source, lines.join("\n")).unwrap();
    let output = pyinstaller.arg("--onefile").arg(&source).output().unwrap();
    let warned = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && warned.contains("never ship it"), "{warned}");

    let said = frozen(&mut Command::new(home.join("dist/sandboxed")));
    assert!(said.len() > 10, "{said}");
}

#[test]
fn freezing_a_package_without_library_fails_and_says_what_to_do() {
    let (mut pyinstaller, home) = pyinstaller("frozen-without");
    std::fs::remove_file(home.join("site/floatlease/libfloatlease.so")).unwrap();
    let output = pyinstaller.arg(root().join("examples/python/minimal.py")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("The native library of floatlease is not in "), "{said}");
    assert!(said.contains("Install the floatlease wheel for this system"), "{said}");
}
