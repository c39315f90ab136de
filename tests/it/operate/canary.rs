//! `run --canary`: some chunks are filled and compared, and the same load is continued.

use serde_json::Value;

use crate::orders::{JOB, Orders, PARTITION};
use crate::support::shown::{from_line, titled};
use crate::support::{Binary, assert_text_snapshot, binary};

/// A command of the tool, with this job.
fn tool(orders: &Orders, job: &str, command: &str) -> Binary {
    let tool = binary().file("job.toml", job).envs(&orders.server.environment());
    tool.args(&[command, "--job", "job.toml", "--partition", PARTITION])
}

/// A canary of orders in three chunks; its stdout is the summary.
fn canary(orders: &Orders, job: &str, share: &str) -> Binary {
    tool(orders, job, "run").args(&["--chunk-rows", "8192", "--canary", share, "--json"])
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Orders in one part, so that their chunks are always the same.
fn orders_in_one_part() -> Orders {
    let orders = Orders::start(20_000);
    orders.server.query("OPTIMIZE TABLE orders FINAL");
    orders
}

/// The rows that the ledger's completed chunks have read, and those of the target.
fn filled(orders: &Orders) -> String {
    orders.server.text(
        "SELECT groupArray(chunk + 1), sum(rows_read) = (SELECT count() FROM shipments FINAL)
         FROM (SELECT * FROM load_state_chunks FINAL WHERE status = 'completed' ORDER BY chunk)",
    )
}

#[test]
fn a_canary_fills_and_compares_some_chunks_and_the_load_is_continued() {
    let orders = orders_in_one_part();
    let owning = JOB
        .replace("\"shipments\"\n\n[col", "\"shipments\"\nowned = \"order_id < 1000000\"\n\n[col");
    let first = canary(&orders, &owning, "1%").run().expect(0);
    let remark = "note: the canary is chunk 2 of 3, more than 1%; a new load with a lower --chunk-rows has smaller chunks\n";
    assert!(first.stderr.contains(remark), "{first}");
    assert_text_snapshot!(from_line(&first.stderr, "canary filled"), @"
    canary filled: shipments into default.shipments
      partition                202506
      chunks                   1 of 3 completed, 0 by earlier runs, 0 failed
      attributes loaded        123 of [N] rows
      orders processed         8,032
      shipments inserted       8,032
      matched, late, unmatched 4,807, 0, 3,225
      batches, retries, errors 1, 0, 0
      read, written            [SIZE], [SIZE]
      time                     [DURATION] (plan [DURATION], attributes [DURATION], streaming [DURATION])
      throughput               [RATE], at the end with [N] readers and [N] inserters
      peak memory              [SIZE] of [SIZE], 1 wave
    target                              default.shipments
    source                              default.orders, partition 202506, by shipments
    chunks                              2, those of run [RUN]
    expected rows                       8,032
    target rows                         8,032
    differing rows                      0

    equal: the target has the rows that the job makes of these chunks ([DURATION])
    canary: equal, in chunk 2 of 3; 2 chunks not filled
    next: clickhouse-backfill run --chunk-rows 8192 --json --job job.toml --partition 202506
    undo: clickhouse-backfill undo --job job.toml --partition 202506
    ");
    assert_eq!(filled(&orders), "[2]\t1");
    let summary = json(&first.stdout);
    assert_eq!(summary["canary"]["chunks"], json("[2]"), "{summary}");
    assert_eq!(summary["canary"]["comparison"]["equal"], true, "{summary}");

    let status = tool(&orders, &owning, "status").arg("--json").run().expect(0);
    let status = json(&status.stdout);
    assert_eq!(
        (&status["state"], &status["chunks"], &status["chunks_completed"]),
        (&"interrupted".into(), &3.into(), &1.into()),
        "{status}"
    );

    // The same share chooses the same chunk.
    let again = json(&canary(&orders, &owning, "1%").run().expect(0).stdout);
    let numbers =
        |summary: &Value| (summary["chunks_now"].clone(), summary["chunks_before"].clone());
    assert_eq!(numbers(&again), (0.into(), 1.into()), "{again}");

    let next = from_line(&first.stderr, "next: ").lines().next().unwrap();
    let words: Vec<_> = next.split(' ').skip(2).collect();
    assert!(!words.contains(&"--canary"), "{next}");
    let run = binary().file("job.toml", &owning).envs(&orders.server.environment()).args(&words);
    let rest = json(&run.run().expect(0).stdout);
    assert_eq!((&rest["status"], numbers(&rest)), (&"completed".into(), (2.into(), 1.into())));
    orders.assert_complete();
    let late = canary(&orders, &owning, "1%").run().expect(0);
    assert!(late.stderr.contains("there is nothing to do"), "{late}");

    let undo = from_line(&first.stderr, "undo: ").lines().next().unwrap();
    let words: Vec<_> = undo.split(' ').skip(2).chain(["--yes"]).collect();
    let undo = binary().file("job.toml", &owning).envs(&orders.server.environment()).args(&words);
    undo.run().expect(0);
    assert_eq!(orders.target_rows(), 0);
}

/// Damages a row of the canary's chunk by another value, one by removal, one of another chunk, and adds
/// one with a key between those of the chunk.
fn damage(orders: &Orders) {
    let of_chunk = |place: u8| {
        orders.server.text(&format!(
            "SELECT order_id FROM shipments FINAL ORDER BY customer, order_id LIMIT 1 OFFSET {place}"
        ))
    };
    let (changed, removed) = (of_chunk(7), of_chunk(9));
    let change = |sql: &str| {
        orders.server.query(&format!("ALTER TABLE shipments {sql} SETTINGS mutations_sync = 2"));
    };
    change(&format!("UPDATE note = 'changed by hand' WHERE order_id = {changed}"));
    change(&format!("DELETE WHERE order_id = {removed}"));
    orders.server.query(
        "INSERT INTO shipments (order_id, customer, placed, version)
         SELECT 5000000, customer, placed, 1 FROM shipments ORDER BY customer, order_id LIMIT 1 OFFSET 20",
    );
    // Rows of other chunks are not compared.
    orders.server.query(
        "INSERT INTO shipments (order_id, customer, placed, version)
         SELECT id, customer, placed, 1 FROM orders FINAL ORDER BY customer, id LIMIT 3",
    );
}

#[test]
fn a_canary_finds_what_is_wrong_in_its_chunks_and_nowhere_else() {
    let orders = orders_in_one_part();
    canary(&orders, JOB, "1%").run().expect(0);
    damage(&orders);
    let different = canary(&orders, JOB, "1%").run().expect(4);
    let summary = json(&different.stdout);
    let differences = &summary["canary"]["comparison"]["differences"];
    assert_eq!(differences, &json(r#"{"missing": 1, "differing": 1, "extra": 1}"#), "{summary}");
    let chunks = summary["canary"]["comparison"]["rows"].as_array().unwrap();
    let chunks: Vec<_> = chunks.iter().filter_map(|row| row["chunk"].as_u64()).collect();
    assert_eq!(chunks, [2, 2], "{summary}");
    assert_text_snapshot!(from_line(&different.stderr, "canary: "), @"
    canary: different, in chunk 2 of 3
    hint: correct the job, and run the canary again with --restart: rows that are written again replace those with the same sorting key
    ");
    // Where the job says which rows are its own, they can be removed.
    let owning = JOB
        .replace("\"shipments\"\n\n[col", "\"shipments\"\nowned = \"order_id < 1000000\"\n\n[col");
    let different = canary(&orders, &owning, "1%").run().expect(4);
    assert_text_snapshot!(from_line(&different.stderr, "canary: "), @"
    canary: different, in chunk 2 of 3
    hint: undo it, correct the job, and run the canary again with --restart
    undo: clickhouse-backfill undo --job job.toml --partition 202506
    ");
}

#[test]
fn a_canary_goes_by_the_keys_of_its_rows_where_the_key_of_the_source_is_not_in_the_target() {
    let computed =
        JOB.replace("customer = \"source.customer\"", "customer = \"concat(source.customer, '')\"");
    let orders = orders_in_one_part();
    canary(&orders, &computed, "1%").run().expect(0);
    damage(&orders);
    let summary = json(&canary(&orders, &computed, "1%").run().expect(4).stdout);
    let differences = &summary["canary"]["comparison"]["differences"];
    assert_eq!(differences, &json(r#"{"missing": 1, "differing": 1}"#), "{summary}");
}

#[test]
fn a_canary_between_two_servers_goes_by_the_columns_of_the_key() {
    let orders = orders_in_one_part();
    let elsewhere = |tool: Binary| {
        let source = orders.server.url().replace("127.0.0.1", "localhost");
        tool.env("SOURCE_URL", source).args(&["--source-db", orders.server.database()])
    };
    let computed =
        JOB.replace("customer = \"source.customer\"", "customer = \"concat(source.customer, '')\"");
    let refused = elsewhere(canary(&orders, &computed, "1%")).run();
    assert_text_snapshot!(refused.failure(), @"
    exit code 3
    error: --canary cannot tell the rows of its chunks in default.shipments: no column of the job is source.customer
    hint: --worker 1/100 fills a part of the chunks without a comparison
    ");
    assert_eq!(orders.target_rows(), 0);
    elsewhere(canary(&orders, JOB, "1%")).run().expect(0);
    damage(&orders);
    let summary = json(&elsewhere(canary(&orders, JOB, "1%")).run().expect(4).stdout);
    let differences = &summary["canary"]["comparison"]["differences"];
    assert_eq!(differences, &json(r#"{"missing": 1, "differing": 1, "extra": 1}"#), "{summary}");
}

#[test]
fn a_canary_is_refused_where_it_cannot_be() {
    let orders = Orders::start(100);
    let replacing =
        JOB.replace("\"shipments\"\n\n[col", "\"shipments\"\npublish = \"replace\"\n\n[col");
    let cases = [
        ("a share", canary(&orders, JOB, "0%")),
        ("a dry run", canary(&orders, JOB, "1%").arg("--dry-run")),
        ("a worker", canary(&orders, JOB, "1%").args(&["--worker", "2/3"])),
        ("replace", canary(&orders, &replacing, "1%").args(&["--engine", "server"])),
    ];
    let shown = cases.map(|(case, tool)| (case, tool.run().failure()));
    assert_text_snapshot!(titled(shown), @r#"
    # a share
    exit code 2
    error: invalid value '0%' for '--canary <SHARE>': it must be a share such as 1/100 or 1%
    hint: `--help` behind the command explains its flags

    # a dry run
    exit code 2
    error: --canary and --dry-run are both given: a canary compares rows that it has written, and a dry run writes none
    hint: leave one of them out

    # a worker
    exit code 2
    error: --canary and --worker are both given, and each of them chooses the chunks to fill
    hint: run the canary alone, then start the workers: they leave its chunks out

    # replace
    exit code 3
    error: --canary fills some chunks of a partition, and job.toml has publish = "replace", which publishes whole partitions
    hint: `run` compares what it has built with the join before it replaces anything, and `rollback` puts a partition back
    "#);
    assert_eq!(orders.target_rows(), 0);
}

#[test]
fn a_canary_of_several_months_fills_some_of_each() {
    let orders = Orders::start(20_000);
    orders.server.query(
        "INSERT INTO orders SELECT id + 30000000, customer, placed - INTERVAL 2 MONTH, amount, 1, 0, note FROM orders WHERE version = 1",
    );
    orders.server.query("OPTIMIZE TABLE orders FINAL");
    let run = |more: &[&str]| {
        let tool = binary().file("job.toml", JOB).envs(&orders.server.environment());
        let months =
            ["run", "--job", "job.toml", "--partitions", "202504..202506", "--chunk-rows", "8192"];
        tool.args(&months).args(more)
    };
    let first = run(&["--canary", "1/2", "--order", "newest"]).run().expect(0);
    assert_text_snapshot!(from_line(&first.stderr, "canary equal: "), @"
    canary equal: shipments into default.shipments, 2 of 2 partitions, 23,376 rows inserted in [DURATION]
      202506  canary equal, 11,568 rows in [DURATION]; 1 chunk not filled
      202504  canary equal, 11,808 rows in [DURATION]; 1 chunk not filled
    next: clickhouse-backfill run --partitions 202504..202506 --order newest --job job.toml --chunk-rows 8192
    ");
    orders
        .server
        .query("ALTER TABLE shipments DELETE WHERE customer < 'c2' SETTINGS mutations_sync = 2");
    let different = run(&["--canary", "1/2"]).run().expect(4);
    assert_text_snapshot!(from_line(&different.stderr, "canary different: "), @"
    canary different: shipments into default.shipments, 1 of 2 partitions, 0 rows inserted in [DURATION]
      202504  canary different, 0 rows in [DURATION]
      202506  not started
    ");
    let rest = run(&[]).run().expect(0);
    assert!(rest.stderr.contains("2 of 2 partitions, "), "{rest}");
}
