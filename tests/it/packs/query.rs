//! `query`: parameters go to the server as parameters, rows to stdout.

use super::fixture::tool;
use crate::support::{Server, assert_text_snapshot};

#[test]
fn parameters_reach_the_server_as_they_are() {
    let server = Server::shared();
    let text = "it's \\ a\ttab, a\nline, {count:Int8}, '); DROP TABLE x --\\N";
    let output = tool(&server)
        .args(&["query", "market/echo", "--format", "JSONEachRow", "--param", "count=2"])
        .args(&["--param", "when=2026-10-01 12:00:00", "--param", &format!("text={text}")])
        .run()
        .expect(0);
    assert_eq!(output.stderr, "");
    let rows: Vec<serde_json::Value> =
        output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1]["n"], 1);
    assert_eq!(rows[0]["text"], text);
    assert_eq!(rows[0]["moment"], "2026-10-01 12:00:00");
    assert_eq!(rows[0]["quoted"], "{no:Int8}");
}

#[test]
fn what_is_wrong_with_parameters_and_formats_is_named() {
    let server = Server::shared();
    let query = |arguments: &[&str]| tool(&server).arg("query").args(arguments).run().failure();
    assert_text_snapshot!(query(&["market/echo", "--param", "count=2", "--param", "cuont=1"]), @"
    exit code 2
    error: the query market/echo cannot be run: the parameter text (String) is missing; the parameter when (DateTime('UTC')) is missing; there is no parameter cuont, it has text, when, count
    hint: give each parameter once, as --param NAME=VALUE
    ");
    let all = ["market/echo", "--param", "text=", "--param", "when=2026-10-01 00:00:00"];
    assert_text_snapshot!(query(&[&all[..], &["--param", "count=-2"]].concat()), @"
    exit code 2
    error: the query market/echo failed
      because: Code: 457. [WORDS OF THE SERVER] (BAD_QUERY_PARAMETER)
    hint: correct the value of --param that the server names
    ");
    assert_text_snapshot!(query(&[&all[..], &["--param", "count=2", "--format", "Jason"]].concat()), @"
    exit code 2
    error: the query market/echo failed
      because: Code: 73. [WORDS OF THE SERVER] (UNKNOWN_FORMAT)
    hint: set --format to an output format of ClickHouse, such as JSONEachRow or CSV
    ");
    assert_text_snapshot!(query(&[&all[..], &["--param", "count=2", "--format", "a b"]].concat()), @r#"
    exit code 2
    error: "a b" is not the name of a format
    hint: set --format to an output format of ClickHouse, such as JSONEachRow or CSV
    "#);
    assert_text_snapshot!(query(&["market/ecko"]), @r#"
    exit code 2
    error: the pack market has no query "ecko"; it has echo, fails
    "#);
    assert_text_snapshot!(query(&["echo"]), @r#"
    exit code 2
    error: "echo" does not name a query: write PACK/NAME
    hint: `clickhouse-backfill pack list` lists the packs
    "#);
    assert_text_snapshot!(query(&["optiinfra/freshness"]), @"
    exit code 1
    error: the query optiinfra/freshness failed
      because: Code: 60. [WORDS OF THE SERVER] (UNKNOWN_TABLE)
    hint: `clickhouse-backfill pack apply` creates the tables of a pack; --clickhouse-db says where they are
    ");
}

#[test]
fn any_format_is_streamed_and_a_query_that_breaks_says_so() {
    let server = Server::shared();
    let with = |format: &str| {
        let all =
            ["--param", "text=x", "--param", "when=2026-10-01 00:00:00", "--param", "count=1"];
        tool(&server)
            .args(&["query", "market/echo", "--format", format])
            .args(&all)
            .run()
            .expect(0)
            .stdout
    };
    assert_eq!(
        with("CSVWithNames"),
        "\"n\",\"text\",\"moment\",\"quoted\"\n0,\"x\",\"2026-10-01 00:00:00\",\"{no:Int8}\"\n"
    );
    assert!(with("Pretty").contains("2026-10-01 00:00:00"));
    let broken = tool(&server).args(&["query", "market/fails"]).run();
    assert!(broken.stdout.lines().count() > 1000, "rows before the failure are streamed");
    assert!(!broken.stdout.contains("DB::Exception"));
    assert_text_snapshot!(broken.failure(), @"
    exit code 1
    error: the query market/fails failed
      because: Code: 395. [WORDS OF THE SERVER] (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)
    hint: the rows on stdout are incomplete: discard them
    ");
}
