//! The library's own example, which the documentation shows: it fills a table, and finds it filled.
#![allow(clippy::unwrap_used)]

use clickhouse_backfill::internals::clickhouse::{Endpoint, Password};

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::Server;

#[allow(dead_code, reason = "a program, of which only a part is used here")]
#[path = "../../examples/run_job.rs"]
mod run_job;

#[test]
fn the_example_of_the_documentation_fills_a_table_once() {
    let orders = Orders::on(Server::shared(), 500);
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("job.toml");
    std::fs::write(&job, JOB).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let fill = || {
        let server = &orders.server;
        let endpoint = Endpoint::new(
            server.url(),
            Some(server.user()),
            Some(Password::new(server.password())),
            server.database(),
        )
        .unwrap();
        runtime
            .block_on(Box::pin(run_job::fill(endpoint, job.to_str().unwrap(), PARTITION)))
            .map_err(|error| error.to_string())
            .unwrap()
    };
    let first = fill();
    assert!(first.starts_with("Completed: "), "{first}");
    orders.assert_complete();
    let again = fill();
    assert!(again.starts_with("completed before, with "), "{again}");
}
