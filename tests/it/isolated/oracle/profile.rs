//! Profiles of users who set what can change a result: the statements say themselves what they
//! need, and where a limit makes a run impossible it fails. No profile may make it wrong.

use crate::oracle::fixture::{DECEMBER, KEY, adversarial_on, assert_filled, oracle, rows_of};
use crate::support::shown::titled;
use crate::support::{Comparison, Output, Server, ServerOptions, assert_text_snapshot, binary};

type Profile = &'static [(&'static str, &'static str)];

/// Under these, all at once, the result is the same.
const ALL_AT_ONCE: Profile = &[
    ("allow_experimental_analyzer", "0"),
    ("join_use_nulls", "1"),
    ("join_default_strictness", "ANY"),
    ("join_any_take_last_row", "1"),
    ("transform_null_in", "1"),
    ("cast_keep_nullable", "1"),
    ("use_variant_as_common_type", "1"),
    ("prefer_column_name_to_alias", "1"),
    ("session_timezone", "America/New_York"),
    ("enable_extended_results_for_datetime_functions", "1"),
    ("date_time_overflow_behavior", "throw"),
    ("date_time_output_format", "unix_timestamp"),
    ("date_time_input_format", "best_effort"),
    ("insert_null_as_default", "1"),
    ("input_format_null_as_default", "1"),
    ("async_insert", "1"),
    ("wait_for_async_insert", "0"),
    ("optimize_on_insert", "1"),
    ("use_structure_from_insertion_table_in_table_functions", "1"),
    ("max_insert_block_size", "5"),
    ("min_insert_block_size_rows", "7"),
    ("min_insert_block_size_bytes", "100"),
    ("max_block_size", "11"),
    ("preferred_block_size_bytes", "1000"),
    ("max_threads", "1"),
    ("output_format_binary_write_json_as_string", "0"),
    ("input_format_binary_read_json_as_string", "0"),
    ("output_format_json_quote_64bit_integers", "1"),
    ("output_format_json_named_tuples_as_objects", "0"),
    ("http_write_exception_in_output_format", "1"),
    ("http_headers_progress_interval_ms", "1"),
    ("send_progress_in_http_headers", "1"),
    ("enable_http_compression", "1"),
    ("allow_simdjson", "1"),
    ("input_format_allow_errors_num", "10"),
    ("describe_compact_output", "1"),
    ("join_algorithm", "full_sorting_merge"),
    ("type_json_skip_duplicated_paths", "0"),
    ("decimal_check_overflow", "0"),
    ("flatten_nested", "1"),
];

/// Under each of these the run is right, or it fails.
const RIGHT_OR_FAILED: &[Profile] = &[
    &[("final", "1")],
    &[("extremes", "1")],
    &[("limit", "100")],
    &[("offset", "3")],
    &[("additional_result_filter", "1 = 1")],
    &[("describe_include_subcolumns", "1")],
    &[("use_query_cache", "1"), ("query_cache_nondeterministic_function_handling", "save")],
    &[("max_result_rows", "250"), ("result_overflow_mode", "break")],
    // Enough for the source, not for the lookup.
    &[("max_result_bytes", "100000"), ("result_overflow_mode", "break"), ("max_block_size", "20")],
    &[("max_rows_to_read", "300"), ("read_overflow_mode", "break")],
    &[("max_bytes_to_read", "100000"), ("read_overflow_mode", "break"), ("max_block_size", "50")],
    &[
        ("max_rows_to_read_leaf", "300"),
        ("read_overflow_mode_leaf", "break"),
        ("max_block_size", "50"),
    ],
    &[("max_execution_time", "0.05"), ("timeout_overflow_mode", "break"), ("max_block_size", "5")],
    &[("max_rows_in_set", "1"), ("set_overflow_mode", "break")],
    &[("output_format_json_map_as_array_of_tuples", "1")],
    &[
        ("output_format_binary_encode_types_in_binary_format", "1"),
        ("input_format_binary_decode_types_in_binary_format", "1"),
    ],
];

#[test]
fn a_profile_with_other_settings_changes_nothing() {
    let server = server(&[ALL_AT_ONCE]);
    // Such a profile does change what a statement gives that says nothing.
    let user = server.as_user("user_0", "");
    assert_eq!(
        user.try_query_with(b"SELECT timezone(), toTypeName(CAST(toNullable(1) AS UInt8))", &[])
            .unwrap(),
        b"America/New_York\tNullable(UInt8)\n"
    );
    run_as(&server, 0).expect(0);
    assert_filled(&server, "events", "202511", &oracle("202511"));
}

#[test]
#[ignore = "slow: a run for each profile"]
fn a_profile_with_limits_makes_no_run_wrong() {
    let server = server(RIGHT_OR_FAILED);
    let expected = oracle("202511");
    let (comparison, _) = Comparison::of_table(&server, "events", &KEY).limited_to(&expected);
    let right = comparison.hashes(&expected);
    let mut wrong = Vec::new();
    for (number, profile) in RIGHT_OR_FAILED.iter().enumerate() {
        server.query("TRUNCATE TABLE events SYNC");
        let output = run_as(&server, number);
        println!("{profile:?}: exit code {:?}", output.status);
        if output.status == Some(0) && comparison.hashes(&rows_of("events", "202511")) != right {
            wrong.push(format!("{profile:?}"));
        }
    }
    assert!(wrong.is_empty(), "exit code 0 and a wrong result under {}", wrong.join("\n"));
}

fn run_as(server: &Server, number: usize) -> Output {
    binary()
        .envs(&server.environment())
        .env("RESTART", "true")
        .env("CLICKHOUSE_USER", format!("user_{number}"))
        .args(&["run", "--partition", "202511"])
        .run()
}

/// A server with the tables and data, and a user for each profile: `user_0` and so on.
fn server(profiles: &[Profile]) -> Server {
    adversarial_on(users_with(profiles, ""), DECEMBER)
}

/// A server with a user for each profile. The constraints are those of all profiles.
fn users_with(profiles: &[Profile], constraints: &str) -> Server {
    let definition = |(number, profile): (usize, &Profile)| {
        let settings: Vec<_> =
            profile.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
        let settings = settings.concat();
        format!(
            "<profile_{number}>{settings}<constraints>{constraints}</constraints></profile_{number}>"
        )
    };
    let user = |number: usize| {
        let body = format!(
            "<password></password><networks><ip>::/0</ip></networks><profile>profile_{number}</profile><quota>default</quota>"
        );
        format!("<user_{number}>{body}</user_{number}>")
    };
    let definitions: Vec<_> = profiles.iter().enumerate().map(definition).collect();
    let users: Vec<_> = (0..profiles.len()).map(user).collect();
    let (definitions, users) = (definitions.concat(), users.concat());
    let users_xml = format!(
        "<clickhouse><profiles>{definitions}</profiles><users>{users}</users></clickhouse>"
    );
    Server::isolated_with(ServerOptions { users_xml: Some(users_xml), ..Default::default() })
}

/// Each of these changes rows, types or errors of a statement that does not override it.
const OVERRIDDEN: &[Profile] = &[
    &[("session_timezone", "America/Chicago")],
    &[("apply_deleted_mask", "0")],
    &[("additional_table_filters", "{'default.readings': 'id > 500'}")],
    &[("additional_result_filter", "id > 500")],
    &[("aggregate_functions_null_for_empty", "1")],
    &[("data_type_default_nullable", "1")],
    &[("do_not_merge_across_partitions_select_final", "1")],
    &[("force_primary_key", "1")],
    &[("force_index_by_date", "1")],
    &[("enforce_strict_identifier_format", "1")],
    &[("format_binary_max_string_size", "3")],
    &[("least_greatest_legacy_null_behavior", "1")],
    &[("short_circuit_function_evaluation", "disable")],
    &[("output_format_json_named_tuples_as_objects", "0")],
    &[("compatibility", "23.3")],
    &[("empty_result_for_aggregation_by_empty_set", "1")],
    &[("implicit_transaction", "0"), ("partial_result_on_first_cancel", "1")],
];

const DAYS: &str = r#"
name = "days"
[source]
table = "readings"
final = true
[target]
table = "days"
[columns]
id = "source.id"
day = "toDate(source.at)"
hour = "formatDateTime(source.at, '%H')"
share = "if(source.id = 0, 0, intDiv(1000000, source.id))"
low = "least(source.low, 7)"
name = "source.name"
version = "source.version"
"#;

/// What the job gives, as a user without a profile of its own sees it.
const EXPECTED: &str = "SELECT id, toDate(at) AS day, formatDateTime(at, '%H') AS hour, \
     if(id = 0, 0, intDiv(1000000, id)) AS share, least(low, 7) AS low, name, version \
     FROM readings FINAL";

fn days_on(profiles: &[Profile], constraints: &str) -> Server {
    let server = users_with(profiles, constraints);
    server.script(
        "CREATE TABLE readings (id UInt32, at DateTime, low Nullable(Int32), name String, version UInt32)
             ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(at) ORDER BY id
         --;;
         CREATE TABLE days (id UInt32, day Date, hour String, share Int64, low Nullable(Int32), name String, version UInt32)
             ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(day) ORDER BY id
         --;;
         INSERT INTO readings SELECT number, toDateTime('2025-11-02 00:30:00', 'UTC') + number * 900,
             if(number % 3 = 0, NULL, number % 20), 'a name of ' || number, 1 FROM numbers(2000)
         --;;
         DELETE FROM readings WHERE id % 10 = 7",
    );
    server
}

fn run_days(server: &Server, number: usize, command: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("days.toml");
    std::fs::write(&job, DAYS).unwrap();
    binary()
        .envs(&server.environment())
        .env("CLICKHOUSE_USER", format!("user_{number}"))
        .env("JOB", job.to_str().unwrap())
        .args(command)
        .run()
}

#[test]
#[ignore = "slow: about 38 s"]
fn settings_of_a_profile_that_change_rows_are_overridden() {
    let server = days_on(OVERRIDDEN, "");
    // Under the profile, a statement that overrides nothing gives other rows.
    let deleted = server.as_user("user_1", "");
    assert_eq!(deleted.try_query_with(b"SELECT count() FROM readings", &[]).unwrap(), b"2000\n");
    let mut wrong = Vec::new();
    for (number, profile) in OVERRIDDEN.iter().enumerate() {
        server.query("TRUNCATE TABLE days SYNC");
        let run = ["run", "--partition", "202511", "--restart"];
        let output = run_days(&server, number, &run);
        let differing = server.text(&format!(
            "SELECT (SELECT count() FROM (SELECT * FROM days FINAL EXCEPT {EXPECTED})), \
             (SELECT count() FROM ({EXPECTED} EXCEPT SELECT * FROM days FINAL))"
        ));
        let verified = run_days(&server, number, &["verify", "--partition", "202511"]);
        if output.status != Some(0) || differing != "0\t0" || verified.status != Some(0) {
            wrong.push(format!(
                "{profile:?}: run {:?}, rows that differ {differing}, verify {:?}\n{}\n{}",
                output.status, verified.status, output.stderr, verified.stderr
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn errors_of_a_view_are_not_ignored_because_a_profile_says_so() {
    let server = days_on(&[&[("materialized_views_ignore_errors", "1")]], "");
    server.script(
        "CREATE TABLE names (name String) ENGINE = MergeTree ORDER BY name
         --;;
         CREATE MATERIALIZED VIEW names_mv TO names AS
             SELECT if(throwIf(id = 1234) = 0, name, '') AS name FROM days",
    );
    let output = run_days(&server, 0, &["run", "--partition", "202511", "--max-retries", "0"]);
    output.expect(1);
}

#[test]
fn a_profile_that_fixes_what_changes_rows_is_refused() {
    let constraints =
        "<session_timezone><const/></session_timezone><max_threads><const/></max_threads>";
    let server =
        days_on(&[&[("session_timezone", "America/Chicago"), ("max_threads", "2")]], constraints);
    let commands = [["plan", "--partition", "202511"], ["run", "--partition", "202511"]];
    let cases = commands.map(|command| {
        let output = run_days(&server, 0, &command).expect(3);
        (command[0], output.failure())
    });
    assert_text_snapshot!(titled(cases), @"
    # plan
    exit code 3
    error: the profile of the user user_0 fixes session_timezone = 'America/Chicago', under which rows, types or errors would not be those of the equivalent join

    # run
    exit code 3
    error: the profile of the user user_0 fixes session_timezone = 'America/Chicago', under which rows, types or errors would not be those of the equivalent join
    ");
    assert_eq!(server.text("SELECT count() FROM days"), "0");
}

/// A setting of a new version is judged before the version counts as tested.
#[test]
fn every_setting_of_the_server_is_judged() {
    let server = Server::isolated();
    if !server.text("SELECT version()").starts_with("26.7.") {
        eprintln!("SKIPPED: the table of settings is that of 26.7");
        return;
    }
    let table = include_str!("../../../../src/clickhouse/settings.tsv");
    let judged: std::collections::BTreeSet<_> =
        table.lines().map(|line| line.split('\t').next().unwrap()).collect();
    let names = server.text("SELECT name FROM system.settings WHERE NOT is_obsolete");
    let missing: Vec<_> = names.lines().filter(|name| !judged.contains(name)).collect();
    assert!(missing.is_empty(), "src/clickhouse/settings.tsv does not judge {missing:?}");
}
