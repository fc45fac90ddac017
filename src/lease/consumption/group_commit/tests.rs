use super::*;
use crate::lease::license_ref::LicenseRef;
use crate::lease::storage::append_log::AppendLog;
use crate::strict::Object;
use serde_json::json;
use std::fs;
use std::path::PathBuf;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("floatlease-group-commit-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn commit(&self) -> GroupCommit {
        GroupCommit::new(ConsumptionQueue::new(&self.0, &license_ref()).unwrap())
    }

    /// The number of lines in the file, each of which was flushed to the disk once.
    fn count_lines(&self) -> usize {
        let mut log = AppendLog::new(ConsumptionQueue::path(&self.0, &license_ref()), "XY", "hw-1").unwrap();
        log.read().unwrap().lines.len()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn client() -> Client {
    let config = json!({
        "product": "XY", "license_key": "AAAA", "api_key": "a", "shared_key": "s", "hardware_id": "hw-1",
        "verify": "off", "base_url": "http://127.0.0.1:1",
    });
    Client::open(&config.to_string()).unwrap()
}

fn license_ref() -> LicenseRef {
    LicenseRef::new(&client(), Object::new()).unwrap()
}

fn add(key: &str) -> Change {
    let entry = QueuedConsumption {
        key: key.to_owned(),
        operation: "add_consumption".to_owned(),
        parameters: Object::new(),
        at_ms: 1,
        state: crate::lease::consumption::entry::EntryState::Waiting,
        caller: None,
    };
    Change::Add { entry: Box::new(entry), life_ms: None }
}

/// A thousand calls wait behind one that holds the queue: they need no more than two flushes.
#[test]
fn calls_that_come_while_one_writes_share_its_next_flush() {
    let (folder, client) = (Folder::new("share"), client());
    let commit = folder.commit();
    commit.write(&client, add("first")).unwrap();
    let before = folder.count_lines();
    let busy = commit.queue();
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..200)
            .map(|number| {
                let (commit, client) = (&commit, &client);
                scope.spawn(move || commit.write(client, add(&format!("key-{number}"))).unwrap())
            })
            .collect();
        while commit.pending().changes.len() < 199 {
            std::thread::yield_now();
        }
        drop(busy);
        calls.into_iter().for_each(|call| drop(call.join().unwrap()));
    });
    assert_eq!(commit.with_entries(<[_]>::len), 201);
    assert_eq!(folder.count_lines() - before, 2);
}

#[test]
fn removal_that_no_call_waits_for_is_written_by_the_call_that_writes() {
    let (folder, client) = (Folder::new("later"), client());
    let commit = folder.commit();
    commit.write(&client, add("first")).unwrap();
    let busy = commit.queue();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| commit.write(&client, add("second")).unwrap());
        while !commit.pending().is_writing {
            std::thread::yield_now();
        }
        // Returns although the other call still writes.
        commit.remove_later(&client, "first".to_owned());
        assert!(commit.pending().leaving.contains("first"), "no other call takes it for one to be sent");
        drop(busy);
        writing.join().unwrap();
    });
    assert!(commit.pending().leaving.is_empty());
    let stored = folder.commit();
    stored.write(&client, Change::Nothing).unwrap();
    let keys = |entries: &[QueuedConsumption]| entries.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>();
    assert_eq!(stored.with_entries(keys), ["second"]);
}

#[test]
fn removal_that_could_not_be_written_is_written_with_next_change() {
    let (folder, client) = (Folder::new("again"), client());
    let commit = folder.commit();
    commit.write(&client, add("key")).unwrap();
    let path = ConsumptionQueue::path(&folder.0, &license_ref());
    let aside = path.with_extension("aside");
    // The file is a folder for a moment, so it can be neither read nor written.
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    commit.remove_later(&client, "key".to_owned());
    fs::remove_dir(&path).unwrap();
    fs::rename(&aside, &path).unwrap();
    assert_eq!(commit.with_open(|entries| entries.count()), 0, "no call sends it");
    commit.write(&client, add("another")).unwrap();
    let stored = folder.commit();
    stored.write(&client, Change::Nothing).unwrap();
    let keys = |entries: &[QueuedConsumption]| entries.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>();
    assert_eq!(stored.with_entries(keys), ["another"]);
    assert!(commit.pending().leaving.is_empty());
}

#[test]
fn each_call_hears_of_its_own_change() {
    let (folder, client) = (Folder::new("own"), client());
    let commit = folder.commit();
    let busy = commit.queue();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| commit.write(&client, add("key")).unwrap());
        while !commit.pending().is_writing {
            std::thread::yield_now();
        }
        let again = scope.spawn(|| commit.write(&client, add("key")).unwrap());
        let other = scope.spawn(|| commit.write(&client, add("other")).unwrap());
        while commit.pending().changes.len() < 2 {
            std::thread::yield_now();
        }
        drop(busy);
        assert!(first.join().unwrap().is_new);
        assert!(!again.join().unwrap().is_new);
        assert!(other.join().unwrap().is_new);
    });
}
