//! `--show-rows N` prints rows as they will be: each must be a row of the oracle, value by value.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use serde_json::Value;

use super::fixture::{DECEMBER, adversarial, oracle, run};
use crate::support::{Comparison, Server, literal, quoted};

/// One printed row: names and values.
type Row = HashMap<String, String>;

#[test]
#[ignore = "slow: about 9 s"]
fn three_events_are_printed_as_the_oracle_has_them() {
    let server = adversarial(DECEMBER);
    for arguments in [&["--show-rows", "3", "--dry-run"][..], &["--show-rows", "3"]] {
        let (output, _) = run(&server, &[&["--partition", "202511"], arguments].concat());
        let rows = printed(&output.stdout);
        assert_eq!(rows.len(), 3, "{}", output.stdout);
        assert_rows_of_the_oracle(&server, &rows);
    }
}

#[test]
fn every_row_can_be_printed() {
    let server = adversarial(DECEMBER);
    // Up to the longest sample that can be asked for: rows with invalid UTF-8, control characters
    // and long values are among them.
    let (output, _) = run(&server, &["--partition", "202511", "--dry-run", "--show-rows", "1000"]);
    let rows = printed(&output.stdout);
    assert!(rows.len() > 100, "{} rows", rows.len());
    assert_rows_of_the_oracle(&server, &rows);
    let ends = output.stdout.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(ends, None, "a control character reaches the terminal");
}

fn assert_rows_of_the_oracle(server: &Server, rows: &[Row]) {
    let expected = oracle("202511");
    let (comparison, _) =
        Comparison::of_table(server, "events", &super::fixture::KEY).limited_to(&expected);
    let values: Vec<_> = comparison
        .columns()
        .iter()
        .map(|column| {
            format!(
                "CAST({}, {}) AS {}",
                quoted(&column.name),
                literal(&column.type_name),
                quoted(&format!("value of {}", column.name))
            )
        })
        .collect();
    let sql =
        format!("SELECT {} FROM ({expected}) FORMAT JSONCompactStringsEachRow", values.join(", "));
    let settings = [
        ("type_json_skip_duplicated_paths", "1"),
        ("input_format_try_infer_dates", "0"),
        ("input_format_try_infer_datetimes", "0"),
        ("allow_simdjson", "0"),
    ];
    let answer = server.query_with(&sql, &settings);
    let answer = String::from_utf8_lossy(&answer);
    let names: Vec<_> = comparison.columns().iter().map(|column| column.name.as_str()).collect();
    let all: HashSet<Vec<String>> = answer
        .lines()
        .map(|line| {
            serde_json::from_str::<Vec<Value>>(line)
                .unwrap()
                .iter()
                .map(|value| shown(value.as_str().unwrap_or_default()))
                .collect()
        })
        .collect();
    for row in rows {
        let values: Vec<_> = names
            .iter()
            .map(|name| row.get(*name).cloned().unwrap_or_else(|| panic!("{name} is not printed")))
            .collect();
        assert_eq!(row.len(), names.len(), "what else is printed? {row:?}");
        assert!(all.contains(&values), "no row of the oracle: {row:#?}");
    }
}

/// Takes the printed rows apart: each begins with a line of dashes, and has a line for each column.
fn printed(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in text.lines() {
        if line.starts_with("── ") {
            rows.push(Row::new());
        } else {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            rows.last_mut()
                .expect("a row begins with its title")
                .insert(name.to_owned(), rest.trim_start().to_owned());
        }
    }
    rows
}

/// The first 200 characters, those escaped that a terminal could act on, and where that is not all, the length.
fn shown(value: &str) -> String {
    let mut text = String::new();
    for c in value.chars().take(200) {
        match c {
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            c if c.is_control()
                || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                write!(text, "\\u{:04x}", u32::from(c)).unwrap();
            }
            c => text.push(c),
        }
    }
    let cut = if value.chars().count() > 200 {
        format!("… ({} bytes)", value.len())
    } else {
        String::new()
    };
    // What stands between a name and its value is trimmed off when the printed text is read.
    format!("{text}{cut}").trim_start().to_owned()
}
