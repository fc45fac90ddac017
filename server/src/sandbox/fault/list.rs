//! The list of a world's faults, and which of them a request meets.

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

/// More are no test but a leak.
const MOST_FAULTS: usize = 1000;

/// The faults of a world, in order.
#[derive(Debug, Default)]
pub(crate) struct FaultList {
    /// Those of the world's presets, which belong to the world as its licenses do: they are not listed, and stay when the
    /// list is emptied or replaced. Each is for a device of its preset's name only.
    of_presets: Vec<FaultState>,
    faults: Vec<FaultState>,
    last_id: u64,
}

#[derive(Debug)]
struct FaultState {
    entry: FaultEntry,
    until: Option<DateTime<Utc>>,
    random: ChaCha8Rng,
}

/// A fault of the list, and what has come of it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct FaultEntry {
    /// Its number in this world.
    pub(crate) id: u64,
    /// As it was given; with the seed that was chosen for it.
    #[serde(flatten)]
    pub(crate) fault: Fault,
    /// Requests that matched.
    pub(crate) matched: u64,
    /// Requests that it happened to.
    pub(crate) happened: u64,
}

/// What happens to a request.
#[derive(Debug)]
pub(crate) struct MatchedFault {
    pub(crate) id: u64,
    pub(crate) action: FaultAction,
    /// How long the delay is, if it is one.
    pub(crate) delay: Duration,
}

impl FaultList {
    /// Adds one at the end; `now` is the world's time.
    pub(crate) fn add(&mut self, fault: Fault, now: DateTime<Utc>) -> Result<FaultEntry, ControlError> {
        fault.check()?;
        if self.faults.len() >= MOST_FAULTS {
            return Err(ControlError::conflict(format!(
                "there are {MOST_FAULTS} faults already: remove some by DELETE"
            )));
        }
        let state = self.numbered(fault, now)?;
        let entry = state.entry.clone();
        self.faults.push(state);
        Ok(entry)
    }

    /// Adds one of a preset.
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

    /// Puts these in the place of all; if one is wrong, all stay.
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

    /// Whether there was one of this number.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.faults.len();
        self.faults.retain(|state| state.entry.id != id);
        self.faults.len() < before
    }

    /// What happens to this request: the first fault that matches and whose time it is.
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
        // The dice are thrown for every request they may decide, so that a seed decides the same ones again.
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
