//! Jobs with a mistake in them: each must be found out, in the column that is wrong. Else the
//! comparison, or the data, would not be worth much.

use super::fixture::{KEY, NOVEMBER, adversarial_but_small, oracle, rows_of, tool};
use crate::support::Comparison;

/// What is replaced in the job, by what, and a column that must differ then (`rows` for their
/// number).
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "mapUpdate(lookup.metadata, source.metadata)",
        "mapUpdate(source.metadata, lookup.metadata)",
        "metadata_raw_values",
    ),
    (
        "mapUpdate(lookup.metadata, source.metadata)",
        "mapConcat(lookup.metadata, source.metadata)",
        "metadata_names",
    ),
    ("final = true  ", "final = false  ", "rows"),
    ("newest_by = [\"project_id\", \"id\"]", "newest_by = [\"id\"]", "rows"),
    ("newest_by = ", "# newest_by = ", "rows"),
    ("join_key = [\"project_id\", \"trace_id\"]", "join_key = [\"trace_id\"]", "user_id"),
    (
        "version = \"event_ts\"                    # the newest version of a trace counts",
        "",
        "session_id",
    ),
    (
        "version = \"event_ts\"                    # the newest version of a trace counts",
        "version = \"timestamp\"",
        "tags",
    ),
    ("deleted = \"is_deleted\"                  # where", "# where", "user_id"),
    ("days_before = 7", "days_before = 6", "user_id"),
    ("days_before = 7", "days_before = 8", "user_id"),
    ("days_after = 1", "days_after = 0", "user_id"),
    ("days_after = 1", "days_after = 2", "user_id"),
    ("coalesce(lookup.session_id, '')", "coalesce(lookup.user_id, '')", "session_id"),
    (
        "coalesce(source.version, lookup.version, '')",
        "coalesce(lookup.version, source.version, '')",
        "version",
    ),
    (
        "coalesce(source.parent_observation_id, concat",
        "coalesce(nullIf(source.parent_observation_id, ''), concat",
        "parent_span_id",
    ),
    (
        "if(source.id = concat('t-', source.trace_id), ''",
        "if(source.id = concat('t-', source.trace_id) OR source.id = source.trace_id, ''",
        "parent_span_id",
    ),
    ("toNullable(ifNull(source.input, '')), ", "", "event_bytes"),
    (
        "if(coalesce(source.parent_observation_id, '') = '', lookup.bookmarked, false)",
        "lookup.bookmarked",
        "bookmarked",
    ),
    (
        "coalesce(source.model_parameters, '{}')",
        "coalesce(source.model_parameters, '')",
        "model_parameters",
    ),
    (
        "mapContains(source.metadata, 'resourceAttributes')",
        "mapContains(lookup.metadata, 'resourceAttributes')",
        "source",
    ),
    ("event_ts = \"source.event_ts\"", "event_ts = \"source.updated_at\"", "event_ts"),
    (
        "\"source.completion_start_time\"",
        "\"coalesce(source.completion_start_time, source.start_time)\"",
        "completion_start_time",
    ),
    (
        "\"source.cost_details\"",
        "\"mapApply((k, v) -> (k, toDecimal64OrZero(toString(toFloat64(v)), 12)), source.cost_details)\"",
        "cost_details",
    ),
    ("input_format_try_infer_datetimes = 0", "", "metadata"),
];

#[test]
#[ignore = "slow: a run for each mistake"]
fn jobs_with_a_mistake_are_found_out() {
    let server = adversarial_but_small(NOVEMBER);
    let expected = oracle("202511");
    let (comparison, _) = Comparison::of_table(&server, "events", &KEY).limited_to(&expected);
    let right = comparison.hashes(&expected);
    let names: Vec<_> = ["rows"]
        .into_iter()
        .chain(comparison.columns().iter().map(|column| column.name.as_str()))
        .collect();
    let text = tool(&server).args(&["job", "show", "langfuse-events"]).run().expect(0).stdout;

    let mut overlooked = Vec::new();
    for (place, mistake, column) in MISTAKES {
        assert!(text.contains(place), "the job has no {place:?} any more");
        let mut wrong = text.replace(place, mistake);
        if place.starts_with("final") {
            wrong = wrong.replace("newest_by", "# newest_by");
        }
        if place.starts_with("join_key") {
            wrong = wrong.replace("join_key = [\"project_id\", \"id\"]", "join_key = [\"id\"]");
        }
        server.query("TRUNCATE TABLE events SYNC");
        tool(&server)
            .file("wrong.toml", &wrong)
            .env("LEDGER", "file:ledger")
            .args(&["run", "--partition", "202511", "--job", "wrong.toml"])
            .run()
            .expect(0);
        let found = comparison.hashes(&rows_of("events", "202511"));
        let differing: Vec<_> = names
            .iter()
            .zip(found.iter().zip(&right))
            .filter(|(_, (found, right))| found != right)
            .map(|(name, _)| *name)
            .collect();
        if !differing.contains(column) {
            overlooked
                .push(format!("{place:?} → {mistake:?}: {column} is not among {differing:?}"));
        }
    }
    assert!(overlooked.is_empty(), "{}", overlooked.join("\n"));
    // The target still has what the last mistake gave.
    assert!(!comparison.is_same(&rows_of("events", "202511"), &expected), "the sums do not see it");
    assert!(
        comparison.only_in(&rows_of("events", "202511"), &expected) > 0,
        "EXCEPT does not see it"
    );
    assert!(
        comparison.only_in(&expected, &rows_of("events", "202511")) > 0,
        "EXCEPT does not see it the other way"
    );
}
