//! A try of what the library needs of the file system of `storage_dir`, for the report of `diagnose`.

use crate::diagnose::{Check, Verdict, check};
use crate::error::Error;
use crate::lease::storage::disk::{flush_folder, make_folder};
use crate::lease::storage::lock::{Lock, Mode};
use crate::lease::storage::sealed_file::{beside, failed, replace};
use crate::random;
use crate::status::Status;
use std::fs;
use std::path::Path;
use std::time::Instant;

/// Writes, locks and removes a file in the folder, if there is one.
pub(crate) fn storage(folder: Option<&Path>) -> Check {
    let Some(folder) = folder else {
        return check("storage", Verdict::Skipped, None, "The config has no storage_dir.");
    };
    let started = Instant::now();
    let tried = try_folder(folder);
    let took = Some(started.elapsed());
    let name = folder.display();
    match tried {
        Ok(true) => check("storage", Verdict::Ok, took, format!("{name} can be written, locked and flushed.")),
        Ok(false) => {
            let detail = format!(
                "{name} can be written and locked, but its file system can't flush a folder: after a power cut of the \
                 drive, a stored borrow may be the one before."
            );
            check("storage", Verdict::Warning, took, detail)
        }
        Err(error) => check("storage", Verdict::Failed, took, error.to_string()),
    }
}

/// Returns whether the folder itself can be flushed.
fn try_folder(folder: &Path) -> Result<bool, Error> {
    make_folder(folder)?;
    // Threads and programs that run side by side, perhaps in containers, try a file each.
    let mut number = [0; 8];
    random::fill(&mut number)?;
    let path = folder.join(format!("diagnose-{:016x}", u64::from_ne_bytes(number)));
    let lock = Lock::File(beside(&path, "lock"));
    let in_use = || Error::because(Status::Storage, format!("{}.lock can't be locked.", path.display()));
    let locked = lock.try_lock(Mode::Exclusive).and_then(|guard| guard.map(drop).ok_or_else(in_use));
    let written = replace(&path, b"diagnose").map_err(|error| failed(&path, "written", &error));
    let flushed = flush_folder(folder).map_err(|error| failed(folder, "flushed", &error));
    for path in [&path, &beside(&path, "lock"), &beside(&path, "new")] {
        // A file that could not be made can't be removed.
        let _ = fs::remove_file(path);
    }
    locked.and(written).and(flushed)
}
