//! Handles: tokens that name a slot, its generation, its kind and the process, never addresses.
//!
//! A wrong token is found out by looking it up, so a double close, a use after close, another kind of handle, a
//! garbage pointer and a handle inherited through `fork` are all statuses.

use crate::client::Client;
use crate::error::Error;
use crate::status::Status;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a handle is. Zero is left out: addresses of real objects have zeros in these bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Client = 1,
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

/// The handles of one process. A forked child gets a table of its own and never touches its parent's, whose lock
/// may have been held by a thread that the child does not have.
struct Table {
    pid: u32,
    epoch: usize,
    slots: Mutex<Slots>,
    /// The parent's, kept reachable so that leak checkers see no leak in it.
    _inherited: Option<&'static Table>,
}

#[derive(Default)]
struct Slots {
    all: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Default)]
struct Slot {
    generation: usize,
    client: Option<Arc<Client>>,
}

static TABLE: AtomicPtr<Table> = AtomicPtr::new(ptr::null_mut());

impl Table {
    /// The table TABLE points to, whichever process made it.
    fn current() -> Option<&'static Table> {
        // SAFETY: what is stored in TABLE comes from `Box::into_raw` and is never freed.
        unsafe { TABLE.load(Ordering::Acquire).as_ref() }
    }

    /// This process's table, made if need be.
    fn own() -> &'static Table {
        let pid = process::id();
        loop {
            let current = Table::current();
            if let Some(table) = current.filter(|table| table.pid == pid) {
                return table;
            }
            let epoch = current.map_or(0, |table| (table.epoch + 1) & largest(BITS[2]));
            let fresh = Box::into_raw(Box::new(Table { pid, epoch, slots: Mutex::default(), _inherited: current }));
            let expected = current.map_or(ptr::null_mut(), |table| ptr::from_ref(table).cast_mut());
            if TABLE.compare_exchange(expected, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: `fresh` was made above and was not published.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The table and token that `raw` belongs to, if it can belong to any.
    fn of(raw: usize, kind: Kind) -> Result<(&'static Table, Token), Error> {
        let token = Token::unpack(raw);
        let table = Table::current().ok_or_else(|| Error::new(Status::Handle))?;
        if token.kind != kind as usize {
            return Err(Error::new(Status::Handle));
        }
        if table.pid != process::id() || token.epoch != table.epoch {
            return Err(Error::new(Status::Forked));
        }
        Ok((table, token))
    }
}

impl Slots {
    fn of(&mut self, token: Token) -> Result<&mut Slot, Error> {
        let slot = self.all.get_mut(token.slot).filter(|slot| slot.generation == token.generation);
        slot.ok_or_else(|| Error::new(Status::Handle))
    }
}

/// Keeps a client under a new token.
pub(crate) fn insert(client: Client) -> Result<usize, Error> {
    let table = Table::own();
    let mut slots = table.slots();
    let slot = match slots.free.pop() {
        Some(slot) => slot,
        None if slots.all.len() <= largest(BITS[0]) => {
            slots.all.push(Slot::default());
            slots.all.len() - 1
        }
        None => return Err(Error::because(Status::Internal, "Too many handles are open.")),
    };
    slots.all[slot].client = Some(Arc::new(client));
    let generation = slots.all[slot].generation;
    Ok(Token { slot, generation, epoch: table.epoch, kind: Kind::Client as usize }.pack())
}

/// The client under a token.
pub(crate) fn get(raw: usize) -> Result<Arc<Client>, Error> {
    let (table, token) = Table::of(raw, Kind::Client)?;
    let mut slots = table.slots();
    slots.of(token)?.client.clone().ok_or_else(|| Error::new(Status::Handle))
}

/// Ends a token. The client lives on in the calls that still use it.
pub(crate) fn remove(raw: usize) -> Result<Arc<Client>, Error> {
    let (table, token) = Table::of(raw, Kind::Client)?;
    let mut slots = table.slots();
    let slot = slots.of(token)?;
    let client = slot.client.take().ok_or_else(|| Error::new(Status::Handle))?;
    slot.generation += 1;
    // A slot whose generations are used up is retired: a token is never given out twice.
    if slot.generation <= largest(BITS[1]) {
        slots.free.push(token.slot);
    }
    Ok(client)
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
        let address = ptr::from_ref(&token).addr();
        assert_eq!(get(address).unwrap_err().status, Status::Handle);
        assert_eq!(get(0).unwrap_err().status, Status::Handle);
    }
}
