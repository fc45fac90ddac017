//! The arrows of docs/architecture.md, held against what each file uses.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The layers of a drawing, highest first: the first is the client's, the second its leases'.
fn layers(number: usize) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let drawing = text.split("```").nth(2 * number + 1).unwrap();
    let names = |layer: &str| layer.split(',').map(|name| name.trim().to_owned()).collect();
    drawing.split('→').map(names).collect()
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

#[test]
fn arrows_run_one_way() {
    let (layers, src) = (layers(0), root().join("src"));
    let mut arrows = 0;
    for path in sources(&src).into_iter().filter(|path| !path.ends_with("lib.rs")) {
        let inside = path.strip_prefix(&src).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        for used in used(&path, "crate::").into_iter().filter(|used| *used != module) {
            arrows += 1;
            assert!(
                rank(&layers, &module) < rank(&layers, &used),
                "{} uses {used}, against the arrows",
                inside.display()
            );
        }
    }
    assert!(arrows > 40, "only {arrows} arrows were found");
}

#[test]
fn arrows_run_one_way_inside_the_lease_too() {
    let (layers, lease) = (layers(1), root().join("src/lease"));
    let is_test = |path: &PathBuf| path.components().any(|part| TESTS.iter().any(|test| part.as_os_str() == *test));
    let mut arrows = 0;
    for path in sources(&lease).into_iter().filter(|path| !path.ends_with("lease/mod.rs") && !is_test(path)) {
        let inside = path.strip_prefix(&lease).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        for used in used(&path, "crate::lease::").into_iter().filter(|used| *used != module) {
            arrows += 1;
            assert!(
                rank(&layers, &module) < rank(&layers, &used),
                "{} uses {used}, against the arrows",
                inside.display()
            );
        }
    }
    assert!(arrows > 40, "only {arrows} arrows were found");
}

/// Names of files and folders that hold tests alone.
const TESTS: [&str; 5] = ["tests", "tests.rs", "loom.rs", "loom_tests.rs", "processes.rs"];

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
