//! Inserts that do not arrive, or of which it is not known whether they did.

use super::fixture::{Behind, INSERT};
use crate::support::Direction;

#[test]
fn an_insert_that_is_cut_off_is_sent_again() {
    let behind = Behind::start();
    let output = behind.survives(|proxy| {
        proxy.after_request_with(INSERT).reset_at(Direction::ToServer, 500_000, 1);
    });
    assert!(output.stderr.contains("the same bytes are sent again"), "{output}");
    // A clean end in the middle of the body.
    let output = behind
        .survives(|proxy| proxy.after_request_with(INSERT).cut_at(Direction::ToServer, 500_000, 1));
    assert!(output.stderr.contains("the same bytes are sent again"), "{output}");
}

#[test]
fn an_insert_whose_answer_is_lost_is_sent_again_and_counts_once() {
    let behind = Behind::start();
    behind.orders.server.query("SYSTEM STOP MERGES shipments");
    let output = behind
        .survives(|proxy| proxy.after_request_with(INSERT).reset_at(Direction::ToClient, 0, 1));
    assert!(output.stderr.contains("it is not known whether the rows arrived"), "{output}");
    // The rows had arrived. The table has a deduplication window, and equal bytes have an equal
    // token.
    assert_eq!(
        behind.orders.target_rows(),
        behind.orders.figure("inserted_rows"),
        "rows without FINAL\n{output}"
    );
}
