//! Rows a second, and runs that wait for longer than the server waits for a reader.

use std::time::Instant;

use super::fixture::{orders, tool};

#[test]
fn a_run_keeps_to_its_rows_a_second() {
    let orders = orders();
    let began = Instant::now();
    tool(&orders).args(&["--max-rows-per-second", "15000", "--readers", "4"]).run().expect(0);
    let took = began.elapsed().as_secs_f64();
    let rows = orders.figure("source_rows") as f64;
    assert!(rows > 50_000.0 && took > rows / 15_000.0 * 0.95, "{rows} rows in {took} s");
    assert_eq!(orders.figure("retries"), 0);
    orders.assert_complete();
}
