//! `newest_by`: of several rows of one id only the newest counts, whatever their sorting keys and
//! partitions.

use serde_json::Value;

use super::fixture::JobFile;
use crate::support::{Output, Server};

const JOB: &str = "name = 'spans'\n[source]\ntable = 'spans'\nfinal = true\nversion = 'version'\ndeleted = 'gone'\nnewest_by = ['project', 'id']\njoin_key = ['id']\n\
    [lookup]\ntable = 'names'\njoin_key = ['id']\n[target]\ntable = 'events'\nremoval = 'delete'\n\
    [columns]\nproject = 'source.project'\nid = 'source.id'\nstarted = 'source.started'\ntokens = 'source.tokens'\nname = 'lookup.name'\nversion = 'source.version'\n";

const MONTHS: [&str; 2] = ["202510", "202511"];

/// 3,000 spans in two months, all of version 5. Of each hundred, the third to the tenth have a second row
/// under another key: later in the month, earlier in it, in the month after, newer in the month before,
/// a deletion on another day, a deletion in another month, and rows of an equal version on another day
/// and in another month. Then there are all versions of a key, and the same ids in another project.
struct Spans {
    server: Server,
    job: JobFile,
}

/// Second rows: the condition, the seconds from the first one, the version, and whether it is a deletion.
const SECOND: [(&str, i64, i64, u8); 8] = [
    ("number % 100 = 3", 86_400, 6, 0),
    ("number % 100 = 4", 86_400, 4, 0),
    ("number % 200 = 6", 31 * 86_400, 6, 0),
    ("number % 200 = 105", -31 * 86_400, 6, 0),
    ("number % 100 = 7", 86_400, 6, 1),
    ("number % 200 = 8", 31 * 86_400, 6, 1),
    ("number % 100 = 9", 86_400, 5, 0),
    ("number % 200 = 10", 31 * 86_400, 5, 0),
];

impl Spans {
    fn new() -> Self {
        let server = Server::shared();
        server.script(
            "CREATE TABLE spans (project LowCardinality(String), kind LowCardinality(String), started DateTime('UTC'), id String, tokens UInt32, version UInt32, gone UInt8)
             ENGINE = ReplacingMergeTree(version, gone) PARTITION BY toYYYYMM(started) ORDER BY (project, kind, toDate(started), id) SETTINGS index_granularity = 64
             --;;
             INSERT INTO spans SELECT ['p', 'q'][1 + number % 2 * (number % 3 = 0)], ['a', 'b'][1 + number % 7 % 2],
                 toDateTime('2025-10-02 12:00:00', 'UTC') + number % 28 * 86400 + number % 2 * 31 * 86400, concat('span ', toString(number)), number, 5, 0 FROM numbers(3000)
             --;;
             INSERT INTO spans SELECT 'r', kind, started, id, tokens + 7, 3, 0 FROM spans WHERE tokens % 3 = 0
             --;;
             INSERT INTO spans SELECT * REPLACE (tokens + 1 AS tokens, 1 AS version) FROM spans WHERE tokens % 5 = 0
             --;;
             CREATE TABLE names (id String, name String) ENGINE = MergeTree ORDER BY id
             --;;
             INSERT INTO names SELECT concat('span ', toString(number)), concat('name ', toString(number)) FROM numbers(2000)
             --;;
             CREATE TABLE events (project String, id String, started DateTime('UTC'), tokens UInt32, name String, version UInt32)
             ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(started) ORDER BY (project, started, id)",
        );
        for (which, seconds, version, gone) in SECOND {
            server.query(&format!(
                "INSERT INTO spans SELECT project, kind, started + {seconds}, id, tokens + 100000, {version}, {gone} FROM spans
                 WHERE project != 'r' AND version = 5 AND {}",
                which.replace("number", "tokens")
            ));
        }
        Self { server, job: JobFile::new(JOB) }
    }

    fn tool(&self, command: &str, month: &str, arguments: &[&str]) -> Output {
        let tool = self.job.tool_without_partition(&self.server, command);
        tool.args(&["--partition", month]).args(arguments).run()
    }

    /// What the target must have, and what it has, in one text each.
    fn texts(&self) -> (String, String) {
        let newest = "SELECT project, id, started, tokens, version FROM (
                SELECT * FROM spans ORDER BY version DESC, gone DESC, toYYYYMM(started) DESC, (project, kind, toDate(started), id) DESC LIMIT 1 BY project, id)
            WHERE NOT gone ORDER BY ALL";
        let filled = "SELECT project, id, started, tokens, version FROM events FINAL ORDER BY ALL";
        (self.server.text(newest), self.server.text(filled))
    }

    #[track_caller]
    fn assert_one_row_for_each_span(&self, what: &str) {
        let (expected, found) = self.texts();
        assert!(expected == found, "{what}: {} of {} bytes", found.len(), expected.len());
        let tokens = |from: &str| self.server.text(&format!("SELECT sum(tokens), count() {from}"));
        let spans = "FROM (SELECT * FROM spans ORDER BY version DESC, gone DESC LIMIT 1 BY project, id) WHERE NOT gone";
        assert_eq!(
            tokens("FROM events FINAL").split('\t').nth(1),
            tokens(spans).split('\t').nth(1)
        );
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{output}"))
}

#[test]
#[ignore = "slow: about 9 s"]
fn both_engines_fill_the_newest_row_of_each_id_at_any_size() {
    let spans = Spans::new();
    let server = &spans.server;
    assert_eq!(
        server.text("SELECT uniqExact(project, id), count() > 3000 FROM spans"),
        "4000\t1",
        "ids"
    );
    let both = "SELECT count() FROM (SELECT project, id FROM spans GROUP BY ALL HAVING uniqExact(toYYYYMM(started)) > 1)";
    assert_eq!(server.text(both), "60", "spans with rows in both months");
    for arguments in [
        &["--engine", "stream", "--chunk-rows", "200", "--batch-size", "70"][..],
        &["--engine", "server", "--chunk-rows", "300"],
        &["--engine", "stream"],
    ] {
        server.query("TRUNCATE TABLE events");
        for month in MONTHS {
            spans.tool("run", month, arguments).expect(0);
        }
        spans.assert_one_row_for_each_span(&arguments.join(" "));
    }
    for month in MONTHS {
        let found = json(&spans.tool("verify", month, &["--json"]).expect(0));
        assert_eq!(found["equal"], true, "{found:#}");
    }

    // The statement that is printed says what is right by itself.
    let mut rows = 0;
    for month in MONTHS {
        let printed = spans.tool("plan", month, &["--sql"]).expect(0).stdout;
        let (_, join) = printed.split_once("-- equivalent join\n").unwrap();
        let join = join.trim_end().trim_end_matches(';');
        rows += server.text(&format!("SELECT count() FROM (\n{join}\n)")).parse::<u64>().unwrap();
    }
    assert_eq!(rows.to_string(), server.text("SELECT count() FROM events FINAL"));
}

#[test]
fn a_plan_says_what_is_left_out_and_what_that_costs() {
    let spans = Spans::new();
    for month in MONTHS {
        let plan = json(&spans.tool("plan", month, &["--json", "--measure", "0"]).expect(0));
        let older = spans.server.text(&format!(
            "WITH newest AS (SELECT project, id, _partition_id AS partition, kind, toDate(started) AS day FROM spans
                 ORDER BY version DESC, gone DESC, toYYYYMM(started) DESC, (project, kind, toDate(started), id) DESC LIMIT 1 BY project, id)
             SELECT uniqExact(project, id, kind, toDate(started)) FROM spans WHERE _partition_id = '{month}'
                 AND (project, id, _partition_id, kind, toDate(started)) NOT IN newest"
        ));
        let shown = &plan["source"]["newest_by"];
        assert_eq!(shown["columns"], serde_json::json!(["project", "id"]), "{plan:#}");
        assert_eq!(shown["older_rows"].to_string(), older, "{plan:#}");
        assert_eq!(shown["read_rows"].to_string(), spans.server.text("SELECT count() FROM spans"));
        let text = spans.tool("plan", month, &["--measure", "0"]).expect(0).stdout;
        let words =
            format!("newest by   project, id: {older} older rows left out, found by reading");
        assert!(text.contains(&words), "{words}\n{text}");
    }
}

#[test]
#[ignore = "slow: about 8 s"]
fn a_span_that_has_moved_since_is_named_and_removed() {
    let spans = Spans::new();
    let server = &spans.server;
    for month in MONTHS {
        spans.tool("run", month, &[]).expect(0);
    }
    // One that stays in its month, one that leaves it, and one that is deleted elsewhere.
    server.query(
        "INSERT INTO spans SELECT project, kind, started + [86400, 31 * 86400, 31 * 86400][indexOf([20, 22, 24], tokens)], id, tokens + 5, 9, tokens = 24
         FROM spans FINAL WHERE tokens IN (20, 22, 24) AND project = 'p'",
    );
    let found = json(&spans.tool("verify", "202510", &["--json"]).expect(4));
    assert_eq!(found["differences"]["not_made_any_more"], 3, "{found:#}");
    assert_eq!(found["differences"]["missing"], 1, "{found:#}");
    // Once for the months in which rows are missing, and once more for what is left over.
    for month in MONTHS {
        spans.tool("repair", month, &["--remove"]).expect(0);
        spans.tool("verify", month, &[]).expect(0);
    }
    spans.assert_one_row_for_each_span("after repair");
    let shown = server.text("SELECT groupArray((project, id, tokens)) FROM events WHERE project = 'p' AND id IN ('span 20', 'span 22', 'span 24') AND version < 9");
    assert_eq!(shown, "[]", "no row that is removed is seen without FINAL");
}

#[test]
fn a_load_is_not_continued_with_other_columns() {
    let spans = Spans::new();
    let begun = spans.job.tool_without_partition(&spans.server, "run").env("RESTART", "false");
    begun.args(&["--partition", "202510"]).run().expect(0);
    let other = JobFile::new(&JOB.replace("newest_by = ['project', 'id']\n", ""));
    let output = other
        .tool_without_partition(&spans.server, "run")
        .env("RESTART", "false")
        .args(&["--partition", "202510"])
        .run();
    assert_ne!(output.status, Some(0), "{output}");
    assert!(output.stderr.contains("column 1 of the source's newest_by"), "{output}");
}

#[test]
fn what_has_no_newest_row_is_refused() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE plain (id UInt64, version UInt32) ENGINE = MergeTree ORDER BY id
         --;;
         CREATE TABLE unversioned (id UInt64, version UInt32) ENGINE = ReplacingMergeTree ORDER BY id
         --;;
         CREATE TABLE copies (id UInt64) ENGINE = ReplacingMergeTree ORDER BY id",
    );
    let job = "name = 'x'\n[source]\ntable = 'TABLE'\nfinal = true\nnewest_by = ['id']\n[target]\ntable = 'copies'\n[columns]\nid = 'source.id'\n";
    for (from, to, status, words) in [
        ("'TABLE'", "'plain'", 3, "its engine keeps no newest version of a row"),
        ("'TABLE'", "'unversioned'", 3, "its ReplacingMergeTree has no version"),
        ("final = true\n", "", 2, "newest_by, which needs final = true"),
        ("newest_by = ['id']", "newest_by = ['ident']", 3, "ident"),
    ] {
        let text = job.replace(from, to).replace("TABLE", "plain");
        super::fixture::assert_refused(&server, &text, "copies", status, words);
    }
}
