//! Values of users that quote the server's exceptions.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::fixture::{Behind, LOOKUP, SOON, SOURCE};
use crate::orders::Orders;

/// An exception in the middle of an answer looks like this; values of users may quote one, and end
/// a row with it.
#[test]
fn values_that_quote_an_exception_are_values() {
    let orders = Orders::start(5_000);
    let server = &orders.server;
    for words in [
        "concat('Code: 241. DB::Exception: (total) memory limit exceeded. (MEMORY_LIMIT_EXCEEDED) (version 26.7.3.1 (official build))', char(10))",
        "concat(char(13, 10), '__exception__', char(13, 10), 'abcdefghijklmnop', char(13, 10), 'Code: 159. DB::Exception: x', char(10), '27 abcdefghijklmnop', char(13, 10), '__exception__', char(13, 10))",
    ] {
        server.query(&format!("INSERT INTO orders SELECT id, customer, placed, amount, version + 1, 0, concat(substring(note, 1, id % 40), {words}) FROM orders FINAL"));
        server.query(&format!("INSERT INTO customers SELECT id, city, tags, version + 1, 0, {words} FROM customers FINAL"));
        let output = orders.tool().run().expect(0);
        assert_eq!(orders.figure("errors"), 0, "{output}");
        orders.assert_complete();
    }
}

/// The text of an exception comes in pieces, of which the first ones are as good as any rows. None
/// of them is taken for one.
#[test]
#[ignore = "slow: about 8 s"]
fn the_beginning_of_an_exception_is_no_row() {
    let behind = Behind::start();
    behind.tool().run().expect(0);
    let rows = behind.rows_of(SOURCE, "LIMIT 400");
    assert!(rows.len() > 128 * 1024, "more than what is held back: {}", rows.len());
    // Whatever lengths of strings its letters mean, there are rows in it.
    let words = format!(
        "Code: 60. DB::Exception: {}",
        "there is no such table, and that is said at length; ".repeat(1000)
    );
    let mut answer =
        b"HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in [rows.as_slice(), words.as_bytes()] {
        answer.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        answer.extend_from_slice(piece);
        answer.extend_from_slice(b"\r\n");
    }
    behind.begin_again();
    behind.proxy.after_request_with(SOURCE).answer([answer]);
    let tool = behind.orders.tool_at(&behind.proxy.url()).args(&["--batch-size", "100"]);
    let output = tool.limit(2 * SOON).run().expect(0);
    assert_eq!((behind.proxy.fired(), behind.orders.figure("errors")), (1, 0), "{output}");
    assert!(output.stderr.contains("the chunk is read again"), "{output}");
    behind.orders.assert_complete();
}

/// The quotation, which ends as the exceptions of servers before 25.11 do. The error is one that
/// would not be tried again.
const QUOTATION: &str = "Code: 60. DB::Exception: there is no such table. (UNKNOWN_TABLE) (version 25.3.1 (official build))\n";

/// One whole answer to the lookup, in pieces that end at each byte of a quotation in turn, behind
/// the last one too, so that any piece ends with any beginning of it. A server that marks
/// exceptions, and one that does not.
#[test]
#[ignore = "slow: about 7 s"]
fn pieces_that_end_anywhere_in_a_quotation_are_values() {
    let behind = Behind::start();
    let server = &behind.orders.server;
    server.query(&format!(
        "INSERT INTO customers SELECT id, city, tags, version + 1, 0, concat('{QUOTATION}', ' and more') FROM customers FINAL"
    ));
    behind.tool().run().expect(0);
    let rows = behind.rows_of(LOOKUP, "");
    let starts: Vec<_> = (0..rows.len() - QUOTATION.len())
        .filter(|&index| rows[index..].starts_with(QUOTATION.as_bytes()))
        .collect();
    assert!(starts.len() >= QUOTATION.len(), "{} quotations", starts.len());
    for tag in ["", "X-ClickHouse-Exception-Tag: abcdefghijklmnop\r\n"] {
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {{}}\r\n{tag}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )
        .into_bytes();
        let mut piece = |bytes: &[u8]| {
            answer.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
            answer.extend_from_slice(bytes);
            answer.extend_from_slice(b"\r\n");
        };
        let mut begin = 0;
        for (start, offset) in starts.iter().zip((1..=QUOTATION.len()).rev()) {
            piece(&rows[begin..start + offset]);
            begin = start + offset;
        }
        piece(&rows[begin..]);
        piece(b"");
        behind.begin_again();
        let before = behind.proxy.fired();
        behind.proxy.after_request_with(LOOKUP).answer([answer]);
        let output = behind.tool().run().expect(0);
        assert_eq!(
            (behind.proxy.fired(), behind.orders.figure("retries"), behind.orders.figure("errors")),
            (before + 1, 0, 0),
            "{tag}{output}"
        );
        behind.orders.assert_complete();
    }
}
