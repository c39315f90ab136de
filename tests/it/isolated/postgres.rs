//! Rows of a query of `PostgreSQL`, which the server reads by ranges.

use std::time::Duration;

use crate::faults::fixture::{SOON, held_at};
use crate::support::{
    Binary, Direction, Output, Postgres, Proxy, Server, ServerOptions, binary, process,
};

/// 20,000 orders of October and 3,000 of November, with instants that another time zone would shift, keys with gaps and one
/// row without a key.
const ORDERS: &str = "
    CREATE TABLE orders (id bigint, placed timestamptz NOT NULL, fee numeric(12, 4), price numeric, tags text[], note text, paid boolean, data jsonb);
    INSERT INTO orders SELECT g * 3 + g % 2, timestamptz '2025-10-01 00:00:00+00' + g * interval '2 minutes', g / 7.0, g / 3.0, array['a', 'b'], 'it''s ' || g, g % 2 = 0, '{\"a\": [1]}' FROM generate_series(1, 20000) AS g;
    INSERT INTO orders SELECT 100000 + g, timestamptz '2025-11-01 00:00:00+00' + g * interval '1 minute', 1, 1, array[]::text[], NULL, NULL, NULL FROM generate_series(1, 3000) AS g;
    INSERT INTO orders VALUES (NULL, '2025-10-31 23:59:59.123456+00', NULL, NULL, NULL, NULL, NULL, NULL);
    ALTER TABLE orders ADD UNIQUE (id);";

const TARGET: &str = "
CREATE TABLE orders (id Nullable(Int64), placed DateTime64(6, 'UTC'), fee Nullable(Decimal(12, 4)), price Nullable(String), note Nullable(String), paid Nullable(UInt8), data Nullable(String))
ENGINE = MergeTree PARTITION BY toYYYYMM(placed) ORDER BY placed
--;;
INSERT INTO orders (id, placed) SELECT number, '2025-09-30 12:00:00' FROM numbers(50)";

/// The columns that travel as they are, of the month.
const QUERY: &str = "SELECT id, placed AT TIME ZONE 'UTC' AS placed, fee, price::text AS price, note, paid, data FROM orders
WHERE placed AT TIME ZONE 'UTC' >= '{period}-01' AND placed AT TIME ZONE 'UTC' < timestamp '{period}-01' + interval '1 month'";

const ENGINE: [&str; 2] = ["--engine", "server"];

struct Shop {
    server: Server,
    postgres: Postgres,
}

impl Shop {
    fn new() -> Self {
        let postgres = Postgres::start();
        postgres.text(ORDERS);
        let config_xml = format!(
            "<clickhouse><named_collections><shop><host>127.0.0.1</host><port>{}</port><database>postgres</database>
            <user>tester</user><password>secret of the shop</password></shop></named_collections></clickhouse>",
            postgres.port()
        );
        let users_xml = "<clickhouse><users><default><access_management>1</access_management><named_collection_control>1</named_collection_control>
            </default></users></clickhouse>";
        let server = Server::isolated_with(ServerOptions {
            config_xml: Some(config_xml),
            users_xml: Some(users_xml.to_owned()),
            ..ServerOptions::default()
        });
        server.script(TARGET);
        Self { server, postgres }
    }

    fn command_of(&self, command: &str, query: &str) -> Binary {
        let job = format!(
            "name = 'orders'\n[source.postgres]\ncollection = 'shop'\nrange = 'id'\nquery = \"\"\"{query}\"\"\"\n\
             [target]\ntable = 'orders'\npublish = 'replace'\nkeep_versions = 1\n\
             [columns]\nid = 'source.id'\nplaced = 'assumeNotNull(source.placed)'\nfee = 'source.fee'\nprice = 'source.price'\nnote = 'source.note'\npaid = 'source.paid'\ndata = 'source.data'\n"
        );
        let tool = binary().file("job.toml", &job).envs(&self.server.environment());
        tool.env("PARTITION", "2025-10")
            .args(&[command, "--job", "job.toml"])
            .limit(Duration::from_secs(120))
    }

    fn command(&self, command: &str) -> Binary {
        self.command_of(command, QUERY)
    }

    /// A run of ranges of 6,000 rows, one after the other.
    fn run(&self) -> Binary {
        self.command("run").args(&ENGINE).args(&["--chunk-rows", "6000", "--inserters", "1"])
    }

    /// Asserts that both servers count the same of October, each by a statement of its own, and that September is as it
    /// was.
    #[track_caller]
    fn assert_loaded(&self) {
        let of_postgres = self.postgres.text(
            "SELECT count(*), count(id), sum(id), sum(fee), sum(length(price::text)), sum(length(note)), count(*) FILTER (WHERE paid),
             sum((extract(epoch FROM placed) * 1000000)::bigint), count(data) FROM orders
             WHERE placed AT TIME ZONE 'UTC' >= '2025-10-01' AND placed AT TIME ZONE 'UTC' < '2025-11-01'",
        );
        let of_server = self.server.text(
            "SELECT count(), count(id), sum(id), sum(fee), sum(length(price)), sum(length(note)), countIf(paid),
             sum(toInt128(toUnixTimestamp64Micro(placed))), count(data) FROM orders WHERE toYYYYMM(placed) = 202510 FORMAT TSV",
        );
        let digits = |text: &str| {
            let number = |field: &str| {
                let field = field.to_owned();
                if field.contains('.') { field.trim_end_matches('0').to_owned() } else { field }
            };
            text.split(['|', '\t']).map(number).collect::<Vec<_>>()
        };
        assert_eq!(digits(&of_server), digits(&of_postgres));
        assert_eq!(
            self.server.text("SELECT count() FROM orders WHERE toYYYYMM(placed) = 202509"),
            "50"
        );
    }

    fn loads(&self) -> String {
        let sql = "SELECT status, is_current, rows_inserted, chunks_completed FROM load_state FINAL ORDER BY load_version FORMAT TSV";
        self.server.text(sql)
    }
}

#[test]
#[ignore = "slow: starts a PostgreSQL, which must be installed"]
fn rows_are_read_by_ranges_and_published_at_once() {
    let shop = Shop::new();
    let plan = shop
        .command("plan")
        .args(&ENGINE)
        .args(&["--chunk-rows", "6000", "--json", "--measure", "0s"])
        .run()
        .expect(0);
    let shown: serde_json::Value = serde_json::from_str(&plan.stdout).unwrap();
    // The rows without a key are a chunk.
    assert_eq!(shown["source"]["stored_rows"], 20_001, "{plan}");
    assert_eq!(shown["chunks"].as_array().unwrap().len(), 5, "{plan}");
    let run = shop.run().run().expect(0);
    assert!(run.stderr.contains("in a transaction of its own"), "{run}");
    shop.assert_loaded();
    assert!(!run.stderr.contains("secret of the shop"), "{run}");
    // Each range is a condition of PostgreSQL's own.
    let log = shop.postgres.log();
    for range in ["\"id\" <= '", "\"id\" > '", "\"id\" IS NULL"] {
        let pushed = |line: &&str| line.contains(range);
        assert!(log.lines().any(|line| pushed(&line)), "{range}\n{log}");
    }
    // Another period of a query that has none would remove these rows.
    let whole = QUERY.replace("{period}", "2025-10");
    let other = shop.command_of("run", &whole).args(&ENGINE).env("PARTITION", "2025-11").run();
    let other = other.expect(3);
    assert!(other.stderr.contains("has the rows of another load"), "{other}");
    let again = shop.run().run().expect(0);
    assert!(again.stderr.contains("there is nothing to do"), "{again}");
    shop.command("verify").run().expect(0);
    assert_eq!(shop.loads(), "completed\t1\t20001\t5");

    // A row that PostgreSQL changes is found, and the next version has it.
    shop.postgres.text("UPDATE orders SET fee = fee + 1 WHERE id = 3001 * 3 + 1");
    let verify = shop.command("verify").run().expect(4);
    assert!(verify.stdout.contains("fee") || verify.stderr.contains("fee"), "{verify}");
    shop.run().arg("--restart").run().expect(0);
    shop.assert_loaded();
    shop.command("verify").run().expect(0);
    shop.command("rollback").arg("--yes").run().expect(0);
    shop.command("verify").run().expect(4);
}

#[track_caller]
fn refused(tool: Binary, code: i32, words: &[&str]) -> Output {
    let output = tool.run().expect(code);
    for words in words {
        assert!(output.stderr.contains(words), "{words}\n{output}");
    }
    output
}

#[test]
#[ignore = "slow: starts a PostgreSQL, which must be installed"]
fn what_would_arrive_as_another_value_is_refused_with_the_cast() {
    let shop = Shop::new();
    let run = |query: &str| shop.command_of("run", query).args(&ENGINE);
    refused(
        run("SELECT * FROM orders WHERE placed > '{period}-01'"),
        3,
        &[
            "placed is timestamp with time zone",
            "select \"placed\" AT TIME ZONE 'UTC' AS \"placed\"",
            "price is numeric",
            "select \"price\"::text AS \"price\"",
            "tags is text[]",
            "select to_json(\"tags\")::text AS \"tags\"",
        ],
    );
    // A query without rows has types too.
    refused(run("SELECT * FROM orders WHERE false"), 3, &["placed is timestamp with time zone"]);
    let missing =
        refused(run("SELECT id FROM nothing"), 3, &["relation \"nothing\" does not exist"]);
    assert!(!missing.stderr.contains("asked again"), "{missing}");
    refused(
        run("SELECT fee AS a FROM orders"),
        3,
        &["range names id, which is no column of the query"],
    );
    refused(run("SELECT id FROM orders;"), 2, &["ends with a semicolon"]);
    assert_eq!(shop.server.text("SELECT count() FROM orders"), "50");
    refused(shop.command("repair"), 3, &["the job reads no table"]);
    refused(shop.run().args(&["--canary", "1%"]), 3, &["--canary"]);
}

#[test]
#[ignore = "slow: starts a PostgreSQL, which must be installed"]
fn a_killed_run_reads_the_ranges_that_are_left_and_waits_for_postgres() {
    let mut shop = Shop::new();
    let proxy = Proxy::start(shop.server.port());
    let running = held_at(&proxy, "-chunk2-", Direction::ToServer, shop.run());
    let recorded = "SELECT count() FROM load_state_chunks FINAL WHERE status = 'completed'";
    assert!(process::wait_until(SOON, || shop.server.text(recorded) == "1"));
    running.signal("KILL");
    running.wait();
    assert_eq!(shop.server.text("SELECT count() FROM orders WHERE toYYYYMM(placed) = 202510"), "0");
    // Rows that come meanwhile do not move the ranges that were read.
    shop.postgres.text("INSERT INTO orders SELECT -g, '2025-10-05 00:00:00+00', 1, 1 FROM generate_series(1, 6000) AS g");
    shop.postgres.text("DELETE FROM orders WHERE id < 0");
    drop(proxy);

    let proxy = Proxy::start(shop.server.port());
    let summary = tempfile::NamedTempFile::new().unwrap();
    let summary_path = summary.path().to_str().unwrap().to_owned();
    let tool = shop.run().args(&["--max-retries", "100", "--summary-json", &summary_path]);
    let running = held_at(&proxy, "-chunk3-", Direction::ToServer, tool);
    shop.postgres.kill();
    proxy.pass();
    let failing = "SELECT count() FROM system.errors WHERE code IN (1001, 614)";
    assert!(process::wait_until(SOON, || shop.server.text(failing) != "0"));
    shop.postgres.listen();
    let output = running.wait().expect(0);
    let summary: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(summary.path()).unwrap()).unwrap();
    assert_eq!(
        (&summary["chunks_before"], &summary["chunks_now"]),
        (&1.into(), &4.into()),
        "{output}"
    );
    shop.assert_loaded();
    shop.command("verify").run().expect(0);
}
