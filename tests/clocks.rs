//! A device whose clock is set back, by a day and by a year: its order numbers go on growing, and no host hears of it. And
//! one whose clock shows a date before 1970, as without a battery.
//!
//! The processes run under libfaketime, which shifts the date that they see and leaves the clocks alone that count time.
//! The world's clock is set back along with them, so that the server takes their dates for right.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use support::folder::Folder;
use support::holder::{self, Holder};
use support::sandbox::World;
use support::tls::Authority;
use support::{Demo, with};

#[test]
fn holder() {
    holder::live();
}

const DEVICE: &str = "workstation";

/// How far the clock is set back.
const STEPS: [&str; 2] = ["1d", "365d"];

/// Where Debian keeps it: below the name of the processor's kind.
fn libfaketime() -> PathBuf {
    let kinds = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut libraries = kinds.map(|path| path.join("faketime/libfaketime.so.1"));
    libraries.find(|path| path.exists()).expect("libfaketime is missing: run scripts/setup")
}

/// A device with a clock that can be set, and the world in which its server counts.
struct Device {
    world: World,
    folder: Folder,
    keeps_records: bool,
}

impl Device {
    fn new(demo: &Demo, name: &str, keeps_records: bool) -> Device {
        let world = World::new(demo, &json!({ "date_check": "world" }));
        world.client(DEVICE).call("activate_license", &Value::Null).ok();
        let folder = Folder::new(&format!("clock-{name}-{keeps_records}"));
        fs::create_dir(folder.path()).unwrap();
        let device = Device { world, folder, keeps_records };
        device.show("+0");
        device
    }

    /// What the clock of all processes shows from now on, compared with the right time.
    fn show(&self, offset: &str) {
        fs::write(self.clock(), offset).unwrap();
    }

    fn clock(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    fn set_back(&self, by: &str) {
        self.show(&format!("-{by}"));
        self.world.control("POST /clock/jump", &json!({ "by": format!("-{by}") }));
    }

    fn start(&self) -> Holder {
        let records = self.keeps_records.then(|| self.folder.path().join("records"));
        let config = with(&self.world.config(DEVICE), json!({ "storage_dir": records }));
        self.start_with(&config)
    }

    fn start_with(&self, config: &Value) -> Holder {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env("LD_PRELOAD", libfaketime()).env("FAKETIME_TIMESTAMP_FILE", self.clock());
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
        Holder::start_by(command, config)
    }

    /// How many requests were answered by this code.
    fn refused(&self, code: &str) -> Value {
        self.world.control("POST /journal/count", &json!({ "filter": { "code": code } }))["count"].clone()
    }

    /// With a folder the record tells the last number. Without one each process hears it once, from the server.
    fn assert_refusals(&self, processes: u64) {
        assert_eq!(self.refused("order_outdated"), if self.keeps_records { 0 } else { processes });
        assert_eq!(self.refused("date_header_diff"), 0);
    }
}

/// Takes the slot, renews it and gives it back.
fn use_slot(holder: &mut Holder) {
    assert_eq!(holder.tell("acquire").ok(), "ACTIVE");
    assert_eq!(holder.tell("renew").ok(), "ACTIVE");
    assert_eq!(holder.tell("release").ok(), "RELEASED");
}

#[test]
fn process_started_after_the_clock_was_set_back_is_served() {
    let demo = Demo::start();
    for by in STEPS {
        for keeps_records in [true, false] {
            let device = Device::new(&demo, &format!("started-{by}"), keeps_records);
            [device.start(), device.start()].iter_mut().for_each(use_slot);
            device.assert_refusals(0);
            device.set_back(by);
            [device.start(), device.start()].iter_mut().for_each(use_slot);
            device.assert_refusals(2);
        }
    }
}

#[test]
fn process_whose_clock_is_set_back_under_it_is_served() {
    let demo = Demo::start();
    for by in STEPS {
        for keeps_records in [true, false] {
            let device = Device::new(&demo, &format!("running-{by}"), keeps_records);
            let mut processes = [device.start(), device.start()];
            processes.iter_mut().for_each(use_slot);
            device.set_back(by);
            processes.iter_mut().for_each(use_slot);
            device.assert_refusals(2);
        }
    }
}

#[test]
fn slot_shared_while_the_clock_is_set_back_stays_held() {
    let demo = Demo::start();
    for by in STEPS {
        let device = Device::new(&demo, &format!("shared-{by}"), true);
        let mut processes = [device.start(), device.start()];
        processes.iter_mut().for_each(|holder| assert_eq!(holder.tell("acquire").ok(), "ACTIVE"));
        device.set_back(by);
        let mut late = device.start();
        assert_eq!(late.tell("acquire").ok(), "ACTIVE");
        for holder in processes.iter_mut().chain([&mut late]) {
            assert_eq!(holder.tell("renew").ok(), "ACTIVE");
            assert_eq!(device.world.slots_of(DEVICE).len(), 1);
            assert_eq!(holder.tell("release").ok(), "RELEASED");
        }
        assert_eq!(device.world.slots_of(DEVICE), []);
        device.assert_refusals(0);
    }
}

/// A date this many hours from now by the right time.
fn in_hours(hours: i64) -> Value {
    floatlease::model::format_time(chrono::Utc::now() + chrono::TimeDelta::hours(hours)).into()
}

/// A device whose clock was ten hours slow when it borrowed this for five hours, and is right now.
fn borrowed_by_slow_clock(demo: &Demo, name: &str, request: &str) -> (Device, Holder) {
    let device = Device::new(demo, name, true);
    device.show("-10h");
    let mut holder = device.start();
    assert_eq!(holder.tell(&format!("acquire {request}")).ok(), "ACTIVE");
    assert_eq!(holder.tell(&format!("borrow {}", json!({ "borrowed_until": in_hours(5) }))).ok(), "BORROWED");
    device.show("+0");
    (device, holder)
}

#[test]
fn borrow_is_kept_when_a_slow_clock_is_put_right() {
    let demo = Demo::start();
    let (device, mut holder) = borrowed_by_slow_clock(&demo, "put-right", "{}");
    assert_eq!(holder.tell("renew").ok(), "BORROWED");
    assert_eq!(holder.tell("free").status, "OK");
    assert!(holder.settles());
    assert_eq!(device.world.slots_of(DEVICE), [(Value::Null, true)]);
    // A process that takes another slot gives none of it back either.
    let (device, mut holder) = borrowed_by_slow_clock(&demo, "orphan", r#"{"feature":"MESH"}"#);
    holder.kill();
    let mut other = device.start();
    assert_eq!(other.tell("acquire").ok(), "ACTIVE");
    assert!(device.world.slots_of(DEVICE).contains(&(json!("MESH"), true)));
}

#[test]
fn start_without_a_network_goes_by_what_the_last_renewal_heard() {
    let demo = Demo::start();
    for offset in ["+0", "-12h", "-2h"] {
        let (device, mut holder) = borrowed_by_slow_clock(&demo, &format!("heard{offset}"), "{}");
        device.show(offset);
        for _ in 0..2 {
            assert_eq!(holder.tell("renew").ok(), "BORROWED");
        }
        holder.kill();
        device.world.control("POST /faults/profile", &json!({ "profile": "outage" }));
        assert_eq!(device.start().tell("acquire").ok(), "BORROWED", "{offset}");
    }
}

#[test]
fn borrow_by_a_verb_is_seen_by_a_lease_whose_clock_was_put_right() {
    let demo = Demo::start();
    let device = Device::new(&demo, "verb", true);
    device.show("-10h");
    let mut holder = device.start();
    assert_eq!(holder.tell("acquire").ok(), "ACTIVE");
    device.show("+0");
    let said = holder.tell(&format!("borrow_license {}", json!({ "borrowed_until": in_hours(5) })));
    assert_eq!((said.status.as_str(), said.state.as_str()), ("OK", "BORROWED"));
    holder.tell("free").ok();
    assert!(holder.settles());
    assert_eq!(device.world.slots_of(DEVICE), [(Value::Null, true)]);
}

#[test]
fn clock_that_shows_a_date_before_1970_is_named() {
    let demo = Demo::start();
    let device = Device::new(&demo, "before-1970", true);
    device.show("-100y");
    let mut holder = device.start();
    let said = holder.tell("acquire");
    assert_eq!(said.status, "DATE_HEADER_DIFF", "{said:?}");
    device.show("+0");
    use_slot(&mut holder);
    // A borrow that is stored is not believed, either.
    assert_eq!(holder.tell("acquire").ok(), "ACTIVE");
    assert_eq!(holder.tell("borrow").ok(), "BORROWED");
    drop(holder);
    device.world.control("POST /faults/profile", &json!({ "profile": "outage" }));
    device.show("-100y");
    assert_eq!(device.start().tell("acquire").status, "CLOCK_MOVED_BACK");
    // By TLS the server is not believed: no certificate was valid then.
    let authority = Authority::new();
    let front = authority.front(demo.address(), &["localhost"], false);
    let url = format!("https://localhost:{}/api/v4", front.rsplit(':').next().unwrap());
    let config = with(&demo.config(DEVICE), json!({ "base_url": url, "tls_roots": authority.pem() }));
    assert_eq!(device.start_with(&config).tell("acquire").status, "TLS_EXPIRED");
}
