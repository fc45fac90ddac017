//! Profiles: faults that go together, under a well-known name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AfterCommit, Before, Delay, Fault, FaultAction, Http, Match, When};

/// A well-known kind of trouble, made of several faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    /// One request in ten is slow. Some requests and some replies are lost.
    FlakyWifi,
    /// Now and then a proxy answers instead, with a page or an error. One request in ten is slow.
    CorporateProxy,
    /// Four requests are refused, and two get a 503 with `Retry-After` 1. Then all requests succeed.
    ServerRestart,
    /// No request gets through.
    Outage,
}

impl Profile {
    /// Returns the profile's faults for these requests. `seed` decides when they happen, and `until` ends them.
    pub(crate) fn faults(self, seed: u64, matching: &Match, until: Option<&str>) -> Vec<Fault> {
        let http = |status, retry_after_s| FaultAction::Before(Before::Http(Http { status, retry_after_s }));
        let slow = Delay::LogNormal { median_ms: 300, sigma: 0.8 };
        let chances = |rows: Vec<(f64, FaultAction)>| {
            let chance = |(probability, action)| When { probability: Some(probability), ..When::default() }.of(action);
            rows.into_iter().map(chance).collect()
        };
        let times = |times, action| When { times: Some(times), ..When::default() }.of(action);
        let mut faults: Vec<Fault> = match self {
            Profile::FlakyWifi => chances(vec![
                (0.02, FaultAction::Before(Before::Refuse)),
                (0.02, FaultAction::AfterCommit(AfterCommit::Reset)),
                (0.01, FaultAction::AfterCommit(AfterCommit::Truncate)),
                (0.10, FaultAction::Before(Before::Delay(slow))),
            ]),
            Profile::CorporateProxy => chances(vec![
                (0.05, FaultAction::Before(Before::HtmlPage)),
                (0.03, http(502, None)),
                (0.02, http(504, None)),
                (0.02, http(407, None)),
                (0.10, FaultAction::Before(Before::Delay(slow))),
            ]),
            Profile::ServerRestart => vec![times(4, FaultAction::Before(Before::Refuse)), times(2, http(503, Some(1)))],
            Profile::Outage => vec![Fault::always(FaultAction::Before(Before::Refuse))],
        };
        for (number, fault) in (0..).zip(&mut faults) {
            fault.matching = matching.clone();
            fault.when.until = until.map(str::to_owned);
            if fault.is_random() {
                fault.when.seed = Some(seed.wrapping_add(number));
            }
        }
        faults
    }
}

impl When {
    fn of(self, action: FaultAction) -> Fault {
        Fault { when: self, ..Fault::always(action) }
    }
}
