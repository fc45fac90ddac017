//! Locks of both kinds, and what can happen to a file.

use super::Mode::{Exclusive, Shared};
use super::*;
use std::fs;

/// A folder of one test's own, removed at its end.
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

    fn hold(&self, mode: Mode) -> Option<LockGuard> {
        self.lock().try_lock(mode).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The open file of a lock, as a forked child would have it: a lock belongs to what both of them stand for.
pub(in crate::lease) fn inherited(hold: &LockGuard) -> File {
    let LockGuard::File(opened) = hold else { panic!("a lock in memory has no file") };
    opened.file.try_clone().unwrap()
}

#[test]
fn one_alone_excludes_all_and_several_exclude_one_alone() {
    let folder = Folder::new("kinds");
    for lock in [folder.lock(), Lock::in_memory()] {
        let hold = |mode| lock.clone().try_lock(mode).unwrap();
        let exclusive = hold(Exclusive).unwrap();
        assert!(exclusive.is_in_place().unwrap());
        assert!(hold(Exclusive).is_none() && hold(Shared).is_none());
        drop(exclusive);
        let (first, second) = (hold(Shared).unwrap(), hold(Shared).unwrap());
        assert!(hold(Exclusive).is_none());
        drop(first);
        assert!(hold(Exclusive).is_none());
        drop(second);
        assert!(hold(Exclusive).is_some());
        assert!(hold(Exclusive).is_some(), "dropped, and so given up");
    }
}

#[test]
fn who_gives_it_up_learns_whether_others_hold_it() {
    let folder = Folder::new("give-up");
    for lock in [folder.lock(), Lock::in_memory()] {
        let hold = |mode| lock.try_lock(mode).unwrap();
        let (first, second) = (hold(Shared).unwrap(), hold(Shared).unwrap());
        assert!(!first.unlock().unwrap());
        assert!(hold(Exclusive).is_none(), "the second is not disturbed by it");
        assert!(second.unlock().unwrap());
        assert!(hold(Exclusive).is_some());
        assert!(hold(Exclusive).unwrap().unlock().unwrap());
        assert!(hold(Shared).is_some());
    }
}

#[test]
fn locks_of_other_names_and_other_memory_have_nothing_to_do_with_it() {
    let folder = Folder::new("others");
    let _held = (folder.hold(Exclusive).unwrap(), Lock::in_memory().try_lock(Exclusive).unwrap().unwrap());
    assert!(Lock::File(folder.0.join("lock2")).try_lock(Exclusive).unwrap().is_some());
    assert!(Lock::in_memory().try_lock(Exclusive).unwrap().is_some());
}

#[test]
fn a_file_is_there_from_the_first_attempt_on_and_stays_and_keeps_what_is_in_it() {
    let folder = Folder::new("stays");
    let lock = folder.lock();
    assert!(!folder.path().exists());
    let held = lock.try_lock(Shared).unwrap().unwrap();
    fs::write(folder.path(), "somebody's").unwrap();
    assert!(held.unlock().unwrap());
    drop(lock.try_lock(Exclusive).unwrap());
    assert_eq!(fs::read(folder.path()).unwrap(), b"somebody's");
}

#[test]
fn a_forked_child_neither_keeps_a_lock_that_was_given_up_nor_gives_up_its_parents() {
    let folder = Folder::new("forked");
    for mode in [Shared, Exclusive] {
        let held = folder.hold(mode).unwrap();
        let of_child = inherited(&held);
        assert!(held.unlock().unwrap(), "politely");
        assert!(folder.hold(Exclusive).is_some());
        let held = folder.hold(mode).unwrap();
        let of_another = inherited(&held);
        drop(held);
        assert!(folder.hold(Exclusive).is_some(), "by dropping it");

        let held = folder.hold(mode).unwrap();
        let mut of_third = LockFile { path: folder.path(), file: inherited(&held), owner: process::cookie() };
        of_third.owner += 1;
        drop(LockGuard::File(of_third));
        assert!(folder.hold(Exclusive).is_none(), "the parent still holds it");
        drop((of_child, of_another));
        assert!(folder.hold(Exclusive).is_none());
    }
}

#[cfg(unix)]
#[test]
fn who_comes_after_a_removal_locks_the_new_file_and_who_came_before_can_tell() {
    let folder = Folder::new("removed");
    for replace in [false, true] {
        let before = folder.hold(Shared).unwrap();
        assert!(before.is_in_place().unwrap());
        fs::remove_file(folder.path()).unwrap();
        if replace {
            fs::write(folder.path(), "").unwrap();
        }
        assert!(!before.is_in_place().unwrap());
        let after = folder.hold(Exclusive).unwrap();
        assert!(after.is_in_place().unwrap() && !before.is_in_place().unwrap());
        assert!(before.unlock().unwrap(), "nobody else of before holds it");
        assert!(folder.hold(Shared).is_none(), "and the one who came after was not disturbed");
    }
}

/// Opens the file, which somebody removes right after that, so many times.
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
fn a_file_removed_before_it_is_locked_is_not_the_one_that_is_locked() {
    let folder = Folder::new("just-removed");
    for (mode, replaced) in [(Shared, false), (Shared, true), (Exclusive, false), (Exclusive, true)] {
        let held = LockFile::open_locked(&folder.path(), mode, &removed_once_open(3, replaced)).unwrap().unwrap();
        assert!(held.is_in_place().unwrap());
        assert!(folder.hold(Exclusive).is_none());
    }
    let before = folder.hold(Exclusive).unwrap();
    let after = LockFile::open_locked(&folder.path(), Shared, &removed_once_open(1, true)).unwrap();
    assert!(after.is_some(), "whoever holds the removed one is not in the way");
    assert!(!before.is_in_place().unwrap());
}

#[cfg(unix)]
#[test]
fn a_file_that_is_removed_again_and_again_is_given_up() {
    let folder = Folder::new("always-removed");
    let error = LockFile::open_locked(&folder.path(), Shared, &removed_once_open(u32::MAX, false)).unwrap_err();
    assert_eq!(error.status, Status::Storage);
    let message = error.message();
    assert!(message.contains("again and again") && message.contains(folder.path().to_str().unwrap()), "{message}");
}

#[cfg(unix)]
#[test]
fn nobody_else_may_open_a_file_that_was_made_here() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("private");
    drop(folder.hold(Exclusive));
    let mode = || fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o666)).unwrap();
    drop(folder.hold(Exclusive));
    assert_eq!(mode(), 0o666, "who lets others share it is not overruled");
}

#[test]
fn a_file_that_cannot_be_opened_is_named_with_the_reason() {
    let folder = Folder::new("unopened");
    let inside = folder.0.join("missing").join("lock");
    let error = Lock::File(inside.clone()).try_lock(Shared).unwrap_err();
    assert_eq!(error.status, Status::Storage);
    assert!(error.message().contains(inside.to_str().unwrap()), "{error}");
    assert!(error.message().contains("Make its folder"), "{error}");
    assert!(!folder.0.join("missing").exists(), "nor is the folder made here");

    fs::create_dir(folder.path()).unwrap();
    let error = folder.lock().try_lock(Shared).unwrap_err();
    assert_eq!(error.status, Status::Storage);
    assert!(error.message().contains(folder.path().to_str().unwrap()), "{error}");

    let error = not_opened(&folder.path(), &ErrorKind::PermissionDenied.into());
    assert_eq!(error.status, Status::Storage);
    assert!(error.message().contains("another user"), "{error}");
}

#[test]
fn a_file_system_without_locks_is_told_from_a_lock_that_is_held() {
    let reasons = [ErrorKind::Unsupported.into(), io::Error::other("no locks available")];
    for reason in reasons {
        let text = reason.to_string();
        let mut answer = Some(reason);
        let answer = granted(&mut || answer.take().map_or(Ok(()), |reason| Err(TryLockError::Error(reason))));
        let error = not_locked(Path::new("/far/lock"), &answer.unwrap_err());
        assert_eq!(error.status, Status::Storage);
        let message = error.message();
        assert!(["/far/lock", &text, "a local disk"].iter().all(|part| message.contains(part)), "{message}");
    }
    assert!(!granted(&mut || Err(TryLockError::WouldBlock)).unwrap());
}

#[test]
fn a_signal_is_no_answer() {
    for (answer, expected) in [(Ok(()), true), (Err(TryLockError::WouldBlock), false)] {
        let interrupted = || Err(TryLockError::Error(ErrorKind::Interrupted.into()));
        let mut answers = vec![answer, interrupted(), interrupted()];
        assert_eq!(granted(&mut || answers.pop().unwrap()).unwrap(), expected);
        assert!(answers.is_empty());
    }
}
