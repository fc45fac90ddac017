//! The data of `serve`: one server uses it at a time, and none goes on without a part of it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;

use common::process::{CATALOGUE, Process, Site, about};

const DATABASE: &str = "floatlease.sqlite";
const LOG: &str = "floatlease.sqlite-wal";
const KEY: &str = "private-key.pem";

/// A site whose server has activated a device, and was stopped in order.
fn used_site(name: &str) -> Site {
    let site = Site::new(name, CATALOGUE);
    let server = site.serve();
    assert_eq!(server.client().call("activate_license", &about("desk")).code(), None);
    server.stop();
    site
}

/// Activates a device; true if that was accepted.
fn activates(server: &Process, device: &str) -> bool {
    server.client().call("activate_license", &about(device)).code().is_none()
}

/// Whether the server knows the device of [`used_site`].
fn knows_device(server: &Process) -> bool {
    server.client().call("check_license", &about("desk")).code().is_none()
}

#[test]
fn second_server_is_refused_when_lock_file_was_deleted() {
    let site = used_site("data-lock");
    let server = site.serve();
    let in_use = |site: &Site| {
        let (code, said) = site.refused(&[]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("another server uses"), "{said}");
    };
    in_use(&site);
    fs::remove_file(site.data("lock")).unwrap();
    in_use(&site);
    // The same database in another directory.
    let other = Site::new("data-lock-other", CATALOGUE);
    fs::create_dir(other.data("")).unwrap();
    fs::hard_link(site.data(DATABASE), other.data(DATABASE)).unwrap();
    in_use(&other);
    assert!(knows_device(&server));
    server.kill();
    site.serve().stop();
}

/// A backup or a SQL shell that has read the database while the server runs, and then ends, leaves the lock in place.
#[test]
fn other_programs_read_locked_database() {
    let site = used_site("data-readers");
    let server = site.serve();
    let sql = rusqlite::Connection::open(site.data(DATABASE)).unwrap();
    let devices = sql.query_row("SELECT count(*) FROM device", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(devices, 1);
    drop(sql);
    assert_eq!(site.refused(&[]).0, Some(2));
    assert!(knows_device(&server));
    server.stop();
}

#[test]
fn start_without_part_of_data_is_refused_until_told_to_begin_anew() {
    for (name, lost, said_of_it, knows) in [
        ("database", &[DATABASE, LOG][..], "floatlease.sqlite is missing beside private-key.pem", false),
        ("log", &[LOG], "lacks its latest", false),
        ("both-marks", &[DATABASE, LOG, "lock", "floatlease.commits"], "is missing beside private-key.pem", false),
        ("key", &[KEY], "private-key.pem is missing beside floatlease.sqlite", true),
    ] {
        let site = Site::new(&format!("data-lost-{name}"), CATALOGUE);
        let server = site.serve();
        assert_eq!(server.client().call("activate_license", &about("desk")).code(), None);
        server.kill();
        let kept: Vec<_> = lost.iter().map(|file| (*file, fs::read(site.data(file)).ok())).collect();
        for file in lost {
            let _ = fs::remove_file(site.data(file));
        }
        for _ in 0..2 {
            let (code, said) = site.refused(&[]);
            assert_eq!(code, Some(1), "{name}: {said}");
            assert!(said.contains(said_of_it) && said.contains("add --begin-anew"), "{name}: {said}");
        }
        // Put back.
        for (file, bytes) in &kept {
            if let Some(bytes) = bytes {
                fs::write(site.data(file), bytes).unwrap();
            }
        }
        let server = site.serve();
        assert!(knows_device(&server), "{name}");
        assert!(activates(&server, "later"), "{name}");
        server.kill();
        for file in lost {
            let _ = fs::remove_file(site.data(file));
        }
        let server = site.serve_after("", &["--begin-anew"]);
        assert_eq!(server.client().call("check_license", &about("later")).code().is_none(), knows, "{name}");
        server.wait_for_log("going on because of --begin-anew");
        server.stop();
        site.serve().stop();
    }
}

#[test]
fn older_copy_of_database_is_refused_until_told_to_begin_anew() {
    let site = used_site("data-older");
    let older = fs::read(site.data(DATABASE)).unwrap();
    site.serve().stop();
    fs::write(site.data(DATABASE), older).unwrap();
    let (code, said) = site.refused(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("lacks its latest"), "{said}");
    let server = site.serve_after("", &["--begin-anew"]);
    assert!(knows_device(&server), "what is left is kept");
    server.stop();
    site.serve().stop();
}

/// SQLite would put the log's pages over those of the older database.
#[test]
fn log_of_newer_database_is_not_mixed_with_older_one() {
    let site = used_site("data-mixed");
    let older = fs::read(site.data(DATABASE)).unwrap();
    let server = site.serve();
    for number in 0..40 {
        assert!(activates(&server, &format!("device-{number}")));
    }
    server.stop();
    let server = site.serve();
    assert!(activates(&server, "last"));
    server.kill();
    let newer = fs::read(site.data(DATABASE)).unwrap();
    fs::write(site.data(DATABASE), &older).unwrap();
    for arguments in [&[][..], &["--begin-anew"]] {
        let (code, said) = site.refused(arguments);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("is older than floatlease.sqlite-wal beside it"), "{said}");
    }
    assert_eq!(fs::read(site.data(DATABASE)).unwrap(), older, "nothing was mixed");
    fs::write(site.data(DATABASE), newer).unwrap();
    let server = site.serve();
    assert!(knows_device(&server));
    server.kill();
    // The older one without that log is started when told so, and again after a crash.
    fs::write(site.data(DATABASE), older).unwrap();
    for file in [LOG, "floatlease.sqlite-shm"] {
        let _ = fs::remove_file(site.data(file));
    }
    let server = site.serve_after("", &["--begin-anew"]);
    assert!(activates(&server, "after"));
    server.kill();
    let server = site.serve();
    assert!(knows_device(&server));
    server.stop();
}

/// SQL shells fold the write-ahead log of a killed server into the database when they close it. Nothing is lost by that.
#[test]
fn database_that_other_program_has_closed_is_complete() {
    let site = used_site("data-folded");
    site.serve().kill();
    drop(rusqlite::Connection::open(site.data(DATABASE)).unwrap().execute_batch("SELECT count(*) FROM device"));
    assert!(!site.data(LOG).exists());
    let server = site.serve();
    assert!(knows_device(&server));
    server.stop();
}

#[test]
fn first_start_with_own_key_needs_begin_anew() {
    let other = used_site("data-own-key-of");
    let site = Site::new("data-own-key", CATALOGUE);
    fs::create_dir(site.data("")).unwrap();
    fs::copy(other.data(KEY), site.data(KEY)).unwrap();
    let (code, said) = site.refused(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("as on the first start with a key that you have brought along"), "{said}");
    site.serve_after("", &["--begin-anew"]).stop();
    site.serve().stop();
}

/// An administrator whose start is refused can go back to the version before.
#[test]
fn refused_start_leaves_tables_of_earlier_version() {
    let site = Site::new("data-not-migrated", CATALOGUE);
    fs::create_dir(site.data("")).unwrap();
    let sql = rusqlite::Connection::open(site.data(DATABASE)).unwrap();
    sql.execute_batch(include_str!("../src/store/schema_1.sql")).unwrap();
    sql.execute_batch("INSERT INTO meta VALUES ('heartbeat_at_ms', 1); PRAGMA user_version = 1").unwrap();
    let version = || sql.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).unwrap();
    let (code, said) = site.refused(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("private-key.pem is missing beside floatlease.sqlite"), "{said}");
    assert_eq!(version(), 1);
    site.serve_after("", &["--begin-anew"]).stop();
    assert!(version() > 1);
}

#[test]
fn begin_anew_that_is_not_needed_is_warned_of() {
    let site = used_site("data-needless-option");
    let server = site.serve_after("", &["--begin-anew"]);
    server.wait_for_log("remove --begin-anew, which would accept a later loss");
    server.stop();
}

/// Programs that tidy up may delete the number of the last commit while the server runs.
#[cfg(unix)]
#[test]
fn lost_number_of_last_commit_is_written_anew() {
    let deleted = |mark: &Path| fs::remove_file(mark).unwrap();
    let renamed = |mark: &Path| fs::rename(mark, mark.with_extension("old")).unwrap();
    let replaced = |mark: &Path| {
        fs::remove_file(mark).unwrap();
        fs::write(mark, "").unwrap();
    };
    for (name, lose) in [("deleted", &deleted as &dyn Fn(&Path)), ("renamed", &renamed), ("replaced", &replaced)] {
        let site = used_site(&format!("data-mark-{name}"));
        let server = site.serve();
        lose(&site.data("floatlease.commits"));
        assert!(activates(&server, "later"));
        server.kill();
        fs::remove_file(site.data(LOG)).unwrap();
        let (code, said) = site.refused(&[]);
        assert_eq!(code, Some(1), "{name}: {said}");
        assert!(said.contains("lacks its latest"), "{name}: {said}");
    }
}

/// What an editor or a failing disk may leave counts as no number, and does not stay.
#[test]
fn damaged_number_of_last_commit_is_replaced() {
    let site = used_site("data-damaged-mark");
    let mark = site.data("floatlease.commits");
    for damaged in ["", "x", &"x".repeat(100)] {
        fs::write(&mark, damaged).unwrap();
        let server = site.serve();
        assert!(knows_device(&server));
        server.stop();
        let text = fs::read_to_string(&mark).unwrap();
        let numbers: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert!(numbers.len() == 2 && numbers.iter().all(|number| *number > 0), "{damaged:?}: {text}");
    }
}

#[test]
fn nothing_is_acknowledged_if_files_are_replaced_while_another_program_locks_them() {
    let site = used_site("data-replaced-meanwhile");
    let server = site.serve();
    let other = rusqlite::Connection::open(site.data(DATABASE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let mut client = server.client();
        let asking = scope.spawn(move || client.call("activate_license", &about("other")).status);
        server.wait_for_log("another program has locked the data");
        fs::rename(site.data(""), site.folder.join("elsewhere")).unwrap();
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(asking.join().unwrap(), 503);
    });
    let (status, log) = server.ended();
    assert_eq!(status.code(), Some(1), "{log}");
}

#[test]
fn server_ends_when_its_files_are_deleted_or_replaced() {
    type Loss = fn(&Site);
    let losses: [(&str, Loss); 5] = [
        ("database", |site| fs::remove_file(site.data(DATABASE)).unwrap()),
        ("log", |site| fs::remove_file(site.data(LOG)).unwrap()),
        ("shared-memory", |site| fs::remove_file(site.data("floatlease.sqlite-shm")).unwrap()),
        ("directory", |site| fs::rename(site.data(""), site.folder.join("elsewhere")).unwrap()),
        ("replaced", |site| {
            fs::copy(site.data(DATABASE), site.data("copy")).unwrap();
            fs::rename(site.data("copy"), site.data(DATABASE)).unwrap();
        }),
    ];
    for (name, lose) in losses {
        let site = used_site(&format!("data-unlinked-{name}"));
        let server = site.serve();
        assert!(knows_device(&server));
        lose(&site);
        // The next request that changes something is not acknowledged; without one, the server notices within seconds.
        if name == "database" {
            assert_eq!(server.client().call("activate_license", &about("other")).status, 503);
        }
        let (status, log) = server.ended();
        assert_eq!(status.code(), Some(1), "{name}: {log}");
        assert!(log.contains("was deleted or replaced while the server was using it"), "{name}: {log}");
    }
}

#[test]
fn limit_on_file_size_ends_server_with_reason() {
    let site = used_site("data-file-size");
    let server = site.serve_after("ulimit -f 500", &[]);
    let mut client = server.client();
    let mut statuses =
        (0..10_000).map(|number| client.call("activate_license", &about(&format!("desk-{number}"))).status);
    assert_eq!(statuses.find(|status| *status != 200), Some(503));
    let (status, log) = server.ended();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("floatlease.sqlite") && log.contains("the limit on the size of files"), "{log}");
    let server = site.serve();
    assert!(knows_device(&server));
    server.stop();
}

/// A full disk for the log must not end the server.
#[test]
fn log_that_can_not_be_written_is_given_up() {
    let site = used_site("data-full-log");
    let server = site.serve_after("exec 2>/dev/full", &[]);
    assert!(knows_device(&server));
    server.stop();
}

#[test]
fn key_that_can_not_be_used_is_named_with_reason() {
    let site = used_site("data-bad-key");
    let whole = fs::read_to_string(site.data(KEY)).unwrap();
    let pkcs1 = whole.replace("PRIVATE KEY", "RSA PRIVATE KEY");
    let cut = whole.replace("MII", "MIJ");
    for (text, said_of_it) in [
        ("", "found an empty file"),
        ("no key", "found no PEM"),
        (&pkcs1, "found \"RSA PRIVATE KEY\""),
        (&whole.replace("MII", "M!I"), "found a damaged one"),
        (&cut, "expected an undamaged RSA key of 2048 to 8192 bits in PKCS #8"),
    ] {
        fs::write(site.data(KEY), text).unwrap();
        let (code, said) = site.refused(&[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(site.data(KEY).to_str().unwrap()), "{said}");
        assert!(said.contains(said_of_it) && said.contains("openssl pkcs8"), "{said}");
    }
}

#[test]
fn data_that_can_not_be_used_is_named_with_reason() {
    let site = used_site("data-foreign");
    fs::write(site.data(DATABASE), "not a database, but long enough to be taken for one".repeat(99)).unwrap();
    let (code, said) = site.refused(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(site.data(DATABASE).to_str().unwrap()), "{said}");
    assert!(said.contains("restore the data from a backup"), "{said}");
}
