//! Which hook is run when, and what it is told.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::orders::{Orders, PARTITION};
use crate::support::{Direction, Proxy, Running, Server, process};

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

/// An interruption is no failure, also before the first row.
#[test]
fn a_run_that_is_interrupted_before_its_first_row_tells_so() {
    let orders = Orders::on(Server::shared(), 100);
    let proxy = Proxy::start(orders.server.port());
    let folder = tempfile::tempdir().unwrap();
    let hooks = ["on-start", "on-failure", "on-finish"]
        .map(|event| format!("{event}={}", keeping(folder.path(), event)))
        .join("\n");
    let interrupted = |when: &str, partition: &str, running: Running| {
        running.signal("INT");
        let output = running.wait().expect(130);
        assert_eq!(order(folder.path()), ["on-finish"], "{when}\n{output}");
        std::fs::remove_file(folder.path().join("order")).unwrap();
        let event = json(folder.path(), "on-finish");
        assert!(event["status"] == "interrupted" && event["exit_code"] == 130, "{when}: {event}");
        assert!(output.stdout.contains("\"interrupted\""), "{when}\n{output}");
        let told = |variable| told(folder.path(), "on-finish", variable);
        assert_eq!(told("CLICKHOUSE_BACKFILL_STATUS").as_deref(), Some("interrupted"), "{when}");
        assert_eq!(told("CLICKHOUSE_BACKFILL_EXIT_CODE").as_deref(), Some("130"), "{when}");
        assert_eq!(told("CLICKHOUSE_BACKFILL_PARTITION").as_deref(), Some(partition), "{when}");
    };
    let tool = |url: &str| orders.tool_at(url).env("HOOK", &hooks).arg("--json");
    let nowhere = || tool("http://127.0.0.1:1").args(&["--log-file", "run.log"]);
    let months = "202506..202507";
    let several = nowhere().env_remove("PARTITION").args(&["--partitions", months]);
    for (when, partition, tool) in
        [("while it connects", PARTITION, nowhere()), ("one of several", months, several)]
    {
        let running = tool.spawn();
        running.wait_for_log("cannot be reached");
        interrupted(when, partition, running);
    }

    proxy.after_request_with(b" AS age_us").stall_at(Direction::ToClient, 0, 1);
    let running = tool(&proxy.url()).spawn();
    let is_stalled = || proxy.fired() > 0;
    assert!(process::wait_until(Duration::from_secs(60), is_stalled), "no claim is read");
    interrupted("while it reads the claims", PARTITION, running);
    assert_eq!(orders.target_rows(), 0);
}
