//! Handles: tokens that name a slot, its generation, its kind and the process, never addresses.
//!
//! A wrong token is found out by looking it up, so a double close, a use after close, another kind of handle, a
//! garbage pointer and a handle inherited through `fork` are all statuses.
//!
//! Under each token there is also a [`StateCell`], which is found and read without waiting. It never moves, and is lent to
//! the thing under the token until the thing lets go of it; a slot is not given out again before.

use super::chunks::Chunks;
use crate::error::Error;
use crate::lease::state_cell::{StateCell, StateWriter};
use crate::process;
use crate::status::Status;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a handle is. Zero is left out: addresses of real objects have zeros in these bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A `floatlease_client`.
    Client = 1,
    /// A `floatlease_lease`.
    Lease = 2,
    /// A `floatlease_sandbox`, which another library gives out.
    Sandbox = 3,
}

/// How many bits of a token say what, lowest first: slot, generation, fork epoch, kind.
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

/// The open handles of one kind: a static of the library that gives them out.
#[derive(Debug)]
pub struct Handles<T: 'static> {
    kind: Kind,
    table: AtomicPtr<Table<T>>,
}

/// The handles of one process. A forked child gets a table of its own and never touches its parent's, whose lock
/// may have been held by a thread that the child does not have.
#[derive(Debug)]
struct Table<T: 'static> {
    /// The cookie of the process that made it.
    process: usize,
    epoch: usize,
    /// By slot.
    cells: Chunks<StateCell>,
    slots: Mutex<Slots<T>>,
    /// The parent's: tells its handles from invented ones, and is no leak for leak checkers.
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
    /// None are open.
    pub const fn new(kind: Kind) -> Handles<T> {
        Handles { kind, table: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Keeps a thing under a new token.
    pub fn insert(&self, thing: T) -> Result<usize, Error> {
        self.insert_shown(|_| thing)
    }

    /// Keeps the thing that is made of the display of its face: what it shows there, [`Handles::state_cell`] finds.
    pub fn insert_shown(&self, make: impl FnOnce(StateWriter) -> T) -> Result<usize, Error> {
        let table = self.own();
        let (slot, writer) = table.reserve()?;
        // No lock is held while foreign code runs. If it panics, the slot is out of use for good.
        let thing = Arc::new(make(writer));
        let mut slots = table.slots();
        slots.all[slot].held = Some(thing);
        let generation = slots.all[slot].generation;
        Ok(Token { slot, generation, epoch: table.epoch, kind: self.kind as usize }.pack())
    }

    /// The thing under a token.
    pub fn get(&self, raw: usize) -> Result<Arc<T>, Error> {
        let (table, token) = self.of(raw).ok_or_else(|| self.not_found(raw))?;
        let mut slots = table.slots();
        slots.of(token)?.held.clone().ok_or_else(|| Error::new(Status::Handle))
    }

    /// The face under a token, and the generation to ask it for. It answers by itself that the token was freed or is
    /// none. Wait-free: no lock, no allocation, and no system call where the system wipes a page at a
    /// fork (see `process.rs`).
    pub fn state_cell(&self, raw: usize) -> Option<(&'static StateCell, u32)> {
        let (table, token) = self.of(raw)?;
        Some((table.cells.get(token.slot)?, token.generation))
    }

    /// Ends a token, and clears its face. What was under it lives on in the calls that still use it.
    pub fn remove(&self, raw: usize) -> Result<Arc<T>, Error> {
        let (table, token) = self.of(raw).ok_or_else(|| self.not_found(raw))?;
        let mut slots = table.slots();
        let slot = slots.of(token)?;
        let thing = slot.held.take().ok_or_else(|| Error::new(Status::Handle))?;
        slot.generation += 1;
        // A slot whose generations are used up is retired: a token is never given out twice.
        if slot.generation as usize <= largest(BITS[1]) {
            slots.free.push(token.slot);
        }
        // Still under the lock, and so before the face is lent again.
        if let Some(state_cell) = table.cells.get(token.slot) {
            state_cell.clear();
        }
        Ok(thing)
    }

    /// The latest table, whichever process made it.
    fn current(&self) -> Option<&'static Table<T>> {
        // SAFETY: what is stored in `table` comes from `Box::into_raw` and is never freed.
        unsafe { self.table.load(Ordering::Acquire).as_ref() }
    }

    /// This process's table, made if need be.
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
                // SAFETY: `fresh` was made above and was not published.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }

    /// The table and token that `raw` belongs to, if it can belong to any. Inlined for [`Handles::state_cell`], where its
    /// result would take longer to hand over than to find.
    #[inline(always)]
    fn of(&self, raw: usize) -> Option<(&'static Table<T>, Token)> {
        let token = Token::unpack(raw);
        let table = self.current()?;
        let is_own = table.process == process::cookie() && token.epoch == table.epoch;
        (is_own && token.kind == self.kind as usize).then_some((table, token))
    }

    /// Why a token belongs to no table of this process: a handle of an ancestor's, or no handle at all.
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
    /// Whether this token was given out here and not ended before the fork. Read from the face alone: the lock of a
    /// parent's table may be held by a thread that is not in this process.
    fn has_given_out(&self, token: Token) -> bool {
        self.cells.get(token.slot).is_some_and(|state_cell| state_cell.is_of(token.generation))
    }

    fn slots(&self) -> MutexGuard<'_, Slots<T>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot that is nobody's, and what shows its next thing.
    fn reserve(&'static self) -> Result<(usize, StateWriter), Error> {
        let mut slots = self.slots();
        let lend = |slot: usize, generation| Some((slot, self.cells.reach(slot)?.writer(generation)?));
        // The face of a slot that was freed lately may still be in the hands of its last thing.
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
