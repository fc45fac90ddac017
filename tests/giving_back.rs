//! Giving back does not depend on the disk: whatever became of the folder while a lease was held, its slot goes back.
//!
//! The folder of a holder is closed to it, moved, replaced by a file, read-only, or full. The last two are a small disk of
//! the holder's own, mounted where no other process sees it.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod support;

use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::holder::{self, Holder, until};
use support::machine::Machine;
use support::{Demo, tool, with};

#[test]
fn holder() {
    holder::live();
}

/// What becomes of the folder while a lease is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The process may not look into it any more: it was root and dropped that.
    Closed,
    Moved,
    /// Moved, and the process may make no new one.
    Lost,
    /// Moved, and there is a file where it was.
    Replaced,
    ReadOnly,
    /// Not a byte more can be written.
    Full,
}

impl Trouble {
    /// Whether it takes a disk that nothing else is on.
    fn is_of_the_disk(self) -> bool {
        matches!(self, Trouble::ReadOnly | Trouble::Full)
    }
}

/// A machine whose programs have a folder that gets into trouble.
struct Place {
    machine: Machine,
    trouble: Trouble,
    _demo: Demo,
}

impl Place {
    /// `None` if this system lets the test mount no disk that it needs.
    fn new(name: &str, trouble: Trouble) -> Option<Place> {
        Place::new_with(name, trouble, json!({ "rate": 0 }))
    }

    /// The same with a server of these options.
    fn new_with(name: &str, trouble: Trouble, options: Value) -> Option<Place> {
        if trouble.is_of_the_disk() && !mounts_are_allowed() {
            eprintln!("skipped: this system lets no test mount a disk of its own, which {trouble:?} takes");
            return None;
        }
        let demo = Demo::start();
        let machine = Machine::new_with(&demo, &format!("giving-back-{name}-{trouble:?}"), &options);
        fs::create_dir(machine.folder.path()).unwrap();
        let place = Place { machine, trouble, _demo: demo };
        if trouble.is_of_the_disk() {
            fs::create_dir(place.folder()).unwrap();
        }
        Some(place)
    }

    /// Where the programs keep what outlives them.
    fn folder(&self) -> PathBuf {
        self.machine.folder.path().join("leases")
    }

    /// Where the folder is moved to.
    fn elsewhere(&self) -> PathBuf {
        self.machine.folder.path().join("moved")
    }

    fn config(&self) -> Value {
        with(&self.machine.config(), json!({ "storage_dir": self.folder() }))
    }

    /// A program with its own disk of `pages`, if the trouble takes one.
    fn start(&self, pages: usize) -> Holder {
        if self.trouble.is_of_the_disk() {
            Holder::start_by(on_a_disk(&self.folder(), pages), &self.config())
        } else {
            Holder::start(&self.config())
        }
    }

    /// A second program that sees the same folder.
    fn start_beside(&self, first: &Holder) -> Holder {
        if self.trouble.is_of_the_disk() {
            Holder::start_by(beside(first), &self.config())
        } else {
            Holder::start(&self.config())
        }
    }

    /// A program with a lease.
    fn start_with_lease(&self) -> Holder {
        let mut holder = self.start(16);
        assert_eq!(holder.tell("acquire").ok(), "ACTIVE");
        assert_eq!(self.machine.count(), 1);
        holder
    }

    /// The folder gets into trouble, as these programs see it.
    fn begin_trouble(&self, holders: &mut [&mut Holder]) {
        let folder = self.folder();
        let shown = folder.display();
        match self.trouble {
            Trouble::Closed => {
                fs::set_permissions(&folder, Permissions::from_mode(0o000)).unwrap();
                holders.iter_mut().for_each(|holder| drop(holder.tell("drop_root").ok()));
            }
            Trouble::Moved => fs::rename(&folder, self.elsewhere()).unwrap(),
            Trouble::Lost => {
                fs::rename(&folder, self.elsewhere()).unwrap();
                let parent = self.machine.folder.path();
                fs::set_permissions(parent, Permissions::from_mode(0o555)).unwrap();
                holders.iter_mut().for_each(|holder| drop(holder.tell("drop_root").ok()));
            }
            Trouble::Replaced => {
                fs::rename(&folder, self.elsewhere()).unwrap();
                fs::write(&folder, "a file").unwrap();
            }
            // The kernel refuses to remount what has files open for writing, as the lock files are. A second mount of the same
            // disk over the first can be read-only; files that are open stay as they were, as on a disk that fails.
            Trouble::ReadOnly => {
                let mount = format!("mount --bind {shown} {shown} && mount -o remount,bind,ro {shown}");
                assert_eq!(run(holders[0], &mount), 0);
            }
            Trouble::Full => drop(run(holders[0], &format!("dd if=/dev/zero of={shown}/fill bs=1024"))),
        }
        if self.trouble.is_of_the_disk() {
            assert_ne!(run(holders[0], &format!("echo something >{shown}/probe")), 0);
        }
    }

    /// The folder is as it was, for the programs that start now.
    fn end_trouble(&self) {
        match self.trouble {
            Trouble::Closed => fs::set_permissions(self.folder(), Permissions::from_mode(0o700)).unwrap(),
            Trouble::Moved | Trouble::Lost | Trouble::Replaced => {
                self.open_parent();
                // The library may have made a new one.
                let _ = fs::remove_dir_all(self.folder());
                let _ = fs::remove_file(self.folder());
                fs::rename(self.elsewhere(), self.folder()).unwrap();
            }
            // The next program has a disk of its own.
            Trouble::ReadOnly | Trouble::Full => {}
        }
    }

    fn open_parent(&self) {
        fs::set_permissions(self.machine.folder.path(), Permissions::from_mode(0o700)).unwrap();
    }

    fn until_no_slot_is_counted(&self) {
        until("the slot is given back", || self.machine.count() == 0);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A user who is not root can't remove what is closed.
        self.open_parent();
        let _ = fs::set_permissions(self.folder(), Permissions::from_mode(0o700));
    }
}

/// Has a holder run a shell's command. Returns its exit code.
fn run(holder: &mut Holder, command: &str) -> Value {
    holder.tell(&format!("run {}", json!(command))).json
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|of_us| std::os::unix::fs::MetadataExt::uid(&of_us) == 0)
}

/// What runs a command in a mount namespace of its own; for a user who is not root, in a user namespace too.
fn unshare() -> Command {
    let mut command = tool("unshare");
    command.args(if is_root() { &["--mount"][..] } else { &["--mount", "--map-root-user"] });
    command
}

fn mounts_are_allowed() -> bool {
    let mut command = unshare();
    command.args(["mount", "-t", "tmpfs", "none", "/tmp"]).stderr(Stdio::null());
    command.status().unwrap().success()
}

/// Runs this program with a disk of so many pages at `folder`, which other processes do not see.
fn on_a_disk(folder: &Path, pages: usize) -> Command {
    const SCRIPT: &str = r#"mount -t tmpfs -o "size=$1,mode=700" none "$2" && shift 2 && exec "$@""#;
    const PAGE_BYTES: usize = 4096;
    let mut command = unshare();
    command.args(["sh", "-c", SCRIPT, "sh", &(pages * PAGE_BYTES).to_string()]).arg(folder);
    command.arg(std::env::current_exe().unwrap());
    command
}

/// Runs this program with the disks that another one sees.
fn beside(first: &Holder) -> Command {
    let mut command = tool("nsenter");
    command.args(["--target", &first.pid().to_string(), "--mount"]);
    if !is_root() {
        command.args(["--user", "--preserve-credentials"]);
    }
    command.arg(std::env::current_exe().unwrap());
    command
}

fn release_frees_slot(trouble: Trouble) {
    let Some(place) = Place::new("release", trouble) else { return };
    let mut holder = place.start_with_lease();
    place.begin_trouble(&mut [&mut holder]);
    assert_eq!(holder.tell("release").ok(), "RELEASED");
    assert_eq!(place.machine.count(), 0);

    // Nor does what was left on disk trouble the next start.
    place.end_trouble();
    let mut next = place.start_with_lease();
    next.tell("release").ok();
    assert_eq!(place.machine.count(), 0);
}

fn free_frees_slot(trouble: Trouble) {
    let Some(place) = Place::new("free", trouble) else { return };
    let mut holder = place.start_with_lease();
    place.begin_trouble(&mut [&mut holder]);
    assert_eq!(holder.tell("renew").ok(), "ACTIVE");
    holder.tell("free").ok();
    place.until_no_slot_is_counted();
}

fn close_frees_slot(trouble: Trouble) {
    let Some(place) = Place::new("close", trouble) else { return };
    let mut holder = place.start_with_lease();
    place.begin_trouble(&mut [&mut holder]);
    holder.tell("close").ok();
    place.until_no_slot_is_counted();
}

fn first_of_two_to_leave_keeps_slot(trouble: Trouble) {
    let Some(place) = Place::new("share", trouble) else { return };
    let mut first = place.start_with_lease();
    let mut second = place.start_beside(&first);
    assert_eq!(second.tell("acquire").ok(), "ACTIVE");
    place.begin_trouble(&mut [&mut first, &mut second]);
    assert_eq!(first.tell("release").ok(), "RELEASED");
    assert_eq!(place.machine.count(), 1);
    assert_eq!(second.tell("renew").ok(), "ACTIVE");
    assert_eq!(second.tell("release").ok(), "RELEASED");
    assert_eq!(place.machine.count(), 0);
}

fn borrow_outlives_free(trouble: Trouble) {
    let Some(place) = Place::new("borrow", trouble) else { return };
    let mut holder = place.start_with_lease();
    assert_eq!(holder.tell("borrow").ok(), "BORROWED");
    place.begin_trouble(&mut [&mut holder]);
    holder.tell("free").ok();
    assert!(holder.settles());
    assert_eq!(place.machine.slots(), [(Value::Null, true)]);
}

macro_rules! in_trouble {
    ($($module:ident: $trouble:ident,)*) => {$(
        mod $module {
            use super::Trouble;

            #[test]
            fn release_frees_slot() {
                super::release_frees_slot(Trouble::$trouble);
            }

            #[test]
            fn free_frees_slot() {
                super::free_frees_slot(Trouble::$trouble);
            }

            #[test]
            fn close_frees_slot() {
                super::close_frees_slot(Trouble::$trouble);
            }

            #[test]
            fn first_of_two_to_leave_keeps_slot() {
                super::first_of_two_to_leave_keeps_slot(Trouble::$trouble);
            }

            #[test]
            fn borrow_outlives_free() {
                super::borrow_outlives_free(Trouble::$trouble);
            }
        }
    )*};
}

in_trouble! {
    closed_folder: Closed,
    moved_folder: Moved,
    lost_folder: Lost,
    replaced_folder: Replaced,
    read_only_folder: ReadOnly,
    full_folder: Full,
}

/// A borrow's proof is believed without the server, so it must not outlive a release.
#[test]
fn borrow_whose_proof_can_not_be_marked_is_not_released() {
    for trouble in [Trouble::Closed, Trouble::Replaced, Trouble::ReadOnly, Trouble::Full] {
        let Some(place) = Place::new("proof", trouble) else { continue };
        let mut holder = place.start_with_lease();
        assert_eq!(holder.tell("borrow").ok(), "BORROWED");
        place.begin_trouble(&mut [&mut holder]);
        let said = holder.tell("release");
        assert_eq!(said.status, "STORAGE", "{trouble:?}: {}", said.json);
        assert_eq!(said.json["outcome"], "not_sent", "{trouble:?}");
        assert_eq!(said.state, "BORROWED", "{trouble:?}");
        assert_eq!(place.machine.slots(), [(Value::Null, true)], "{trouble:?}");
    }
}

/// The record that is written before the request takes the only page, so what the server replies can't be written.
#[test]
fn acquire_on_disk_of_one_page_gives_handle() {
    let Some(place) = Place::new("page", Trouble::Full) else { return };
    for keep_alive in ["host", "thread"] {
        let mut holder = place.start(1);
        let said = holder.tell(&format!("acquire {}", json!({ "keep_alive": keep_alive })));
        assert_eq!(said.ok(), "ACTIVE", "{keep_alive}");
        assert_eq!(place.machine.count(), 1, "{keep_alive}");
        assert_eq!(holder.tell("renew").ok(), "ACTIVE", "{keep_alive}");
        assert_eq!(holder.tell("release").ok(), "RELEASED", "{keep_alive}");
        assert_eq!(place.machine.count(), 0, "{keep_alive}");
    }
}

/// A server that knows no order numbers carries out a renewal after the release, so the slot is given back again.
#[test]
fn late_renewal_in_unusable_folder_is_undone() {
    for trouble in [Trouble::Closed, Trouble::Lost, Trouble::Replaced, Trouble::ReadOnly] {
        let Some(place) = Place::new_with("late", trouble, json!({ "rate": 0, "order": false })) else { continue };
        let mut holder = place.start(16);
        holder.tell(&format!("acquire {}", json!({ "timeout_ms": 500 }))).ok();
        let late = json!({ "before": { "delay": { "fixed_ms": 1_500 } } });
        let once = json!({ "match": { "operation": "check_license" }, "when": { "times": 1 }, "do": late });
        place.machine.world.control("POST /faults", &once);
        assert_eq!(holder.tell("renew").status, "TIMEOUT");
        place.begin_trouble(&mut [&mut holder]);
        assert_eq!(holder.tell("release").ok(), "RELEASED");
        assert_eq!(place.machine.count(), 0, "{trouble:?}");
        // It may have been undone by the time somebody looks at the slots.
        let taken = json!({ "filter": { "event": "slot_taken" } });
        until("the late renewal takes the slot", || {
            place.machine.world.control("POST /journal/count", &taken)["count"] == 2
        });
        holder.tell("sleep_ms 10000").ok();
        place.until_no_slot_is_counted();
    }
}

/// A renewal that finds its holder lock gone takes no other on the file that it has open: it would end with the old one.
#[test]
fn renewal_in_lost_folder_keeps_holder() {
    let Some(place) = Place::new("holder", Trouble::Lost) else { return };
    let mut first = place.start_with_lease();
    let mut second = place.start_beside(&first);
    assert_eq!(second.tell("acquire").ok(), "ACTIVE");
    place.begin_trouble(&mut [&mut first, &mut second]);
    assert_eq!(second.tell("renew").ok(), "ACTIVE");
    assert_eq!(first.tell("release").ok(), "RELEASED");
    assert_eq!(place.machine.count(), 1);
    assert_eq!(second.tell("release").ok(), "RELEASED");
    assert_eq!(place.machine.count(), 0);
}
