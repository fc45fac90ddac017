//! Tests of the process lock with real processes, which are killed at every point.
//!
//! The children are this test program itself, which runs [`child`] alone because its environment names a role. A file
//! that is only touched under the process lock stands for the server's count of the slot: `1` is held, `0` is released.

use super::tests::wait_a_minute;
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

/// Environment variables that make the test program a child: its role, and the folder of the lock.
const ROLE: &str = "FLOATLEASE_LOCK_CHILD";
const FOLDER: &str = "FLOATLEASE_LOCK_FOLDER";
/// The role of a child that obeys commands. Any other role is the name of a child that acts at random.
const COMMANDED: &str = "commanded";
const CHILDREN: usize = 4;

/// A source of random numbers.
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

/// A file of one byte, which is written at once.
struct Byte(PathBuf);

impl Byte {
    fn get(&self) -> u8 {
        fs::read(&self.0).unwrap()[0]
    }

    fn set(&self, byte: u8) {
        OpenOptions::new().write(true).create(true).truncate(false).open(&self.0).unwrap().write_all(&[byte]).unwrap();
    }
}

/// The folder of the lock, and the slot as the server would count it.
struct SharedSlot {
    folder: PathBuf,
    process_lock: ProcessLock,
    at_server: Byte,
}

impl SharedSlot {
    fn in_folder(folder: &Path) -> SharedSlot {
        SharedSlot {
            folder: folder.to_owned(),
            process_lock: ProcessLock::on_disk(folder, "lock"),
            at_server: Byte(folder.join("slot")),
        }
    }

    /// Releases the slot if a killed process has left it, as each process does first. Returns whether it was left.
    fn recover(&self, guard: &ProcessLockGuard) -> bool {
        let was_left = guard.has_no_holder().unwrap() && self.at_server.get() == b'1';
        if was_left {
            OpenOptions::new().append(true).create(true).open(self.recoveries()).unwrap().write_all(b"x").unwrap();
            self.at_server.set(b'0');
        }
        was_left
    }

    /// A file with a byte for each time that the slot was left by a killed process.
    fn recoveries(&self) -> PathBuf {
        self.folder.join("recoveries")
    }

    fn spawn(&self, role: &str) -> ChildProcess {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "lease::storage::process_lock::processes::child"])
            .env(ROLE, role)
            .env(FOLDER, &self.folder);
        ChildProcess(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }
}

/// A child process; killed when dropped.
struct ChildProcess(Child);

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn child() {
    let Ok(role) = env::var(ROLE) else { return };
    let slot = SharedSlot::in_folder(Path::new(&env::var(FOLDER).unwrap()));
    if role == COMMANDED { obey(&slot) } else { act_at_random(&slot, &role) }
}

// ---- children that obey commands

/// Waits for the next command. Ends a child whose parent has ended.
fn read_command() -> String {
    io::stdin().lines().next().map_or_else(|| process::exit(0), Result::unwrap)
}

fn answer(text: &str) {
    // Begins a new line, because the test harness may have written a part of one.
    writeln!(io::stdout(), "\n>{text}").unwrap();
}

fn obey(slot: &SharedSlot) {
    let mut holder = None;
    loop {
        assert_eq!(read_command(), "lock");
        match slot.process_lock.lock(&mut |_| Err(Error::new(Status::Timeout))) {
            Ok(guard) => {
                holder = obey_while_locked(slot, &guard, holder);
                drop(guard);
                answer("unlocked");
            }
            Err(error) => answer(error.status.row().name),
        }
    }
}

fn obey_while_locked(
    slot: &SharedSlot,
    guard: &ProcessLockGuard,
    mut holder: Option<HolderLock>,
) -> Option<HolderLock> {
    answer(if slot.recover(guard) { "recovered" } else { "locked" });
    loop {
        match read_command().as_str() {
            "add" => {
                holder = Some(guard.add_holder().unwrap());
                slot.at_server.set(b'1');
                answer("added");
            }
            "remove" => match guard.remove_holder(holder.take().unwrap()).unwrap() {
                None => answer("removed"),
                Some(last) => {
                    answer("last");
                    if read_command() == "keep" {
                        holder = Some(last.keep().unwrap());
                    } else {
                        slot.at_server.set(b'0');
                    }
                    answer("done");
                }
            },
            _ => return holder,
        }
    }
}

/// A child that obeys commands, and the state in which it should be.
struct CommandedChild {
    _process: ChildProcess,
    commands: ChildStdin,
    answers: io::Lines<BufReader<ChildStdout>>,
    state: LockState,
    is_holder: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LockState {
    Unlocked,
    Locked,
    LastHolder,
}

impl CommandedChild {
    fn new(slot: &SharedSlot) -> CommandedChild {
        let mut process = slot.spawn(COMMANDED);
        let (commands, answers) = (process.0.stdin.take().unwrap(), process.0.stdout.take().unwrap());
        let answers = BufReader::new(answers).lines();
        CommandedChild { _process: process, commands, answers, state: LockState::Unlocked, is_holder: false }
    }

    fn command(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        let mut answers = iter::from_fn(|| self.answers.next().map(Result::unwrap));
        answers.find_map(|line| line.strip_prefix('>').map(str::to_owned)).expect("the child died")
    }
}

/// Each round gives one command to one child, or kills it. Each answer is known in advance. There are more rounds than
/// `rounds` if chance has killed no child in one of the states by then.
fn command_children(rounds: u32) {
    let folder = Folder::new(&format!("commanded-{rounds}"));
    let slot = SharedSlot::in_folder(&folder.0);
    slot.at_server.set(b'0');
    let (mut random, mut is_held, mut deaths) = (Jitter::new(), false, [0_u32; 3]);
    let mut children: Vec<CommandedChild> = (0..CHILDREN).map(|_| CommandedChild::new(&slot)).collect();
    for round in 0.. {
        if round >= rounds && deaths.iter().all(|&count| count > 0) {
            break;
        }
        let number = random.below(CHILDREN as u64) as usize;
        let is_unlocked = children.iter().all(|child| child.state == LockState::Unlocked);
        let has_no_holder = children.iter().all(|child| !child.is_holder);
        let has_no_other = children.iter().enumerate().all(|(other, child)| other == number || !child.is_holder);
        let child = &mut children[number];
        match (child.state, random.below(8)) {
            (state, 0) => {
                deaths[state as usize] += 1;
                *child = CommandedChild::new(&slot);
            }
            (LockState::Unlocked, _) if !is_unlocked => assert_eq!(child.command("lock"), "TIMEOUT"),
            (LockState::Unlocked, _) => {
                let was_left = has_no_holder && is_held;
                assert_eq!(child.command("lock"), if was_left { "recovered" } else { "locked" });
                is_held &= !was_left;
                child.state = LockState::Locked;
            }
            (LockState::Locked, 1..4) => {
                assert_eq!(child.command("unlock"), "unlocked");
                child.state = LockState::Unlocked;
            }
            (LockState::Locked, _) if !child.is_holder => {
                assert_eq!(child.command("add"), "added");
                (child.is_holder, is_held) = (true, true);
            }
            (LockState::Locked, _) => {
                assert_eq!(child.command("remove"), if has_no_other { "last" } else { "removed" });
                child.state = if has_no_other { LockState::LastHolder } else { LockState::Locked };
                child.is_holder = false;
            }
            (LockState::LastHolder, choice) => {
                let keeps = choice < 4;
                assert_eq!(child.command(if keeps { "keep" } else { "release" }), "done");
                (child.is_holder, is_held, child.state) = (keeps, keeps, LockState::Locked);
            }
        }
        assert_eq!(slot.at_server.get() == b'1', is_held);
    }
}

// ---- children that act at random

/// Becomes a holder and stops being one, for ever. Its mark is `l` while it has the process lock, else `h` if it is a
/// holder and `-` if not.
fn act_at_random(slot: &SharedSlot, name: &str) {
    thread::spawn(read_command);
    let mark = Byte(slot.folder.join(name));
    let mut random = Jitter::new();
    let lock = |random: &mut Jitter| {
        let guard = slot.process_lock.lock(&mut wait_a_minute()).unwrap();
        mark.set(b'l');
        random.rest();
        slot.recover(&guard);
        assert!(guard.has_no_holder().unwrap() || slot.at_server.get() == b'1', "released while there is a holder");
        guard
    };
    loop {
        let guard = lock(&mut random);
        let mut holder = guard.add_holder().unwrap();
        random.rest();
        slot.at_server.set(b'1');
        mark.set(b'h');
        drop(guard);
        random.rest();
        let guard = lock(&mut random);
        while let Some(last) = guard.remove_holder(holder).unwrap() {
            assert_eq!(slot.at_server.get(), b'1', "released twice");
            random.rest();
            if random.below(4) > 0 {
                slot.at_server.set(b'0');
                break;
            }
            holder = last.keep().unwrap();
        }
        mark.set(b'-');
        drop(guard);
        random.rest();
    }
}

/// The parent kills a child now and then, takes the process lock itself, and compares the state with the marks.
fn kill_random_children(rounds: u32) {
    let folder = Folder::new(&format!("random-{rounds}"));
    let slot = SharedSlot::in_folder(&folder.0);
    slot.at_server.set(b'0');
    fs::write(slot.recoveries(), "").unwrap();
    let names: Vec<String> = (0..CHILDREN).map(|number| format!("child-{number}")).collect();
    let mark = |name: &str| Byte(folder.0.join(name));
    names.iter().for_each(|name| mark(name).set(b'-'));
    let mut children: Vec<ChildProcess> = names.iter().map(|name| slot.spawn(name)).collect();
    let (mut random, mut killed_locked, mut killed_unlocked) = (Jitter::new(), 0, 0);
    for round in 0..rounds {
        random.rest();
        // Before the first child is killed, the slot must never be left.
        if round > rounds / 4 && random.below(2) == 0 {
            let number = random.below(CHILDREN as u64) as usize;
            let (child, mark) = (&mut children[number], mark(&names[number]));
            child.0.kill().unwrap();
            child.0.wait().unwrap();
            *(if mark.get() == b'l' { &mut killed_locked } else { &mut killed_unlocked }) += 1;
            mark.set(b'-');
            *child = slot.spawn(&names[number]);
        }
        let guard = slot.process_lock.lock(&mut wait_a_minute()).unwrap();
        let marks: Vec<u8> = names.iter().map(|name| mark(name).get()).collect();
        let has_holder = marks.contains(&b'h');
        assert!(!marks.contains(&b'l'), "two processes have the lock");
        assert_eq!(guard.has_no_holder().unwrap(), !has_holder, "{marks:?}");
        slot.recover(&guard);
        assert_eq!(slot.at_server.get() == b'1', has_holder);
        drop(guard);
        let recoveries = fs::metadata(slot.recoveries()).unwrap().len();
        let killed = killed_locked + killed_unlocked;
        assert!(recoveries <= killed, "{recoveries} recoveries, {killed} killed");
        assert!(
            children.iter_mut().all(|child| child.0.try_wait().unwrap().is_none()),
            "an assertion of a child failed"
        );
    }
    assert!(killed_locked > 0 && killed_unlocked > 0, "{killed_locked} locked, {killed_unlocked} unlocked");
    drop(children);
    assert!(slot.process_lock.lock(&mut wait_a_minute()).unwrap().has_no_holder().unwrap());
}

// ---- the tests

#[test]
fn killed_children_leave_exact_count_of_holders() {
    command_children(1000);
}

#[test]
fn slot_stays_held_while_any_living_child_holds_it() {
    kill_random_children(200);
}

#[test]
#[ignore = "takes minutes"]
fn killed_children_for_many_rounds() {
    command_children(5000);
    kill_random_children(5000);
}

/// A child runs another program, and does not close the lock files that it has inherited.
#[cfg(unix)]
#[test]
fn child_with_inherited_lock_files_holds_no_lock() {
    let folder = Folder::new("inherited");
    let process_lock = SharedSlot::in_folder(&folder.0).process_lock;
    let keep = |file: fs::File| ChildProcess(Command::new("sleep").arg("600").stdin(file).spawn().unwrap());
    let lock = || process_lock.lock(&mut |_| Err(Error::new(Status::Timeout))).unwrap();
    let guard = lock();
    let (dropped, holder) = (guard.add_holder().unwrap(), guard.add_holder().unwrap());
    let _keepers = [&guard.lock_guard, &dropped.0, &holder.0].map(|guard| keep(inherited(guard)));
    drop(guard);
    let guard = lock();
    drop(dropped);
    let last = guard.remove_holder(holder).unwrap().expect("there is no other holder");
    let _keeper = keep(inherited(&last.lock_guard));
    drop(last);
    assert!(guard.has_no_holder().unwrap());
}
