//! File descriptors of the library, none of which is ever standard input, output or error.
//!
//! A daemon closes descriptors 0 to 2, and the system gives a new file or socket the lowest free number. The host's next
//! log line would then go to the license server or into a stored file.
//!
//! Moving a descriptor after it was opened would leave a moment in which another thread of the host writes to it. So the
//! free numbers below 3 are taken first, by entries that can be neither read nor written: for the host they fail as
//! closed ones do. They are closed again at once.
#![cfg_attr(unix, allow(unsafe_code))]

#[cfg(not(any(windows, target_vendor = "apple")))]
use std::fs::File;
use std::io;

#[cfg(unix)]
pub use unix::Placeholders;
#[cfg(unix)]
pub(crate) use unix::open;

/// The lowest number of a descriptor of the library.
#[cfg(unix)]
const LOWEST: std::os::fd::RawFd = 3;

/// Windows gives out handles, which are never those of the standard streams.
#[cfg(not(unix))]
pub(crate) fn open<T>(open: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    open()
}

/// Takes the free numbers of the standard streams until it is dropped. Windows has no such numbers.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct Placeholders(());

#[cfg(not(unix))]
impl Placeholders {
    /// Takes nothing.
    pub fn take() -> Placeholders {
        Placeholders(())
    }
}

/// Runs code that opens descriptors by itself, such as the system's resolver, while the numbers of the standard streams are
/// taken.
pub(crate) fn with_standard_taken<T>(run: impl FnOnce() -> T) -> T {
    let _taken = Placeholders::take();
    run()
}

/// Reads a whole file.
#[cfg(not(any(windows, target_vendor = "apple")))]
pub(crate) fn read(path: &str) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    open(|| File::open(path))?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file that is text.
#[cfg(target_os = "linux")]
pub(crate) fn read_to_string(path: &std::path::Path) -> io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    open(|| File::open(path))?.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(unix)]
mod unix {
    use super::{LOWEST, with_standard_taken};
    use crate::process;
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::mem;
    use std::os::fd::{AsRawFd, OwnedFd, RawFd};
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

    /// How often the lock is tried before it is taken for one that nobody frees: a forked child may have inherited it
    /// from a thread that the child does not have. Its holders keep it for some system calls that never wait.
    const MOST_TRIES: u32 = 1_000;

    /// What all threads have taken. No thread may close an entry while another one is about to open something.
    static TAKEN: Mutex<Taken> = Mutex::new(Taken { process: 0, users: 0, entries: Vec::new() });

    struct Taken {
        /// The cookie of the process whose threads are counted.
        process: usize,
        /// The number of [`Placeholders`] that use the entries.
        users: usize,
        entries: Vec<Entry>,
    }

    /// Runs `open`, which opens a file or a socket, and returns that with a number that is not a standard stream's.
    pub(crate) fn open<T: From<OwnedFd> + Into<OwnedFd>>(open: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let opened: OwnedFd = with_standard_taken(open)?.into();
        if opened.as_raw_fd() >= LOWEST {
            return Ok(opened.into());
        }
        // The host has closed a standard stream just now. std gives each copy a number above them.
        opened.try_clone().map(T::from)
    }

    /// Takes the free numbers of the standard streams until it is dropped.
    #[derive(Debug)]
    pub struct Placeholders {
        /// True if the entries are shared with other threads.
        is_counted: bool,
        #[allow(dead_code, reason = "kept open")]
        own: Vec<Entry>,
    }

    impl Placeholders {
        /// Takes them. If the system refuses that, a descriptor is moved after it was opened.
        pub fn take() -> Placeholders {
            let Some(mut taken) = try_taken() else {
                return Placeholders { is_counted: false, own: take_free() };
            };
            let process = process::cookie();
            if taken.process != process {
                // The users are threads of the parent process.
                *taken = Taken { process, users: 0, entries: Vec::new() };
            }
            taken.users += 1;
            taken.entries.extend(take_free());
            Placeholders { is_counted: true, own: Vec::new() }
        }
    }

    impl Drop for Placeholders {
        fn drop(&mut self) {
            if self.is_counted {
                // The lock is free or held by a thread of this process, because this thread has had it before.
                let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
                taken.users -= 1;
                if taken.users == 0 {
                    taken.entries.clear();
                }
            }
        }
    }

    fn try_taken() -> Option<MutexGuard<'static, Taken>> {
        for _ in 0..MOST_TRIES {
            match TAKEN.try_lock() {
                Ok(taken) => return Some(taken),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            }
        }
        None
    }

    fn take_free() -> Vec<Entry> {
        let free = (0..LOWEST).filter(|number| is_free(*number));
        free.map_while(|_| Entry::open().ok()).collect()
    }

    fn is_free(number: RawFd) -> bool {
        // SAFETY: F_GETFD takes no pointer and changes nothing, whatever the number.
        unsafe { libc::fcntl(number, libc::F_GETFD) < 0 }
    }

    /// An open descriptor that can't be written to, nor be read where the system has O_PATH.
    #[derive(Debug)]
    struct Entry {
        file: Option<File>,
        /// What it is open on.
        id: (u64, u64),
    }

    impl Entry {
        fn open() -> io::Result<Entry> {
            let mut options = OpenOptions::new();
            options.read(true);
            #[cfg(any(target_os = "linux", target_os = "android"))]
            options.custom_flags(libc::O_PATH);
            let file = options.open("/")?;
            Ok(Entry { id: id_of(&file)?, file: Some(file) })
        }
    }

    impl Drop for Entry {
        fn drop(&mut self) {
            let Some(file) = self.file.take() else { return };
            // The host may have put a stream of its own in this place, as a program does that becomes a daemon.
            if id_of(&file).is_ok_and(|id| id == self.id) {
                drop(file);
            } else {
                mem::forget(file);
            }
        }
    }

    fn id_of(file: &File) -> io::Result<(u64, u64)> {
        file.metadata().map(|found| (found.dev(), found.ino()))
    }
}
