//! Lost answers and killed runs: every row once.

use std::time::Duration;

use super::fixture::{counts, insert, json_lines, server};
use crate::faults::fixture::exception;
use crate::support::{Direction, Proxy, process};

/// In the ids of the inserts.
const ROWS: &[u8] = b"-rows-";
const ALL: [&str; 8] =
    ["--table", "t", "--format", "JSONEachRow", "--batch-rows", "100", "--load-id", "one"];

#[test]
fn a_lost_answer_is_followed_by_the_same_batch_which_counts_once() {
    let server = server();
    let proxy = Proxy::start(server.port());
    let input = json_lines(950);
    proxy.after_request_with(ROWS).reset_at(Direction::ToClient, 0, 3);
    let run = insert(&server, input.as_bytes(), &ALL).env("CLICKHOUSE_URL", proxy.url());
    run.run().expect(0);
    assert_eq!(proxy.fired(), 3);
    assert_eq!(counts(&server), "950\t950\t950");
}

#[test]
fn errors_that_pass_are_retried_and_one_that_stays_says_what_was_inserted() {
    let server = server();
    let proxy = Proxy::start(server.port());
    let input = json_lines(250);
    let run = |retries: &str| {
        let all = [&ALL[..], &["--max-retries", retries]].concat();
        insert(&server, input.as_bytes(), &all).env("CLICKHOUSE_URL", proxy.url()).run()
    };
    let busy = || exception(252, "TOO_MANY_PARTS");
    proxy.after_request_with(ROWS).answer([busy(), busy()]);
    run("3").expect(0);
    assert_eq!(proxy.fired(), 2);
    assert_eq!(counts(&server), "250\t250\t250");
    proxy.after_request_with(ROWS).answer([busy(), busy()]);
    let failed = run("1").failure();
    assert!(failed.contains("the rows from line 1 on cannot be inserted into "), "{failed}");
    assert!(failed.contains("TOO_MANY_PARTS"), "{failed}");
    assert!(
        failed.contains("hint: nothing was inserted yet; run the same command again"),
        "{failed}"
    );
}

#[test]
fn a_killed_load_is_repeated_from_its_begin_and_counts_once() {
    let server = server();
    let proxy = Proxy::start(server.port());
    let input = json_lines(3000);
    for kill in 0..3 {
        // The answer to a later insert never comes.
        proxy.after_request_with(format!("-rows-{}", 2 + 5 * kill).as_bytes()).stall_at(
            Direction::ToClient,
            0,
            1,
        );
        let running =
            insert(&server, input.as_bytes(), &ALL).env("CLICKHOUSE_URL", proxy.url()).spawn();
        assert!(process::wait_until(Duration::from_secs(60), || proxy.fired() > 0));
        drop(running);
        proxy.pass();
    }
    insert(&server, input.as_bytes(), &ALL).run().expect(0);
    assert_eq!(counts(&server), "3000\t3000\t3000");
}
