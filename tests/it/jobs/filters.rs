//! `--before T` and `--where NAME`: only these rows, in every statement of both engines, and as a part of
//! the load's identity.

use serde_json::Value;

use super::fixture::JobFile;
use crate::oracle::fixture::{
    YEAR_2026, adversarial_but_small, assert_filled, newest, number, oracle, recorded_run,
};
use crate::support::shown::titled;
use crate::support::{Output, Server, assert_text_snapshot};

const JOB: &str = "name = 'copies'\n[source]\ntable = 'stored'\nfinal = true\nversion = 'version'\njoin_key = ['name']\nbefore = 'created'\n\
    [source.filters]\npaid = 'source.amount > 0'\nsmall = 'source.amount < 100 -- a comment'\n\
    [lookup]\ntable = 'names'\njoin_key = ['name']\n[target]\ntable = 'copies'\n\
    [columns]\nid = 'source.id'\namount = 'source.amount'\nname = 'lookup.text'\nversion = 'source.version'\n";

/// 600 rows, one an hour from 2026-06-20 at 12:00 in Berlin, the amounts from 0 to 149.
fn tables(created: &str) -> Server {
    let server = Server::shared();
    server.script(&format!(
        "CREATE TABLE stored (id UInt64, created {created}, name String, amount Int32, version UInt32)
         ENGINE = ReplacingMergeTree(version) ORDER BY id
         --;;
         INSERT INTO stored SELECT number, toDateTime('2026-06-20 10:00:00', 'UTC') + number * 3600, toString(number % 7), number % 150, 5 FROM numbers(600)
         --;;
         CREATE TABLE names (name String, text String) ENGINE = MergeTree ORDER BY name
         --;;
         INSERT INTO names SELECT toString(number), concat('name ', toString(number)) FROM numbers(5)
         --;;
         CREATE TABLE copies (id UInt64, amount Int32, name String, version UInt32) ENGINE = ReplacingMergeTree(version) ORDER BY id"
    ));
    server
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{output}"))
}

/// Midnight in Berlin is 22:00 in UTC, 252 hours after the first row.
const BEFORE: [&str; 2] = ["--before", "2026-07-01"];
const WHERE: [&str; 4] = ["--where", "small", "--where", "paid"];

#[test]
#[ignore = "slow: about 10 s"]
fn only_rows_before_a_moment_that_pass_the_filters_are_filled() {
    let expected = "SELECT id, amount, if(toUInt8(name) < 5, concat('name ', name), '') AS name, version FROM stored FINAL
        WHERE id < 252 AND amount BETWEEN 1 AND 99";
    for engine in ["stream", "server"] {
        let server = tables("DateTime64(3, 'Europe/Berlin')");
        let job = JobFile::new(JOB);
        let flags = [&BEFORE[..], &WHERE].concat();
        let tool = |command: &str| job.tool(&server, command).args(&flags);
        let plan = json(&tool("plan").arg("--json").run().expect(0));
        assert_eq!(plan["source"]["before"]["moment"], "2026-06-30T22:00:00Z", "{plan:#}");
        assert_eq!(plan["source"]["filters"], serde_json::json!(["paid", "small"]), "{plan:#}");
        let text = tool("plan").run().expect(0).stdout;
        assert!(text.contains("  before      created < 2026-06-30T22:00:00Z\n"), "{text}");
        assert!(text.contains("  where       paid, small\n"), "{text}");

        let rows = number(&server, &format!("SELECT count() FROM ({expected})"));
        assert_eq!(rows, 198);
        let output = tool("run").args(&["--engine", engine]).run().expect(0);
        assert!(output.stderr.contains("copies inserted          198\n"), "{output}");
        let differing = |one: &str, other: &str| {
            number(&server, &format!("SELECT count() FROM (({one}) EXCEPT ({other}))"))
        };
        let found = "SELECT id, amount, name, version FROM copies FINAL";
        assert_eq!((differing(found, expected), differing(expected, found)), (0, 0), "{engine}");
        assert_eq!(json(&tool("verify").arg("--json").run().expect(0))["expected_rows"], 198);

        // The join that is printed is the oracle.
        let printed = tool("plan").arg("--sql").run().expect(0).stdout;
        let (_, join) = printed.split_once("-- equivalent join\n").unwrap();
        let join = join.trim_end().trim_end_matches(';');
        assert_eq!(number(&server, &format!("SELECT count() FROM ({join}\n)")), 198);

        // A repair fills only these rows, and removes those that the flags leave out.
        server.query("DELETE FROM copies WHERE id = 7");
        server
            .query("INSERT INTO copies SELECT id, amount, '', version FROM stored WHERE id = 300");
        let repair = json(&tool("repair").args(&["--json", "--remove"]).run().expect(0));
        assert_eq!(
            repair["before"]["differences"],
            serde_json::json!({ "missing": 1, "not_made_any_more": 1 }),
            "{repair:#}"
        );
        assert_eq!((differing(found, expected), differing(expected, found)), (0, 0), "{engine}");
        let all = json(&job.tool(&server, "verify").arg("--json").run().expect(4));
        assert_eq!(all["differences"], serde_json::json!({ "missing": 402 }), "{all:#}");
    }
}

#[test]
#[ignore = "slow: about 9 s"]
fn a_moment_is_of_the_columns_type_and_zone() {
    for (created, before, shown, rows) in [
        ("DateTime('Asia/Tokyo')", "2026-07-01T00:00", "2026-06-30T15:00:00Z", 245),
        ("DateTime64(6, 'Asia/Tokyo')", "2026-07-01T00:00:00.5Z", "2026-07-01T00:00:00.5Z", 255),
        ("DateTime64(0, 'UTC')", "2026-07-01T02:00:00+02:00", "2026-07-01T00:00:00Z", 254),
        ("Nullable(DateTime('UTC'))", "2026-07-01", "2026-07-01T00:00:00Z", 254),
        ("Date", "2026-07-01", "2026-07-01", 254),
    ] {
        let server = tables(created);
        let job = JobFile::new(JOB);
        let plan = job.tool(&server, "plan").args(&["--json", "--before", before]).run().expect(0);
        assert_eq!(json(&plan)["source"]["before"]["moment"], shown, "{created}");
        job.tool(&server, "run").args(&["--before", before]).run().expect(0);
        assert_eq!(number(&server, "SELECT count() FROM copies"), rows, "{created}, {before}");
    }
}

#[test]
fn what_is_wrong_with_a_moment_or_a_filter_is_named() {
    let server = tables("DateTime64(3, 'Europe/Berlin')");
    let job = JobFile::new(JOB);
    let plan = |arguments: &[&str]| job.tool(&server, "plan").args(arguments).run();
    let days = tables("Date");
    let of_days = job.tool(&days, "plan").args(&["--before", "2026-07-01T12:00:00Z"]).run();
    let text = tables("String");
    let of_text = job.tool(&text, "plan").args(&["--before", "2026-07-01"]).run();
    let none = JobFile::new(&JOB.replace("before = 'created'\n", ""));
    let none = none.tool(&server, "plan").args(&["--before", "2026-07-01"]).run();
    assert_text_snapshot!(titled([
        ("an unknown filter", plan(&["--where", "pa1d"]).failure()),
        ("not a moment", plan(&["--before", "yesterday"]).failure()),
        ("a job without the column", none.failure()),
        ("a time for a column of days", of_days.failure()),
        ("a column that is no time", of_text.failure()),
    ]), @r#"
    # an unknown filter
    exit code 2
    error: [PATH]: there is no "pa1d" in [source.filters]; it has paid, small
    hint: did you mean paid?

    # not a moment
    exit code 2
    error: invalid value 'yesterday' for '--before <T>': it must be a moment as in ISO 8601, such as 2026-07-01, 2026-07-01T12:00:00 or [TIME]
    hint: `--help` behind the command explains its flags

    # a job without the column
    exit code 2
    error: [PATH]: --before 2026-07-01T00:00:00 needs a column of times, and [source] has no before

    # a time for a column of days
    exit code 3
    error: the source table default.stored cannot be used: [source] before names created, a column of days (Date): --before must be a date, such as 2026-07-01

    # a column that is no time
    exit code 3
    error: the source table default.stored cannot be used: [source] before names created, which is String; it must be a date or a time
    "#);
}

#[test]
fn a_load_is_continued_only_with_the_same_moment_and_filters() {
    let server = tables("DateTime64(3, 'Europe/Berlin')");
    let job = JobFile::new(JOB);
    let run =
        |arguments: &[&str]| job.tool(&server, "run").env("RESTART", "false").args(arguments).run();
    run(&[]).expect(0);
    let first = server.text("SELECT fingerprint FROM load_state FINAL");
    // The keys of the job alone change nothing, and neither do other words for the same moment.
    let without = JOB.replace("before = 'created'\n", "").replace("small =", "other =");
    let without = JobFile::new(&without);
    without.tool(&server, "run").env("RESTART", "false").run().expect(0);
    assert_eq!(server.text("SELECT fingerprint FROM load_state FINAL"), first);
    assert_text_snapshot!(run(&[&BEFORE[..], &WHERE].concat()).failure(), @"
    exit code 3
    error: partition all of default.stored into default.copies by copies is completed as run [RUN], and not the same as it was:
        the column of --before is new: `created`
        --before is new: `[TIME]`
        filter 1 of the source (--where) is new: `source.amount > 0`
        filter 2 of the source (--where) is new: `source.amount < 100 -- a comment`
    hint: --restart starts a new version of the load, with all rows
    hint: undo the changes to continue with the version that was started
    ");
    run(&["--restart", "--before", "2026-07-01"]).expect(0);
    run(&["--before", "2026-06-30T22:00:00Z"]).expect(0);
    assert_text_snapshot!(run(&["--before", "2026-07-01T00:00:00Z"]).failure(), @"
    exit code 3
    error: partition all of default.stored into default.copies by copies is completed as run [RUN], and not the same as it was:
        --before was `[TIME]`, and is `[TIME]`
    hint: --restart starts a new version of the load, with all rows
    hint: undo the changes to continue with the version that was started
    ");
}

/// Both built-in jobs on the real tables.
#[test]
#[ignore = "slow: about 8 s"]
fn rows_that_dual_writing_has_written_are_left_out() {
    let server = adversarial_but_small(YEAR_2026);
    let all = number(&server, &format!("SELECT count() FROM ({})", oracle("202511")));
    server.query(
        "INSERT INTO observations SELECT * REPLACE (toDateTime64('2025-11-20 12:00:00', 3) AS created_at, event_ts + 1 AS event_ts)
         FROM observations FINAL WHERE cityHash64(id) % 3 = 0 AND _partition_id = '202511'",
    );
    server.query(
        "INSERT INTO traces SELECT * REPLACE (toDateTime64('2025-11-20 12:00:00', 3) AS created_at, event_ts + 1 AS event_ts)
         FROM traces FINAL WHERE cityHash64(id) % 3 = 0 AND _partition_id = '202511'",
    );
    let moment = "2025-11-20T12:00:00Z";
    let expected = format!(
        "SELECT * FROM ({}) WHERE created_at < toDateTime64('2025-11-20 12:00:00', 6, 'UTC')",
        oracle("202511")
    );
    let rows = number(&server, &format!("SELECT count() FROM ({expected})"));
    assert!(rows > 50 && rows + 50 < all, "{rows} of {all} are no test");
    let what = ["--partition", "202511", "--target-table", "events_full", "--before", moment];
    let (_, summary) = recorded_run(&server, &what);
    assert_eq!(summary["source_rows"], rows);
    assert_filled(&server, "events_full", "202511", &expected);
    let roots = [&what[..], &["--job", "langfuse-trace-roots"]].concat();
    let (_, summary) = recorded_run(&server, &roots);
    let expected = format!(
        "SELECT count() FROM {} WHERE created_at < toDateTime64('2025-11-20 12:00:00', 3, 'UTC')",
        newest("traces", "202511")
    );
    assert_eq!(summary["source_rows"], number(&server, &expected));
    for what in [&what[..], &roots] {
        crate::oracle::fixture::tool(&server).arg("verify").args(what).run().expect(0);
    }
}
