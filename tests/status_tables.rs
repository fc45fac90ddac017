//! The status table as the bindings and the documentation have it: written from the one in `src/status.rs`, never by hand.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::status::{OF_OPERATIONS, Retry, Row, STATUSES};
use std::fmt::Write;
use std::fs;
use support::root;

/// A file, and what it holds for these rows.
struct Table {
    path: &'static str,
    written: fn(&[Row]) -> String,
}

const TABLES: [Table; 3] = [
    Table { path: "bindings/csharp/FloatLease/Status.cs", written: in_csharp },
    Table { path: "bindings/python/floatlease/_status.py", written: in_python },
    Table { path: "docs/errors.md", written: in_words },
];

/// What the blocks of numbers are about.
const BLOCKS: [(&str, std::ops::RangeInclusive<i32>); 6] = [
    ("Done", 0..=0),
    ("A mistake of the program", 1..=19),
    ("On the way to the server and back", 20..=49),
    ("This machine", 50..=69),
    ("A defect of the library", 70..=79),
    ("The server said no", 100..=199),
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
         /// <summary>What a call came to. Expect numbers that are not listed here.</summary>\n    \
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
         \"\"\"What a call can come to.\"\"\"\n\n\
         from __future__ import annotations\n\n\
         import enum\n\n\n\
         class Status(enum.IntEnum):\n    \
         \"\"\"What a call came to. A newer library may know numbers that are not listed here.\"\"\"\n\n",
    );
    for row in rows {
        writeln!(
            text,
            "    {} = {}\n    \"\"\"{}\n\n    {}\n    \"\"\"\n",
            row.name, row.number, row.message, row.advice
        )
        .unwrap();
    }
    text.push_str("\n#: What each is about; `category` in the error object.\nCATEGORIES: dict[int, str] = {\n");
    for row in rows {
        writeln!(text, "    {}: \"{}\",", row.number, row.category.name()).unwrap();
    }
    text + "}\n"
}

fn in_words(rows: &[Row]) -> String {
    let mut text = String::from(
        "# Errors\n\n\
         Written from src/status.rs by `make header`; not edited.\n\n\
         Whatever fails gives a status and an error object, with `status`, `name`, `category`, `message` and `advice` as they\n\
         stand here; the `message` often says more, such as which key or which file. **again** is `retryable`: the same call\n\
         may succeed later without anybody changing anything. Before you try again look at `outcome`: `not_sent` and\n\
         `rejected` changed nothing at the server, after `unknown` ask first. [include/floatlease.h](../include/floatlease.h)\n\
         has the whole object, [Troubleshooting](troubleshooting.md) the usual causes.\n\n\
         A name is `FLOATLEASE_E_FLOATING_NOT_AVAILABLE` in C and C++, `Status.FloatingNotAvailable` in C#,\n\
         `Status.FLOATING_NOT_AVAILABLE` in Python. Numbers are never changed or reused, only added: expect some that you do\n\
         not know.\n",
    );
    for (title, numbers) in BLOCKS {
        writeln!(text, "\n## {title}\n\n| number | name | category | what happened, *and what to do* | again |")
            .unwrap();
        text.push_str("|---|---|---|---|---|\n");
        for row in rows.iter().filter(|row| numbers.contains(&row.number)) {
            let again = if row.retry == Retry::Later { "yes" } else { "" };
            let (number, name, category) = (row.number, row.name, row.category.name());
            writeln!(text, "| {number} | `{name}` | {category} | {} *{}* | {again} |", row.message, row.advice)
                .unwrap();
        }
    }
    text.push_str(
        "\n## What it means to one operation\n\n\
         To an operation that gives something back, some refusals say that there is nothing left to be done. Their\n\
         `retryable` is false, whatever stands above.\n\n\
         | operation | name | what happened, *and what to do* |\n|---|---|---|\n",
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
