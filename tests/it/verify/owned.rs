//! `owned` of a job, and what else live writers do to the tables of the built-in jobs.

use serde_json::Value;

use super::fixture::questions;
use crate::jobs::fixture::JobFile;
use crate::oracle::fixture::{DECEMBER, adversarial_but_small, recorded_run, tool};
use crate::support::shown::titled;
use crate::support::{Server, assert_text_snapshot};

const PARTITION: [&str; 2] = ["--partition", "202511"];

fn verify(server: &Server, code: i32) -> Value {
    let output = tool(server).args(&["verify", "--json"]).args(&PARTITION).run().expect(code);
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{output}"))
}

/// The kinds of the rows that are named, with their spans.
fn kinds(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut kinds: Vec<_> = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(&row["kind"]), text(&row["key"]["span_id"])))
        .collect();
    kinds.sort();
    kinds
}

#[test]
#[ignore = "slow: about 11 s"]
fn rows_of_live_writers_are_theirs_and_a_backfilled_row_too_many_is_not() {
    let server = adversarial_but_small(DECEMBER);
    recorded_run(&server, &PARTITION);
    let of = |number: u64| format!("span_id = 'null-observation-{number}'");
    let insert = |replace: &str, number: u64| {
        let row =
            format!("SELECT * FROM events FINAL WHERE _partition_id = '202511' AND {}", of(number));
        server.query(&format!("INSERT INTO events SELECT * REPLACE ({replace}) FROM ({row})"));
    };
    insert("'of a live writer' AS span_id, 'ingestion-api' AS source", 1);
    insert("'live' AS name, 'ingestion-api' AS source, event_ts + 1 AS event_ts", 2);
    insert("1 AS is_deleted, event_ts + 1 AS event_ts", 3);
    // By its source it could be the job's, but it is younger than the load.
    insert("'since' AS span_id, now64(6) + 1 AS event_ts", 6);
    let found = verify(&server, 0);
    let expected = [
        ("added_since", "since"),
        ("deleted_since", "null-observation-3"),
        ("written_since", "null-observation-2"),
    ];
    assert_eq!(kinds(&found), expected.map(|(kind, span)| (kind.to_owned(), span.to_owned())));

    insert("'too many' AS span_id", 1);
    // By its source a row of the version of the job's is a live writer's, which is kept.
    for (update, number) in [("name = 'x'", 4), ("source = 'x'", 7)] {
        server.query(&format!(
            "ALTER TABLE events UPDATE {update} WHERE {} SETTINGS mutations_sync = 2",
            of(number)
        ));
    }
    // A deletion of the same version is no live writer's.
    insert("1 AS is_deleted", 5);
    let found = verify(&server, 4);
    let expected = [
        ("added_since", "since"),
        ("deleted_since", "null-observation-3"),
        ("differing", "null-observation-4"),
        ("extra", "too many"),
        ("missing", "null-observation-5"),
        ("written_since", "null-observation-2"),
    ];
    assert_eq!(
        kinds(&found),
        expected.map(|(kind, span)| (kind.to_owned(), span.to_owned())),
        "{found:#}"
    );
}

const JOB: &str = "name = 'copies'\n[source]\ntable = 'stored'\n[target]\ntable = 'copies'\nowned = \"OWNED\"\n[columns]\nnumber = 'source.number'\n";

#[test]
fn what_is_wrong_with_the_expression_is_said_with_its_line() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE stored (number UInt32) ENGINE = MergeTree ORDER BY number
         --;;
         CREATE TABLE copies (number UInt32, made_by String DEFAULT 'us') ENGINE = ReplacingMergeTree ORDER BY number
         --;;
         INSERT INTO stored SELECT number FROM numbers(100)",
    );
    let failures = ["nonsense = 1", "toString(number)", "number = rand()"].map(|owned| {
        let output = JobFile::new(&JOB.replace("OWNED", owned)).tool(&server, "verify").run();
        (owned, output.failure())
    });
    assert_text_snapshot!(titled(failures), @"
    # nonsense = 1
    exit code 2
    error: [PATH], line 6: the expression of column owned is refused by the server: Code: 47. [WORDS OF THE SERVER] (UNKNOWN_IDENTIFIER)

    # toString(number)
    exit code 2
    error: [PATH], line 6: the expression of column owned gives String; it must be a Boolean for each row of the target

    # number = rand()
    exit code 2
    error: [PATH], line 6: the expression of column owned uses rand, which is not deterministic: it may give another result when a batch is sent again or verified; to allow it, list it in allow_functions under [target]
    ");
    // A column that the job does not fill has its default in what the job makes.
    let job = JobFile::new(&JOB.replace("OWNED", "made_by = 'us'"));
    job.tool(&server, "run").run().expect(0);
    server.query("INSERT INTO copies VALUES (1000, 'them')");
    job.tool(&server, "verify").run().expect(0);
    server.query("INSERT INTO copies VALUES (1001, 'us')");
    let output = job.tool(&server, "verify").run().expect(4);
    assert_text_snapshot!(output.stdout, @"
    target                              default.copies
    source                              default.stored, partition id:all, by copies
    chunks                              1, those of run [RUN]
    expected rows                       100
    target rows                         101
    differing rows                      1
      extra in the target               1

    extra in the target  number=1001

    different ([DURATION])
    ");
}

const VERSIONS: &str = "name = 'copies'\n[source]\ntable = 'stored'\n[target]\ntable = 'copies'\nowned = \"kind = 'ours'\"\n\
    [columns]\nnumber = 'source.number'\nkind = 'source.kind'\nversion = 'source.version'\n";

/// The sums of rows that the job makes and does not answer for are equal unless others have written
/// such rows too. Then they are looked at one by one, those that it answers for are not.
#[test]
fn rows_that_a_job_makes_besides_are_held_against_it_one_by_one() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE stored (number UInt32, kind String, version UInt32) ENGINE = MergeTree ORDER BY number
         --;;
         CREATE TABLE copies (number UInt32, kind String, version UInt32) ENGINE = ReplacingMergeTree(version) ORDER BY number
         --;;
         INSERT INTO stored SELECT number, if(number % 3 = 0, 'shared', 'ours'), 1 FROM numbers(3000)
         --;;
         INSERT INTO stored VALUES (6, 'ours', 2), (7, 'shared', 2)",
    );
    let job = JobFile::new(VERSIONS);
    job.tool(&server, "run").run().expect(0);
    // Rows of somebody else, of the same kind as those that are shared.
    server.query("INSERT INTO copies SELECT 100000 + number, 'shared', 1 FROM numbers(50)");
    let looked = |code: i32| -> Value {
        let output = job.tool(&server, "verify").arg("--json").run().expect(code);
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{output}"))
    };
    let right = looked(0);
    assert_eq!(
        (&right["target_rows"], &right["differences"], &right["rows"]),
        (&3000.into(), &serde_json::json!({}), &serde_json::json!([]))
    );

    server.query("ALTER TABLE copies DELETE WHERE number = 9 SETTINGS mutations_sync = 2");
    server.query(
        "ALTER TABLE copies UPDATE kind = 'theirs' WHERE number = 12 SETTINGS mutations_sync = 2",
    );
    server.query("ALTER TABLE copies UPDATE kind = 'corrupted' WHERE number = 16 SETTINGS mutations_sync = 2");
    let wrong = looked(4);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut named: Vec<_> = wrong["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(&row["kind"]), text(&row["key"]["number"])))
        .collect();
    named.sort();
    let expected = [("differing", "12"), ("differing", "16"), ("missing", "9")];
    assert_eq!(
        named,
        expected.map(|(kind, number)| (kind.to_owned(), number.to_owned())),
        "{wrong:#}"
    );
    assert_eq!(wrong["target_rows"], 2999, "{wrong:#}");
}

#[test]
fn rows_that_a_job_makes_besides_are_looked_at_one_by_one_only_beside_others() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE stored (number UInt32, kind String, version UInt32) ENGINE = MergeTree ORDER BY number
         --;;
         CREATE TABLE copies (number UInt32, kind String, version UInt32) ENGINE = ReplacingMergeTree(version) ORDER BY number
         --;;
         INSERT INTO stored SELECT number, if(number % 3 = 0, 'shared', 'ours'), 1 FROM numbers(3000)",
    );
    let job = JobFile::new(VERSIONS);
    job.tool(&server, "run").run().expect(0);
    let looked = |code: i32| -> (Value, u64) {
        let begun = questions(&server);
        let output = job.tool(&server, "verify").arg("--json").run().expect(code);
        let report = serde_json::from_str(&output.stdout).unwrap();
        (report, questions(&server) - begun)
    };
    let (right, asked) = looked(0);
    assert_eq!((&right["target_rows"], asked), (&3000.into(), 1), "sums suffice\n{right:#}");

    server.query("INSERT INTO copies VALUES (100000, 'shared', 1)");
    let (right, asked) = looked(0);
    assert_eq!((&right["target_rows"], asked), (&3000.into(), 2), "{right:#}");
    // The source leaves out the rows that the job owns before anything is joined.
    let read = server.text(
        "SELECT result_rows BETWEEN 1 AND 1000, query LIKE '%AND NOT (arrayMap((`kind`) -> %' FROM system.query_log
         WHERE type = 'QueryFinish' AND query_id LIKE '%-expected-%' AND current_database = currentDatabase()
         ORDER BY event_time_microseconds DESC LIMIT 1",
    );
    assert_eq!(read, "1\t1");

    server.query(
        "ALTER TABLE copies UPDATE kind = 'theirs' WHERE number = 12 SETTINGS mutations_sync = 2",
    );
    let (wrong, _) = looked(4);
    assert_eq!(
        (&wrong["differences"], &wrong["rows"][0]["key"]["number"]),
        (&serde_json::json!({"differing": 1}), &"12".into()),
        "{wrong:#}"
    );
}

/// Whether the job owns a row depends on the lookup, so nothing can be left out before the join.
#[test]
fn rows_that_a_lookup_makes_the_jobs_own_are_told_apart_after_the_join() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE stored (number UInt32, kind UInt32) ENGINE = MergeTree ORDER BY number
         --;;
         CREATE TABLE kinds (id UInt32, name String) ENGINE = MergeTree ORDER BY id
         --;;
         CREATE TABLE copies (number UInt32, kind String) ENGINE = ReplacingMergeTree ORDER BY number
         --;;
         INSERT INTO kinds VALUES (0, 'shared'), (1, 'ours'), (2, 'ours')
         --;;
         INSERT INTO stored SELECT number, number % 3 FROM numbers(3000)",
    );
    let job = JobFile::new(
        "name = 'copies'\n[source]\ntable = 'stored'\njoin_key = ['kind']\n[lookup]\ntable = 'kinds'\njoin_key = ['id']\n\
         [target]\ntable = 'copies'\nowned = \"kind = 'ours'\"\n[columns]\nnumber = 'source.number'\nkind = 'lookup.name'\n",
    );
    job.tool(&server, "run").run().expect(0);
    server.query("INSERT INTO copies VALUES (100000, 'shared')");
    job.tool(&server, "verify").run().expect(0);
    server.query(
        "ALTER TABLE copies UPDATE kind = 'other' WHERE number = 12 SETTINGS mutations_sync = 2",
    );
    let output = job.tool(&server, "verify").run().expect(4);
    assert!(output.stdout.contains("differs  number=12  in kind"), "{output}");
}
