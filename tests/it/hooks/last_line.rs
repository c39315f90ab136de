//! With `--json`, the last line on stdout is the summary, for those who start the program and read
//! what it prints.

use serde_json::Value;

use crate::orders::Orders;
use crate::support::{Output, Server};

#[track_caller]
fn last_line(output: &Output) -> Value {
    let line =
        output.stdout.lines().last().unwrap_or_else(|| panic!("nothing on stdout\n{output}"));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}\n{output}"))
}

#[test]
fn the_last_line_is_the_summary() {
    let orders = Orders::on(Server::shared(), 1000);
    let output = orders.tool().args(&["--json", "--show-rows", "2"]).run().expect(0);
    assert_eq!(last_line(&output), orders.summary());
    assert!(output.stdout.lines().count() > 1, "the sample comes before it\n{output}");
    let nothing = orders.tool().env("RESTART", "false").arg("--json").run().expect(0);
    assert_eq!((last_line(&nothing), nothing.stdout.lines().count()), (orders.summary(), 1));
    assert_eq!(orders.tool().run().expect(0).stdout, "", "only where it is asked for");

    orders.server.query("ALTER TABLE shipments ADD CONSTRAINT none CHECK order_id != 17");
    let failed = orders.tool().arg("--json").run().expect(1);
    assert_eq!(
        (last_line(&failed), &last_line(&failed)["status"]),
        (orders.summary(), &Value::from("failed"))
    );
    orders.server.query("DROP TABLE shipments");
    let refused = last_line(&orders.tool().arg("--json").run().expect(3));
    assert!(refused["status"] == "refused" && refused["exit_code"] == 3, "{refused}");
    let nowhere = last_line(
        &orders
            .tool_at("http://127.0.0.1:1")
            .env("OUTAGE_WAIT", "0s")
            .arg("--json")
            .run()
            .expect(2),
    );
    assert!(
        nowhere["status"] == "failed"
            && nowhere["error"].as_str().unwrap().contains("the connection to"),
        "{nowhere}"
    );
}
