//! The page on leases tells the truth: its drawing is the machine's table, its commands work.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::lease::state_machine::{Input, LeaseOptions, NEVER, State, StateMachine, TRANSITIONS, Trigger};
use floatlease::status::STATUSES;
use std::collections::BTreeSet;
use support::document::{assert_shell_commands, blocks_in, read};

const STATES: [State; 6] =
    [State::Active, State::Degraded, State::Grace, State::Borrowed, State::Lost, State::Released];

fn page() -> String {
    read("docs/leases.md")
}

/// What an arrow says of its cause.
fn words(cause: Trigger) -> &'static str {
    match cause {
        Trigger::Confirmed => "the server says yes",
        Trigger::Failed => "a renewal fails",
        Trigger::Borrowed => "borrowed",
        Trigger::BorrowEnding => "its end is near",
        Trigger::Expiring => "the license expires soon",
        Trigger::SlotExpired => "the slot's time is up, or the server says no",
        Trigger::GraceExpired => "nothing remains",
        Trigger::Released => "given back",
    }
}

#[test]
fn its_drawing_is_the_table_of_turns() {
    let drawing = blocks_in(&page(), "mermaid").remove(0);
    let (inside, outside) = drawing.split_once("state held {").unwrap().1.split_once("\n    }").unwrap();
    let arrows = |text: &str| -> Vec<(String, String, String)> {
        let arrows = text.lines().filter_map(|line| line.trim().split_once(" --> "));
        let arrows = arrows.map(|(from, rest)| (from, rest.split_once(" : ").unwrap()));
        arrows.map(|(from, (to, label))| (from.to_owned(), to.to_owned(), label.to_owned())).collect()
    };
    let held: BTreeSet<String> = arrows(inside).into_iter().map(|(_, to, _)| to).collect();
    let (begins, drawn): (Vec<_>, Vec<_>) = arrows(inside).into_iter().partition(|(from, ..)| from == "[*]");
    assert_eq!(begins.iter().map(|(_, to, _)| to.as_str()).collect::<Vec<_>>(), ["ACTIVE", "BORROWED"]);
    let of_all = arrows(outside).into_iter().flat_map(|(from, to, label)| {
        assert_eq!(from, "held");
        held.iter().map(move |from| (from.clone(), to.clone(), label.clone())).collect::<Vec<_>>()
    });
    let drawn: Vec<_> = drawn.into_iter().chain(of_all).collect();

    let turns = TRANSITIONS.iter().flat_map(|(from, cause, to, report)| {
        let told = report.map_or(String::new(), |report| format!(" / {}", report.name()));
        let label = format!("{}{told}", words(*cause));
        from.iter().map(move |from| (from.name().to_owned(), to.name().to_owned(), label.clone()))
    });
    let turns: BTreeSet<_> = turns.collect();
    assert_eq!(drawn.len(), turns.len(), "an arrow is drawn twice");
    assert_eq!(drawn.into_iter().collect::<BTreeSet<_>>(), turns);
}

#[test]
fn it_tells_what_to_do_in_each_state_and_names_no_status_that_is_none() {
    let page = page();
    for state in STATES {
        assert_eq!(page.matches(&format!("\n| `{}` |", state.name())).count(), 1, "{}", state.name());
    }
    let words = page.split('`').skip(1).step_by(2).filter(|word| word.len() > 3);
    for word in words.filter(|word| word.chars().all(|c| c.is_ascii_uppercase() || c == '_')) {
        let is_status = STATUSES.iter().any(|status| status.row().name == word);
        let is_event = TRANSITIONS.iter().any(|turn| turn.3.is_some_and(|told| told.name() == word));
        assert!(is_status || is_event || word == "WAITING" || STATES.iter().any(|s| s.name() == word), "{word}");
    }
    let header = read("include/floatlease.h");
    for word in page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.len() > 11) {
        let is_ours = word.starts_with("floatlease_") && word != "floatlease_sandbox";
        assert!(!is_ours || ['(', ';'].iter().any(|end| header.contains(&format!("{word}{end}"))), "{word}");
    }
}

/// The moments of its picture, by the machine.
#[test]
fn its_times_are_the_machines() {
    const MINUTE: i64 = 60_000;
    let page = page();
    let picture = page.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let asked = |chance| {
        let lease = StateMachine::unconfirmed(LeaseOptions { grace_ms: 300_000, borrow_ending_ms: 0 });
        lease.step(Input::Confirmed { asked_at: 0, timeout_ms: 120 * MINUTE, expires_at: NEVER }, 0, chance).0
    };
    let [early, late] = [0, 999].map(|chance| (asked(chance).renew_at().unwrap() + MINUTE / 2) / MINUTE);
    let held_until = asked(0).next_transition_at().unwrap() / MINUTE;
    let end = asked(0).remaining_ms(0) / MINUTE;
    let shown = format!("   0      {early} to {late} min         {held_until} min        {end} min\n");
    assert!(picture.contains(&shown), "{shown}");
    assert!(picture.contains(&format!("to the end, from {end} minutes")));

    let state = |minute: i64| asked(0).step(Input::Tick, minute * MINUTE, 0).0.state();
    let states = [0, held_until - 1, held_until, end - 1, end].map(state);
    assert_eq!(states, [State::Active, State::Active, State::Grace, State::Grace, State::Lost]);

    let mut lease = asked(0);
    let mut now = early * MINUTE;
    let pauses: Vec<i64> = (0..8)
        .map(|_| {
            lease = lease.step(Input::Failed { retry_after_ms: None }, now, 500).0;
            let pause = lease.renew_at().unwrap() - now;
            now += pause;
            (pause + 500) / 1000
        })
        .collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn its_shell_commands_do_what_it_says() {
    assert_shell_commands(&page(), "lease_guide");
}
