//! Tests of both kinds of locks, and of lock files that are removed or can't be opened.

use super::Mode::{Exclusive, Shared};
use super::*;
use std::fs;

/// A temporary folder for one test, removed when dropped.
pub(in crate::lease) struct Folder(pub(in crate::lease) PathBuf);

impl Folder {
    pub(in crate::lease) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("floatlease-locks-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self) -> PathBuf {
        self.0.join("lock")
    }

    fn lock(&self) -> Lock {
        Lock::File(self.path())
    }

    fn try_lock(&self, mode: Mode) -> Option<LockGuard> {
        self.lock().try_lock(mode).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the open file of a lock as a forked child inherits it. The lock belongs to both copies.
pub(in crate::lease) fn inherited(guard: &LockGuard) -> File {
    let LockGuard::File(locked) = guard else { panic!("a lock in memory has no file") };
    locked.file.try_clone().unwrap()
}

#[test]
fn exclusive_lock_excludes_all_and_shared_excludes_exclusive() {
    let folder = Folder::new("kinds");
    for lock in [folder.lock(), Lock::in_memory()] {
        let try_lock = |mode| lock.clone().try_lock(mode).unwrap();
        let exclusive = try_lock(Exclusive).unwrap();
        assert!(exclusive.is_in_place().unwrap());
        assert!(try_lock(Exclusive).is_none() && try_lock(Shared).is_none());
        drop(exclusive);
        let (first, second) = (try_lock(Shared).unwrap(), try_lock(Shared).unwrap());
        assert!(try_lock(Exclusive).is_none());
        drop(first);
        assert!(try_lock(Exclusive).is_none());
        drop(second);
        assert!(try_lock(Exclusive).is_some());
        assert!(try_lock(Exclusive).is_some(), "a dropped guard has unlocked");
    }
}

#[test]
fn unlock_returns_whether_there_was_no_other_holder() {
    let folder = Folder::new("unlock");
    for lock in [folder.lock(), Lock::in_memory()] {
        let try_lock = |mode| lock.try_lock(mode).unwrap();
        let (first, second) = (try_lock(Shared).unwrap(), try_lock(Shared).unwrap());
        assert!(!first.unlock().unwrap());
        assert!(try_lock(Exclusive).is_none(), "the second still holds the lock");
        assert!(second.unlock().unwrap());
        assert!(try_lock(Exclusive).is_some());
        assert!(try_lock(Exclusive).unwrap().unlock().unwrap());
        assert!(try_lock(Shared).is_some());
    }
}

#[test]
fn locks_of_other_names_and_memory_are_other_locks() {
    let folder = Folder::new("others");
    let _held = (folder.try_lock(Exclusive).unwrap(), Lock::in_memory().try_lock(Exclusive).unwrap().unwrap());
    assert!(Lock::File(folder.0.join("lock2")).try_lock(Exclusive).unwrap().is_some());
    assert!(Lock::in_memory().try_lock(Exclusive).unwrap().is_some());
}

#[test]
fn lock_file_is_created_once_and_its_content_stays() {
    let folder = Folder::new("stays");
    let lock = folder.lock();
    assert!(!folder.path().exists());
    let held = lock.try_lock(Shared).unwrap().unwrap();
    fs::write(folder.path(), "content").unwrap();
    assert!(held.unlock().unwrap());
    drop(lock.try_lock(Exclusive).unwrap());
    assert_eq!(fs::read(folder.path()).unwrap(), b"content");
}

#[test]
fn forked_child_neither_keeps_nor_frees_parents_lock() {
    let folder = Folder::new("forked");
    for mode in [Shared, Exclusive] {
        let held = folder.try_lock(mode).unwrap();
        let of_child = inherited(&held);
        assert!(held.unlock().unwrap(), "by unlocking");
        assert!(folder.try_lock(Exclusive).is_some());
        let held = folder.try_lock(mode).unwrap();
        let of_another = inherited(&held);
        drop(held);
        assert!(folder.try_lock(Exclusive).is_some(), "by dropping the guard");

        let held = folder.try_lock(mode).unwrap();
        let file = Arc::new(inherited(&held));
        let mut of_third = LockFile { path: folder.path(), file, owner: process::cookie() };
        of_third.owner += 1;
        drop(LockGuard::File(of_third));
        assert!(folder.try_lock(Exclusive).is_none(), "the parent still holds it");
        drop((of_child, of_another));
        assert!(folder.try_lock(Exclusive).is_none());
    }
}

#[cfg(unix)]
#[test]
fn lock_on_removed_file_is_not_in_place() {
    let folder = Folder::new("removed");
    for replace in [false, true] {
        let before = folder.try_lock(Shared).unwrap();
        assert!(before.is_in_place().unwrap());
        fs::remove_file(folder.path()).unwrap();
        if replace {
            fs::write(folder.path(), "").unwrap();
        }
        assert!(!before.is_in_place().unwrap());
        let after = folder.try_lock(Exclusive).unwrap();
        assert!(after.is_in_place().unwrap() && !before.is_in_place().unwrap());
        assert!(before.unlock().unwrap(), "the removed file has no other holder");
        assert!(folder.try_lock(Shared).is_none(), "the holder of the new file still has its lock");
    }
}

/// Opens the file, and removes it right after, for the first `times` calls. Replaces it too, if `replaced`.
#[cfg(unix)]
fn removed_once_open(times: u32, replaced: bool) -> impl Fn(&Path) -> io::Result<File> {
    let left = std::cell::Cell::new(times);
    move |path| {
        let file = open(path)?;
        if left.get() > 0 {
            left.set(left.get() - 1);
            fs::remove_file(path)?;
            if replaced {
                fs::write(path, "")?;
            }
        }
        Ok(file)
    }
}

#[cfg(unix)]
#[test]
fn file_removed_before_it_is_locked_is_opened_again() {
    let folder = Folder::new("just-removed");
    for (mode, replaced) in [(Shared, false), (Shared, true), (Exclusive, false), (Exclusive, true)] {
        let held = LockFile::open_locked(&folder.path(), mode, &removed_once_open(3, replaced)).unwrap().unwrap();
        assert!(held.is_in_place().unwrap());
        assert!(folder.try_lock(Exclusive).is_none());
    }
    let before = folder.try_lock(Exclusive).unwrap();
    let after = LockFile::open_locked(&folder.path(), Shared, &removed_once_open(1, true)).unwrap();
    assert!(after.is_some(), "a lock on the removed file excludes no other");
    assert!(!before.is_in_place().unwrap());
}

#[cfg(unix)]
#[test]
fn file_removed_each_time_it_is_locked_is_an_error() {
    let folder = Folder::new("always-removed");
    let error = LockFile::open_locked(&folder.path(), Shared, &removed_once_open(u32::MAX, false)).unwrap_err();
    assert_eq!(error.status, Status::Storage);
    let message = error.message();
    assert!(message.contains("was removed 16 times") && message.contains(folder.path().to_str().unwrap()), "{message}");
}

#[cfg(unix)]
#[test]
fn other_users_may_not_open_a_created_lock_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("private");
    drop(folder.try_lock(Exclusive));
    let mode = || fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o666)).unwrap();
    drop(folder.try_lock(Exclusive));
    assert_eq!(mode(), 0o666, "wider permissions that a user has set stay");
}

#[test]
fn file_that_can_not_be_opened_is_named_with_reason() {
    let folder = Folder::new("unopened");
    let inside = folder.0.join("missing").join("lock");
    let error = Lock::File(inside.clone()).try_lock(Shared).unwrap_err();
    assert_eq!(error.status, Status::Storage);
    assert!(error.message().contains(inside.to_str().unwrap()), "{error}");
    assert!(error.message().contains("Create its folder"), "{error}");
    assert!(!folder.0.join("missing").exists(), "the folder is not created");

    fs::create_dir(folder.path()).unwrap();
    let error = folder.lock().try_lock(Shared).unwrap_err();
    assert_eq!(error.status, Status::Storage);
    assert!(error.message().contains(folder.path().to_str().unwrap()), "{error}");

    let error = not_opened(&folder.path(), &ErrorKind::PermissionDenied.into());
    assert_eq!(error.status, Status::Storage);
    assert!(error.message().contains("another user"), "{error}");
}

#[test]
fn file_system_without_locks_is_an_error() {
    let reasons = [ErrorKind::Unsupported.into(), io::Error::other("no locks available")];
    for reason in reasons {
        let text = reason.to_string();
        let mut reason = Some(reason);
        let result = uninterrupted(&mut || reason.take().map_or(Ok(()), |reason| Err(TryLockError::Error(reason))));
        let error = not_locked(Path::new("/far/lock"), &result.unwrap_err());
        assert_eq!(error.status, Status::Storage);
        let message = error.message();
        assert!(["/far/lock", &text, "a local disk"].iter().all(|part| message.contains(part)), "{message}");
    }
    assert!(!uninterrupted(&mut || Err(TryLockError::WouldBlock)).unwrap());
}

#[test]
fn lock_interrupted_by_signal_is_tried_again() {
    for (result, expected) in [(Ok(()), true), (Err(TryLockError::WouldBlock), false)] {
        let interrupted = || Err(TryLockError::Error(ErrorKind::Interrupted.into()));
        let mut results = vec![result, interrupted(), interrupted()];
        assert_eq!(uninterrupted(&mut || results.pop().unwrap()).unwrap(), expected);
        assert!(results.is_empty());
    }
}
