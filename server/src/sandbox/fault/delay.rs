//! The length of a delay: fixed, or drawn at random.

use std::time::Duration;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, LogNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sandbox::control_error::ControlError;

/// The length of a delay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Delay {
    /// Always this many milliseconds.
    FixedMs(u32),
    /// Any number of milliseconds from the first to the second.
    UniformMs(u32, u32),
    /// A delay as networks have it: mostly near the median, now and then much longer.
    LogNormal {
        /// The median. Half of the delays are shorter.
        median_ms: u32,
        /// The spread; 0.5 is a busy network, 1 a bad one.
        #[schemars(range(min = 0, max = 5))]
        sigma: f64,
    },
}

/// Upper bound for a delay, in real time.
const LONGEST: Duration = Duration::from_secs(3600);

impl Delay {
    pub(super) fn check(&self) -> Result<(), ControlError> {
        match self {
            Delay::UniformMs(from, to) if from > to => {
                Err(ControlError::invalid("`delay.uniform_ms` must be two numbers, the smaller one first"))
            }
            Delay::LogNormal { sigma, .. } if !(0.0..=5.0).contains(sigma) => {
                Err(ControlError::invalid("`delay.log_normal.sigma` must be from 0 to 5"))
            }
            _ => Ok(()),
        }
    }

    /// Draws the next delay.
    pub(super) fn draw(&self, random: &mut impl Rng) -> Duration {
        let drawn = match *self {
            Delay::FixedMs(ms) => Duration::from_millis(ms.into()),
            Delay::UniformMs(from, to) => Duration::from_millis(random.random_range(from..=to.max(from)).into()),
            Delay::LogNormal { median_ms, sigma } => {
                let factor = LogNormal::new(0.0, sigma).map_or(1.0, |spread| spread.sample(random));
                Duration::try_from_secs_f64(f64::from(median_ms) / 1000.0 * factor).unwrap_or(LONGEST)
            }
        };
        drawn.min(LONGEST)
    }
}
