//! The system's clocks that can't be set: one that counts the time that the machine sleeps, and one that does not.
#![allow(unsafe_code)]

/// The time by which [`now_ms`] may be behind, because it tells whole milliseconds.
#[cfg(unix)]
pub(crate) const STEP_MS: i64 = 1;
/// The time by which [`now_ms`] may be behind: Windows counts in steps of 10 to 16 ms.
#[cfg(windows)]
pub(crate) const STEP_MS: i64 = 16;

/// Returns the milliseconds since a moment before this process began, including those in which the machine slept.
#[cfg(unix)]
pub(crate) fn now_ms() -> i64 {
    // On Apple's systems this clock goes on while the machine sleeps.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const COUNTS_SLEEP: libc::clockid_t = libc::CLOCK_MONOTONIC;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const COUNTS_SLEEP: libc::clockid_t = libc::CLOCK_BOOTTIME;
    read_ms(COUNTS_SLEEP)
}

/// Returns how long the machine has slept since a moment before this process began, give or take some milliseconds.
#[cfg(unix)]
pub(crate) fn slept_ms() -> i64 {
    #[cfg(target_vendor = "apple")]
    const STOPS_IN_SLEEP: libc::clockid_t = libc::CLOCK_UPTIME_RAW;
    #[cfg(not(target_vendor = "apple"))]
    const STOPS_IN_SLEEP: libc::clockid_t = libc::CLOCK_MONOTONIC;
    now_ms() - read_ms(STOPS_IN_SLEEP)
}

#[cfg(unix)]
fn read_ms(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that lives as long as the call. For an unknown clock the system leaves it as it is.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    #[allow(clippy::unnecessary_cast, reason = "both have other widths on other systems")]
    let (seconds, nanoseconds) = (time.tv_sec as i64, time.tv_nsec as i64);
    seconds * 1000 + nanoseconds / 1_000_000
}

/// Returns the milliseconds since a moment before this process began, including those in which the machine slept.
#[cfg(windows)]
pub(crate) fn now_ms() -> i64 {
    unsafe extern "system" {
        fn GetTickCount64() -> u64;
    }
    // SAFETY: the function takes no arguments. It returns the time since the system's start, sleep included.
    let ticks = unsafe { GetTickCount64() };
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

/// Returns how long the machine has slept since a moment before this process began, give or take some milliseconds.
#[cfg(windows)]
pub(crate) fn slept_ms() -> i64 {
    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn QueryUnbiasedInterruptTime(time: *mut u64) -> i32;
    }
    const TENTHS_OF_MICROSECONDS_IN_MS: u64 = 10_000;
    let mut awake = 0;
    // SAFETY: `awake` is a number that lives as long as the call. It gets the time since the system's start without sleep.
    unsafe { QueryUnbiasedInterruptTime(&raw mut awake) };
    now_ms() - i64::try_from(awake / TENTHS_OF_MICROSECONDS_IN_MS).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_goes_forward_only() {
        let start = now_ms();
        assert!(start > 0);
        let mut last = start;
        while last < start + 20 {
            let next = now_ms();
            assert!(next >= last);
            last = next;
        }
    }

    #[test]
    fn time_awake_is_no_sleep() {
        let (start, slept) = (now_ms(), slept_ms());
        while now_ms() < start + 20 {
            std::hint::spin_loop();
        }
        // A busy machine may stop this thread between the two clocks, but not for as long as this.
        assert!((slept_ms() - slept).abs() < 10_000);
    }
}
