//! `scripts/setup` on computers of another kind than this one: without a package manager, without sudo, with a python3 or
//! a Rust that is too old, and on arm64. Programs are stand-ins; what they were asked for is seen in a log.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};
use support::programs::empty;
use support::{root, run, target_dir, tool};

/// A Python of the version `VERSION_OF_IT`; it has pip in every environment that it makes.
const PYTHON: &str = r#"#!/bin/bash
echo "$(basename "$0") $*" | head -1 >>"$STATE/log"
case "$1 $2" in
*ensurepip*) [ -e "$STATE/venv" ] ;;
"--version ") echo "Python $VERSION_OF_IT" ;;
"-m venv") mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
"-m pip") echo "pip with PYTHONUTF8=$PYTHONUTF8" >>"$STATE/log" ;;
esac
"#;

/// It installs a Python as the stand-in `STATE/python3.11`, and takes the rest for installed.
const APT_GET: &str = r#"#!/bin/bash
echo "apt-get $*" >>"$STATE/log"
case "$*" in
*--assume-no*) printf 'Need to get 1,234 kB of archives.\nAfter this operation, 5,678 kB of additional disk space will be used.\n' ;;
*-venv*) touch "$STATE/venv" ;;
esac
case "$*" in *python3.11*) cp "$STATE/python3.11" "$STATE/bin/" ;; esac
"#;

const APT_CACHE: &str = r#"#!/bin/bash
echo "  Candidate: $(cat "$STATE/offers/$2" 2>/dev/null || echo "(none)")"
"#;

const SUDO: &str = r#"#!/bin/bash
echo "sudo $*" >>"$STATE/log"
"$@"
"#;

/// What the scripts call that every Debian has.
const ESSENTIAL: [&str; 18] = [
    "awk", "basename", "bash", "cat", "cmp", "cp", "dirname", "env", "head", "mkdir", "paste", "sed", "sh", "sleep",
    "sort", "touch", "tr", "true",
];

/// A computer that lacks every Python environment.
struct Computer {
    home: PathBuf,
    python: &'static str,
    processor: &'static str,
    /// It has nothing of what the tests need, but for Rust.
    bare: bool,
}

impl Computer {
    /// Root's, with apt-get, and with Debian's python3, which has no venv.
    fn new(name: &str) -> Computer {
        std::fs::create_dir_all(target_dir().join("setup")).unwrap();
        let home = empty(target_dir().join("setup").join(name));
        std::fs::create_dir_all(home.join("offers")).unwrap();
        let computer = Computer { home, python: "3.11", processor: "x86_64", bare: false };
        computer.has("python3", PYTHON);
        computer.has("apt-get", APT_GET);
        computer.has("apt-cache", APT_CACHE);
        computer.has("sudo", SUDO);
        for newer in ["python3.11", "python3.12", "python3.13", "python3.14"] {
            computer.has(newer, "#!/bin/sh\nexit 127\n");
        }
        computer.is_used_by(0);
        computer.has_version("cargo", "1.95.0");
        computer.has_version("node", "18.20.4");
        computer
    }

    fn bare(name: &str) -> Computer {
        let computer = Computer { bare: true, ..Computer::new(name) };
        for name in ESSENTIAL {
            let path = std::env::var_os("PATH").unwrap();
            let place = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|place| place.exists());
            symlink(place.unwrap(), computer.home.join("bin").join(name)).unwrap();
        }
        computer
    }

    fn has(&self, command: &str, script: &str) {
        let path = self.home.join("bin").join(command);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn lacks(&self, command: &str) {
        std::fs::remove_file(self.home.join("bin").join(command)).unwrap();
    }

    fn is_used_by(&self, user: u32) {
        self.has("id", &format!("#!/bin/sh\necho {user}\n"));
    }

    /// A program that can do nothing but say its version.
    fn has_version(&self, command: &str, version: &str) {
        self.has(command, &format!("#!/bin/sh\necho {command} v{version}\n"));
    }

    /// Its lists of packages have this one.
    fn offers(&self, package: &str, version: &str) {
        std::fs::write(self.home.join("offers").join(package), version).unwrap();
    }

    fn setup(&self, arguments: &[&str]) -> Output {
        self.has("uname", &format!("#!/bin/sh\necho {}\n", self.processor));
        let bin = self.home.join("bin").display().to_string();
        let path = if self.bare { bin } else { format!("{bin}:{}", std::env::var("PATH").unwrap()) };
        Command::new(root().join("scripts/setup"))
            .args(arguments)
            .env("PATH", path)
            .env("STATE", &self.home)
            .env("CARGO_TARGET_DIR", self.home.join("target"))
            .env("VERSION_OF_IT", self.python)
            .output()
            .unwrap()
    }

    /// It succeeds; what it said.
    fn installs(&self) -> String {
        let output = self.setup(&[]);
        let said = said(&output);
        assert!(output.status.success(), "{said}");
        said
    }

    /// It fails and says why, before it has installed anything.
    fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.setup(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        for step in [" install ", "-m venv"] {
            assert!(!self.log().contains(step), "{}", self.log());
        }
        said(&output)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    fn has_environment(&self, name: &str) -> bool {
        self.home.join("target").join(name).join("requirements.txt").exists()
    }
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

fn assert_says(said: &str, words: &[&str]) {
    for words in words {
        assert!(said.contains(words), "{words} in {said}");
    }
}

#[test]
fn python_without_venv_gets_it_by_apt() {
    let computer = Computer::new("debian");
    computer.installs();
    assert_says(&computer.log(), &["install -y --no-install-recommends python3-venv"]);
    for name in ["schemathesis", "python-tools", "dotnet", "docs"] {
        assert!(computer.has_environment(name), "{name}");
    }
}

/// It writes the folder's name into each program, and in a locale of another encoding that would be another name.
#[test]
fn pip_takes_names_of_folders_for_utf_8() {
    let computer = Computer::new("utf-8");
    computer.installs();
    assert_says(&computer.log(), &["pip with PYTHONUTF8=1"]);
}

#[test]
fn packages_are_told_with_their_size() {
    let said = Computer::new("size").installs();
    assert_says(&said, &["(1,234 kB to download, 5,678 kB on disk): python3-venv", "docs (by pip, 135 MB on disk)"]);
}

#[test]
fn user_with_sudo_installs_by_it() {
    let computer = Computer::new("user");
    computer.is_used_by(1000);
    computer.installs();
    assert_says(&computer.log(), &["sudo env DEBIAN_FRONTEND=noninteractive"]);
}

#[test]
fn user_without_sudo_is_told_what_root_must_install() {
    let computer = Computer::bare("user-without-sudo");
    computer.is_used_by(1000);
    computer.lacks("sudo");
    let said = computer.refuses(&[]);
    assert_says(
        &said,
        &["this machine has no sudo", "As root: apt-get install binutils build-essential clang", " strace valgrind"],
    );
}

#[test]
fn machine_without_apt_get_lists_what_is_missing() {
    let computer = Computer::bare("another-system");
    computer.lacks("apt-get");
    let said = computer.refuses(&[]);
    assert_says(
        &said,
        &["strace (Debian: strace), for", "apt-get, and this machine has none", "Install what is listed"],
    );
}

#[test]
fn check_lists_what_is_missing() {
    let said = Computer::bare("check").refuses(&["--check"]);
    assert_says(&said, &["strace (Debian: strace), for", "scripts/setup installs it"]);
}

#[test]
fn missing_rust_comes_by_apt_where_it_is_new_enough() {
    let computer = Computer::bare("rust");
    computer.lacks("cargo");
    computer.offers("cargo", "0.66.0+ds1-1");
    computer.offers("cargo-web", "1.96.0+dfsg1-1~deb12u2");
    assert_eq!(computer.setup(&["demo"]).status.code(), Some(0));
    assert_says(&computer.log(), &["install -y --no-install-recommends build-essential cargo-web\n"]);
}

#[test]
fn rust_that_is_too_old_is_told() {
    let computer = Computer::new("old-rust");
    computer.has_version("cargo", "1.60.0");
    computer.offers("cargo-web", "1.96.0");
    assert_says(
        &computer.refuses(&["demo"]),
        &["cargo 1.", "; this machine has 1.60.0. Install Rust from https://rustup.rs"],
    );
}

#[test]
fn node_that_is_too_old_everywhere_is_told() {
    let computer = Computer::bare("old-node");
    computer.lacks("node");
    computer.offers("nodejs", "12.22.9~dfsg-1ubuntu3");
    assert_says(&computer.refuses(&[]), &["node 18 or newer is needed for tests/http_examples; this machine has none"]);
}

#[test]
fn python_that_is_too_old_is_told_with_what_needs_a_newer_one() {
    for version in ["3.9", "3.10"] {
        let computer = Computer { python: version, ..Computer::new(version) };
        let said = computer.refuses(&[]);
        assert_says(
            &said,
            &["python3 3.11 or newer is needed for ", "/docs; this machine has ", version, "as python3.11 on PATH"],
        );
    }
}

#[test]
fn newer_python_beside_an_old_one_is_used() {
    let computer = Computer { python: "3.9", ..Computer::new("beside") };
    std::fs::write(computer.home.join("venv"), "").unwrap();
    computer.has("python3.12", &PYTHON.replace("$VERSION_OF_IT", "3.12"));
    computer.installs();
    assert_says(&computer.log(), &["python3.12 -m venv --clear"]);
    assert!(computer.has_environment("docs"));
}

#[test]
fn newer_python_beside_an_old_one_comes_by_apt() {
    let computer = Computer { python: "3.10", ..Computer::new("beside-by-apt") };
    computer.offers("python3.11-venv", "3.11.0~rc1-1~22.04");
    computer.has("../python3.11", &PYTHON.replace("$VERSION_OF_IT", "3.11"));
    computer.installs();
    assert_says(&computer.log(), &["install -y --no-install-recommends python3-venv python3.11-venv\n"]);
    assert!(computer.has_environment("docs"));
}

#[test]
fn arm64_goes_without_dotnet_and_says_so() {
    let computer = Computer { processor: "aarch64", ..Computer::new("arm64") };
    let said = computer.installs();
    assert_says(&said, &["skipped: dotnet, for C# on .NET: there is none for aarch64"]);
    assert!(computer.has_environment("docs"));
    assert!(!computer.has_environment("dotnet"));
    let check = computer.setup(&["--check"]);
    assert!(check.status.success(), "{check:?}");
}

#[test]
fn make_test_sets_itself_up_before_anything_else() {
    let plan = run(tool("make")
        .args(["-n", "-j4", "test"])
        .current_dir(root())
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL"));
    assert_eq!(plan.lines().next(), Some("scripts/setup"));
    // A plan is in order with -j too; only this keeps make from running ahead.
    assert!(std::fs::read_to_string(root().join("Makefile")).unwrap().contains("\n.NOTPARALLEL:\n"));
}

#[test]
fn ci_runs_the_test_command_of_the_readme() {
    let computer = Computer::new("ci");
    computer.has("make", "#!/bin/sh\necho \"make $*\"\n");
    let path = format!("{}:{}", computer.home.join("bin").display(), std::env::var("PATH").unwrap());
    assert_eq!(run(Command::new(root().join(".ci/run")).env("PATH", path)), "make test\n");
}

/// Debian 12's python3 is 3.11.2, and not the newest 3.11.
#[test]
fn pins_allow_the_oldest_python_that_setup_takes() {
    const LOOK: &str = r#"
import pathlib, sys
from email.parser import HeaderParser
from packaging.specifiers import SpecifierSet
count = 0
for path in pathlib.Path(sys.argv[1]).glob("*/lib/python*/site-packages/*.dist-info/METADATA"):
    told = HeaderParser().parsestr(path.read_text(encoding="utf-8"))
    count += 1
    # What a venv brings along is what its Python allows.
    if told["Name"] not in ("pip", "setuptools") and "3.11.2" not in SpecifierSet(told["Requires-Python"] or ""):
        print(f"{path.parts[-6]}: {told['Name']} {told['Version']} needs Python {told['Requires-Python']}")
assert count > 50, count
"#;
    let environments = target_dir().parent().unwrap().to_owned();
    let python = environments.join("python-tools/bin/python");
    assert!(python.exists(), "{} is missing: run make test", python.display());
    assert_eq!(run(Command::new(python).args(["-c", LOOK]).arg(environments)), "");
}
