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
    let (layers, folder) = (layers(1), root().join("src/lease"));
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut arrows = 0;
    for path in files {
        let module = path.file_stem().unwrap().to_str().unwrap();
        for used in used(&path, "super::") {
            let siblings = ["slot", "lend"];
            arrows += 1;
            assert!(
                rank(&layers, module) < rank(&layers, &used)
                    || siblings.contains(&module) && siblings.contains(&&*used),
                "{module} uses {used}, against the arrows"
            );
        }
    }
    assert!(arrows > 40, "only {arrows} arrows were found");
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
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let drawing = text.split("### The Python package").nth(1).unwrap().split("```").nth(1).unwrap();
    let names = |layer: &str| layer.split(',').map(|name| name.trim().to_owned()).collect();
    let layers: Vec<Vec<String>> = drawing.split('→').map(names).collect();

    let folder = root().join("bindings/python");
    let package = std::fs::read_dir(folder.join("floatlease")).unwrap().map(|entry| entry.unwrap().path());
    let files = package.chain([folder.join("floatlease_pytest.py")]);
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
