//! The README tells the truth: its code is the example's, its table the API's, its commands exist.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::operations::{Method, OPERATIONS};
use floatlease::status::STATUSES;
use support::document::{assert_c_code, blocks_in, read};
use support::root;

#[test]
fn its_c_code_is_the_examples() {
    assert_c_code(&read("README.md"), &["quickstart.c", "quickstart.c", "editor.c", "editor.c"]);
}

#[test]
fn its_table_is_the_api() {
    let readme = read("README.md");
    for operation in OPERATIONS {
        let method = if operation.method == Method::Get { "GET" } else { "POST" };
        let row = format!("| `{}` | {method} {} |", operation.name, operation.path);
        assert!(readme.contains(&row), "{row}");
    }
}

#[test]
fn the_targets_files_and_statuses_it_names_exist() {
    let (readme, makefile) = (read("README.md"), read("Makefile"));
    for block in blocks_in(&readme, "sh") {
        for line in block.lines().filter_map(|line| line.strip_prefix("make ")) {
            for target in line.split('#').next().unwrap().split_whitespace() {
                assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
            }
        }
    }
    for word in readme
        .split(['`', '(', ')', ' '])
        .filter(|word| word.starts_with("tests/") || word.starts_with("server/tests/"))
    {
        assert!(root().join(word).exists(), "{word}");
    }
    let troubles = readme.split("## Troubleshooting").nth(1).unwrap();
    for name in troubles.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()) {
        assert!(STATUSES.iter().any(|status| status.row().name == name), "{name}");
    }
}
