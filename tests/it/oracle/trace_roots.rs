//! langfuse-trace-roots, a job without a lookup, against its own rules written as a SELECT.

use super::derived_join::execute_derived_join;
use super::fixture::{
    DECEMBER, Generation, NOVEMBER, PARTITIONS, YEAR_2026, adversarial, assert_filled, newest,
    number, run,
};
use crate::support::Server;

const JOB: [&str; 2] = ["--job", "langfuse-trace-roots"];

#[test]
#[ignore = "slow: about 9 s"]
fn roots_in_november_2025() {
    fills(&adversarial(NOVEMBER), NOVEMBER);
}

#[test]
#[ignore = "slow: about 9 s"]
fn roots_in_december_2025() {
    fills(&adversarial(DECEMBER), DECEMBER);
}

#[test]
#[ignore = "slow: about 10 s"]
fn roots_in_2026() {
    let server = adversarial(YEAR_2026);
    fills(&server, YEAR_2026);
    assert_eq!(
        server.text("SELECT count() FROM events_core FINAL"),
        server.text("SELECT count() FROM events_full FINAL")
    );
}

fn fills(server: &Server, generation: Generation) {
    server.query(
        "INSERT INTO traces (id, timestamp, project_id, name, event_ts, is_deleted)
         SELECT concat('early ', toString(number)), toDateTime64('1969-12-20 10:00:00', 3) + number, 'project-early', 'early', '2025-11-01 00:00:00', 0 FROM numbers(4)",
    );
    let table = generation.table;
    for partition in PARTITIONS {
        let what = ["--partition", partition, "--target-table", table, JOB[0], JOB[1]];
        let (_, summary) = run(server, &what);
        let expected = roots(partition);
        let rows = number(server, &format!("SELECT count() FROM {}", newest("traces", partition)));
        assert!(rows > 4, "{rows} traces are no test");
        assert_eq!(
            number(server, &format!("SELECT count() FROM ({expected})")),
            rows,
            "rows of the oracle"
        );
        assert_eq!((&summary["inserted_rows"], &summary["lookup_rows"]), (&rows.into(), &0.into()));
        assert_filled(server, table, partition, &expected);

        execute_derived_join(server, &[&["plan", "--sql"][..], &what].concat(), table, "twin");
        assert_filled(server, "twin", partition, &expected);
        server.query("DROP TABLE twin SYNC");
    }
}

/// The root event of each trace.
fn roots(partition: &str) -> String {
    format!(
        "SELECT
            trace.project_id AS project_id,
            trace.id AS trace_id,
            't-' || trace.id AS span_id,
            '' AS parent_span_id,
            CAST(trace.timestamp, 'DateTime64(6)') AS start_time,
            CAST(NULL, 'Nullable(DateTime64(6))') AS end_time,
            trace.name AS name,
            'SPAN' AS type,
            trace.environment AS environment,
            ifNull(trace.version, '') AS version,
            ifNull(trace.release, '') AS release,
            trace.name AS trace_name,
            ifNull(trace.user_id, '') AS user_id,
            ifNull(trace.session_id, '') AS session_id,
            trace.tags AS tags,
            trace.bookmarked AS bookmarked,
            trace.public AS public,
            'DEFAULT' AS level,
            '' AS status_message,
            '{{}}' AS model_parameters,
            ifNull(trace.input, '') AS input,
            ifNull(trace.output, '') AS output,
            trace.metadata AS metadata,
            mapKeys(trace.metadata) AS metadata_names,
            mapValues(trace.metadata) AS metadata_values,
            mapValues(trace.metadata) AS metadata_raw_values,
            if(mapContains(trace.metadata, 'resourceAttributes'), 'otel-backfill', 'ingestion-api-backfill') AS source,
            CAST(trace.created_at, 'DateTime64(6)') AS created_at,
            CAST(trace.updated_at, 'DateTime64(6)') AS updated_at,
            CAST(trace.event_ts, 'DateTime64(6)') AS event_ts,
            trace.is_deleted AS is_deleted
        FROM {} AS trace",
        newest("traces", partition)
    )
}
