//! Limits for the number of requests: `serve` refuses what is beyond them, and says when to ask again.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::process::Command;

use common::process::{CATALOGUE, Process, Site};
use common::{Answer, Client};
use serde_json::json;

/// Serves the site with these limits.
fn serve(site: &Site, limits: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floatlease-server"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(site.data("")).arg("--catalogue");
    command.arg(site.folder.join("catalogue.toml")).args(limits);
    Process::start(&mut command).unwrap_or_else(|(_, said)| panic!("not started: {said}"))
}

fn ask(client: &mut Client) -> Answer {
    client.call("product_details", &json!({ "product": "P" }))
}

fn is_told_to_wait(answer: &Answer) -> bool {
    let retry_after_s: u64 = answer.headers["retry-after"].parse().unwrap();
    answer.status == 429 && answer.code().unwrap() == "too_many_requests" && (1..=3601).contains(&retry_after_s)
}

#[test]
fn requests_beyond_the_company_limit_are_told_to_wait() {
    let site = Site::new("limit-company", CATALOGUE);
    let server = serve(&site, &["--limit-company", "3/1h"]);
    let mut stranger = Client::new(&server.base_url, "no-such-key", "guessed");
    for _ in 0..9 {
        assert_eq!(ask(&mut stranger).code().unwrap(), "invalid_api_key", "a stranger uses nothing up");
    }
    let mut client = server.client();
    for _ in 0..3 {
        assert_eq!(ask(&mut client).status, 200);
    }
    assert!(is_told_to_wait(&ask(&mut client)));
    assert!(is_told_to_wait(&ask(&mut server.client())), "whatever the connection");
    server.stop();
}

#[test]
fn requests_beyond_the_limit_of_their_api_key_are_told_to_wait() {
    let site = Site::new("limit-authorization", CATALOGUE);
    let server = serve(&site, &["--limit-authorization", "2/1h"]);
    let mut client = server.client();
    assert_eq!((ask(&mut client).status, ask(&mut client).status), (200, 200));
    assert!(is_told_to_wait(&ask(&mut client)));
    server.stop();
}

#[test]
fn limits_can_be_switched_off_and_wrong_ones_are_refused() {
    let site = Site::new("limit-off", CATALOGUE);
    let off = ["--limit-address", "off", "--limit-authorization", "off", "--limit-company", "off"];
    let server = serve(&site, &off);
    let mut client = server.client();
    for _ in 0..300 {
        assert_eq!(ask(&mut client).status, 200);
    }
    server.stop();
    let (code, said) = site.refused(&["--limit-address", "many"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("such as 200/10s"), "{said}");
}
