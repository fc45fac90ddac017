//! Compares passwords with hashes, a few at a time: on threads of their own, so that no flood of them delays other requests.

use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use crate::catalogue::{Password, compare_with_nobodys, hash_password};
use crate::domain::{PasswordProof, Refusal};

/// Upper bound for the requests whose passwords are being checked, or wait for that. Each takes a connection's place, so
/// without a bound a flood would leave no connection for other requests. At 20 ms each, the last one waits a second or two.
const MOST_REQUESTS: usize = 64;

/// The room for checks of passwords.
#[derive(Debug)]
pub(super) struct PasswordChecks {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl PasswordChecks {
    /// Leaves one processor for everything else, if there are several.
    pub(super) fn new() -> PasswordChecks {
        let processors = available_parallelism().map_or(1, usize::from);
        PasswordChecks {
            places: Arc::new(Semaphore::new(MOST_REQUESTS)),
            turns: Arc::new(Semaphore::new(processors.saturating_sub(1).max(1))),
        }
    }

    /// Runs `work` when its turn has come. Refuses it if too many wait already.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refusal::TooManyPasswords)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Refusal::InternalError)?;
        let work = move || {
            // They are held to the end even if the client is gone by then: the thread is still at work.
            let _held = (place, turn);
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::InternalError)
    }
}

/// Returns what a client's password proves about the password that counts. Takes as long if there is no such user, or if the
/// password is kept as it is: the time must not tell.
pub(super) fn compare(text: String, present: Option<&Password>) -> PasswordProof {
    match present.and_then(|password| Some((password, password.hash()?))) {
        Some((password, hash)) if password.matches(&text) => PasswordProof::Hash(hash.to_owned()),
        Some(_) => PasswordProof::Nothing,
        None => {
            compare_with_nobodys(&text);
            PasswordProof::Text(text)
        }
    }
}

/// What the passwords of a request to change one prove, and the hashes to keep.
pub(super) struct ComparedChange {
    pub(super) password: PasswordProof,
    pub(super) repeated: PasswordProof,
    pub(super) hash: String,
    pub(super) hash_of_plain: Option<String>,
}

/// Compares and hashes the passwords of a request to change one. A refused request takes as long whether there is such a user
/// or not.
pub(super) fn compare_change(old: String, new: String, present: Option<&Password>) -> Result<ComparedChange, Refusal> {
    let hashed = |text: &str| hash_password(text).map_err(|_| Refusal::InternalError);
    let password = compare(old, present);
    if !present.is_some_and(|present| password.proves(present)) {
        let repeated = compare(new, present);
        return Ok(ComparedChange { password, repeated, hash: String::new(), hash_of_plain: None });
    }
    let hash_of_plain = match present {
        Some(Password::Plain(text)) => Some(hashed(text)?),
        _ => None,
    };
    Ok(ComparedChange { password, repeated: PasswordProof::Nothing, hash: hashed(&new)?, hash_of_plain })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn flood_of_checks_is_bounded_and_refused() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let checks = Arc::new(PasswordChecks { turns: Arc::new(Semaphore::new(2)), ..PasswordChecks::new() });
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let started: Vec<_> = (0..MOST_REQUESTS)
            .map(|_| {
                let (checks, gate, running, most) = (checks.clone(), gate.clone(), running.clone(), most.clone());
                runtime.spawn(async move {
                    let work = move || {
                        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        let _ = gate.lock().unwrap().recv();
                        running.fetch_sub(1, Ordering::SeqCst);
                    };
                    checks.run(work).await
                })
            })
            .collect();
        while checks.places.available_permits() > 0 {
            std::thread::yield_now();
        }
        assert_eq!(runtime.block_on(checks.run(|| ())), Err(Refusal::TooManyPasswords));
        drop(open);
        for check in started {
            assert_eq!(runtime.block_on(check).unwrap(), Ok(()));
        }
        assert!(most.load(Ordering::SeqCst) <= 2);
        assert_eq!(runtime.block_on(checks.run(|| 7)), Ok(7), "there is room again");
    }
}
