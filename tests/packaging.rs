//! What of packing can be shown without a release: licenses, linked crates, the same bytes each time, the ledger.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::{root, run, tool};

#[test]
fn what_ships_is_licensed_and_packed_as_it_should_be() {
    run(tool("python3").arg(root().join("scripts/dist/tests.py")));
}
