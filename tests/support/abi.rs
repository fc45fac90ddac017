//! The C functions themselves, with Rust's types around them.
#![allow(unsafe_code)]

use floatlease::ffi::{self, floatlease_client, floatlease_status};
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
        let config = CString::new(config.to_string()).unwrap();
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

    pub fn cancel(&self) -> String {
        // SAFETY: a token.
        status_name(unsafe { ffi::floatlease_client_cancel(self.0) })
    }

    pub fn close(&self) {
        // SAFETY: a token; closing twice is allowed.
        unsafe { ffi::floatlease_client_close(self.0) };
    }

    pub fn diagnose(&self) -> Value {
        let mut json = ptr::null_mut();
        // SAFETY: the out pointer may be written.
        let status = unsafe { ffi::floatlease_client_diagnose(self.0, &raw mut json) };
        assert_eq!(status, 0);
        taken(json)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close();
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
fn taken(json: *mut c_char) -> Value {
    assert!(!json.is_null());
    // SAFETY: the library gave it out just now; it is freed once.
    let text = unsafe {
        let text = CStr::from_ptr(json).to_str().unwrap().to_owned();
        ffi::floatlease_string_free(json);
        text
    };
    serde_json::from_str(&text).unwrap()
}
