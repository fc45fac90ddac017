//! The domain without a server around it.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use floatlease_server::catalogue::{self, Catalogue, VersionFilter};
use floatlease_server::domain::reply::Body;
use floatlease_server::domain::{Action, Change, Command, Credential, State, Until};
use serde_json::Value;

use super::time;

/// The answer to a command: JSON, or the code of the refusal.
pub type Answer = Result<Value, &'static str>;

pub struct World {
    pub catalogue: Arc<Catalogue>,
    pub state: State,
    pub now: DateTime<Utc>,
    pub changes: Vec<Change>,
    seen: usize,
}

impl World {
    pub fn new(catalogue_toml: &str, now: &str) -> World {
        World::of(&Arc::new(catalogue::parse(catalogue_toml).unwrap()), time(now))
    }

    /// One of many with the same catalogue.
    pub fn of(catalogue: &Arc<Catalogue>, now: DateTime<Utc>) -> World {
        let state = State::recover(Arc::clone(catalogue), Vec::new());
        World { catalogue: Arc::clone(catalogue), state, now, changes: Vec::new(), seen: 0 }
    }

    pub fn apply(&mut self, command: &Command) -> Answer {
        let outcome = self.state.apply(command, self.now, &mut self.changes);
        let reply = outcome.map_err(|refusal| refusal.code())?;
        match reply.body(&self.catalogue, |text| Ok(text.to_owned())).unwrap() {
            Body::Empty => Ok(Value::Null),
            Body::Text(text) => Ok(text.into()),
            Body::Json(json) => Ok(serde_json::from_slice(&json).unwrap()),
        }
    }

    pub fn ask(&mut self, license_key: &str, hardware_id: &str, action: Action) -> Answer {
        self.apply(&command(license_key, hardware_id, action))
    }

    pub fn activate(&mut self, license_key: &str, hardware_id: &str) -> Answer {
        self.ask(license_key, hardware_id, Action::Activate { variables: Vec::new() })
    }

    pub fn check(&mut self, license_key: &str, hardware_id: &str) -> Answer {
        self.ask(
            license_key,
            hardware_id,
            Action::CheckLicense { include_expired_features: false, wanted: VersionFilter::default() },
        )
    }

    pub fn wait(&mut self, by: TimeDelta) {
        self.now += by;
    }

    /// The server notes that it runs at `now`.
    pub fn heartbeat(&mut self, now: DateTime<Utc>) {
        let heartbeat = self.state.heartbeat(now);
        self.changes.push(heartbeat);
    }

    /// As if the server had been killed and started again on what it had kept.
    pub fn restart(&mut self) {
        self.state = State::recover(Arc::clone(&self.catalogue), self.changes.clone());
    }

    /// The same, with another catalogue.
    pub fn restart_with(&mut self, catalogue_toml: &str) {
        self.catalogue = Arc::new(catalogue::parse(catalogue_toml).unwrap());
        self.restart();
    }

    /// The names of the events since the last time, in order.
    pub fn events(&mut self) -> Vec<&'static str> {
        let events = self.changes.iter().skip(std::mem::replace(&mut self.seen, self.changes.len()));
        events
            .filter_map(|change| if let Change::Happened(event) = change { Some(event.kind.name()) } else { None })
            .collect()
    }
}

pub fn command(license_key: &str, hardware_id: &str, action: Action) -> Command {
    Command {
        product: "P".to_owned(),
        credential: Credential::Key(license_key.to_owned()),
        license_id: None,
        licenses: None,
        hardware_id: hardware_id.to_owned(),
        is_vm: false,
        action,
        idempotency_key: None,
        order: None,
    }
}

pub fn check_feature(feature: &str) -> Action {
    Action::CheckFeature { feature: feature.to_owned(), include_metadata_string: false }
}

pub fn borrow_feature(feature: &str, until: Until) -> Action {
    Action::BorrowFeature { feature: feature.to_owned(), until }
}

pub fn release_feature(feature: &str) -> Action {
    Action::ReleaseFeature { feature: feature.to_owned() }
}

pub fn consume(amount: i64) -> Action {
    Action::AddConsumption { amount, allow_overages: None, max_overages: None }
}

pub fn consume_feature(feature: &str, amount: i64) -> Action {
    Action::AddFeatureConsumption { feature: feature.to_owned(), amount }
}
