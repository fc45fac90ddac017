//! The data directory of `serve`: one server uses it at a time, and its files belong together.
//!
//! A database without its key, or a key without its database, is what a mistake leaves behind. The server then refuses to
//! start, because an empty database would hand out every slot a second time.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use floatlease_server::keys::SigningKey;
use floatlease_server::private;
use floatlease_server::store::{SqliteStore, StoreError};

const DATABASE: &str = "floatlease.sqlite";
const PRIVATE_KEY: &str = "private-key.pem";
const PUBLIC_KEY: &str = "public-key.pem";
const LOCK: &str = "lock";

/// The data of one server.
pub(crate) struct Data {
    pub(crate) store: SqliteStore,
    pub(crate) key: SigningKey,
    pub(crate) public_key_file: PathBuf,
    /// Keeps other servers off the data. It must outlive the store: closing a file ends SQLite's own locks on it.
    pub(crate) lock: DataLock,
}

/// The reason why the data can't be used, as a text for people.
#[derive(Debug)]
pub(crate) enum DataError {
    /// Another server uses the data.
    InUse(String),
    /// Files are missing, or can't be read or written.
    Unusable(String),
}

/// The locks on the data, which end with the process.
pub(crate) struct DataLock {
    _database: Option<File>,
    _file: File,
}

/// Opens the data in a directory, which is made if it is missing.
///
/// With `begin_anew`, missing files are made anew, and lost changes are accepted.
pub(crate) fn open(directory: &Path, begin_anew: bool) -> Result<Data, DataError> {
    let mut losses = Losses { begin_anew, accepted: false };
    private::directory(directory).map_err(|error| unusable(directory, &error))?;
    let file = lock_file(directory)?;
    let (database_file, key_file) = (directory.join(DATABASE), directory.join(PRIVATE_KEY));
    let has_key = key_file.try_exists().map_err(|error| unusable(&key_file, &error))?;
    if has_key && is_missing(&database_file)? {
        losses.accept(|| no_database(&database_file))?;
    }
    let database = lock_database(&database_file, directory)?;
    if SqliteStore::is_older_than_log(&database_file)? {
        let name = database_file.display();
        return Err(DataError::Unusable(format!(
            "{name} is older than {DATABASE}-wal beside it, which would damage it: put the newer database back, or delete \
             {DATABASE}-wal and {DATABASE}-shm and add --begin-anew once"
        )));
    }
    let mut store = SqliteStore::open_unmigrated(&database_file)?;
    if store.lost_commits() > 0 {
        losses.accept(|| old_database(&database_file, store.lost_commits()))?;
    }
    if !has_key && store.has_been_used()? {
        losses.accept(|| no_key(&key_file))?;
    }
    store.migrate()?;
    let key = SigningKey::load_or_generate(&key_file).map_err(|error| unusable(&key_file, &error))?;
    let public_key_file = directory.join(PUBLIC_KEY);
    let public_key = key.public_pem().map_err(|error| unusable(&key_file, &error))?;
    fs::write(&public_key_file, public_key).map_err(|error| unusable(&public_key_file, &error))?;
    losses.warn_of_needless_option();
    Ok(Data { store, key, public_key_file, lock: DataLock { _database: database, _file: file } })
}

/// A part of the data that is gone, and what an administrator can do about it.
struct Loss {
    what: String,
    advice: &'static str,
}

/// The parts of the data that are gone, and whether the administrator accepts that.
struct Losses {
    begin_anew: bool,
    accepted: bool,
}

impl Losses {
    /// Refuses to start on incomplete data, or warns if the administrator has accepted the loss.
    fn accept(&mut self, loss: impl FnOnce() -> Loss) -> Result<(), DataError> {
        let Loss { what, advice } = loss();
        if !self.begin_anew {
            return Err(DataError::Unusable(format!("{what}: {advice}")));
        }
        self.accepted = true;
        tracing::warn!("{what}; going on because of --begin-anew: remove this option now");
        Ok(())
    }

    /// Warns if --begin-anew was given and nothing is missing. In a service's file it would accept the next loss too.
    fn warn_of_needless_option(&self) {
        if self.begin_anew && !self.accepted {
            tracing::warn!(
                "nothing is missing: remove --begin-anew, which would accept a later loss without a question"
            );
        }
    }
}

fn no_database(file: &Path) -> Loss {
    Loss {
        what: format!(
            "{} is missing beside {PRIVATE_KEY}, and with it all devices, slots and consumption",
            file.display()
        ),
        advice: "put it back together with floatlease.sqlite-wal, or add --begin-anew to start empty, as on the first start \
                 with a key that you have brought along",
    }
}

fn old_database(file: &Path, lost_commits: u64) -> Loss {
    Loss {
        what: format!(
            "{} lacks its latest {lost_commits} commits, because {DATABASE}-wal was deleted or the database was replaced by \
             an older one",
            file.display()
        ),
        advice: "put the files back, or add --begin-anew to go on with what is left",
    }
}

fn no_key(file: &Path) -> Loss {
    Loss {
        what: format!("{} is missing beside {DATABASE}, and clients refuse what another key signs", file.display()),
        advice: "put it back, or add --begin-anew to make a new key, and give its public key to the clients",
    }
}

/// Returns whether the file is missing or empty.
fn is_missing(file: &Path) -> Result<bool, DataError> {
    match fs::metadata(file) {
        Ok(metadata) => Ok(metadata.len() == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(unusable(file, &error)),
    }
}

/// Locks the file `lock`, which earlier versions of the server heed too.
///
/// It may be deleted, on systems that let a program delete an open file. [`lock_database`] is for those.
fn lock_file(directory: &Path) -> Result<File, DataError> {
    let path = directory.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    // Nobody can delete the file while it is open, and no second server can open it.
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 0);
    let file = match options.open(&path) {
        #[cfg(windows)]
        Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => return Err(in_use(directory)),
        file => file.map_err(|error| unusable(&path, &error))?,
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(in_use(directory)),
        Err(fs::TryLockError::Error(error)) => Err(unusable(&path, &error)),
    }
}

#[cfg(windows)]
const SHARING_VIOLATION: i32 = 32;

/// Locks one byte of the database itself, so that no second server uses it under whatever name.
///
/// The byte is before those that SQLite locks, so backups and SQL shells are not kept out. An open-file lock does not end
/// when SQLite closes the file, and does not conflict with SQLite's own locks, as `flock` would on network file systems.
#[cfg(target_os = "linux")]
fn lock_database(file: &Path, directory: &Path) -> Result<Option<File>, DataError> {
    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    /// The byte before SQLite's PENDING_BYTE, which is the first that SQLite locks.
    const LOCKED_BYTE: libc::off_t = 0x4000_0000 - 1;

    let database = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file);
    let database = database.map_err(|error| unusable(file, &error))?;
    let range = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: LOCKED_BYTE,
        l_len: 1,
        l_pid: 0,
    };
    match fcntl(&database, FcntlArg::F_OFD_SETLK(&range)) {
        Ok(_) => Ok(Some(database)),
        Err(Errno::EAGAIN | Errno::EACCES) => Err(in_use(directory)),
        // The file `lock` is locked already, so only its deletion goes unnoticed.
        Err(error @ (Errno::EINVAL | Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS)) => {
            tracing::warn!("{} can't be locked here ({error}): don't delete the file lock beside it", file.display());
            Ok(None)
        }
        Err(error) => Err(unusable(file, &error.into())),
    }
}

/// Locks nothing. Windows lets nobody delete the file `lock` while it is open; other systems have no such locks.
#[cfg(not(target_os = "linux"))]
fn lock_database(_: &Path, _: &Path) -> Result<Option<File>, DataError> {
    Ok(None)
}

fn in_use(directory: &Path) -> DataError {
    DataError::InUse(format!("another server uses {}: stop it, or choose another --data", directory.display()))
}

fn unusable(path: &Path, error: &io::Error) -> DataError {
    DataError::Unusable(format!("can't use {}: {error}", path.display()))
}

impl From<StoreError> for DataError {
    fn from(error: StoreError) -> DataError {
        DataError::Unusable(format!("can't use the data: {error}"))
    }
}
