//! A log file that only grows. Each line is sealed for its place in the file, and is on the disk when it has been
//! added.
//!
//! # Unfinished lines and damage
//! A crash can cut only the last line short. No caller was told that this line is stored, so the reader ignores it, and
//! the next line is written in its place. After a power cut the file may have its new length without the new content,
//! so any part of the last line may be zeros or old content of the disk's blocks.
//!
//! A line that can't be opened is therefore unfinished if nothing was written behind it. Otherwise it is damaged, and
//! the reader refuses the whole file. A last line that a failing disk has changed can't be told from an unfinished one,
//! and is lost.
//!
//! Only [`AppendLog::replace`] removes lines.

use crate::descriptor;
use crate::error::Error;
use crate::lease::storage::disk::flush;
use crate::lease::storage::retry::retry_while_in_use;
use crate::lease::storage::seal::{KEY_ID_LEN, Magic, SEAL_LEN, Seal, damaged};
use crate::lease::storage::sealed_file::{failed, replace};
use crate::random;
use crate::signal::without_file_size_signal;
use crate::status::Status;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

const MAGIC: &Magic = b"flqueue2";
/// Length of the random id of a file, which tells it from the file that it has replaced.
const ID_LEN: usize = 16;
const HEADER_LEN: usize = MAGIC.len() + KEY_ID_LEN + ID_LEN;
/// Length of a line's prefix: the length of its sealed bytes, and a checksum of that length. The checksum lets the
/// reader find the end of a line whose sealed bytes are damaged.
const PREFIX_LEN: usize = 8;
/// Length of a line without content.
const SHORTEST_LEN: usize = PREFIX_LEN + SEAL_LEN;
/// Most damaged lines in a row that the reader tells from an unfinished line: more than fit into a lost block of a
/// disk. The number is limited, because the reader tries each of these line numbers at each place where a line may
/// begin.
const MOST_DAMAGED: usize = 512;
/// Longest file to which [`AppendLog::check_room`] admits a line. Notes about lines that are there are not checked.
const LONGEST_BYTES: u64 = 8 << 20;

/// A log file, and the place up to which this process has read it.
pub(crate) struct AppendLog {
    path: PathBuf,
    seal: Seal,
    /// The header of the file that was read; empty if there was no file.
    header: Vec<u8>,
    /// How many lines were read and added.
    lines: u32,
    /// The place behind the last of these lines.
    end: u64,
}

/// The lines of a log that this process has not read before.
pub(crate) struct Unread {
    /// The file was replaced, so the lines that were read before do not count any more.
    pub(crate) was_replaced: bool,
    pub(crate) lines: Vec<Vec<u8>>,
}

impl AppendLog {
    /// Describes the file at `path`, of this product on this device. Touches no file.
    pub(crate) fn new(path: PathBuf, product: &str, hardware_id: &str) -> Result<AppendLog, Error> {
        Ok(AppendLog { path, seal: Seal::new(product, hardware_id)?, header: Vec::new(), lines: 0, end: 0 })
    }

    /// Reads the lines that were added since the last read.
    ///
    /// # Errors
    /// [`Status::Storage`] if the file can't be read, [`Status::StorageDamaged`] if its content is not what was
    /// written, or was written by another version, and [`Status::StorageForeign`] if it is of another product or
    /// device.
    pub(crate) fn read(&mut self) -> Result<Unread, Error> {
        let (header, rest) = self.read_rest()?;
        let was_replaced = header != self.header;
        let (mut count, mut end) = if was_replaced { (0, header.len() as u64) } else { (self.lines, self.end) };
        let (mut rest, mut lines) = (&rest[..], Vec::new());
        while let Some((line, length)) = self.next_line(&header, count, rest)? {
            lines.push(line);
            rest = &rest[length..];
            (count, end) = (count + 1, end + length as u64);
        }
        (self.header, self.lines, self.end) = (header, count, end);
        Ok(Unread { was_replaced, lines })
    }

    /// Adds a line. When this returns, the line is on the disk and survives a power cut. If this fails, the line is not
    /// in the file. The caller keeps other writers away, and has read the file before.
    ///
    /// # Errors
    /// [`Status::Storage`] if the file can't be written.
    pub(crate) fn append(&mut self, content: &[u8]) -> Result<(), Error> {
        // The first line is written together with the header, so it is never unfinished. A first line that can't be
        // opened therefore shows that the header is damaged, because each line is sealed together with the header.
        if self.lines == 0 {
            return self.replace(&[content.to_vec()]).inspect_err(|_| self.remove_first_line());
        }
        let line = self.seal_line(&self.header, self.lines, content)?;
        self.write_line(&line).map_err(|error| failed(&self.path, "written", &error))?;
        (self.lines, self.end) = (self.lines + 1, self.end + line.len() as u64);
        Ok(())
    }

    /// Checks that there is room for a line of this length.
    ///
    /// # Errors
    /// [`Status::QueueFull`] if the file would become too long.
    pub(crate) fn check_room(&self, length: usize) -> Result<(), Error> {
        if self.end + length as u64 > LONGEST_BYTES {
            let limit = LONGEST_BYTES >> 20;
            let detail = format!("{} would become longer than {limit} MiB.", self.path.display());
            return Err(Error::because(Status::QueueFull, detail));
        }
        Ok(())
    }

    /// Replaces the file by one of these lines, as a whole or not at all.
    ///
    /// # Errors
    /// [`Status::Storage`] if the file can't be written.
    pub(crate) fn replace(&mut self, contents: &[Vec<u8>]) -> Result<(), Error> {
        let mut id = [0; ID_LEN];
        random::fill(&mut id)?;
        let header = [&self.seal.header(MAGIC)[..], &id].concat();
        let mut bytes = header.clone();
        let mut count = 0;
        for content in contents {
            bytes.extend(self.seal_line(&header, count, content)?);
            count += 1;
        }
        replace(&self.path, &bytes).map_err(|error| failed(&self.path, "written", &error))?;
        (self.header, self.lines, self.end) = (header, count, bytes.len() as u64);
        Ok(())
    }

    /// Removes the file after its first line could not be written. The new file may be in place, because only the flush of
    /// its name has failed; but the caller is told that the line is not in the file. A file without lines is not missed.
    fn remove_first_line(&self) {
        // If this fails too, nothing more can be done.
        let _ = fs::remove_file(&self.path);
    }

    /// Makes the next read begin at the first line, because the caller could not understand a line.
    pub(crate) fn forget(&mut self) {
        self.header.clear();
    }

    /// Returns the length of the lines that were read and added, with the header.
    pub(crate) fn length(&self) -> u64 {
        self.end
    }

    /// Reads the header of the file, and the bytes behind the lines that were read before. Both are empty if there is
    /// no file.
    fn read_rest(&self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let not_read = |error| failed(&self.path, "read", &error);
        let mut file = match retry_while_in_use(|| descriptor::open(|| File::open(&self.path))) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Default::default()),
            Err(error) => return Err(not_read(error)),
        };
        let (mut header, mut rest) = (Vec::new(), Vec::new());
        Read::by_ref(&mut file).take(HEADER_LEN as u64).read_to_end(&mut header).map_err(not_read)?;
        if header.len() < HEADER_LEN {
            return Err(damaged(&self.path));
        }
        self.seal.check(MAGIC, &header[..MAGIC.len() + KEY_ID_LEN], &self.path)?;
        let read_before = if header == self.header { self.end } else { 0 };
        if file.metadata().map_err(not_read)?.len() < read_before {
            return Err(damaged(&self.path));
        }
        if read_before > 0 {
            file.seek(SeekFrom::Start(read_before)).map_err(not_read)?;
        }
        file.read_to_end(&mut rest).map_err(not_read)?;
        Ok((header, rest))
    }

    /// Returns the content of the line at the start of `rest`, and the line's whole length; `None` at the end of the
    /// file and at an unfinished line.
    fn next_line(&self, header: &[u8], number: u32, rest: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Error> {
        match self.open_line(header, number, rest) {
            None if self.is_damaged(header, number, rest) => Err(damaged(&self.path)),
            line => Ok(line),
        }
    }

    /// Returns the content and the whole length of the line at the start of `rest`, if the line of this number was
    /// written there and nothing of it was changed.
    fn open_line(&self, header: &[u8], number: u32, rest: &[u8]) -> Option<(Vec<u8>, usize)> {
        let sealed = rest.get(PREFIX_LEN..PREFIX_LEN + length_at(header, number, rest)?)?;
        Some((self.seal.open(&associated_data(header, number), sealed)?, PREFIX_LEN + sealed.len()))
    }

    /// Returns whether the line at the start of `rest`, which can't be opened, is damaged and not unfinished: another
    /// line was written behind it.
    fn is_damaged(&self, header: &[u8], number: u32, rest: &[u8]) -> bool {
        let length = length_at(header, number, rest);
        if number == 0 && length.is_none_or(|length| PREFIX_LEN + length <= rest.len()) {
            return rest.len() >= PREFIX_LEN && rest.iter().any(|byte| *byte != 0);
        }
        if let Some(length) = length {
            // The prefix is intact, so the line's end is known. Zeros behind it were not written: after a power cut a
            // file may be longer than what was written to it.
            return rest.iter().skip(PREFIX_LEN + length).any(|byte| *byte != 0);
        }
        let places = 0..(rest.len() + 1).saturating_sub(SHORTEST_LEN);
        places.into_iter().any(|place| {
            let rest = &rest[place..];
            let fits = |length: u32| (SEAL_LEN..=rest.len() - PREFIX_LEN).contains(&(length as usize));
            let fits = stated_length(rest).is_some_and(fits);
            let most = if fits { (place / SHORTEST_LEN).min(MOST_DAMAGED) as u32 + 1 } else { 0 };
            (1..=most).any(|later| self.open_line(header, number.saturating_add(later), rest).is_some())
        })
    }

    /// Returns the line of this number as it is written to the file.
    fn seal_line(&self, header: &[u8], number: u32, content: &[u8]) -> Result<Vec<u8>, Error> {
        let too_long =
            |_| Error::because(Status::BadValue, "The request is too long to be stored; send a shorter one.");
        let length = u32::try_from(content.len() + SEAL_LEN).map_err(too_long)?;
        let sealed = self.seal.seal(&associated_data(header, number), content)?;
        Ok([&prefix(header, number, length)[..], &sealed].concat())
    }

    /// Writes a line behind those that were read, and flushes it to the disk.
    fn write_line(&self, line: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true);
        let mut file = retry_while_in_use(|| descriptor::open(|| options.open(&self.path)))?;
        // Removes an unfinished line that a crash has left.
        file.set_len(self.end)?;
        file.seek(SeekFrom::Start(self.end))?;
        let written = without_file_size_signal(|| file.write_all(line)).and_then(|()| flush(&file));
        if written.is_err() {
            // The caller hears that the line is not in the file, so no process may read it later.
            let _ = file.set_len(self.end);
        }
        written
    }
}

/// Returns the length of the sealed bytes that the line at the start of `rest` states. The prefix may be damaged.
fn stated_length(rest: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(rest.get(..PREFIX_LEN)?.first_chunk().copied()?))
}

/// Returns the length of the sealed bytes of the line at the start of `rest`, if the prefix of the line of this number
/// is intact.
fn length_at(header: &[u8], number: u32, rest: &[u8]) -> Option<usize> {
    let length = stated_length(rest)?;
    rest.starts_with(&prefix(header, number, length)).then_some(length as usize)
}

/// Returns the prefix of the line of this number, whose sealed bytes have this length.
fn prefix(header: &[u8], number: u32, length: u32) -> [u8; PREFIX_LEN] {
    let length = length.to_le_bytes();
    let digest = Sha256::digest([header, &number.to_le_bytes(), &length].concat());
    let mut prefix = [0; PREFIX_LEN];
    prefix[..4].copy_from_slice(&length);
    prefix[4..].copy_from_slice(&digest[..4]);
    prefix
}

/// Returns the data that is authenticated with a line, so that the line is accepted only in its own file and place.
fn associated_data(header: &[u8], number: u32) -> Vec<u8> {
    [header, &number.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests;
