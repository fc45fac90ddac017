//! A file that must outlive this process: written whole or not at all, and sealed to the product and the device.
//!
//! The seal keeps what is inside from curious eyes, and tells damage and a file of another machine from one's own. It
//! proves nothing to a determined reader, who can know the hardware id; what is inside proves itself, by the server's
//! signatures.

use crate::error::Error;
use crate::lease::storage::disk::flush;
use crate::lease::storage::retry::retry_while_in_use;
use crate::lease::storage::seal::{MARK_LEN, Seal, damaged};
use crate::status::Status;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The first bytes of every such file: what it is, and the version of its form.
const MAGIC: &[u8; 8] = b"fllease1";
const HEADER_LEN: usize = MAGIC.len() + MARK_LEN;
/// Nothing that belongs in there comes near this.
const LONGEST_BYTES: u64 = 1 << 20;

/// A file, and what opens it.
pub struct SealedFile {
    path: PathBuf,
    seal: Seal,
}

impl SealedFile {
    /// The file at `path`, of this product on this device; touches nothing yet.
    ///
    /// # Errors
    /// None in fact.
    pub fn new(path: PathBuf, product: &str, hardware_id: &str) -> Result<SealedFile, Error> {
        Ok(SealedFile { path, seal: Seal::new(product, hardware_id)? })
    }

    /// What was written last; `None` if nothing ever was. Never changes or removes the file, whatever is wrong with it.
    ///
    /// # Errors
    /// [`Status::Storage`], [`Status::StorageDamaged`], [`Status::StorageForeign`].
    pub fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        let mut bytes = Vec::new();
        let opened = retry_while_in_use(|| File::open(&self.path));
        let read = opened.and_then(|file| file.take(LONGEST_BYTES + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => self.open(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&self.path, "read", &error)),
        }
    }

    /// Puts `content` into the place of what was there: when this returns, it outlasts a power cut; if it fails or is
    /// interrupted, the old content stands. Whoever calls it keeps other writers away.
    ///
    /// # Errors
    /// [`Status::Storage`].
    pub fn write(&self, content: &[u8]) -> Result<(), Error> {
        let header = self.seal.header(MAGIC);
        let sealed = self.seal.close(&header, content)?;
        replace(&self.path, &[header, sealed].concat()).map_err(|error| failed(&self.path, "written", &error))
    }

    fn open(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let damaged = || damaged(&self.path);
        let (header, sealed) = bytes.split_at_checked(HEADER_LEN).ok_or_else(damaged)?;
        if bytes.len() as u64 > LONGEST_BYTES {
            return Err(damaged());
        }
        self.seal.check(MAGIC, header, &self.path)?;
        self.seal.open(header, sealed).ok_or_else(damaged)
    }
}

impl fmt::Debug for SealedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SealedFile").field(&self.path).finish()
    }
}

/// The file beside this one whose name is the same and one more ending. The ending that is there stays: files of different
/// kinds have the same stem, and are written at the same time.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Puts a file of these bytes into the place of what was there, down to the disk. The caller keeps other writers of this
/// file away; others in the folder do not matter.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = beside(path, "new");
    let written = write_through(&draft, bytes).and_then(|file| {
        retry_while_in_use(|| fs::rename(&draft, path))?;
        Ok(file)
    });
    if written.is_err() {
        // It is of no use to anybody; the next write replaces it anyway.
        let _ = fs::remove_file(&draft);
    }
    written.and_then(|file| sync_name(&file, path))
}

/// What the system says against reading or writing this file.
pub(crate) fn failed(path: &Path, done: &str, error: &io::Error) -> Error {
    Error::because(Status::Storage, format!("{} can't be {done}: {error}.", path.display()))
}

/// Writes a file that nobody else may read, down to the disk.
fn write_through(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = retry_while_in_use(|| options.open(path))?;
    file.write_all(bytes)?;
    flush(&file)?;
    Ok(file)
}

/// A new name is on disk when its folder is. On Windows it is kept with the file, which is still open.
fn sync_name(file: &File, path: &Path) -> io::Result<()> {
    match path.parent() {
        _ if cfg!(windows) => flush(file),
        Some(folder) if folder.as_os_str().is_empty() => flush(&File::open(".")?),
        Some(folder) => flush(&File::open(folder)?),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &[u8] = br#"{"license_key":"KEY-4f1d","borrowed_until":"2027-01-01T00:00:00.000Z"}"#;

    /// A folder of this test's own, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("floatlease-store-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn file(&self, product: &str, hardware_id: &str) -> SealedFile {
            SealedFile::new(self.0.join("lease"), product, hardware_id).unwrap()
        }

        fn bytes(&self) -> Vec<u8> {
            fs::read(self.0.join("lease")).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn refused(file: &SealedFile) -> Status {
        file.read().unwrap_err().status
    }

    #[test]
    fn what_was_written_last_is_read_and_nothing_of_it_is_seen_on_disk() {
        let folder = Folder::new("last");
        let file = folder.file("XY", "hw-1");
        assert_eq!(file.read().unwrap(), None);
        for content in [CONTENT, b"", b"another", CONTENT] {
            file.write(content).unwrap();
            assert_eq!(file.read().unwrap().as_deref(), Some(content));
            assert_eq!(folder.file("XY", "hw-1").read().unwrap().as_deref(), Some(content), "by the next process");
        }
        let first = folder.bytes();
        assert!(!first.windows(8).any(|window| window == b"KEY-4f1d"));
        file.write(CONTENT).unwrap();
        assert_ne!(folder.bytes(), first, "the same is not seen to be the same");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_file_of_another_device_or_product_is_refused_and_stays() {
        let folder = Folder::new("foreign");
        folder.file("XY", "hw-1").write(CONTENT).unwrap();
        let before = folder.bytes();
        for (product, hardware_id) in [("XY", "hw-2"), ("XZ", "hw-1"), ("XY\0hw", "-1")] {
            assert_eq!(refused(&folder.file(product, hardware_id)), Status::StorageForeign);
        }
        assert_eq!(folder.bytes(), before);
    }

    #[test]
    fn each_flipped_bit_and_each_missing_byte_is_noticed() {
        let folder = Folder::new("damaged");
        let file = folder.file("XY", "hw-1");
        file.write(CONTENT).unwrap();
        let whole = folder.bytes();
        let path = folder.0.join("lease");
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[place] ^= 1 << bit;
                fs::write(&path, &bytes).unwrap();
                let of_mark = (MAGIC.len()..MAGIC.len() + MARK_LEN).contains(&place);
                let expected = if of_mark { Status::StorageForeign } else { Status::StorageDamaged };
                assert_eq!(refused(&file), expected, "byte {place}, bit {bit}");
                assert_eq!(fs::read(&path).unwrap(), bytes, "and left as it is");
            }
            fs::write(&path, &whole[..place]).unwrap();
            assert_eq!(refused(&file), Status::StorageDamaged, "cut at {place}");
        }
        fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert_eq!(refused(&file), Status::StorageDamaged);
        fs::write(&path, vec![b'f'; 3 << 20]).unwrap();
        assert_eq!(refused(&file), Status::StorageDamaged, "too long to be one of ours");
        fs::write(&path, &whole).unwrap();
        assert_eq!(file.read().unwrap().as_deref(), Some(CONTENT));
    }

    #[test]
    fn a_write_that_was_interrupted_leaves_the_old_content() {
        let folder = Folder::new("interrupted");
        let file = folder.file("XY", "hw-1");
        file.write(CONTENT).unwrap();
        fs::write(folder.0.join("lease.new"), b"half of the new").unwrap();
        assert_eq!(file.read().unwrap().as_deref(), Some(CONTENT));
        file.write(b"new").unwrap();
        assert_eq!(file.read().unwrap().as_deref(), Some(&b"new"[..]));
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    }

    #[test]
    fn files_of_one_stem_are_written_at_the_same_time() {
        let folder = Folder::new("stem");
        std::thread::scope(|scope| {
            for ending in ["lease", "consumption"] {
                let path = folder.0.join(format!("stem.{ending}"));
                scope.spawn(move || {
                    let file = SealedFile::new(path, "XY", "hw-1").unwrap();
                    for round in 0..200 {
                        let content = format!("{ending} {round}").into_bytes();
                        file.write(&content).unwrap();
                        assert_eq!(file.read().unwrap(), Some(content));
                    }
                });
            }
        });
    }

    #[test]
    fn a_folder_that_is_none_is_told_by_its_name() {
        let folder = Folder::new("none");
        let nowhere = SealedFile::new(folder.0.join("missing/lease"), "XY", "hw-1").unwrap();
        assert_eq!(nowhere.read().unwrap(), None);
        let error = nowhere.write(CONTENT).unwrap_err();
        assert_eq!(error.status, Status::Storage);
        assert!(error.message().contains("missing"), "{error}");
        fs::create_dir(folder.0.join("lease")).unwrap();
        assert_eq!(refused(&folder.file("XY", "hw-1")), Status::Storage);
        assert_eq!(folder.file("XY", "hw-1").write(CONTENT).unwrap_err().status, Status::Storage);
    }

    /// A virus scanner lets nobody else in, and is gone soon.
    #[cfg(windows)]
    #[test]
    fn somebody_who_looks_at_it_for_a_moment_is_waited_for() {
        use std::os::windows::fs::OpenOptionsExt;
        let folder = Folder::new("looked-at");
        let file = folder.file("XY", "hw-1");
        file.write(b"old").unwrap();
        let look = |share_mode| {
            let looked_at = OpenOptions::new().read(true).share_mode(share_mode).open(folder.0.join("lease")).unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(30));
                drop(looked_at);
            })
        };
        let looking = look(0);
        file.write(CONTENT).unwrap();
        looking.join().unwrap();
        let looking = look(0);
        assert_eq!(file.read().unwrap().as_deref(), Some(CONTENT));
        looking.join().unwrap();
    }

    /// Its folder is longer than the 260 characters that Windows once allowed, and not of its code page.
    #[test]
    fn it_may_lie_deep_and_be_called_as_people_are() {
        let folder = Folder::new("deep-Žofie-健");
        let deep = (0..8).fold(folder.0.clone(), |path, _| path.join("Büro für Lizenzen und Ähnliches"));
        fs::create_dir_all(&deep).unwrap();
        let file = SealedFile::new(deep.join("lease"), "XY", "hw-1").unwrap();
        for content in [CONTENT, b"another"] {
            file.write(content).unwrap();
            assert_eq!(file.read().unwrap().as_deref(), Some(content));
        }
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new("private");
        folder.file("XY", "hw-1").write(CONTENT).unwrap();
        assert_eq!(fs::metadata(folder.0.join("lease")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
