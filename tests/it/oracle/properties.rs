//! That the adversarial data has what makes it adversarial: each of these is a mistake that some
//! tool has made, and without such rows the comparison with the oracle would prove nothing about
//! it.

use super::fixture::{NOVEMBER, adversarial, number};

/// What is counted, and the count, which must not be zero.
const PROPERTIES: &[(&str, &str)] = &[
    ("observations in several versions", "SELECT count() FROM (SELECT 1 FROM $raw GROUP BY project_id, type, toDate(start_time), id HAVING count() > 1)"),
    (
        "versions of an observation with another start_time",
        "SELECT count() FROM (SELECT 1 FROM $raw GROUP BY project_id, type, toDate(start_time), id HAVING uniqExact(start_time) > 1)",
    ),
    (
        "observations whose newest version is deleted and whose older one is not",
        "SELECT count() FROM (SELECT 1 FROM $raw GROUP BY project_id, type, toDate(start_time), id
            HAVING argMax(is_deleted, event_ts) = 1 AND min(is_deleted) = 0)",
    ),
    (
        "versions of an observation that tie",
        "SELECT count() FROM (SELECT 1 FROM $raw GROUP BY project_id, type, toDate(start_time), id, event_ts HAVING uniqExact(name, is_deleted) > 1)",
    ),
    (
        "one id on two dates, hence two rows",
        "SELECT count() FROM (SELECT 1 FROM $live GROUP BY project_id, type, id HAVING uniqExact(toDate(start_time)) > 1)",
    ),
    ("one id in two months", "SELECT count() FROM (SELECT 1 FROM observations GROUP BY project_id, type, id HAVING uniqExact(_partition_id) > 1)"),
    ("traces in several versions", "SELECT count() FROM (SELECT 1 FROM traces GROUP BY project_id, id HAVING count() > 1)"),
    (
        "traces whose newest version is deleted and whose older one is not",
        "SELECT count() FROM (SELECT 1 FROM traces GROUP BY project_id, id HAVING argMax(is_deleted, event_ts) = 1 AND min(is_deleted) = 0)",
    ),
    (
        "traces whose newest version lies on another date than an older one, so that FINAL keeps both",
        "SELECT count() FROM (SELECT 1 FROM traces FINAL GROUP BY project_id, id HAVING count() > 1)",
    ),
    (
        "versions of a trace that tie and differ in an attribute",
        "SELECT count() FROM (SELECT 1 FROM traces GROUP BY project_id, id, event_ts
            HAVING uniqExact(name, user_id, session_id, toString(metadata)) > 1 AND max(is_deleted) = 0)",
    ),
    ("versions of a trace that tie, one deleted", "SELECT count() FROM (SELECT 1 FROM traces GROUP BY project_id, id, event_ts HAVING uniqExact(is_deleted) > 1)"),
    (
        "ties that only a NULL decides",
        "SELECT count() FROM (SELECT 1 FROM traces GROUP BY project_id, id, event_ts HAVING countIf(user_id IS NULL) > 0 AND countIf(user_id = '') > 0)",
    ),
    ("orphans", "SELECT count() FROM $live WHERE (project_id, trace_id) NOT IN (SELECT project_id, id FROM traces)"),
    (
        "observations whose trace is in the month before",
        "SELECT count() FROM $live WHERE (project_id, trace_id) IN (SELECT project_id, id FROM traces GROUP BY project_id, id
            HAVING toYYYYMM(argMax(timestamp, event_ts)) = 202510 AND argMax(timestamp, event_ts) >= '2025-10-25 00:00:00.000')",
    ),
    (
        "observations whose trace is in the month after",
        "SELECT count() FROM $live WHERE (project_id, trace_id) IN (SELECT project_id, id FROM traces GROUP BY project_id, id
            HAVING toYYYYMM(argMax(timestamp, event_ts)) = 202512 AND argMax(timestamp, event_ts) < '2025-12-02 00:00:00.000')",
    ),
    (
        "observations whose only trace is out of the window",
        "SELECT count() FROM $live WHERE (project_id, trace_id) IN (SELECT project_id, id FROM traces GROUP BY project_id, id
            HAVING max(timestamp) < '2025-10-25 00:00:00.000' OR min(timestamp) >= '2025-12-02 00:00:00.000')",
    ),
    (
        "traces with an older version in the window and a newer one out of it",
        "SELECT count() FROM (SELECT 1 FROM traces GROUP BY project_id, id
            HAVING argMax(timestamp, event_ts) < '2025-10-25 00:00:00.000' AND max(timestamp) > '2025-11-01 00:00:00.000')",
    ),
    (
        "traces whose versions in the window are deleted, and one out of it is live",
        "SELECT count() FROM (SELECT 1 FROM traces GROUP BY project_id, id
            HAVING argMax(is_deleted, (timestamp >= '2025-10-25 00:00:00.000' AND timestamp < '2025-12-02 00:00:00.000', event_ts)) = 1
               AND max(timestamp) >= '2025-10-25 00:00:00.000' AND argMax(is_deleted, event_ts) = 0)",
    ),
    (
        "traces in several versions out of the window, with none in it",
        "SELECT count() FROM (SELECT 1 FROM traces GROUP BY project_id, id
            HAVING countIf(timestamp >= '2025-10-25 00:00:00.000' AND timestamp < '2025-12-02 00:00:00.000') = 0 AND uniqExact(user_id) > 1)",
    ),
    (
        "strange ids whose trace is out of the window",
        "SELECT count() FROM $live WHERE (NOT isValidUTF8(trace_id) OR position(trace_id, '\\'') > 0) AND (project_id, trace_id) IN (SELECT project_id, id FROM traces GROUP BY project_id, id
            HAVING max(timestamp) < '2025-10-25 00:00:00.000')",
    ),
    (
        "trace ids that several projects have, with other attributes",
        "SELECT count() FROM (SELECT 1 FROM traces FINAL GROUP BY id HAVING uniqExact(project_id) > 1 AND uniqExact(user_id) > 1)",
    ),
    (
        "keys that are the same when project and trace are glued together",
        "SELECT count() FROM (SELECT 1 FROM $live GROUP BY concat(project_id, trace_id) HAVING uniqExact(project_id) > 1)",
    ),
    ("ids with a quote", "SELECT count() FROM $live WHERE position(trace_id, '\\'') > 0 AND position(id, '\\'') > 0"),
    ("ids with a backslash", "SELECT count() FROM $live WHERE position(trace_id, '\\\\') > 0 AND position(id, '\\\\') > 0"),
    ("ids with a NUL byte", "SELECT count() FROM $live WHERE position(trace_id, '\\0') > 0 AND position(id, '\\0') > 0"),
    ("ids of invalid UTF-8", "SELECT count() FROM $live WHERE NOT isValidUTF8(trace_id) AND NOT isValidUTF8(id)"),
    ("projects of invalid UTF-8", "SELECT count() FROM $live WHERE NOT isValidUTF8(project_id)"),
    (
        "strange ids that find their trace",
        "SELECT count() FROM $live WHERE NOT isValidUTF8(trace_id) AND (project_id, trace_id) IN (SELECT project_id, id FROM traces)",
    ),
    ("empty ids", "SELECT count() FROM $live WHERE trace_id = ''"),
    ("ids of 100 kB", "SELECT count() FROM $live WHERE length(trace_id) = 100000"),
    ("NULL inputs", "SELECT count() FROM $live WHERE input IS NULL"),
    ("empty inputs", "SELECT count() FROM $live WHERE input = ''"),
    ("inputs of 5 MB", "SELECT count() FROM $live WHERE length(input) >= 5000000"),
    (
        "metadata keys that observation and trace share",
        "SELECT count() FROM $live AS o INNER JOIN (SELECT project_id, id, metadata FROM traces FINAL) AS t ON o.project_id = t.project_id AND o.trace_id = t.id
         WHERE notEmpty(arrayIntersect(mapKeys(o.metadata), mapKeys(t.metadata)))",
    ),
    ("maps with a key twice", "SELECT count() FROM $live WHERE length(mapKeys(metadata)) > length(arrayDistinct(mapKeys(metadata)))"),
    ("metadata values that look like JSON", "SELECT count() FROM $live WHERE arrayExists(x -> x LIKE '{\"%}', mapValues(metadata))"),
    ("metadata values that look like times", "SELECT count() FROM $live WHERE has(mapValues(metadata), '2025-11-09 10:00:00')"),
    ("metadata of invalid UTF-8", "SELECT count() FROM $live WHERE arrayExists(x -> NOT isValidUTF8(x), mapValues(metadata))"),
    ("metadata with resourceAttributes", "SELECT count() FROM $live WHERE mapContains(metadata, 'resourceAttributes')"),
    ("outputs that quote an exception", "SELECT count() FROM $live WHERE output LIKE 'Code: 241. DB::Exception: %' OR output LIKE '%__exception__%'"),
    ("decimals at the type's limit", "SELECT count() FROM $live WHERE arrayExists(x -> reinterpretAsInt64(reinterpretAsString(x)) = -9223372036854775808, mapValues(cost_details))"),
    ("usage at the type's limit", "SELECT count() FROM $live WHERE has(mapValues(usage_details), 18446744073709551615)"),
    ("times with fractions of a second", "SELECT count() FROM $live WHERE toUnixTimestamp64Milli(start_time) % 1000 != 0"),
    ("end times before 1970", "SELECT count() FROM $live WHERE toUnixTimestamp64Milli(end_time) < 0"),
    ("roots by id", "SELECT count() FROM $live WHERE id = trace_id"),
    ("roots by prefix", "SELECT count() FROM $live WHERE id = concat('t-', trace_id)"),
    ("empty parents", "SELECT count() FROM $live WHERE parent_observation_id = ''"),
    (
        "bookmarked traces with rows that have a parent",
        "SELECT count() FROM $live WHERE notEmpty(parent_observation_id) AND (project_id, trace_id) IN (SELECT project_id, id FROM traces WHERE bookmarked)",
    ),
    ("rows of other partitions", "SELECT count() FROM observations WHERE _partition_id NOT IN ('202511', '196912')"),
    ("dataset run items, live", "SELECT count() FROM dataset_run_items_rmt FINAL WHERE is_deleted = 0"),
    ("dataset run items, deleted", "SELECT count() FROM (SELECT 1 FROM dataset_run_items_rmt GROUP BY project_id, id HAVING max(is_deleted) = 1 AND min(is_deleted) = 0)"),
    ("start times before 1970", "SELECT count() FROM observations FINAL WHERE _partition_id = '196912' AND toUnixTimestamp64Milli(start_time) < 0"),
    (
        "start times before 1970 that a filter by month does not find",
        "SELECT (SELECT count() FROM observations FINAL WHERE _partition_id = '196912') - (SELECT count() FROM observations FINAL WHERE toYYYYMM(start_time) = 196912)",
    ),
];

#[test]
fn the_data_has_what_makes_it_adversarial() {
    let server = adversarial(NOVEMBER);
    let raw = "(SELECT * FROM observations WHERE _partition_id = '202511')";
    let live = "(SELECT * FROM observations FINAL WHERE _partition_id = '202511')";
    let missing: Vec<_> = PROPERTIES
        .iter()
        .filter(|(_, sql)| number(&server, &sql.replace("$raw", raw).replace("$live", live)) == 0)
        .map(|(what, _)| *what)
        .collect();
    assert!(missing.is_empty(), "the data lacks {missing:#?}");
}
