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
            0 => first_id_on(page),
            id => id,
        }
    }

    #[cold]
    #[inline(never)]
    fn first_id_on(page: &'static AtomicU32) -> u32 {
        let id = process::id();
        if !ptr::eq(page, &raw const NO_PAGE) {
            page.store(id, Ordering::Relaxed);
        }
        id
    }

    /// The page of this process, made if need be: by the first handle, so never by a lookup.
    fn page() -> &'static AtomicU32 {
        // SAFETY: what is stored in `PAGE` is `NO_PAGE` or a page of zeros that is never unmapped.
        unsafe { PAGE.load(Ordering::Acquire).as_ref() }.unwrap_or_else(first_page)
    }

    /// Apart, so that a lookup does not make room for it.
    #[cold]
    #[inline(never)]
    fn first_page() -> &'static AtomicU32 {
        publish(&PAGE, map(madvise))
    }

    /// The page that is in `place`, which is `fresh` unless another thread was quicker.
    fn publish(place: &AtomicPtr<AtomicU32>, fresh: Option<*mut AtomicU32>) -> &'static AtomicU32 {
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

    /// Whether the system says that it follows the advice on this page.
    type Advise = fn(*mut libc::c_void, libc::c_int) -> bool;

    fn madvise(page: *mut libc::c_void, advice: libc::c_int) -> bool {
        // SAFETY: the mapping is `map`'s own, and the advices it gives leave alone what is on it.
        unsafe { libc::madvise(page, LENGTH, advice) == 0 }
    }

    /// A page of zeros that is wiped in a child; none where the system has no such pages, as Linux before 4.14.
    fn map(advise: Advise) -> Option<*mut AtomicU32> {
        const NO_ADVICE: libc::c_int = -1;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, which touches no other.
        let page = unsafe { libc::mmap(ptr::null_mut(), LENGTH, access, kind, -1, 0) };
        if page == libc::MAP_FAILED {
            return None;
        }
        // Emulators are known that agree to everything and do nothing.
        if advise(page, NO_ADVICE) || !advise(page, libc::MADV_WIPEONFORK) {
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
            const OLD: Advise = |_, _| false;
            const AGREES_TO_EVERYTHING: Advise = |_, _| true;
            for system in [OLD, AGREES_TO_EVERYTHING] {
                let place = AtomicPtr::new(ptr::null_mut());
                let page = publish(&place, map(system));
                assert!(ptr::eq(page, &raw const NO_PAGE));
                assert_eq!(id_on(page), asked());
                assert!(in_a_child(|| id_on(page) == asked()));
            }
            assert_eq!(NO_PAGE.load(Ordering::Relaxed), 0, "nothing is kept where nothing is wiped");
        }

        #[test]
        fn the_page_that_comes_first_is_everybodys() {
            let place = AtomicPtr::new(ptr::null_mut());
            let first = publish(&place, map(madvise));
            assert_eq!(id_on(first), asked());
            assert!(ptr::eq(first, publish(&place, map(madvise))));
            assert!(ptr::eq(first, publish(&place, None)));
            assert_eq!(first.load(Ordering::Relaxed), asked(), "it is still there");
        }
    }
}
