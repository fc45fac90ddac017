//! The activation of a device that is new to its license, as a part of an acquire.

use crate::error::{Error, Outcome};
use crate::lease::context::RequestContext;
use crate::status::Status;

const ACTIVATED: &str = "This call has activated the device.";
const MAYBE_ACTIVATED: &str = "The device is new to the license, and the server may have activated it.";
const NOT_ACTIVATED: &str = "The device is new to the license, and was not activated.";

/// The activation within an acquire. It is tried once: if the device is unknown again, the vendor has deactivated it.
#[derive(Debug)]
pub(crate) enum Activation {
    /// The host has not asked for it.
    NotWanted,
    /// The device is activated if the server does not know it.
    Possible,
    /// The server has activated the device.
    Done,
    /// The activation got no answer. The next request for the slot tells whether the server has carried it out.
    Unanswered(Error),
}

impl Activation {
    pub(crate) fn of(is_wanted: bool) -> Activation {
        if is_wanted { Activation::Possible } else { Activation::NotWanted }
    }

    /// Returns whether the acquire failed because the device is new, and may activate it.
    pub(super) fn may_help(&self, error: &Error) -> bool {
        matches!(self, Activation::Possible) && error.status == Status::DeviceNotFound
    }

    /// Activates the device, within the call of the acquire. After success the slot is to be asked for again.
    pub(super) fn perform(&mut self, context: &RequestContext) -> Result<(), Error> {
        *self = match context.activate() {
            Ok(()) => Activation::Done,
            Err(error) if error.outcome != Outcome::Unknown => return Err(after_refusal(error, NOT_ACTIVATED)),
            Err(error) if error.status == Status::Cancelled => return Err(after_refusal(error, MAYBE_ACTIVATED)),
            Err(error) => Activation::Unanswered(after_refusal(error, MAYBE_ACTIVATED)),
        };
        Ok(())
    }

    /// Adds to an error of the acquire what has become of the device.
    pub(crate) fn told_in(&mut self, error: Error) -> Error {
        match std::mem::replace(self, Activation::NotWanted) {
            Activation::NotWanted | Activation::Possible => error,
            Activation::Done => after_refusal(error, ACTIVATED),
            Activation::Unanswered(unanswered) if error.status == Status::DeviceNotFound => unanswered,
            Activation::Unanswered(_) => after_refusal(error, MAYBE_ACTIVATED),
        }
    }
}

/// The error of a request that followed the refusal of the slot, with this sentence about the device. That something was
/// sent is certain.
fn after_refusal(error: Error, sentence: &str) -> Error {
    let said = error.detail.as_deref().map(|said| format!("{}. ", said.trim_end_matches('.'))).unwrap_or_default();
    let outcome = if error.outcome == Outcome::NotSent { Outcome::Rejected } else { error.outcome };
    error.with_detail(said + sentence).with_outcome(outcome)
}
