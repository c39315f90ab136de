//! Rows of live writers that have the version of a row of the job: reported, and kept where the job says
//! so, in every statement.

use serde_json::Value;

use super::fixture::JobFile;
use crate::oracle::fixture::{DECEMBER, adversarial_but_small, recorded_run, tool};
use crate::support::{Output, Server};

const JOB: &str = "name = 'copies'\n[source]\ntable = 'stored'\nfinal = true\nversion = 'version'\ndeleted = 'gone'\njoin_key = ['name']\n\
    [lookup]\ntable = 'names'\njoin_key = ['name']\n[target]\ntable = 'copies'\nowned = \"origin = 'backfill'\"\n\
    [columns]\nid = 'source.id'\nday = 'toDate(source.placed)'\namount = 'source.amount'\nname = 'lookup.text'\nversion = 'source.version'\norigin = \"'backfill'\"\n";

/// 600 rows; of every tenth, the app has written a row of the same version, of the next ones an older
/// and a newer one.
struct Tables {
    server: Server,
    job: JobFile,
}

impl Tables {
    fn new(target: &str) -> Self {
        let server = Server::shared();
        server.script(
            "CREATE TABLE stored (id UInt64, placed DateTime('UTC'), name String, amount UInt32, version UInt32, gone UInt8)
             ENGINE = ReplacingMergeTree(version, gone) PARTITION BY toYYYYMM(placed) ORDER BY id
             --;;
             INSERT INTO stored SELECT number, toDateTime('2025-11-01 00:00:00', 'UTC') + number * 3600, toString(number % 7), number, 5, number = 599 FROM numbers(600)
             --;;
             CREATE TABLE names (name String, text String) ENGINE = MergeTree ORDER BY name
             --;;
             INSERT INTO names SELECT toString(number), concat('name ', toString(number)) FROM numbers(5)
             --;;
             CREATE TABLE copies (id UInt64, day Date, amount UInt32, name String, version UInt32, origin String DEFAULT 'app')
             ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(day) ORDER BY (day, id % 100, id)
             SETTINGS max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1
             --;;
             INSERT INTO copies SELECT id, toDate(placed), amount + 1000, 'app', version + [0, -1, 1][1 + id % 10], 'app' FROM stored WHERE id % 10 < 3",
        );
        Self {
            server,
            job: JobFile::new(&JOB.replace("[target]\n", &format!("[target]\n{target}"))),
        }
    }

    fn tool(&self, command: &str, arguments: &[&str]) -> Output {
        let tool = self.job.tool_without_partition(&self.server, command);
        tool.args(&["--partition", "202511"]).args(arguments).run()
    }

    /// Rows of the app by what the job has of them: the same version, an older one, a newer one.
    fn app_rows(&self) -> String {
        self.server.text(
            "SELECT [countIf(id % 10 = 0), countIf(id % 10 = 1), countIf(id % 10 = 2)] FROM copies FINAL WHERE origin = 'app'",
        )
    }
}

fn check(plan: &Value) -> &Value {
    let checks = plan["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == "equal-versions").unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{output}"))
}

#[test]
fn rows_that_would_be_replaced_are_counted() {
    let tables = Tables::new("");
    let plan = json(&tables.tool("plan", &["--json"]).expect(0));
    let check = check(&plan);
    assert_eq!(check["verdict"], "warning", "{check}");
    let words = format!(
        "60 rows of live writers in {}.copies have the key and the version of a row of the job; the run replaces them",
        tables.server.database()
    );
    assert_eq!(check["detail"], words, "{check}");
    let output = tables.tool("run", &[]).expect(0);
    assert!(output.stderr.contains(&words), "{output}");
    assert_eq!(tables.app_rows(), "[0,0,60]", "of equal versions, the row inserted last is kept");
    tables.tool("verify", &[]).expect(0);
}

#[test]
#[ignore = "slow: about 9 s"]
fn live_rows_are_kept_by_every_statement() {
    let tables = Tables::new("on_equal_version = 'live'\n");
    let server = &tables.server;
    let plan = json(&tables.tool("plan", &["--json"]).expect(0));
    assert_eq!(check(&plan)["verdict"], "ok", "{plan:#}");
    let detail = check(&plan)["detail"].as_str().unwrap();
    assert!(detail.contains("60 rows of live writers in "), "{detail}");
    assert!(detail.ends_with("; the job keeps them"), "{detail}");
    for _ in 0..2 {
        let output = tables.tool("run", &["--restart"]).expect(0);
        assert!(output.stderr.contains("copies inserted          539\n"), "{output}");
        assert_eq!(tables.app_rows(), "[60,0,60]");
        assert_eq!(server.text("SELECT count() FROM copies FINAL"), "599");
    }
    let found = json(&tables.tool("verify", &["--json"]).expect(0));
    let figures = (&found["expected_rows"], &found["live"]["written_since"]);
    assert_eq!(figures, (&539.into(), &60.into()), "{found:#}");

    // The join that is printed is the oracle.
    let printed = tables.tool("plan", &["--sql"]).expect(0).stdout;
    let (_, join) = printed.split_once("-- equivalent join\n").unwrap();
    let rows = server
        .text(&format!("SELECT count() FROM (\n{}\n)", join.trim_end().trim_end_matches(';')));
    assert_eq!(rows, "539");

    // A repair fills the chunk again, and the live rows stay.
    server.query("ALTER TABLE copies UPDATE name = 'x' WHERE id = 5 SETTINGS mutations_sync = 2");
    let repair = json(&tables.tool("repair", &["--json"]).expect(0));
    assert_eq!(repair["before"]["differences"]["differing"], 1, "{repair:#}");
    assert_eq!(tables.app_rows(), "[60,0,60]");

    // A row that has replaced a live one is surplus, and the live one comes back.
    server.query("INSERT INTO copies SELECT id, toDate(placed), amount, 'x', version, 'backfill' FROM stored WHERE id = 10");
    assert_eq!(tables.app_rows(), "[59,0,60]");
    let repair = json(&tables.tool("repair", &["--json", "--remove"]).expect(0));
    assert_eq!(repair["removed_rows"], 1, "{repair:#}");
    assert_eq!(tables.app_rows(), "[60,0,60]");
}

#[test]
fn what_are_live_rows_must_be_known() {
    let refused = |from: &str, to: &str, words: &str| {
        let server = Tables::new("").server;
        let job = JobFile::new(&JOB.replace(from, to));
        let tool = job.tool_without_partition(&server, "run").args(&["--partition", "202511"]);
        let output = tool.run();
        assert_ne!(output.status, Some(0), "{output}");
        assert!(output.stderr.contains(words), "{words}\n{output}");
    };
    let owned = "owned = \"origin = 'backfill'\"\n";
    refused(
        owned,
        "on_equal_version = 'live'\n",
        "needs live or owned, which select the rows of live writers",
    );
    refused("owned", "on_equal_version = 'newest'\nowned", "unknown variant `newest`");
    let live = format!("on_equal_version = 'live'\n{owned}");
    let of_lookup = "id = 'source.id + length(lookup.text)'";
    let job = |text: &str| JOB.replace(owned, &live).replace("id = 'source.id'", text);
    refused(JOB, &job(of_lookup), "id, a column of the target's key, reads the lookup");
}

/// A target with a mark for deleted rows: a row of the job that has replaced a live one goes by DELETE,
/// since a deleted row of the same version would hide the live row too.
#[test]
fn a_removal_brings_the_live_row_back_and_marks_other_rows_as_deleted() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE stored (id UInt64, version UInt32) ENGINE = MergeTree ORDER BY id
         --;;
         INSERT INTO stored SELECT number, 5 FROM numbers(100)
         --;;
         CREATE TABLE copies (id UInt64, version UInt32, gone UInt8, origin String DEFAULT 'app')
         ENGINE = ReplacingMergeTree(version, gone) ORDER BY id
         SETTINGS max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1
         --;;
         INSERT INTO copies SELECT number, 5, 0, 'app' FROM numbers(10)",
    );
    let job = |which: &str| {
        JobFile::new(&format!(
            "name = 'copies'\n[source]\ntable = 'stored'\n[target]\ntable = 'copies'\n{which}\n\
             [columns]\nid = 'source.id'\nversion = 'source.version'\ngone = '0'\norigin = \"'backfill'\"\n"
        ))
    };
    let rows = || {
        server
            .text("SELECT countIf(origin = 'app'), countIf(origin = 'backfill') FROM copies FINAL")
    };
    job("owned = \"origin = 'backfill'\"").tool(&server, "run").run().expect(0);
    assert_eq!(rows(), "0\t100");
    server.query("INSERT INTO copies VALUES (1000, 5, 0, 'backfill')");

    let job = job("on_equal_version = 'live'\nlive = \"origin = 'app'\"");
    let output = job.tool(&server, "verify").arg("--json").run().expect(4);
    let differences = serde_json::json!({ "not_made_any_more": 10, "extra": 1 });
    assert_eq!(json(&output)["differences"], differences, "{output}");
    let output = job.tool(&server, "repair").args(&["--remove", "--json"]).run().expect(0);
    assert_eq!(json(&output)["removed_rows"], 11, "{output}");
    assert_eq!(rows(), "10\t90");
    assert_eq!(server.text("SELECT id, origin FROM copies WHERE gone"), "1000\tbackfill");
    job.tool(&server, "verify").run().expect(0);
    // The deleted row is the job's, not a live writer's: if the source has the row, it is filled.
    server.query("INSERT INTO stored VALUES (1000, 5)");
    job.tool(&server, "verify").run().expect(4);
    job.tool(&server, "repair").run().expect(0);
    assert_eq!(rows(), "10\t91");
}

/// A job that does not say which rows are live writers' replaces all of an equal version, and says so
/// before it begins.
#[test]
fn rows_that_any_job_would_replace_are_counted_before_it_begins() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE stored (id UInt64) ENGINE = MergeTree ORDER BY id
         --;;
         INSERT INTO stored SELECT number FROM numbers(100)
         --;;
         CREATE TABLE copies (id UInt64) ENGINE = ReplacingMergeTree ORDER BY id",
    );
    let job = JobFile::new(
        "name = 'copies'\n[source]\ntable = 'stored'\n[target]\ntable = 'copies'\n[columns]\nid = 'source.id'\n",
    );
    let plan = || json(&job.tool(&server, "plan").arg("--json").run().expect(0));
    assert_eq!(check(&plan())["verdict"], "ok");
    server.query("INSERT INTO copies VALUES (7), (1000)");
    let found = plan();
    assert_eq!(check(&found)["verdict"], "warning", "{found:#}");
    let detail = check(&found)["detail"].as_str().unwrap();
    assert!(detail.starts_with("1 row in "), "{detail}");
    assert!(
        detail.contains(".copies has the key of a row of the job; the run replaces"),
        "{detail}"
    );
}

/// Rows that the application's dual writing has made have the versions that the job makes, and more in
/// them. Rows of the application's own backfill may be replaced.
#[test]
#[ignore = "slow: about 13 s"]
fn rows_of_dual_writing_stay_as_they_are() {
    let partition = ["--partition", "202511"];
    let server = adversarial_but_small(DECEMBER);
    recorded_run(&server, &partition);
    server.script(
        "CREATE TABLE made AS events ENGINE = MergeTree ORDER BY tuple()
         --;;
         INSERT INTO made SELECT * FROM events FINAL WHERE _partition_id = '202511'
         --;;
         CREATE TABLE written AS events ENGINE = MergeTree ORDER BY tuple()
         --;;
         INSERT INTO written SELECT * REPLACE ('ingestion-api-dual-write' AS source, 77 AS event_bytes, concat('live ', name) AS name)
         FROM made WHERE cityHash64(span_id, start_time) % 3 = 0
         --;;
         TRUNCATE TABLE events
         --;;
         INSERT INTO events SELECT * FROM written
         --;;
         INSERT INTO events SELECT * REPLACE ('otel-backfill' AS source, 'of its own backfill' AS name)
         FROM made WHERE cityHash64(span_id, start_time) % 3 = 1",
    );
    let live = server.text("SELECT count() FROM written");
    assert!(live.parse::<u64>().unwrap() > 20, "{live}");
    let plan = json(&tool(&server).args(&["plan", "--json"]).args(&partition).run().expect(0));
    let detail = check(&plan)["detail"].as_str().unwrap();
    assert!(detail.starts_with(&format!("{live} rows of live writers")), "{detail}");
    for _ in 0..2 {
        recorded_run(&server, &partition);
        let differing = |rows: &str| {
            server.text(&format!(
                "SELECT count() FROM (({rows}) EXCEPT (SELECT * FROM events FINAL))"
            ))
        };
        assert_eq!(differing("SELECT * FROM written"), "0", "a live row was changed");
        let others = "SELECT * FROM made WHERE cityHash64(span_id, start_time) % 3 != 0";
        assert_eq!(differing(others), "0", "a row of the job is not there");
        assert_eq!(
            server.text("SELECT count() FROM events FINAL WHERE _partition_id = '202511'"),
            server.text("SELECT count() FROM made")
        );
    }
    tool(&server).arg("verify").args(&partition).run().expect(0);
    let output = tool(&server).args(&["repair", "--json"]).args(&partition).run().expect(0);
    assert_eq!(json(&output)["filled_chunks"], serde_json::json!([]), "{output}");
}
