//! A target that was filled, and what `verify` says of it.

use serde_json::Value;

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Binary, Output, Server, binary};

/// Orders that were shipped.
pub fn filled(rows: u64) -> Orders {
    let orders = Orders::on(Server::shared(), rows);
    orders.tool().run().expect(0);
    orders
}

/// The tool with the job of the orders.
pub fn tool(orders: &Orders, command: &str) -> Binary {
    let tool = binary().file("job.toml", JOB).envs(&orders.server.environment());
    tool.args(&[command, "--job", "job.toml", "--partition", PARTITION])
}

/// What `verify --json` prints, and that it exits with this code.
#[track_caller]
pub fn verify(orders: &Orders, code: i32) -> Value {
    report(&tool(orders, "verify").arg("--json").run().expect(code))
}

#[track_caller]
pub fn report(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{output}"))
}

/// The rows that are named: kind, id of the order, columns.
pub fn named(report: &Value) -> Vec<(String, u64, Vec<String>)> {
    let rows = report["rows"].as_array().unwrap();
    let mut rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let id = text(&row["key"]["order_id"]).parse().unwrap();
            (text(&row["kind"]), id, row["columns"].as_array().unwrap().iter().map(text).collect())
        })
        .collect();
    rows.sort();
    rows
}

/// One row of that kind.
pub fn row(kind: &str, id: u64, columns: &[&str]) -> (String, u64, Vec<String>) {
    (kind.to_owned(), id, columns.iter().map(|name| (*name).to_owned()).collect())
}

/// Changes rows of the target as nobody should.
pub fn corrupt(orders: &Orders, update: &str) {
    orders
        .server
        .query(&format!("ALTER TABLE shipments UPDATE {update} SETTINGS mutations_sync = 2"));
}

/// Two orders with the same customer-independent group of keys, that is, whose hashes are summed up
/// together.
pub fn of_one_group(orders: &Orders) -> (u64, u64) {
    let ids = orders.server.text(
        "SELECT groupArray(order_id) FROM (SELECT order_id, sipHash64(formatRow('RowBinary', customer, order_id)) % 16 AS bucket
         FROM shipments FINAL ORDER BY order_id) GROUP BY bucket ORDER BY length(groupArray(order_id)) DESC LIMIT 1",
    );
    let ids: Vec<u64> = serde_json::from_str(&ids).unwrap();
    (ids[0], ids[1])
}

/// How many questions about the source the server has answered.
pub fn questions(server: &Server) -> u64 {
    server.query("SYSTEM FLUSH LOGS");
    let sql = "SELECT count() FROM system.query_log WHERE type = 'QueryFinish' AND query_id LIKE '%-expected-%' AND current_database = currentDatabase()";
    server.text(sql).parse().unwrap()
}
