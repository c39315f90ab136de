//! Rows whose attributes lie outside of the lookup's window: they get them all the same, unless one
//! inside decides.

use std::time::Duration;

use serde_json::Value;

use super::fixture::JobFile;
use crate::support::{Comparison, Direction, Output, Proxy, Server, assert_text_snapshot, process};

const MIB: u64 = 1 << 20;

/// The source lies on one day; the window is 2025-06-08 to 2025-06-16, both at noon.
const JOB: &str = "name = 'late'
[source]
table = 'rows'
join_key = ['tenant', 'key']
time = 'time'
[lookup]
table = 'attributes'
join_key = ['tenant', 'key']
version = 'version'
deleted = 'deleted'
window = { column = 'time', days_before = 7, days_after = 1 }
[target]
table = 'joined'
[columns]
tenant = 'source.tenant'
id = 'source.id'
text = 'lookup.text'
note = 'source.note'
";

/// The newest version, of those in the window if there are any.
const EXPECTED: &str = "
    SELECT rows.tenant AS tenant, rows.id AS id, newest.text AS text, rows.note AS note
    FROM rows
    LEFT JOIN
    (
        SELECT tenant, key, argMax(t, (inside, version)) AS text, argMax(deleted, (inside, version)) AS gone
        FROM (SELECT tenant, key, attributes.text AS t, version, deleted, ifNull(time BETWEEN '2025-06-08 12:00:00' AND '2025-06-16 12:00:00', 0) AS inside FROM attributes)
        GROUP BY tenant, key
        HAVING gone = 0
    ) AS newest
    ON rows.tenant = newest.tenant AND rows.key = newest.key";

/// How many rows find something in the window, and how many only outside of it.
const FIGURES: &str = "
    SELECT countIf(kind IN (0, 1, 2, 3, 7)), countIf(kind IN (4, 5, 8)), countIf(kind NOT IN (0, 1, 2, 3, 4, 5, 7, 8))
    FROM (SELECT if(key IS NULL, 9, toUInt64(key) % 10) AS kind FROM rows)";

struct Late {
    server: Server,
    job: JobFile,
}

impl Late {
    /// So many rows that name so many keys, whose attributes are `text`. What a key finds is told
    /// by its last digit.
    fn start(rows: u64, keys: u64, text: &str) -> Self {
        let server = Server::shared();
        server.script(&format!(
            "CREATE TABLE rows (tenant String, id UInt64, key Nullable(String), time DateTime('UTC'), note String) ENGINE = MergeTree ORDER BY (tenant, id)
             --;;
             CREATE TABLE attributes (tenant String, key String, time Nullable(DateTime64(3, 'UTC')), version UInt32, deleted UInt8, text String) ENGINE = MergeTree ORDER BY (tenant, key)
             --;;
             CREATE TABLE joined (tenant String, id UInt64, text String, note String) ENGINE = ReplacingMergeTree ORDER BY (tenant, id)
             --;;
             INSERT INTO rows SELECT concat('tenant ', toString(key_number % 40)), number, if(number % 97 = 5, NULL, toString(key_number)), '2025-06-15 12:00:00', toString(number)
             FROM (SELECT number, cityHash64(number) % {keys} AS key_number FROM numbers({rows}))
             --;;
             INSERT INTO attributes
             SELECT concat('tenant ', toString(number % 40)), toString(number), version.2, version.1, version.3, concat({text}, ' ', toString(version.1))
             FROM numbers({keys})
             ARRAY JOIN arrayElement(
                 [
                     [(1, '2025-06-10 00:00:00', 0)], [(2, '2025-06-08 12:00:00', 0), (1, '2025-06-09 00:00:00', 0)], [(1, '2025-06-16 12:00:00', 0)], [(1, '2025-06-10 00:00:00', 0)],
                     [(1, '2025-06-08 11:59:59.999', 0)], [(1, '2025-06-16 12:00:00.001', 0), (2, '2026-01-01 00:00:00', 0)],
                     [(1, '2025-06-10 00:00:00', 1), (2, '2025-01-01 00:00:00', 0)], [(1, '2025-06-10 00:00:00', 0), (2, '2025-01-01 00:00:00', 0), (3, NULL, 1)],
                     [(1, NULL, 0)], []
                 ]::Array(Array(Tuple(UInt32, Nullable(DateTime64(3, 'UTC')), UInt8))), number % 10 + 1) AS version"
        ));
        Self { server, job: JobFile::new(JOB) }
    }

    fn matched(&self) -> [u64; 3] {
        let figures = self.server.text(FIGURES);
        let figures: Vec<u64> = figures.split('\t').map(|figure| figure.parse().unwrap()).collect();
        assert!(figures.iter().all(|figure| *figure > 0), "{figures:?} is no test");
        figures.try_into().unwrap()
    }

    #[track_caller]
    fn assert_filled(&self) {
        let comparison = Comparison::of_table(&self.server, "joined", &["tenant", "id"]);
        comparison.assert_same("the run", "SELECT * FROM joined FINAL", EXPECTED);
    }

    /// Runs and compares; gives the summary.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> (Output, Value) {
        self.server.query("TRUNCATE TABLE joined");
        let summary = tempfile::NamedTempFile::new().unwrap();
        let tool = self
            .job
            .tool(&self.server, "run")
            .args(arguments)
            .arg("--summary-json")
            .arg(summary.path());
        let output = tool.run().expect(0);
        self.assert_filled();
        let summary: Value =
            serde_json::from_slice(&std::fs::read(summary.path()).unwrap()).unwrap();
        let found = ["matched_rows", "matched_late_rows", "unmatched_rows"]
            .map(|name| number(&summary, name));
        assert_eq!(found, self.matched(), "{summary}");
        assert_eq!(number(&summary, "inserted_rows"), number(&summary, "source_rows"));
        if let Some(limit) = arguments.iter().position(|argument| *argument == "--memory") {
            let limit: u64 = arguments[limit + 1].parse().unwrap();
            let peak = number(&summary, "peak_memory_bytes");
            assert!(peak <= limit + limit / 10, "{peak} of {limit} bytes\n{summary}");
        }
        (output, summary)
    }
}

fn number(summary: &Value, name: &str) -> u64 {
    summary[name].as_u64().unwrap_or_else(|| panic!("no {name} in {summary}"))
}

fn few_at_once(memory: u64) -> Vec<String> {
    ["--readers", "2", "--inserters", "2", "--memory", &memory.to_string()]
        .map(str::to_owned)
        .to_vec()
}

#[test]
#[ignore = "slow: many waves over many rows"]
fn attributes_outside_of_the_window_are_found_in_one_wave_and_in_many() {
    let late =
        Late::start(60_000, 100_000, "concat(toString(cityHash64(number)), repeat('-', 300))");
    let (_, one) = late.run(&[]);
    assert_eq!(number(&one, "waves"), 1, "{one}");
    let little = few_at_once(104 * MIB);
    let little: Vec<_> = little.iter().map(String::as_str).collect();
    let (_, ranges) = late.run(&little);
    assert!(number(&ranges, "waves") > 1, "{ranges}");

    // Without a column that both tables have in front, waves are parts of the keys by their hash.
    late.server.script(
        "CREATE TABLE by_id AS rows ENGINE = MergeTree ORDER BY id
         --;;
         INSERT INTO by_id SELECT * FROM rows
         --;;
         EXCHANGE TABLES rows AND by_id",
    );
    let plan = late.job.tool(&late.server, "plan").args(&little).run().expect(0).stdout;
    assert!(
        plan.contains(", keys 1 of ") && plan.contains("for rows without a match in the window"),
        "{plan}"
    );
    let (_, buckets) = late.run(&little);
    assert!(number(&buckets, "waves") > 1, "{buckets}");
}

#[test]
#[ignore = "slow: about 9 s"]
fn rows_that_are_put_aside_keep_to_their_memory_however_many_and_however_large_their_attributes() {
    let late = Late::start(
        5_000,
        4_000,
        "if(number % 10 IN (4, 5, 8), repeat(toString(number), 16000), '')",
    );
    // Room for the attributes of a few keys at once: of an answer that is too large, fewer keys are
    // asked for.
    let little = few_at_once(120 * MIB);
    let little: Vec<_> = little.iter().map(String::as_str).collect();
    let (_, summary) = late.run(&[&little[..], &["--batch-size", "700"]].concat());
    // All attributes together are larger.
    assert!(number(&summary, "peak_memory_bytes") < 64 * MIB, "{summary}");
    // All misses, most of them of keys that are nowhere.
    late.server.query(
        "ALTER TABLE attributes DELETE WHERE time BETWEEN '2025-06-08 12:00:00' AND '2025-06-16 12:00:00' SETTINGS mutations_sync = 2",
    );
    late.server.query(
        "ALTER TABLE attributes DELETE WHERE cityHash64(key) % 10 > 0 SETTINGS mutations_sync = 2",
    );
    late.server.query("TRUNCATE TABLE joined");
    late.job.tool(&late.server, "run").args(&little).run().expect(0);
    late.assert_filled();
}

#[test]
#[ignore = "slow: about 10 s"]
fn a_late_query_that_breaks_is_sent_again() {
    let late = Late::start(3_000, 1_000, "repeat(toString(number), 300)");
    let proxy = Proxy::start(late.server.port());
    for (offset, direction) in
        [(0, Direction::ToClient), (50_000, Direction::ToClient), (1_000, Direction::ToServer)]
    {
        late.server.query("TRUNCATE TABLE joined");
        let before = proxy.fired();
        proxy.after_request_with(b"-late-").reset_at(direction, offset, 1);
        let output =
            late.job.tool(&late.server, "run").env("CLICKHOUSE_URL", proxy.url()).run().expect(0);
        assert_eq!(proxy.fired(), before + 1, "{output}");
        assert!(
            output.stderr.contains("outside of the window broke off, trying again"),
            "{output}"
        );
        late.assert_filled();
    }
    // When it never succeeds, the run says so.
    proxy.after_request_with(b"-late-").reset_at(Direction::ToClient, 0, 1000);
    let output = late
        .job
        .tool(&late.server, "run")
        .env("CLICKHOUSE_URL", proxy.url())
        .args(&["--max-retries", "1"])
        .run()
        .expect(1);
    assert!(
        output.stderr.contains("attributes, outside of the window, failed after 2 attempts"),
        "{output}"
    );
}

#[test]
fn a_run_is_stopped_while_keys_are_looked_up() {
    let late = Late::start(3_000, 1_000, "repeat(toString(number), 300)");
    let proxy = Proxy::start(late.server.port());
    proxy.after_request_with(b"-late-").stall_at(Direction::ToClient, 0, 1);
    let running = late.job.tool(&late.server, "run").env("CLICKHOUSE_URL", proxy.url()).spawn();
    assert!(
        process::wait_until(Duration::from_secs(60), || proxy.fired() > 0),
        "no late query was sent"
    );
    running.signal("TERM");
    running.wait().expect(130);
    proxy.pass();
    late.job.tool(&late.server, "run").run().expect(0);
    late.assert_filled();
}

/// Keys of any bytes become part of a statement.
#[test]
fn keys_of_any_bytes_are_looked_up() {
    let late = Late::start(100, 100, "toString(number)");
    late.server.script(
        "TRUNCATE TABLE rows
         --;;
         TRUNCATE TABLE attributes
         --;;
         INSERT INTO rows SELECT tenant, number, key, '2025-06-15 12:00:00', ''
         FROM (SELECT number, arrayJoin(['', '\\'', '\\\\', 'a\\0', '\\xFF\\xC3']) AS tenant, concat(reinterpretAsFixedString(toUInt16(number)), tenant) AS key FROM numbers(65536))
         WHERE number % 7 = 0
         --;;
         INSERT INTO attributes SELECT tenant, assumeNotNull(key), '2025-01-01 00:00:00', 1, 0, concat('of ', tenant, assumeNotNull(key)) FROM rows WHERE id % 2 = 0",
    );
    late.server.query("TRUNCATE TABLE joined");
    late.job.tool(&late.server, "run").run().expect(0);
    late.assert_filled();
    assert_eq!(
        late.server.text(
            "SELECT countIf(text != '') > 20000, countIf(text = '') > 20000 FROM joined FINAL"
        ),
        "1\t1"
    );
}

/// In which batch a row that is looked up late lies depends on the memory for such rows, and
/// repeated batches are recognized only if they are the same.
#[test]
fn the_memory_for_late_rows_may_not_change_where_batches_must_come_again_as_they_were() {
    let late = Late::start(1_000, 1_000, "'x'");
    late.server.script(
        "DROP TABLE joined SYNC
         --;;
         CREATE TABLE joined (tenant String, id UInt64, text String, note String) ENGINE = MergeTree ORDER BY (tenant, id) SETTINGS non_replicated_deduplication_window = 1000",
    );
    let tool = |batch_bytes: &str| {
        late.job
            .tool(&late.server, "run")
            .env("RESTART", "false")
            .args(&["--batch-bytes", batch_bytes])
    };
    tool("8MiB").run().expect(0);
    late.server.query(
        "ALTER TABLE load_state UPDATE status = 'failed' WHERE 1 SETTINGS mutations_sync = 2",
    );
    let refused = tool("16MiB").run().expect(3);
    assert_text_snapshot!(refused.failure(), @"
    exit code 3
    error: partition all of default.rows into default.joined by late is failed as run [RUN], and not the same as it was:
        the bytes of a batch (--batch-bytes, --memory) was `8388608`, and is `16777216`
        the memory for rows that are looked up late was `8388608`, and is `16777216`
    hint: --restart starts a new version of the load, with all rows
    hint: undo the changes to continue with the version that was started
    ");
    tool("8MiB").run().expect(0);
}

#[test]
fn a_window_that_most_rows_lie_outside_of_is_said_once() {
    let late = Late::start(60_000, 10_000, "'x'");
    let words = "most rows find their attributes outside of the lookup's window";
    // Three of eight do.
    let (output, _) = late.run(&["--batch-bytes", "1MiB"]);
    assert!(!output.stderr.contains(words), "{output}");
    let narrow = JobFile::new(
        &JOB.replace("days_before = 7, days_after = 1", "days_before = 0, days_after = 0"),
    );
    let output = narrow
        .tool(&late.server, "run")
        .args(&["--batch-bytes", "1MiB", "--chunk-rows", "10000"])
        .run()
        .expect(0);
    assert_eq!(output.stderr.matches(words).count(), 1, "{output}");
    assert!(
        output.stderr.contains("days_before=0") && output.stderr.contains("the keys of "),
        "{output}"
    );
}
