//! Handles: tokens that name a slot, its generation, its kind and the process, never addresses.
//!
//! A wrong token is found out by looking it up, so a double close, a use after close, another kind of handle, a
//! garbage pointer and a handle inherited through `fork` are all statuses.

use super::process;
use crate::error::Error;
use crate::status::Status;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a handle is. Zero is left out: addresses of real objects have zeros in these bits. 2 is kept for leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A `floatlease_client`.
    Client = 1,
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
    generation: usize,
    epoch: usize,
    kind: usize,
}

impl Token {
    fn pack(self) -> usize {
        let [slot, generation, epoch, _] = BITS;
        self.slot
            | self.generation << slot
            | self.epoch << (slot + generation)
            | self.kind << (slot + generation + epoch)
    }

    fn unpack(mut raw: usize) -> Token {
        let mut take = |bits: u32| {
            let part = raw & largest(bits);
            raw >>= bits;
            part
        };
        let [slot, generation, epoch, kind] = BITS.map(&mut take);
        Token { slot, generation, epoch, kind }
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
    pid: u32,
    epoch: usize,
    slots: Mutex<Slots<T>>,
    /// The parent's, kept reachable so that leak checkers see no leak in it.
    _inherited: Option<&'static Table<T>>,
}

#[derive(Debug)]
struct Slots<T> {
    all: Vec<Slot<T>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: usize,
    held: Option<Arc<T>>,
}

impl<T: Send + Sync + 'static> Handles<T> {
    /// None are open.
    pub const fn new(kind: Kind) -> Handles<T> {
        Handles { kind, table: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Keeps a thing under a new token.
    pub fn insert(&self, thing: T) -> Result<usize, Error> {
        let table = self.own();
        let mut slots = table.slots();
        let slot = match slots.free.pop() {
            Some(slot) => slot,
            None if slots.all.len() <= largest(BITS[0]) => {
                slots.all.push(Slot { generation: 0, held: None });
                slots.all.len() - 1
            }
            None => return Err(Error::because(Status::Internal, "Too many handles are open.")),
        };
        slots.all[slot].held = Some(Arc::new(thing));
        let generation = slots.all[slot].generation;
        Ok(Token { slot, generation, epoch: table.epoch, kind: self.kind as usize }.pack())
    }

    /// The thing under a token.
    pub fn get(&self, raw: usize) -> Result<Arc<T>, Error> {
        let (table, token) = self.of(raw)?;
        let mut slots = table.slots();
        slots.of(token)?.held.clone().ok_or_else(|| Error::new(Status::Handle))
    }

    /// Ends a token. What was under it lives on in the calls that still use it.
    pub fn remove(&self, raw: usize) -> Result<Arc<T>, Error> {
        let (table, token) = self.of(raw)?;
        let mut slots = table.slots();
        let slot = slots.of(token)?;
        let thing = slot.held.take().ok_or_else(|| Error::new(Status::Handle))?;
        slot.generation += 1;
        // A slot whose generations are used up is retired: a token is never given out twice.
        if slot.generation <= largest(BITS[1]) {
            slots.free.push(token.slot);
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
        let pid = process::id();
        loop {
            let current = self.current();
            if let Some(table) = current.filter(|table| table.pid == pid) {
                return table;
            }
            let epoch = current.map_or(0, |table| (table.epoch + 1) & largest(BITS[2]));
            let slots = Mutex::new(Slots { all: Vec::new(), free: Vec::new() });
            let fresh = Box::into_raw(Box::new(Table { pid, epoch, slots, _inherited: current }));
            let expected = current.map_or(ptr::null_mut(), |table| ptr::from_ref(table).cast_mut());
            if self.table.compare_exchange(expected, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: `fresh` was made above and was not published.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }

    /// The table and token that `raw` belongs to, if it can belong to any.
    fn of(&self, raw: usize) -> Result<(&'static Table<T>, Token), Error> {
        let token = Token::unpack(raw);
        let table = self.current().ok_or_else(|| Error::new(Status::Handle))?;
        if token.kind != self.kind as usize {
            return Err(Error::new(Status::Handle));
        }
        if table.pid != process::id() || token.epoch != table.epoch {
            return Err(Error::new(Status::Forked));
        }
        Ok((table, token))
    }
}

impl<T> Table<T> {
    fn slots(&self) -> MutexGuard<'_, Slots<T>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Slots<T> {
    fn of(&mut self, token: Token) -> Result<&mut Slot<T>, Error> {
        let slot = self.all.get_mut(token.slot).filter(|slot| slot.generation == token.generation);
        slot.ok_or_else(|| Error::new(Status::Handle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing_and_addresses_are_none() {
        let token = Token { slot: 7, generation: 3, epoch: 1, kind: Kind::Client as usize };
        assert_eq!(Token::unpack(token.pack()), token);
        let edge = Token { slot: largest(BITS[0]), generation: largest(BITS[1]), epoch: largest(BITS[2]), kind: 1 };
        assert_eq!(Token::unpack(edge.pack()), edge);
    }

    #[test]
    fn only_an_open_token_of_the_same_kind_finds_something() {
        static CLIENTS: Handles<&str> = Handles::new(Kind::Client);
        static SANDBOXES: Handles<&str> = Handles::new(Kind::Sandbox);
        let (client, sandbox) = (CLIENTS.insert("client").unwrap(), SANDBOXES.insert("sandbox").unwrap());
        assert_eq!((*CLIENTS.get(client).unwrap(), *SANDBOXES.get(sandbox).unwrap()), ("client", "sandbox"));
        assert_eq!(*CLIENTS.remove(client).unwrap(), "client");
        let address = ptr::from_ref(&client).addr();
        for wrong in [client, sandbox, address, 0] {
            assert_eq!(CLIENTS.get(wrong).unwrap_err().status, Status::Handle);
            assert_eq!(CLIENTS.remove(wrong).unwrap_err().status, Status::Handle);
        }
        assert_ne!(CLIENTS.insert("another").unwrap(), client);
    }
}
