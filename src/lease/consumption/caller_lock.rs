//! The lock by which other processes know that a client has calls that wait for their consumptions.
//!
//! Consumptions are in the file before they are sent. Another process that sends the queue must leave those alone whose
//! call is going to send them itself: the call tells its host what became of them. Each such entry therefore names its
//! client, and the client keeps a file of that name locked. The system frees the lock of a process that is killed, and
//! then any process sends its entries.
//!
//! Nobody opens the file of a client again under its name, which is random. The process that finds a client dead therefore
//! removes its file.

use crate::descriptor;
use crate::error::Error;
use crate::lease::storage::lock::{Lock, LockGuard, Mode};
use crate::random;
use std::fs;
use std::path::{Path, PathBuf};

/// The beginning of the file's name.
const PREFIX: &str = "caller-";
/// The ending of the file's name.
const SUFFIX: &str = ".lock";

/// The lock of this client, while it has one.
pub(crate) struct CallerLock {
    pub(crate) name: String,
    path: PathBuf,
    guard: LockGuard,
}

impl CallerLock {
    /// Locks a new file in this folder, and removes those of dead clients.
    ///
    /// # Errors
    /// The file can't be made or locked.
    pub(crate) fn new(folder: &Path) -> Result<CallerLock, Error> {
        remove_dead(folder);
        loop {
            let mut id = [0; 8];
            random::fill(&mut id)?;
            let name: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            let path = path_of(folder, &name);
            // Another process may just have taken the new file for a dead client's.
            if let Some(guard) = Lock::File(path.clone()).try_lock(Mode::Exclusive)? {
                return Ok(CallerLock { name, path, guard });
            }
        }
    }

    /// Returns whether other processes meet this lock. False if the file was removed.
    pub(crate) fn is_in_place(&self) -> bool {
        self.guard.is_in_place().unwrap_or(true)
    }

    /// Unlocks and removes the file.
    pub(crate) fn remove(self) {
        drop(self.guard);
        // A file that can't be removed is removed by a later client.
        let _ = fs::remove_file(&self.path);
    }
}

/// Which clients have calls that wait. A client that was alive is not looked at again, so this is for one call only.
pub(crate) struct KnownCallers(Vec<(String, bool)>);

impl KnownCallers {
    /// `own` is the name of this client, whose calls are known otherwise.
    pub(crate) fn new(own: Option<String>) -> KnownCallers {
        KnownCallers(own.into_iter().map(|own| (own, false)).collect())
    }

    /// Returns whether the client of this name has calls that wait. If that can't be found out, it may have.
    pub(crate) fn is_alive(&mut self, folder: &Path, name: &str) -> bool {
        if let Some((_, is_alive)) = self.0.iter().find(|(known, _)| known == name) {
            return *is_alive;
        }
        let is_alive = is_alive(&path_of(folder, name));
        self.0.push((name.to_owned(), is_alive));
        is_alive
    }
}

fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{PREFIX}{name}{SUFFIX}"))
}

/// Returns whether the lock at this path is held. If it is not, its file is removed.
fn is_alive(path: &Path) -> bool {
    if !path.exists() {
        return false;
    }
    match Lock::File(path.to_owned()).try_lock(Mode::Exclusive) {
        Ok(Some(guard)) => {
            // While it is locked, the file can't become another client's. Windows removes no file that is open.
            let guard = (!cfg!(windows)).then_some(guard);
            let _ = fs::remove_file(path);
            drop(guard);
            false
        }
        Ok(None) | Err(_) => true,
    }
}

/// Removes the files of dead clients.
fn remove_dead(folder: &Path) {
    let files = descriptor::with_standard_taken(|| fs::read_dir(folder)).into_iter().flatten().flatten();
    let is_lock = |name: &str| name.starts_with(PREFIX) && name.ends_with(SUFFIX);
    for file in files.filter(|file| file.file_name().to_str().is_some_and(is_lock)) {
        is_alive(&file.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("floatlease-caller-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn count(&self) -> usize {
            fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn client_is_alive_while_it_has_its_lock() {
        let folder = Folder::new("alive");
        let lock = CallerLock::new(&folder.0).unwrap();
        let name = lock.name.clone();
        assert!(KnownCallers::new(None).is_alive(&folder.0, &name));
        assert!(!KnownCallers::new(Some(name.clone())).is_alive(&folder.0, &name), "its own calls are known otherwise");
        assert!(!KnownCallers::new(None).is_alive(&folder.0, "never-seen"));
        lock.remove();
        assert!(!KnownCallers::new(None).is_alive(&folder.0, &name));
        assert_eq!(folder.count(), 0);
    }

    #[test]
    fn files_of_dead_clients_are_removed() {
        let folder = Folder::new("dead");
        let (dead, alive) = (CallerLock::new(&folder.0).unwrap(), CallerLock::new(&folder.0).unwrap());
        // As if it was killed: the lock is gone and the file is there.
        drop(dead.guard);
        let another = CallerLock::new(&folder.0).unwrap();
        assert_eq!(folder.count(), 2);
        assert!(alive.is_in_place() && another.is_in_place());
    }

    #[test]
    fn removed_file_is_noticed() {
        let folder = Folder::new("removed");
        let lock = CallerLock::new(&folder.0).unwrap();
        fs::remove_file(&lock.path).unwrap();
        assert!(!lock.is_in_place());
    }
}
