//! Which version of a lookup row counts: the greatest version, then a deleted one, then the
//! greatest attribute bytes.

use super::fixture::{assert_fills, assert_refused, make};
use crate::support::Server;

/// Rows of a lookup in many versions, of which many tie: 50 keys with 20 rows each.
fn server(version: &str, value: &str) -> Server {
    let server = Server::shared();
    fill(&server, version, value);
    server
}

/// Makes the tables anew, with versions of this type.
fn fill(server: &Server, version: &str, value: &str) {
    let statements = [
        "CREATE OR REPLACE TABLE rows (id UInt64, key String) ENGINE = MergeTree ORDER BY id".to_owned(),
        "INSERT INTO rows SELECT number, toString(number % 60) FROM numbers(180)".to_owned(),
        format!(
            "CREATE OR REPLACE TABLE attributes (key String, version {version}, deleted UInt8, text Nullable(String), list Array(String), map Map(String, String), unused UInt64)
             ENGINE = MergeTree ORDER BY unused"
        ),
        format!(
            "INSERT INTO attributes
             WITH sipHash64(number) AS chance, {value} AS value
             SELECT toString(number % 50), value, chance % 7 = 0, [NULL, '', 'a', 'aa', 'b', '\\xFF', 'A'][1 + chance % 11 % 7],
                 if(chance % 3 = 0, [], [toString(chance % 5)]), map('k', toString(intDiv(chance, 10) % 3)), number
             FROM numbers(1000)"
        ),
        "CREATE OR REPLACE TABLE joined (id UInt64, text Nullable(String), list Array(String), map Map(String, String)) ENGINE = ReplacingMergeTree ORDER BY id".to_owned(),
    ];
    make(server, &statements);
}

/// A job over these tables; `more` are further lines of its lookup.
fn job(more: &str) -> String {
    format!(
        "
        name = 'versions'
        [source]
        table = 'rows'
        join_key = ['key']
        [lookup]
        table = 'attributes'
        join_key = ['key']
        {more}
        [target]
        table = 'joined'
        [columns]
        id = 'source.id'
        map = 'lookup.map'
        text = 'lookup.text'
        list = 'lookup.list'
    "
    )
}

/// The newest version by a window function. The attributes stand in the table's order.
fn by_hand(order: &str, live: &str) -> String {
    format!(
        "SELECT id, text, list, map
         FROM rows
         LEFT ANY JOIN
         (
             SELECT key AS k, text, list, map FROM
             (
                 SELECT *, row_number() OVER (PARTITION BY key ORDER BY {order} formatRow('RowBinary', text, list, map) DESC) AS place
                 FROM attributes
             )
             WHERE place = 1 AND {live}
         ) AS newest
         ON rows.key = newest.k"
    )
}

#[test]
fn without_a_version_the_greatest_bytes_count() {
    let server = server("UInt8", "0");
    assert_fills(&server, &job(""), "joined", &["id"], &by_hand("", "1"));
}

#[test]
fn without_a_version_a_deleted_row_counts_first() {
    let server = server("UInt8", "0");
    // Not all keys are deleted: then there would be nothing to see.
    server.query("ALTER TABLE attributes DELETE WHERE deleted AND toUInt32(key) % 2 = 0 SETTINGS mutations_sync = 2");
    let expected = by_hand("deleted DESC,", "NOT deleted");
    assert_eq!(
        server.text(&format!(
            "SELECT countIf(notEmpty(map)) > 20, countIf(empty(map)) > 20 FROM ({expected})"
        )),
        "1\t1"
    );
    assert_fills(&server, &job("deleted = 'deleted'"), "joined", &["id"], &expected);
}

#[test]
#[ignore = "slow: about 23 s"]
fn versions_of_every_type_with_ties() {
    let types = [
        ("UInt8", "chance % 4"),
        ("Int16", "toInt16(chance % 5) - 3"),
        (
            "UInt64",
            "[9223372036854775807, 9223372036854775808, 18446744073709551615, 0][1 + chance % 4]",
        ),
        ("Int64", "[-9223372036854775807, -1, 0, 9223372036854775807][1 + chance % 4]"),
        ("Date", "chance % 3"),
        ("Date32", "toDate32('1969-12-30') + chance % 4"),
        ("DateTime('Asia/Tokyo')", "toDateTime(1762000000 + chance % 3)"),
        ("DateTime64(9, 'UTC')", "fromUnixTimestamp64Nano(toInt64(chance % 4) - 2, 'UTC')"),
        ("LowCardinality(UInt32)", "chance % 3"),
    ];
    let server = Server::shared();
    for (version, value) in types {
        fill(&server, version, value);
        println!("{version}");
        let expected = by_hand("version DESC, deleted DESC,", "NOT deleted");
        assert_fills(
            &server,
            &job("version = 'version'\ndeleted = 'deleted'"),
            "joined",
            &["id"],
            &expected,
        );
    }
    for version in ["String", "Nullable(UInt8)", "UInt128", "Float64"] {
        fill(&server, version, "0");
        assert_refused(&server, &job("version = 'version'"), "joined", 3, "version");
    }
}

#[test]
fn a_lookup_of_which_no_column_is_read_and_one_without_rows() {
    let server = server("UInt8", "chance % 4");
    let text = job("version = 'version'")
        .replace("text = 'lookup.text'", "text = 'source.key'")
        .replace("list = 'lookup.list'", "list = '[]'");
    let text = text.replace("map = 'lookup.map'", "map = 'map()'");
    let expected = "SELECT id, CAST(key, 'Nullable(String)') AS text, CAST([], 'Array(String)') AS list, CAST(map(), 'Map(String, String)') AS map FROM rows";
    assert_fills(&server, &text, "joined", &["id"], expected);

    server.script("TRUNCATE TABLE attributes SYNC\n--;;\nTRUNCATE TABLE joined SYNC");
    let expected = expected.replace("CAST(key, ", "CAST(NULL, ");
    assert_fills(&server, &job("version = 'version'"), "joined", &["id"], &expected);
}

#[test]
fn the_source_is_collapsed_where_the_job_says_so() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE rows (id UInt64, text String, version UInt32, deleted UInt8) ENGINE = ReplacingMergeTree(version, deleted) ORDER BY id
         --;;
         SYSTEM STOP MERGES rows
         --;;
         INSERT INTO rows SELECT number, 'first', 1, 0 FROM numbers(300)
         --;;
         INSERT INTO rows SELECT number, 'second', 2, number % 3 = 0 FROM numbers(200)
         --;;
         INSERT INTO rows SELECT number, 'third', 3, 0 FROM numbers(100)
         --;;
         INSERT INTO rows SELECT number, 'older', 0, 1 FROM numbers(300)
         --;;
         CREATE TABLE kept (id UInt64, text String, version UInt32) ENGINE = ReplacingMergeTree ORDER BY (id, version)",
    );
    let job = |lines: &str| {
        format!(
            "name = 'kept'\n[source]\ntable = 'rows'\n{lines}\n[target]\ntable = 'kept'\n[columns]\nid = 'source.id'\ntext = 'source.text'\nversion = 'source.version'\n"
        )
    };
    let cases = [
        (
            "final = true\nversion = 'version'\ndeleted = 'deleted'",
            "SELECT id, argMax(r.text, r.version) AS text, max(r.version) AS version FROM rows AS r GROUP BY id HAVING argMax(r.deleted, r.version) = 0",
        ),
        // What is marked as deleted is left out of the rows as they are stored, versions and all.
        ("deleted = 'deleted'", "SELECT id, text, version FROM rows WHERE deleted = 0"),
        ("", "SELECT id, text, version FROM rows"),
    ];
    for (lines, expected) in cases {
        server.query("TRUNCATE TABLE kept SYNC");
        assert_fills(&server, &job(lines), "kept", &["id", "version"], expected);
    }
}
