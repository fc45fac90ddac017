use super::*;
use crate::lease::consumption::entry::Rejection;
use crate::lease::storage::sealed_file::beside;
use crate::strict::Object;
use serde_json::{Value, json};
use std::fs;

impl ConsumptionQueue {
    fn change(&mut self, change: Change) -> Result<Written, Error> {
        self.write(&client("http://127.0.0.1:1"), &[change]).remove(0)
    }

    fn add(&mut self, entry: QueuedConsumption) -> Result<(), Error> {
        self.change(Change::Add { entry: Box::new(entry), life_ms: None }).map(drop)
    }

    fn set_state(&mut self, entry: &QueuedConsumption) -> Result<(), Error> {
        self.change(Change::States(vec![(entry.key.clone(), entry.state.clone())])).map(drop)
    }

    fn done(&mut self, keys: Vec<String>) -> Result<(), Error> {
        self.change(Change::Done(keys)).map(drop)
    }

    /// The entries as the file is now.
    fn read(&mut self) -> Result<&[QueuedConsumption], Error> {
        self.change(Change::Nothing)?;
        Ok(self.entries())
    }

    fn first_open(&mut self) -> Result<Option<QueuedConsumption>, Error> {
        Ok(self.read()?.iter().find(|entry| entry.is_open()).cloned())
    }
}

fn share(queue: &mut ConsumptionQueue, client: &Client) {
    queue.write(client, &[Change::Nothing]).remove(0).unwrap();
}

/// A folder of this test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("floatlease-journal-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn queue(&self) -> ConsumptionQueue {
        ConsumptionQueue::new(&self.0, &license_ref(&client("http://127.0.0.1:1"))).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn client(base_url: &str) -> Client {
    let config = json!({
        "product": "XY", "license_key": "AAAA", "api_key": "a", "shared_key": "s", "hardware_id": "hw-1",
        "verify": "off", "base_url": base_url,
    });
    Client::open(&config.to_string()).unwrap()
}

fn license_ref(client: &Client) -> LicenseRef {
    LicenseRef::new(client, Object::new()).unwrap()
}

fn entry(key: &str, amount: i64) -> QueuedConsumption {
    let parameters = json!({ "feature": "COUNT", "consumptions": amount });
    QueuedConsumption {
        key: key.to_owned(),
        operation: "add_feature_consumption".to_owned(),
        parameters: parameters.as_object().unwrap().clone(),
        at_ms: 1,
        state: EntryState::Waiting,
        caller: None,
    }
}

fn keys(queue: &mut ConsumptionQueue) -> Vec<String> {
    queue.read().unwrap().iter().map(|entry| entry.key.clone()).collect()
}

#[test]
fn entries_keep_their_order_and_how_they_stand_for_everybody() {
    let folder = Folder::new("order");
    let (mut one, mut other) = (folder.queue(), folder.queue());
    for (number, queue) in [&mut one, &mut other].into_iter().enumerate() {
        queue.add(entry(&format!("key-{number}"), 3)).unwrap();
    }
    one.add(entry("key-2", 4)).unwrap();
    assert_eq!(keys(&mut other), ["key-0", "key-1", "key-2"]);
    let rejection = Rejection { status: 151, server_code: Some("code".to_owned()), reason: "reason".to_owned() };
    let standings = [
        EntryState::InDoubt { total_before: Some(7), at_ms: 5, life_ms: 30_000 },
        EntryState::Refused(rejection.clone()),
        EntryState::Unknown(rejection),
    ];
    for (number, state) in standings.into_iter().enumerate() {
        one.set_state(&QueuedConsumption { state, ..entry(&format!("key-{number}"), 3) }).unwrap();
    }
    assert_eq!(keys(&mut other), ["key-0", "key-1", "key-2"]);
    assert_eq!(other.read().unwrap(), one.read().unwrap());
    assert_eq!(folder.queue().first_open().unwrap().unwrap().key, "key-0");
    other.done(vec!["key-0".to_owned()]).unwrap();
    assert_eq!((keys(&mut one), one.first_open().unwrap()), (vec!["key-1".to_owned(), "key-2".to_owned()], None));
}

#[test]
fn doubt_of_an_older_journal_lasts_as_long_as_any_request_may_live() {
    let kept = json!({ "InDoubt": { "total_before": 7, "at_ms": 5 } });
    let in_doubt = EntryState::InDoubt { total_before: Some(7), at_ms: 5, life_ms: 3_600_000 };
    assert_eq!(EntryState::from_stored(&kept), Some(in_doubt));
}

#[test]
fn a_key_names_one_wish_until_the_host_has_heard_of_it() {
    let folder = Folder::new("key");
    let mut queue = folder.queue();
    let rejection = Rejection { status: 151, server_code: None, reason: "reason".to_owned() };
    let standings = [
        EntryState::Waiting,
        EntryState::InDoubt { total_before: None, at_ms: 5, life_ms: 30_000 },
        EntryState::Unknown(rejection.clone()),
        EntryState::Refused(rejection),
    ];
    queue.add(entry("key", 3)).unwrap();
    queue.add(entry("last", 3)).unwrap();
    for state in standings {
        let known = QueuedConsumption { state, ..entry("key", 3) };
        queue.set_state(&known).unwrap();
        let error = queue.add(entry("key", 9)).unwrap_err();
        assert_eq!(error.status, Status::BadValue);
        assert!(error.message().contains("names other consumptions"), "{error}");
        assert_eq!(queue.read().unwrap()[0], known, "what is known of it is not forgotten");
        queue.add(entry("key", 3)).unwrap();
        let is_refused = matches!(known.state, EntryState::Refused(_));
        assert_eq!(keys(&mut queue), if is_refused { ["last", "key"] } else { ["key", "last"] });
        let at = usize::from(is_refused);
        assert_eq!(queue.read().unwrap()[at], if is_refused { entry("key", 3) } else { known });
    }
    queue.done(vec!["key".to_owned()]).unwrap();
    queue.add(entry("key", 9)).unwrap();
    assert_eq!(folder.queue().read().unwrap()[1].amount(), 9);
}

#[test]
fn outdated_changes_leave_the_file() {
    let folder = Folder::new("tidy");
    let mut queue = folder.queue();
    let mut other = folder.queue();
    for number in 0..MOST_OUTDATED_WHEN_EMPTY {
        queue.add(entry(&format!("key-{number}"), 3)).unwrap();
        assert_eq!(keys(&mut other).len(), 1);
        queue.done(vec![format!("key-{number}")]).unwrap();
    }
    assert!(queue.stored_changes <= MOST_OUTDATED_WHEN_EMPTY, "{}", queue.stored_changes);
    assert_eq!(keys(&mut queue), Vec::<String>::new());
    assert_eq!(keys(&mut other), Vec::<String>::new());
    assert_eq!(other.stored_changes, queue.stored_changes, "as many are in the file");

    // A client that is offline for long tries again and again.
    queue.add(entry("stays", 3)).unwrap();
    for _ in 0..3 * MOST_OUTDATED {
        queue.set_state(&entry("stays", 3)).unwrap();
    }
    assert!(queue.stored_changes <= MOST_OUTDATED + 1, "{}", queue.stored_changes);
    assert_eq!(keys(&mut folder.queue()), ["stays"]);
}

#[test]
fn changes_of_several_calls_are_one_line() {
    let folder = Folder::new("batch");
    let mut queue = folder.queue();
    queue.add(entry("first", 1)).unwrap();
    let add = |key: &str, amount| Change::Add { entry: Box::new(entry(key, amount)), life_ms: None };
    let changes = [add("second", 2), add("first", 9), Change::Done(vec!["first".to_owned()]), add("third", 3)];
    let results = queue.write(&client("http://127.0.0.1:1"), &changes);
    let refused: Vec<bool> = results.iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, true, false, false], "the refused one keeps no other from being made");
    assert_eq!(keys(&mut folder.queue()), ["second", "third"]);
    let path = ConsumptionQueue::path(&folder.0, &license_ref(&client("http://127.0.0.1:1")));
    let mut log = AppendLog::new(path, "XY", "hw-1").unwrap();
    assert_eq!(log.read().unwrap().lines.len(), 2);
}

#[test]
fn client_is_stored_until_the_state_changes() {
    let folder = Folder::new("caller");
    let mut queue = folder.queue();
    let owned = QueuedConsumption { caller: Some("me".to_owned()), ..entry("key", 3) };
    queue.add(owned.clone()).unwrap();
    assert_eq!(folder.queue().read().unwrap(), std::slice::from_ref(&owned));
    queue.set_state(&owned).unwrap();
    assert_eq!(folder.queue().read().unwrap(), [entry("key", 3)]);
}

#[test]
fn consumptions_that_are_sent_under_a_key_at_once_are_in_doubt_from_the_beginning() {
    let folder = Folder::new("doubt-at-once");
    let mut queue = folder.queue();
    let client = client("http://127.0.0.1:1");
    client.set_supports_idempotency(true);
    let add = |key: &str, life_ms| Change::Add { entry: Box::new(entry(key, 3)), life_ms };
    queue
        .write(&client, &[add("sent", Some(30_000)), add("kept", None)])
        .into_iter()
        .for_each(|one| drop(one.unwrap()));
    let states: Vec<_> = folder.queue().read().unwrap().iter().map(|entry| entry.state.clone()).collect();
    let doubt = EntryState::InDoubt { total_before: None, at_ms: 1, life_ms: 30_000 };
    assert_eq!(states, [doubt, EntryState::Waiting]);
}

#[test]
fn failed_write_leaves_the_entries_as_the_file_has_them() {
    let folder = Folder::new("failed-write");
    let mut queue = folder.queue();
    queue.add(entry("first", 1)).unwrap();
    let path = ConsumptionQueue::path(&folder.0, &license_ref(&client("http://127.0.0.1:1")));
    let too_long = {
        let mut entry = entry("second", 1);
        entry.parameters.insert("extra".to_owned(), json!("x".repeat(9 << 20)));
        entry
    };
    // The file is a folder for a moment, so it can be neither read nor written.
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(queue.add(entry("second", 1)).unwrap_err().status, Status::Storage);
    fs::remove_dir(&path).unwrap();
    fs::rename(&aside, &path).unwrap();
    assert_eq!(keys(&mut queue), ["first"]);
    assert_eq!(queue.add(too_long).unwrap_err().status, Status::QueueFull);
    assert_eq!(keys(&mut queue), ["first"]);
}

/// Other threads see the entries between the failure and the next write.
#[test]
fn failed_write_leaves_no_entry_in_memory() {
    let folder = Folder::new("failed-memory");
    let mut queue = folder.queue();
    let path = ConsumptionQueue::path(&folder.0, &license_ref(&client("http://127.0.0.1:1")));
    let draft = beside(&path, "new");
    fs::create_dir(&draft).unwrap();
    let client = client("http://127.0.0.1:1");
    client.set_supports_idempotency(true);
    let change = Change::Add { entry: Box::new(entry("key", 1)), life_ms: None };
    assert_eq!(queue.write(&client, &[change]).remove(0).unwrap_err().status, Status::Storage);
    assert_eq!(queue.entries(), []);
    assert_eq!(queue.server, None);
    assert_eq!(queue.stored_changes, 0);
    fs::remove_dir(&draft).unwrap();
    queue.add(entry("key", 1)).unwrap();
    assert_eq!(keys(&mut folder.queue()), ["key"]);
}

#[test]
fn refused_entries_leave_room_for_open_ones() {
    let folder = Folder::new("full-of-refused");
    let mut queue = folder.queue();
    let rejection = Rejection { status: 151, server_code: None, reason: "reason".to_owned() };
    let lines = (0..MOST_ENTRIES).map(|number| {
        let state = if number == 0 { EntryState::Refused(rejection.clone()) } else { EntryState::Waiting };
        LogLine::Queued(QueuedConsumption { state, ..entry(&format!("key-{number}"), 1) }).text().unwrap()
    });
    queue.log.replace(&lines.collect::<Vec<_>>()).unwrap();
    let mut queue = folder.queue();
    queue.add(entry("one-more", 1)).unwrap();
    assert_eq!(queue.add(entry("too-many", 1)).unwrap_err().status, Status::QueueFull);
    // Nor is the refused one replaced, which nobody has been told of.
    assert_eq!(queue.add(entry("key-0", 1)).unwrap_err().status, Status::QueueFull);
    assert_eq!(queue.change(Change::Tell(None)).unwrap().told.len(), 1);
}

#[test]
fn only_settled_entries_are_told_and_removed() {
    let folder = Folder::new("told");
    let mut queue = folder.queue();
    let rejection = Rejection { status: 151, server_code: None, reason: "reason".to_owned() };
    let settled = |key| QueuedConsumption { state: EntryState::Unknown(rejection.clone()), ..entry(key, 3) };
    for key in ["one", "two", "three"] {
        queue.add(entry(key, 3)).unwrap();
    }
    queue.set_state(&settled("one")).unwrap();
    queue.set_state(&settled("three")).unwrap();
    assert_eq!(queue.change(Change::Tell(Some("two".to_owned()))).unwrap().told, []);
    assert_eq!(queue.change(Change::Tell(Some("three".to_owned()))).unwrap().told, [settled("three")]);
    assert_eq!(keys(&mut folder.queue()), ["one", "two"]);
    assert_eq!(queue.change(Change::Tell(None)).unwrap().told, [settled("one")]);
    assert_eq!(queue.change(Change::Tell(None)).unwrap().told, []);
    assert_eq!(keys(&mut folder.queue()), ["two"]);
}

#[test]
fn a_full_list_takes_no_more_but_what_becomes_of_those_on_it_is_noted() {
    let folder = Folder::new("full-file");
    let mut queue = folder.queue();
    let long = |key: &str| {
        let mut entry = entry(key, 1);
        entry.parameters.insert("extra".to_owned(), json!({ "note": "x".repeat(1 << 20) }));
        entry
    };
    let mut count = 0;
    let error = loop {
        match queue.add(long(&format!("key-{count}"))) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.status, count), (Status::QueueFull, 7));
    queue.add(entry("short", 1)).unwrap();
    let rejection = Rejection { status: 151, server_code: None, reason: "x".repeat(1 << 20) };
    let mut settled = queue.read().unwrap().to_vec();
    for entry in &mut settled {
        for state in [
            EntryState::InDoubt { total_before: None, at_ms: 1, life_ms: 30_000 },
            EntryState::Unknown(rejection.clone()),
        ] {
            entry.state = state;
            queue.set_state(entry).unwrap();
        }
    }
    assert!(folder.queue().read().unwrap() == settled);
    assert_eq!(queue.add(entry("another", 1)).unwrap_err().status, Status::QueueFull);
    queue.done(keys(&mut folder.queue())).unwrap();
    queue.add(long("one-more")).unwrap();
}

#[test]
fn an_amount_that_no_server_can_book_is_not_told_as_another() {
    for (given, expected) in [(json!(u64::MAX), i64::MAX), (json!(i64::MIN), i64::MIN), (json!(0), 0)] {
        let mut entry = entry("key", 1);
        entry.parameters.insert("consumptions".to_owned(), given);
        assert_eq!(entry.amount(), expected);
    }
}

#[test]
fn what_a_server_has_shown_is_remembered_by_its_address() {
    let folder = Folder::new("server");
    let url = "http://127.0.0.1:1";
    let heard = |url: &str| {
        let client = client(url);
        share(&mut folder.queue(), &client);
        client.supports_idempotency()
    };
    assert_eq!(heard(url), None);
    for honours in [true, false] {
        let client = client(url);
        client.set_supports_idempotency(honours);
        share(&mut folder.queue(), &client);
        assert_eq!((heard(url), heard("http://127.0.0.1:2")), (Some(honours), None));
    }
    let path = ConsumptionQueue::path(&folder.0, &license_ref(&client(url)));
    let length = fs::metadata(&path).unwrap().len();
    heard(url);
    assert_eq!(fs::metadata(&path).unwrap().len(), length, "nothing new, nothing written");
}

#[test]
fn it_takes_so_many_and_no_more_and_forgets_none() {
    let folder = Folder::new("full");
    let mut queue = folder.queue();
    let lines = (0..MOST_ENTRIES).map(|number| LogLine::Queued(entry(&format!("key-{number}"), 1)).text().unwrap());
    queue.log.replace(&lines.collect::<Vec<_>>()).unwrap();
    let mut queue = folder.queue();
    let error = queue.add(entry("one-more", 1)).unwrap_err();
    assert_eq!(error.status, Status::QueueFull);
    assert!(error.message().contains("10000"), "{error}");
    queue.add(entry("key-7", 1)).unwrap();
    assert_eq!(queue.read().unwrap().len(), MOST_ENTRIES);
    queue.done(vec!["key-0".to_owned()]).unwrap();
    queue.add(entry("one-more", 1)).unwrap();
}

#[test]
fn lines_of_another_version_are_refused_and_stay() {
    let folder = Folder::new("version");
    let mut queue = folder.queue();
    queue.log.replace(&[br#"{"Later":{}}"#.to_vec()]).unwrap();
    let path = ConsumptionQueue::path(&folder.0, &license_ref(&client("http://127.0.0.1:1")));
    let bytes = fs::read(&path).unwrap();
    let mut queue = folder.queue();
    for _ in 0..2 {
        let error = queue.add(entry("key", 1)).unwrap_err();
        assert_eq!(error.status, Status::StorageDamaged);
        assert!(error.message().contains("another version"), "{error}");
    }
    assert!(fs::read(&path).unwrap() == bytes);
}

#[test]
fn who_stands_in_the_gate_too_long_is_told() {
    let folder = Folder::new("gate");
    let (mut one, mut other) = (folder.queue(), folder.queue());
    let guard = one.lock().unwrap();
    let error = other.add(entry("key", 1)).unwrap_err();
    assert_eq!(error.status, Status::Storage);
    assert!(error.message().contains("locked"), "{error}");
    drop(guard);
    other.add(entry("key", 1)).unwrap();
}

/// The lines of the recorded file, with every kind of line and every state of an entry.
fn recorded_lines() -> Vec<LogLine> {
    let rejection = |reason: &str| Rejection {
        status: 151,
        server_code: Some("not_enough_consumptions".to_owned()),
        reason: reason.to_owned(),
    };
    let state = |key: &str, state| LogLine::State(key.to_owned(), state);
    let server = Server { base_url: "http://127.0.0.1:1".to_owned(), supports_idempotency: true };
    let mut lines = vec![LogLine::Server(server)];
    lines.extend(["done", "doubt", "refused", "unknown", "waiting"].map(|key| LogLine::Queued(entry(key, 3))));
    lines.extend([
        state("doubt", EntryState::InDoubt { total_before: Some(7), at_ms: 5, life_ms: 30_000 }),
        state("refused", EntryState::Refused(rejection("refused"))),
        state("unknown", EntryState::Unknown(rejection("unknown"))),
        LogLine::Done(vec!["done".to_owned()]),
    ]);
    lines
}

fn recorded_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recorded.consumption")
}

/// The recorded file is `recorded_lines()`, written by an [`AppendLog`] of product "XY" and hardware id "hw-1". If this
/// fails, files of earlier versions can't be read any more: the format needs a new version.
#[test]
fn recorded_file_has_the_lines_of_today() {
    let mut log = AppendLog::new(recorded_file(), "XY", "hw-1").unwrap();
    let read: Vec<Value> = log.read().unwrap().lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
    let written: Vec<Value> = recorded_lines().iter().map(|line| serde_json::to_value(line).unwrap()).collect();
    assert_eq!(read, written);
}

#[test]
fn recorded_file_is_read_with_every_member() {
    let folder = Folder::new("recorded");
    let client = client("http://127.0.0.1:1");
    fs::copy(recorded_file(), ConsumptionQueue::path(&folder.0, &license_ref(&client))).unwrap();
    let mut queue = folder.queue();
    let rejection = |reason: &str| Rejection {
        status: 151,
        server_code: Some("not_enough_consumptions".to_owned()),
        reason: reason.to_owned(),
    };
    let expected = [
        ("doubt", EntryState::InDoubt { total_before: Some(7), at_ms: 5, life_ms: 30_000 }),
        ("refused", EntryState::Refused(rejection("refused"))),
        ("unknown", EntryState::Unknown(rejection("unknown"))),
        ("waiting", EntryState::Waiting),
    ];
    assert_eq!(queue.read().unwrap(), expected.map(|(key, state)| QueuedConsumption { state, ..entry(key, 3) }));
    share(&mut queue, &client);
    assert_eq!(client.supports_idempotency(), Some(true));
}
