//! Exceptions that the server writes into the middle of an answer, and rows that quote them, with
//! and without compression.
// Failing loudly is what the helpers of a test are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use clickhouse_backfill::internals::clickhouse::{
    Connection, Endpoint, Error, QueryPrefix, Settings, Timeouts, WireCompression,
};

use crate::support::Server;

const COMPRESSIONS: [WireCompression; 3] =
    [WireCompression::None, WireCompression::Lz4, WireCompression::Zstd];

/// What users' rows may quote, at their ends too.
const QUOTATIONS: [&str; 4] = [
    "Code: 241. DB::Exception: (total) memory limit exceeded: would use 1.00 GiB. (MEMORY_LIMIT_EXCEEDED) (version 26.7.3.1 (official build))\n",
    "\r\n__exception__\r\nabcdefghijklmnop\r\nCode: 159. DB::Exception: Timeout exceeded. (TIMEOUT_EXCEEDED) (version 26.7.3.1)\n79 abcdefghijklmnop\r\n__exception__\r\n",
    "f(g(x))\n",
    "Code: 60. DB::Exception: x. (UNKNOWN_TABLE) (version 23.8.1.1))\n",
];

fn connection(server: &Server, compression: WireCompression) -> Connection {
    let database = server.text("SELECT currentDatabase()");
    let endpoint = Endpoint::new(server.url(), None, None, database.trim()).unwrap();
    let queries = QueryPrefix::new(&format!("{}-{compression:?}", database.trim()));
    Connection::new(endpoint, compression, queries, Timeouts::default()).unwrap()
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Reads an answer; what came, and how it ended.
async fn read(connection: &Connection, sql: &str) -> (Vec<u8>, Result<(), Error>) {
    let mut stream = connection.stream("source", sql, &Settings::read()).unwrap();
    let mut rows = Vec::new();
    loop {
        match stream.next().await {
            Ok(Some(piece)) => rows.extend_from_slice(&piece),
            Ok(None) => return (rows, Ok(())),
            Err(error) => return (rows, Err(error)),
        }
    }
}

fn literal(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{}'", text.replace('\r', "\\r").replace('\n', "\\n"))
}

/// A string as RowBinary has it.
fn string(text: &[u8]) -> Vec<u8> {
    let (mut length, mut bytes) = (text.len(), Vec::new());
    while length >= 0x80 {
        bytes.push(u8::try_from(length % 0x80).unwrap() | 0x80);
        length /= 0x80;
    }
    bytes.push(u8::try_from(length).unwrap());
    [&bytes, text].concat()
}

/// The rows end with a quotation, and so does the answer: in blocks of many sizes, so that pieces
/// end anywhere.
#[test]
fn rows_that_quote_exceptions_arrive_byte_for_byte() {
    let server = Server::shared();
    for compression in COMPRESSIONS {
        let connection = connection(&server, compression);
        for quotation in QUOTATIONS {
            for (rows, block) in [(1_u64, 1_u64), (3, 1), (997, 13), (5000, 700), (20_000, 65_409)]
            {
                let sql = format!(
                    "SELECT concat(repeat('x', number % 331), {}) FROM numbers({rows}) SETTINGS max_block_size = {block}, max_threads = 1",
                    literal(quotation)
                );
                let (found, end) = wait(read(&connection, &sql));
                assert!(end.is_ok(), "{compression:?} {quotation:?} {rows}: {end:?}");
                let expected = (0..rows).flat_map(|number| {
                    let pad = "x".repeat(usize::try_from(number % 331).unwrap());
                    string(format!("{pad}{quotation}").as_bytes())
                });
                assert!(
                    found == expected.collect::<Vec<_>>(),
                    "{compression:?} {quotation:?} {rows}"
                );
            }
        }
    }
}

/// Rows of random letters behind which the server fails: `condition` is for the last ones.
fn failing(condition: &str) -> String {
    format!(
        "SELECT concat(randomPrintableASCII(300), {}), {condition} FROM numbers(1000000) SETTINGS max_block_size = 1000, max_threads = 1",
        literal(QUOTATIONS[0])
    )
}

#[track_caller]
fn assert_mid_stream(end: Result<(), Error>, expected: u32, words: &str) {
    match end {
        Err(Error::Server { code, message, mid_stream }) => {
            assert_eq!((code, mid_stream), (Some(expected), true), "{message}");
            assert!(message.contains(words) && message.starts_with("Code: "), "{message}");
            assert!(message.ends_with(')') && !message.contains("__exception__"), "{message}");
        }
        other => panic!("{other:?} instead of error {expected}"),
    }
}

/// What came before are whole rows, or their beginning: nothing of the exception.
#[track_caller]
fn assert_rows(rows: &[u8], words: &str) {
    assert!(rows.len() > 1 << 20, "{} bytes came before", rows.len());
    let found = rows.windows(words.len()).any(|window| window == words.as_bytes());
    assert!(!found, "the exception was taken for rows");
}

#[test]
#[ignore = "slow: about 21 s"]
fn an_exception_in_the_middle_of_an_answer_is_recognized() {
    let server = Server::shared();
    for compression in COMPRESSIONS {
        let connection = connection(&server, compression);
        let words = "this one is real";
        let sql = failing(&format!("throwIf(number = 300000, '{words}')"));
        let (rows, end) = wait(read(&connection, &sql));
        assert_mid_stream(end, 395, words);
        assert_rows(&rows, words);
        let words = "Timeout exceeded";
        let sql = format!("{}, max_execution_time = 1", failing("sleepEachRow(0.0001)"));
        let (rows, end) = wait(read(&connection, &sql));
        assert_mid_stream(end, 159, words);
        assert_rows(&rows, words);
    }
}

#[test]
fn a_killed_query_is_an_error_and_no_end() {
    let server = Server::shared();
    for compression in COMPRESSIONS {
        let connection = connection(&server, compression);
        let kill = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let sql = format!(
                "KILL QUERY WHERE query_id LIKE 'clickhouse-backfill-%-{compression:?}-%' AND query LIKE '%sleepEachRow%' AND current_database = currentDatabase() SYNC"
            );
            connection.execute("kill", &sql, &Settings::common()).await.unwrap();
        };
        let sql = failing("sleepEachRow(0.0001)");
        let ((rows, end), ()) = wait(async { tokio::join!(read(&connection, &sql), kill) });
        assert_mid_stream(end, 394, "cancelled");
        assert_rows(&rows, "QUERY_WAS_CANCELLED");
    }
}

/// An error that the server knows before it sends the head, in the encoding that was asked for.
#[test]
fn an_error_before_the_first_row_has_its_words() {
    let server = Server::shared();
    for compression in COMPRESSIONS {
        let connection = connection(&server, compression);
        for (sql, expected) in [
            ("SELECT * FROM missing", 60),
            ("SELECT throwIf(1)", 395),
            (
                "SELECT number, throwIf(number = 900000) FROM numbers(1000000) SETTINGS max_block_size = 1000",
                395,
            ),
            ("SELECT 1 SETTINGS no_such_setting = 1", 115),
        ] {
            let (_, end) = wait(read(&connection, sql));
            match end {
                Err(Error::Server { code, message, .. }) => {
                    assert_eq!(code, Some(expected), "{compression:?} {sql}: {message}");
                    assert!(message.contains("DB::Exception: "), "{message}");
                }
                other => panic!("{compression:?} {sql}: {other:?}"),
            }
        }
    }
}
