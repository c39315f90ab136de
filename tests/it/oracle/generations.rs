//! langfuse-events into each generation of the target, every column of every row.

use super::derived_join::assert_derived_join_is_the_oracle;
use super::fixture::{
    DECEMBER, Generation, KEY, NOVEMBER, PARTITIONS, YEAR_2026, adversarial, assert_filled, newest,
    number, oracle, rows_of, run,
};
use crate::support::{Comparison, Server};

#[test]
#[ignore = "slow: about 13 s"]
fn events_of_november_2025() {
    fills(&adversarial(NOVEMBER), NOVEMBER);
}

#[test]
fn events_of_december_2025() {
    fills(&adversarial(DECEMBER), DECEMBER);
}

#[test]
#[ignore = "slow: about 15 s"]
fn events_of_2026_and_the_table_behind_the_view() {
    let server = adversarial(YEAR_2026);
    fills(&server, YEAR_2026);
    let core = Comparison::of_table(&server, "events_core", &KEY);
    for partition in PARTITIONS {
        let expected = format!(
            "SELECT * REPLACE (leftUTF8(input, 200) AS input, leftUTF8(output, 200) AS output,
                 arrayMap(value -> leftUTF8(value, 200), metadata_values) AS metadata_values), input_length, output_length
             FROM events_full FINAL WHERE _partition_id = '{partition}'"
        );
        core.assert_same("events_core", &rows_of("events_core", partition), &expected);
    }
}

fn fills(server: &Server, generation: Generation) {
    let table = generation.table;
    for partition in PARTITIONS {
        let (_, summary) = run(server, &["--partition", partition, "--target-table", table]);
        let expected = oracle(partition);

        // The oracle itself: one row for each row of the source. Its lookup can neither lose nor
        // repeat any.
        let rows =
            number(server, &format!("SELECT count() FROM {}", newest("observations", partition)));
        assert_eq!(
            number(server, &format!("SELECT count() FROM ({expected})")),
            rows,
            "rows of the oracle"
        );
        assert!(rows > 50, "{rows} rows are no test");

        assert_filled(server, table, partition, &expected);
        let written = number(
            server,
            &format!("SELECT count() FROM {table} WHERE _partition_id = '{partition}'"),
        );
        assert_eq!(written, rows, "rows that were written, versions not collapsed");
        assert_figures(server, &summary, partition, rows);
        assert_derived_join_is_the_oracle(server, generation, partition);
    }
    // Tokens and costs count once for each id.
    let sums =
        "count(), sum(arraySum(mapValues(usage_details))), sum(arraySum(mapValues(cost_details)))";
    // Of equal versions of one key, that of the latest insert counts, deleted or not.
    let latest = "toUInt64(splitByChar('_', _part)[2]) DESC, _part_offset DESC";
    let once = format!(
        "SELECT {sums} FROM (
             SELECT *, partition FROM (
                 SELECT *, _partition_id AS partition FROM observations
                 ORDER BY event_ts DESC, {latest} LIMIT 1 BY project_id, type, toDate(start_time), id)
             ORDER BY event_ts DESC, is_deleted DESC, partition DESC, (project_id, type, toDate(start_time)) DESC LIMIT 1 BY project_id, id)
         WHERE NOT is_deleted AND partition IN ('{}', '{}')",
        PARTITIONS[0], PARTITIONS[1]
    );
    let filled = server.text(&format!("SELECT {sums} FROM {table} FINAL"));
    assert_eq!(filled, server.text(&once), "tokens and costs");
    let written = format!("SELECT arraySort(groupUniqArray(_partition_id)) FROM {table}");
    assert_eq!(server.text(&written), "['196912','202511']", "other partitions are written to");
}

/// The figures of the summary against counts that know nothing of the job.
fn assert_figures(server: &Server, summary: &serde_json::Value, partition: &str, rows: u64) {
    // For each key, whether it has a version in the window, and whether the newest is live, of
    // those in the window or, without any, of all.
    let newest = newest("observations", partition);
    let found = |which: &str| {
        number(server, &format!(
        "WITH
             (SELECT toUnixTimestamp64Milli(min(start_time)) - 7 * 86400000 FROM observations WHERE _partition_id = '{partition}') AS earliest,
             (SELECT toUnixTimestamp64Milli(max(start_time)) + 86400000 FROM observations WHERE _partition_id = '{partition}') AS latest
         SELECT count() FROM {newest} WHERE (project_id, trace_id) IN (
             SELECT project_id, id FROM (SELECT *, toUnixTimestamp64Milli(timestamp) BETWEEN earliest AND latest AS inside FROM traces)
             GROUP BY project_id, id HAVING {which} AND argMax(is_deleted, (inside, event_ts, is_deleted)) = 0)"
    ))
    };
    let (matched, late) = (found("max(inside)"), found("NOT max(inside)"));
    assert!(
        matched > 0 && late > 0 && matched + late < rows,
        "{matched} and {late} of {rows} rows find a trace: that is no test"
    );
    for (name, expected) in [
        ("source_rows", rows),
        ("inserted_rows", rows),
        ("matched_rows", matched),
        ("matched_late_rows", late),
        ("unmatched_rows", rows - matched - late),
        ("errors", 0),
        ("retries", 0),
    ] {
        assert_eq!(summary[name], expected, "{name} of the summary\n{summary:#}");
    }
    assert_eq!(summary["status"], "completed");
    assert_eq!(summary["partition"], partition);
    assert_eq!(summary["dry_run"], false);
}
