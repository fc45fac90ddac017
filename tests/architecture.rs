//! The arrows of docs/architecture.md, held against what each file uses.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The layers of the first drawing after this text of the document, highest first.
fn layers(place: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let after = text.split_once(place).unwrap_or_else(|| panic!("{place} is missing")).1;
    let names = |layer: &str| layer.split(',').map(|name| name.trim().to_owned()).collect();
    after.split("```").nth(1).unwrap().split('→').map(names).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

/// Without tests and comments, which may point anywhere.
fn code(text: &str) -> String {
    let lines = text.split("#[cfg(test)]").next().unwrap().lines();
    lines.filter(|line| !line.trim_start().starts_with("//")).collect()
}

/// Which layer a module is in.
fn rank(layers: &[Vec<String>], module: &str) -> usize {
    let found = layers.iter().position(|layer| layer.iter().any(|name| name == module));
    found.unwrap_or_else(|| panic!("{module} is not in the drawing"))
}

/// The modules that a file uses by way of this path.
fn used(path: &Path, by: &str) -> Vec<String> {
    let text = code(&std::fs::read_to_string(path).unwrap());
    let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
    text.split(by).skip(1).map(name).collect()
}

/// Checks that the modules in a folder use each other along the arrows of its drawing, and returns how many uses there are.
///
/// A module is a file or a folder. `path` is the folder's path in Rust: files name modules by it, or by `super::`.
fn uses_along_arrows(place: &str, folder: &str, path: &str) -> usize {
    let (layers, folder) = (layers(place), root().join(folder));
    let mut uses = 0;
    let mut modules = BTreeSet::new();
    for file in sources(&folder).into_iter().filter(|file| !file.ends_with("src/lib.rs")) {
        let inside: Vec<_> = file.strip_prefix(&folder).unwrap().iter().map(|part| part.to_str().unwrap()).collect();
        let module = inside[0].trim_end_matches(".rs");
        modules.insert(module.to_owned());
        let is_child = path != "crate" && (inside.len() == 1 || inside[1..] == ["mod.rs"]);
        let by_super = if is_child { used(&file, "super::") } else { Vec::new() };
        for used in used(&file, &format!("{path}::")).into_iter().chain(by_super).filter(|used| used != module) {
            uses += 1;
            assert!(rank(&layers, module) < rank(&layers, &used), "{} uses {used}, against the arrows", file.display());
        }
    }
    let drawn: BTreeSet<String> = layers.into_iter().flatten().collect();
    assert_eq!(drawn, modules, "the drawing after {place} shows other modules than there are");
    uses
}

#[test]
fn arrows_run_one_way() {
    let uses = uses_along_arrows("## The client", "src", "crate");
    assert!(uses > 40, "only {uses} uses were found");
}

#[test]
fn arrows_of_server_run_one_way() {
    for (place, folder, path, least) in [
        ("## The server's modules", "server/src", "crate", 60),
        ("Inside `http/`", "server/src/http", "crate::http", 10),
        ("Inside `domain/`", "server/src/domain", "crate::domain", 50),
        ("Inside `catalogue/`", "server/src/catalogue", "crate::catalogue", 5),
        ("Inside `catalogue/read/`", "server/src/catalogue/read", "crate::catalogue::read", 4),
        ("Inside `sandbox/`", "server/src/sandbox", "crate::sandbox", 30),
    ] {
        let uses = uses_along_arrows(place, folder, path);
        assert!(uses >= least, "only {uses} uses were found in {folder}");
    }
}

#[test]
fn arrows_of_command_line_run_one_way() {
    let uses = uses_along_arrows("### The command line", "bindings/cli/src", "crate");
    assert!(uses >= 20, "only {uses} uses were found");
}

#[test]
fn arrows_of_lease_run_one_way() {
    for (place, folder, path, least) in [
        ("Inside `lease/`", "src/lease", "crate::lease", 100),
        ("Inside `lease/manager/`", "src/lease/manager", "crate::lease::manager", 5),
        ("Inside `lease/lease_inner/`", "src/lease/lease_inner", "crate::lease::lease_inner", 5),
        ("Inside `lease/slot/`", "src/lease/slot", "crate::lease::slot", 20),
        ("Inside `lease/consumption/`", "src/lease/consumption", "crate::lease::consumption", 3),
        ("Inside `lease/background/`", "src/lease/background", "crate::lease::background", 2),
        ("Inside `lease/storage/`", "src/lease/storage", "crate::lease::storage", 6),
    ] {
        let uses = uses_along_arrows(place, folder, path);
        assert!(uses >= least, "only {uses} uses were found in {folder}");
    }
}

/// The lines of the client's code that have one of these, outside the files that may.
fn lines_with(words: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in sources(&root().join("src")).iter().filter(|path| !allowed.iter().any(|file| path.ends_with(file))) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_test = ["tests.rs", "loom.rs", "loom_tests.rs", "processes.rs"].contains(&name);
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.split("#[cfg(test)]").next().unwrap().lines().filter(|_| !is_test);
        let code = lines.filter(|line| !line.trim_start().starts_with("//"));
        found.extend(code.filter(|line| words.iter().any(|word| line.contains(word))).map(str::to_owned));
    }
    found
}

/// So each thread blocks the host's signals, and has a size of its own.
#[test]
fn threads_are_started_in_one_file() {
    assert_eq!(lines_with(&["thread::spawn", "thread::Builder", "thread::current()"], &["src/thread.rs"]), [""; 0]);
}

/// So no descriptor is ever one of the standard streams.
#[test]
fn descriptors_are_opened_in_one_way() {
    let openers =
        ["File::open(", "options.open(", "fs::read(", "fs::read_dir(", "fs::read_to_string(", "to_socket_addrs("];
    let opened = lines_with(&openers, &["src/descriptor.rs"]);
    assert!(opened.len() > 5, "{opened:?}");
    let bare: Vec<_> = opened.iter().filter(|line| !line.contains("descriptor::")).collect();
    assert!(bare.is_empty(), "{bare:?}");
}

#[test]
fn only_the_sandboxs_library_knows_the_c_abi_and_nothing_else_of_the_server() {
    for path in sources(&root().join("server/src")) {
        assert!(!code(&std::fs::read_to_string(&path).unwrap()).contains("floatlease::ffi"), "{}", path.display());
    }
    let sandbox = code(&std::fs::read_to_string(root().join("server/sandbox/src/lib.rs")).unwrap());
    let used = |package: &str| sandbox.matches(&format!("{package}::")).count();
    let allowed = |package: &str, module: &str| sandbox.matches(&format!("{package}::{module}")).count();
    assert_eq!(used("floatlease_server"), allowed("floatlease_server", "sandbox::"));
    assert_eq!(used("floatlease"), allowed("floatlease", "ffi::") + allowed("floatlease", "{Error, Outcome, Status}"));
}

/// The numbered steps of the document name functions, and the file of each in brackets; without one, the file of before.
#[test]
fn steps_of_document_name_functions_of_code() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let steps: Vec<&str> = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).collect();
    let mut code = String::new();
    for step in &steps {
        // What stands between backticks is every second part.
        let quoted: Vec<&str> = step.split('`').skip(1).step_by(2).collect();
        for (at, name) in quoted.iter().enumerate().filter(|(_, name)| name.contains("::")) {
            if let Some(file) = quoted.get(at + 1).filter(|quoted| quoted.ends_with(".rs")) {
                code = std::fs::read_to_string(root().join("src").join(file)).unwrap();
            }
            let function = name.rsplit("::").next().unwrap();
            assert!(code.contains(&format!("fn {function}")), "{function} is not there: {step}");
        }
    }
    assert!(steps.len() > 12, "{} steps", steps.len());
}

/// The modules that a line of Python imports from the package; imports for types alone look the same.
fn imported(line: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let line = line.trim_start();
    if let Some(names) = line.strip_prefix("from . import ") {
        return names.split(',').map(|one| name(one.trim())).collect();
    }
    let ways = ["from .", "from floatlease.", "import floatlease."];
    let module = ways.iter().find_map(|way| line.strip_prefix(way)).map(name);
    let whole = ["from floatlease import ", "import floatlease"].iter().any(|way| line.starts_with(way));
    module.or_else(|| whole.then(|| "__init__".to_owned())).into_iter().collect()
}

#[test]
fn python_imports_run_along_the_arrows() {
    let layers = layers("### The Python package");
    let folder = root().join("bindings/python");
    let package = std::fs::read_dir(folder.join("floatlease")).unwrap().map(|entry| entry.unwrap().path());
    let files = package.chain(["floatlease_pytest.py", "floatlease_pyinstaller.py"].map(|file| folder.join(file)));
    let (mut modules, mut arrows) = (0, 0);
    for path in files.filter(|path| path.extension().is_some_and(|ending| ending == "py")) {
        modules += 1;
        let module = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        // Docstrings show how a program imports the package.
        let code = text.split("\"\"\"").step_by(2);
        for used in code.flat_map(str::lines).flat_map(imported) {
            arrows += 1;
            assert!(rank(&layers, module) < rank(&layers, &used), "{module} imports {used}, against the arrows");
        }
    }
    assert_eq!(modules, layers.iter().flatten().count(), "modules in the drawing");
    assert!(arrows > 30, "only {arrows} imports were found");
}
