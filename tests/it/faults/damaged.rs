//! One bit that flips on the way, with checksums: it is noticed, and the statement is sent again.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use clickhouse_backfill::internals::clickhouse::{
    Connection, Endpoint, ErrorClass, QueryPrefix, Settings, Timeouts, WireCompression,
};

use super::fixture::{Behind, INSERT, LOOKUP, SOURCE};
use crate::support::{Direction, Proxy, Server};

/// The end of the head of a request whose body is sent in pieces.
const END_OF_HEAD: &[u8] = b"transfer-encoding: chunked\r\n\r\n";
/// The line with the size of the first piece.
const SIZE_LINE: u64 = 4;

#[test]
#[ignore = "slow: about 18 s"]
fn a_bit_that_flips_in_compressed_rows_is_noticed_and_the_statement_sent_again() {
    let behind = Behind::start();
    for (number, (marker, direction, offset)) in (0_u32..).zip([
        (LOOKUP, Direction::ToClient, 3_000),
        (SOURCE, Direction::ToClient, 5_000),
        (SOURCE, Direction::ToClient, 100_000),
        (INSERT, Direction::ToServer, 20_000),
        (INSERT, Direction::ToServer, 60_000),
    ]) {
        behind.begin_again();
        let before = behind.proxy.fired();
        behind.proxy.after_request_with(marker).flip_bit_at(direction, offset, number);
        let output = behind.tool().args(&["--compression", "lz4"]).run().expect(0);
        assert_eq!(behind.proxy.fired(), before + 1, "the bit flipped\n{output}");
        assert!(behind.orders.figure("retries") >= 1, "{direction:?} {offset}\n{output}");
        assert_eq!(behind.orders.figure("errors"), 0, "{output}");
        behind.orders.assert_complete();
    }
}

fn connection(
    proxy: &Proxy,
    server: &Server,
    compression: WireCompression,
    attempt: u64,
) -> Connection {
    let endpoint = Endpoint::new(&proxy.url(), None, None, server.database()).unwrap();
    let queries = QueryPrefix::new(&format!("{}-{compression:?}-{attempt}", server.database()));
    Connection::new(endpoint, compression, queries, Timeouts::default()).unwrap()
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Each byte of the blocks' heads: checksum, method, sizes; and the beginning of the data.
#[test]
fn no_damaged_block_of_a_request_is_taken_and_each_is_retried() {
    let server = Server::shared();
    server.query("CREATE TABLE damaged (x UInt64) ENGINE = Memory");
    let proxy = Proxy::start(server.port());
    for compression in [WireCompression::Lz4, WireCompression::Zstd] {
        let mut refused = Vec::new();
        for offset in 0..60 {
            // A connection each, so that the marker is that of this request.
            let connection = connection(&proxy, &server, compression, offset);
            let bit = u32::try_from(offset).unwrap() * 3;
            proxy.after_request_with(END_OF_HEAD).flip_bit_at(
                Direction::ToServer,
                SIZE_LINE + offset,
                bit,
            );
            let before = proxy.fired();
            let rows = [Bytes::copy_from_slice(&7_u64.to_le_bytes())];
            let (sql, settings) = ("INSERT INTO damaged FORMAT RowBinary", Settings::insert(10));
            match wait(connection.insert("insert", sql, &settings, &rows)) {
                Ok(()) => panic!("byte {offset} of a block in {compression:?}: it was taken"),
                Err(error) => {
                    if !matches!(error.class(), ErrorClass::Retry | ErrorClass::Ambiguous) {
                        refused.push(format!("byte {offset}: {error}"));
                    }
                }
            }
            assert_eq!(proxy.fired(), before + 1, "byte {offset}: the bit flipped");
        }
        assert!(refused.is_empty(), "{compression:?}, permanent:\n{}", refused.join("\n"));
    }
    proxy.pass();
    assert_eq!(server.text("SELECT count() FROM damaged").trim(), "0");
}

#[test]
fn no_damaged_answer_is_taken_for_rows() {
    let server = Server::shared();
    let proxy = Proxy::start(server.port());
    let sql = "SELECT number, hex(sipHash128(number)) FROM numbers(3000)";
    for compression in [WireCompression::Lz4, WireCompression::Zstd] {
        let read = |attempt| {
            let connection = connection(&proxy, &server, compression, attempt);
            wait(connection.fetch_rows("source", sql, &Settings::read()))
        };
        let rows = read(0).unwrap();
        assert_eq!(rows.len(), 3000 * (8 + 1 + 32));
        // Behind the head of the answer.
        for offset in (3_000..30_000).step_by(997) {
            proxy.after_request_with(SOURCE).flip_bit_at(
                Direction::ToClient,
                offset,
                u32::try_from(offset).unwrap(),
            );
            let before = proxy.fired();
            let error = read(offset).expect_err("a damaged answer");
            assert_eq!(proxy.fired(), before + 1, "byte {offset}: the bit flipped");
            let class = error.class();
            assert!(
                matches!(class, ErrorClass::Retry | ErrorClass::Ambiguous),
                "{compression:?} byte {offset}: {error}"
            );
        }
        proxy.pass();
    }
}
