//! The C header is up to date and complete, and its pages exist. C11 and C++17 compilers accept it and the sandbox's.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::operations::OPERATIONS;
use floatlease::status::STATUSES;
use std::path::PathBuf;
use support::{root, run, tool};

fn committed() -> PathBuf {
    root().join("include/floatlease.h")
}

#[test]
fn the_committed_header_is_the_generated_one() {
    let (committed, generated) =
        (std::fs::read(committed()).unwrap(), std::fs::read(floatlease::GENERATED_HEADER).unwrap());
    assert!(committed == generated, "include/floatlease.h is stale: run `make header` and commit it");
}

#[test]
#[ignore = "`make header` runs it"]
fn write_the_header() {
    std::fs::copy(floatlease::GENERATED_HEADER, committed()).unwrap();
}

#[test]
fn every_status_and_every_verb_is_in_it() {
    let header = std::fs::read_to_string(committed()).unwrap();
    for row in STATUSES.iter().map(|status| status.row()) {
        let prefix = if row.number == 0 { "FLOATLEASE_" } else { "FLOATLEASE_E_" };
        assert!(header.contains(&format!("#define {prefix}{} {}\n", row.name, row.number)), "{}", row.name);
    }
    for operation in OPERATIONS {
        assert!(header.contains(operation.name), "{}", operation.name);
    }
}

#[test]
fn pages_that_the_headers_name_exist() {
    for name in ["floatlease.h", "floatlease_sandbox.h"] {
        let header = std::fs::read_to_string(root().join("include").join(name)).unwrap();
        let rest = header.split("docs/").skip(1).map(|rest| rest.split_inclusive(".md").next().unwrap());
        let pages: Vec<&str> = rest.collect();
        assert!(!pages.is_empty(), "{name} names no page");
        for page in pages {
            assert!(root().join("docs").join(page).exists(), "{name} names docs/{page}");
        }
    }
}

/// Each function's comment lists what the function's users need, in one order.
#[test]
fn comment_of_function_lists_keys_reply_errors_in_order() {
    let header = std::fs::read_to_string(committed()).unwrap();
    let mut functions = 0;
    for (before, declaration) in header.split("/**\n").skip(1).filter_map(|rest| rest.split_once(" */\n")) {
        let declaration = declaration.split(';').next().unwrap();
        if !declaration.contains("char **json_out") {
            continue;
        }
        functions += 1;
        let part = |name: &str| before.find(&format!("\n * {name}"));
        let (keys, reply, errors) = (part("Request keys"), part("Reply"), part("Errors"));
        // The keys and the reply of floatlease_call are those of its operation.
        let any_operation = declaration.contains("*operation");
        let takes_request = declaration.contains("const char *request_json") && !any_operation;
        assert_eq!(keys.is_some(), takes_request, "{declaration}");
        // An event is no reply.
        let replies = !any_operation && !declaration.contains("floatlease_next_event");
        assert_eq!(reply.is_some(), replies, "{declaration}");
        assert!(errors.is_some(), "{declaration}");
        assert!([keys, reply, errors].into_iter().flatten().is_sorted(), "{declaration}");
    }
    assert!(functions > 15, "{functions}");
}

#[test]
fn they_compile_alone_and_together_in_two_units_as_c11_and_cpp17() {
    let headers = |names: &[&str]| names.iter().map(|name| format!("#include <{name}>\n")).collect::<String>();
    let sets: [&[&str]; 3] = [
        &["floatlease.h"],
        &["floatlease_sandbox.h"],
        &["floatlease_sandbox.h", "floatlease.h", "floatlease_sandbox.h"],
    ];
    for (compiler, standard, ending) in [("cc", "-std=c11", "c"), ("c++", "-std=c++17", "cpp")] {
        for set in sets {
            let objects = ["one", "two"].map(|unit| {
                let source = support::target_dir().join(format!("header_{unit}.{ending}"));
                let object = source.with_extension(format!("{ending}.o"));
                let text = format!("{0}{0}int {unit}(void);\n", headers(set));
                std::fs::write(&source, text).unwrap();
                run(tool(compiler)
                    .args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
                    .arg(root().join("include"))
                    .args(["-c", "-o"])
                    .args([&object, &source]));
                object
            });
            run(tool("ld").args(["-r", "-o"]).arg(support::target_dir().join("header_linked.o")).args(objects));
        }
    }
}
