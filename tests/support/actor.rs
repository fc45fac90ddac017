//! A program that holds a lease, in this process or in one of its own, and does what the test orders.

use super::abi::{Answer, Client, Lease};
use super::holder::Holder;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// What a program answers to an order.
#[derive(Debug)]
pub struct Said {
    /// The name of the call's status.
    pub status: String,
    /// How its lease stands now.
    pub state: String,
    /// What the call gave.
    pub json: Value,
}

impl Said {
    /// The state after a call that must have succeeded.
    pub fn ok(self) -> String {
        assert_eq!(self.status, "OK", "{}", self.json);
        self.state
    }
}

/// A client and at most one lease of it.
pub struct Program {
    client: Arc<Client>,
    lease: Option<Lease>,
}

impl Program {
    pub fn open(config: &Value) -> Program {
        Program { client: Arc::new(Client::open(config).unwrap()), lease: None }
    }

    /// Another one with a lease of the same client.
    pub fn beside(&self) -> Program {
        Program { client: Arc::clone(&self.client), lease: None }
    }

    /// Does what an order says: a word, and perhaps a request after it. A word that is not about the lease is a verb of
    /// the client.
    pub fn obey(&mut self, order: &str) -> Said {
        let (word, request) = order.split_once(' ').unwrap_or((order, "null"));
        let request = serde_json::from_str(request).unwrap();
        let held = || self.lease.as_ref().expect("a lease");
        let nothing = || Answer { status: "OK".to_owned(), json: Value::Null };
        let answer = match word {
            "acquire" => {
                let (taken, answer) = self.client.try_acquire(&request);
                self.lease = taken;
                answer
            }
            "renew" => held().renew(),
            "borrow" => held().borrow(&request),
            "release" => held().release(),
            "sleep_ms" => {
                self.client.advance(serde_json::from_value(request).unwrap());
                nothing()
            }
            "free" => {
                self.lease = None;
                nothing()
            }
            "close" => {
                self.client.close();
                nothing()
            }
            "state" => nothing(),
            "diagnose" => self.client.try_diagnose(),
            verb => self.client.call(verb, &request),
        };
        let state = self.lease.as_ref().map_or("NONE", |lease| lease.state()).to_owned();
        Said { status: answer.status, state, json: answer.json }
    }
}

/// A program on a thread of this process.
pub struct Insider {
    orders: Sender<String>,
    answers: Receiver<Said>,
}

impl Insider {
    pub fn start(mut program: Program) -> Insider {
        let (orders, received) = channel::<String>();
        let (say, answers) = channel();
        thread::spawn(move || received.iter().map(|order| program.obey(&order)).try_for_each(|said| say.send(said)));
        Insider { orders, answers }
    }
}

/// A program, wherever it runs.
pub enum Actor {
    Thread(Insider),
    Process(Holder),
}

impl Actor {
    /// Gives an order; its answer is to be fetched.
    pub fn order(&mut self, order: &str) {
        match self {
            Actor::Thread(insider) => insider.orders.send(order.to_owned()).unwrap(),
            Actor::Process(holder) => holder.order(order),
        }
    }

    /// What it says to the last order; `None` if it was killed before it could.
    pub fn answer(&mut self) -> Option<Said> {
        match self {
            Actor::Thread(insider) => insider.answers.recv().ok(),
            Actor::Process(holder) => holder.answer(),
        }
    }

    /// An order and its answer.
    pub fn tell(&mut self, order: &str) -> Said {
        self.order(order);
        self.answer().unwrap_or_else(|| panic!("no answer to: {order}"))
    }

    /// Ends a process in whatever it does.
    pub fn kill(&mut self) {
        match self {
            Actor::Thread(_) => panic!("a thread can't be killed"),
            Actor::Process(holder) => holder.kill(),
        }
    }
}

/// The line by which a process tells what its program said.
pub fn line_of(said: &Said) -> String {
    let Said { status, state, json } = said;
    json!({ "status": status, "state": state, "json": json }).to_string()
}

/// What such a line says.
pub fn said_in(line: &str) -> Said {
    let mut said: Value = serde_json::from_str(line).unwrap();
    let mut text = |key: &str| said[key].take().as_str().unwrap().to_owned();
    let (status, state) = (text("status"), text("state"));
    Said { status, state, json: said["json"].take() }
}
