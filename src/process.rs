//! Tells this process from those that it was forked from. Every handle lookup asks, so it must not cost a system call.
//!
//! A process id can't tell them apart. In a container a child may have the same id as its parent, and a descendant may
//! get the id of an ancestor that has ended. So each process has a cookie, a number on a page that the kernel wipes in
//! a forked child. The child finds zeros there and takes the next number. No handler runs at the fork, so no other
//! library can interfere.
//!
//! Linux before 4.14 and Apple's systems have no such page. There the process id is the cookie, so a descendant with
//! the same id is not detected. The start time of a process would tell, but reading it takes a file, and a process
//! that can't open a file must not lose its handles.
#![allow(unsafe_code)]

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use wiped::cookie;
#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
pub(crate) use wiped::tests::in_a_child;

/// Returns a number that differs from that of every process that this one was forked from.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn cookie() -> usize {
    // Windows has no fork. It keeps the process id in memory, and so does Apple's C library.
    std::process::id() as usize
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod wiped {
    use std::process;
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

    /// The page. It is null until the first use, and [`NO_PAGE`] on systems without such pages.
    static PAGE: AtomicPtr<AtomicUsize> = AtomicPtr::new(ptr::null_mut());
    /// Stands for the missing page and is never written. A process without a page asks for its id each time.
    static NO_PAGE: AtomicUsize = AtomicUsize::new(0);
    /// The next cookie. A child inherits this memory unchanged, so its cookie is higher than those of its ancestors.
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    /// Size of the mapping. The system rounds it up to a page.
    const LENGTH: usize = size_of::<AtomicUsize>();

    /// Returns a number that differs from that of every process that this one was forked from.
    pub(crate) fn cookie() -> usize {
        cookie_on(page())
    }

    fn cookie_on(page: &'static AtomicUsize) -> usize {
        // Readers use this number alone, so no other memory has to be ordered with it.
        match page.load(Ordering::Relaxed) {
            0 => first_cookie(page),
            cookie => cookie,
        }
    }

    /// Takes the cookie of a process that has none yet. It is a function of its own, so that the lookup stays short.
    #[cold]
    fn first_cookie(page: &'static AtomicUsize) -> usize {
        if ptr::eq(page, &raw const NO_PAGE) {
            return process::id() as usize;
        }
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        // If another thread was faster, its cookie is that of the process.
        page.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|others| others, |_| next)
    }

    /// Returns the page of this process. The first handle makes it, so a lookup never has to.
    fn page() -> &'static AtomicUsize {
        // SAFETY: what is stored in `PAGE` is `NO_PAGE` or a page from `map`, which is never unmapped once it is there.
        if let Some(page) = unsafe { PAGE.load(Ordering::Acquire).as_ref() } {
            return page;
        }
        first_page()
    }

    /// Makes the page. It is a function of its own, so that the lookup stays short.
    #[cold]
    fn first_page() -> &'static AtomicUsize {
        publish(&PAGE, map(madvise))
    }

    /// Puts `fresh` into `place`, unless another thread was faster, and returns the page that is there.
    fn publish(place: &AtomicPtr<AtomicUsize>, fresh: Option<*mut AtomicUsize>) -> &'static AtomicUsize {
        let published = fresh.unwrap_or(ptr::from_ref(&NO_PAGE).cast_mut());
        let page = match place.compare_exchange(ptr::null_mut(), published, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => published,
            Err(others) => {
                if let Some(fresh) = fresh {
                    unmap(fresh);
                }
                others
            }
        };
        // SAFETY: it is `NO_PAGE` or a page from `map` that was published, and so is never unmapped.
        unsafe { &*page }
    }

    /// A function that returns true if the system accepts the advice for this page.
    type Advise = fn(*mut libc::c_void, libc::c_int) -> bool;

    fn madvise(page: *mut libc::c_void, advice: libc::c_int) -> bool {
        // SAFETY: `map` owns the mapping, and its advice does not change the content.
        unsafe { libc::madvise(page, LENGTH, advice) == 0 }
    }

    /// Maps a page of zeros that the kernel wipes in a child. `None` if the system has no such pages.
    fn map(advise: Advise) -> Option<*mut AtomicUsize> {
        const NO_ADVICE: libc::c_int = -1;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, which touches no other.
        let page = unsafe { libc::mmap(ptr::null_mut(), LENGTH, access, kind, -1, 0) };
        if page == libc::MAP_FAILED {
            return None;
        }
        // Some emulators accept any advice and do nothing, so an invalid one must fail.
        if advise(page, NO_ADVICE) || !advise(page, libc::MADV_WIPEONFORK) {
            unmap(page.cast());
            return None;
        }
        Some(page.cast())
    }

    fn unmap(page: *mut AtomicUsize) {
        // SAFETY: it came from `map` and was not published.
        unsafe { libc::munmap(page.cast(), LENGTH) };
    }

    #[cfg(test)]
    pub(crate) mod tests {
        use super::*;

        /// Returns the result of `holds` in a forked child, where it may not allocate or take a lock.
        pub(crate) fn in_a_child(holds: impl FnOnce() -> bool) -> bool {
            // SAFETY: the child only runs `holds`, and ends without running code of its parent.
            match unsafe { libc::fork() } {
                0 => {
                    let code = if holds() { 0 } else { 1 };
                    // SAFETY: it ends the child at once.
                    unsafe { libc::_exit(code) }
                }
                child => {
                    assert!(child > 0);
                    let mut status = 0;
                    // SAFETY: `status` is alive for the call.
                    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                    status == 0
                }
            }
        }

        fn process_id() -> usize {
            process::id() as usize
        }

        #[test]
        fn a_forked_child_has_a_cookie_of_its_own_and_so_has_its_child_and_the_parent_keeps_its() {
            let parent = cookie();
            assert!(in_a_child(|| {
                let child = cookie();
                let right = child != parent && cookie() == child;
                right && in_a_child(|| ![0, child, parent].contains(&cookie())) && cookie() == child
            }));
            assert_eq!(cookie(), parent);
        }

        /// In a namespace of its own a child may have any id, even its parent's.
        #[test]
        fn a_cookie_does_not_depend_on_the_process_id() {
            static OWN: AtomicUsize = AtomicUsize::new(0);
            let of_parent = cookie_on(&OWN);
            assert_eq!(cookie_on(&OWN), of_parent);
            // This is what fork does to the page, in a process that has the same id.
            OWN.store(0, Ordering::Relaxed);
            let of_child = cookie_on(&OWN);
            assert!(of_child > of_parent);
            assert_eq!(cookie_on(&OWN), of_child);
        }

        #[test]
        fn a_grandchild_differs_from_its_grandparent_though_the_child_never_asked() {
            let grandparent = cookie();
            assert!(in_a_child(|| in_a_child(|| ![0, grandparent].contains(&cookie()))));
        }

        #[test]
        fn it_is_kept_and_a_child_finds_nothing_kept() {
            let parent = cookie();
            assert_eq!(page().load(Ordering::Relaxed), parent);
            assert!(!ptr::eq(page(), &raw const NO_PAGE));
            assert!(in_a_child(|| page().load(Ordering::Relaxed) == 0 && cookie() == page().load(Ordering::Relaxed)));
            // A stored number is returned without a system call.
            let page = Box::leak(Box::new(AtomicUsize::new(7)));
            assert_eq!(cookie_on(page), 7);
        }

        #[test]
        fn threads_that_ask_first_at_the_same_time_are_told_the_same() {
            for _ in 0..100 {
                let page: &AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
                let all: Vec<usize> = std::thread::scope(|threads| {
                    let asking: Vec<_> = (0..4).map(|_| threads.spawn(|| cookie_on(page))).collect();
                    asking.into_iter().map(|thread| thread.join().unwrap()).collect()
                });
                assert!(all.iter().all(|one| *one == page.load(Ordering::Relaxed)), "{all:?}");
            }
        }

        #[test]
        fn without_such_a_page_the_id_is_asked_for_each_time() {
            const OLD: Advise = |_, _| false;
            const AGREES_TO_EVERYTHING: Advise = |_, _| true;
            for system in [OLD, AGREES_TO_EVERYTHING] {
                let place = AtomicPtr::new(ptr::null_mut());
                let page = publish(&place, map(system));
                assert!(ptr::eq(page, &raw const NO_PAGE));
                let parent = cookie_on(page);
                assert_eq!(parent, process_id());
                assert!(in_a_child(|| cookie_on(page) == process_id() && cookie_on(page) != parent));
            }
            assert_eq!(NO_PAGE.load(Ordering::Relaxed), 0, "nothing is kept where nothing is wiped");
        }

        #[test]
        fn the_page_that_comes_first_is_everybodys() {
            let place = AtomicPtr::new(ptr::null_mut());
            let first = publish(&place, map(madvise));
            let cookie = cookie_on(first);
            assert!(ptr::eq(first, publish(&place, map(madvise))));
            assert!(ptr::eq(first, publish(&place, None)));
            assert_eq!(first.load(Ordering::Relaxed), cookie, "it is still there");
        }
    }
}
