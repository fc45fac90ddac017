//! The guard around every exported function: strings in, status and string out, and no panic crosses the boundary.

use super::handle::Handles;
use crate::error::{Error, Outcome};
use crate::status::Status;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char};
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The result of a call: FLOATLEASE_OK or one of FLOATLEASE_E_…. Expect numbers that this header does not list.
pub type floatlease_status = i32;

/// True if a panic outside any guard can only come from a thread of this library, so it is not printed.
static THREADS_ARE_OURS: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Number of guards that this thread is inside of.
    static GUARDS: Cell<u32> = const { Cell::new(0) };
    /// The message of the last panic inside a guard.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `body`, writes its text or its error object to `json_out`, and returns the status.
///
/// `outcome` is the outcome that the error object reports if `body` panics.
///
/// # Safety
/// `json_out` is null or points to a `char *` that may be written.
pub unsafe fn guard(
    json_out: *mut *mut c_char,
    outcome: Outcome,
    mut body: impl FnMut() -> Result<String, Error>,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules above.
    unsafe { guard_optional(json_out, outcome, &mut || body().map(Some)) }
}

/// Does the same for a body that may return no text: the caller then gets null.
///
/// # Safety
/// As for [`guard`].
pub unsafe fn guard_optional(
    json_out: *mut *mut c_char,
    outcome: Outcome,
    body: &mut dyn FnMut() -> Result<Option<String>, Error>,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules above.
    unsafe { clear(json_out) };
    let started = Instant::now();
    let (mut status, mut text) = (Status::Internal, ptr::null_mut());
    let contained = contain(&mut || {
        (status, text) = match body() {
            Ok(text) => (Status::Ok, text.map_or(ptr::null_mut(), c_string)),
            Err(mut error) => {
                error.elapsed = started.elapsed();
                (error.status, c_string(error.to_json()))
            }
        };
    });
    if let Err(message) = contained {
        let error = Error::because(status, message).with_outcome(outcome);
        // If writing the error object panics too, the caller gets the status alone.
        quietly(|| text = c_string(error.to_json()));
    }
    if json_out.is_null() {
        // SAFETY: the text was made above, and no other pointer to it exists.
        unsafe { free(text) };
    } else {
        // SAFETY: the caller keeps the rules above.
        unsafe { *json_out = text };
    }
    status.number()
}

/// Runs `open`, and writes a handle for the opened value and its text to the out pointers.
///
/// `name` is the name of `handle_out` for messages.
///
/// # Safety
/// `handle_out` is null or points to a pointer that may be written; `json_out` as for [`guard`].
pub unsafe fn open<H, T: Send + Sync>(
    handles: &'static Handles<T>,
    name: &str,
    handle_out: *mut *mut H,
    json_out: *mut *mut c_char,
    mut open: impl FnMut() -> Result<(T, String), Error>,
) -> floatlease_status {
    let open = || {
        let (opened, text) = open()?;
        Ok((handles.insert(opened)?, text))
    };
    // SAFETY: the caller keeps the rules above.
    unsafe { open_at(handle_out, name, json_out, Outcome::NotSent, open) }
}

/// Does the same for an `open` that makes the handle itself.
///
/// `outcome` is the outcome that the error object reports if `open` panics.
///
/// # Safety
/// As for [`open`].
pub unsafe fn open_at<H>(
    handle_out: *mut *mut H,
    name: &str,
    json_out: *mut *mut c_char,
    outcome: Outcome,
    mut open: impl FnMut() -> Result<(usize, String), Error>,
) -> floatlease_status {
    // SAFETY: the caller keeps the rules above.
    unsafe {
        clear(handle_out);
        guard(json_out, outcome, || {
            if handle_out.is_null() {
                return Err(null(name));
            }
            let (token, text) = open()?;
            *handle_out = ptr::without_provenance_mut(token);
            Ok(text)
        })
    }
}

/// Runs `body` and drops its panic, for functions that can't report one.
pub fn quietly(mut body: impl FnMut()) {
    let _ = contain(&mut body);
}

/// Stops panics outside any guard from being printed.
///
/// For a library that runs threads and has a Rust runtime of its own, where such a panic can't be the host's.
pub fn threads_are_ours() {
    THREADS_ARE_OURS.store(true, Ordering::Relaxed);
}

/// Runs `body` and turns a panic into an `Err` with its message. Prints nothing, because stderr belongs to the host.
pub fn contain(body: &mut dyn FnMut()) -> Result<(), String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        stay_loaded();
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if GUARDS.try_with(Cell::get).unwrap_or(1) == 0 {
                if !THREADS_ARE_OURS.load(Ordering::Relaxed) {
                    previous(info);
                }
                return;
            }
            let _ = LAST_PANIC.try_with(|last| {
                if let Ok(mut last) = last.try_borrow_mut() {
                    *last = Some(info.to_string());
                }
            });
        }));
    });

    // A destructor of the host may run after those of this thread's local data, and then there is nothing to count in.
    let _ = GUARDS.try_with(|guards| guards.set(guards.get() + 1));
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    let _ = GUARDS.try_with(|guards| guards.set(guards.get() - 1));
    result.map_err(|payload| {
        // Dropping a payload could panic again.
        std::mem::forget(payload);
        let last_panic = LAST_PANIC.try_with(|last| last.try_borrow_mut().ok()?.take());
        last_panic.ok().flatten().unwrap_or_default()
    })
}

/// Keeps this library loaded for the rest of the process.
///
/// Threads of the library, and destructors that std runs at the end of a thread, must not outlive their code. On other
/// systems a linker flag does this (`build.rs`).
#[cfg(windows)]
fn stay_loaded() {
    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn GetModuleHandleExW(flags: u32, address: *const std::ffi::c_void, module: *mut isize) -> i32;
    }
    const PIN: u32 = 1;
    const FROM_ADDRESS: u32 = 4;
    let mut module = 0;
    // SAFETY: the address is this library's own, and `module` may be written. If the call fails, nothing changes.
    unsafe { GetModuleHandleExW(PIN | FROM_ADDRESS, stay_loaded as *const std::ffi::c_void, &raw mut module) };
}

#[cfg(not(windows))]
fn stay_loaded() {}

/// Sets an out pointer to null, if there is one.
///
/// # Safety
/// `out` is null or may be written.
pub unsafe fn clear<T>(out: *mut *mut T) {
    if !out.is_null() {
        // SAFETY: not null, and writable as the caller promises.
        unsafe { *out = ptr::null_mut() };
    }
}

/// Returns the text behind a pointer, or `None` for null. `name` is the argument's name for messages.
///
/// # Safety
/// `text` is null or a NUL-terminated string that outlives the result.
pub unsafe fn optional_text<'a>(name: &str, text: *const c_char) -> Result<Option<&'a str>, Error> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not null, and NUL-terminated as the caller promises.
    let text = unsafe { CStr::from_ptr(text) };
    match text.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let message = format!("{name} is invalid UTF-8 after byte {}.", error.valid_up_to());
            Err(Error::because(Status::Utf8, message))
        }
    }
}

/// Returns the text behind a pointer, like [`optional_text`], or an error for null.
///
/// # Safety
/// As for [`optional_text`].
pub unsafe fn text<'a>(name: &str, text: *const c_char) -> Result<&'a str, Error> {
    // SAFETY: the caller keeps the rules above.
    let text = unsafe { optional_text(name, text) }?;
    text.ok_or_else(|| null(name))
}

/// Returns the error for a required pointer that is null.
pub(super) fn null(name: &str) -> Error {
    Error::because(Status::NullPointer, format!("{name} must not be NULL."))
}

/// Frees a string that [`guard`] wrote to an out pointer.
///
/// # Safety
/// `text` is null, or it came from [`guard`] and was not freed yet.
pub unsafe fn free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: it came from `CString::into_raw`.
        drop(unsafe { CString::from_raw(text) });
    }
}

/// Makes a string for the caller. The result is null if the text holds a NUL, which no JSON text does.
fn c_string(text: String) -> *mut c_char {
    CString::new(text).map_or(ptr::null_mut(), CString::into_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_an_error_object() {
        let mut json = ptr::null_mut();
        // SAFETY: `json` may be written; the string is freed once.
        let (status, text) = unsafe {
            let status = guard(&raw mut json, Outcome::Unknown, || panic!("told on purpose"));
            let text = CStr::from_ptr(json).to_str().unwrap().to_owned();
            free(json);
            (status, text)
        };
        assert_eq!(status, Status::Internal.number());
        for words in ["told on purpose", "\"INTERNAL\"", "\"outcome\":\"unknown\""] {
            assert!(text.contains(words), "{text}");
        }
    }
}
