//! Real processes, killed at every point.
//!
//! The children are this test program itself, told by its environment to run [`child`] alone. What the server counts
//! is played by a file that is only touched inside the gate: `1` is taken, `0` is given back.

use super::tests::retry_while_in_use;
use super::*;
use crate::lease::storage::lock::tests::Folder;
#[cfg(unix)]
use crate::lease::storage::lock::tests::inherited;
use std::collections::hash_map::RandomState;
use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{env, iter, process, thread};

/// What makes the test program a child: how it lives, and where.
const ROLE: &str = "FLOATLEASE_SHARE_CHILD";
const FOLDER: &str = "FLOATLEASE_SHARE_FOLDER";
const TOLD: &str = "told";
const CHILDREN: usize = 4;

struct Jitter(u64);

impl Jitter {
    fn new() -> Jitter {
        Jitter(RandomState::new().build_hasher().finish() | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % limit
    }

    fn rest(&mut self) {
        thread::sleep(Duration::from_micros(self.below(1500)));
    }
}

/// One byte on disk, changed in one go.
struct Byte(PathBuf);

impl Byte {
    fn get(&self) -> u8 {
        fs::read(&self.0).unwrap()[0]
    }

    fn set(&self, byte: u8) {
        OpenOptions::new().write(true).create(true).truncate(false).open(&self.0).unwrap().write_all(&[byte]).unwrap();
    }
}

/// The folder in which the processes meet, and the slot as the server would count it.
struct Meeting {
    folder: PathBuf,
    process_lock: ProcessLock,
    slot: Byte,
}

impl Meeting {
    fn at(folder: &Path) -> Meeting {
        Meeting {
            folder: folder.to_owned(),
            process_lock: ProcessLock::on_disk(folder, "lock"),
            slot: Byte(folder.join("slot")),
        }
    }

    /// What a newcomer does first; whether the dead had left the slot taken.
    fn settle(&self, guard: &ProcessLockGuard) -> bool {
        let left = guard.has_no_holder().unwrap() && self.slot.get() == b'1';
        if left {
            OpenOptions::new().append(true).create(true).open(self.settled()).unwrap().write_all(b"x").unwrap();
            self.slot.set(b'0');
        }
        left
    }

    /// A file with a byte for each time that something was left.
    fn settled(&self) -> PathBuf {
        self.folder.join("settled")
    }

    fn spawn(&self, role: &str) -> Living {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "lease::storage::process_lock::processes::child"])
            .env(ROLE, role)
            .env(FOLDER, &self.folder);
        Living(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }
}

/// A child process; killed when dropped.
struct Living(Child);

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn child() {
    let Ok(role) = env::var(ROLE) else { return };
    let meeting = Meeting::at(Path::new(&env::var(FOLDER).unwrap()));
    if role == TOLD { told(&meeting) } else { free(&meeting, &role) }
}

// ---- children that do what they are told

/// The next order; a child without a parent has nothing left to do.
fn order() -> String {
    io::stdin().lines().next().map_or_else(|| process::exit(0), Result::unwrap)
}

fn answer(text: &str) {
    // On a line of its own, whatever the test harness has written before.
    writeln!(io::stdout(), "\n>{text}").unwrap();
}

fn told(meeting: &Meeting) {
    let mut holder = None;
    loop {
        assert_eq!(order(), "enter");
        match meeting.process_lock.lock(&mut |_| Err(Error::new(Status::Timeout))) {
            Ok(guard) => {
                holder = told_inside(meeting, &guard, holder);
                drop(guard);
                answer("out");
            }
            Err(error) => answer(error.status.row().name),
        }
    }
}

fn told_inside(meeting: &Meeting, guard: &ProcessLockGuard, mut holder: Option<HolderLock>) -> Option<HolderLock> {
    answer(if meeting.settle(guard) { "settled" } else { "in" });
    loop {
        match order().as_str() {
            "sit" => {
                holder = Some(guard.add_holder().unwrap());
                meeting.slot.set(b'1');
                answer("seated");
            }
            "leave" => match guard.remove_holder(holder.take().unwrap()).unwrap() {
                None => answer("left"),
                Some(last) => {
                    answer("last");
                    if order() == "stay" {
                        holder = Some(last.keep().unwrap());
                    } else {
                        meeting.slot.set(b'0');
                    }
                    answer("done");
                }
            },
            _ => return holder,
        }
    }
}

/// A child and where it should be.
struct Told {
    _living: Living,
    orders: ChildStdin,
    answers: io::Lines<BufReader<ChildStdout>>,
    place: Place,
    seated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    Inside,
    LastHolder,
}

impl Told {
    fn new(meeting: &Meeting) -> Told {
        let mut living = meeting.spawn(TOLD);
        let (orders, answers) = (living.0.stdin.take().unwrap(), living.0.stdout.take().unwrap());
        let answers = BufReader::new(answers).lines();
        Told { _living: living, orders, answers, place: Place::Outside, seated: false }
    }

    fn ask(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").unwrap();
        let mut answers = iter::from_fn(|| self.answers.next().map(Result::unwrap));
        answers.find_map(|line| line.strip_prefix('>').map(str::to_owned)).expect("the child died")
    }
}

/// Each step is one order for one child, or its death; each answer is known beforehand.
fn lives_as_told(rounds: u32) {
    let folder = Folder::new(&format!("told-{rounds}"));
    let meeting = Meeting::at(&folder.0);
    meeting.slot.set(b'0');
    let (mut chance, mut taken, mut deaths) = (Jitter::new(), false, [0; 3]);
    let mut children: Vec<Told> = (0..CHILDREN).map(|_| Told::new(&meeting)).collect();
    for _ in 0..rounds {
        let number = chance.below(CHILDREN as u64) as usize;
        let is_open = children.iter().all(|child| child.place == Place::Outside);
        let nobody_sits = children.iter().all(|child| !child.seated);
        let nobody_else_sits = children.iter().enumerate().all(|(other, child)| other == number || !child.seated);
        let child = &mut children[number];
        match (child.place, chance.below(8)) {
            (place, 0) => {
                deaths[place as usize] += 1;
                *child = Told::new(&meeting);
            }
            (Place::Outside, _) if !is_open => assert_eq!(child.ask("enter"), "TIMEOUT"),
            (Place::Outside, _) => {
                let left_by_the_dead = nobody_sits && taken;
                assert_eq!(child.ask("enter"), if left_by_the_dead { "settled" } else { "in" });
                taken &= !left_by_the_dead;
                child.place = Place::Inside;
            }
            (Place::Inside, 1..4) => {
                assert_eq!(child.ask("open"), "out");
                child.place = Place::Outside;
            }
            (Place::Inside, _) if !child.seated => {
                assert_eq!(child.ask("sit"), "seated");
                (child.seated, taken) = (true, true);
            }
            (Place::Inside, _) => {
                assert_eq!(child.ask("leave"), if nobody_else_sits { "last" } else { "left" });
                child.place = if nobody_else_sits { Place::LastHolder } else { Place::Inside };
                child.seated = false;
            }
            (Place::LastHolder, choice) => {
                let stays = choice < 4;
                assert_eq!(child.ask(if stays { "stay" } else { "release" }), "done");
                (child.seated, taken, child.place) = (stays, stays, Place::Inside);
            }
        }
        assert_eq!(meeting.slot.get() == b'1', taken);
    }
    assert!(deaths.iter().all(|&count| count > 0), "{deaths:?}");
}

// ---- children that live as they like

/// Comes and goes for ever. Its mark is `g` inside the gate, outside `s` if it sits and `-` if not.
fn free(meeting: &Meeting, name: &str) {
    thread::spawn(order);
    let mark = Byte(meeting.folder.join(name));
    let mut chance = Jitter::new();
    let come_in = |chance: &mut Jitter| {
        let guard = meeting.process_lock.lock(&mut retry_while_in_use()).unwrap();
        mark.set(b'g');
        chance.rest();
        meeting.settle(&guard);
        assert!(guard.has_no_holder().unwrap() || meeting.slot.get() == b'1', "given back while somebody sits");
        guard
    };
    loop {
        let guard = come_in(&mut chance);
        let mut holder = guard.add_holder().unwrap();
        chance.rest();
        meeting.slot.set(b'1');
        mark.set(b's');
        drop(guard);
        chance.rest();
        let guard = come_in(&mut chance);
        while let Some(last) = guard.remove_holder(holder).unwrap() {
            assert_eq!(meeting.slot.get(), b'1', "given back twice");
            chance.rest();
            if chance.below(4) > 0 {
                meeting.slot.set(b'0');
                break;
            }
            holder = last.keep().unwrap();
        }
        mark.set(b'-');
        drop(guard);
        chance.rest();
    }
}

/// The parent kills one now and then, passes the gate itself, and compares what it finds with the marks.
fn lives_freely(rounds: u32) {
    let folder = Folder::new(&format!("free-{rounds}"));
    let meeting = Meeting::at(&folder.0);
    meeting.slot.set(b'0');
    fs::write(meeting.settled(), "").unwrap();
    let names: Vec<String> = (0..CHILDREN).map(|number| format!("child-{number}")).collect();
    let mark = |name: &str| Byte(folder.0.join(name));
    names.iter().for_each(|name| mark(name).set(b'-'));
    let mut children: Vec<Living> = names.iter().map(|name| meeting.spawn(name)).collect();
    let (mut chance, mut killed_inside, mut killed_outside) = (Jitter::new(), 0, 0);
    for round in 0..rounds {
        chance.rest();
        // Before the first is killed, nothing at all may be left behind.
        if round > rounds / 4 && chance.below(2) == 0 {
            let number = chance.below(CHILDREN as u64) as usize;
            let (child, mark) = (&mut children[number], mark(&names[number]));
            child.0.kill().unwrap();
            child.0.wait().unwrap();
            *(if mark.get() == b'g' { &mut killed_inside } else { &mut killed_outside }) += 1;
            mark.set(b'-');
            *child = meeting.spawn(&names[number]);
        }
        let guard = meeting.process_lock.lock(&mut retry_while_in_use()).unwrap();
        let marks: Vec<u8> = names.iter().map(|name| mark(name).get()).collect();
        let seated = marks.contains(&b's');
        assert!(!marks.contains(&b'g'), "two in the gate");
        assert_eq!(guard.has_no_holder().unwrap(), !seated, "{marks:?}");
        meeting.settle(&guard);
        assert_eq!(meeting.slot.get() == b'1', seated);
        drop(guard);
        let settled = fs::metadata(meeting.settled()).unwrap().len();
        assert!(settled <= killed_inside + killed_outside, "{settled} were left, {killed_inside}, {killed_outside}");
        assert!(children.iter_mut().all(|child| child.0.try_wait().unwrap().is_none()), "a child complains");
    }
    assert!(killed_inside > 0 && killed_outside > 0, "{killed_inside} inside, {killed_outside} outside");
    drop(children);
    assert!(meeting.process_lock.lock(&mut retry_while_in_use()).unwrap().has_no_holder().unwrap());
}

// ---- the tests

#[test]
fn the_living_are_counted_and_the_last_one_out_is_known_whoever_is_killed_where() {
    lives_as_told(1000);
}

#[test]
fn the_slot_is_taken_as_long_as_somebody_living_sits_whenever_others_are_killed() {
    lives_freely(200);
}

#[test]
#[ignore = "takes minutes"]
fn the_same_for_a_long_time() {
    lives_as_told(5000);
    lives_freely(5000);
}

/// A child that became another program without closing what it inherited.
#[cfg(unix)]
#[test]
fn a_child_with_the_open_files_of_its_parent_holds_nothing_up() {
    let folder = Folder::new("inherited");
    let process_lock = Meeting::at(&folder.0).process_lock;
    let keep = |file: fs::File| Living(Command::new("sleep").arg("600").stdin(file).spawn().unwrap());
    let enter = || process_lock.lock(&mut |_| Err(Error::new(Status::Timeout))).unwrap();
    let guard = enter();
    let (dropped, holder) = (guard.add_holder().unwrap(), guard.add_holder().unwrap());
    let _keepers = [&guard.lock_guard, &dropped.0, &holder.0].map(|hold| keep(inherited(hold)));
    drop(guard);
    let guard = enter();
    drop(dropped);
    let last = guard.remove_holder(holder).unwrap().expect("nobody else sits");
    let _keeper = keep(inherited(&last.lock_guard));
    drop(last);
    assert!(guard.has_no_holder().unwrap());
}
