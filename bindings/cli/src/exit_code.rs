//! The exit codes: one for each category of the status table, and those that shells know.

use floatlease::status::Category;

/// The command has done its work, and the answer is no: a check of `diagnose` failed, or `release` has left something.
pub(crate) const NO: u8 = 1;
/// A command that is not a program. Shells, env and timeout use the same code.
pub(crate) const NO_PROGRAM: u8 = 126;
/// A command that does not exist. Shells, env and timeout use the same code.
pub(crate) const NO_COMMAND: u8 = 127;
/// The code of a command that a signal has ended is this and the number of the signal.
pub(crate) const SIGNAL: u8 = 128;

/// The exit code of each category, and its meaning. Few programs use the codes from 80 to 97 themselves, so that scripts
/// can tell them from the codes of the command of `lease`.
pub(crate) const OF_CATEGORIES: &[(Category, u8, &str)] = &[
    (Category::Ok, 0, "done"),
    (Category::Usage, 2, "the command line or the config is wrong"),
    (Category::Network, 80, "the server could not be reached"),
    (Category::Reply, 81, "the reply is not the server's"),
    (Category::Local, 82, "this machine failed: its files, its clock, its hardware id"),
    (Category::Internal, 83, "a defect of floatlease"),
    (Category::Authorization, 90, "the server refused the keys"),
    (Category::Request, 91, "the server refused the request itself"),
    (Category::Product, 92, "the server refused the product"),
    (Category::License, 93, "the server refused the license, or no slot is free"),
    (Category::Device, 94, "the server refused this device"),
    (Category::Feature, 95, "the server refused the feature, or holds no slot of it"),
    (Category::Consumption, 96, "the server refused the consumption"),
    (Category::Customer, 97, "the server refused the customer or the user"),
];

/// The exit codes that stand for no category, and their meanings.
const OTHERS: &[(&str, &str)] = &[
    ("1", "diagnose: a check failed; release: something is left"),
    ("126", "lease: the command can't be run"),
    ("127", "lease: there is no such command"),
    ("128+n", "lease: signal n has ended the command"),
];

/// Returns the exit code of a category.
pub(crate) fn of(category: Category) -> u8 {
    let row = OF_CATEGORIES.iter().find(|(known, _, _)| *known == category);
    row.map_or(NO, |(_, code, _)| *code)
}

/// Returns the table for the help text.
pub(crate) fn help() -> String {
    let of_categories = OF_CATEGORIES.iter().map(|(category, code, meaning)| match category {
        Category::Ok => format!("  {code:<6} {meaning}\n"),
        category => format!("  {code:<6} {}: {meaning}\n", category.name()),
    });
    let mut others = OTHERS.iter().map(|(code, meaning)| format!("  {code:<6} {meaning}\n"));
    let mut rows: Vec<String> = of_categories.collect();
    // In the order of the numbers.
    rows.splice(1..1, others.next());
    format!("Exit codes:\n{}", rows.into_iter().chain(others).collect::<String>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use floatlease::status::STATUSES;

    const PAGE: &str = include_str!("../../../docs/command-line.md");

    #[test]
    fn each_category_has_a_code_and_a_row_of_the_page() {
        for status in STATUSES {
            let category = status.row().category;
            let row = OF_CATEGORIES.iter().find(|(known, _, _)| *known == category);
            let (_, code, meaning) = row.unwrap_or_else(|| panic!("{} has no exit code", category.name()));
            let row = format!("| {code} | `{}` | {meaning} |", category.name());
            assert!(PAGE.contains(&row), "docs/command-line.md has no row {row}");
        }
    }

    #[test]
    fn other_codes_have_a_row_of_the_page() {
        for (code, meaning) in OTHERS {
            let row = format!("| {code} | | {meaning} |");
            assert!(PAGE.contains(&row), "docs/command-line.md has no row {row}");
        }
    }

    #[test]
    fn codes_differ_and_leave_those_of_shells_alone() {
        for (at, (_, code, _)) in OF_CATEGORIES.iter().enumerate() {
            assert!(*code < NO_PROGRAM, "{code}");
            assert_ne!(*code, NO);
            assert!(OF_CATEGORIES[..at].iter().all(|(_, other, _)| other != code), "{code} stands twice");
        }
    }

    #[test]
    fn help_tells_each_code() {
        for (category, code, _) in OF_CATEGORIES.iter().skip(1) {
            assert!(help().contains(&format!("  {code:<6} {}:", category.name())), "{code}");
        }
    }
}
