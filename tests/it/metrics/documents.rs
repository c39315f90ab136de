//! The table of docs/reference/metrics.md and the dashboard name what is exported, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::exposition::Exposition;
use super::fixture::written;
use crate::orders::Orders;
use crate::support::Server;

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// What a run exports.
fn exported() -> Exposition {
    let orders = Orders::on(Server::shared(), 100);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backfill.prom");
    orders.tool().arg("--metrics-file").arg(&path).run().expect(0);
    written(&path)
}

/// All words of a text that are metric names.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("clickhouse_backfill_")).map(str::to_owned).collect()
}

/// Every text of a JSON document under a key of this name.
fn texts<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    match value {
        Value::Array(values) => values.iter().flat_map(|value| texts(value, key)).collect(),
        Value::Object(fields) => {
            let own = fields.get(key).and_then(Value::as_str);
            own.into_iter().chain(fields.values().flat_map(|value| texts(value, key))).collect()
        }
        _ => Vec::new(),
    }
}

/// The table names every stage that a task can be at, and nothing else.
fn stages_are_named(exported: &Exposition) {
    let page = file("docs/reference/metrics.md");
    let row = page
        .lines()
        .find(|line| line.starts_with("| `clickhouse_backfill_stage_seconds_total`"))
        .unwrap();
    let (_, listed) = row.split_once("each `stage`: ").expect("the row lists the stages");
    let words = listed.split('`').skip(1).step_by(2).filter(|word| !word.starts_with('-'));
    let documented: BTreeSet<_> = words.map(str::to_owned).collect();
    for name in ["clickhouse_backfill_stage_seconds_total", "clickhouse_backfill_stage_tasks"] {
        let stages: BTreeSet<_> =
            exported.0[name].samples[name].keys().map(|labels| labels["stage"].clone()).collect();
        assert_eq!(documented, stages, "{name}");
    }
}

#[test]
fn the_table_and_the_dashboard_are_what_is_exported() {
    let exported = exported();
    let all = exported.names();
    let documented: BTreeSet<_> = {
        let page = file("docs/reference/metrics.md");
        let rows: Vec<_> =
            page.lines().filter(|line| line.starts_with("| `clickhouse_backfill_")).collect();
        for row in &rows {
            let cells: Vec<_> = row.split(" | ").collect();
            let name = cells[0].trim_start_matches("| ").trim_matches('`');
            assert_eq!(
                exported.0.get(name).map(|family| family.kind.as_str()),
                Some(cells[1]),
                "{row}"
            );
        }
        rows.iter().flat_map(|row| names(row)).collect()
    };
    assert_eq!(documented, all, "the table against what is exported");
    stages_are_named(&exported);

    let dashboard: Value = serde_json::from_str(&file("grafana/clickhouse-backfill.json"))
        .expect("the dashboard is JSON");
    assert!(dashboard["panels"].as_array().unwrap().len() > 8 && dashboard["title"].is_string());
    let expressions =
        [texts(&dashboard, "expr"), texts(&dashboard, "query"), texts(&dashboard, "definition")]
            .concat();
    assert!(expressions.len() > 10);
    for expression in expressions {
        for name in names(expression) {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(&name);
            assert!(all.contains(family), "{name} is not exported, in {expression}");
        }
    }
    let panels: Vec<_> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|panel| panel["id"].as_u64().unwrap())
        .collect();
    assert_eq!(
        panels.iter().collect::<BTreeSet<_>>().len(),
        panels.len(),
        "ids of panels are different"
    );
}
