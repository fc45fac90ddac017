//! `storage_dir` on file systems, and for processes, that are not as on a developer's machine.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::abi::Client;
use support::consumption::{self, Desk, count, sync};
use support::folder::Folder;
use support::holder::{self, Holder};
use support::sandbox::World;
use support::{Demo, root, run, tool, with};

#[test]
fn holder() {
    holder::live();
}

/// A world with this device, and the config of its programs.
fn device(demo: &Demo, storage_dir: &Path) -> (World, Value) {
    let world = World::new(demo, &json!({ "rate": 0 }));
    world.client("laptop").call("activate_license", &Value::Null).ok();
    let config = with(&world.config("laptop"), json!({ "storage_dir": storage_dir }));
    (world, config)
}

/// Borrows, and lives through an outage in a second process.
fn borrow_and_start_offline(world: &World, start: &dyn Fn() -> Holder) {
    let mut first = start();
    assert_eq!(first.tell("acquire").ok(), "ACTIVE");
    assert_eq!(first.tell("borrow").ok(), "BORROWED");
    first.kill();
    world.control("POST /faults/profile", &json!({ "profile": "outage" }));
    let mut second = start();
    assert_eq!(second.tell("acquire").ok(), "BORROWED");
    world.control("DELETE /faults", &Value::Null);
    assert_eq!(second.tell("release").ok(), "RELEASED");
    assert_eq!(world.slots_of("laptop"), []);
}

/// The report's check of the stored files.
fn storage_check(holder: &mut Holder) -> Value {
    let report = holder.tell("diagnose").json;
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["check"] == "storage").unwrap_or_else(|| panic!("{report}")).clone()
}

/// A library that is loaded before libc, of a file in `tests/abi`.
fn preloaded(name: &str) -> PathBuf {
    // Not among what was built: LD_PRELOAD takes a blank in a path for the end of it.
    let library = std::env::temp_dir().join(format!("floatlease-{name}-{}.so", std::process::id()));
    let source = root().join(format!("tests/abi/{name}.c"));
    run(tool("cc").args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"]).arg(&library).arg(source).arg("-ldl"));
    library
}

#[test]
fn file_system_that_can_not_flush_folders_holds_records_and_diagnose_says_so() {
    let (demo, folder, shim) = (Demo::start(), Folder::new("no-folder-flush"), preloaded("no_folder_flush"));
    let (world, config) = device(&demo, folder.path());
    let start = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env("LD_PRELOAD", &shim);
        Holder::start_by(command, &config)
    };
    borrow_and_start_offline(&world, &start);
    let check = storage_check(&mut start());
    fs::remove_file(&shim).unwrap();
    assert_eq!(check["verdict"], "warning", "{check}");
    assert!(check["detail"].as_str().unwrap().contains("can't flush a folder"), "{check}");
    let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.starts_with("diagnose")).count(), 0);
    let check = storage_check(&mut Holder::start(&config));
    assert_eq!(check["verdict"], "ok", "{check}");
}

/// What makes this program a child: its config.
const CONSUMER: &str = "FLOATLEASE_CONSUMER_ON_BROKEN_DISK";

#[test]
#[ignore = "a child of the test below"]
fn program_that_consumes_on_broken_disk() {
    let Ok(config) = std::env::var(CONSUMER) else { return };
    let client = Client::open(&serde_json::from_str(&config).unwrap()).unwrap();
    client.call("add_feature_consumption", &count(5)).refused("STORAGE");
}

#[test]
fn consumption_refused_by_broken_disk_is_not_booked_later() {
    let (demo, folder, shim) = (Demo::start(), Folder::new("broken-flush"), preloaded("broken_folder_flush"));
    let world = consumption::world(&demo);
    let desk = Desk::new(&world, "FEATURES", &folder);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "program_that_consumes_on_broken_disk", "--ignored"]);
    run(child.env(CONSUMER, desk.config.to_string()).env("LD_PRELOAD", &shim));
    fs::remove_file(&shim).unwrap();
    let report = sync(&desk.start());
    assert_eq!(report["booked"], 0, "{report}");
    assert_eq!(report["waiting"], 0, "{report}");
    assert_eq!(desk.total_of("COUNT"), 0);
}

#[test]
fn folder_that_can_not_be_made_is_named() {
    let demo = Demo::start();
    for storage_dir in ["/proc/floatlease/records", "/dev/null/records"] {
        let (_, config) = device(&demo, Path::new(storage_dir));
        let said = Holder::start(&config).tell("acquire");
        assert_eq!(said.status, "STORAGE", "{}", said.json);
        assert!(said.json["message"].as_str().unwrap().contains("can't be created"), "{}", said.json);
    }
}

#[test]
fn reports_made_side_by_side_do_not_disturb_each_other() {
    let (demo, folder) = (Demo::start(), Folder::new("side-by-side"));
    let (_, config) = device(&demo, folder.path());
    let mut holders: Vec<Holder> = (0..4).map(|_| Holder::start(&config)).collect();
    for _ in 0..10 {
        holders.iter_mut().for_each(|holder| holder.order("diagnose"));
        for holder in &mut holders {
            let report = holder.answer().unwrap().json;
            assert_eq!(report["checks"][1]["verdict"], "ok", "{report}");
        }
    }
}

#[test]
fn umask_of_the_host_decides_nothing() {
    let demo = Demo::start();
    for umask in ["0000", "0277", "0777"] {
        let folder = Folder::new(&format!("umask-{umask}"));
        fs::create_dir(folder.path()).unwrap();
        // For the holders, who are nobody in particular.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let storage_dir = folder.path().join("parent/records");
        let (world, config) = device(&demo, &storage_dir);
        let start = || {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]).arg(std::env::current_exe().unwrap());
            let mut holder = Holder::start_by(command, &config);
            holder.tell("drop_root").ok();
            holder
        };
        borrow_and_start_offline(&world, &start);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(storage_dir.parent().unwrap()), mode(&storage_dir)), (0o700, 0o700), "{umask}");
        for entry in fs::read_dir(&storage_dir).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{umask}: {}", path.display());
        }
    }
}
