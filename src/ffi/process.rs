//! Which process this is, asked so often that it must not cost a system call.
//!
//! The C library asks the system each time. So the answer is kept on a page of its own, which the kernel wipes in a
//! forked child: a child finds nothing there, and asks once. No handler runs at the fork, so nothing can be in its way.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use wiped::id;
#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
pub(super) use wiped::tests::in_a_child;

/// This process's id.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn id() -> u32 {
    // Not worth a page: Windows has it in memory, and Apple's C library keeps it.
    std::process::id()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod wiped {
    use std::process;
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

    /// The page: null until it is asked for, [`NO_PAGE`] where it can't be had.
    static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
    /// Never written: a process that has no page asks each time.
    static NO_PAGE: AtomicU32 = AtomicU32::new(0);
    /// The system rounds it up to a page.
    const LENGTH: usize = size_of::<AtomicU32>();

    /// This process's id.
    pub(in crate::ffi) fn id() -> u32 {
        id_on(page())
    }

    fn id_on(page: &'static AtomicU32) -> u32 {
        // The number is all that is read, so nothing needs to be ordered around it.
        match page.load(Ordering::Relaxed) {
            0 => {
                let id = process::id();
                if !ptr::eq(page, &raw const NO_PAGE) {
                    page.store(id, Ordering::Relaxed);
                }
                id
            }
            id => id,
        }
    }

    /// The page of this process, made if need be: by the first handle, so never by a lookup.
    fn page() -> &'static AtomicU32 {
        // SAFETY: what is stored in `PAGE` is `NO_PAGE` or a page of zeros that is never unmapped.
        if let Some(page) = unsafe { PAGE.load(Ordering::Acquire).as_ref() } {
            return page;
        }
        let fresh = map(libc::MADV_WIPEONFORK);
        let published = fresh.unwrap_or(ptr::from_ref(&NO_PAGE).cast_mut());
        match PAGE.compare_exchange(ptr::null_mut(), published, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: as above.
            Ok(_) => unsafe { &*published },
            Err(others) => {
                if let Some(fresh) = fresh {
                    unmap(fresh);
                }
                // SAFETY: as above.
                unsafe { &*others }
            }
        }
    }

    /// A page of zeros on which the system follows this advice; none where it does not know it, before Linux 4.14.
    fn map(advice: libc::c_int) -> Option<*mut AtomicU32> {
        const NO_ADVICE: libc::c_int = -1;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, which touches no other.
        let page = unsafe { libc::mmap(ptr::null_mut(), LENGTH, access, kind, -1, 0) };
        if page == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: the mapping is ours, and either advice leaves what is on it alone.
        let advised = |advice| unsafe { libc::madvise(page, LENGTH, advice) == 0 };
        // Emulators are known that agree to everything and do nothing.
        if advised(NO_ADVICE) || !advised(advice) {
            unmap(page.cast());
            return None;
        }
        Some(page.cast())
    }

    fn unmap(page: *mut AtomicU32) {
        // SAFETY: it came from `map` and was not published.
        unsafe { libc::munmap(page.cast(), LENGTH) };
    }

    #[cfg(test)]
    pub(super) mod tests {
        use super::*;

        /// Whether `holds` in a forked child, where it may allocate nothing and take no lock.
        pub(in crate::ffi) fn in_a_child(holds: impl FnOnce() -> bool) -> bool {
            // SAFETY: the child does nothing but run `holds`, and ends without running anything of its parent's.
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

        fn asked() -> u32 {
            // SAFETY: it takes nothing and can't fail.
            unsafe { libc::getpid() }.cast_unsigned()
        }

        #[test]
        fn a_forked_child_has_an_id_of_its_own_and_so_has_its_child_and_the_parent_keeps_its() {
            let parent = id();
            assert_eq!(parent, asked());
            assert!(in_a_child(|| {
                let child = id();
                let right = child == asked() && child != parent && id() == child;
                right && in_a_child(|| id() == asked() && id() != child && id() != parent) && id() == child
            }));
            assert_eq!(id(), parent);
        }

        #[test]
        fn it_is_kept_and_a_child_finds_nothing_kept() {
            let parent = id();
            assert_eq!(page().load(Ordering::Relaxed), parent);
            assert!(!ptr::eq(page(), &raw const NO_PAGE));
            assert!(in_a_child(|| page().load(Ordering::Relaxed) == 0 && id() == page().load(Ordering::Relaxed)));
            // What is kept is what is answered: no system is asked.
            let page = Box::leak(Box::new(AtomicU32::new(7)));
            assert_eq!(id_on(page), 7);
        }

        #[test]
        fn without_such_a_page_the_system_is_asked_each_time() {
            const NOT_KNOWN_TO_ANY_KERNEL: libc::c_int = 12_345;
            assert!(map(NOT_KNOWN_TO_ANY_KERNEL).is_none());
            assert_eq!(id_on(&NO_PAGE), asked());
            assert!(in_a_child(|| id_on(&NO_PAGE) == asked()));
            assert_eq!(NO_PAGE.load(Ordering::Relaxed), 0, "nothing is kept where nothing is wiped");
        }

        #[test]
        fn threads_that_come_first_together_agree() {
            let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(|| (id(), ptr::from_ref(page()).addr()))).collect();
            let seen: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert!(seen.iter().all(|one| *one == (asked(), ptr::from_ref(page()).addr())), "{seen:?}");
        }
    }
}
