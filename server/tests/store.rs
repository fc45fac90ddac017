//! What every store must do, whatever is behind it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;

use chrono::TimeDelta;
use common::{directory, time};
use floatlease::model::MAX_ORDER;
use floatlease_server::catalogue::Overages;
use floatlease_server::domain::{
    BookedConsumption, Change, ChangedPassword, ClientOverages, Counter, Device, DeviceStatus, EntitlementId, Event,
    EventKind, LatestRequest, OrderScope, OrderedAction, Refusal, RequestKey, Reservation, Slot, Variable,
};
use floatlease_server::store::{SqliteStore, Store};

const LICENSE: EntitlementId = EntitlementId { license_id: 1, feature_id: None };
const FEATURE: EntitlementId = EntitlementId { license_id: 1, feature_id: Some(2) };

fn device(status: DeviceStatus) -> Change {
    let device = Device { id: 5, user_id: Some(6), status };
    Change::Device { license_id: 1, hardware_id: "hw".to_owned(), device }
}

fn slot(pool: EntitlementId, until: &str, borrowed: bool) -> Change {
    Change::SlotHeld {
        pool,
        device_id: 5,
        slot: Slot { until: time(until), borrowed, taken_at: time("2026-01-01T00:00:00.007Z") },
    }
}

fn consumed(entitlement: EntitlementId, total: i64) -> Change {
    let counter = Counter { total, at: time("2026-01-02T03:04:05.006Z"), set_back: TimeDelta::milliseconds(8) };
    Change::Consumed { entitlement, counter }
}

fn reserved(entitlement: EntitlementId, units: Option<i64>) -> Change {
    let reservation = units.map(|units| Reservation { pool_id: 3, units, at: time("2026-01-02T03:04:05.006Z") });
    Change::Reserved { entitlement, device_id: 5, reservation }
}

fn used_key(key: &str, amount: i64) -> Change {
    let booked = BookedConsumption { entitlement: FEATURE, amount };
    let at = time("2026-01-02T03:04:05.006Z");
    Change::KeyUsed { key: RequestKey { device_id: 5, value: key.to_owned() }, booked, at }
}

fn password(user_id: u64, hash: &str, replaced: &str) -> Change {
    let password = ChangedPassword { hash: hash.to_owned(), replaced: replaced.to_owned() };
    Change::PasswordChanged { user_id, password }
}

fn offline_request(hardware_id: &str, number: i64) -> Change {
    Change::OfflineRequest { license_id: 1, hardware_id: hardware_id.to_owned(), number }
}

fn variable(value: &str) -> Change {
    let variable = Variable { name: "n".to_owned(), value: value.to_owned(), created_at: time("2026-01-02") };
    Change::Variable { license_id: 1, hardware_id: "hw".to_owned(), device_id: 5, variable }
}

fn ordered(hardware_id: &str, scope: OrderScope, number: u64, action: OrderedAction, why: Option<Refusal>) -> Change {
    let request = LatestRequest { number, action, refusal: why, at: time("2026-01-02T03:04:05.006Z") };
    Change::Ordered { license_id: 1, hardware_id: hardware_id.into(), scope, request }
}

/// The state that is left is what was said last, and only that.
fn gives_back_what_was_said_last(store: &mut dyn Store) {
    assert_eq!(store.load().unwrap(), []);
    let overages = |license_id, max, replaced| {
        let overages = ClientOverages { overages: Overages { allowed: true, max }, replaced };
        Change::Overages { license_id, overages }
    };
    let first = [
        device(DeviceStatus::Active),
        variable("old"),
        slot(LICENSE, "2026-01-01", false),
        slot(FEATURE, "2026-01-01", true),
        consumed(LICENSE, 1),
        reserved(LICENSE, Some(7)),
        reserved(FEATURE, Some(8)),
        overages(1, 1, None),
        overages(2, 1, None),
        Change::Transfers { license_id: 1, count: 1 },
        used_key("z-older", 3),
        used_key("a-newer", 4),
        ordered("gone", OrderScope::Device, 7, OrderedAction::Activate, None),
        ordered("gone", OrderScope::Slot(None), 8, OrderedAction::Check, None),
        ordered("hw", OrderScope::Device, 1, OrderedAction::Activate, None),
        ordered("hw", OrderScope::Slot(None), 2, OrderedAction::Borrow, Some(Refusal::DeviceNotFound)),
        ordered("hw", OrderScope::Slot(Some(2)), 3, OrderedAction::Check, None),
        offline_request("hw", 1),
        offline_request("other", i64::MIN),
        password(6, "$hash-1", "$catalogue"),
        password(7, "$hash-2", "$catalogue"),
        Change::Downtime { total: TimeDelta::milliseconds(-86_400_001) },
        Change::Heartbeat { at: time("2026-01-01") },
    ];
    store.commit(&first).unwrap();
    assert_eq!(store.load().unwrap(), first);
    let unknown_feature = Refusal::InvalidLicenseFeatureCode("with ' and \" and \u{1f600}".to_owned());
    let second = [
        device(DeviceStatus::Vacated),
        variable("new, with ' and \u{1f600}"),
        slot(LICENSE, "2026-01-03T00:00:00.001Z", true),
        consumed(LICENSE, i64::MIN),
        reserved(LICENSE, Some(9)),
        overages(1, 0, Some(Overages { allowed: false, max: 3 })),
        Change::Transfers { license_id: 1, count: 2 },
        used_key("a-newer", -4),
        ordered("hw", OrderScope::Device, MAX_ORDER, OrderedAction::Deactivate, Some(Refusal::Blacklisted)),
        ordered("hw", OrderScope::Slot(None), 4, OrderedAction::Release, None),
        ordered("hw", OrderScope::Slot(Some(2)), 5, OrderedAction::Borrow, Some(unknown_feature)),
        offline_request("hw", i64::MAX),
        offline_request("other", i64::MIN),
        password(6, "$hash-3", "$other-catalogue"),
        Change::Downtime { total: TimeDelta::milliseconds(1) },
        Change::Heartbeat { at: time("2026-01-02") },
    ];
    let settled = reserved(FEATURE, None);
    let freed = Change::SlotFreed { pool: FEATURE, device_id: 5 };
    let forgotten = Change::KeyForgotten { key: RequestKey { device_id: 5, value: "z-older".to_owned() } };
    let overages_forgotten = Change::OveragesForgotten { license_id: 2 };
    let order_forgotten = Change::OrderForgotten { license_id: 1, hardware_id: "gone".into() };
    let password_forgotten = Change::PasswordForgotten { user_id: 7 };
    store
        .commit(
            &[&second[..], &[settled, freed, forgotten, overages_forgotten, order_forgotten, password_forgotten]]
                .concat(),
        )
        .unwrap();
    assert_eq!(store.load().unwrap(), second);
}

/// A change that can't be kept takes the others of its commit with it.
fn keeps_all_or_nothing(store: &mut dyn Store) {
    store.commit(&[device(DeviceStatus::Active)]).unwrap();
    let before = store.load().unwrap();
    let clash = Device { id: 99, user_id: None, status: DeviceStatus::Active };
    let clash = Change::Device { license_id: 1, hardware_id: "hw".to_owned(), device: clash };
    assert!(store.commit(&[consumed(FEATURE, 7), clash]).is_err());
    assert_eq!(store.load().unwrap(), before);
    store.commit(&[consumed(FEATURE, 8)]).unwrap();
    assert_eq!(store.load().unwrap().len(), before.len() + 1);
}

#[test]
fn sqlite_in_memory() {
    gives_back_what_was_said_last(&mut SqliteStore::in_memory().unwrap());
    keeps_all_or_nothing(&mut SqliteStore::in_memory().unwrap());
}

#[test]
fn sqlite_in_a_file() {
    let directory = directory("store");
    gives_back_what_was_said_last(&mut SqliteStore::open(&directory.join("one")).unwrap());
    keeps_all_or_nothing(&mut SqliteStore::open(&directory.join("two")).unwrap());
    let mut again = SqliteStore::open(&directory.join("one")).unwrap();
    assert_eq!(again.load().unwrap().len(), 16);
}

fn sql(file: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(file).unwrap()
}

#[test]
fn the_journal_is_written_in_order_and_only_grows() {
    let file = directory("journal").join("data");
    let mut store = SqliteStore::open(&file).unwrap();
    let event = |kind, feature: Option<&str>| {
        let feature = feature.map(Into::into);
        Change::Happened(Event { at: time("2026-01-01T00:00:00.001Z"), kind, license_id: 1, feature, device_id: 5 })
    };
    let until = time("2026-01-02");
    store.commit(&[event(EventKind::SlotTaken, None), event(EventKind::Borrowed { until }, Some("F"))]).unwrap();
    store.commit(&[event(EventKind::Consumed { amount: -3 }, Some("C"))]).unwrap();
    assert_eq!(store.load().unwrap(), [], "the journal is no state");
    let sql = sql(&file);
    let mut rows =
        sql.prepare("SELECT seq, at_ms, event, feature, amount, until_ms FROM journal ORDER BY seq").unwrap();
    let rows = rows.query_map([], |row| {
        let (seq, at, event): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let detail: (Option<String>, Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?, row.get(5)?);
        Ok((seq, at, event, detail))
    });
    let rows: Vec<_> = rows.unwrap().map(Result::unwrap).collect();
    let at = 1_767_225_600_001;
    assert_eq!(
        rows,
        [
            (1, at, "slot_taken".to_owned(), (None, None, None)),
            (2, at, "borrowed".to_owned(), (Some("F".to_owned()), None, Some(until.timestamp_millis()))),
            (3, at, "consumed".to_owned(), (Some("C".to_owned()), Some(-3), None)),
        ]
    );
}

#[test]
fn a_file_of_the_first_version_is_brought_up_to_date() {
    let file = directory("older").join("data");
    let first = include_str!("../src/store/schema_1.sql");
    sql(&file).execute_batch(&format!("{first}; PRAGMA user_version = 1;")).unwrap();
    sql(&file).execute_batch("INSERT INTO transfers (license_id, count) VALUES (1, 7)").unwrap();
    let mut store = SqliteStore::open(&file).unwrap();
    store.commit(&[used_key("a", 1)]).unwrap();
    assert_eq!(store.load().unwrap(), [Change::Transfers { license_id: 1, count: 7 }, used_key("a", 1)]);
}

#[test]
fn file_of_the_second_version_is_brought_up_to_date() {
    let file = directory("second-version").join("data");
    let [first, second] = [include_str!("../src/store/schema_1.sql"), include_str!("../src/store/schema_2.sql")];
    sql(&file).execute_batch(&format!("{first}; {second}; PRAGMA user_version = 2;")).unwrap();
    let insert = "INSERT INTO fulfilled (device_id, key, license_id, feature_id, amount) VALUES (5, 'a', 1, 2, 1)";
    sql(&file).execute_batch(insert).unwrap();
    let last_heartbeat = time("2026-01-02T03:04:05.006Z");
    let heartbeat = "INSERT INTO meta (name, value) VALUES ('alive_at_ms', ?)";
    sql(&file).execute(heartbeat, [last_heartbeat.timestamp_millis()]).unwrap();
    let latest = ordered("hw", OrderScope::Slot(None), 4, OrderedAction::Release, None);
    let mut store = SqliteStore::open(&file).unwrap();
    store.commit(std::slice::from_ref(&latest)).unwrap();
    let Change::KeyUsed { key, booked, .. } = used_key("a", 1) else { panic!() };
    let old = Change::KeyUsed { key, booked, at: time("1970-01-01") };
    assert_eq!(store.load().unwrap(), [old, latest, Change::Heartbeat { at: last_heartbeat }]);
    drop(store);
    let mut again = SqliteStore::open(&file).unwrap();
    assert_eq!(again.load().unwrap().len(), 3, "nothing is done to it twice");
}

/// Whatever it was, the client is told to draw a higher number, and the server starts.
#[test]
fn refusal_of_another_version_is_read_as_outdated() {
    let file = directory("other-refusal").join("data");
    let request = |why| ordered("hw", OrderScope::Device, 7, OrderedAction::Activate, Some(why));
    let mut store = SqliteStore::open(&file).unwrap();
    store.commit(&[request(Refusal::DeviceNotFound)]).unwrap();
    for unknown in ["\"RefusedByAnOracle\"", "{\"DeviceNotFound\":3}", "no JSON"] {
        sql(&file).execute("UPDATE latest_request SET refusal = ?", [unknown]).unwrap();
        assert_eq!(store.load().unwrap(), [request(Refusal::OrderOutdated { highest: 7 })], "{unknown}");
    }
}

#[test]
fn action_of_no_known_name_is_refused() {
    let file = directory("other-action").join("data");
    let mut store = SqliteStore::open(&file).unwrap();
    store.commit(&[ordered("hw", OrderScope::Device, 7, OrderedAction::Activate, None)]).unwrap();
    sql(&file).execute("UPDATE latest_request SET action = 'steal'", []).unwrap();
    let message = store.load().unwrap_err().to_string();
    assert!(message.contains("steal"), "{message}");
}

/// Its slots, totals and overages lack what the sixth version has added.
#[test]
fn file_of_fifth_version_is_brought_up_to_date() {
    let file = directory("fifth-version").join("data");
    let schemas = [
        include_str!("../src/store/schema_1.sql"),
        include_str!("../src/store/schema_2.sql"),
        include_str!("../src/store/schema_3.sql"),
        include_str!("../src/store/schema_4.sql"),
        include_str!("../src/store/schema_5.sql"),
    ];
    sql(&file).execute_batch(&format!("{}; PRAGMA user_version = 5;", schemas.join(";"))).unwrap();
    sql(&file)
        .execute_batch(
            "INSERT INTO slot VALUES (1, 0, 5, 1000, 0); INSERT INTO consumption VALUES (1, 0, 7, 2000); \
             INSERT INTO overages VALUES (1, 1, 3);",
        )
        .unwrap();
    let mut store = SqliteStore::open(&file).unwrap();
    let at = |ms| chrono::DateTime::from_timestamp_millis(ms).unwrap();
    let slot = Slot { until: at(1000), borrowed: false, taken_at: at(0) };
    let counter = Counter { total: 7, at: at(2000), set_back: TimeDelta::zero() };
    let overages = ClientOverages { overages: Overages { allowed: true, max: 3 }, replaced: None };
    let expected = [
        Change::SlotHeld { pool: LICENSE, device_id: 5, slot },
        Change::Consumed { entitlement: LICENSE, counter },
        Change::Overages { license_id: 1, overages },
    ];
    assert_eq!(store.load().unwrap(), expected);
    assert_eq!(store.lost_commits(), 0);
}

#[test]
fn file_of_sixth_version_is_brought_up_to_date() {
    let file = directory("sixth-version").join("data");
    let schemas = [
        include_str!("../src/store/schema_1.sql"),
        include_str!("../src/store/schema_2.sql"),
        include_str!("../src/store/schema_3.sql"),
        include_str!("../src/store/schema_4.sql"),
        include_str!("../src/store/schema_5.sql"),
        include_str!("../src/store/schema_6.sql"),
    ];
    sql(&file).execute_batch(&format!("{}; PRAGMA user_version = 6;", schemas.join(";"))).unwrap();
    sql(&file).execute_batch("INSERT INTO transfers (license_id, count) VALUES (1, 7)").unwrap();
    let changed = password(6, "$hash", "$catalogue");
    let mut store = SqliteStore::open(&file).unwrap();
    store.commit(std::slice::from_ref(&changed)).unwrap();
    assert_eq!(store.load().unwrap(), [Change::Transfers { license_id: 1, count: 7 }, changed]);
}

#[test]
fn a_file_of_a_newer_server_is_refused() {
    let file = directory("newer").join("data");
    drop(SqliteStore::open(&file).unwrap());
    sql(&file).pragma_update(None, "user_version", 99).unwrap();
    let message = SqliteStore::open(&file).unwrap_err().to_string();
    assert!(message.contains("found 99") && message.contains("newer server"), "{message}");
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    let file = directory("foreign").join("data");
    std::fs::write(&file, "not a database, but long enough to be taken for one".repeat(99)).unwrap();
    assert!(SqliteStore::open(&file).is_err());
}

#[test]
fn another_program_that_writes_is_waited_for() {
    let file = directory("store-busy").join("data");
    let mut store = SqliteStore::open(&file).unwrap();
    let other = sql(&file);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| store.commit(&[device(DeviceStatus::Active)]));
        // Longer than SQLite waits by itself.
        std::thread::sleep(std::time::Duration::from_millis(5_500));
        assert!(!committing.is_finished());
        other.execute_batch("ROLLBACK").unwrap();
        committing.join().unwrap().unwrap();
    });
    assert_eq!(store.load().unwrap().len(), 1);
}
