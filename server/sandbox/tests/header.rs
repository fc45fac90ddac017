//! Checks that the sandbox's C header is up to date. The client's tests/header.rs checks that compilers accept it.
#![allow(missing_docs, clippy::unwrap_used)]

const GENERATED: &str = env!("FLOATLEASE_SANDBOX_GENERATED_HEADER");
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../include/floatlease_sandbox.h");

#[test]
fn committed_header_is_generated_one() {
    let [committed, generated] = [COMMITTED, GENERATED].map(|path| std::fs::read(path).unwrap_or_default());
    assert!(
        !generated.is_empty() && committed == generated,
        "include/floatlease_sandbox.h is stale: run `make header` and commit it"
    );
}

#[test]
#[ignore = "`make header` runs it"]
fn write_the_header() {
    std::fs::copy(GENERATED, COMMITTED).unwrap();
}
