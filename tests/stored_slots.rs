//! A process that holds nothing tells and releases what this device holds, as the files in `storage_dir` say.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::Status;
use floatlease::lease::{Lease, Session, caught};
use serde_json::{Value, json};
use std::fs;
use support::holder;
use support::machine::Machine;
use support::{Demo, with};

#[test]
fn holder() {
    holder::live();
}

const NOWHERE: &str = "http://127.0.0.1:9/api/v4";

fn session(config: &Value) -> Session {
    Session::open(&config.to_string(), caught).unwrap()
}

fn stored(session: &Session) -> Vec<Value> {
    let reply: Value = serde_json::from_str(&session.stored_slots("{}").unwrap()).unwrap();
    reply["slots"].as_array().unwrap().clone()
}

fn release(session: &Session, request: &Value) -> Value {
    serde_json::from_str(&session.release_stored_slots(&request.to_string()).unwrap()).unwrap()
}

fn acquire(session: &Session, feature: &str) -> Lease {
    session.acquire(&json!({ "feature": feature, "keep_alive": "host" }).to_string()).unwrap().0
}

/// Leaves the slot of a feature behind, as a killed process does.
fn leave(machine: &Machine, feature: &str) {
    let mut doomed = machine.start();
    doomed.tell(&format!(r#"acquire {{"feature":"{feature}"}}"#)).ok();
    doomed.kill();
}

#[test]
fn slot_is_held_then_left_then_unknown() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "stored-states");
    let onlooker = session(&machine.config());
    assert_eq!(stored(&onlooker), [] as [Value; 0]);

    let mut doomed = machine.start();
    doomed.tell(r#"acquire {"feature":"MESH"}"#).ok();
    assert_eq!(stored(&onlooker)[0]["state"], "held");
    assert_eq!(stored(&onlooker)[0]["feature"], "MESH");
    doomed.kill();
    assert_eq!(stored(&onlooker)[0]["state"], "left");

    let reply = release(&onlooker, &json!({ "all": true }));
    assert_eq!(reply["released"][0]["feature"], "MESH");
    assert_eq!(stored(&onlooker), [] as [Value; 0]);
    assert_eq!(machine.count(), 0);
}

#[test]
fn release_of_one_feature_leaves_others() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "stored-one");
    leave(&machine, "MESH");
    let mut doomed = machine.start();
    doomed.tell(r#"acquire {"feature":"SOLVER"}"#).ok();
    let onlooker = session(&machine.config());
    let reply = release(&onlooker, &json!({ "feature": "solver" }));
    assert_eq!(reply["left"][0]["why"], "in_use");
    doomed.kill();
    let reply = release(&onlooker, &json!({ "feature": "solver" }));
    assert_eq!(reply["released"][0]["feature"], "SOLVER");
}

#[test]
fn borrow_by_lease_and_by_verb_are_told_kept_and_released() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "stored-borrows");
    let borrower = session(&machine.config());
    let lease = acquire(&borrower, "MESH");
    lease.borrow("{}").unwrap();
    lease.release_keeping_borrows("{}").unwrap();
    borrower.call("check_license", "{}").unwrap();
    borrower.call("borrow_license", r#"{"borrowed_until":null}"#).unwrap();
    assert_eq!(machine.count(), 2);

    let onlooker = session(&with(&machine.config(), json!({ "base_url": NOWHERE })));
    for slot in stored(&onlooker) {
        assert_eq!(slot["state"], "borrowed");
        assert_eq!(slot["in_use"], false);
        assert!(slot["borrowed_until"].is_string(), "{slot}");
    }
    assert_eq!(stored(&onlooker).len(), 2);
    let reply = release(&borrower, &json!({ "all": true, "keep_borrows": true }));
    assert_eq!(reply["kept"].as_array().unwrap().len(), 2);
    assert_eq!(machine.count(), 2);
    let reply = release(&borrower, &json!({ "all": true }));
    assert_eq!(reply["released"].as_array().unwrap().len(), 2);
    assert_eq!(machine.count(), 0);
}

#[test]
fn release_keeping_borrows_releases_slots_that_are_not_borrowed() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "stored-keeping");
    let session = session(&machine.config());
    acquire(&session, "MESH").borrow("{}").unwrap();
    let both = json!({ "features": ["MESH", "SOLVER"], "keep_alive": "host" });
    let (lease, _) = session.acquire(&both.to_string()).unwrap();
    let info: Value = serde_json::from_str(&lease.release_keeping_borrows("{}").unwrap()).unwrap();
    assert_eq!(info["state"], "RELEASED");
    assert_eq!(machine.slots(), [(json!("MESH"), true)]);
}

#[test]
fn slot_is_left_while_server_is_out_of_reach() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "stored-offline");
    leave(&machine, "MESH");
    let offline = session(&with(&machine.config(), json!({ "base_url": NOWHERE })));
    let reply = release(&offline, &json!({ "all": true, "timeout_ms": 300 }));
    assert_eq!(reply["left"][0]["category"], "network");
    assert_eq!(reply["released"], json!([]));
    assert_eq!(stored(&offline)[0]["state"], "left");
    let reply = release(&session(&machine.config()), &json!({ "all": true }));
    assert_eq!(reply["left"], json!([]));
    assert_eq!(machine.count(), 0);
}

#[test]
fn release_without_an_answer_is_tried_again_later() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "stored-silent");
    leave(&machine, "MESH");
    machine.world.only_fault(&json!({ "before": "hang" }));
    let session = session(&machine.config());
    let reply = release(&session, &json!({ "all": true, "timeout_ms": 300 }));
    assert_eq!(reply["left"][0]["name"], "TIMEOUT");
    machine.world.control("DELETE /faults", &Value::Null);
    let reply = release(&session, &json!({ "all": true }));
    assert_eq!(reply["left"], json!([]));
    assert_eq!(machine.count(), 0);
}

#[test]
fn damaged_record_is_told_and_left_as_it_is() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "stored-damaged");
    leave(&machine, "MESH");
    let path = machine.folder.proof();
    fs::write(&path, "damaged").unwrap();
    let session = session(&machine.config());
    assert_eq!(stored(&session)[0]["state"], "unreadable");
    let reply = release(&session, &json!({ "all": true }));
    assert_eq!(reply["left"][0]["name"], "STORAGE_DAMAGED");
    assert_eq!(fs::read_to_string(&path).unwrap(), "damaged");
}

#[test]
fn mistakes_name_the_key() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "stored-mistakes");
    let without_folder = session(&machine.world.config("desk"));
    assert_eq!(without_folder.stored_slots("{}").unwrap_err().status, Status::MissingKey);
    assert_eq!(without_folder.release_stored_slots("{}").unwrap_err().status, Status::MissingKey);
    let session = session(&machine.config());
    for (request, status) in [
        (json!({ "all": true, "feature": "MESH" }), Status::ConflictingKeys),
        (json!({ "everything": true }), Status::UnknownKey),
        (json!({ "timeout_ms": 0 }), Status::BadValue),
        (json!({ "keep_borrows": "yes" }), Status::WrongType),
    ] {
        let error = session.release_stored_slots(&request.to_string()).unwrap_err();
        assert_eq!(error.status, status, "{request}");
    }
}
