//! Which hook is run when, and what it is told.

use std::path::Path;

use serde_json::Value;

use crate::orders::{Orders, PARTITION};
use crate::support::{Server, ServerOptions};

/// A command that keeps its standard input and its environment.
fn keeping(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    format!(
        "cat > {0}.json; env > {0}.env; echo {name} >> {1}",
        path.display(),
        folder.join("order").display()
    )
}

fn json(folder: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(folder.join(format!("{name}.json")))
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"))
}

/// Of a variable that the hook was told.
fn told(folder: &Path, name: &str, variable: &str) -> Option<String> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.env"))).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(&format!("{variable}=")));
    found.map(str::to_owned)
}

fn order(folder: &Path) -> Vec<String> {
    std::fs::read_to_string(folder.join("order"))
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_run_that_completes_tells_its_beginning_and_its_end() {
    let secrets = ["Tangerine-Submarine", "Walnut-Airship", "Plum-Tram"];
    let user =
        |name: &str, password: &str| format!("<{name}><password>{password}</password></{name}>");
    let users = format!(
        "<clickhouse><users>{}{}</users></clickhouse>",
        user("writer", secrets[0]),
        user("reader", secrets[1])
    );
    let orders = Orders::on(
        Server::start_with(ServerOptions { users_xml: Some(users), ..ServerOptions::default() }),
        1000,
    );
    let folder = tempfile::tempdir().unwrap();
    let hook = |event: &str| format!("{event}={}", keeping(folder.path(), event));
    let [start, failure, finish] = ["on-start", "on-failure", "on-finish"].map(hook);
    // The password of the variable wins over that of the URL.
    let url = orders.server.url().replacen("http://", &format!("http://writer:{}@", secrets[2]), 1);
    let tool = orders
        .tool()
        .env("CLICKHOUSE_URL", &url)
        .env("CLICKHOUSE_USER", "writer")
        .env("CLICKHOUSE_PASSWORD", secrets[0]);
    let tool =
        tool.env("SOURCE_USER", "reader").env("SOURCE_PASSWORD", secrets[1]).env("SEEN", "yes");
    tool.args(&["--hook", &start, "--hook", &failure, "--hook", &finish]).run().expect(0);
    assert_eq!(order(folder.path()), ["on-start", "on-finish"]);
    assert_eq!(json(folder.path(), "on-finish"), orders.summary());
    let begun = json(folder.path(), "on-start");
    assert!(
        begun["status"] == "started"
            && begun["run_id"] == orders.summary()["run_id"]
            && begun["partition"] == PARTITION,
        "{begun}"
    );
    let told = |variable| told(folder.path(), "on-finish", variable);
    assert_eq!(told("CLICKHOUSE_BACKFILL_STATUS").as_deref(), Some("completed"));
    assert_eq!(told("CLICKHOUSE_BACKFILL_EVENT").as_deref(), Some("on-finish"));
    assert_eq!(told("CLICKHOUSE_BACKFILL_PARTITION").as_deref(), Some(PARTITION));
    assert_eq!(told("CLICKHOUSE_BACKFILL_JOB").as_deref(), Some("shipments"));
    assert_eq!(told("CLICKHOUSE_BACKFILL_EXIT_CODE").as_deref(), Some("0"));
    assert_eq!(told("CLICKHOUSE_BACKFILL_RUN_ID").as_deref(), orders.summary()["run_id"].as_str());
    assert_eq!(told("SEEN").as_deref(), Some("yes"), "the rest of the environment is kept");
    for event in ["on-start", "on-finish"] {
        let all = std::fs::read_to_string(folder.path().join(format!("{event}.env"))).unwrap();
        for secret in secrets.iter().chain(&["CLICKHOUSE_PASSWORD", "SOURCE_PASSWORD"]) {
            assert!(!all.contains(secret), "{secret}\n{all}");
        }
    }

    // Nothing to do is an end as well, and no beginning.
    std::fs::remove_file(folder.path().join("order")).unwrap();
    orders
        .tool()
        .env("RESTART", "false")
        .args(&["--hook", &start, "--hook", &finish])
        .run()
        .expect(0);
    assert_eq!(order(folder.path()), ["on-finish"]);
    assert_eq!(json(folder.path(), "on-finish")["status"], "completed");
}

#[test]
fn a_run_that_fails_or_is_refused_tells_so() {
    let orders = Orders::on(Server::start(), 1000);
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
