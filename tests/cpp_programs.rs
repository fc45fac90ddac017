//! The C++ headers and what is written with them: that they compile for whoever includes them, that a failure can't be
//! overlooked, and that the examples do what they say; also under sanitizers and valgrind.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::document::read;
use support::programs::{
    Build, CAD, GAME, assert_game, assert_minimal, assert_quick_start, assert_shows, assert_trip, empty, libraries,
    under_valgrind_sealing,
};
use support::{root, run, target_dir, tool};

/// What the headers must stand, whoever includes them.
const STRICT: [&str; 10] = [
    "-fno-exceptions",
    "-fno-rtti",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wshadow",
    "-Wundef",
    "-Werror",
];

const COMPILERS: [&str; 3] = ["c++", "clang++", "x86_64-w64-mingw32-g++"];
const HEADERS: [&str; 3] = ["floatlease.hpp", "floatlease_json.hpp", "floatlease_sandbox.hpp"];

/// Compiles a text without warnings, but makes nothing of it.
fn check(compiler: &str, standard: &str, name: &str, text: &str) -> Command {
    let source = target_dir().join(name);
    std::fs::write(&source, text).unwrap();
    let mut command = tool(compiler);
    command.arg(format!("-std={standard}")).args(STRICT).arg("-I").arg(root().join("include"));
    command.arg("-fsyntax-only").arg(source);
    command
}

/// Each in the strictest way, and with sanitizers if it is to be.
fn compile(compiler: &str, source: &str, sanitizers: &[&str]) -> PathBuf {
    let stem = Path::new(source).file_stem().unwrap().to_str().unwrap();
    let name = format!("{stem}.{compiler}{}", if sanitizers.is_empty() { "" } else { ".sanitized" });
    let flags = [&["-std=c++17"], &STRICT[..], sanitizers].concat();
    let is_example = source.starts_with("examples/") && !stem.starts_with("test_");
    let libraries = libraries();
    let libraries = &libraries[..if is_example { 1 } else { 2 }];
    Build { name: &name, compiler, flags: &flags, sources: &[source], libraries }.compile()
}

/// As it is by two compilers, under the sanitizers, and under valgrind.
fn ways(source: &str) -> [Command; 4] {
    let sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"];
    let plain = compile("c++", source, &[]);
    [
        Command::new(&plain),
        Command::new(compile("clang++", source, &[])),
        Command::new(compile("c++", source, &sanitizers)),
        under_valgrind_sealing(&plain),
    ]
}

#[test]
fn the_headers_compile_alone_for_every_compiler_and_standard() {
    for compiler in COMPILERS {
        for standard in ["c++17", "c++20", "c++2b"] {
            for header in HEADERS {
                let text = format!("#include <{header}>\n#include <{header}>\n");
                run(&mut check(compiler, standard, "header_alone.cpp", &text));
            }
        }
    }
}

#[test]
fn they_compile_among_the_macros_of_others() {
    // Of Windows, X11, Qt, Unreal and a debug heap.
    let macros = "#define min(a, b) no\n#define max(a, b) no\n#define small char\n#define near\n#define far\n#define ERROR 0\n\
                  #define interface struct\n#define TEXT(text) no\n#define None 0L\n#define Status int\n#define Bool int\n\
                  #define Success 0\n#define Always 2\n#define slots\n#define signals public\n#define emit\n\
                  #define check(what) no\n#define verify(what) no\n#define free(what) no\n#define ACTIVE 1\n#define LOST 5\n";
    let uses = "floatlease::State f() { floatlease::Lease lease; lease.close(); return lease.state(); }\n";
    let standard = "#include <charconv>\n#include <chrono>\n#include <cstdint>\n#include <memory>\n#include <string>\n";
    let text = format!("{standard}{macros}#include <floatlease_sandbox.hpp>\n{uses}");
    for compiler in COMPILERS {
        run(&mut check(compiler, "c++17", "header_macros.cpp", &text));
    }
    // And behind the real thing.
    let text = format!("#include <windows.h>\n#include <floatlease_sandbox.hpp>\n{uses}");
    run(&mut check("x86_64-w64-mingw32-g++", "c++17", "header_windows.cpp", &text));
}

#[test]
fn they_are_plain_ascii_for_compilers_that_take_them_for_another_encoding() {
    for header in HEADERS {
        assert!(read(&format!("include/{header}")).is_ascii(), "{header}");
    }
}

#[test]
fn they_say_so_if_the_standard_is_too_old() {
    let output = check("c++", "c++14", "header_old.cpp", "#include <floatlease.hpp>\n").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("floatlease.hpp needs C++17"), "{output:?}");
}

#[test]
fn two_units_with_them_make_a_program() {
    let include = "#include <floatlease_sandbox.hpp>\n";
    let one = target_dir().join("two_units_one.cpp");
    let two = target_dir().join("two_units_two.cpp");
    let other = "floatlease::Client other() { floatlease::Sandbox sandbox; return floatlease::Client(); }\n";
    let main =
        "floatlease::Client other();\nint main() { return other().cancel().ok() + !floatlease::compatible(); }\n";
    std::fs::write(&one, format!("{include}{main}")).unwrap();
    std::fs::write(&two, format!("{include}{other}")).unwrap();
    for compiler in ["c++", "clang++"] {
        let name = format!("two_units.{compiler}");
        let flags = [&["-std=c++17"], &STRICT[..]].concat();
        let sources = [one.to_str().unwrap(), two.to_str().unwrap()];
        let build = Build { name: &name, compiler, flags: &flags, sources: &sources, libraries: &libraries() };
        run(&mut Command::new(build.compile()));
    }
}

#[test]
fn a_result_that_nobody_looks_at_is_not_compiled() {
    let calls = [
        "client.open(\"{}\")",
        "client.check_license()",
        "client.call(\"check_license\")",
        "client.acquire_lease(lease)",
        "client.submit(ticket, \"check_license\")",
        "client.accept_lease(lease, ticket)",
        "client.cancel()",
        "client.next_event()",
        "client.events_waiting()",
        "client.release_all(std::chrono::seconds(5))",
        "client.advance_clock(std::chrono::hours(1))",
        "lease.renew()",
        "lease.release()",
        "lease.state()",
        "sandbox.start()",
        "sandbox.advance(std::chrono::hours(1), client)",
        "floatlease::compatible()",
    ];
    let objects = "floatlease::Client client; floatlease::Lease lease; floatlease::Ticket ticket = 0;\n\
                   floatlease::Sandbox sandbox; static_cast<void>(ticket);\n";
    for compiler in ["c++", "clang++"] {
        for call in calls {
            let text = |statement: String| {
                format!("#include <floatlease_sandbox.hpp>\nvoid f();\nvoid f() {{ {objects}{statement}; }}\n")
            };
            run(&mut check(compiler, "c++17", "looked_at.cpp", &text(format!("static_cast<void>({call})"))));
            let output = check(compiler, "c++17", "overlooked.cpp", &text(call.to_owned())).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && said.contains("nodiscard"), "{compiler}: {call}: {said}");
        }
    }
}

#[test]
fn who_owns_what_and_what_a_misuse_comes_to() {
    for (number, mut way) in ways("tests/abi/wrappers.cpp").into_iter().enumerate() {
        let folder = empty(target_dir().join(format!("wrappers.{number}")));
        let said = run(way.arg(folder));
        assert!(said.contains("checks hold"), "{said}");
    }
}

#[test]
fn operations_without_a_c_function_have_methods() {
    let said = run(&mut Command::new(compile("c++", "tests/abi/operations.cpp", &[])));
    assert!(said.contains("checks hold"), "{said}");
}

#[test]
fn json_is_read_as_it_was_written_and_what_is_none_does_no_harm() {
    for mut way in ways("tests/abi/json.cpp") {
        let said = run(&mut way);
        assert!(said.contains("checks hold"), "{said}");
    }
}

#[test]
fn the_quick_start_shows_the_ten_operations_and_the_refusal() {
    for way in ways("examples/cpp/quickstart.cpp") {
        assert_quick_start(&way);
    }
}

#[test]
fn minimal_program_holds_a_lease_and_gives_it_back() {
    for way in ways("examples/cpp/minimal.cpp") {
        assert_minimal(&way, "minutes\nOK ");
    }
}

#[test]
fn the_game_plays_when_it_may_and_never_waits() {
    assert_shows("test_game_loop.cpp", ways("examples/cpp/test_game_loop.cpp"), GAME);
}

#[test]
fn the_cad_program_saves_its_document_and_takes_a_feature_along() {
    assert_shows("test_cad_document.cpp", ways("examples/cpp/test_cad_document.cpp"), CAD);
}

#[test]
fn a_game_of_two_seconds_gives_its_slot_back() {
    let game = compile("c++", "examples/cpp/game_loop.cpp", &[]);
    assert_game(&game, "frame 1: NONE, Looking for a license.\n", ": ACTIVE\n");
}

#[test]
fn a_trip_is_three_starts_of_the_cad_program_and_one_without_a_network() {
    assert_trip(&compile("c++", "examples/cpp/cad_document.cpp", &[]));
}
