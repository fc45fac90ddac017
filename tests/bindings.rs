//! Each C function is called in each binding, and each operation has the methods that docs/operations.md says it has.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::operations::OPERATIONS;
use support::document::read;
use support::root;

/// The functions that a binding leaves out on purpose: the beginning of their names, the languages, and the reason.
const LEFT_OUT: [(&str, &[&str], &str); 3] = [
    ("floatlease_work", &["C#", "Python"], "their programs have threads, and the library's cost them nothing"),
    ("floatlease_status_name", &["C#"], "a generated table holds the names, so that a name needs no native library"),
    ("floatlease_{verb}", &["C#", "Python"], "floatlease_call and floatlease_submit perform it by its name"),
];

/// The functions that a C header declares.
fn functions_of(header: &str) -> Vec<String> {
    let text = read(&format!("include/{header}.h"));
    let code = text.split("extern \"C\" {").nth(1).unwrap();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let before_bracket = code.split('(').map(|before| before.rsplit(|c| !word(c)).next().unwrap());
    before_bracket.filter(|name| name.starts_with("floatlease_")).map(str::to_owned).collect()
}

/// The whole code of a folder of a binding.
fn code_in(folder: &str) -> String {
    let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

fn names(code: &str, name: &str) -> bool {
    code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == name)
}

fn is_left_out(function: &str, language: &str) -> bool {
    let is_verb = OPERATIONS.iter().any(|operation| function == format!("floatlease_{}", operation.name));
    LEFT_OUT.iter().any(|(name, languages, _)| {
        languages.contains(&language) && (*name == function || *name == "floatlease_{verb}" && is_verb)
    })
}

#[test]
fn each_c_function_is_called_by_each_binding() {
    let client = functions_of("floatlease");
    let sandbox = functions_of("floatlease_sandbox");
    assert!(client.len() > 30 && sandbox.len() == 4, "{client:?} {sandbox:?}");
    let python = read("bindings/python/floatlease/_library.py");
    let bindings = [
        ("C++", &client, read("include/floatlease.hpp")),
        ("C++", &sandbox, read("include/floatlease_sandbox.hpp")),
        ("C#", &client, read("bindings/csharp/FloatLease/Interop/Native.cs")),
        ("C#", &sandbox, read("bindings/csharp/FloatLease.Sandbox/SandboxNative.cs")),
        ("Python", &client, python.clone()),
        ("Python", &sandbox, python),
    ];
    for (language, functions, code) in bindings {
        for function in functions {
            let is_called = names(&code, function);
            assert_ne!(is_called, is_left_out(function, language), "{function} in {language}");
        }
    }
}

/// `TrialKey` of `trial_key`.
fn in_csharp(operation: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    operation.split('_').map(word).collect()
}

#[test]
fn each_operation_has_the_methods_that_its_page_names() {
    let (c, cpp) = (read("include/floatlease.h"), read("include/floatlease.hpp"));
    let csharp = code_in("bindings/csharp/FloatLease");
    let python = ["_client", "_aio"].map(|module| read(&format!("bindings/python/floatlease/{module}.py")));
    let page = read("docs/operations.md");
    let mut counts = [0; 3];
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        // The other tables of the page have two columns.
        if cells.len() == 2 {
            continue;
        }
        let methods = cells[3];
        let place = ["all", "bindings", "by name"].iter().position(|kind| *kind == methods);
        counts[place.unwrap_or_else(|| panic!("{row}"))] += 1;
        for name in cells[0].split('`').skip(1).step_by(2) {
            let asynchronous = format!("{}Async(", in_csharp(name));
            let found = [
                ("C", c.contains(&format!("floatlease_{name}(")), "all"),
                ("C++", cpp.contains(&format!("    Result {name}(const Text &request")), "bindings"),
                ("C#", csharp.contains(&format!("Reply {}(", in_csharp(name))), "bindings"),
                ("C#, Async", csharp.contains(&asynchronous), "bindings"),
                ("Python", python[0].contains(&format!("    def {name}(self, **request: ")), "bindings"),
                ("asyncio", python[1].contains(&format!("    async def {name}(self, **request: ")), "bindings"),
            ];
            for (language, is_there, of) in found {
                let is_said = methods == "all" || methods == of;
                assert_eq!(is_there, is_said, "{name} in {language}: the page says \"{methods}\"");
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 2), "{counts:?}");
}
