//! A model of the domain so naive that it can be read in one go.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use floatlease_server::catalogue::VersionFilter;
use floatlease_server::domain::{Action, Until};

use super::world::{borrow_feature, check_feature, consume_feature, release_feature};

/// What the model is of.
pub const CATALOGUE: &str = r#"
[[product]]
code = "P"
[[license]]
product = "P"
id = 1
license_key = "K"
allow_unlimited_activations = true
floating = { users = 3, timeout_minutes = 10, can_borrow = true, max_borrow_time_hours = 2 }
feature = [
    { code = "F", id = 11, floating = { users = 2, timeout_minutes = 7, can_borrow = true, max_borrow_time_hours = 1 } },
    { code = "C", consumption = { max_consumptions = 20, allow_negative_consumptions = true, consumption_period = "daily" } },
]
"#;

/// They are called `hw-0` and so on.
pub const DEVICES: u64 = 6;

/// A list of who holds what until when.
pub struct Pool {
    users: usize,
    timeout_minutes: i64,
    max_borrow_time_hours: i64,
    /// By device: until when, and whether it is borrowed.
    pub held: BTreeMap<u64, (DateTime<Utc>, bool)>,
}

/// What there is, as far as the model knows.
pub struct Model {
    pub active: [bool; DEVICES as usize],
    pub license: Pool,
    pub feature: Pool,
    /// On the day of the last consumption.
    consumed: i64,
    consumed_at: DateTime<Utc>,
    /// By how much the clock was set back since.
    set_back: TimeDelta,
}

impl Pool {
    pub fn forget(&mut self, now: DateTime<Utc>) {
        self.held.retain(|_, (until, _)| *until > now);
    }

    fn check(&mut self, device: u64, now: DateTime<Utc>) -> bool {
        let until = now + TimeDelta::minutes(self.timeout_minutes);
        match self.held.get(&device) {
            Some((_, true)) => {}
            None if self.held.len() >= self.users => return false,
            _ => {
                self.held.insert(device, (until, false));
            }
        }
        true
    }

    fn end(&self, minutes: Option<i64>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let longest = self.max_borrow_time_hours * 60;
        let minutes = minutes.unwrap_or(longest);
        (minutes > 0 && minutes <= longest).then(|| now + TimeDelta::minutes(minutes))
    }
}

/// Nothing, or the code of the refusal.
pub type Said = Result<(), &'static str>;

impl Model {
    /// At the beginning.
    pub fn new() -> Model {
        let pool = |users, timeout_minutes, max_borrow_time_hours| Pool {
            users,
            timeout_minutes,
            max_borrow_time_hours,
            held: BTreeMap::new(),
        };
        Model {
            active: [false; DEVICES as usize],
            license: pool(3, 10, 2),
            feature: pool(2, 7, 1),
            consumed: 0,
            // Nothing was ever consumed.
            consumed_at: DateTime::UNIX_EPOCH,
            set_back: TimeDelta::zero(),
        }
    }

    /// A request of the device: `what` is the number of its action.
    pub fn step(&mut self, device: u64, what: u64, minutes: Option<i64>, amount: i64, now: DateTime<Utc>) -> Said {
        self.license.forget(now);
        self.feature.forget(now);
        if what == 0 {
            self.active[device as usize] = true;
            return Ok(());
        }
        if !self.active[device as usize] {
            return Err("device_not_found");
        }
        let (license, feature) = (&mut self.license, &mut self.feature);
        match what {
            1 => {
                self.active[device as usize] = false;
                license.held.remove(&device);
                feature.held.remove(&device);
                Ok(())
            }
            2 | 3 => license.check(device, now).then_some(()).ok_or("floating_not_available"),
            4 => {
                let until = license.end(minutes, now).ok_or("borrow_until_not_valid")?;
                license.check(device, now).then_some(()).ok_or("floating_not_available")?;
                license.held.insert(device, (until, true));
                Ok(())
            }
            5 => license.held.remove(&device).map(|_| ()).ok_or("floating_not_available"),
            6 | 7 => feature.check(device, now).then_some(()).ok_or("floating_not_available"),
            8 => {
                feature.held.get(&device).ok_or("floating_feature_device_not_in_use")?;
                let until = feature.end(minutes, now).ok_or("borrow_until_not_valid")?;
                feature.held.insert(device, (until, true));
                Ok(())
            }
            9 => feature.held.remove(&device).map(|_| ()).ok_or("floating_feature_device_not_in_use"),
            _ if amount > 0 && self.consumed(now) + amount > 20 => Err("feature_not_enough_consumptions"),
            _ => {
                if self.consumed_at.num_days_from_ce() != now.num_days_from_ce() {
                    self.set_back = TimeDelta::zero();
                }
                (self.consumed, self.consumed_at) = (self.consumed(now) + amount, now);
                Ok(())
            }
        }
    }

    /// What counts of today.
    pub fn consumed(&self, now: DateTime<Utc>) -> i64 {
        if self.consumed_at.num_days_from_ce() == now.num_days_from_ce() { self.consumed } else { 0 }
    }

    /// The clock jumps from `now`, or the server was off for so long: nobody lost anything by it, and what had ended has
    /// ended. The end of a borrow is a date. What was consumed counts at the latest from the present on, and at its
    /// own time again when the clock is right again.
    pub fn jump(&mut self, by: TimeDelta, now: DateTime<Utc>) {
        for pool in [&mut self.license, &mut self.feature] {
            pool.forget(now);
            pool.held.values_mut().filter(|(_, borrowed)| !borrowed).for_each(|(until, _)| *until += by);
        }
        let (now, by_old_clock) = (now + by, self.consumed_at + self.set_back);
        if self.consumed_at > now {
            (self.consumed_at, self.set_back) = (now, by_old_clock - now);
        } else if by_old_clock <= now {
            (self.consumed_at, self.set_back) = (by_old_clock, TimeDelta::zero());
        }
    }
}

/// The action of this number.
pub fn action(what: u64, minutes: Option<i64>, amount: i64, now: DateTime<Utc>) -> Action {
    let until = minutes.map_or(Until::Longest, |minutes| Until::At(now + TimeDelta::minutes(minutes)));
    match what {
        0 => Action::Activate { variables: Vec::new() },
        1 => Action::Deactivate { variables: Vec::new() },
        2 | 3 => Action::CheckLicense { include_expired_features: false, wanted: VersionFilter::default() },
        4 => Action::BorrowLicense(until),
        5 => Action::ReleaseLicense,
        6 | 7 => check_feature("F"),
        8 => borrow_feature("F", until),
        9 => release_feature("F"),
        _ => consume_feature("C", amount),
    }
}
