//! Narrow reads: the same rows as FINAL at the same moment, whatever happens to the table meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::fixture::{JobFile, assert_fills};
use crate::support::Server;

const JOB: &str = "name = 'copies'\n[source]\ntable = 'stored'\nfinal = true\nversion = 'version'\ndeleted = 'is_deleted'\n\
    [target]\ntable = 'copies'\n[columns]\nid = 'source.id'\nday = 'source.day'\ntext = 'source.text'\nmaybe = 'source.maybe'\npairs = 'source.pairs'\nversion = 'source.version'\n";
const STORED: &str = "(kind String, day Date, id UInt64, version UInt64, is_deleted UInt8, text String, maybe Nullable(String), pairs Map(String, String))
     ENGINE = ReplacingMergeTree(version, is_deleted) PARTITION BY toYYYYMM(day) PRIMARY KEY (kind, day) ORDER BY (kind, day, id)
     SETTINGS index_granularity = 256, old_parts_lifetime = 1";

/// Inserts rows of 1.3 KB, of which some are newer versions, and some of these deleted.
fn insert(server: &Server, rows: u64, version: u64) {
    server.query(&format!(
        "INSERT INTO stored SELECT toString(cityHash64(id) % 5), toDate('2025-10-20') + cityHash64(id, 1) % 50, id, {version}, id % 3 = 0 AND {version} % 4 = 3,
             repeat(toString(cityHash64(id, {version})), 64), if(id % 2 = 0, NULL, toString({version})), map('version', toString({version}))
         FROM (SELECT cityHash64(number, {version}) % 12000 AS id FROM numbers({rows}))"
    ));
}

fn stored() -> Server {
    let server = Server::shared();
    server.query(&format!("CREATE TABLE stored {STORED}"));
    server.query(
        "CREATE TABLE copies (id UInt64, day Date, text String, maybe Nullable(String), pairs Map(String, String), version UInt64)
         ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(day) ORDER BY (day, id)",
    );
    for version in 0..6 {
        insert(&server, 4000, version);
    }
    server
}

/// The statement of the first chunk, up to its settings, and these.
fn source_query(server: &Server, job: &JobFile) -> (String, String) {
    let plan = job.tool_without_partition(server, "plan").args(&["--sql", "--partition", "202511"]);
    let printed = plan.args(&["--read-format", "rowbinary"]).run().expect(0).stdout;
    let (_, rest) = printed.split_once("-- source query of chunk 1").unwrap();
    let (_, statement) = rest.split_once('\n').unwrap();
    let (statement, rest) = statement.split_once("\nSETTINGS ").unwrap();
    let (settings, _) = rest.split_once(" FORMAT RowBinary").unwrap();
    (statement.to_owned(), settings.to_owned())
}

/// Ends the changes, also where a comparison panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Evaluates the narrow read and FINAL in one statement, so both see the same moment, while others
/// insert, merge and change the table. Gives how often the results were equal, and different.
fn compared(runs: u64, shared_snapshot: bool) -> (u64, u64) {
    let server = stored();
    let (narrow, settings) = source_query(&server, &JobFile::new(JOB));
    assert!(narrow.contains("IN (\n    SELECT (_part_starting_offset + _part_offset)"), "{narrow}");
    assert!(settings.contains("enable_shared_storage_snapshot_in_query = 1"), "{settings}");
    let settings = settings.replace(
        "enable_shared_storage_snapshot_in_query = 1",
        &format!("enable_shared_storage_snapshot_in_query = {}", u8::from(shared_snapshot)),
    );
    let (head, _) = narrow.split_once("\nFROM ").unwrap();
    let plain = format!(
        "{head}\nFROM stored AS source FINAL WHERE toYYYYMM(day) = 202511 AND NOT is_deleted"
    );
    let of = |sql: &str| format!("(SELECT (count(), sum(cityHash64(tuple(*)))) FROM ({sql}))");
    let compare = format!("SELECT {} = {} SETTINGS {settings}", of(&narrow), of(&plain));
    let (ended, versions) = (AtomicBool::new(false), AtomicU64::new(100));
    let until_ended = |work: &dyn Fn(u64)| {
        let mut number = 0;
        while !ended.load(Ordering::Relaxed) {
            work(number);
            number += 1;
        }
    };
    // Changes may fail because of each other, such as two merges of one partition.
    let change = |sql: String| drop(server.try_query(&sql));
    let writer = || {
        until_ended(&|number| {
            let rows = 1 + number % 3 * 700;
            insert(&server, rows, versions.fetch_add(1, Ordering::Relaxed));
        });
    };
    let merger = || {
        until_ended(&|number| {
            let all = if number % 2 == 0 { " FINAL" } else { "" };
            change(format!("OPTIMIZE TABLE stored PARTITION 202511{all}"));
        });
    };
    let mutator = || {
        until_ended(&|number| {
            change(match number % 3 {
                0 => format!(
                    "ALTER TABLE stored UPDATE text = concat(text, '{number}') WHERE id % 97 = {} SETTINGS mutations_sync = 1",
                    number % 97
                ),
                1 => format!("DELETE FROM stored WHERE id % 1009 = {}", number % 1009),
                _ => format!(
                    "ALTER TABLE stored DELETE WHERE id % 997 = {} SETTINGS mutations_sync = 1",
                    number % 997
                ),
            });
        });
    };
    thread::scope(|scope| {
        let _end = End(&ended);
        scope.spawn(writer);
        scope.spawn(merger);
        scope.spawn(mutator);
        let equal = (0..runs).map(|_| u64::from(server.text(&compare) == "1")).sum();
        (equal, runs - equal)
    })
}

#[test]
fn a_narrow_read_and_final_see_one_snapshot() {
    assert_eq!(compared(20, true), (20, 0));
}

#[test]
#[ignore = "slow: 100 reads; a_narrow_read_and_final_see_one_snapshot is not slow"]
fn a_hundred_narrow_reads_and_final_see_one_snapshot() {
    assert_eq!(compared(100, true), (100, 0));
}

/// That the changes of the tests above are many enough to be seen.
#[test]
#[ignore = "slow: 40 reads"]
fn without_a_shared_snapshot_narrow_reads_are_wrong() {
    let (_, different) = compared(40, false);
    assert!(different > 0);
}

#[test]
fn wide_rows_are_read_narrow_and_narrow_ones_are_not() {
    let server = stored();
    let job = JobFile::new(JOB);
    let is_narrow = || source_query(&server, &job).0.contains("_part_starting_offset");
    assert!(is_narrow());
    // The equivalent join and the counts stay as they are.
    let plan =
        job.tool_without_partition(&server, "plan").args(&["--sql", "--partition", "202511"]);
    let printed = plan.run().expect(0).stdout;
    let (_, join) = printed.split_once("-- equivalent join\n").unwrap();
    assert!(join.contains("AS source FINAL") && !join.contains("_part_starting_offset"), "{join}");

    server.query("ALTER TABLE stored UPDATE text = 'short' WHERE 1 SETTINGS mutations_sync = 2");
    assert!(!is_narrow());
    server.query("TRUNCATE TABLE stored");
    server.query("INSERT INTO stored (id, day, text) VALUES (1, '2025-11-01', repeat('x', 2000))");
    assert!(is_narrow());
    server.query("CREATE TABLE summed (id UInt64, day Date, version UInt64, is_deleted UInt8, text String, maybe Nullable(String), pairs Map(String, String))
         ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(day) ORDER BY id");
    server.query("INSERT INTO summed (id, day, text) VALUES (1, '2025-11-01', repeat('x', 2000))");
    let summed = JobFile::new(&JOB.replace("'stored'", "'summed'"));
    assert!(
        !source_query(&server, &summed).0.contains("_part_starting_offset"),
        "FINAL makes rows that no part has"
    );
}

/// Ties, deleted versions and several parts, through the stream, the server's inserts and the join.
#[test]
fn narrow_reads_fill_what_final_gives() {
    let server = Server::shared();
    server.script(
        "CREATE TABLE wide (id UInt64, version UInt64, is_deleted UInt8, text String) ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY id
         --;;
         CREATE TABLE filled (id UInt64, text String, version UInt64) ENGINE = ReplacingMergeTree(version) ORDER BY id
         --;;
         SYSTEM STOP MERGES wide",
    );
    for part in 0..4 {
        server.query(&format!(
            "INSERT INTO wide SELECT number, [1, 1, {part}, 2][1 + number % 4], {part} = 3 AND number % 5 = 0, repeat(toString(number + {part}), 400) FROM numbers(3000) WHERE number % 4 != {part}"
        ));
    }
    let job = "name = 'filled'\n[source]\ntable = 'wide'\nfinal = true\nversion = 'version'\ndeleted = 'is_deleted'\n[target]\ntable = 'filled'\n\
        [columns]\nid = 'source.id'\ntext = 'source.text'\nversion = 'source.version'\n";
    let expected = "SELECT id, text, version FROM wide FINAL WHERE NOT is_deleted";
    assert_fills(&server, job, "filled", &["id"], expected);
    let file = JobFile::new(job);
    server.query("TRUNCATE TABLE filled");
    file.tool(&server, "run").args(&["--engine", "server"]).run().expect(0);
    file.tool(&server, "verify").run().expect(0);
    let same = format!(
        "SELECT (SELECT (count(), sum(cityHash64(id, text, version))) FROM filled FINAL) = (SELECT (count(), sum(cityHash64(id, text, version))) FROM ({expected}))"
    );
    assert_eq!(server.text(&same), "1");
    server.query("SYSTEM FLUSH LOGS");
    let narrow = server.text(
        "SELECT countIf(query_id LIKE '%-source-%') > 0, countIf(query_kind = 'Insert') > 0, countIf(query_id LIKE '%-expected-%') > 0, countIf(query_id LIKE '%-found-%') > 0
         FROM system.query_log WHERE type = 'QueryFinish' AND current_database = currentDatabase() AND query LIKE '%IN (%SELECT (_part_starting_offset%' AND query NOT LIKE '%system.query_log%'",
    );
    assert_eq!(narrow, "1\t1\t1\t1");
}
