use super::*;
use crate::lease::state_machine::{Millis, State};

#[test]
fn token_is_unpacked_as_it_was_packed() {
    let token = Token { entry: 7, generation: 3, epoch: 1, kind: Kind::Client as usize };
    assert_eq!(Token::unpack(token.pack()), token);
    let generation = largest(BITS[1]) as u32;
    let edge = Token { entry: largest(BITS[0]), generation, epoch: largest(BITS[2]), kind: 1 };
    assert_eq!(Token::unpack(edge.pack()), edge);
}

#[test]
fn only_an_open_token_of_the_same_kind_is_found() {
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

type Leases = Handles<Mutex<Option<StateWriter>>>;

/// Opens a lease that publishes the state Active with this deadline.
fn open(leases: &'static Leases, runs_until: Millis) -> usize {
    let lease = |mut writer: StateWriter| {
        writer.publish(State::Active, runs_until);
        Mutex::new(Some(writer))
    };
    leases.insert_with_writer(lease).unwrap()
}

impl<T: Send + Sync> Handles<T> {
    fn token(&self, raw: usize) -> Token {
        self.current().unwrap().unpack(raw)
    }

    fn raw(&self, token: Token) -> usize {
        self.current().unwrap().pack(token)
    }
}

fn published(leases: &'static Leases, raw: usize) -> Option<(State, Millis)> {
    let (state_cell, generation) = leases.state_cell(raw)?;
    Some((state_cell.state(generation)?, state_cell.runs_until(generation)?))
}

#[test]
fn state_cell_is_found_only_by_its_own_token() {
    static LEASES: Leases = Handles::new(Kind::Lease);
    static CLIENTS: Handles<u8> = Handles::new(Kind::Client);
    assert!(LEASES.state_cell(7).is_none(), "before any handle was opened");
    let leases: Vec<usize> = (0..100).map(|number| open(&LEASES, number)).collect();
    for (raw, number) in leases.iter().zip(0..) {
        assert_eq!(published(&LEASES, *raw), Some((State::Active, number)));
    }
    let client = CLIENTS.insert(1).unwrap();
    let (state_cell, generation) = CLIENTS.state_cell(client).unwrap();
    assert_eq!(
        (state_cell.state(generation), state_cell.runs_until(generation)),
        (None, None),
        "no state was published"
    );
    let token = LEASES.token(leases[1]);
    let wrong = [
        Token { kind: Kind::Client as usize, ..token },
        Token { epoch: 1, ..token },
        Token { generation: 1, ..token },
        Token { entry: 100, ..token },
        Token { entry: largest(BITS[0]), ..token },
    ];
    for raw in
        wrong.map(|token| LEASES.raw(token)).into_iter().chain([client, 0, usize::MAX, ptr::from_ref(&client).addr()])
    {
        assert_eq!(published(&LEASES, raw), None, "{raw:#x}");
        assert!(LEASES.get(raw).is_err(), "{raw:#x}");
    }
}

#[test]
fn state_cell_is_read_while_other_handles_open_and_close() {
    static LEASES: Leases = Handles::new(Kind::Lease);
    let first = open(&LEASES, -1);
    let (state_cell, generation) = LEASES.state_cell(first).unwrap();
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let all: Vec<usize> = (0..1_000).map(|number| open(&LEASES, number)).collect();
                for (raw, number) in all.iter().zip(0..) {
                    assert_eq!(published(&LEASES, *raw), Some((State::Active, number)));
                    LEASES.remove(*raw).unwrap();
                    assert_eq!(published(&LEASES, *raw), None);
                }
            });
        }
        for _ in 0..1_000 {
            assert_eq!(published(&LEASES, first), Some((State::Active, -1)));
        }
    });
    assert!(ptr::eq(state_cell, LEASES.state_cell(first).unwrap().0));
    assert_eq!(state_cell.runs_until(generation), Some(-1));
}

#[test]
fn entry_is_used_again_after_its_writer_was_dropped() {
    static LEASES: Leases = Handles::new(Kind::Lease);
    let entry = |raw| LEASES.token(raw).entry;
    let freed = open(&LEASES, 1);
    let lease = LEASES.remove(freed).unwrap();
    assert_eq!(Arc::strong_count(&lease), 1, "the table does not own it any more");
    assert_eq!(published(&LEASES, freed), None);
    lease.lock().unwrap().as_mut().unwrap().publish(State::Degraded, 2);
    assert_eq!(published(&LEASES, freed), None);
    let other = open(&LEASES, 3);
    assert_ne!(entry(other), entry(freed), "its last lease may still publish there");
    lease.lock().unwrap().take();
    let next = open(&LEASES, 4);
    assert_eq!(entry(next), entry(freed));
    assert_ne!(next, freed);
    assert_eq!((published(&LEASES, freed), published(&LEASES, next)), (None, Some((State::Active, 4))));
    assert_eq!(published(&LEASES, other), Some((State::Active, 3)));
    assert_ne!(entry(open(&LEASES, 5)), entry(next), "the entry is in use");
}

#[test]
fn entry_without_generations_left_is_never_used_again() {
    static OBJECTS: Handles<u8> = Handles::new(Kind::Client);
    let first = OBJECTS.insert(1).unwrap();
    OBJECTS.remove(first).unwrap();
    let last_generation = largest(BITS[1]) as u32;
    OBJECTS.own().entries().all[0].generation = last_generation - 1;
    OBJECTS.remove(OBJECTS.insert(2).unwrap()).unwrap();
    let last = OBJECTS.insert(2).unwrap();
    assert_eq!((OBJECTS.token(last).entry, OBJECTS.token(last).generation), (0, last_generation));
    assert_eq!(*OBJECTS.get(last).unwrap(), 2);
    OBJECTS.remove(last).unwrap();
    assert_eq!(OBJECTS.token(OBJECTS.insert(3).unwrap()).entry, 1);
    assert_eq!(OBJECTS.get(last).unwrap_err().status, Status::Handle);
    assert_eq!(OBJECTS.get(first).unwrap_err().status, Status::Handle);
}

#[test]
fn more_handles_than_tokens_are_refused() {
    static OBJECTS: Handles<u8> = Handles::new(Kind::Client);
    OBJECTS.own().entries().all.resize_with(largest(BITS[0]), || Entry { generation: 0, object: None });
    let last = OBJECTS.insert(1).unwrap();
    let refused = OBJECTS.insert(2).unwrap_err();
    assert_eq!(refused.status, Status::OutOfResources);
    assert!(refused.message().contains("Too many handles"), "{refused}");
    assert_eq!(*OBJECTS.remove(last).unwrap(), 1);
    assert_eq!(OBJECTS.token(OBJECTS.insert(3).unwrap()).entry, largest(BITS[0]), "there is room again");
}

#[test]
fn panic_while_an_object_is_made_harms_no_other() {
    static LEASES: Leases = Handles::new(Kind::Lease);
    let made = std::panic::catch_unwind(|| LEASES.insert_with_writer(|_| panic!("on purpose")));
    assert!(made.is_err());
    assert_eq!(published(&LEASES, open(&LEASES, 1)), Some((State::Active, 1)));
    let unmade = LEASES.raw(Token { entry: 0, generation: 0, epoch: 0, kind: Kind::Lease as usize });
    assert_eq!(LEASES.get(unmade).unwrap_err().status, Status::Handle);
    assert_eq!(LEASES.remove(unmade).unwrap_err().status, Status::Handle);
    assert_eq!(published(&LEASES, unmade), None);
}

#[test]
fn token_of_another_copys_table_is_no_handle() {
    // Another copy of the library has statics of its own, as these are.
    static FIRST: Leases = Handles::new(Kind::Lease);
    static SECOND: Leases = Handles::new(Kind::Lease);
    let (first, second) = (open(&FIRST, 1), open(&SECOND, 2));
    assert_eq!(FIRST.token(first), SECOND.token(second), "the same entry and generation");
    for (leases, foreign) in [(&FIRST, second), (&SECOND, first)] {
        assert_eq!(published(leases, foreign), None);
        assert_eq!(leases.get(foreign).unwrap_err().status, Status::Handle);
        assert_eq!(leases.remove(foreign).unwrap_err().status, Status::Handle);
    }
    assert_eq!(
        (published(&FIRST, first), published(&SECOND, second)),
        (Some((State::Active, 1)), Some((State::Active, 2)))
    );
}

/// Returns a value that a mistaken host may pass: random bits, or a token with a few wrong bits.
fn invented(leases: &'static Leases, from: usize, number: u64) -> usize {
    // SplitMix64.
    let mixed = |mut x: u64| {
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    };
    let random = mixed(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) as usize;
    let token = leases.token(random);
    match number % 4 {
        0 => random,
        1 => leases.raw(Token { kind: Kind::Lease as usize, ..token }),
        2 => from ^ 1 << (random % usize::BITS as usize),
        _ => {
            let generation = (random >> 9) as u32 % 4;
            leases.raw(Token { epoch: token.epoch, generation, ..leases.token(from) })
        }
    }
}

#[test]
fn invented_token_is_no_handle() {
    static LEASES: Leases = Handles::new(Kind::Lease);
    let lease = open(&LEASES, 1);
    for token in (0..100_000).map(|number| invented(&LEASES, lease, number)).filter(|token| *token != lease) {
        assert_eq!(LEASES.get(token).unwrap_err().status, Status::Handle, "{token:#x}");
        assert_eq!(LEASES.remove(token).unwrap_err().status, Status::Handle, "{token:#x}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn forked_child_tells_open_handles_of_parent_from_others() {
    static LEASES: Leases = Handles::new(Kind::Lease);
    let (ended, lease) = (open(&LEASES, 1), open(&LEASES, 2));
    LEASES.remove(ended).unwrap();
    let status_is = |token, status| LEASES.get(token).is_err_and(|error| error.status == status);
    // Made before the fork, because a forked child must not allocate memory.
    let invented: Vec<usize> =
        (0..10_000).map(|number| invented(&LEASES, lease, number)).filter(|token| *token != lease).collect();
    assert!(process::in_a_child(|| {
        let right = || {
            status_is(lease, Status::Forked)
                && status_is(ended, Status::Handle)
                && invented.iter().all(|token| status_is(*token, Status::Handle))
        };
        // In the child before it has handles of its own, and in a grandchild.
        right() && process::in_a_child(right)
    }));
}

#[cfg(target_os = "linux")]
#[test]
fn forked_child_finds_no_state_cell_of_parent() {
    static LEASES: Leases = Handles::new(Kind::Lease);
    let lease = open(&LEASES, 1);
    assert!(process::in_a_child(|| {
        LEASES.state_cell(lease).is_none() && LEASES.get(lease).is_err_and(|error| error.status == Status::Forked)
    }));
    assert_eq!(published(&LEASES, lease), Some((State::Active, 1)));
}
