//! A borrow that is renewed, and a disk that takes nothing more at the worst moment.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::abi::Client;
use support::sandbox::World;
use support::{Demo, with};

/// A laptop with a folder of this test's own, removed at its end.
struct Laptop {
    world: World,
    folder: PathBuf,
}

impl Laptop {
    fn new(demo: &Demo, name: &str) -> Laptop {
        let folder = std::env::temp_dir().join(format!("floatlease-disks-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let laptop = Laptop { world: World::new(demo, &json!({ "rate": 0 })), folder };
        laptop.start().call("activate_license", &Value::Null).ok();
        laptop
    }

    /// The program starts.
    fn start(&self) -> Client {
        Client::open(&with(&self.world.config("laptop"), json!({ "storage_dir": self.folder }))).unwrap()
    }

    fn slots(&self) -> Vec<(Value, bool)> {
        self.world.slots_of("laptop")
    }

    /// From now on nothing is written: what each record is drafted in is a folder.
    fn block(&self) {
        let entries = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        let records: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "lease")).collect();
        assert!(!records.is_empty());
        records.iter().for_each(|path| fs::create_dir(draft(path)).unwrap());
    }

    /// The record of the one slot.
    fn record(&self) -> PathBuf {
        let mut entries = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        entries.find(|path| path.extension().is_some_and(|ending| ending == "lease")).unwrap()
    }

    /// What lies in the files that were moved aside.
    fn aside(&self) -> Vec<Vec<u8>> {
        let entries = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        let aside = entries.filter(|path| path.to_str().unwrap().contains(".damaged-"));
        aside.map(|path| fs::read(path).unwrap()).collect()
    }

    fn unblock(&self) {
        let entries = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).for_each(|path| fs::remove_dir(path).unwrap());
    }
}

impl Drop for Laptop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn draft(record: &Path) -> PathBuf {
    PathBuf::from(format!("{}.new", record.display()))
}

/// Waits for what comes of itself.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_borrowed_stays_borrowed_when_the_host_renews_it() {
    let demo = Demo::start();
    for request in [Value::Null, json!({ "feature": "MESH" })] {
        let laptop = Laptop::new(&demo, "renewed");
        let client = laptop.start();
        let (lease, _) = client.acquire(&request);
        let until = lease.borrow(&Value::Null).ok()["borrowed_until"].clone();
        let left = lease.remaining_ms();
        let info = lease.renew().ok();
        assert_eq!((&info["state"], &info["borrowed_until"]), (&json!("BORROWED"), &until), "{info}");
        assert!(left - lease.remaining_ms() < 60_000, "{left}, {}", lease.remaining_ms());
        assert_eq!(client.events(), [] as [&str; 0]);
        lease.release().ok();
    }
}

#[test]
fn acquire_without_a_record_on_disk_asks_nobody() {
    let demo = Demo::start();
    let laptop = Laptop::new(&demo, "take");
    let client = laptop.start();
    let (lease, _) = client.acquire(&Value::Null);
    laptop.block();
    // The server lets go of it, and what is kept still says that it may not have.
    assert_eq!(lease.release().ok()["state"], "RELEASED");
    let (none, answer) = client.try_acquire(&Value::Null);
    // The number of the request could not be kept, so the request did not leave.
    answer.failed("STORAGE", "not_sent");
    assert!(none.is_none() && laptop.slots().is_empty());
    laptop.unblock();
    let (lease, _) = client.acquire(&Value::Null);
    lease.release().ok();
}

#[test]
fn a_borrow_whose_proof_can_not_be_kept_is_of_unknown_outcome_and_is_had_by_borrowing_again() {
    let demo = Demo::start();
    for request in [Value::Null, json!({ "feature": "MESH" })] {
        let laptop = Laptop::new(&demo, "lend");
        let client = laptop.start();
        let (lease, info) = client.acquire(&request);
        // Between the borrow and its reply.
        let slow = json!({ "after_commit": { "delay": { "fixed_ms": 1_000 } } });
        laptop.world.only_fault(&slow);
        client.submit("lease_borrow", &json!({ "lease": info["lease"] })).unwrap();
        until("it is borrowed", || laptop.slots().iter().any(|(_, borrowed)| *borrowed));
        laptop.block();
        let done = client.wait_for("COMPLETED");
        assert_eq!(
            (&done["error"]["name"], &done["error"]["outcome"]),
            (&json!("STORAGE"), &json!("unknown")),
            "{done}"
        );
        assert_eq!(lease.state(), "ACTIVE");
        laptop.world.control("DELETE /faults", &Value::Null);
        laptop.unblock();
        assert_eq!(lease.borrow(&Value::Null).ok()["state"], "BORROWED");
        lease.release().ok();
        assert_eq!(laptop.slots(), []);
    }
}

/// On Windows nobody can remove what is open.
#[cfg(unix)]
#[test]
fn a_lease_whose_folder_was_removed_is_renewed_and_given_back_all_the_same() {
    let demo = Demo::start();
    let laptop = Laptop::new(&demo, "removed");
    let client = laptop.start();
    let (lease, _) = client.acquire(&Value::Null);
    fs::remove_dir_all(&laptop.folder).unwrap();
    assert_eq!(lease.renew().ok()["state"], "ACTIVE");
    assert_eq!(laptop.slots().len(), 1);
    lease.release().ok();
    assert_eq!(laptop.slots(), []);
}

#[test]
fn a_borrow_that_was_given_back_is_not_brought_back_by_an_old_copy_once_the_server_is_asked() {
    let demo = Demo::start();
    for request in [Value::Null, json!({ "feature": "MESH" })] {
        let laptop = Laptop::new(&demo, "restored");
        let client = laptop.start();
        let (lease, _) = client.acquire(&request);
        lease.borrow(&Value::Null).ok();
        let entries = fs::read_dir(&laptop.folder).unwrap().map(|entry| entry.unwrap().path());
        let copy: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        lease.release().ok();
        drop(lease);
        client.close();
        copy.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        let client = laptop.start();
        let (lease, _) = client.acquire(&request);
        assert_eq!(lease.state(), "BORROWED", "as the copy proves");
        assert_eq!(lease.renew().ok()["state"], "ACTIVE", "as the server says");
        assert!(laptop.slots().iter().all(|(_, borrowed)| !borrowed));
        lease.release().ok();
    }
}

#[test]
fn on_a_full_disk_what_is_held_goes_on_and_nothing_is_begun() {
    let demo = Demo::start();
    let laptop = Laptop::new(&demo, "full");
    let client = laptop.start();
    let (lease, _) = client.acquire(&Value::Null);
    laptop.block();
    assert_eq!(lease.renew().ok()["state"], "ACTIVE");
    let error = lease.borrow(&Value::Null).failed("STORAGE", "not_sent");
    assert!(error["message"].as_str().unwrap().contains(".lease can't be written"), "{error}");
    assert_eq!(lease.state(), "ACTIVE");
    laptop.unblock();
    lease.borrow(&Value::Null).ok();
    drop(lease);
    client.close();
    laptop.block();
    laptop.world.control("POST /faults/profile", &json!({ "profile": "outage" }));
    laptop.start().try_acquire(&Value::Null).1.failed("STORAGE", "not_sent");
}

#[test]
fn a_damaged_record_is_left_alone_without_a_network_and_moved_aside_with_one() {
    let demo = Demo::start();
    let laptop = Laptop::new(&demo, "damaged");
    let client = laptop.start();
    // No thread in the background writes the record after the close.
    let (lease, _) = client.acquire(&json!({"release_on_close_ms": 0}));
    lease.borrow(&Value::Null).ok();
    drop(lease);
    client.close();
    let record = laptop.record();
    fs::write(&record, b"junk").unwrap();
    laptop.world.control("POST /faults/profile", &json!({ "profile": "outage" }));
    let client = laptop.start();
    let error = client.try_acquire(&Value::Null).1.refused("STORAGE_DAMAGED");
    assert!(error["message"].as_str().unwrap().contains(record.to_str().unwrap()), "{error}");
    laptop.world.control("DELETE /faults", &Value::Null);
    // What the failed acquire does in the background, it has done by then.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((fs::read(&record).unwrap(), laptop.slots()), (b"junk".to_vec(), vec![(Value::Null, true)]));

    let (lease, _) = client.acquire(&Value::Null);
    assert_eq!((lease.state(), laptop.aside()), ("BORROWED", vec![b"junk".to_vec()]), "as the server says");
    fs::write(&record, b"rubbish").unwrap();
    lease.release().ok();
    assert_eq!((laptop.slots(), laptop.aside().len()), (vec![], 2));
}

#[cfg(unix)]
#[test]
fn the_folder_and_its_files_are_their_users_alone_and_small() {
    use std::os::unix::fs::PermissionsExt;
    let demo = Demo::start();
    let laptop = Laptop::new(&demo, "modes");
    // As long as this client is open, nothing is written in the background.
    let holder = laptop.start();
    let (lease, _) = holder.acquire(&Value::Null);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&laptop.folder), 0o700);
    let sizes = || {
        let paths: Vec<_> = fs::read_dir(&laptop.folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(paths.iter().all(|path| mode(path) == 0o600));
        let ending = |path: &PathBuf| path.extension().unwrap().to_str().unwrap().to_owned();
        let mut sizes: Vec<_> = paths.iter().map(|path| (ending(path), fs::metadata(path).unwrap().len())).collect();
        sizes.sort();
        sizes
    };
    assert!(
        matches!(&sizes()[..], [(holders, 0), (record, 100..300), (lock, 0)]
        if [holders, record, lock] == ["holders", "lease", "lock"]),
        "{:?}",
        sizes()
    );
    let client = laptop.start();
    let (lease_too, _) = client.acquire(&Value::Null);
    lease_too.borrow(&Value::Null).ok();
    assert!((5_000..8_000).contains(&sizes()[1].1), "{:?}", sizes());
    lease_too.release().ok();
    drop(lease);
}

#[test]
fn without_a_folder_the_first_to_leave_gives_back_what_the_others_next_renewal_takes_anew() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0 }));
    let [one, two] = [world.client("my-desk"), world.client("my-desk")];
    one.call("activate_license", &Value::Null).ok();
    let ((first, _), (second, _)) = (one.acquire(&Value::Null), two.acquire(&Value::Null));
    assert_eq!(world.slots_of("my-desk").len(), 1);
    first.release().ok();
    assert_eq!((world.slots_of("my-desk").len(), second.state()), (0, "ACTIVE"));
    second.renew().ok();
    assert_eq!(world.slots_of("my-desk").len(), 1);
}

#[test]
fn a_lease_that_the_host_keeps_is_given_back_by_the_host_alone() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0 }));
    let client = world.client("my-desk");
    client.call("activate_license", &Value::Null).ok();
    let (lease, _) = client.acquire(&json!({ "keep_alive": "host" }));
    lease.free();
    client.close();
    // If it were given back, it would be by now.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(world.slots_of("my-desk").len(), 1);
}
