//! The whole of licensing as a pure function: `apply(state, command, now)` answers and says what changed.
//!
//! No I/O, no clock, no randomness: the same history always ends in the same state, so it is tested against a naive
//! model of itself and recovered by replaying what was stored.

mod activation;
mod audit;
mod change;
mod consumption;
mod due;
mod floating;
mod idempotency;
mod order;
mod refusal;
pub mod reply;
mod subject;
mod view;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

pub use activation::{Device, DeviceStatus, Variable};
pub use audit::Holding;
pub use change::{Change, Event, EventKind};
pub use consumption::Counter;
pub use due::{Due, DueKind};
pub use floating::{Slot, Until};
pub use idempotency::{BookedConsumption, RequestKey};
pub use order::{LatestRequest, OrderScope, OrderedAction};
pub use refusal::Refusal;
pub use reply::Reply;

use crate::catalogue::{Catalogue, Feature, License, Overages};
use activation::LicenseRecord;
use consumption::Booking;
use floating::Pool;
use idempotency::UsedKeys;
use order::{LatestRequests, Order};
use subject::Subject;

/// What a slot or a consumption total belongs to: a license or one of its features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntitlementId {
    /// The license.
    pub license_id: u64,
    /// The feature; `None` is the license itself.
    pub feature_id: Option<u64>,
}

/// Something a client wants, well-formed and authorised.
#[derive(Debug, Clone)]
pub struct Command {
    /// Short code of the product.
    pub product: String,
    /// What names the license.
    pub credential: Credential,
    /// Which of several licenses.
    pub license_id: Option<u64>,
    /// The device.
    pub hardware_id: String,
    /// The device says it is a virtual machine.
    pub is_vm: bool,
    /// What it wants.
    pub action: Action,
    /// The client's name for this key, so that a consumption is not booked twice however often it arrives.
    pub idempotency_key: Option<String>,
    /// The client's number of this request: it is not carried out after one with a higher number.
    pub order: Option<u64>,
}

/// What names a license, and proves that the client may use it.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A license key.
    Key(String),
    /// A user; not every operation asks for the password.
    User {
        /// His name.
        username: String,
        /// His password.
        password: Option<String>,
    },
    /// A token of the customer account's single sign-on.
    Token {
        /// The token.
        token: Token,
        /// The account.
        customer_account_code: String,
    },
}

/// What single sign-on gave the client.
#[derive(Debug, Clone)]
pub enum Token {
    /// An access token (implicit grant).
    IdToken(String),
    /// An authorization code.
    Code(String),
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Action {
    /// Make the device one of the license's.
    Activate {
        /// Facts to keep about it.
        variables: Vec<(String, String)>,
    },
    /// Read the license; a floating one takes or renews a slot.
    CheckLicense {
        /// Show expired features too.
        include_expired_features: bool,
    },
    /// Take the device off the license.
    Deactivate {
        /// Facts to keep about it.
        variables: Vec<(String, String)>,
    },
    /// Pin a slot of the license.
    BorrowLicense(Until),
    /// Give the license's slot back.
    ReleaseLicense,
    /// Read the feature; a floating one takes or renews a slot.
    CheckFeature {
        /// Its code.
        feature: String,
        /// Answer its metadata as a text too.
        include_metadata_string: bool,
    },
    /// Pin a slot of the feature.
    BorrowFeature {
        /// Its code.
        feature: String,
        /// Until when.
        until: Until,
    },
    /// Give the feature's slot back.
    ReleaseFeature {
        /// Its code.
        feature: String,
    },
    /// Consume from the license.
    AddConsumption {
        /// How much; negative gives back.
        amount: i64,
        /// From now on, overages are allowed or not.
        allow_overages: Option<bool>,
        /// From now on, so many.
        max_overages: Option<i64>,
    },
    /// Consume from a feature.
    AddFeatureConsumption {
        /// Its code.
        feature: String,
        /// How much; negative gives back.
        amount: i64,
    },
}

/// The answer to a command.
pub type Outcome = Result<Reply, Refusal>;

/// What has happened so far, in memory.
#[derive(Debug)]
pub struct State {
    catalogue: Arc<Catalogue>,
    licenses: HashMap<u64, LicenseRecord>,
    pools: HashMap<EntitlementId, Pool>,
    counters: HashMap<EntitlementId, Counter>,
    activations_of_users: HashMap<u64, u64>,
    used_keys: HashMap<u64, UsedKeys>,
    orders: LatestRequests,
    last_device_id: u64,
    last_heartbeat: Option<DateTime<Utc>>,
    /// How much of licence time the server did not run.
    downtime: TimeDelta,
}

/// One command being applied.
struct Transition<'s> {
    state: &'s mut State,
    now: DateTime<Utc>,
    changes: &'s mut Vec<Change>,
}

impl State {
    /// What those changes lead to; the store gives back the ones it was given, or fewer that say the same.
    pub fn recover(catalogue: Arc<Catalogue>, changes: Vec<Change>) -> State {
        let mut state = State {
            catalogue,
            licenses: HashMap::new(),
            pools: HashMap::new(),
            counters: HashMap::new(),
            activations_of_users: HashMap::new(),
            used_keys: HashMap::new(),
            orders: LatestRequests::default(),
            last_device_id: activation::DEVICE_IDS_FROM,
            last_heartbeat: None,
            downtime: TimeDelta::zero(),
        };
        for change in &changes {
            state.apply_change(change);
        }
        state
    }

    /// What is kept about licenses that the catalogue no longer has: their numbers, devices and live slots.
    pub fn orphans(&self) -> Vec<(u64, usize, usize)> {
        let gone = self.licenses.iter().filter(|(id, _)| !self.catalogue.has_license(**id));
        gone.map(|(id, record)| {
            let pools = self.pools.iter().filter(|(pool, _)| pool.license_id == *id);
            (*id, record.devices.len(), pools.map(|(_, pool)| pool.len()).sum())
        })
        .collect()
    }

    /// The last moment at which the server is known to have run.
    pub fn last_heartbeat(&self) -> Option<DateTime<Utc>> {
        self.last_heartbeat
    }

    /// Notes that the server ran at `now`, and answers the change to keep.
    pub fn heartbeat(&mut self, now: DateTime<Utc>) -> Change {
        let change = Change::Heartbeat { at: now };
        self.apply_change(&change);
        change
    }

    /// The state after `command` at `now`, which never is earlier than before; adds what changed to `changes`, also
    /// when the command is refused: slots that expired meanwhile are freed on the way.
    pub fn apply(&mut self, command: &Command, now: DateTime<Utc>, changes: &mut Vec<Change>) -> Outcome {
        let catalogue = Arc::clone(&self.catalogue);
        Transition { state: self, now, changes }.run(&catalogue, command)
    }

    /// Makes up for a time in which the server did not run: nobody could renew, so nobody loses a slot to it. If the
    /// clock was moved back meanwhile, slots move back with it: what they had left is what they have. A borrow's end was
    /// promised to the client and stays. Order numbers are remembered for as long as the server runs, so they move too.
    ///
    /// Slots whose time had come before are freed first. The next request about their pool would have freed them; on a
    /// clock that was set back, they would be held again.
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
            changes.extend(self.orders.moved(downtime));
            changes.push(Change::Downtime { total: self.downtime + downtime });
            for change in changes.iter().skip(settled) {
                self.apply_change(change);
            }
        }
        // A period that was counted under a clock gone wrong must not last until that date comes.
        let early = self.counters.iter().filter(|(_, counter)| counter.at > now);
        let early = early.map(|(entitlement, counter)| Change::Consumed {
            entitlement: *entitlement,
            counter: Counter { at: now, ..*counter },
        });
        for change in early.collect::<Vec<_>>() {
            self.apply_change(&change);
            changes.push(change);
        }
        changes.push(self.heartbeat(now));
        changes
    }
}

impl Transition<'_> {
    /// In the order a user would expect: product → license → order → its state → device → feature → rule.
    fn run(mut self, catalogue: &Catalogue, command: &Command) -> Outcome {
        let subject = Subject::find(catalogue, command)?;
        match Order::of(command, &subject.license) {
            Some(order) => self.run_in_order(order, catalogue, &subject, command),
            None => self.carry_out(catalogue, &subject, command),
        }
    }

    fn carry_out(&mut self, catalogue: &Catalogue, subject: &Subject, command: &Command) -> Outcome {
        if let Some(reply) = self.booked_before(subject, command)? {
            return Ok(reply);
        }
        subject.require_usable(command, self.now)?;
        if catalogue.is_blacklisted(&command.hardware_id) {
            return Err(Refusal::Blacklisted);
        }
        let license = &subject.license;
        // Activation makes the device that everything else needs.
        let device_id = match command.action {
            Action::Activate { .. } => self.activate_device(subject, &command.hardware_id)?,
            _ => self.active_device(license.id, &command.hardware_id).ok_or(Refusal::DeviceNotFound)?,
        };
        match &command.action {
            Action::Activate { variables } => {
                self.keep_variables(license, &command.hardware_id, device_id, variables);
                Ok(self.activation_reply(subject, command, device_id))
            }
            Action::CheckLicense { include_expired_features } => {
                if let Some(floating) = &license.floating {
                    self.claim(license, None, floating, device_id)?;
                }
                Ok(self.license_reply(subject, command, device_id, *include_expired_features))
            }
            Action::Deactivate { variables } => {
                self.deactivate_device(license, &command.hardware_id, variables);
                Ok(Reply::DEACTIVATED)
            }
            Action::BorrowLicense(until) => self.borrow_license(license, device_id, *until),
            Action::ReleaseLicense => self.release_license(license, device_id),
            Action::CheckFeature { feature, include_metadata_string } => {
                let feature = self.assigned_feature(license, feature)?;
                self.check_feature(subject, feature, device_id, *include_metadata_string)
            }
            Action::BorrowFeature { feature, until } => {
                let feature = self.assigned_feature(license, feature)?;
                self.borrow_feature(license, feature, device_id, *until)
            }
            Action::ReleaseFeature { feature } => {
                let unknown = || Refusal::InvalidLicenseFeatureCode(feature.clone());
                let feature = license.feature(feature).ok_or_else(unknown)?;
                self.release_feature(license, feature, device_id)
            }
            Action::AddConsumption { amount, allow_overages, max_overages } => {
                let current = self.state.overages(license);
                let overages = Overages {
                    allowed: allow_overages.unwrap_or(current.allowed),
                    max: max_overages.unwrap_or(current.max),
                };
                self.consume_license(license, &Booking::of(command, device_id, *amount), overages)
            }
            Action::AddFeatureConsumption { feature, amount } => {
                let feature = license.feature(feature).filter(|feature| !feature.is_expired(self.now));
                let feature = feature.ok_or(Refusal::UnsupportedProductFeature)?;
                self.consume_feature(license, feature, &Booking::of(command, device_id, *amount))
            }
        }
    }

    /// An expired feature counts as not assigned.
    fn assigned_feature<'l>(&self, license: &'l License, code: &str) -> Result<&'l Arc<Feature>, Refusal> {
        let feature = license.feature(code).filter(|feature| !feature.is_expired(self.now));
        feature.ok_or_else(|| Refusal::InvalidLicenseFeatureCode(code.to_owned()))
    }

    /// Changes the state, and remembers it for the store: the only way to do either.
    fn record(&mut self, change: Change) {
        self.state.apply_change(&change);
        self.changes.push(change);
    }

    /// Notes what happened in the journal.
    fn note(&mut self, kind: EventKind, license: &License, feature: Option<&Feature>, device_id: u64) {
        self.note_at(self.now, kind, license, feature, device_id);
    }

    /// Notes what has happened before.
    fn note_at(
        &mut self,
        at: DateTime<Utc>,
        kind: EventKind,
        license: &License,
        feature: Option<&Feature>,
        device_id: u64,
    ) {
        let feature = feature.map(|feature| Arc::clone(&feature.code));
        self.record(Change::Happened(Event { at, kind, license_id: license.id, feature, device_id }));
    }
}

impl EntitlementId {
    fn of(license: &License, feature: Option<&Feature>) -> EntitlementId {
        EntitlementId { license_id: license.id, feature_id: feature.map(|feature| feature.id) }
    }
}
