//! Handles: tokens that name a table slot, its generation, its kind and the process. They are never addresses.
//!
//! A lookup detects a wrong token. So a double close, a use after close, a handle of another kind, a garbage pointer
//! and a handle inherited through `fork` each give a status instead of a crash.
//!
//! Each token also has a [`StateCell`], which a reader finds and reads without waiting. A state cell never moves. The
//! value behind the token writes to it; the table reuses the slot only after that value has dropped its access.

use super::chunks::Chunks;
use crate::error::Error;
use crate::lease::state_cell::{StateCell, StateWriter};
use crate::process;
use crate::status::Status;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The type of a handle. Zero is not used, because addresses of real objects have zeros in these bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A `floatlease_client`.
    Client = 1,
    /// A `floatlease_lease`.
    Lease = 2,
    /// A `floatlease_sandbox`. The sandbox's library gives it out.
    Sandbox = 3,
}

/// Number of bits for each part of a token, lowest first: slot, generation, fork epoch, kind.
const BITS: [u32; 4] = if usize::BITS >= 64 { [24, 24, 8, 8] } else { [12, 12, 4, 4] };

const fn largest(bits: u32) -> usize {
    (1 << bits) - 1
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    slot: usize,
    generation: u32,
    epoch: usize,
    kind: usize,
}

impl Token {
    fn pack(self) -> usize {
        let [slot, generation, epoch, _] = BITS;
        self.slot
            | (self.generation as usize) << slot
            | self.epoch << (slot + generation)
            | self.kind << (slot + generation + epoch)
    }

    fn unpack(raw: usize) -> Token {
        let [slot, generation, epoch, kind] = BITS;
        let part = |from: u32, bits: u32| raw >> from & largest(bits);
        Token {
            slot: part(0, slot),
            generation: part(slot, generation) as u32,
            epoch: part(slot + generation, epoch),
            kind: part(slot + generation + epoch, kind),
        }
    }
}

/// The open handles of one kind, as a static of the library that gives them out.
#[derive(Debug)]
pub struct Handles<T: 'static> {
    kind: Kind,
    table: AtomicPtr<Table<T>>,
}

/// The handles of one process.
///
/// A forked child gets a table of its own and never locks its parent's table. A thread that the child does not have
/// may have held that lock during the fork.
#[derive(Debug)]
struct Table<T: 'static> {
    /// The cookie of the process that made this table; see `process.rs`.
    process: usize,
    epoch: usize,
    /// The state cell of each slot.
    cells: Chunks<StateCell>,
    slots: Mutex<Slots<T>>,
    /// The parent process's table. It tells the parent's handles from invented ones, and keeps leak checkers quiet.
    inherited: Option<&'static Table<T>>,
}

#[derive(Debug)]
struct Slots<T> {
    all: Vec<Slot<T>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    held: Option<Arc<T>>,
}

impl<T: Send + Sync + 'static> Handles<T> {
    /// Makes an empty table.
    pub const fn new(kind: Kind) -> Handles<T> {
        Handles { kind, table: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Stores a value and returns its new token.
    pub fn insert(&self, value: T) -> Result<usize, Error> {
        self.insert_shown(|_| value)
    }

    /// Stores the value that `make` builds from write access to its state cell. [`Handles::state_cell`] reads what it
    /// writes there.
    pub fn insert_shown(&self, make: impl FnOnce(StateWriter) -> T) -> Result<usize, Error> {
        let table = self.own();
        let (slot, writer) = table.reserve()?;
        // No lock is held while `make` runs. If it panics, the slot stays unused for good.
        let value = Arc::new(make(writer));
        let mut slots = table.slots();
        slots.all[slot].held = Some(value);
        let generation = slots.all[slot].generation;
        Ok(Token { slot, generation, epoch: table.epoch, kind: self.kind as usize }.pack())
    }

    /// Returns the value behind a token.
    pub fn get(&self, raw: usize) -> Result<Arc<T>, Error> {
        let (table, token) = self.of(raw).ok_or_else(|| self.not_found(raw))?;
        let mut slots = table.slots();
        slots.of(token)?.held.clone().ok_or_else(|| Error::new(Status::Handle))
    }

    /// Returns the state cell behind a token, and the generation to ask it for. The cell itself knows whether the
    /// token was freed or is invalid.
    ///
    /// Wait-free: no lock, no allocation, and no system call on systems that wipe a page at a fork (see `process.rs`).
    pub fn state_cell(&self, raw: usize) -> Option<(&'static StateCell, u32)> {
        let (table, token) = self.of(raw)?;
        Some((table.cells.get(token.slot)?, token.generation))
    }

    /// Removes a token and clears its state cell. Calls that still use the value keep it alive.
    pub fn remove(&self, raw: usize) -> Result<Arc<T>, Error> {
        let (table, token) = self.of(raw).ok_or_else(|| self.not_found(raw))?;
        let mut slots = table.slots();
        let slot = slots.of(token)?;
        let value = slot.held.take().ok_or_else(|| Error::new(Status::Handle))?;
        slot.generation += 1;
        // A slot that has used up its generations is retired, so no token is ever given out twice.
        if slot.generation as usize <= largest(BITS[1]) {
            slots.free.push(token.slot);
        }
        // This happens under the lock, before another value can get the state cell.
        if let Some(state_cell) = table.cells.get(token.slot) {
            state_cell.clear();
        }
        Ok(value)
    }

    /// Returns the latest table, of this process or of an ancestor.
    fn current(&self) -> Option<&'static Table<T>> {
        // SAFETY: what is stored in `table` comes from `Box::into_raw` and is never freed.
        unsafe { self.table.load(Ordering::Acquire).as_ref() }
    }

    /// Returns this process's table, and makes it if it is missing.
    fn own(&self) -> &'static Table<T> {
        let process = process::cookie();
        loop {
            let current = self.current();
            if let Some(table) = current.filter(|table| table.process == process) {
                return table;
            }
            let epoch = current.map_or(0, |table| (table.epoch + 1) & largest(BITS[2]));
            let slots = Mutex::new(Slots { all: Vec::new(), free: Vec::new() });
            let table = Table { process, epoch, cells: Chunks::new(), slots, inherited: current };
            let fresh = Box::into_raw(Box::new(table));
            let expected = current.map_or(ptr::null_mut(), |table| ptr::from_ref(table).cast_mut());
            if self.table.compare_exchange(expected, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: `fresh` was made above, and another thread published its table instead.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }

    /// Returns the table and the token of `raw`, or `None` if `raw` can't belong to this process. Inlined for
    /// [`Handles::state_cell`], where a function call would cost more than the lookup.
    #[inline(always)]
    fn of(&self, raw: usize) -> Option<(&'static Table<T>, Token)> {
        let token = Token::unpack(raw);
        let table = self.current()?;
        let is_own = table.process == process::cookie() && token.epoch == table.epoch;
        (is_own && token.kind == self.kind as usize).then_some((table, token))
    }

    /// Returns the error for a token that this process did not give out: an ancestor's handle, or an invalid one.
    #[cold]
    fn not_found(&self, raw: usize) -> Error {
        let token = Token::unpack(raw);
        let inherited = std::iter::successors(self.current(), |table| table.inherited)
            .filter(|table| table.process != process::cookie())
            .any(|table| table.epoch == token.epoch && table.has_given_out(token));
        Error::new(if inherited && token.kind == self.kind as usize { Status::Forked } else { Status::Handle })
    }
}

impl<T> Table<T> {
    /// Returns true if this table gave out the token and did not remove it before the fork. It reads the state cell
    /// alone, because a thread that is not in this process may hold the lock of a parent's table.
    fn has_given_out(&self, token: Token) -> bool {
        self.cells.get(token.slot).is_some_and(|state_cell| state_cell.is_of(token.generation))
    }

    fn slots(&self) -> MutexGuard<'_, Slots<T>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves a free slot, and returns write access to its state cell.
    fn reserve(&'static self) -> Result<(usize, StateWriter), Error> {
        let mut slots = self.slots();
        let lend = |slot: usize, generation| Some((slot, self.cells.reach(slot)?.writer(generation)?));
        // The last value of a slot that was just freed may still have access to its state cell.
        let again = (0..slots.free.len()).find_map(|place| {
            let slot = slots.free[place];
            Some((place, lend(slot, slots.all[slot].generation)?))
        });
        if let Some((place, reserved)) = again {
            slots.free.swap_remove(place);
            return Ok(reserved);
        }
        let slot = slots.all.len();
        let fresh = if slot <= largest(BITS[0]) { lend(slot, 0) } else { None };
        let reserved = fresh.ok_or_else(|| Error::because(Status::Internal, "Too many handles are open."))?;
        slots.all.push(Slot { generation: 0, held: None });
        Ok(reserved)
    }
}

impl<T> Slots<T> {
    fn of(&mut self, token: Token) -> Result<&mut Slot<T>, Error> {
        let slot = self.all.get_mut(token.slot).filter(|slot| slot.generation == token.generation);
        slot.ok_or_else(|| Error::new(Status::Handle))
    }
}

#[cfg(test)]
mod tests;
