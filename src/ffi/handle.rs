//! Handles of the C ABI. A handle is a token that names a table entry, its generation, its kind and the process. It is
//! never an address.
//!
//! Each call looks its token up, so a wrong one is an error and no undefined behaviour: a token that was closed, a
//! handle of another kind, an arbitrary pointer, a handle that was inherited through `fork`, or a handle of another copy
//! of this library in the same process, as two plug-ins may each bring one.
//!
//! Each entry also has a [`StateCell`], which is found and read without waiting and never moves. The object of the
//! entry has the cell's writer. An entry is used again only after that writer was dropped.

use super::chunks::Chunks;
use crate::error::Error;
use crate::lease::state_cell::{StateCell, StateWriter};
use crate::process;
use crate::status::Status;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The kind of a handle. Zero is no kind, because addresses of real objects have zeros in these bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A `floatlease_client`.
    Client = 1,
    /// A `floatlease_lease`.
    Lease = 2,
    /// A `floatlease_sandbox`, which another library makes.
    Sandbox = 3,
}

/// The number of bits of each part of a token, lowest part first: entry, generation, fork epoch, kind.
const BITS: [u32; 4] = if usize::BITS >= 64 { [24, 24, 8, 8] } else { [12, 12, 4, 4] };

impl Kind {
    /// Returns the error for a handle of this kind that was closed before.
    fn closed(self) -> Error {
        match self {
            Kind::Client => Error::of_closed_client(),
            Kind::Lease => Error::because(Status::Handle, "The lease was freed, perhaps by another thread meanwhile."),
            Kind::Sandbox => {
                Error::because(Status::Handle, "The sandbox was stopped, perhaps by another thread meanwhile.")
            }
        }
    }
}

const fn largest(bits: u32) -> usize {
    (1 << bits) - 1
}

/// The parts of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    entry: usize,
    generation: u32,
    epoch: usize,
    kind: usize,
}

impl Token {
    fn pack(self) -> usize {
        let [entry, generation, epoch, _] = BITS;
        self.entry
            | (self.generation as usize) << entry
            | self.epoch << (entry + generation)
            | self.kind << (entry + generation + epoch)
    }

    fn unpack(raw: usize) -> Token {
        let [entry, generation, epoch, kind] = BITS;
        let part = |from: u32, bits: u32| raw >> from & largest(bits);
        Token {
            entry: part(0, entry),
            generation: part(entry, generation) as u32,
            epoch: part(entry + generation, epoch),
            kind: part(entry + generation + epoch, kind),
        }
    }
}

/// The open handles of one kind. Each kind is a static of the library that makes such handles.
#[derive(Debug)]
pub struct Handles<T: 'static> {
    kind: Kind,
    table: AtomicPtr<Table<T>>,
}

/// The handles of one process. A forked child makes a new table and never locks its parent's, because the lock may have
/// been held by a thread that the child does not have.
#[derive(Debug)]
struct Table<T: 'static> {
    /// The cookie of the process that made the table.
    process: usize,
    /// The bits below the kind in which this table's tokens differ from their parts. Another copy of this library has a
    /// table elsewhere, and so other bits: it takes a token of this table for its own with a chance of one in 2^56 for
    /// each open handle, or 2^28 where addresses have 32 bits.
    mask: usize,
    epoch: usize,
    /// The state cells, by entry.
    cells: Chunks<StateCell>,
    entries: Mutex<Entries<T>>,
    /// The parent process's table, which tells the parent's handles from invented ones. The reference also keeps leak
    /// checkers from reporting that table.
    inherited: Option<&'static Table<T>>,
}

#[derive(Debug)]
struct Entries<T> {
    all: Vec<Entry<T>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    object: Option<Arc<T>>,
}

impl<T: Send + Sync + 'static> Handles<T> {
    /// Makes an empty set of handles.
    pub const fn new(kind: Kind) -> Handles<T> {
        Handles { kind, table: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Stores an object, and returns its new token.
    pub fn insert(&self, object: T) -> Result<usize, Error> {
        self.insert_with_writer(|_| object)
    }

    /// Stores the object that `make` returns, and returns its new token. The states that the object publishes by the
    /// writer are read by [`Handles::state_cell`].
    pub fn insert_with_writer(&self, make: impl FnOnce(StateWriter) -> T) -> Result<usize, Error> {
        let table = self.own();
        let (entry, writer) = table.reserve()?;
        // No lock is held while `make` runs, which may be any code. If it panics, the entry is never used again.
        let object = Arc::new(make(writer));
        let mut entries = table.entries();
        entries.all[entry].object = Some(object);
        let generation = entries.all[entry].generation;
        Ok(table.pack(Token { entry, generation, epoch: table.epoch, kind: self.kind as usize }))
    }

    /// Returns the object of a token.
    pub fn get(&self, raw: usize) -> Result<Arc<T>, Error> {
        let (table, token) = self.of(raw).ok_or_else(|| self.not_found(raw))?;
        let mut entries = table.entries();
        entries.of(token, self.kind)?.object.clone().ok_or_else(|| Error::new(Status::Handle))
    }

    /// Returns the state cell of a token, and the generation to read it with. For a token that was removed the cell
    /// returns no state.
    ///
    /// This is wait-free: it takes no lock, allocates nothing, and makes no system call where the system wipes a page
    /// at a fork (see `process.rs`).
    pub fn state_cell(&self, raw: usize) -> Option<(&'static StateCell, u32)> {
        let (table, token) = self.of(raw)?;
        Some((table.cells.get(token.entry)?, token.generation))
    }

    /// Removes a token, clears its state cell and returns its object. Calls that still use the object keep it alive.
    pub fn remove(&self, raw: usize) -> Result<Arc<T>, Error> {
        let (table, token) = self.of(raw).ok_or_else(|| self.not_found(raw))?;
        let mut entries = table.entries();
        let entry = entries.of(token, self.kind)?;
        let object = entry.object.take().ok_or_else(|| Error::new(Status::Handle))?;
        entry.generation += 1;
        // An entry whose generations are used up is never used again, so no token is made twice.
        if entry.generation as usize <= largest(BITS[1]) {
            entries.free.push(token.entry);
        }
        // Under the lock, so that the cell is cleared before it has a new writer.
        if let Some(state_cell) = table.cells.get(token.entry) {
            state_cell.clear();
        }
        Ok(object)
    }

    /// Returns the latest table, whichever process has made it.
    fn current(&self) -> Option<&'static Table<T>> {
        // SAFETY: the pointer is null, or comes from `Box::into_raw` and is never freed.
        unsafe { self.table.load(Ordering::Acquire).as_ref() }
    }

    /// Returns this process's table, and makes it if there is none.
    fn own(&self) -> &'static Table<T> {
        let process = process::cookie();
        loop {
            let current = self.current();
            if let Some(table) = current.filter(|table| table.process == process) {
                return table;
            }
            let epoch = current.map_or(0, |table| (table.epoch + 1) & largest(BITS[2]));
            let entries = Mutex::new(Entries { all: Vec::new(), free: Vec::new() });
            let table = Table { process, mask: 0, epoch, cells: Chunks::new(), entries, inherited: current };
            let mut fresh = Box::new(table);
            fresh.mask = mask_at(ptr::from_ref(&*fresh).addr());
            let fresh = Box::into_raw(fresh);
            let expected = current.map_or(ptr::null_mut(), |table| ptr::from_ref(table).cast_mut());
            if self.table.compare_exchange(expected, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: `fresh` was made above and was not published.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }

    /// Returns the table and the token of `raw`, if `raw` can be a token of this process and kind. Inlined for the sake
    /// of [`Handles::state_cell`], where a call would take longer than the work.
    #[inline(always)]
    fn of(&self, raw: usize) -> Option<(&'static Table<T>, Token)> {
        let table = self.current()?;
        let token = table.unpack(raw);
        let is_own = table.process == process::cookie() && token.epoch == table.epoch;
        (is_own && token.kind == self.kind as usize).then_some((table, token))
    }

    /// Returns the error for a token of no table of this process: it is a handle of an ancestor process, or no handle.
    #[cold]
    fn not_found(&self, raw: usize) -> Error {
        let is_of = |table: &Table<T>| {
            let token = table.unpack(raw);
            table.epoch == token.epoch && token.kind == self.kind as usize && table.has_open(token)
        };
        let inherited = std::iter::successors(self.current(), |table| table.inherited)
            .filter(|table| table.process != process::cookie())
            .any(is_of);
        Error::new(if inherited { Status::Forked } else { Status::Handle })
    }
}

/// Returns the mask of a table at this address. Tables that exist at the same time have different addresses.
fn mask_at(address: usize) -> usize {
    let [entry, generation, epoch, _] = BITS;
    // SplitMix64 gives each address another number, in which each bit depends on all of the address.
    let mut mixed = address as u64;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ mixed >> 31) as usize & largest(entry + generation + epoch)
}

impl<T> Table<T> {
    fn pack(&self, token: Token) -> usize {
        token.pack() ^ self.mask
    }

    #[inline(always)]
    fn unpack(&self, raw: usize) -> Token {
        Token::unpack(raw ^ self.mask)
    }

    /// Returns whether this token was open in this table at the fork. Only the state cell is read, because the lock of a
    /// parent's table may be held by a thread that is not in this process.
    fn has_open(&self, token: Token) -> bool {
        self.cells.get(token.entry).is_some_and(|state_cell| state_cell.is_of(token.generation))
    }

    fn entries(&self) -> MutexGuard<'_, Entries<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves a free entry. Returns it with the writer of its state cell.
    fn reserve(&'static self) -> Result<(usize, StateWriter), Error> {
        let mut entries = self.entries();
        let with_writer = |entry: usize, generation| Some((entry, self.cells.get_or_make(entry)?.writer(generation)?));
        // The last object of a free entry may still have the writer.
        let again = (0..entries.free.len()).find_map(|place| {
            let entry = entries.free[place];
            Some((place, with_writer(entry, entries.all[entry].generation)?))
        });
        if let Some((place, reserved)) = again {
            entries.free.swap_remove(place);
            return Ok(reserved);
        }
        let entry = entries.all.len();
        let fresh = if entry <= largest(BITS[0]) { with_writer(entry, 0) } else { None };
        let too_many = || Error::because(Status::OutOfResources, "Too many handles are open: close those not in use.");
        let reserved = fresh.ok_or_else(too_many)?;
        entries.all.push(Entry { generation: 0, object: None });
        Ok(reserved)
    }
}

impl<T> Entries<T> {
    fn of(&mut self, token: Token, kind: Kind) -> Result<&mut Entry<T>, Error> {
        match self.all.get_mut(token.entry) {
            Some(entry) if entry.generation == token.generation => Ok(entry),
            // Each earlier generation was a handle, and was removed.
            Some(entry) if entry.generation > token.generation => Err(kind.closed()),
            _ => Err(Error::new(Status::Handle)),
        }
    }
}

#[cfg(test)]
mod tests;
