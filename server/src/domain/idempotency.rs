//! Consumptions that are booked once, however often the request arrives.
//!
//! The reply to a consumption may be lost after the server has booked it. A client that names the request by an
//! `Idempotency-Key` may then send it again: the server does not book it twice, and answers the total as it is now.

use super::change::Change;
use super::refusal::Refusal;
use super::state::Transition;
use super::used_keys::{BookedConsumption, RequestKey};

/// Upper bound for the old keys that each new key makes the server forget.
///
/// It is more than one, so that memory shrinks again after a busy week, and small, so that no request waits for it.
const FORGOTTEN_AT_ONCE: usize = 4;

impl Transition<'_> {
    /// Returns whether the key was used for this consumption before. The same key for another consumption is refused.
    pub(super) fn is_used(&self, key: &RequestKey, booked: BookedConsumption) -> Result<bool, Refusal> {
        let of_device = self.state.used_keys.get(&key.device_id);
        match of_device.and_then(|of_device| of_device.get(&key.value)) {
            Some(before) if before != booked => Err(Refusal::ValidationError(
                "The Idempotency-Key was used for another consumption; send each new consumption with a new key."
                    .to_owned(),
            )),
            before => Ok(before.is_some()),
        }
    }

    /// Remembers that the key is used, and forgets some old keys of the device.
    pub(super) fn mark_used(&mut self, key: &RequestKey, booked: BookedConsumption) {
        let now = self.state.running_time(self.now);
        self.record(Change::KeyUsed { key: key.clone(), booked, at: now });
        for _ in 0..FORGOTTEN_AT_ONCE {
            let of_device = self.state.used_keys.get(&key.device_id);
            let Some(value) = of_device.and_then(|of_device| of_device.forgettable(now)) else { break };
            let value = value.to_owned();
            self.record(Change::KeyForgotten { key: RequestKey { device_id: key.device_id, value } });
        }
    }
}
