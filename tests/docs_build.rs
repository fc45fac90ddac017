//! `scripts/docs/build` where the locale's encoding is not UTF-8. Doxygen and Sphinx are stand-ins; the filters that
//! Doxygen runs are not.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::fs::PermissionsExt;
use support::programs::empty;
use support::{root, run, target_dir, tool};

const DOXYGEN: &str = "#!/bin/sh\nexec scripts/docs/header_text include/floatlease.h >\"$DOCS_OUTPUT/floatlease.h\"\n";

#[test]
fn texts_are_utf_8_in_every_locale() {
    let home = empty(target_dir().join("docs_build"));
    let target = home.join("für alle");
    std::fs::create_dir_all(target.join("docs/bin")).unwrap();
    for (program, script) in [
        (home.join("doxygen"), DOXYGEN),
        (target.join("docs/bin/python"), "#!/bin/sh\n"),
        (target.join("docs/bin/sphinx-build"), "#!/bin/sh\n"),
    ] {
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    run(tool("bash")
        .arg(root().join("scripts/docs/build"))
        .env("PATH", format!("{}:{}", home.display(), std::env::var("PATH").unwrap()))
        .env("CARGO_TARGET_DIR", &target)
        .envs([("LC_ALL", "C"), ("PYTHONUTF8", "0"), ("PYTHONCOERCECLOCALE", "0")]));
    let written = std::fs::read_to_string(target.join("site/c/floatlease.h")).unwrap();
    assert!(written.contains('…'));
}
