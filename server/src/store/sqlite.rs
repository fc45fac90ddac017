//! Keeps changes in an SQLite file, over one connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, ToSql, params};

use super::commit_mark::CommitMark;
use super::open_files::OpenFiles;
use super::{Store, StoreError};
use crate::catalogue::{Overages, Trial};
use crate::clock::from_millis;
use crate::domain::{
    BookedConsumption, Change, ChangedPassword, ClientOverages, Counter, Device, DeviceStatus, EntitlementId, Event,
    EventKind, LatestRequest, OrderScope, OrderedAction, Refusal, RequestKey, Reservation, Slot, Variable,
};

/// Each migration brings the schema from the version before to its own. Their count is the file's `user_version`.
const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
    include_str!("schema_10.sql"),
];
/// Size of the statement cache: more than there are statements, so that each is parsed once.
const CACHED_STATEMENTS: usize = 32;
/// The name of the number of commits in the table `meta`.
const COMMITS: &str = "commits";
/// Time between two checks for a stop of the server, while another program has locked the file.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// A store in an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    /// Set when the server stops, so that the store waits for other programs no longer.
    stopping: Arc<AtomicBool>,
    /// The number of the last commit.
    commits: u64,
    /// `None` for a store in memory.
    file: Option<StoreFile>,
}

/// What a store in a file has besides the connection.
#[derive(Debug)]
struct StoreFile {
    path: PathBuf,
    open_files: OpenFiles,
    commit_mark: CommitMark,
    lost_commits: u64,
}

impl SqliteStore {
    /// Opens the store in this file, and creates the file if it is missing.
    ///
    /// # Errors
    /// The file can't be opened, is not a store, or was written by a newer version.
    pub fn open(file: &Path) -> Result<SqliteStore, StoreError> {
        let mut store = SqliteStore::open_unmigrated(file)?;
        store.migrate()?;
        Ok(store)
    }

    /// Opens the store like [`SqliteStore::open`], and leaves its tables as an earlier version has made them. An
    /// administrator whose start is refused can still go back to that version.
    ///
    /// # Errors
    /// The file can't be opened, is not a store, or was written by a newer version.
    pub fn open_unmigrated(file: &Path) -> Result<SqliteStore, StoreError> {
        let mut store = SqliteStore::open_unmarked(file).map_err(|error| error.of_file(file))?;
        let mark = file.with_extension("commits");
        let failed = |error| StoreError(format!("can't use {}: {error}", mark.display()));
        let mut commit_mark = CommitMark::open(&mark).map_err(failed)?;
        let lost_commits = commit_mark.last_commit().saturating_sub(store.commits);
        if lost_commits == 0 && store.fold_log()? {
            commit_mark.write_base(store.commits).map_err(failed)?;
        }
        let (path, open_files) = (file.to_owned(), OpenFiles::of(file));
        store.file = Some(StoreFile { path, open_files, commit_mark, lost_commits });
        Ok(store)
    }

    /// Returns true if the write-ahead log beside this database was written for a newer one: then SQLite would mix both.
    ///
    /// The database's own file never holds an older commit than when the log was folded into it last.
    ///
    /// # Errors
    /// The file with the number of that commit can't be read.
    pub fn is_older_than_log(file: &Path) -> Result<bool, StoreError> {
        let has_log = std::fs::metadata(beside(file, "-wal")).is_ok_and(|log| log.len() > 0);
        let mark = file.with_extension("commits");
        if !has_log || !mark.exists() {
            return Ok(false);
        }
        let failed = |error| StoreError(format!("can't use {}: {error}", mark.display()));
        let least = CommitMark::open(&mark).map_err(failed)?.base();
        Ok(commits_without_log(file).is_some_and(|commits| commits < least))
    }

    /// Writes what is in the write-ahead log into the database's own file. Returns false if another program reads it.
    fn fold_log(&self) -> Result<bool, StoreError> {
        let busy: i64 = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        Ok(busy == 0)
    }

    fn open_unmarked(file: &Path) -> Result<SqliteStore, StoreError> {
        let connection = Connection::open(file)?;
        // With NORMAL, a power cut would lose commits that were acknowledged.
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        if (mode.as_str(), synchronous) != ("wal", 2) {
            return Err(StoreError(format!(
                "it can't be written safely (journal mode {mode}, synchronous {synchronous}): keep it on a local disk"
            )));
        }
        SqliteStore::prepare(connection)
    }

    /// Opens a store in memory, which ends with the process.
    ///
    /// # Errors
    /// Memory is exhausted.
    pub fn in_memory() -> Result<SqliteStore, StoreError> {
        let mut store = SqliteStore::prepare(Connection::open_in_memory()?)?;
        store.migrate()?;
        Ok(store)
    }

    /// Returns how many of the latest commits are missing in the file, because parts of it were deleted or replaced.
    pub fn lost_commits(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.lost_commits)
    }

    /// Returns whether a server has run on this store before.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn has_been_used(&self) -> Result<bool, StoreError> {
        self.meta("heartbeat_at_ms").map(|at| at.is_some()).map_err(|error| self.about_file(error.into()))
    }

    fn prepare(connection: Connection) -> Result<SqliteStore, StoreError> {
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        let mut store = SqliteStore { connection, stopping: Arc::default(), commits: 0, file: None };
        let (version, newest) = (store.version()?, MIGRATIONS.len());
        if version > newest {
            return Err(StoreError(format!(
                "the data's version is too new: expected at most {newest}, found {version}; start a newer server on it"
            )));
        }
        store.commits = store.meta(COMMITS)?.and_then(|commits| commits.try_into().ok()).unwrap_or_default();
        Ok(store)
    }

    /// Brings the tables to this version.
    ///
    /// # Errors
    /// The file can't be written. Nothing is changed then.
    pub fn migrate(&mut self) -> Result<(), StoreError> {
        self.write_migrations().map_err(|error| self.about_file(error.into()))?;
        // The migrations had rusqlite's own timeout, which is longer.
        self.connection.busy_timeout(STOP_CHECK_INTERVAL).map_err(|error| self.about_file(error.into()))
    }

    fn write_migrations(&mut self) -> rusqlite::Result<()> {
        let missing = MIGRATIONS.get(self.version()?..).unwrap_or_default();
        if missing.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.transaction()?;
        for migration in missing {
            transaction.execute_batch(migration)?;
        }
        transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
        transaction.commit()
    }

    /// Returns the number of migrations that the tables have had; 0 for a new file.
    fn version(&self) -> rusqlite::Result<usize> {
        self.connection.pragma_query_value(None, "user_version", |row| row.get(0))
    }

    /// Returns a number of the table `meta`, which a new file lacks.
    fn meta(&self, name: &str) -> rusqlite::Result<Option<i64>> {
        if self.version()? == 0 {
            return Ok(None);
        }
        self.connection.query_row("SELECT value FROM meta WHERE name = ?", [name], |row| row.get(0)).optional()
    }

    /// Names the file in an error.
    fn about_file(&self, error: StoreError) -> StoreError {
        match &self.file {
            Some(file) => error.of_file(&file.path),
            None => error,
        }
    }

    /// Fails if the database's files were deleted or replaced. What is written to deleted files is lost.
    fn require_files(&self) -> Result<(), StoreError> {
        let Some(lost) = self.file.as_ref().and_then(|file| file.open_files.lost()) else { return Ok(()) };
        Err(StoreError(format!(
            "{} was deleted or replaced while the server was using it; put all files of the data back",
            lost.display()
        )))
    }

    /// Begins a transaction, and waits while another program writes to the file. Nothing was written yet, so nothing is
    /// lost.
    fn begin(&self) -> Result<(), StoreError> {
        let mut has_warned = false;
        loop {
            match self.execute("BEGIN IMMEDIATE") {
                Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::DatabaseBusy => {}
                begun => return Ok(begun?),
            }
            if self.stopping.load(Ordering::Relaxed) {
                return Err(StoreError("another program has locked the data".to_owned()));
            }
            if !std::mem::replace(&mut has_warned, true) {
                tracing::warn!("another program has locked the data; waiting until it unlocks it");
            }
        }
    }

    /// Writes the changes in one transaction, with the number of the commit.
    fn write_all(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.begin()?;
        let written = changes.iter().try_for_each(|change| write(&self.connection, change));
        let number = self.commits + 1;
        let counted = written.and_then(|()| {
            let sql = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)";
            execute(&self.connection, sql, params![COMMITS, number])
        });
        counted.and_then(|()| self.execute("COMMIT")).map_err(|error| {
            // This fails if SQLite has rolled back already.
            let _ = self.connection.execute_batch("ROLLBACK");
            error.into()
        })
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        execute(&self.connection, sql, &[])
    }

    fn rows(
        &self,
        query: &str,
        changes: &mut Vec<Change>,
        read: fn(&Row<'_>) -> rusqlite::Result<Change>,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare(query)?;
        for change in statement.query_map([], read)? {
            changes.push(change?);
        }
        Ok(())
    }
}

/// Returns the path with more at the end of the file's name.
fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Returns the number of the last commit in the database's own file, read as if there were no log beside it. `None` if it
/// can't be read so, as while pages of several commits are in it.
fn commits_without_log(file: &Path) -> Option<u64> {
    let path = file.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(format!("file:{path}?immutable=1"), flags).ok()?;
    let commits: Option<i64> =
        connection.query_row("SELECT value FROM meta WHERE name = ?", [COMMITS], |row| row.get(0)).optional().ok()?;
    commits.unwrap_or_default().try_into().ok()
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Vec<Change>, StoreError> {
        let mut changes = Vec::new();
        for (query, read) in TABLES {
            self.rows(query, &mut changes, *read).map_err(|error| self.about_file(error))?;
        }
        Ok(changes)
    }

    fn give_up_when(&mut self, stopping: Arc<AtomicBool>) {
        self.stopping = stopping;
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.require_files()?;
        self.write_all(changes).map_err(|error| self.about_file(error))?;
        // Meanwhile the store may have waited for another program, and the files may have been replaced.
        self.require_files()?;
        self.commits += 1;
        if let Some(file) = &mut self.file {
            // The commit is on disk already. Without the mark, a later loss is noticed less exactly.
            let _ = file.commit_mark.write(self.commits);
        }
        Ok(())
    }
}

type ReadRow = fn(&Row<'_>) -> rusqlite::Result<Change>;

/// Every table of the state, with a function that turns a row into a change.
const TABLES: &[(&str, ReadRow)] = &[
    // Before the devices, which are counted only on licenses that there are.
    (
        "SELECT license_id, product, policy, hardware_id, license_key, issued_at_ms, ends_at_ms, customer FROM trial",
        |row| {
            Ok(Change::TrialIssued(Box::new(Trial {
                license_id: row.get(0)?,
                product: row.get(1)?,
                policy: row.get(2)?,
                hardware_id: row.get(3)?,
                license_key: row.get(4)?,
                issued_at: time(row, 5)?,
                ends_at: time(row, 6)?,
                customer: serde_json::from_str(row.get_ref(7)?.as_str()?)
                    .map_err(|error| rusqlite::Error::FromSqlConversionFailure(7, Type::Text, Box::new(error)))?,
            })))
        },
    ),
    ("SELECT license_id, hardware_id, id, user_id, status FROM device ORDER BY id", |row| {
        Ok(Change::Device {
            license_id: row.get(0)?,
            hardware_id: row.get(1)?,
            device: Device { id: row.get(2)?, user_id: row.get(3)?, status: status(row.get_ref(4)?.as_str()?) },
        })
    }),
    (
        "SELECT license_id, hardware_id, id, name, value, created_at_ms FROM device_variable JOIN device ON id = device_id",
        |row| {
            Ok(Change::Variable {
                license_id: row.get(0)?,
                hardware_id: row.get(1)?,
                device_id: row.get(2)?,
                variable: Variable { name: row.get(3)?, value: row.get(4)?, created_at: time(row, 5)? },
            })
        },
    ),
    ("SELECT license_id, feature_id, device_id, until_ms, borrowed, taken_at_ms FROM slot", |row| {
        let slot = Slot { until: time(row, 3)?, borrowed: row.get(4)?, taken_at: time(row, 5)? };
        Ok(Change::SlotHeld { pool: entitlement(row)?, device_id: row.get(2)?, slot })
    }),
    ("SELECT license_id, feature_id, total, at_ms, set_back_ms FROM consumption", |row| {
        let set_back = TimeDelta::try_milliseconds(row.get(4)?).unwrap_or_default();
        let counter = Counter { total: row.get(2)?, at: time(row, 3)?, set_back };
        Ok(Change::Consumed { entitlement: entitlement(row)?, counter })
    }),
    ("SELECT license_id, feature_id, device_id, pool_id, units, at_ms FROM reservation", |row| {
        let reservation = Some(Reservation { pool_id: row.get(3)?, units: row.get(4)?, at: time(row, 5)? });
        Ok(Change::Reserved { entitlement: entitlement(row)?, device_id: row.get(2)?, reservation })
    }),
    ("SELECT license_id, allowed, max, replaced_allowed, replaced_max FROM overages", |row| {
        let replaced: (Option<bool>, Option<i64>) = (row.get(3)?, row.get(4)?);
        let replaced = replaced.0.zip(replaced.1).map(|(allowed, max)| Overages { allowed, max });
        let overages = Overages { allowed: row.get(1)?, max: row.get(2)? };
        Ok(Change::Overages { license_id: row.get(0)?, overages: ClientOverages { overages, replaced } })
    }),
    ("SELECT license_id, count FROM transfers", |row| {
        Ok(Change::Transfers { license_id: row.get(0)?, count: row.get(1)? })
    }),
    ("SELECT license_id, feature_id, device_id, key, amount, at_ms FROM used_key ORDER BY id", |row| {
        Ok(Change::KeyUsed {
            key: RequestKey { device_id: row.get(2)?, value: row.get(3)? },
            booked: BookedConsumption { entitlement: entitlement(row)?, amount: row.get(4)? },
            at: time(row, 5)?,
        })
    }),
    ("SELECT license_id, hardware_id, slot, number, action, refusal, at_ms FROM latest_request", |row| {
        let number = row.get(3)?;
        let refusal: Option<String> = row.get(5)?;
        Ok(Change::Ordered {
            license_id: row.get(0)?,
            hardware_id: row.get(1)?,
            scope: scope(row.get(2)?),
            request: LatestRequest {
                number,
                action: action(row.get_ref(4)?.as_str()?)?,
                refusal: refusal.map(|json| refusal_of(&json, number)),
                at: time(row, 6)?,
            },
        })
    }),
    ("SELECT license_id, hardware_id, number FROM offline_request", |row| {
        Ok(Change::OfflineRequest { license_id: row.get(0)?, hardware_id: row.get(1)?, number: row.get(2)? })
    }),
    ("SELECT user_id, hash, replaced FROM password", |row| {
        let password = ChangedPassword { hash: row.get(1)?, replaced: row.get(2)? };
        Ok(Change::PasswordChanged { user_id: row.get(0)?, password })
    }),
    ("SELECT value FROM meta WHERE name = 'downtime_ms'", |row| {
        Ok(Change::Downtime { total: TimeDelta::try_milliseconds(row.get(0)?).unwrap_or_default() })
    }),
    ("SELECT value FROM meta WHERE name = 'heartbeat_at_ms'", |row| Ok(Change::Heartbeat { at: time(row, 0)? })),
];

fn write(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    let execute = |sql: &str, params: &[&dyn ToSql]| execute(connection, sql, params);
    match change {
        Change::Device { license_id, hardware_id, device } => execute(
            "INSERT INTO device (license_id, hardware_id, id, user_id, status) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, status = excluded.status",
            params![license_id, hardware_id, device.id, device.user_id, status_name(device.status)],
        ),
        Change::TrialIssued(trial) => execute(
            "INSERT OR REPLACE INTO trial (license_id, product, policy, hardware_id, license_key, issued_at_ms, ends_at_ms, \
             customer) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                trial.license_id,
                trial.product,
                trial.policy,
                trial.hardware_id,
                trial.license_key,
                trial.issued_at.timestamp_millis(),
                trial.ends_at.timestamp_millis(),
                serde_json::to_string(&trial.customer).unwrap_or_default(),
            ],
        ),
        Change::Variable { device_id, variable, .. } => execute(
            "INSERT OR REPLACE INTO device_variable (device_id, name, value, created_at_ms) VALUES (?, ?, ?, ?)",
            params![device_id, variable.name, variable.value, variable.created_at.timestamp_millis()],
        ),
        Change::SlotHeld { pool, device_id, slot } => execute(
            "INSERT OR REPLACE INTO slot (license_id, feature_id, device_id, until_ms, borrowed, taken_at_ms) \
             VALUES (?, ?, ?, ?, ?, ?)",
            params![
                pool.license_id,
                feature_id(pool),
                device_id,
                slot.until.timestamp_millis(),
                slot.borrowed,
                slot.taken_at.timestamp_millis()
            ],
        ),
        Change::SlotFreed { pool, device_id } => execute(
            "DELETE FROM slot WHERE license_id = ? AND feature_id = ? AND device_id = ?",
            params![pool.license_id, feature_id(pool), device_id],
        ),
        Change::Consumed { entitlement, counter } => execute(
            "INSERT OR REPLACE INTO consumption (license_id, feature_id, total, at_ms, set_back_ms) VALUES (?, ?, ?, ?, ?)",
            params![
                entitlement.license_id,
                feature_id(entitlement),
                counter.total,
                counter.at.timestamp_millis(),
                counter.set_back.num_milliseconds()
            ],
        ),
        Change::Reserved { entitlement, device_id, reservation: Some(reservation) } => execute(
            "INSERT OR REPLACE INTO reservation (license_id, feature_id, device_id, pool_id, units, at_ms) \
             VALUES (?, ?, ?, ?, ?, ?)",
            params![
                entitlement.license_id,
                feature_id(entitlement),
                device_id,
                reservation.pool_id,
                reservation.units,
                reservation.at.timestamp_millis()
            ],
        ),
        Change::Reserved { entitlement, device_id, reservation: None } => execute(
            "DELETE FROM reservation WHERE license_id = ? AND feature_id = ? AND device_id = ?",
            params![entitlement.license_id, feature_id(entitlement), device_id],
        ),
        Change::Overages { license_id, overages: ClientOverages { overages, replaced } } => execute(
            "INSERT OR REPLACE INTO overages (license_id, allowed, max, replaced_allowed, replaced_max) VALUES (?, ?, ?, ?, ?)",
            params![
                license_id,
                overages.allowed,
                overages.max,
                replaced.map(|replaced| replaced.allowed),
                replaced.map(|replaced| replaced.max)
            ],
        ),
        Change::OveragesForgotten { license_id } => {
            execute("DELETE FROM overages WHERE license_id = ?", params![license_id])
        }
        Change::Transfers { license_id, count } => {
            execute("INSERT OR REPLACE INTO transfers (license_id, count) VALUES (?, ?)", params![license_id, count])
        }
        Change::KeyUsed { key, booked: BookedConsumption { entitlement, amount }, at } => execute(
            "INSERT OR REPLACE INTO used_key (device_id, key, license_id, feature_id, amount, at_ms) \
             VALUES (?, ?, ?, ?, ?, ?)",
            params![
                key.device_id,
                key.value,
                entitlement.license_id,
                feature_id(entitlement),
                amount,
                at.timestamp_millis()
            ],
        ),
        Change::KeyForgotten { key } => {
            execute("DELETE FROM used_key WHERE device_id = ? AND key = ?", params![key.device_id, key.value])
        }
        Change::Ordered { license_id, hardware_id, scope, request } => {
            write_request(connection, *license_id, hardware_id, *scope, request)
        }
        Change::OrderForgotten { license_id, hardware_id } => execute(
            "DELETE FROM latest_request WHERE license_id = ? AND hardware_id = ?",
            params![license_id, hardware_id],
        ),
        Change::OfflineRequest { license_id, hardware_id, number } => execute(
            "INSERT OR REPLACE INTO offline_request (license_id, hardware_id, number) VALUES (?, ?, ?)",
            params![license_id, hardware_id, number],
        ),
        Change::PasswordChanged { user_id, password: ChangedPassword { hash, replaced } } => execute(
            "INSERT OR REPLACE INTO password (user_id, hash, replaced) VALUES (?, ?, ?)",
            params![user_id, hash, replaced],
        ),
        Change::PasswordForgotten { user_id } => execute("DELETE FROM password WHERE user_id = ?", params![user_id]),
        Change::Downtime { total } => execute(
            "INSERT OR REPLACE INTO meta (name, value) VALUES ('downtime_ms', ?)",
            params![total.num_milliseconds()],
        ),
        Change::Heartbeat { at } => execute(
            "INSERT OR REPLACE INTO meta (name, value) VALUES ('heartbeat_at_ms', ?)",
            params![at.timestamp_millis()],
        ),
        Change::Happened(event) => write_event(connection, event),
    }
}

/// Writes the request with the highest order number of a scope.
fn write_request(
    connection: &Connection,
    license_id: u64,
    hardware_id: &str,
    scope: OrderScope,
    request: &LatestRequest,
) -> rusqlite::Result<()> {
    let refusal = request.refusal.as_ref().map(serde_json::to_string).transpose();
    let refusal = refusal.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let (slot, action) = (scope_number(scope), action_name(request.action));
    execute(
        connection,
        "INSERT OR REPLACE INTO latest_request (license_id, hardware_id, slot, number, action, refusal, at_ms) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![license_id, hardware_id, slot, request.number, action, refusal, request.at.timestamp_millis()],
    )
}

/// Appends an event to the journal.
fn write_event(connection: &Connection, event: &Event) -> rusqlite::Result<()> {
    let (amount, until_ms) = detail(event);
    execute(
        connection,
        "INSERT INTO journal (at_ms, event, license_id, feature, device_id, amount, until_ms) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            event.at.timestamp_millis(),
            event.kind.name(),
            event.license_id,
            event.feature.as_ref().map(Arc::as_ref),
            event.device_id,
            amount,
            until_ms
        ],
    )
}

fn execute(connection: &Connection, sql: &str, params: &[&dyn ToSql]) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(params).map(|_| ())
}

/// Returns the amount and the end of an event that has one.
fn detail(event: &Event) -> (Option<i64>, Option<i64>) {
    match event.kind {
        EventKind::Consumed { amount } => (Some(amount), None),
        EventKind::Borrowed { until } => (None, Some(until.timestamp_millis())),
        _ => (None, None),
    }
}

fn entitlement(row: &Row<'_>) -> rusqlite::Result<EntitlementId> {
    let feature_id = Some(row.get(1)?).filter(|id| *id != 0);
    Ok(EntitlementId { license_id: row.get(0)?, feature_id })
}

fn feature_id(entitlement: &EntitlementId) -> u64 {
    entitlement.feature_id.unwrap_or_default()
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<DateTime<Utc>> {
    row.get(column).map(from_millis)
}

/// The names of device statuses in the file.
const STATUSES: [(DeviceStatus, &str); 3] =
    [(DeviceStatus::Active, "active"), (DeviceStatus::Vacated, "vacated"), (DeviceStatus::Replaced, "replaced")];

fn status_name(status: DeviceStatus) -> Option<&'static str> {
    STATUSES.iter().find(|row| row.0 == status).map(|row| row.1)
}

fn status(name: &str) -> DeviceStatus {
    STATUSES.iter().find(|row| row.1 == name).map_or(DeviceStatus::Replaced, |row| row.0)
}

/// The names of requests' actions in the file.
const ACTIONS: [(OrderedAction, &str); 5] = [
    (OrderedAction::Activate, "activate"),
    (OrderedAction::Deactivate, "deactivate"),
    (OrderedAction::Check, "check"),
    (OrderedAction::Borrow, "borrow"),
    (OrderedAction::Release, "release"),
];

fn action_name(action: OrderedAction) -> Option<&'static str> {
    ACTIONS.iter().find(|row| row.0 == action).map(|row| row.1)
}

fn action(name: &str) -> rusqlite::Result<OrderedAction> {
    let unknown = || rusqlite::Error::InvalidColumnType(4, name.to_owned(), Type::Text);
    ACTIONS.iter().find(|row| row.1 == name).map(|row| row.0).ok_or_else(unknown)
}

/// The number that stands for the whole device in the file's column `slot`.
const WHOLE_DEVICE: i64 = -1;

fn scope_number(scope: OrderScope) -> Option<i64> {
    match scope {
        OrderScope::Device => Some(WHOLE_DEVICE),
        OrderScope::Slot(feature_id) => i64::try_from(feature_id.unwrap_or_default()).ok(),
    }
}

fn scope(number: i64) -> OrderScope {
    u64::try_from(number).map_or(OrderScope::Device, |id| OrderScope::Slot(Some(id).filter(|id| *id != 0)))
}

/// Returns the refusal of a request.
///
/// A refusal that another version of the server has written may be unreadable. It then counts as outdated, and a client
/// that still waits takes a higher number.
fn refusal_of(json: &str, number: u64) -> Refusal {
    serde_json::from_str(json).unwrap_or(Refusal::OrderOutdated { highest: number })
}

impl StoreError {
    /// Names the file that the error is about.
    fn of_file(self, file: &Path) -> StoreError {
        StoreError(format!("{}: {}", file.display(), self.0))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        let advice = error.sqlite_error_code().and_then(advice).unwrap_or_default();
        StoreError(format!("SQLite: {error}{advice}"))
    }
}

/// Returns what an administrator can do about an error of SQLite.
fn advice(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt => "; restore the data from a backup",
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly => {
            "; let this account read and write the file and its directory"
        }
        ErrorCode::DiskFull => "; make room on the disk",
        ErrorCode::SystemIoFailure => "; check the disk, its free space and the limit on the size of files (ulimit -f)",
        _ => return None,
    })
}
