//! The C functions themselves, with Rust's types around them.
#![allow(unsafe_code)]

use floatlease::ffi::{self, floatlease_client, floatlease_lease, floatlease_status};
use serde_json::Value;
use std::ffi::{CStr, CString, c_char};
use std::ptr;

/// A handle; closed when dropped.
#[derive(Debug)]
pub struct Client(*mut floatlease_client);

// SAFETY: a handle is a token; the header allows any function from any thread.
unsafe impl Send for Client {}
// SAFETY: the same.
unsafe impl Sync for Client {}

type Verb = unsafe extern "C" fn(*mut floatlease_client, *const c_char, *mut *mut c_char) -> floatlease_status;

/// The verbs that have a function of their own.
pub const VERBS: [(&str, Verb); 10] = [
    ("activate_license", ffi::floatlease_activate_license),
    ("check_license", ffi::floatlease_check_license),
    ("deactivate_license", ffi::floatlease_deactivate_license),
    ("borrow_license", ffi::floatlease_borrow_license),
    ("release_license", ffi::floatlease_release_license),
    ("check_feature", ffi::floatlease_check_feature),
    ("borrow_feature", ffi::floatlease_borrow_feature),
    ("release_feature", ffi::floatlease_release_feature),
    ("add_consumption", ffi::floatlease_add_consumption),
    ("add_feature_consumption", ffi::floatlease_add_feature_consumption),
];

/// A status by its name; 0 and "OK" for success.
pub fn status_name(status: i32) -> String {
    // SAFETY: the name is static.
    unsafe { CStr::from_ptr(ffi::floatlease_status_name(status)) }.to_str().unwrap().to_owned()
}

/// What a call gave: the name of its status, and its JSON.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: String,
    pub json: Value,
}

impl Answer {
    /// The reply of a call that must have succeeded.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, "OK", "{}", self.json);
        self.json
    }

    /// The error object of a call that must have failed with this status.
    pub fn refused(self, status: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.json);
        assert_eq!(self.json["name"], status);
        self.json
    }

    /// The same, for a call that never got an answer it could use.
    pub fn failed(self, status: &str, outcome: &str) -> Value {
        let error = self.refused(status);
        assert_eq!(error["outcome"], outcome, "{error}");
        error
    }
}

impl Client {
    /// Opens a client, or tells why not.
    pub fn open(config: &Value) -> Result<Client, Value> {
        Client::open_text(&config.to_string())
    }

    pub fn open_text(config: &str) -> Result<Client, Value> {
        let config = CString::new(config).unwrap();
        let (mut handle, mut json) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the config is a C string, both out pointers may be written.
        let status = unsafe { ffi::floatlease_client_open(config.as_ptr(), &raw mut handle, &raw mut json) };
        let json = taken(json);
        if status == 0 { Ok(Client(handle)) } else { Err(json) }
    }

    /// A verb by its own function if it has one, else by name.
    pub fn call(&self, operation: &str, request: &Value) -> Answer {
        match VERBS.iter().find(|(name, _)| *name == operation) {
            // SAFETY: the request is a C string, the out pointer may be written.
            Some((_, verb)) => answer(request, |request, json| unsafe { verb(self.0, request, json) }),
            None => self.call_by_name(operation, request),
        }
    }

    /// `floatlease_call`.
    pub fn call_by_name(&self, operation: &str, request: &Value) -> Answer {
        let operation = CString::new(operation).unwrap();
        // SAFETY: both strings are C strings, the out pointer may be written.
        answer(request, |request, json| unsafe { ffi::floatlease_call(self.0, operation.as_ptr(), request, json) })
    }

    /// The same for a call that must succeed; the reply as it stands.
    pub fn reply_text(&self, operation: &str, request: &Value) -> String {
        let (operation, request) = (CString::new(operation).unwrap(), CString::new(request.to_string()).unwrap());
        let mut json = ptr::null_mut();
        // SAFETY: both strings are C strings, the out pointer may be written.
        let status = unsafe { ffi::floatlease_call(self.0, operation.as_ptr(), request.as_ptr(), &raw mut json) };
        let text = taken_text(json);
        assert_eq!(status, 0, "{text}");
        text
    }

    pub fn cancel(&self) -> String {
        // SAFETY: a token.
        status_name(unsafe { ffi::floatlease_client_cancel(self.0) })
    }

    pub fn close(&self) {
        // SAFETY: a token; closing twice is allowed.
        unsafe { ffi::floatlease_client_close(self.0) };
    }

    pub fn diagnose(&self) -> Value {
        self.try_diagnose().ok()
    }

    pub fn try_diagnose(&self) -> Answer {
        // SAFETY: the out pointer may be written.
        answer(&Value::Null, |_, json| unsafe { ffi::floatlease_client_diagnose(self.0, json) })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close();
    }
}

impl Client {
    /// `floatlease_lease_acquire`; the lease and its info.
    pub fn try_acquire(&self, request: &Value) -> (Option<Lease>, Answer) {
        let mut handle = ptr::null_mut();
        // SAFETY: the request is a C string, both out pointers may be written.
        let answer = answer(request, |request, json| unsafe {
            ffi::floatlease_lease_acquire(self.0, request, &raw mut handle, json)
        });
        ((!handle.is_null()).then_some(Lease(handle)), answer)
    }

    /// The same with the request as it stands.
    pub fn try_acquire_text(&self, request: &str) -> (Option<Lease>, Answer) {
        let request = CString::new(request).unwrap();
        let (mut handle, mut json) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the request is a C string, both out pointers may be written.
        let status = unsafe { ffi::floatlease_lease_acquire(self.0, request.as_ptr(), &raw mut handle, &raw mut json) };
        let answer = Answer { status: status_name(status), json: taken(json) };
        ((!handle.is_null()).then_some(Lease(handle)), answer)
    }

    /// The token itself.
    pub fn handle(&self) -> *mut floatlease_client {
        self.0
    }

    /// The lease, and what is told of it, of an acquire that must succeed.
    pub fn acquire(&self, request: &Value) -> (Lease, Value) {
        let (lease, answer) = self.try_acquire(request);
        let info = answer.ok();
        (lease.expect("a handle"), info)
    }

    /// `floatlease_submit`: the ticket.
    pub fn submit(&self, operation: &str, request: &Value) -> Result<u64, String> {
        let (operation, text) = (CString::new(operation).unwrap(), CString::new(request.to_string()).unwrap());
        let request = if request.is_null() { ptr::null() } else { text.as_ptr() };
        let mut ticket = 0;
        // SAFETY: both strings are C strings, the out pointer may be written.
        let status = unsafe { ffi::floatlease_submit(self.0, operation.as_ptr(), request, &raw mut ticket) };
        if status == 0 { Ok(ticket) } else { Err(status_name(status)) }
    }

    /// `floatlease_client_release_all`.
    pub fn release_all(&self, timeout_ms: u32) -> Answer {
        // SAFETY: the out pointer may be written.
        answer(&Value::Null, |_, json| unsafe { ffi::floatlease_client_release_all(self.0, timeout_ms, json) })
    }

    /// `floatlease_work`: the milliseconds until something is due, or the name of a failure.
    pub fn work(&self, max_ms: u32) -> Result<i64, String> {
        let mut next_ms = 0;
        // SAFETY: the out pointer may be written.
        let status = unsafe { ffi::floatlease_work(self.0, max_ms, &raw mut next_ms) };
        if status == 0 { Ok(next_ms) } else { Err(status_name(status)) }
    }

    /// `floatlease_events_waiting`.
    pub fn events_waiting(&self) -> u32 {
        ffi::floatlease_events_waiting(self.0)
    }

    /// `floatlease_cancel`.
    pub fn cancel_submitted(&self, ticket: u64) -> String {
        // SAFETY: a token.
        status_name(unsafe { ffi::floatlease_cancel(self.0, ticket) })
    }

    /// `floatlease_next_event`: the event, or null, or the name of a failure.
    pub fn next_event(&self, wait_ms: u32) -> Result<Value, String> {
        let answer = self.next_event_or_error(wait_ms);
        if answer.status == "OK" { Ok(answer.json) } else { Err(answer.status) }
    }

    /// `floatlease_next_event`, with the error object of a failure.
    pub fn next_event_or_error(&self, wait_ms: u32) -> Answer {
        let mut json = ptr::null_mut();
        // SAFETY: the out pointer may be written.
        let status = unsafe { ffi::floatlease_next_event(self.0, wait_ms, &raw mut json) };
        Answer { status: status_name(status), json: if json.is_null() { Value::Null } else { taken(json) } }
    }

    /// The next event of this name, whatever comes before it; fails the test if none comes.
    pub fn wait_for(&self, name: &str) -> Value {
        let mut seen = Vec::new();
        loop {
            match self.next_event(20_000).unwrap() {
                Value::Null => panic!("no {name} came, but {seen:?}"),
                event if event["event"] == name => return event,
                event => seen.push(event),
            }
        }
    }

    /// Every event that waits to be read, by name.
    pub fn events(&self) -> Vec<String> {
        let next = || self.next_event(0).unwrap();
        let events = std::iter::repeat_with(next).take_while(|event| !event.is_null());
        events.map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    }

    /// `floatlease_lease_accept`.
    pub fn accept(&self, ticket: u64) -> (Option<Lease>, Answer) {
        let (mut handle, mut json) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: both out pointers may be written.
        let status = unsafe { ffi::floatlease_lease_accept(self.0, ticket, &raw mut handle, &raw mut json) };
        let answer = Answer { status: status_name(status), json: taken(json) };
        ((!handle.is_null()).then_some(Lease(handle)), answer)
    }

    /// `floatlease_client_advance_clock`.
    pub fn advance(&self, by_ms: u32) {
        // SAFETY: a token.
        assert_eq!(unsafe { ffi::floatlease_client_advance_clock(self.0, by_ms) }, 0);
    }
}

/// A lease's handle; freed when dropped.
#[derive(Debug)]
pub struct Lease(*mut floatlease_lease);

// SAFETY: a handle is a token; the header allows any function from any thread.
unsafe impl Send for Lease {}
// SAFETY: the same.
unsafe impl Sync for Lease {}

/// The states by number, 0 for what is no lease.
pub const STATES: [&str; 7] = ["NONE", "ACTIVE", "DEGRADED", "GRACE", "BORROWED", "LOST", "RELEASED"];

impl Lease {
    /// The token itself.
    pub fn handle(&self) -> *mut floatlease_lease {
        self.0
    }

    pub fn state(&self) -> &'static str {
        STATES[usize::try_from(ffi::floatlease_lease_state(self.0)).unwrap()]
    }

    pub fn remaining_ms(&self) -> i64 {
        ffi::floatlease_lease_remaining(self.0)
    }

    pub fn info(&self) -> Value {
        // SAFETY: the out pointer may be written.
        answer(&Value::Null, |_, json| unsafe { ffi::floatlease_lease_info(self.0, json) }).ok()
    }

    pub fn renew(&self) -> Answer {
        // SAFETY: the out pointer may be written.
        answer(&Value::Null, |_, json| unsafe { ffi::floatlease_lease_renew(self.0, json) })
    }

    pub fn borrow(&self, request: &Value) -> Answer {
        // SAFETY: the request is a C string, the out pointer may be written.
        answer(request, |request, json| unsafe { ffi::floatlease_lease_borrow(self.0, request, json) })
    }

    pub fn release(&self) -> Answer {
        // SAFETY: the out pointer may be written.
        answer(&Value::Null, |_, json| unsafe { ffi::floatlease_lease_release(self.0, json) })
    }

    pub fn free(&self) {
        // SAFETY: a token; freeing twice is allowed.
        unsafe { ffi::floatlease_lease_free(self.0) };
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.free();
    }
}

fn answer(request: &Value, call: impl FnOnce(*const c_char, *mut *mut c_char) -> floatlease_status) -> Answer {
    let text = CString::new(request.to_string()).unwrap();
    // Null stands for no request at all.
    let request = if request.is_null() { ptr::null() } else { text.as_ptr() };
    let mut json = ptr::null_mut();
    let status = call(request, &raw mut json);
    Answer { status: status_name(status), json: taken(json) }
}

/// Takes a string of the library over and frees it.
fn taken_text(json: *mut c_char) -> String {
    assert!(!json.is_null());
    // SAFETY: the library gave it out just now; it is freed once.
    unsafe {
        let text = CStr::from_ptr(json).to_str().unwrap().to_owned();
        ffi::floatlease_string_free(json);
        text
    }
}

fn taken(json: *mut c_char) -> Value {
    serde_json::from_str(&taken_text(json)).unwrap()
}
