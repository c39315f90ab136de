//! The same input counts once; an input that was corrected goes on where it stopped.

use super::fixture::{WINDOW, counts, insert, json_lines, server};
use crate::support::shown::titled;
use crate::support::{Server, assert_text_snapshot};

const ALL: [&str; 8] =
    ["--table", "t", "--format", "JSONEachRow", "--batch-rows", "100", "--load-id", "one"];

#[test]
fn the_same_command_counts_once_and_another_identity_counts_again() {
    let server = server();
    let input = json_lines(950);
    for _ in 0..3 {
        insert(&server, input.as_bytes(), &ALL).run().expect(0);
        assert_eq!(counts(&server), "950\t950\t950");
    }
    let other = [&ALL[..7], &["two"]].concat();
    insert(&server, input.as_bytes(), &other).run().expect(0);
    assert_eq!(counts(&server), "1900\t950\t1900");
    insert(&server, input.as_bytes(), &ALL[..6]).run().expect(0);
    assert_eq!(counts(&server), "2850\t950\t2850", "each run has its own identity by default");
}

#[test]
fn a_bad_row_stops_with_its_line_and_the_corrected_input_counts_once() {
    let server = server();
    let mut lines: Vec<_> = json_lines(950).lines().map(str::to_owned).collect();
    lines.insert(3, String::new());
    let good = lines.join("\n");
    lines[453] = "{\"id\": \"many\", \"name\": \"x\"}".to_owned();
    let bad = lines.join("\n");
    assert_text_snapshot!(insert(&server, bad.as_bytes(), &ALL).run().failure(), @"
    exit code 1
    error: line 454 cannot be inserted into default.t
      because: Code: 27. [WORDS OF THE SERVER] (CANNOT_PARSE_INPUT_ASSERTION_FAILED)
    hint: correct the line
    hint: 400 rows ([SIZE]) in 4 batches stay; after the correction, run the same command again: rows count once
    ");
    assert_eq!(counts(&server), "400\t400\t400");
    insert(&server, good.as_bytes(), &ALL).run().expect(0);
    assert_eq!(counts(&server), "950\t950\t950");

    // Without an identity, the message has the one that was made.
    let failed = insert(&server, bad.as_bytes(), &ALL[..6]).run();
    let id =
        failed.stderr.split("--load-id ").nth(1).unwrap().split(':').next().unwrap().to_owned();
    insert(&server, good.as_bytes(), &[&ALL[..7], &[id.as_str()]].concat()).run().expect(0);
    assert_eq!(counts(&server), "1900\t950\t1900");
}

#[test]
fn lines_of_csv_are_those_of_the_file() {
    let server = server();
    let input = "id,name\n1,\"a\n\nb\"\n2,c\nx,d\n";
    let all = ["--table", "t", "--format", "CSVWithNames", "--batch-rows", "2"];
    let failed = insert(&server, input.as_bytes(), &all).run().failure();
    assert!(failed.contains("error: line 6 cannot be inserted into "), "{failed}");
    assert_eq!(counts(&server), "2\t2\t2");
}

#[test]
fn more_batches_than_the_table_recognizes_are_refused_before_they_could_count_twice() {
    let server = Server::shared();
    let table = |name: &str, window: u32| {
        server.query(&format!("CREATE TABLE {name} (id UInt64, name String) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = {window}"));
    };
    table("t", 100);
    table("s", 5);
    server.query("CREATE MATERIALIZED VIEW v TO s AS SELECT id, name FROM t");
    let input = json_lines(950);
    assert_text_snapshot!(insert(&server, input.as_bytes(), &ALL).run().failure(), @"
    exit code 1
    error: the input has more than 5 batches, and default.s recognizes the latest 5 inserts (non_replicated_deduplication_window): a repeated load would count twice
    hint: ALTER TABLE default.s MODIFY SETTING non_replicated_deduplication_window = 50
    hint: 500 rows ([SIZE]) in 5 batches stay; after the correction, run the same command again: rows count once
    ");
    let both = "SELECT (SELECT count() FROM t), (SELECT count() FROM s)";
    assert_eq!(server.text(both), "500\t500");
    server.query("ALTER TABLE s MODIFY SETTING non_replicated_deduplication_window = 50");
    insert(&server, input.as_bytes(), &ALL).run().expect(0);
    assert_eq!(server.text(both), "950\t950");
    // Without an identity there is no such promise.
    server.query("ALTER TABLE s MODIFY SETTING non_replicated_deduplication_window = 5");
    insert(&server, input.as_bytes(), &ALL[..6]).run().expect(0);
    assert_eq!(server.text(both), "1900\t1900");
}

#[test]
fn tables_that_would_keep_repeated_rows_are_refused_with_what_to_set() {
    let server = Server::shared();
    server.query("CREATE TABLE plain (id UInt64, name String) ENGINE = MergeTree ORDER BY id");
    server.query("CREATE TABLE memory (id UInt64, name String) ENGINE = Memory");
    server.query(&format!(
        "CREATE TABLE viewed (id UInt64, name String) ENGINE = MergeTree ORDER BY id {WINDOW}"
    ));
    server.query("CREATE MATERIALIZED VIEW viewed_mv TO plain AS SELECT * FROM viewed");
    server.query(
        "CREATE TABLE replacing (id UInt64, name String) ENGINE = ReplacingMergeTree ORDER BY id",
    );
    let run = |table: &str| {
        insert(&server, b"{\"id\":1}\n", &["--table", table, "--format", "JSONEachRow"]).run()
    };
    let refused =
        ["plain", "memory", "viewed", "nowhere"].map(|table| (table, run(table).failure()));
    assert_text_snapshot!(titled(refused), @"
    # plain
    exit code 3
    error: default.plain (MergeTree) does not recognize repeated inserts: rows that are sent again after a failure would stay twice
    hint: ALTER TABLE default.plain MODIFY SETTING non_replicated_deduplication_window = 10000

    # memory
    exit code 3
    error: default.memory (Memory) does not recognize repeated inserts: rows that are sent again after a failure would stay twice
    hint: insert into a MergeTree table with a deduplication window instead

    # viewed
    exit code 3
    error: default.plain (MergeTree) does not recognize repeated inserts: rows that are sent again after a failure would stay twice (the view default.viewed_mv fills it)
    hint: ALTER TABLE default.plain MODIFY SETTING non_replicated_deduplication_window = 10000

    # nowhere
    exit code 2
    error: the table default.nowhere does not exist, or the user has no right to see it
    hint: set --table, and --clickhouse-db for tables without a database
    ");
    run("replacing").expect(0);
    assert_eq!(server.text("SELECT count() FROM replacing"), "1");
}

#[test]
fn inputs_and_flags_that_cannot_be_are_named() {
    let server = server();
    let run = |input: &str, arguments: &[&str]| {
        insert(&server, input.as_bytes(), &[&["--table", "t"], arguments].concat()).run().failure()
    };
    let json = ["--format", "JSONEachRow"];
    let setting = |name| [&json[..], &["--setting", name]].concat();
    let cases = [
        ("an array", run("[{\"id\":1}]", &json)),
        ("no format", run("", &["--format", "JSON EachRow"])),
        ("an unknown format", run("{}", &["--format", "Jason"])),
        ("an own setting", run("", &setting("input_format_allow_errors_num=1"))),
        ("no setting of a format", run("", &setting("max_memory_usage=1"))),
        ("an empty identity", run("", &[&json[..], &["--load-id", ""]].concat())),
    ];
    assert_text_snapshot!(titled(cases), @r#"
    # an array
    exit code 2
    error: the input is one JSON array, which cannot be divided at the ends of lines
    hint: write one object a line, as `jq -c '.[]'` does
    hint: nothing was inserted

    # no format
    exit code 2
    error: "JSON EachRow" is not the name of a format
    hint: set --format to an input format of ClickHouse, such as JSONEachRow or CSVWithNames

    # an unknown format
    exit code 2
    error: the rows from line 1 on cannot be inserted into default.t
      because: Code: 73. [WORDS OF THE SERVER] (UNKNOWN_FORMAT)
    hint: set --format to an input format of ClickHouse, such as JSONEachRow or CSVWithNames
    hint: nothing was inserted

    # an own setting
    exit code 2
    error: --setting input_format_allow_errors_num cannot be chosen: rows would be found at other places, or left out

    # no setting of a format
    exit code 2
    error: --setting max_memory_usage is no setting of an input format

    # an empty identity
    exit code 2
    error: --load-id is empty
    "#);
    assert_eq!(counts(&server), "0\t0\t0");
    let output = insert(&server, b"", &["--table", "t", "--format", "CSV"]).run().expect(0);
    assert!(output.stdout.starts_with("inserted 0 rows (0 B) in 0 batches"), "{output}");
    let at = b"{\"id\":1,\"at\":\"2026-10-01T12:00:00Z\"}";
    let setting = [
        "--table",
        "t",
        "--format",
        "JSONEachRow",
        "--setting",
        "date_time_input_format=best_effort",
    ];
    insert(&server, at, &setting).run().expect(0);
    assert_eq!(server.text("SELECT at FROM t"), "2026-10-01 12:00:00");
}
