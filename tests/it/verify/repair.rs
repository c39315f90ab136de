//! `repair`: what differs is mended, what should not be there is removed only when that was asked
//! for, and live writers' rows stay.

use serde_json::Value;

use super::fixture::{corrupt, filled, named, of_one_group, report, row, tool, verify};
use crate::jobs::fixture::JobFile;
use crate::oracle::fixture::{
    DECEMBER, adversarial_but_small, assert_filled, oracle, recorded_run,
};
use crate::support::{Server, assert_text_snapshot, binary};

#[test]
fn every_kind_of_wrong_row_is_mended() {
    let orders = filled(2_000);
    let (one, other) = of_one_group(&orders);
    let amount = |id: u64| {
        orders.server.text(&format!("SELECT amount FROM shipments FINAL WHERE order_id = {id}"))
    };
    let (ours, theirs) = (amount(one), amount(other));
    corrupt(
        &orders,
        &format!(
            "amount = if(order_id = {one}, toDecimal64('{theirs}', 2), toDecimal64('{ours}', 2)) WHERE order_id IN ({one}, {other})"
        ),
    );
    corrupt(
        &orders,
        "note = concat(substring(note, 1, 5), 'X', substring(note, 7)) WHERE order_id = 1017",
    );
    orders.server.script(
        "DELETE FROM shipments WHERE order_id = 1018
         --;;
         INSERT INTO shipments SELECT * REPLACE (1000000 AS order_id) FROM (SELECT * FROM shipments WHERE order_id = 1019)
         --;;
         INSERT INTO shipments SELECT id, customer, placed, amount * 2, note, [], '', version FROM orders WHERE id = 1050 AND NOT is_deleted
         --;;
         INSERT INTO orders SELECT * REPLACE (version + 5 AS version, 'newer' AS note) FROM orders WHERE id = 1021",
    );
    let found = verify(&orders, 4);
    let mut expected = vec![
        row("deleted_in_source", 1050, &[]),
        row("differing", 1017, &["note"]),
        row("differing", one, &["amount"]),
        row("differing", other, &["amount"]),
        row("extra", 1_000_000, &[]),
        row("missing", 1018, &[]),
        row("stale", 1021, &["note", "version"]),
    ];
    expected.sort();
    assert_eq!(named(&found), expected);

    // Without --remove, what is extra stays, and it is said what would become of it.
    let output = tool(&orders, "repair").arg("--json").run().expect(4);
    let repair = report(&output);
    assert_eq!(named(&repair["before"]), expected);
    assert_eq!(
        named(&repair["after"]),
        [row("deleted_in_source", 1050, &[]), row("extra", 1_000_000, &[])]
    );
    assert_eq!(
        (&repair["filled_chunks"], &repair["surplus_rows"], &repair["removed_rows"]),
        (&vec![1].into(), &2.into(), &0.into())
    );
    assert!(output.stderr.contains("not removed; --remove removes each by DELETE"), "{output}");

    let output = tool(&orders, "repair").args(&["--json", "--remove"]).run().expect(0);
    let repair = report(&output);
    assert_eq!(
        (&repair["filled_chunks"], &repair["removed_rows"]),
        (&Value::Array(vec![]), &2.into()),
        "{output}"
    );
    verify(&orders, 0);
    orders.assert_complete();
    assert_text_snapshot!(tool(&orders, "repair").run().expect(0).stdout, @"
    target                              default.shipments
    source                              default.orders, partition 202506, by shipments
    chunks                              1, those of run [RUN]
    expected rows                       1,960
    target rows                         1,960
    differing rows                      0

    equal: the target has the rows that the job makes ([DURATION])
    ");
}

#[test]
#[ignore = "slow: about 12 s"]
fn rows_are_removed_by_tombstones_and_live_writers_win() {
    let server = adversarial_but_small(DECEMBER);
    let shown = binary().args(&["job", "show", "langfuse-events"]).run().expect(0).stdout;
    assert!(shown.contains("removal = \"delete\""), "{shown}");
    let job = JobFile::new(&shown.replace("removal = \"delete\"", "removal = \"tombstone\""));
    let path = job.path().display().to_string();
    let partition = ["--partition", "202511", "--job", &path];
    recorded_run(&server, &partition);
    let of = |number: u64| format!("span_id = 'null-observation-{number}'");
    let insert = |replace: &str, number: u64| {
        let row =
            format!("SELECT * FROM events FINAL WHERE _partition_id = '202511' AND {}", of(number));
        server.query(&format!("INSERT INTO events SELECT * REPLACE ({replace}) FROM ({row})"));
    };
    insert("'too many' AS span_id", 1);
    insert("1 AS is_deleted", 5);
    let tool = || crate::oracle::fixture::tool(&server).arg("repair").args(&partition);
    let output = tool().arg("--remove").run().expect(0);
    assert!(
        output
            .stderr
            .contains("removed 1 row, each by a row of the same version, marked as deleted"),
        "{output}"
    );
    assert_eq!(
        server.text("SELECT count() FROM system.mutations WHERE database = currentDatabase()"),
        "0",
        "nothing is deleted, rows are added"
    );
    assert_filled(&server, "events", "202511", &oracle("202511"));

    // What a live writer wrote is not touched.
    insert("'live' AS name, 'ingestion-api' AS source, event_ts + 1 AS event_ts", 2);
    let output = tool().arg("--remove").run().expect(0);
    assert!(
        output.stdout.contains("written since by a live writer")
            && !output.stderr.contains("filling"),
        "{output}"
    );
    assert_eq!(server.text(&format!("SELECT name FROM events FINAL WHERE {}", of(2))), "live");
}

#[test]
fn only_the_chunks_that_differ_are_filled_again() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE stored (number UInt32, version UInt8) ENGINE = ReplacingMergeTree(version) ORDER BY number
         --;;
         INSERT INTO stored SELECT number, 1 FROM numbers(600000)
         --;;
         CREATE TABLE copies (number UInt32, version UInt8) ENGINE = ReplacingMergeTree(version) ORDER BY number
         --;;
         SYSTEM STOP MERGES copies
         --;;
         INSERT INTO copies SELECT * FROM stored WHERE number != 599999",
    );
    let job = JobFile::new(
        "name = 'copies'\n[source]\ntable = 'stored'\nfinal = true\nversion = 'version'\n[target]\ntable = 'copies'\n\
         [columns]\nnumber = 'source.number'\nversion = 'source.version'\n",
    );
    let output =
        job.tool(&server, "repair").args(&["--json", "--chunk-rows", "150000"]).run().expect(0);
    let repair = report(&output);
    let chunks = repair["before"]["chunks"].as_u64().unwrap();
    assert!(chunks > 2, "{output}");
    assert_eq!(repair["filled_chunks"], Value::from(vec![chunks]), "{output}");
    let written: u64 = server.text("SELECT count() FROM copies").parse().unwrap();
    assert!(
        (600_000..900_000).contains(&written),
        "{written} rows were written, all chunks but one are left alone"
    );
}

#[test]
fn a_target_whose_rows_do_not_collapse_is_refused() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE stored (number UInt32) ENGINE = MergeTree ORDER BY number
         --;;
         INSERT INTO stored SELECT number FROM numbers(100)
         --;;
         CREATE TABLE copies AS stored
         --;;
         INSERT INTO copies SELECT number FROM numbers(1, 99)
         --;;
         INSERT INTO copies VALUES (7)",
    );
    let job = JobFile::new(
        "name = 'copies'\n[source]\ntable = 'stored'\n[target]\ntable = 'copies'\n[columns]\nnumber = 'source.number'\n",
    );
    assert_text_snapshot!(job.tool(&server, "repair").run().failure(), @"
    exit code 3
    error: the target table default.copies has the engine MergeTree, which does not replace rows of the same key
    hint: drop the partition of the target, then `clickhouse-backfill run --restart` fills it
    ");
    // Such a target can be verified nevertheless.
    let output = job.tool(&server, "verify").run().expect(4);
    assert_text_snapshot!(output.stdout, @"
    target                              default.copies
    source                              default.stored, partition id:all, by copies
    expected rows                       100
    target rows                         100
    differing rows                      2
      missing in the target             1
      repeated in the target            1

    missing in the target   number=0  (chunk 1)
    repeated in the target  number=7  (chunk 1)

    different ([DURATION])
    ");
}
