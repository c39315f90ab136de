//! A comparison that is interrupted, and taken up again.

use std::path::Path;
use std::time::Duration;

use super::fixture::{corrupt, filled, named, report, row, tool};
use crate::support::{Direction, Proxy, process};

#[test]
fn what_was_compared_is_kept() {
    let orders = filled(2_000);
    corrupt(&orders, "letter = 'x' WHERE order_id = 17");
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let proxy = Proxy::start(orders.server.port());
    let tool =
        |url: &str| tool(&orders, "verify").env("CLICKHOUSE_URL", url).env("VERIFY_STATE", &state);

    proxy.after_request_with(b"-found-").stall_at(Direction::ToClient, 0, 1);
    let running = tool(&proxy.url()).spawn();
    assert!(
        process::wait_until(Duration::from_secs(60), || proxy.fired() == 1),
        "the target is asked"
    );
    running.signal("INT");
    let output = running.wait().expect(130);
    assert!(
        output.stderr.contains(&format!("its state is saved in {}", state.display())),
        "{output}"
    );
    assert!(
        output.stderr.contains("hint: run the same command again to continue")
            && output.stdout.is_empty(),
        "{output}"
    );
    assert!(state.exists());

    // Another comparison must not go on with it.
    let other = tool(orders.server.url()).args(&["--sample", "1/2"]).run().expect(2);
    assert!(other.stderr.contains("belongs to another comparison"), "{other}");

    let asked = questions(&orders.server);
    let output = tool(orders.server.url()).arg("--json").run().expect(4);
    assert!(
        output.stderr.contains("continuing after 1 chunk of the source and 0 ranges of the target"),
        "{output}"
    );
    assert_eq!(named(&report(&output)), [row("differing", 17, &["letter"])]);
    assert!(!state.exists(), "a comparison that is done leaves no state");
    // The chunk's sums were not asked for again; its rows and the differing one were.
    assert_eq!(questions(&orders.server) - asked, 2);
}

/// How many questions about the source the server has answered.
fn questions(server: &crate::support::Server) -> u64 {
    server.query("SYSTEM FLUSH LOGS");
    let sql = "SELECT count() FROM system.query_log WHERE type = 'QueryFinish' AND query_id LIKE '%-expected-%' AND current_database = currentDatabase()";
    server.text(sql).parse().unwrap()
}

#[test]
fn a_failure_of_the_server_is_tried_again() {
    let orders = filled(2_000);
    let proxy = Proxy::start(orders.server.port());
    for label in [b"-expected-".as_slice(), b"-found-"] {
        proxy.after_request_with(label).reset_at(Direction::ToClient, 100, 1);
        let output = tool(&orders, "verify").env("CLICKHOUSE_URL", proxy.url()).run().expect(0);
        assert!(output.stderr.contains("is retried"), "{output}");
    }
    let nowhere =
        tool(&orders, "verify").args(&["--state", "/nowhere/state.json", "--max-retries", "0"]);
    proxy.after_request_with(b"-found-").reset_at(Direction::ToClient, 100, 9);
    let output = nowhere.env("CLICKHOUSE_URL", proxy.url()).run().expect(2);
    assert!(output.stderr.contains("/nowhere/state.json"), "{output}");
    assert!(!Path::new("/nowhere").exists());
}
