use super::*;
use crate::lease::state_machine::{Millis, State};

#[test]
fn tokens_survive_packing_and_addresses_are_none() {
    let token = Token { slot: 7, generation: 3, epoch: 1, kind: Kind::Client as usize };
    assert_eq!(Token::unpack(token.pack()), token);
    let generation = largest(BITS[1]) as u32;
    let edge = Token { slot: largest(BITS[0]), generation, epoch: largest(BITS[2]), kind: 1 };
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
type Leases = Handles<Mutex<Option<StateWriter>>>;

/// A lease that shows itself as active until then.
fn open(leases: &'static Leases, runs_until: Millis) -> usize {
    let lease = |mut writer: StateWriter| {
        writer.publish(State::Active, runs_until);
        Mutex::new(Some(writer))
    };
    leases.insert_shown(lease).unwrap()
}

fn shown(leases: &'static Leases, raw: usize) -> Option<(State, Millis)> {
    let (state_cell, generation) = leases.state_cell(raw)?;
    Some((state_cell.state(generation)?, state_cell.runs_until(generation)?))
}

#[test]
fn a_face_is_found_under_its_own_token_and_under_no_other() {
    static LEASES: Leases = Handles::new(Kind::Lease);
    static CLIENTS: Handles<u8> = Handles::new(Kind::Client);
    assert!(LEASES.state_cell(7).is_none(), "before any was opened");
    let leases: Vec<usize> = (0..100).map(|number| open(&LEASES, number)).collect();
    for (raw, number) in leases.iter().zip(0..) {
        assert_eq!(shown(&LEASES, *raw), Some((State::Active, number)));
    }
    let client = CLIENTS.insert(1).unwrap();
    let (state_cell, generation) = CLIENTS.state_cell(client).unwrap();
    assert_eq!((state_cell.state(generation), state_cell.runs_until(generation)), (None, None), "it shows nothing");
    let token = Token::unpack(leases[1]);
    let wrong = [
        Token { kind: Kind::Client as usize, ..token },
        Token { epoch: 1, ..token },
        Token { generation: 1, ..token },
        Token { slot: 100, ..token },
        Token { slot: largest(BITS[0]), ..token },
    ];
    for raw in wrong.map(Token::pack).into_iter().chain([client, 0, usize::MAX, ptr::from_ref(&client).addr()]) {
        assert_eq!(shown(&LEASES, raw), None, "{raw:#x}");
        assert!(LEASES.get(raw).is_err(), "{raw:#x}");
    }
}

#[test]
fn a_face_never_moves_and_is_read_while_others_come_and_go() {
    static LEASES: Leases = Handles::new(Kind::Lease);
    let first = open(&LEASES, -1);
    let (state_cell, generation) = LEASES.state_cell(first).unwrap();
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let all: Vec<usize> = (0..1_000).map(|number| open(&LEASES, number)).collect();
                for (raw, number) in all.iter().zip(0..) {
                    assert_eq!(shown(&LEASES, *raw), Some((State::Active, number)));
                    LEASES.remove(*raw).unwrap();
                    assert_eq!(shown(&LEASES, *raw), None);
                }
            });
        }
        for _ in 0..1_000 {
            assert_eq!(shown(&LEASES, first), Some((State::Active, -1)));
        }
    });
    assert!(ptr::eq(state_cell, LEASES.state_cell(first).unwrap().0));
    assert_eq!(state_cell.runs_until(generation), Some(-1));
}

#[test]
fn a_slot_is_used_again_when_its_last_lease_has_let_go_of_the_face_and_its_late_word_is_not_seen() {
    static LEASES: Leases = Handles::new(Kind::Lease);
    let slot = |raw| Token::unpack(raw).slot;
    let freed = open(&LEASES, 1);
    let lease = LEASES.remove(freed).unwrap();
    assert_eq!(Arc::strong_count(&lease), 1, "the table has let go of it");
    assert_eq!(shown(&LEASES, freed), None);
    lease.lock().unwrap().as_mut().unwrap().publish(State::Degraded, 2);
    assert_eq!(shown(&LEASES, freed), None);
    let other = open(&LEASES, 3);
    assert_ne!(slot(other), slot(freed), "its last lease may still show itself there");
    lease.lock().unwrap().take();
    let next = open(&LEASES, 4);
    assert_eq!(slot(next), slot(freed));
    assert_ne!(next, freed);
    assert_eq!((shown(&LEASES, freed), shown(&LEASES, next)), (None, Some((State::Active, 4))));
    assert_eq!(shown(&LEASES, other), Some((State::Active, 3)));
    assert_ne!(slot(open(&LEASES, 5)), slot(next), "it is taken");
}

#[test]
fn a_slot_whose_generations_are_used_up_is_never_used_again() {
    static THINGS: Handles<u8> = Handles::new(Kind::Client);
    let first = THINGS.insert(1).unwrap();
    THINGS.remove(first).unwrap();
    let last_generation = largest(BITS[1]) as u32;
    THINGS.own().slots().all[0].generation = last_generation - 1;
    THINGS.remove(THINGS.insert(2).unwrap()).unwrap();
    let last = THINGS.insert(2).unwrap();
    assert_eq!((Token::unpack(last).slot, Token::unpack(last).generation), (0, last_generation));
    assert_eq!(*THINGS.get(last).unwrap(), 2);
    THINGS.remove(last).unwrap();
    assert_eq!(Token::unpack(THINGS.insert(3).unwrap()).slot, 1);
    assert_eq!(THINGS.get(last).unwrap_err().status, Status::Handle);
    assert_eq!(THINGS.get(first).unwrap_err().status, Status::Handle);
}

#[test]
fn more_handles_than_a_token_can_name_are_refused() {
    static THINGS: Handles<u8> = Handles::new(Kind::Client);
    THINGS.own().slots().all.resize_with(largest(BITS[0]), || Slot { generation: 0, held: None });
    let last = THINGS.insert(1).unwrap();
    let refused = THINGS.insert(2).unwrap_err();
    assert_eq!(refused.status, Status::Internal);
    assert!(refused.message().contains("Too many handles"), "{refused}");
    assert_eq!(*THINGS.remove(last).unwrap(), 1);
    assert_eq!(Token::unpack(THINGS.insert(3).unwrap()).slot, largest(BITS[0]), "there is room again");
}

#[test]
fn a_panic_while_a_thing_is_made_hurts_no_other() {
    static LEASES: Leases = Handles::new(Kind::Lease);
    let made = std::panic::catch_unwind(|| LEASES.insert_shown(|_| panic!("told on purpose")));
    assert!(made.is_err());
    assert_eq!(shown(&LEASES, open(&LEASES, 1)), Some((State::Active, 1)));
    let unmade = Token { slot: 0, generation: 0, epoch: 0, kind: Kind::Lease as usize }.pack();
    assert_eq!(LEASES.get(unmade).unwrap_err().status, Status::Handle);
    assert_eq!(LEASES.remove(unmade).unwrap_err().status, Status::Handle);
    assert_eq!(shown(&LEASES, unmade), None);
}

/// Anything that a mistaken host may pass: all bits by chance, or a token of which a few are wrong.
fn invented(from: usize, seed: u64) -> usize {
    // SplitMix64.
    let mixed = |mut x: u64| {
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    };
    let chance = mixed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) as usize;
    let token = Token::unpack(chance);
    match seed % 4 {
        0 => chance,
        1 => Token { kind: Kind::Lease as usize, ..token }.pack(),
        2 => from ^ 1 << (chance % usize::BITS as usize),
        _ => Token { epoch: token.epoch, generation: (chance >> 9) as u32 % 4, ..Token::unpack(from) }.pack(),
    }
}

#[test]
fn an_invented_token_is_no_handle_in_a_process_that_never_forked() {
    static LEASES: Leases = Handles::new(Kind::Lease);
    let lease = open(&LEASES, 1);
    for token in (0..100_000).map(|seed| invented(lease, seed)).filter(|token| *token != lease) {
        assert_eq!(LEASES.get(token).unwrap_err().status, Status::Handle, "{token:#x}");
        assert_eq!(LEASES.remove(token).unwrap_err().status, Status::Handle, "{token:#x}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_forked_child_tells_its_parents_handles_from_ended_and_invented_ones() {
    static LEASES: Leases = Handles::new(Kind::Lease);
    let (ended, lease) = (open(&LEASES, 1), open(&LEASES, 2));
    LEASES.remove(ended).unwrap();
    let status_is = |token, status| LEASES.get(token).is_err_and(|error| error.status == status);
    // Built here, where memory may be allocated.
    let invented: Vec<usize> = (0..10_000).map(|seed| invented(lease, seed)).filter(|token| *token != lease).collect();
    assert!(process::in_a_child(|| {
        let right = || {
            status_is(lease, Status::Forked)
                && status_is(ended, Status::Handle)
                && invented.iter().all(|token| status_is(*token, Status::Handle))
        };
        // Before it has handles of its own, and a grandchild inherits those of both.
        right() && process::in_a_child(right)
    }));
}

#[cfg(target_os = "linux")]
#[test]
fn a_forked_child_sees_no_face_of_its_parents() {
    static LEASES: Leases = Handles::new(Kind::Lease);
    let lease = open(&LEASES, 1);
    assert!(process::in_a_child(|| {
        LEASES.state_cell(lease).is_none() && LEASES.get(lease).is_err_and(|error| error.status == Status::Forked)
    }));
    assert_eq!(shown(&LEASES, lease), Some((State::Active, 1)));
}
