//! Makes up for a time in which the server did not run.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::change::Change;
use super::latest_requests::LatestRequest;
use super::pool::Slot;
use super::state::State;

impl State {
    /// Makes up for the time since the last heartbeat, in which the server did not run.
    ///
    /// Clients could not renew meanwhile, so each slot keeps the time that it had left, also if the clock was set back. A
    /// borrow's end was promised to the client and stays. Order numbers are remembered by the time that the server runs,
    /// so they move too.
    ///
    /// Slots that had expired before are freed first. Otherwise, if the clock was set back, they would be held again.
    pub fn resume(&mut self, now: DateTime<Utc>) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some(last_heartbeat) = self.last_heartbeat {
            self.free_expired(last_heartbeat, &mut changes);
            let settled = changes.len();
            let downtime = now - last_heartbeat;
            for (pool, slots) in &self.pools {
                let to_be_renewed = slots.iter().filter(|(_, slot)| !slot.borrowed);
                changes.extend(to_be_renewed.map(|(device_id, slot)| Change::SlotHeld {
                    pool: *pool,
                    device_id,
                    slot: Slot { until: slot.until + downtime, ..slot },
                }));
            }
            changes.extend(self.orders.all().map(|(license_id, hardware_id, scope, request)| Change::Ordered {
                license_id,
                hardware_id: Arc::clone(hardware_id),
                scope,
                request: LatestRequest { at: request.at + downtime, ..request.clone() },
            }));
            changes.push(Change::Downtime { total: self.downtime + downtime });
            for change in changes.iter().skip(settled) {
                self.apply_change(change);
            }
        }
        let carried = self.counters.iter().filter_map(|(entitlement, counter)| {
            let (entitlement, carried) = (*entitlement, counter.carried_to(now));
            (carried != *counter).then_some(Change::Consumed { entitlement, counter: carried })
        });
        for change in carried.collect::<Vec<_>>() {
            self.apply_change(&change);
            changes.push(change);
        }
        changes.push(self.heartbeat(now));
        changes
    }
}
