//! A server accepts the queries of docs/reference/ledger.md, and they return what is so.

use std::collections::BTreeMap;
use std::path::Path;

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::{Server, binary, process};

/// How long a condition that must come may take on a machine that does much else.
const SOON: std::time::Duration = std::time::Duration::from_secs(60);

/// The queries by the words of the comments above them, about the partition of the tests.
fn queries() -> BTreeMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/ledger.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once("\n## Queries\n").expect("the page has the section");
    let blocks = section
        .split("```sql\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("a block has an end").0);
    let statements = blocks
        .flat_map(|block| block.split("\n\n"))
        .map(|statement| statement.trim().strip_prefix("-- ").expect(statement));
    let queries: BTreeMap<_, _> = statements
        .map(|statement| statement.split_once('\n').expect("a query follows its comment"))
        .map(|(words, sql)| {
            (words.to_owned(), sql.trim_end_matches(';').replace("202511", PARTITION))
        })
        .collect();
    assert!(queries.len() >= 10, "{queries:#?}");
    queries
}

#[test]
#[ignore = "slow: about 13 s"]
fn the_queries_of_the_readme_say_what_is_so() {
    let orders = Orders::on(Server::shared(), 20_000);
    let server = &orders.server;
    server.script("CREATE TABLE brake (reason String) ENGINE = MergeTree ORDER BY ()\n--;;\nINSERT INTO brake VALUES ('not yet')");
    let limits = [
        "--throttle-query",
        "SELECT reason FROM brake LIMIT 1",
        "--batch-size",
        "2000",
        "--chunk-rows",
        "8192",
    ];
    let running = orders.tool().args(&limits).spawn();
    // The first sample is of the beginning, and only the second one of a time.
    let waited = || {
        server
            .try_query("SELECT throwIf(count() < 2) FROM load_samples WHERE waiting != ''")
            .is_ok()
    };
    assert!(process::wait_until(SOON, waited), "a run that waits says so in the ledger");
    let mut queries = queries();
    let mut query = |words: &str| {
        queries.remove(words).unwrap_or_else(|| panic!("the page has no query {words:?}"))
    };
    let at_it = query("Who is at it.");
    let process = format!("SELECT groupArray((partition_id, pid)) FROM ({at_it})");
    assert_eq!(server.text(&process), format!("[('{PARTITION}',{})]", running.process()));
    server.query("TRUNCATE TABLE brake");
    running.wait().expect(0);
    assert_eq!(server.text(&at_it), "");

    let rows = orders.figure("inserted_rows");
    let all = query("All loads, the newest first.");
    let all = format!(
        "SELECT groupArray((status, chunks_completed = chunks, rows_inserted)) FROM ({all})"
    );
    assert_eq!(server.text(&all), format!("[('completed',1,{rows})]"));
    let far = format!(
        "SELECT groupArray((status, rows)) FROM ({})",
        query("How far a load is, while it runs.")
    );
    assert_eq!(server.text(&far), format!("[('completed',{rows})]"));
    assert_eq!(
        server.text(&query("Chunks that failed, and those that needed several attempts.")),
        ""
    );
    let slowest = format!("SELECT sum(rows_inserted) FROM ({})", query("The slowest chunks."));
    assert_eq!(server.text(&slowest), rows.to_string());

    let course = query("How a load went, minute by minute, all its processes together.");
    let course = server.text(&format!(
        "SELECT sum(rows_inserted), max(slow_insert) > 0, max(retries_so_far) FROM ({course})"
    ));
    assert_eq!(course, format!("{rows}\t1\t0"));
    let waits = query("For what it waited, and about how long.");
    assert_eq!(
        server.text(&format!("SELECT groupArray((waiting, seconds >= 1)) FROM ({waits})")),
        "[('throttle query: not yet',1)]"
    );
    let settings = query("What its processes were started with.");
    assert_eq!(
        server.text(&format!(
            "SELECT groupArray(JSONExtractString(settings, 'batch_size')) FROM ({settings})"
        )),
        "['2000']"
    );

    // Before the first comparison there is no table of them.
    let verify = |arguments: &[&str]| {
        let tool = binary().file("job.toml", JOB).envs(&server.environment()).args(&[
            "verify",
            "--job",
            "job.toml",
            "--partition",
            PARTITION,
        ]);
        tool.args(arguments).run()
    };
    let (found, open) = (
        query("What comparisons found, the newest first."),
        query("Completed loads of which no comparison of all keys has found the target right."),
    );
    let open = format!("SELECT groupArray(partition_id) FROM ({open})");
    verify(&["--sample", "1/2"]).expect(0);
    assert_eq!(server.text(&open), format!("['{PARTITION}']"), "a sample is no proof");
    server.query("INSERT INTO shipments SELECT * REPLACE ('wrong' AS note) FROM shipments FINAL ORDER BY order_id LIMIT 1");
    verify(&[]).expect(4);
    assert_eq!(server.text(&open), format!("['{PARTITION}']"));
    server.query("DELETE FROM shipments WHERE note = 'wrong'");
    orders.tool().run().expect(0);
    verify(&[]).expect(0);
    assert_eq!(server.text(&open), "[]");
    let found = format!("SELECT groupArray((equal, differences, sample)) FROM ({found})");
    assert_eq!(server.text(&found), "[(true,0,''),(false,1,''),(true,0,'1/2')]");
    assert!(queries.is_empty(), "nothing is said of {queries:#?}");
}
