//! The list of a world's faults, and the search for the fault that a request matches.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::Serialize;

use super::{AfterCommit, Before, Fault, FaultAction};
use crate::sandbox::control_error::ControlError;
use crate::sandbox::request_info::RequestInfo;
use crate::sandbox::time_spec::instant;

/// Upper bound for the faults of a world, so that a test that never removes its faults is noticed.
const MOST_FAULTS: usize = 1000;

/// The faults of a world, in the order in which they are tried.
#[derive(Debug, Default)]
pub(crate) struct FaultList {
    /// The faults of the world's presets, each for a device of its preset's name. They belong to the world as its licenses
    /// do: the list does not show them, and they stay when it is emptied or replaced.
    of_presets: Vec<FaultState>,
    faults: Vec<FaultState>,
    last_id: u64,
}

/// A fault of the list with the state that decides when it happens.
#[derive(Debug)]
struct FaultState {
    entry: FaultEntry,
    until: Option<DateTime<Utc>>,
    random: ChaCha8Rng,
}

/// A fault of the list, and how often it matched and happened.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct FaultEntry {
    /// The fault's number in this world.
    pub(crate) id: u64,
    /// The fault as it was given, with the seed that was chosen for it.
    #[serde(flatten)]
    pub(crate) fault: Fault,
    /// Number of requests that matched.
    pub(crate) matched: u64,
    /// Number of requests that the fault happened to.
    pub(crate) happened: u64,
}

/// The fault that happens to a request.
#[derive(Debug)]
pub(crate) struct MatchedFault {
    pub(crate) id: u64,
    pub(crate) action: FaultAction,
    /// The delay, if the fault is one.
    pub(crate) delay: Duration,
}

impl FaultList {
    /// Adds a fault at the end. `now` is the world's time.
    pub(crate) fn add(&mut self, fault: Fault, now: DateTime<Utc>) -> Result<FaultEntry, ControlError> {
        fault.check()?;
        if self.faults.len() >= MOST_FAULTS {
            return Err(ControlError::conflict(format!(
                "too many faults: at most {MOST_FAULTS} are allowed; remove some by DELETE"
            )));
        }
        let state = self.numbered(fault, now)?;
        let entry = state.entry.clone();
        self.faults.push(state);
        Ok(entry)
    }

    /// Adds the fault of a preset.
    pub(crate) fn add_preset(&mut self, fault: Fault, now: DateTime<Utc>) -> Result<(), ControlError> {
        let state = self.numbered(fault, now)?;
        self.of_presets.push(state);
        Ok(())
    }

    fn numbered(&mut self, mut fault: Fault, now: DateTime<Utc>) -> Result<FaultState, ControlError> {
        let until = fault.when.until.as_deref().map(|until| instant(until, now)).transpose()?;
        let seed = fault.when.seed.unwrap_or_else(|| rand::rng().random_range(0..1 << 32));
        if fault.is_random() {
            fault.when.seed = Some(seed);
        }
        self.last_id += 1;
        let entry = FaultEntry { id: self.last_id, fault, matched: 0, happened: 0 };
        Ok(FaultState { entry, until, random: ChaCha8Rng::seed_from_u64(seed) })
    }

    pub(crate) fn all(&self) -> Vec<FaultEntry> {
        self.faults.iter().map(|state| state.entry.clone()).collect()
    }

    /// Replaces the list. If one of the new faults is invalid, the list stays as it is.
    pub(crate) fn replace(&mut self, faults: Vec<Fault>, now: DateTime<Utc>) -> Result<(), ControlError> {
        let mut fresh = FaultList { last_id: self.last_id, ..FaultList::default() };
        for fault in faults {
            fresh.add(fault, now)?;
        }
        (self.faults, self.last_id) = (fresh.faults, fresh.last_id);
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }

    /// Removes the fault of this number, and returns whether there was one.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.faults.len();
        self.faults.retain(|state| state.entry.id != id);
        self.faults.len() < before
    }

    /// Returns the first fault that matches the request and is to happen now.
    pub(crate) fn find(&mut self, info: &RequestInfo, now: DateTime<Utc>) -> Option<MatchedFault> {
        self.of_presets.iter_mut().chain(&mut self.faults).find_map(|state| state.find(info, now))
    }
}

impl FaultState {
    fn find(&mut self, info: &RequestInfo, now: DateTime<Utc>) -> Option<MatchedFault> {
        let FaultEntry { id, fault, matched, happened } = &mut self.entry;
        if !fault.matching.fits(info) {
            return None;
        }
        *matched += 1;
        let when = &fault.when;
        let number = matched.checked_sub(when.after.unwrap_or_default()).filter(|number| *number > 0)?;
        let over = self.until.is_some_and(|until| now >= until);
        let skipped = when.every.is_some_and(|every| number % every != 0);
        // The random number is drawn for every request that it may decide, so that a seed decides the same ones again.
        let missed = when.probability.is_some_and(|probability| !self.random.random_bool(probability));
        let spent = when.times.is_some_and(|times| *happened >= times);
        if over || skipped || missed || spent {
            return None;
        }
        *happened += 1;
        let delay = fault.delay().map(|delay| delay.draw(&mut self.random)).unwrap_or_default();
        Some(MatchedFault { id: *id, action: fault.action.clone(), delay })
    }
}

impl Fault {
    fn delay(&self) -> Option<&super::Delay> {
        match &self.action {
            FaultAction::Before(Before::Delay(delay)) | FaultAction::AfterCommit(AfterCommit::Delay(delay)) => {
                Some(delay)
            }
            _ => None,
        }
    }

    pub(super) fn is_random(&self) -> bool {
        self.when.probability.is_some() || self.delay().is_some_and(|delay| !matches!(delay, super::Delay::FixedMs(_)))
    }
}
