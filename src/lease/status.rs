//! The status of a lease as its host sees it: state, reason and events.

use crate::client::chance;
use crate::error::Error;
use crate::json;
use crate::lease::background::events::Events;
use crate::lease::clock::Clock;
use crate::lease::state_cell::StateWriter;
use crate::lease::state_machine::{Input, LeaseEvent, State, StateMachine};
use crate::model;
use crate::status::Status;
use crate::strict::Object;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::sync::Arc;

/// Tells a host which lease an event, or an info, is about.
pub(crate) struct LeaseLabel {
    /// The number of the lease.
    pub(crate) id: u64,
    /// The features of its slots; empty: the license's own slot.
    pub(crate) features: Vec<String>,
    /// The text that the host gave to the acquire.
    pub(crate) tag: Option<String>,
}

impl LeaseLabel {
    /// The members of an event or an info.
    pub(crate) fn members(&self) -> [(&'static str, Value); 3] {
        [
            ("lease", self.id.into()),
            ("features", self.features.iter().map(String::as_str).collect()),
            ("tag", self.tag.as_deref().into()),
        ]
    }
}

/// The part of a lease that changes. A thread holds its lock for the time of one change only.
pub(crate) struct LeaseStatus {
    label: Arc<LeaseLabel>,
    state_machine: StateMachine,
    /// The last failure, unless the server has said yes since.
    error: Option<(Status, String)>,
    /// The end of the borrow, as the server has told it.
    borrowed_until: Option<DateTime<Utc>>,
    /// The server's last reply about each slot.
    replies: Vec<Reply>,
    /// Publishes the state to the handle of the lease.
    writer: Option<StateWriter>,
}

/// The server's last reply about a slot.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) feature: Option<String>,
    pub(crate) text: Option<String>,
}

impl LeaseStatus {
    pub(crate) fn new(label: Arc<LeaseLabel>, state_machine: StateMachine) -> LeaseStatus {
        LeaseStatus { label, state_machine, error: None, borrowed_until: None, replies: Vec::new(), writer: None }
    }

    pub(crate) fn state(&self) -> State {
        self.state_machine.state()
    }

    pub(crate) fn state_machine(&self) -> &StateMachine {
        &self.state_machine
    }

    /// Stores the server's yes: its reply about each slot, and the end of the borrow if all slots are borrowed.
    pub(crate) fn confirmed(&mut self, borrowed_until: Option<DateTime<Utc>>, replies: Vec<Reply>) {
        self.error = None;
        self.borrowed_until = borrowed_until;
        for reply in replies {
            match self.replies.iter_mut().find(|kept| kept.feature == reply.feature) {
                Some(kept) => kept.text = reply.text.or(kept.text.take()),
                None => self.replies.push(reply),
            }
        }
    }

    /// Stores that the lease is borrowed until this date, of which no reply is at hand.
    pub(crate) fn borrowed(&mut self, until: DateTime<Utc>) {
        (self.error, self.borrowed_until) = (None, Some(until));
    }

    /// Stores why the lease is not confirmed.
    pub(crate) fn set_error(&mut self, error: &Error) {
        self.error = Some((error.status, error.message()));
    }

    /// Takes one of the first steps, which the host does not hear of by an event.
    pub(crate) fn start(&mut self, input: Input, clock: &Clock) {
        self.state_machine = self.state_machine.step(input, clock.now(), chance()).0;
    }

    /// Steps the state machine, publishes the state, and queues the event that follows, if one does.
    pub(crate) fn step(&mut self, input: Input, clock: &Clock, events: &Events) {
        let now = clock.now();
        let (state_machine, event) = self.state_machine.step(input, now, chance());
        self.state_machine = state_machine;
        self.publish(clock);
        if let Some(event) = event {
            events.push(self.event_json(event, clock));
        }
    }

    /// Publishes the state by this writer from now on.
    pub(crate) fn publish_to(&mut self, writer: StateWriter, clock: &Clock) {
        self.writer = Some(writer);
        self.publish(clock);
    }

    /// Stops publishing the state.
    pub(crate) fn stop_publishing(&mut self) {
        self.writer = None;
    }

    /// Publishes the state and the deadline, by the system's clock.
    pub(crate) fn publish(&mut self, clock: &Clock) {
        if let Some(writer) = &mut self.writer {
            writer
                .publish(self.state_machine.state(), self.state_machine.runs_until().saturating_sub(clock.ahead_ms()));
        }
    }

    fn event_json(&self, event: LeaseEvent, clock: &Clock) -> String {
        let (status, reason) = self.reason();
        let mut members = vec![("event", event.name().into())];
        members.extend(self.label.members());
        members.extend([
            ("state", self.state().name().into()),
            ("remaining_ms", self.state_machine.remaining_ms(clock.now()).into()),
            ("status", status.number().into()),
            ("name", status.row().name.into()),
            ("reason", reason.into()),
            ("borrowed_until", self.borrowed_until().into()),
            ("at", model::format_time(clock.wall()).into()),
        ]);
        json::object(&members)
    }

    /// The JSON object of `lease_info`.
    pub(crate) fn info(&self, clock: &Clock, keep_alive: &'static str) -> String {
        let (status, reason) = self.reason();
        let now = clock.now();
        let mut members = Vec::from(self.label.members());
        members.extend([
            ("state", self.state().name().into()),
            ("remaining_ms", self.state_machine.remaining_ms(now).into()),
            ("renews_in_ms", self.state_machine.renew_at().map(|at| at.saturating_sub(now).max(0)).into()),
            ("status", status.number().into()),
            ("name", status.row().name.into()),
            ("reason", reason.into()),
            ("borrowed_until", self.borrowed_until().into()),
            ("keep_alive", keep_alive.into()),
            ("slots", self.replies.iter().map(slot).collect()),
        ]);
        json::object(&members)
    }

    /// Returns whether the slots are surely still borrowed, also if the lease is over.
    pub(crate) fn has_borrow(&self, clock: &Clock) -> bool {
        self.borrowed_until.is_some_and(|until| until > clock.earliest_date())
    }

    fn borrowed_until(&self) -> Option<String> {
        self.borrowed_until.filter(|_| self.state() == State::Borrowed).map(model::format_time)
    }

    fn reason(&self) -> (Status, Option<&str>) {
        match (&self.error, self.state()) {
            (Some((status, reason)), _) => (*status, Some(reason)),
            (None, State::Grace | State::Lost) => {
                (Status::Timeout, Some("The slot's time was over before it could be renewed."))
            }
            (None, _) => (Status::Ok, None),
        }
    }
}

/// A slot in the JSON object of [`LeaseStatus::info`].
fn slot(reply: &Reply) -> Value {
    let object = reply.text.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let mut slot = Object::new();
    slot.insert("feature".to_owned(), reply.feature.as_deref().into());
    slot.insert("reply".to_owned(), object.unwrap_or_default());
    slot.into()
}
