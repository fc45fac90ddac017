//! Processes that hold a lease and do what they are told, one order a line: this test program itself, started again.
//!
//! The test file that uses them has a test of its own for it, `#[test] fn holder() { support::holder::live(); }`, which
//! does nothing unless its environment tells it to be one.

use super::actor::{Program, Said, line_of, said_in};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{self, Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, iter, thread};

/// Makes this program a holder: the config of its client.
const CONFIG: &str = "FLOATLEASE_HOLDER";

/// Lives as a holder, if this process is one.
pub fn live() {
    let Ok(config) = env::var(CONFIG) else { return };
    allow_tracing();
    let mut program = Program::open(&serde_json::from_str(&config).unwrap());
    say(&program.obey("state"));
    for order in io::stdin().lines() {
        let order = order.unwrap();
        let said = match order.split_once(' ').unwrap_or((&order, "null")) {
            ("run", command) => Said { json: run(&serde_json::from_str(command).unwrap()), ..program.obey("state") },
            ("drop_root", _) => {
                system::drop_root();
                program.obey("state")
            }
            _ => program.obey(&order),
        };
        say(&said);
    }
    // Whoever has nobody to tell him what to do any more is gone at once, as if killed.
    process::exit(0);
}

/// Runs a shell's command with what a holder sees of the file system. Returns its exit code.
fn run(command: &Value) -> Value {
    let mut shell = Command::new("sh");
    shell.args(["-c", command.as_str().expect("a command")]);
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code().into()
}

fn say(said: &Said) {
    // Past the test harness, which keeps what is printed; on a line of its own, whatever it has written before.
    io::stdout().write_all(format!("\n>{}\n", line_of(said)).as_bytes()).unwrap();
}

/// Lets any process of this user look on; some systems allow that to a parent alone.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn allow_tracing() {
    // SAFETY: a call with two numbers; a system without that restriction refuses it, which is as good.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
}

#[cfg(not(target_os = "linux"))]
fn allow_tracing() {}

/// A holder, seen from the test. Killed when dropped.
pub struct Holder {
    child: Child,
    orders: ChildStdin,
    answers: io::Lines<BufReader<ChildStdout>>,
    threads: usize,
}

impl Holder {
    /// A process with a client of this config.
    pub fn start(config: &Value) -> Holder {
        Holder::start_by(Command::new(env::current_exe().unwrap()), config)
    }

    /// The same, where `command` ends in running this program with the arguments that it is given.
    pub fn start_by(mut command: Command, config: &Value) -> Holder {
        command.args(["--exact", "holder", "--test-threads", "1"]).env(CONFIG, config.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut holder = Holder { child, orders, answers: BufReader::new(answers).lines(), threads: 0 };
        holder.answer().expect("a holder").ok();
        holder.threads = holder.count_threads();
        holder
    }

    /// Gives an order; its answer is to be fetched.
    pub fn order(&mut self, order: &str) {
        // One that was killed meanwhile does not hear it.
        let _ = writeln!(self.orders, "{order}");
    }

    /// What it says to the last order; `None` if it was killed before it could.
    pub fn answer(&mut self) -> Option<Said> {
        let mut lines = iter::from_fn(|| self.answers.next()?.ok());
        lines.find_map(|line| line.strip_prefix('>').map(said_in))
    }

    /// An order and its answer.
    pub fn tell(&mut self, order: &str) -> Said {
        self.order(order);
        self.answer().expect("the holder answers")
    }

    /// Its number as a process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in whatever it does: when this returns, its files are closed.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.end();
    }

    /// Waits until nothing of the library runs any more in the background of it. False if it was killed meanwhile.
    pub fn settles(&mut self) -> bool {
        until("its threads end", || self.count_threads() <= self.threads);
        self.order("state");
        self.answer().is_some()
    }

    /// Waits for its end, which must be a kill.
    pub fn end(&mut self) {
        let ended = self.child.wait().unwrap();
        assert!(system::was_killed(ended), "{ended}");
    }

    /// None in one that has ended.
    fn count_threads(&self) -> usize {
        system::threads(self.pid())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
mod system {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    pub(super) fn was_killed(ended: ExitStatus) -> bool {
        ended.signal() == Some(9)
    }

    pub(super) fn threads(pid: u32) -> usize {
        std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
    }

    /// Becomes a user who owns nothing, for good, as a daemon does. A user who is not root is one already.
    #[cfg(target_os = "linux")]
    #[allow(unsafe_code)]
    pub(super) fn drop_root() {
        const NOBODY: u32 = 65534;
        // SAFETY: calls with numbers; an empty list of groups is at no address.
        let dropped = unsafe {
            libc::geteuid() != 0
                || libc::setgroups(0, std::ptr::null()) == 0
                    && libc::setresgid(NOBODY, NOBODY, NOBODY) == 0
                    && libc::setresuid(NOBODY, NOBODY, NOBODY) == 0
        };
        assert!(dropped, "{}", std::io::Error::last_os_error());
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn drop_root() {
        panic!("no test needs it here");
    }
}

#[cfg(windows)]
#[allow(unsafe_code)]
mod system {
    use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle, RawHandle};
    use std::process::ExitStatus;

    #[repr(C)]
    struct Thread {
        size: u32,
        usage: u32,
        id: u32,
        owner: u32,
        priorities: [i32; 2],
        flags: u32,
    }

    unsafe extern "system" {
        fn CreateToolhelp32Snapshot(flags: u32, process: u32) -> RawHandle;
        fn Thread32First(snapshot: RawHandle, thread: *mut Thread) -> i32;
        fn Thread32Next(snapshot: RawHandle, thread: *mut Thread) -> i32;
    }

    /// By std, which ends a process with this code.
    pub(super) fn was_killed(ended: ExitStatus) -> bool {
        ended.code() == Some(1)
    }

    pub(super) fn drop_root() {
        panic!("no test needs it here");
    }

    pub(super) fn threads(pid: u32) -> usize {
        const OF_ALL_PROCESSES: u32 = 4;
        let mut thread = Thread { size: 28, usage: 0, id: 0, owner: 0, priorities: [0; 2], flags: 0 };
        let mut count = 0;
        // SAFETY: the snapshot is owned here alone, and `thread` has the size that it says.
        unsafe {
            let snapshot = OwnedHandle::from_raw_handle(CreateToolhelp32Snapshot(OF_ALL_PROCESSES, 0));
            let mut more = Thread32First(snapshot.as_raw_handle(), &raw mut thread);
            while more != 0 {
                count += usize::from(thread.owner == pid);
                more = Thread32Next(snapshot.as_raw_handle(), &raw mut thread);
            }
        }
        count
    }
}

/// Waits for what comes of itself.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Numbers that look random and can be had again.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % limit
    }

    /// Sleeps up to so long.
    pub fn rest(&mut self, up_to_us: u64) {
        thread::sleep(Duration::from_micros(self.below(up_to_us)));
    }

    /// Puts them into another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}
