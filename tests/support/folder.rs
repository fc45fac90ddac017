//! A folder for what leases keep.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder of a test's own, not made yet, removed at its end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        Folder::within(&std::env::temp_dir(), name)
    }

    /// The same in memory, where the system has a place for that: for tests that must not wait for the disk.
    pub fn in_memory(name: &str) -> Folder {
        // Some systems have one that is not for everybody.
        let folder = Folder::within(Path::new("/dev/shm"), name);
        let is_usable = fs::create_dir(folder.path()).and_then(|()| fs::remove_dir(folder.path())).is_ok();
        if is_usable { folder } else { Folder::new(name) }
    }

    fn within(parent: &Path, name: &str) -> Folder {
        let path = parent.join(format!("floatlease-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The files of this ending.
    pub fn files(&self, ending: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
    }

    /// The record that holds a proof: the longest.
    pub fn proof(&self) -> PathBuf {
        self.files("lease").into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
