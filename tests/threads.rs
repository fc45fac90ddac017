//! Threads of ours, while the host keeps his leases alive himself.
//!
//! One test, because the threads belong to the whole process.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::Demo;
use support::sandbox::World;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn a_lease_that_the_host_keeps_has_no_thread_and_one_that_we_keep_has_one() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0 }));
    let client = world.client("my-desk");
    client.call("activate_license", &Value::Null).ok();
    let before = threads();
    let (lease, _) = client.acquire(&json!({ "keep_alive": "host" }));
    lease.renew().ok();
    assert_eq!((client.events(), threads()), (vec!["RENEWED".to_owned()], before));
    lease.release().ok();
    let _leases = [client.acquire(&Value::Null), client.acquire(&json!({ "feature": "MESH" }))];
    assert_eq!(threads(), before + 1);
}
