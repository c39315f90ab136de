//! Which hook is run when, and what it is told.

use std::path::Path;

use serde_json::Value;

use crate::orders::{Orders, PARTITION};
use crate::support::Server;

/// A command that keeps its standard input and its environment.
pub fn keeping(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    format!(
        "cat > {0}.json; env > {0}.env; echo {name} >> {1}",
        path.display(),
        folder.join("order").display()
    )
}

pub fn json(folder: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(folder.join(format!("{name}.json")))
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"))
}

/// Of a variable that the hook was told.
pub fn told(folder: &Path, name: &str, variable: &str) -> Option<String> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.env"))).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(&format!("{variable}=")));
    found.map(str::to_owned)
}

pub fn order(folder: &Path) -> Vec<String> {
    std::fs::read_to_string(folder.join("order"))
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_run_that_fails_or_is_refused_tells_so() {
    let orders = Orders::on(Server::shared(), 1000);
    let folder = tempfile::tempdir().unwrap();
    let hooks = ["on-start", "on-failure", "on-finish"]
        .map(|event| format!("{event}={}", keeping(folder.path(), event)))
        .join("\n");
    orders.server.query("ALTER TABLE shipments ADD CONSTRAINT none CHECK order_id != 17");
    orders.tool().env("HOOK", &hooks).run().expect(1);
    assert_eq!(order(folder.path()), ["on-start", "on-failure", "on-finish"]);
    assert_eq!(json(folder.path(), "on-failure"), orders.summary());
    assert_eq!(
        told(folder.path(), "on-failure", "CLICKHOUSE_BACKFILL_EXIT_CODE").as_deref(),
        Some("1")
    );

    std::fs::remove_file(folder.path().join("order")).unwrap();
    orders.server.query("DROP TABLE shipments");
    orders.tool().env("HOOK", &hooks).run().expect(3);
    assert_eq!(order(folder.path()), ["on-failure", "on-finish"]);
    let refused = json(folder.path(), "on-finish");
    assert!(
        refused["status"] == "refused"
            && refused["exit_code"] == 3
            && refused["partition"] == PARTITION,
        "{refused}"
    );
    assert!(refused["error"].as_str().unwrap().contains("the target table"), "{refused}");
    assert_eq!(
        told(folder.path(), "on-finish", "CLICKHOUSE_BACKFILL_STATUS").as_deref(),
        Some("refused")
    );
}
