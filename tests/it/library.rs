//! The library's interface, by its examples: they fill a table once, and find it equal.
#![allow(clippy::unwrap_used)]

use clickhouse_backfill::{Backfill, Endpoint, ErrorKind, Job, Password, RunOutcome};

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::Server;

#[allow(dead_code, reason = "a program, of which only a part is used here")]
#[path = "../../examples/own_job.rs"]
mod own_job;
#[allow(dead_code, reason = "a program, of which only a part is used here")]
#[path = "../../examples/run_job.rs"]
mod run_job;

fn endpoint(server: &Server, password: &str) -> Endpoint {
    let password = Some(Password::new(password));
    Endpoint::new(server.url(), Some(server.user()), password, server.database()).unwrap()
}

fn job() -> Job {
    Job::from_toml(JOB).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_example_fills_a_table_once() {
    let orders = Orders::on(Server::shared(), 500);
    let endpoint = endpoint(&orders.server, orders.server.password());
    let first = run_job::fill(endpoint.clone(), &job(), PARTITION).await.unwrap();
    assert_eq!(first.outcome, RunOutcome::Completed);
    assert_eq!(first.progress.chunks_completed, first.progress.chunks);
    assert_eq!(first.progress.inserted_rows, first.progress.source_rows);
    orders.assert_complete();
    let again = run_job::fill(endpoint, &job(), PARTITION).await.unwrap();
    assert_eq!(again.outcome, RunOutcome::CompletedBefore);
    assert_eq!(again.progress.inserted_rows, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_example_verifies_what_it_has_filled() {
    let orders = Orders::on(Server::shared(), 500);
    let endpoint = endpoint(&orders.server, orders.server.password());
    let backfill = Backfill::connect(endpoint, &job()).await.unwrap();
    let before = backfill.verify(PARTITION).await.unwrap();
    assert!(!before.equal);
    assert_eq!(before.differing_rows, before.expected_rows);
    let after = own_job::fill_and_verify(&backfill, PARTITION).await.unwrap();
    assert!(after.equal);
    assert_eq!((after.differing_rows, after.columns.len()), (0, 0));
    assert_eq!(after.target_rows, after.expected_rows);
    orders.assert_complete();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_fit_and_a_wrong_password_are_told_apart() {
    let orders = Orders::on(Server::shared(), 1);
    let wrong_column = Job::from_toml(&JOB.replace("source.note", "source.remark")).unwrap();
    let right = endpoint(&orders.server, orders.server.password());
    let error = Backfill::connect(right, &wrong_column).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("remark"), "{error}");
    let error = Backfill::connect(endpoint(&orders.server, "wrong"), &job()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Server, "{error}");
    let error = Job::load("langfuse-event").err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    insta::assert_snapshot!(error, @r#"there is no built-in job "langfuse-event" and no file of that name (No such file or directory (os error 2))"#);
}
