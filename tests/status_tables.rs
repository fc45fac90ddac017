//! Writes the status table of the bindings and of `docs/errors.md` from `src/status.rs`, and holds them against it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::status::{OF_OPERATIONS, Retry, Row, STATUSES};
use std::fmt::Write;
use std::fs;
use support::root;

/// A generated file, and the function that writes its content from the rows.
struct Table {
    path: &'static str,
    written: fn(&[Row]) -> String,
}

const TABLES: [Table; 3] = [
    Table { path: "bindings/csharp/FloatLease/Status.cs", written: in_csharp },
    Table { path: "bindings/python/floatlease/_status.py", written: in_python },
    Table { path: "docs/errors.md", written: in_words },
];

/// The blocks of numbers, with their titles.
const BLOCKS: [(&str, std::ops::RangeInclusive<i32>); 6] = [
    ("Done", 0..=0),
    ("Mistakes of the program", 1..=19),
    ("Failures between this machine and the server", 20..=49),
    ("Failures of this machine", 50..=69),
    ("Defects of the library", 70..=79),
    ("Refusals of the server", 100..=199),
];

fn rows() -> Vec<Row> {
    STATUSES.iter().map(|status| status.row()).collect()
}

/// `FLOATING_NOT_AVAILABLE` as .NET spells names: `FloatingNotAvailable`.
fn pascal_case(name: &str) -> String {
    let capital = |word: &str| word[..1].to_owned() + &word[1..].to_lowercase();
    name.split('_').map(capital).collect()
}

fn in_csharp(rows: &[Row]) -> String {
    let mut text = String::from(
        "// Generated from src/status.rs by `make header`. Do not edit.\n\n\
         namespace FloatLease\n{\n    \
         /// <summary>The result of a call. Expect numbers that are not listed here.</summary>\n    \
         public enum Status\n    {\n",
    );
    for row in rows {
        let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let (message, advice) = (escaped(row.message), escaped(row.advice));
        writeln!(text, "        /// <summary>{message}</summary>\n        /// <remarks>{advice}</remarks>").unwrap();
        writeln!(text, "        {} = {},\n", pascal_case(row.name), row.number).unwrap();
    }
    text.truncate(text.len() - 1);
    text.push_str(
        "    }\n\n    internal static class StatusNames\n    {\n        \
         internal static string Of(int status)\n        {\n            switch (status)\n            {\n",
    );
    for row in rows {
        writeln!(text, "                case {}: return \"{}\";", row.number, row.name).unwrap();
    }
    text + "                default: return \"UNKNOWN_STATUS\";\n            }\n        }\n    }\n}\n"
}

fn in_python(rows: &[Row]) -> String {
    let mut text = String::from(
        "# Generated from src/status.rs by `make header`. Do not edit.\n\
         \"\"\"The statuses of calls.\"\"\"\n\n\
         from __future__ import annotations\n\n\
         import enum\n\n\n\
         class Status(enum.IntEnum):\n    \
         \"\"\"The result of a call. A newer library may return numbers that are not listed here.\"\"\"\n\n",
    );
    for row in rows {
        writeln!(
            text,
            "    {} = {}\n    \"\"\"{}\n\n    {}\n    \"\"\"\n",
            row.name, row.number, row.message, row.advice
        )
        .unwrap();
    }
    text.push_str("\n#: The subject of each status; `category` in the error object.\nCATEGORIES: dict[int, str] = {\n");
    for row in rows {
        writeln!(text, "    {}: \"{}\",", row.number, row.category.name()).unwrap();
    }
    text + "}\n"
}

fn in_words(rows: &[Row]) -> String {
    let mut text = String::from(
        "# Errors\n\n\
         This page lists every status that a call can return. `make header` generates it from src/status.rs.\n\n\
         A failed call returns a status and an error object. Its `status`, `name`, `category`, `message` and `advice` are those\n\
         of this page; the `message` often adds details, such as the name of the key or the file. **again** is `retryable`:\n\
         the same call may succeed later although nothing was changed. Read `outcome` before you try again. `not_sent` and\n\
         `rejected` changed nothing at the server. After `unknown`, ask for the current state first.\n\
         [include/floatlease.h](../include/floatlease.h) describes the whole object, [Troubleshooting](troubleshooting.md) the\n\
         usual causes.\n\n\
         A name is `FLOATLEASE_E_FLOATING_NOT_AVAILABLE` in C and C++, `Status.FloatingNotAvailable` in C#,\n\
         `Status.FLOATING_NOT_AVAILABLE` in Python. Numbers are never changed or reused, only added: expect some that this\n\
         page does not list.\n",
    );
    for (title, numbers) in BLOCKS {
        writeln!(text, "\n## {title}\n\n| number | name | category | message, *advice* | again |").unwrap();
        text.push_str("|---|---|---|---|---|\n");
        for row in rows.iter().filter(|row| numbers.contains(&row.number)) {
            let again = if row.retry == Retry::Later { "yes" } else { "" };
            let (number, name, category) = (row.number, row.name, row.category.name());
            writeln!(text, "| {number} | `{name}` | {category} | {} *{}* | {again} |", row.message, row.advice)
                .unwrap();
        }
    }
    text.push_str(
        "\n## Other meanings for one operation\n\n\
         Some errors mean something else for one operation, such as that there is nothing to do after a release. There\n\
         `retryable` is false, whatever the table above says.\n\n\
         | operation | name | message, *advice* |\n|---|---|---|\n",
    );
    for (operation, status, message, advice) in OF_OPERATIONS {
        writeln!(text, "| `{operation}` | `{}` | {message} *{advice}* |", status.row().name).unwrap();
    }
    text
}

#[test]
fn each_status_stands_in_one_block() {
    for row in rows() {
        assert_eq!(BLOCKS.iter().filter(|block| block.1.contains(&row.number)).count(), 1, "{}", row.name);
    }
}

#[test]
fn each_has_the_table_as_it_is() {
    for table in TABLES {
        let found = fs::read_to_string(root().join(table.path)).unwrap();
        assert!(found == (table.written)(&rows()), "{} is stale: run `make header` and commit it", table.path);
    }
}

#[test]
#[ignore = "`make header` runs it"]
fn write_the_header() {
    for table in TABLES {
        let path = root().join(table.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, (table.written)(&rows())).unwrap();
    }
}

#[test]
fn no_two_rows_have_one_name_there() {
    let mut names: Vec<String> = rows().iter().map(|row| pascal_case(row.name)).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), STATUSES.len());
}
