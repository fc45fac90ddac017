//! Retries of file operations while another program has the file open.

use crate::http::pause_call_of_thread;
use std::io;
use std::time::Duration;

/// Runs `attempt`, and retries it for up to half a second while another program has the file open.
///
/// Windows refuses to open or replace a file that another program has open, and virus scanners and indexers open each
/// file that was just written. Other systems do not refuse, so there is no retry.
///
/// The longer waits end at the deadline of the call that this thread works for, or when that call is cancelled.
pub(crate) fn retry_while_in_use<T>(attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    POLICY.run(attempt, &mut pause_call_of_thread)
}

/// The errors after which an operation is retried, and the waits before the retries.
struct RetryPolicy {
    /// The system's error codes for a file that is in use.
    in_use: &'static [i32],
    /// The first waits, which neither a deadline nor a cancel ends. A record that is not written is worse than a
    /// deadline that is missed by so little.
    short_ms: &'static [u64],
    /// The later waits, which end with the call.
    long_ms: &'static [u64],
}

/// The policy on Windows. The errors are ERROR_ACCESS_DENIED, which Windows also returns while a file is being
/// replaced, and ERROR_SHARING_VIOLATION.
///
/// The waits are half a second together: longer than a scanner has a file open, and short enough for a user who has no
/// permission to open the file.
#[cfg(any(windows, test))]
const OF_WINDOWS: RetryPolicy =
    RetryPolicy { in_use: &[5, 32], short_ms: &[1, 2, 5, 10], long_ms: &[20, 40, 80, 160, 160] };

#[cfg(windows)]
const POLICY: RetryPolicy = OF_WINDOWS;
#[cfg(not(windows))]
const POLICY: RetryPolicy = RetryPolicy { in_use: &[], short_ms: &[], long_ms: &[] };

impl RetryPolicy {
    /// Repeats `attempt` until it returns anything but an error for a file in use, `pause` returns false because the
    /// call is over, or no wait is left.
    fn run<T>(
        &self,
        mut attempt: impl FnMut() -> io::Result<T>,
        pause: &mut dyn FnMut(Duration) -> bool,
    ) -> io::Result<T> {
        let is_in_use = |error: &io::Error| error.raw_os_error().is_some_and(|code| self.in_use.contains(&code));
        let mut waits_ms = self.short_ms.iter().chain(self.long_ms).enumerate();
        loop {
            match (attempt(), waits_ms.next()) {
                (Err(error), Some((number, wait_ms))) if is_in_use(&error) => {
                    let wait = Duration::from_millis(*wait_ms);
                    if number < self.short_ms.len() {
                        std::thread::sleep(wait);
                    } else if !pause(wait) {
                        return Err(error);
                    }
                }
                (result, _) => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Calls, Waiter};
    use std::sync::Arc;
    use std::time::Instant;

    const SHARING_VIOLATION: i32 = 32;
    /// A wait that no test sits through.
    const FOR_EVER: Duration = Duration::from_secs(60 * 60);

    /// Tries, on this thread, to open a file that stays in use. Returns whether the call went on after each longer
    /// wait.
    fn open_busy_file() -> Vec<bool> {
        let in_use = || io::Result::<()>::Err(io::Error::from_raw_os_error(SHARING_VIOLATION));
        let mut waits = Vec::new();
        let result = OF_WINDOWS.run(in_use, &mut |wait| {
            waits.push(pause_call_of_thread(wait));
            waits.last() == Some(&true)
        });
        assert_eq!(result.unwrap_err().raw_os_error(), Some(SHARING_VIOLATION));
        waits
    }

    /// Returns the longer waits in milliseconds, and whether the file was opened, if it is free at the attempt of
    /// number `attempt` and the call ends after `over_after` longer waits.
    fn pauses_until_free_at(attempt: usize, over_after: usize) -> (Vec<u128>, bool) {
        let (mut attempts, mut pauses_ms) = (0, Vec::new());
        let result = OF_WINDOWS.run(
            || {
                attempts += 1;
                if attempts < attempt { Err(io::Error::from_raw_os_error(SHARING_VIOLATION)) } else { Ok(()) }
            },
            &mut |wait| {
                pauses_ms.push(wait.as_millis());
                pauses_ms.len() <= over_after
            },
        );
        (pauses_ms, result.is_ok())
    }

    #[test]
    fn short_waits_need_no_call() {
        assert_eq!(pauses_until_free_at(1, 0), (vec![], true));
        assert_eq!(pauses_until_free_at(5, 0), (vec![], true));
    }

    #[test]
    fn longer_waits_end_with_the_call() {
        assert_eq!(pauses_until_free_at(7, 9), (vec![20, 40], true));
        assert_eq!(pauses_until_free_at(10, 9), (vec![20, 40, 80, 160, 160], true));
        assert_eq!(pauses_until_free_at(11, 9), (vec![20, 40, 80, 160, 160], false));
        assert_eq!(pauses_until_free_at(10, 1), (vec![20, 40], false));
    }

    #[test]
    fn other_error_is_not_retried() {
        let mut attempts = 0;
        let answer: io::Result<()> = OF_WINDOWS.run(
            || {
                attempts += 1;
                Err(io::Error::from_raw_os_error(2))
            },
            &mut |_| true,
        );
        assert_eq!(answer.unwrap_err().raw_os_error(), Some(2));
        assert_eq!(attempts, 1);
    }

    #[test]
    fn deadline_of_the_call_ends_the_wait() {
        let calls = Arc::new(Calls::default());
        let in_flight = calls.begin(Waiter::Host, Instant::now() + Duration::from_millis(30));
        // The call's deadline passes during this wait.
        pause_call_of_thread(FOR_EVER);
        assert_eq!(open_busy_file(), [false]);
        drop(in_flight);
    }

    #[test]
    fn cancel_of_the_call_ends_the_wait() {
        let calls = Arc::new(Calls::default());
        let in_flight = calls.begin(Waiter::Host, Instant::now() + FOR_EVER + FOR_EVER);
        let call = Arc::clone(&in_flight.call);
        let canceller = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            call.cancel();
        });
        assert!(!pause_call_of_thread(FOR_EVER));
        canceller.join().unwrap();
        assert_eq!(open_busy_file(), [false]);
    }

    #[test]
    fn thread_without_a_call_waits_half_a_second() {
        let calls = Arc::new(Calls::default());
        drop(calls.begin(Waiter::Host, Instant::now()));
        assert_eq!(open_busy_file(), [true; 5]);
    }
}
