//! Every operation with every parameter absent, null, empty, of a wrong type, and as a numeric string.

use floatlease::operations::{Auth, Kind, Method, OPERATIONS, Operation, Parameter};
use floatlease_server::RateLimits;
use serde_json::{Map, Value, json};

use crate::common::Answer;
use crate::requests::{good, good_by_sign_on, good_by_user, parameters, prepare, row};
use crate::site::Site;

/// The codes of a request that lacks a parameter.
const MISSING: [&str; 3] = ["missing_parameters", "missing_hardware_id", "license_key_or_license_user_required"];
/// (operation, parameter): texts of which only some are valid, whatever their type.
const ENUMERATED: [(&str, &str); 2] = [("sso_url", "redirect_uri"), ("sso_url", "response_type")];

/// What comes of a request.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// It lacks a parameter.
    Missing,
    /// A parameter has a wrong type or value.
    Invalid,
    /// It was carried out, or refused by a rule with this code.
    Taken(Option<String>),
}

impl Outcome {
    fn of(answer: &Answer) -> Outcome {
        match answer.code() {
            Some(code) if MISSING.contains(&code.as_str()) => Outcome::Missing,
            Some(code) if code == "validation_error" => Outcome::Invalid,
            code => Outcome::Taken(code),
        }
    }
}

/// A parameter of an operation, and a good request in which it is given wrongly.
struct Case {
    operation: &'static Operation,
    parameter: &'static Parameter,
    request: Map<String, Value>,
    /// True while the request's device is ready for the request to succeed.
    is_ready: bool,
}

/// An answer to a changed request.
struct Reply {
    answer: Answer,
    outcome: Outcome,
    /// True if the server has kept a change.
    changed: bool,
}

impl Reply {
    /// Returns true if the message names the parameter.
    fn names(&self, parameter: &Parameter) -> bool {
        String::from_utf8_lossy(&self.answer.body).contains(parameter.name)
    }
}

impl Case {
    fn of(operation: &'static Operation, parameter: &'static Parameter) -> Case {
        let signs_on = matches!(row(operation).auth, Auth::Set | Auth::User);
        let base = match parameter.name {
            "username" | "password" => good_by_user(operation),
            "id_token" | "code" | "customer_account_code" | "redirect_uri" if signs_on => {
                good_by_sign_on(operation, parameter.name)
            }
            _ => good(operation),
        };
        let is_known = |name: &str| row(operation).parameter(name).is_some();
        let mut request = base.as_object().unwrap().clone();
        request.retain(|name, value| is_known(name) && (name == "borrowed_until" || !value.is_null()));
        Case { operation, parameter, request, is_ready: false }
    }

    /// Returns true if the request lacks something without the parameter.
    fn needs_parameter(&self) -> bool {
        let names_license = ["license_key", "username", "id_token", "code"].contains(&self.parameter.name);
        let goes_along = ["password", "customer_account_code"].contains(&self.parameter.name)
            && matches!(row(self.operation).auth, Auth::Set | Auth::User);
        self.parameter.required || names_license && self.is_given() || goes_along
    }

    fn is_given(&self) -> bool {
        self.request.contains_key(self.parameter.name)
    }

    /// Sends the request with this value of the parameter, or without it.
    fn try_value(&mut self, site: &mut Site, value: Option<&Value>) -> Reply {
        if !self.is_ready {
            if row(self.operation).device {
                self.request.insert("hardware_id".to_owned(), site.new_device().into());
            }
            prepare(site, self.operation, &self.request.clone().into());
        }
        let mut request = self.request.clone();
        match value {
            Some(value) => request.insert(self.parameter.name.to_owned(), value.clone()),
            None => request.remove(self.parameter.name),
        };
        let changes = site.changes();
        let answer = site.send(self.operation, &request.into(), &[]);
        let reply = Reply { outcome: Outcome::of(&answer), answer, changed: site.changes() != changes };
        if self.parameter.name == "new_password" && reply.answer.status == 200 {
            site.done(self.operation.name, &json!({ "password": value, "new_password": "p" }));
        }
        self.is_ready = !reply.changed;
        reply
    }

    /// Values of wrong types. In a query, every value is a text.
    fn wrong_values(&self) -> Vec<Value> {
        let values = match self.parameter.kind {
            Kind::Text => vec![json!(5), json!(1.5), json!(true), json!([]), json!(["x"]), json!({})],
            Kind::Integer => vec![
                json!("x"),
                json!("1.5"),
                json!("1 1"),
                json!("0x1"),
                json!("9223372036854775808"),
                json!(1.5),
                json!(1e300),
                json!(true),
                json!([]),
                json!([1]),
                json!({}),
            ],
            Kind::Boolean => vec![json!("x"), json!("1"), json!("yes"), json!(1), json!(0), json!([]), json!({})],
            Kind::TimeOrNull => vec![json!(5), json!(1.5), json!(true), json!([]), json!({})],
            Kind::Object => vec![json!("x"), json!("1"), json!("{}"), json!(5), json!(true), json!([])],
            Kind::Texts => vec![json!("x"), json!("1"), json!(5), json!(true), json!({}), json!([5]), json!([null])],
            Kind::File => vec![],
        };
        let is_sent = |value: &Value| self.operation.method == Method::Post || value.is_string();
        values.into_iter().filter(is_sent).collect()
    }

    /// Tries every way in which the parameter may be given, and adds what is wrong.
    fn check(&mut self, site: &mut Site, report: &mut Report) {
        let absent = self.try_value(site, None);
        let expected = if self.needs_parameter() { Outcome::Missing } else { Outcome::Taken(None) };
        report.expect(self, None, &absent, &expected);
        if self.parameter.required {
            report.require(self, None, &absent, absent.names(self.parameter), "does not name it");
        }
        let is_time = self.parameter.kind == Kind::TimeOrNull;
        if self.operation.method == Method::Post {
            let null = self.try_value(site, Some(&Value::Null));
            report.expect(self, Some(&Value::Null), &null, if is_time { &Outcome::Taken(None) } else { &expected });
        }
        let unreadable = Outcome::Taken(Some("borrow_until_not_valid".to_owned()));
        let (empty, number) = (json!(""), json!("1"));
        let reply = self.try_value(site, Some(&empty));
        report.expect(self, Some(&empty), &reply, if is_time { &unreadable } else { &expected });
        for value in self.wrong_values() {
            let reply = self.try_value(site, Some(&value));
            report.expect(self, Some(&value), &reply, &Outcome::Invalid);
            report.require(self, Some(&value), &reply, reply.names(self.parameter), "does not name it");
        }
        match self.parameter.kind {
            Kind::Text => {
                let reply = self.try_value(site, Some(&number));
                let is_valid = !ENUMERATED.contains(&(self.operation.name, self.parameter.name));
                let is_taken = matches!(reply.outcome, Outcome::Taken(_));
                report.require(self, Some(&number), &reply, is_taken == is_valid, "is not taken as a text");
            }
            Kind::TimeOrNull => {
                let reply = self.try_value(site, Some(&number));
                report.expect(self, Some(&number), &reply, &unreadable);
            }
            Kind::Integer => {
                // 11 and 12 are numbers of licenses, and 9,000,000 is more than is left of each.
                self.check_same(site, report, [-1, 0, 1, 2, 11, 12, 9_000_000].map(|n| (json!(n), n.to_string())));
            }
            Kind::Boolean => {
                let pairs = [(true, "true"), (true, "True"), (false, "false"), (false, "FALSE")];
                self.check_same(site, report, pairs.map(|(flag, text)| (json!(flag), text.to_owned())));
            }
            Kind::Object | Kind::Texts | Kind::File => {}
        }
    }

    /// Checks that each text is taken as the value beside it.
    fn check_same<const N: usize>(&mut self, site: &mut Site, report: &mut Report, pairs: [(Value, String); N]) {
        for (value, text) in pairs {
            let by_value = self.try_value(site, Some(&value));
            let text = Value::from(text);
            let by_text = self.try_value(site, Some(&text));
            report.expect(self, Some(&text), &by_text, &by_value.outcome);
        }
    }
}

/// What is wrong, and how much was tried.
#[derive(Default)]
struct Report {
    cells: usize,
    wrong: Vec<String>,
}

impl Report {
    /// Compares the outcome. What is not taken must change nothing.
    fn expect(&mut self, case: &Case, value: Option<&Value>, reply: &Reply, expected: &Outcome) {
        self.cells += 1;
        self.require(case, value, reply, reply.outcome == *expected, &format!("is not {expected:?}"));
        let may_change = matches!(reply.outcome, Outcome::Taken(_));
        self.require(case, value, reply, may_change || !reply.changed, "has changed something");
    }

    fn require(&mut self, case: &Case, value: Option<&Value>, reply: &Reply, is_so: bool, complaint: &str) {
        if !is_so {
            let given = value.map_or("absent".to_owned(), Value::to_string);
            let answer = String::from_utf8_lossy(&reply.answer.body);
            let (operation, parameter) = (case.operation.name, case.parameter.name);
            self.wrong.push(format!("{operation}, {parameter} {given}: {} {answer} {complaint}", reply.answer.status));
        }
    }
}

#[test]
fn parameters_given_wrongly_are_refused_by_name() {
    let mut site = Site::new("", RateLimits::default());
    let mut report = Report::default();
    for operation in OPERATIONS {
        for parameter in parameters(operation) {
            Case::of(operation, parameter).check(&mut site, &mut report);
        }
    }
    assert!(report.cells > 2_000, "only {} cells", report.cells);
    assert!(report.wrong.is_empty(), "of {} are wrong:\n{}", report.cells, report.wrong.join("\n"));
}
