//! What hooks are told where the server and the source have users of their own.

use crate::hooks::events::{json, keeping, order, told};
use crate::orders::{Orders, PARTITION};
use crate::support::{Server, ServerOptions};

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
        Server::isolated_with(ServerOptions { users_xml: Some(users), ..ServerOptions::default() }),
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
