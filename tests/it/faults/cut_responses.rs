//! Answers of the server that do not arrive as they were sent.

use super::fixture::{Behind, INSERT, LOOKUP, SOURCE};
use crate::support::Direction;

#[test]
#[ignore = "slow: about 18 s"]
fn a_response_that_is_reset_or_cut_is_read_again() {
    let behind = Behind::start();
    let output = behind.survives(|proxy| {
        proxy.after_request_with(LOOKUP).reset_at(Direction::ToClient, 200_000, 1);
    });
    assert!(output.stderr.contains("loading attributes broke off"), "{output}");
    for offset in [0, 2_000_000] {
        let output = behind.survives(|proxy| {
            proxy.after_request_with(SOURCE).reset_at(Direction::ToClient, offset, 1);
        });
        assert!(output.stderr.contains("the chunk is read again"), "{output}");
    }
    // A clean end of the connection is none of the answer, which is chunked.
    behind
        .survives(|proxy| proxy.after_request_with(LOOKUP).cut_at(Direction::ToClient, 200_000, 1));
    let output = behind.survives(|proxy| {
        proxy.after_request_with(SOURCE).cut_at(Direction::ToClient, 3_000_000, 1);
    });
    assert!(output.stderr.contains("the chunk is read again"), "{output}");
    // What batches of the broken attempt inserted is told apart.
    assert!(behind.orders.figure("repeated_rows") > 0, "{output}");
}

/// Whole rows in whole pieces of HTTP, and then the end of the connection: only the last piece,
/// which has no bytes, is missing.
#[test]
#[ignore = "slow: about 8 s"]
fn a_response_that_is_cut_at_a_row_boundary_is_read_again() {
    let behind = Behind::start();
    behind.tool().run().expect(0);
    for marker in [LOOKUP, SOURCE] {
        let rows = behind.rows_of(marker, "LIMIT 300");
        assert!(rows.len() > 128 * 1024, "more than what is held back: {}", rows.len());
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {{}}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            rows.len()
        )
        .into_bytes();
        answer.extend_from_slice(&rows);
        answer.extend_from_slice(b"\r\n");
        behind.survives(|proxy| proxy.after_request_with(marker).answer([answer]));
    }
}

/// Checked are bytes of HTTP itself: the protocol's name and the status of a response. Without
/// compression a changed byte of a value cannot be told from the value; `damaged` has those with it.
#[test]
#[ignore = "slow: about 9 s"]
fn a_flipped_byte_of_the_protocol_is_noticed() {
    let behind = Behind::start();
    behind
        .survives(|proxy| proxy.after_request_with(LOOKUP).flip_byte_at(Direction::ToClient, 0, 1));
    behind
        .survives(|proxy| proxy.after_request_with(SOURCE).flip_byte_at(Direction::ToClient, 9, 1));
    behind
        .survives(|proxy| proxy.after_request_with(INSERT).flip_byte_at(Direction::ToClient, 3, 1));
}
