//! A source that is read in blocks, whose answers do not arrive as they were sent.

use super::fixture::{Behind, SOON, SOURCE};
use crate::support::Direction;

const NATIVE: [&str; 3] = ["--read-format", "native", "-v"];

#[test]
#[ignore = "slow: about 26 s"]
fn blocks_that_are_reset_or_cut_are_read_again() {
    let behind = Behind::start();
    for offset in [0, 1_000_000, 2_500_000] {
        for is_reset in [true, false] {
            let output = behind.survives_with(&NATIVE, |proxy| {
                let fault = proxy.after_request_with(SOURCE);
                if is_reset {
                    fault.reset_at(Direction::ToClient, offset, 1);
                } else {
                    fault.cut_at(Direction::ToClient, offset, 1);
                }
            });
            assert!(output.stderr.contains("the chunk is read again"), "{output}");
            assert!(output.stderr.contains("reads       native blocks"), "{output}");
        }
    }
}

/// Whole blocks, and then the beginning of an exception: nothing of it is taken for a block, and the
/// blocks before it are not taken for the whole answer.
#[test]
#[ignore = "slow: about 7 s"]
fn the_beginning_of_an_exception_is_no_block() {
    let behind = Behind::start();
    behind.tool().run().expect(0);
    let block = behind.answer_of(SOURCE, "LIMIT 400", "Native");
    assert!(block.len() > 128 * 1024, "more than what is held back: {}", block.len());
    let words = format!(
        "Code: 60. DB::Exception: {}",
        "there is no such table, and that is said at length; ".repeat(1000)
    );
    let mut answer =
        b"HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in [&*block, &block, words.as_bytes()] {
        answer.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        answer.extend_from_slice(piece);
        answer.extend_from_slice(b"\r\n");
    }
    behind.begin_again();
    behind.proxy.after_request_with(SOURCE).answer([answer]);
    let tool = behind.tool().args(&NATIVE).limit(2 * SOON);
    let output = tool.run().expect(0);
    assert_eq!((behind.proxy.fired(), behind.orders.figure("errors")), (1, 0), "{output}");
    assert!(output.stderr.contains("the chunk is read again"), "{output}");
    behind.orders.assert_complete();
}
