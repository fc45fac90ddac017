//! `scripts/setup` on computers of another kind than this one: with a python3 that has no pip or is too old, and on arm64.
//! Python, apt-get and uname are stand-ins; what they were asked for is seen in a log.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use support::programs::empty;
use support::{root, run, target_dir};

/// A Python of the version `VERSION_OF_IT`, which stands at `PLACE_OF_IT`. Its pip is there if `PIP` says so, and in every
/// environment that it makes.
const PYTHON: &str = r#"#!/bin/bash
echo "$(basename "$0") $*" | head -1 >>"$STATE/log"
case "$1 $2" in
*requests*) [ -e "$STATE/requests" ] ;;
*ensurepip*) [ -e "$STATE/venv" ] ;;
*version_info*) echo "$VERSION_OF_IT" ;;
*executable*) echo "$PLACE_OF_IT" ;;
"-m venv") mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
"-m pip")
    case "$0" in */bin/python) exit 0 ;; esac
    [ "$PIP" = yes ] || { echo "$PLACE_OF_IT: No module named pip" >&2; exit 1; }
    [ "$3" = --version ] || touch "$STATE/requests" ;;
esac
"#;

const APT_GET: &str = r#"#!/bin/bash
echo "apt-get $*" >>"$STATE/log"
case "$*" in *python3-requests*) touch "$STATE/requests" ;; esac
case "$*" in *python3-venv*) touch "$STATE/venv" ;; esac
"#;

/// A computer that lacks every Python environment.
struct Computer {
    home: PathBuf,
    python: (&'static str, &'static str, &'static str),
    processor: &'static str,
}

impl Computer {
    /// With Debian's python3, which has no pip.
    fn new(name: &str) -> Computer {
        std::fs::create_dir_all(target_dir().join("setup")).unwrap();
        let home = empty(target_dir().join("setup").join(name));
        let computer = Computer { home, python: ("3.11", "/usr/bin/python3", "no"), processor: "x86_64" };
        computer.has("python3", PYTHON);
        computer.has("apt-get", APT_GET);
        for newer in ["python3.11", "python3.12", "python3.13", "python3.14"] {
            computer.has(newer, "#!/bin/sh\nexit 127\n");
        }
        computer.has("id", "#!/bin/sh\necho 0\n");
        computer
    }

    fn has(&self, command: &str, script: &str) {
        let path = self.home.join("bin").join(command);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn setup(&self, arguments: &[&str]) -> Output {
        self.has("uname", &format!("#!/bin/sh\necho {}\n", self.processor));
        let (version, place, pip) = self.python;
        let own = std::env::var("PATH").unwrap();
        Command::new(root().join("scripts/setup"))
            .args(arguments)
            .env("PATH", format!("{}:{own}", self.home.join("bin").display()))
            .env("STATE", &self.home)
            .env("CARGO_TARGET_DIR", self.home.join("target"))
            .envs([("VERSION_OF_IT", version), ("PLACE_OF_IT", place), ("PIP", pip)])
            .output()
            .unwrap()
    }

    fn installs(&self) -> String {
        let output = self.setup(&[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said
    }

    /// It fails and says why, before it has installed anything.
    fn refuses(&self) -> String {
        let output = self.setup(&[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!self.log().contains("apt-get install"), "{}", self.log());
        String::from_utf8(output.stderr).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    fn has_environment(&self, name: &str) -> bool {
        self.home.join("target").join(name).join("requirements.txt").exists()
    }
}

#[test]
fn requests_of_debians_python_without_pip_comes_by_apt() {
    let computer = Computer::new("debian");
    computer.installs();
    assert!(computer.log().contains("python3-requests"), "{}", computer.log());
    assert!(["schemathesis", "python-tools", "dotnet", "docs"].iter().all(|name| computer.has_environment(name)));
}

#[test]
fn requests_of_another_python_comes_by_its_pip() {
    let mut computer = Computer::new("another");
    computer.python = ("3.11", "/opt/python/bin/python3", "yes");
    computer.installs();
    assert!(computer.log().contains("python3 -m pip install -q requests"), "{}", computer.log());
    assert!(!computer.log().contains("python3-requests"), "{}", computer.log());
}

#[test]
fn another_python_without_pip_is_told() {
    let mut computer = Computer::new("another-without-pip");
    computer.python = ("3.11", "/opt/python/bin/python3", "no");
    let said = computer.refuses();
    for words in ["/opt/python/bin/python3 has no pip", "requests"] {
        assert!(said.contains(words), "{words} in {said}");
    }
}

#[test]
fn python_that_is_too_old_is_told_with_what_needs_a_newer_one() {
    for version in ["3.9", "3.10"] {
        let mut computer = Computer::new(version);
        computer.python.0 = version;
        let said = computer.refuses();
        for words in ["docs needs Python 3.11 or newer", "python3 is ", version, "python3.11"] {
            assert!(said.contains(words), "{words} in {said}");
        }
    }
}

#[test]
fn newer_python_beside_an_old_one_is_used() {
    let mut computer = Computer::new("beside");
    computer.python.0 = "3.9";
    std::fs::write(computer.home.join("venv"), "").unwrap();
    computer.has("python3.12", &PYTHON.replace("$VERSION_OF_IT", "3.12"));
    computer.installs();
    assert!(computer.log().contains("python3.12 -m venv --clear"), "{}", computer.log());
    assert!(computer.has_environment("docs"));
}

#[test]
fn arm64_goes_without_dotnet_and_says_so() {
    let mut computer = Computer::new("arm64");
    computer.processor = "aarch64";
    let said = computer.installs();
    assert!(said.contains("skipped: dotnet, for C# on .NET: there is none for aarch64"), "{said}");
    assert!(computer.has_environment("docs"));
    assert!(!computer.has_environment("dotnet"));
    let check = computer.setup(&["--check"]);
    assert!(check.status.success(), "{check:?}");
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
    assert!(python.exists(), "{} is missing: run scripts/setup", python.display());
    assert_eq!(run(Command::new(python).args(["-c", LOOK]).arg(environments)), "");
}
