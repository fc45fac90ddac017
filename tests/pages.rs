//! Compares every page of the documentation with the code: its examples, its tables, and the files that it names.
//!
//! The pages on leases and on testing have tests of their own: `lease_guide.rs`, `guide.rs`.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::operations::{Method, OFFLINE_FILES, OPERATIONS, Reply};
use floatlease::status::STATUSES;
use support::document::{assert_code, assert_links, assert_shell_commands, blocks_in, read};
use support::root;

/// The program that the README has in each language.
const MINIMAL: [(&str, &str); 4] = [
    ("c", "examples/c/minimal.c"),
    ("cpp", "examples/cpp/minimal.cpp"),
    ("csharp", "examples/csharp/Minimal.cs"),
    ("python", "examples/python/minimal.py"),
];

/// The paths of the README, of CONTRIBUTING.md and of the pages of the book.
fn pages() -> Vec<String> {
    let book = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let book = book.map(|name| format!("docs/{}", name.to_str().unwrap())).filter(|path| path.ends_with(".md"));
    book.chain(["README.md", "CONTRIBUTING.md"].map(str::to_owned)).collect()
}

#[test]
fn their_code_is_the_examples() {
    for page in pages() {
        assert_code(&read(&page));
    }
}

#[test]
fn the_quick_starts_are_told_in_each_language() {
    for page in ["README.md", "docs/quick-start.md"].map(read) {
        let told = ["c", "cpp", "csharp", "python"].map(|language| blocks_in(&page, language).len());
        assert!(told.iter().all(|blocks| *blocks > 0), "{told:?}");
    }
}

#[test]
fn the_commands_of_the_quick_start_do_what_it_says() {
    assert_shell_commands(&read("docs/quick-start.md"), "quick_start");
}

#[test]
fn commands_of_command_line_page_do_what_it_says() {
    assert_shell_commands(&read("docs/command-line.md"), "command_line");
}

#[test]
fn readme_holds_each_minimal_program_whole() {
    let readme = read("README.md");
    for (language, path) in MINIMAL {
        let program = read(path);
        assert!(program.lines().count() <= 25, "{path} is longer than 25 lines");
        assert_eq!(blocks_in(&readme, language), [program], "{path}");
    }
}

#[test]
fn commands_of_the_readme_compile_and_run_the_minimal_programs() {
    assert_shell_commands(&read("README.md"), "readme");
}

#[test]
fn what_they_link_to_exists() {
    for page in pages() {
        assert_links(&page);
    }
}

#[test]
fn the_targets_and_tests_they_name_exist() {
    let makefile = read("Makefile");
    for page in pages().iter().map(|path| read(path)) {
        for line in blocks_in(&page, "sh").iter().flat_map(|block| block.lines()) {
            let targets = line.strip_prefix("make ").map(|line| line.split('#').next().unwrap().split_whitespace());
            for target in targets.into_iter().flatten() {
                assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
            }
        }
        for target in page.split("`make ").skip(1).map(|rest| rest.split(['`', ' ']).next().unwrap()) {
            assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
        }
        let words = page.split(['`', '(', ')', ' ', '\n']);
        for word in words.filter(|word| word.starts_with("tests/") || word.starts_with("server/tests/")) {
            assert!(root().join(word).exists(), "{word}");
        }
    }
}

#[test]
fn folders_of_contributing_exist() {
    let page = read("CONTRIBUTING.md");
    let words = page.split('`').skip(1).step_by(2).filter(|word| word.ends_with('/') || word.ends_with(".rs"));
    let paths: Vec<_> = words.filter(|word| word.contains('/')).collect();
    assert!(paths.len() > 15, "{paths:?}");
    for word in paths {
        let found = [word.to_owned(), format!("src/{word}")].iter().any(|path| root().join(path).exists());
        assert!(found, "{word}");
    }
}

#[test]
fn the_packages_they_name_are_of_this_version() {
    let names = ["floatlease-", "FloatLease.", "floatlease-sandbox-"];
    for page in pages().iter().map(|path| read(path)) {
        for rest in
            names.iter().flat_map(|name| page.split(*name).skip(1)).filter(|rest| rest.starts_with(char::is_numeric))
        {
            assert!(rest.starts_with(env!("CARGO_PKG_VERSION")), "{}", rest.split_whitespace().next().unwrap());
        }
    }
}

#[test]
fn the_start_page_leads_to_every_other() {
    let start = read("docs/index.md");
    for page in pages().iter().filter_map(|path| path.strip_prefix("docs/")).filter(|page| *page != "index.md") {
        assert_eq!(start.matches(&format!("]({page})")).count(), 1, "{page}");
    }
}

#[test]
fn the_table_of_operations_is_the_api() {
    let page = read("docs/operations.md");
    for operation in OPERATIONS {
        let method = if operation.method == Method::Get { "GET" } else { "POST" };
        let row = format!("| `{}` | {method} {} |", operation.name, operation.path);
        let row = page.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("{row}"));
        let signed = match operation.reply {
            Reply::License | Reply::Licenses | Reply::OfflineLicense => "twice",
            Reply::Signed(_) | Reply::List(_) => "yes",
            Reply::Empty | Reply::Text(_) => "no",
        };
        let repeated = if operation.idempotent { "yes" } else { "no" };
        assert!(row.contains(&format!("| {signed} | {repeated} |")), "{row}");
    }
    for file in OFFLINE_FILES {
        assert!(page.contains(&format!("`{}`", file.name)), "{}", file.name);
    }
}

#[test]
fn the_table_of_the_config_has_each_key_and_its_default() {
    let (page, code) = (read("docs/configuration.md"), read("src/config.rs"));
    let table = code.split("const KEYS").nth(1).unwrap().split("];").next().unwrap();
    let keys = table.split("(\"").skip(1).map(|row| row.split('"').next().unwrap());
    let rows: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(keys.eq(rows.iter().copied()), "{rows:?}");
    for key in ["timeout_ms", "connect_timeout_ms"] {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{key}`"))).unwrap();
        let default = code.split(&format!("take_millis(&mut object, \"{key}\", ")).nth(1).unwrap();
        assert!(row.contains(&format!("| {} |", default.split(')').next().unwrap().replace('_', ""))), "{row}");
    }
    for key in blocks_in(&page, "json")[0].split('"').skip(1).step_by(4) {
        assert!(rows.contains(&key), "{key}");
    }
}

#[test]
fn the_troubles_are_statuses() {
    let page = read("docs/troubleshooting.md");
    let names: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(names.len() > 10);
    for name in names {
        assert!(STATUSES.iter().any(|status| status.row().name == name), "{name}");
    }
}
