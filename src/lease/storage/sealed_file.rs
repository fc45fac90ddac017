//! A file that is replaced as a whole and outlives this process, sealed for one product on one device.
//!
//! The seal hides the content from a casual reader, and finds damage and files of another device. It does not stop an
//! attacker, who can find out the hardware id. The content proves itself by the server's signatures.

use crate::descriptor;
use crate::error::Error;
use crate::lease::storage::disk::{flush, flush_folder, make_file_accessible};
use crate::lease::storage::retry::retry_while_in_use;
use crate::lease::storage::seal::{KEY_ID_LEN, Magic, Seal, damaged};
use crate::signal::without_file_size_signal;
use crate::status::Status;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const MAGIC: &Magic = b"fllease2";
const HEADER_LEN: usize = MAGIC.len() + KEY_ID_LEN;
/// Longest file that is read. Everything that this library stores is much shorter.
const LONGEST_BYTES: u64 = 1 << 20;

/// A file, and the key that opens it.
pub struct SealedFile {
    path: PathBuf,
    seal: Seal,
}

impl SealedFile {
    /// Describes the file at `path`, of this product on this device. Touches no file.
    ///
    /// # Errors
    /// [`Status::Internal`] if the key can't be derived, which does not happen.
    pub fn new(path: PathBuf, product: &str, hardware_id: &str) -> Result<SealedFile, Error> {
        Ok(SealedFile { path, seal: Seal::new(product, hardware_id)? })
    }

    /// Returns the content that was written last; `None` if there is no file. Never changes or removes the file,
    /// because a damaged file may be evidence.
    ///
    /// # Errors
    /// [`Status::Storage`] if the file can't be read, [`Status::StorageDamaged`] if its content is not what was
    /// written, or was written by another version, and [`Status::StorageForeign`] if it is of another product or
    /// device.
    pub fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        let mut bytes = Vec::new();
        let opened = retry_while_in_use(|| descriptor::open(|| File::open(&self.path)));
        let read = opened.and_then(|file| file.take(LONGEST_BYTES + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => self.open(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&self.path, "read", &error)),
        }
    }

    /// Replaces the content. When this returns, the new content is on the disk and survives a power cut. If this fails
    /// or is interrupted, the old content stays. The caller holds a lock that keeps other writers away.
    ///
    /// # Errors
    /// [`Status::Storage`] if the file can't be written.
    pub fn write(&self, content: &[u8]) -> Result<(), Error> {
        let header = self.seal.header(MAGIC);
        let sealed = self.seal.seal(&header, content)?;
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

/// Returns the path with one more ending. The ending that is there stays, because files of different kinds have the
/// same stem and are written at the same time.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Replaces the file by one of these bytes, and flushes it to the disk. The caller keeps other writers of this file
/// away; writers of other files in the folder do not matter.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = beside(path, "new");
    let written = write_through(&draft, bytes).and_then(|file| {
        retry_while_in_use(|| fs::rename(&draft, path))?;
        Ok(file)
    });
    if written.is_err() {
        // If this fails too, the next write replaces the draft.
        let _ = fs::remove_file(&draft);
    }
    written.and_then(|file| flush_name(&file, path))
}

/// The error for a file that can't be "read" or "written", as `action` says, with the system's reason.
pub(crate) fn failed(path: &Path, action: &str, error: &io::Error) -> Error {
    let advice = match error.kind() {
        io::ErrorKind::FileTooLarge => " Raise the limit of the size of files (ulimit -f).",
        _ => "",
    };
    Error::of_system(Status::Storage, format!("{} can't be {action}: {error}.{advice}", path.display()), error)
}

/// Returns whether a file could not be reached, so that nothing is known of its content.
pub(crate) fn is_inaccessible(error: &Error) -> bool {
    matches!(error.status, Status::Storage | Status::OutOfResources)
}

/// Writes a file that other users may not read, and flushes it to the disk.
fn write_through(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = retry_while_in_use(|| descriptor::open(|| options.open(path)))?;
    make_file_accessible(&file);
    without_file_size_signal(|| file.write_all(bytes))?;
    flush(&file)?;
    Ok(file)
}

/// Flushes the new name of a file to the disk: on Windows with the file itself, elsewhere with its folder.
fn flush_name(file: &File, path: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return flush(file);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    flush_folder(folder.unwrap_or(Path::new("."))).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &[u8] = br#"{"license_key":"KEY-4f1d","borrowed_until":"2027-01-01T00:00:00.000Z"}"#;

    /// A temporary folder for one test, removed when dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("floatlease-sealed-file-{name}-{}", std::process::id()));
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

    fn read_status(file: &SealedFile) -> Status {
        file.read().unwrap_err().status
    }

    #[test]
    fn read_returns_last_content_which_is_encrypted_on_disk() {
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
        assert_ne!(folder.bytes(), first, "the same content is sealed with another nonce");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn file_of_other_device_or_product_is_refused_and_stays() {
        let folder = Folder::new("foreign");
        folder.file("XY", "hw-1").write(CONTENT).unwrap();
        let before = folder.bytes();
        for (product, hardware_id) in [("XY", "hw-2"), ("XZ", "hw-1"), ("XY\0hw", "-1")] {
            assert_eq!(read_status(&folder.file(product, hardware_id)), Status::StorageForeign);
        }
        assert_eq!(folder.bytes(), before);
    }

    #[test]
    fn flipped_bit_or_missing_byte_is_noticed() {
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
                let is_in_key_id = (MAGIC.len()..HEADER_LEN).contains(&place);
                let expected = if is_in_key_id { Status::StorageForeign } else { Status::StorageDamaged };
                assert_eq!(read_status(&file), expected, "byte {place}, bit {bit}");
                assert_eq!(fs::read(&path).unwrap(), bytes, "the file stays as it is");
            }
            fs::write(&path, &whole[..place]).unwrap();
            assert_eq!(read_status(&file), Status::StorageDamaged, "cut at {place}");
        }
        fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert_eq!(read_status(&file), Status::StorageDamaged);
        fs::write(&path, vec![b'f'; 3 << 20]).unwrap();
        assert_eq!(read_status(&file), Status::StorageDamaged, "too long");
        fs::write(&path, &whole).unwrap();
        assert_eq!(file.read().unwrap().as_deref(), Some(CONTENT));
    }

    #[test]
    fn interrupted_write_leaves_old_content() {
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
    fn files_of_one_stem_can_be_written_at_the_same_time() {
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
    fn missing_folder_is_named_in_error() {
        let folder = Folder::new("none");
        let nowhere = SealedFile::new(folder.0.join("missing/lease"), "XY", "hw-1").unwrap();
        assert_eq!(nowhere.read().unwrap(), None);
        let error = nowhere.write(CONTENT).unwrap_err();
        assert_eq!(error.status, Status::Storage);
        assert!(error.message().contains("missing"), "{error}");
        fs::create_dir(folder.0.join("lease")).unwrap();
        assert_eq!(read_status(&folder.file("XY", "hw-1")), Status::Storage);
        assert_eq!(folder.file("XY", "hw-1").write(CONTENT).unwrap_err().status, Status::Storage);
    }

    /// A virus scanner may open a new file for a moment, and lets no other program open it meanwhile.
    #[cfg(windows)]
    #[test]
    fn file_open_in_other_program_for_a_moment_is_retried() {
        use std::os::windows::fs::OpenOptionsExt;
        let folder = Folder::new("scanned");
        let file = folder.file("XY", "hw-1");
        file.write(b"old").unwrap();
        let scan = |share_mode| {
            let scanned = OpenOptions::new().read(true).share_mode(share_mode).open(folder.0.join("lease")).unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(30));
                drop(scanned);
            })
        };
        let scanner = scan(0);
        file.write(CONTENT).unwrap();
        scanner.join().unwrap();
        let scanner = scan(0);
        assert_eq!(file.read().unwrap().as_deref(), Some(CONTENT));
        scanner.join().unwrap();
    }

    /// The folder's path is longer than the 260 characters that Windows once allowed, and has characters that are in no
    /// code page together.
    #[test]
    fn path_may_be_long_and_of_any_characters() {
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
    fn other_users_may_not_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new("private");
        folder.file("XY", "hw-1").write(CONTENT).unwrap();
        assert_eq!(fs::metadata(folder.0.join("lease")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
