//! Every format arrives as it is, however it is cut.

use super::fixture::{counts, insert, json_lines, server};
use crate::support::assert_text_snapshot;

#[test]
fn json_lines_arrive_in_batches() {
    let server = server();
    let input = json_lines(2500);
    let all =
        ["--table", "t", "--format", "JSONEachRow", "--batch-rows", "1000", "--load-id", "one"];
    assert_text_snapshot!(insert(&server, input.as_bytes(), &all).run().everything(), @"
    exit code 0
    --- stdout
    inserted 2,500 rows ([SIZE]) in 3 batches into default.t, load one
    ");
    assert_eq!(counts(&server), "2500\t2500\t2500");
    let json = insert(
        &server,
        b"{\"id\": 7, \"name\": \"x\"}",
        &["--table", "t", "--format", "JSONLines", "--json"],
    );
    let json: serde_json::Value = serde_json::from_str(&json.run().expect(0).stdout).unwrap();
    assert_eq!(
        (&json["rows"], &json["batches"], &json["bytes"]),
        (&1.into(), &1.into(), &22.into())
    );
    assert_eq!(json["completed"], true);
}

#[test]
fn quoted_line_breaks_and_headers_of_csv_stay_whole() {
    let server = server();
    let rows: Vec<_> = (0..300).map(|id| format!("{id},\"line\nof \"\"{id}\"\"\n\"\n")).collect();
    let header = "id,name\n".to_owned();
    let input = [std::slice::from_ref(&header), &rows].concat().concat();
    insert(
        &server,
        input.as_bytes(),
        &["--table", "t", "--format", "CSVWithNames", "--batch-rows", "7"],
    )
    .run()
    .expect(0);
    assert_eq!(counts(&server), "300\t300\t300");
    assert_eq!(
        server.text(
            "SELECT count() FROM t WHERE name = concat('line\\nof \"', toString(id), '\"\\n')"
        ),
        "300"
    );

    // Without a header in the format, a first row that resembles one is an error, not left out.
    let refused = insert(&server, input.as_bytes(), &["--table", "t", "--format", "CSV"]).run();
    assert_eq!(refused.status, Some(1), "{refused}");
    assert_eq!(counts(&server), "300\t300\t300");
}

#[test]
fn tab_separated_rows_with_escaped_line_breaks_and_values_like_headers_arrive() {
    let server = server();
    server.query("CREATE TABLE names (id String, name String) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 10");
    // The second batch begins with a row of the columns' names.
    let input = "a\tx\\\ny\nid\tname\nb\t\\N\n";
    insert(
        &server,
        input.as_bytes(),
        &["--table", "names", "--format", "TSV", "--batch-rows", "1"],
    )
    .run()
    .expect(0);
    assert_eq!(server.text("SELECT id, name FROM names ORDER BY id"), "a\tx\\ny\nb\t\nid\tname");
}

#[test]
fn other_formats_are_inserted_whole() {
    let server = server();
    let parquet = server
        .query("SELECT number AS id, toString(number) AS name FROM numbers(300000) FORMAT Parquet");
    let all = ["--table", "t", "--format", "Parquet", "--load-id", "file"];
    assert_text_snapshot!(insert(&server, &parquet, &all).run().everything(), @"
    exit code 0
    --- stdout
    inserted rows of one file ([SIZE]) in 1 batch into default.t, load file
    ");
    insert(&server, &parquet, &all).run().expect(0);
    assert_eq!(counts(&server), "300000\t300000\t300000");
    assert_eq!(server.text("SELECT count() FROM system.parts WHERE active AND database = currentDatabase() AND table = 't'"), "1");
    let cut =
        insert(&server, &parquet[..parquet.len() - 100], &["--table", "t", "--format", "Parquet"])
            .run();
    assert_eq!(cut.status, Some(1), "{cut}");
    assert_eq!(counts(&server), "300000\t300000\t300000");
}
