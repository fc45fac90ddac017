//! A file that only grows: lines that are on disk when they have been added, each sealed in its place.
//!
//! A line that a crash has cut short is the last one; it was never told to be kept, and the next one is written in its
//! place. After a power cut the file may be longer than what has arrived in it, so any part of such a line may be zeros
//! or what was in those blocks before. A line that is not as it was written is therefore unfinished if nothing that was
//! written stands behind it; otherwise it is damage, and then none of the file is believed. So a last line that a failing
//! disk has altered is lost as if it had never been finished: nothing tells the two apart.
//! Nothing here is ever removed but by [`AppendLog::replace`].

use crate::error::Error;
use crate::lease::storage::disk::flush;
use crate::lease::storage::retry::retry_while_in_use;
use crate::lease::storage::seal::{MARK_LEN, Magic, SEAL_LEN, Seal, damaged};
use crate::lease::storage::sealed_file::{failed, replace};
use crate::status::Status;
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

const MAGIC: &Magic = b"flledgr1";
/// Tells a file from the one that was there before it.
const ID_LEN: usize = 16;
const HEADER_LEN: usize = MAGIC.len() + MARK_LEN + ID_LEN;
/// The length of what is sealed, and a checksum of it: whoever reads must know where a line ends, however damaged.
const PREFIX_LEN: usize = 8;
/// No line is shorter.
const SHORTEST_LEN: usize = PREFIX_LEN + SEAL_LEN;
/// So many damaged lines in a row are told from an unfinished one: more than a lost block of a disk can hold. A limit,
/// because each possible place of a line is looked at for each of them.
const MOST_DAMAGED: usize = 512;
/// There is no room beyond this, but for what must be noted of the lines that are there.
const LONGEST_BYTES: u64 = 8 << 20;

/// The file, and how far it was read.
pub(crate) struct AppendLog {
    path: PathBuf,
    seal: Seal,
    /// As it was read; empty if there is no file.
    header: Vec<u8>,
    lines: u32,
    end: u64,
}

/// What a ledger holds that its reader has not read yet.
pub(crate) struct Unread {
    /// It was replaced: what was read before is no more.
    pub(crate) was_replaced: bool,
    pub(crate) lines: Vec<Vec<u8>>,
}

impl AppendLog {
    /// The file at `path`, of this product on this device; touches nothing yet.
    pub(crate) fn new(path: PathBuf, product: &str, hardware_id: &str) -> Result<AppendLog, Error> {
        Ok(AppendLog { path, seal: Seal::new(product, hardware_id)?, header: Vec::new(), lines: 0, end: 0 })
    }

    /// What was added since the last time.
    ///
    /// # Errors
    /// [`Status::Storage`], [`Status::StorageDamaged`], [`Status::StorageForeign`].
    pub(crate) fn read(&mut self) -> Result<Unread, Error> {
        let (header, rest) = self.rest()?;
        let was_replaced = header != self.header;
        let (mut count, mut end) = if was_replaced { (0, header.len() as u64) } else { (self.lines, self.end) };
        let (mut rest, mut lines) = (&rest[..], Vec::new());
        while let Some((line, length)) = self.next(&header, count, rest)? {
            lines.push(line);
            rest = &rest[length..];
            (count, end) = (count + 1, end + length as u64);
        }
        (self.header, self.lines, self.end) = (header, count, end);
        Ok(Unread { was_replaced, lines })
    }

    /// Adds a line behind those that were read: when this returns, it outlasts a power cut; if it fails, it is not there.
    /// Whoever calls it keeps other writers away, and has read.
    ///
    /// # Errors
    /// [`Status::Storage`].
    pub(crate) fn append(&mut self, content: &[u8]) -> Result<(), Error> {
        // The first line is never added to a file, so whatever is wrong with it, it is not unfinished: it tells whether the
        // header, with which each line is sealed, is as it was written.
        if self.lines == 0 {
            return self.replace(&[content.to_vec()]);
        }
        let line = self.line(&self.header, self.lines, content)?;
        self.add(&line).map_err(|error| failed(&self.path, "written", &error))?;
        (self.lines, self.end) = (self.lines + 1, self.end + line.len() as u64);
        Ok(())
    }

    /// Whether a line of this length is to be added.
    ///
    /// # Errors
    /// [`Status::QueueFull`].
    pub(crate) fn check_room(&self, length: usize) -> Result<(), Error> {
        if self.end + length as u64 > LONGEST_BYTES {
            return Err(Error::because(Status::QueueFull, format!("{} is as long as it may be.", self.path.display())));
        }
        Ok(())
    }

    /// Puts a file of these lines into the place of what was there, at once or not at all.
    ///
    /// # Errors
    /// [`Status::Storage`].
    pub(crate) fn replace(&mut self, contents: &[Vec<u8>]) -> Result<(), Error> {
        let mut id = [0; ID_LEN];
        let no_numbers = |_| Error::because(Status::Internal, "The system has no random numbers.");
        SystemRandom::new().fill(&mut id).map_err(no_numbers)?;
        let header = [&self.seal.header(MAGIC)[..], &id].concat();
        let mut bytes = header.clone();
        let mut count = 0;
        for content in contents {
            bytes.extend(self.line(&header, count, content)?);
            count += 1;
        }
        replace(&self.path, &bytes).map_err(|error| failed(&self.path, "written", &error))?;
        (self.header, self.lines, self.end) = (header, count, bytes.len() as u64);
        Ok(())
    }

    /// What was read could not be understood: it is all to be read again.
    pub(crate) fn forget(&mut self) {
        self.header.clear();
    }

    /// How many lines were read and added.
    pub(crate) fn lines(&self) -> u32 {
        self.lines
    }

    /// The header of the file that is there, empty if there is none, and what stands behind what was read of it.
    fn rest(&self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let not_read = |error| failed(&self.path, "read", &error);
        let mut file = match retry_while_in_use(|| File::open(&self.path)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Default::default()),
            Err(error) => return Err(not_read(error)),
        };
        let (mut header, mut rest) = (Vec::new(), Vec::new());
        Read::by_ref(&mut file).take(HEADER_LEN as u64).read_to_end(&mut header).map_err(not_read)?;
        if header.len() < HEADER_LEN {
            return Err(damaged(&self.path));
        }
        self.seal.check(MAGIC, &header[..MAGIC.len() + MARK_LEN], &self.path)?;
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

    /// The next line and its length with all; `None` at the end, or at one that was never finished.
    fn next(&self, header: &[u8], number: u32, rest: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Error> {
        match self.intact(header, number, rest) {
            None if self.is_damaged(header, number, rest) => Err(damaged(&self.path)),
            line => Ok(line),
        }
    }

    /// The line of this number at the start of `rest`, and its length with all, if it is as it was written.
    fn intact(&self, header: &[u8], number: u32, rest: &[u8]) -> Option<(Vec<u8>, usize)> {
        let sealed = rest.get(PREFIX_LEN..PREFIX_LEN + length_at(header, number, rest)?)?;
        Some((self.seal.open(&associated_data(header, number), sealed)?, PREFIX_LEN + sealed.len()))
    }

    /// Whether something that was written stands behind a line that is not intact, so that the line was finished once.
    fn is_damaged(&self, header: &[u8], number: u32, rest: &[u8]) -> bool {
        let length = length_at(header, number, rest);
        if number == 0 && length.is_none_or(|length| PREFIX_LEN + length <= rest.len()) {
            return rest.len() >= PREFIX_LEN && rest.iter().any(|byte| *byte != 0);
        }
        if let Some(length) = length {
            // Where the line ends is known. A file may grow by more than what was to be written.
            return rest.iter().skip(PREFIX_LEN + length).any(|byte| *byte != 0);
        }
        let places = 0..(rest.len() + 1).saturating_sub(SHORTEST_LEN);
        places.into_iter().any(|place| {
            let rest = &rest[place..];
            let fits = |length: u32| (SEAL_LEN..=rest.len() - PREFIX_LEN).contains(&(length as usize));
            let fits = told_length(rest).is_some_and(fits);
            let most = if fits { (place / SHORTEST_LEN).min(MOST_DAMAGED) as u32 + 1 } else { 0 };
            (1..=most).any(|later| self.intact(header, number.saturating_add(later), rest).is_some())
        })
    }

    fn line(&self, header: &[u8], number: u32, content: &[u8]) -> Result<Vec<u8>, Error> {
        let too_long = |_| Error::because(Status::BadValue, "The request is too long to be kept.");
        let length = u32::try_from(content.len() + SEAL_LEN).map_err(too_long)?;
        let sealed = self.seal.close(&associated_data(header, number), content)?;
        Ok([&prefix(header, number, length)[..], &sealed].concat())
    }

    fn add(&self, line: &[u8]) -> io::Result<()> {
        let mut file = retry_while_in_use(|| OpenOptions::new().write(true).open(&self.path))?;
        // What a crash has left of a line that was never finished.
        file.set_len(self.end)?;
        file.seek(SeekFrom::Start(self.end))?;
        let added = file.write_all(line).and_then(|()| flush(&file));
        if added.is_err() {
            // It is not there for who was told so.
            let _ = file.set_len(self.end);
        }
        added
    }
}

/// How long the line at the start of `rest` says that it is.
fn told_length(rest: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(rest.get(..PREFIX_LEN)?.first_chunk().copied()?))
}

/// How long the line of this number at the start of `rest` is, if its prefix is as it was written.
fn length_at(header: &[u8], number: u32, rest: &[u8]) -> Option<usize> {
    let length = told_length(rest)?;
    rest.starts_with(&prefix(header, number, length)).then_some(length as usize)
}

/// What precedes the line of this number, which is so long.
fn prefix(header: &[u8], number: u32, length: u32) -> [u8; PREFIX_LEN] {
    let length = length.to_le_bytes();
    let digest = Sha256::digest([header, &number.to_le_bytes(), &length].concat());
    let mut prefix = [0; PREFIX_LEN];
    prefix[..4].copy_from_slice(&length);
    prefix[4..].copy_from_slice(&digest[..4]);
    prefix
}

/// What is sealed with a line: it counts in its place alone.
fn associated_data(header: &[u8], number: u32) -> Vec<u8> {
    [header, &number.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests;
