//! The source and the lookup on one server, the target on another: neither has the tables of the
//! other.
// A test fails by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use crate::oracle::fixture::{DECEMBER, Generation, PARTITIONS, assert_filled, number, oracle};
use crate::orders::{JOB, Orders, PARTITION};
use crate::support::shown::titled;
use crate::support::{Binary, Server, ServerOptions, assert_text_snapshot, binary, tables};

/// Two servers with the built-in job's tables, each with those of its own end alone, and the
/// adversarial data.
pub struct Apart {
    pub source: Server,
    pub target: Server,
}

impl Apart {
    pub fn start(generation: Generation) -> Self {
        let (source, target) = (Server::isolated(), Server::isolated());
        for file in
            ["observations.sql", "traces.sql", "dataset_run_items_rmt.sql", "adversarial_data.sql"]
        {
            tables::load(&source, file);
        }
        tables::load(&target, generation.file);
        Self { source, target }
    }

    pub fn tool(&self, command: &str, partition: &str) -> Binary {
        let tool = binary().envs(&self.target.environment()).env("SOURCE_URL", self.source.url());
        tool.args(&[command, "--partition", partition])
    }

    /// Evaluates the oracle where its tables are, and brings its rows to the target's server as the
    /// table `expected`.
    pub fn bring_expected(&self, partition: &str) {
        const SETTINGS: &[(&str, &str)] = &[("join_use_nulls", "0")];
        let sql = oracle(partition);
        let described =
            self.source.query_with(&format!("DESCRIBE ({sql}) FORMAT TSVRaw"), SETTINGS);
        let described = String::from_utf8(described).unwrap();
        let column = |line: &str| {
            let mut fields = line.split('\t');
            format!("`{}` {}", fields.next().unwrap(), fields.next().unwrap())
        };
        let columns: Vec<_> = described.lines().map(column).collect();
        let rows =
            self.source.query_with(&format!("SELECT * FROM ({sql}) FORMAT Native"), SETTINGS);
        self.target.query("DROP TABLE IF EXISTS expected");
        self.target
            .query(&format!("CREATE TABLE expected ({}) ENGINE = Memory", columns.join(", ")));
        self.target.insert("INSERT INTO expected FORMAT Native", &rows);
    }
}

#[test]
#[ignore = "slow: all adversarial data between two servers"]
fn the_built_in_job_fills_the_other_server() {
    let apart = Apart::start(DECEMBER);
    for partition in PARTITIONS {
        let rehearsed = apart.tool("run", partition).arg("--dry-run").run().expect(0);
        assert!(
            rehearsed.stderr.contains("from server") && rehearsed.stderr.contains("to server"),
            "{rehearsed}"
        );
        assert_eq!(
            number(
                &apart.target,
                &format!("SELECT count() FROM events WHERE _partition_id = '{partition}'")
            ),
            0
        );
        apart.tool("run", partition).args(&["--show-rows", "1"]).run().expect(0);
        apart.bring_expected(partition);
        assert_filled(&apart.target, "events", partition, "SELECT * FROM expected");
    }
    // An exclusion names a table of the source's server.
    apart
        .tool("run", PARTITIONS[0])
        .args(&["--exclude-dataset-items", "--dry-run"])
        .run()
        .expect(0);
    let (source, target) = (apart.source.url(), apart.target.url());
    let plan = apart.tool("plan", PARTITIONS[0]).run().expect(0).stdout;
    assert!(
        plan.contains(&format!("from server {source}/ (ClickHouse "))
            && plan.contains(&format!("to server   {target}/")),
        "{plan}"
    );
    let sql = apart.tool("plan", PARTITIONS[0]).arg("--sql").run().expect(0).stdout;
    for title in [
        "-- lookup query, where the source is",
        "-- insert of a batch, where the target is",
        "-- equivalent join, where the source is",
    ] {
        assert!(sql.contains(title), "{title}\n{sql}");
    }
}

#[test]
#[ignore = "slow: all adversarial data between two servers"]
fn the_other_server_is_compared_and_mended() {
    let apart = Apart::start(DECEMBER);
    let partition = PARTITIONS[0];
    apart.tool("run", partition).run().expect(0);
    let output = apart.tool("verify", partition).run().expect(0);
    assert!(
        output.stdout.contains("equal: the target has the rows that the job makes"),
        "{output}"
    );
    for (replace, row) in [("'spoilt' AS name", 1), ("'too many' AS span_id", 2)] {
        let row = format!(
            "SELECT * FROM events FINAL WHERE _partition_id = '{partition}' AND span_id = 'null-observation-{row}'"
        );
        apart
            .target
            .query(&format!("INSERT INTO events SELECT * REPLACE ({replace}) FROM ({row})"));
    }
    let output = apart.tool("verify", partition).arg("--json").run().expect(4);
    let found: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{output}");
    let spoilt =
        rows.iter().find(|row| row["key"]["span_id"] == "null-observation-1").expect("it is named");
    assert_eq!(
        (&spoilt["columns"], &spoilt["values"][0]["found"]["text"]),
        (&["name"][..].into(), &"spoilt".into()),
        "{output}"
    );
    let output = apart.tool("repair", partition).arg("--remove").run().expect(0);
    assert!(output.stderr.contains("removed 1 row, "), "{output}");
    apart.bring_expected(partition);
    assert_filled(&apart.target, "events", partition, "SELECT * FROM expected");
    let unknown = "SELECT count() FROM system.errors WHERE name IN ('UNKNOWN_TABLE', 'UNKNOWN_IDENTIFIER') AND last_error_message LIKE '%default.events%'";
    assert_eq!(
        number(&apart.source, unknown),
        0,
        "the source's server was asked for the target's tables"
    );
}

/// The profile of `traveller` would move dates.
fn users() -> String {
    let user = |name: &str, password: &str, profile: &str| {
        format!(
            "<{name}><password>{password}</password><networks><ip>::/0</ip></networks><profile>{profile}</profile><quota>default</quota></{name}>"
        )
    };
    format!(
        "<clickhouse><profiles><default/><east><session_timezone>Asia/Tokyo</session_timezone></east></profiles><users>{}{}{}</users></clickhouse>",
        user("reader", "reading", "default"),
        user("traveller", "reading", "east"),
        user("writer", "writing", "default")
    )
}

/// Orders on a server that lets a reader in by password, in a database of another name; shipments
/// on a server of their own.
pub fn orders_apart() -> (Orders, Server) {
    let source = Orders::on(
        Server::isolated_with(ServerOptions { users_xml: Some(users()), ..Default::default() }),
        3_000,
    );
    source.server.script(
        "CREATE DATABASE `the shop's`\n--;;\nRENAME TABLE orders TO `the shop's`.orders, customers TO `the shop's`.customers\n--;;\n\
         INSERT INTO `the shop's`.orders SELECT number + 1000000, 'o\\'clock \\\\ `x`', toDateTime('2025-06-02', 'UTC'), number, 1, 0, 'it''s \\'quoted\\'' FROM numbers(10)\n--;;\n\
         INSERT INTO `the shop's`.customers VALUES ('o\\'clock \\\\ `x`', 'L\\'Aquila', [], 1, 0, '\\0')",
    );
    let target = Server::isolated();
    let create = source.server.text("SHOW CREATE TABLE shipments FORMAT TSVRaw");
    target.query(&create);
    source.server.query("DROP TABLE shipments SYNC");
    (source, target)
}

pub fn tool(source: &Orders, target: &Server) -> Binary {
    let tool = binary()
        .file("job.toml", &job())
        .envs(&target.environment())
        .env("PARTITION", PARTITION)
        .env("SOURCE_URL", source.server.url());
    tool.env("SOURCE_USER", "reader")
        .env("SOURCE_PASSWORD", "reading")
        .env("SOURCE_DB", "the shop's")
}

#[test]
fn another_user_another_database_and_quotes_in_keys() {
    let (source, target) = orders_apart();
    tool(&source, &target)
        .args(&["run", "--job", "job.toml", "--batch-size", "500"])
        .run()
        .expect(0);
    assert_filled_with_orders(&source, &target);
}

/// The job of orders, with the zone of the session in its notes.
fn job() -> String {
    JOB.replace("concat(source.note,", "concat(toString(toDateTime(0)), source.note,")
}

/// Compares the shipments with the join, both on the source's server.
pub fn assert_filled_with_orders(source: &Orders, target: &Server) {
    let rows = target.query("SELECT * FROM shipments FINAL ORDER BY customer, order_id FORMAT RowBinaryWithNamesAndTypes");
    source.server.query(
        "CREATE TABLE found (order_id UInt64, customer String, placed DateTime64(3, 'UTC'), amount Decimal(18, 2), note String, tags Array(String),
            letter String, version UInt32) ENGINE = Memory",
    );
    source.server.insert("INSERT INTO found FORMAT RowBinaryWithNamesAndTypes", &rows);
    source.server.query(
        "INSERT INTO expected SELECT o.id, o.customer, o.placed, o.amount * 2, concat(toString(toDateTime(0)), o.note, ' to ', coalesce(c.city, 'nowhere')), c.tags, c.letter, o.version
        FROM (SELECT * FROM `the shop's`.orders FINAL) AS o LEFT ANY JOIN (SELECT * FROM `the shop's`.customers FINAL) AS c ON o.customer = c.id
        SETTINGS join_use_nulls = 0",
    );
    let figures = source.server.text(
        "SELECT (SELECT countIf(note LIKE '%L\\'Aquila') FROM found), (SELECT count() FROM found) = (SELECT count() FROM expected),
            (SELECT count() FROM (SELECT * FROM found EXCEPT SELECT * FROM expected)), (SELECT count() FROM (SELECT * FROM expected EXCEPT SELECT * FROM found))",
    );
    assert_eq!(figures, "10\t1\t0\t0", "quoted rows, as many rows, rows too many, rows missing");
}

#[test]
fn what_is_wrong_with_the_sources_server_is_said_of_it() {
    let (source, target) = orders_apart();
    let fails = |tool: Binary| {
        let output = tool.args(&["run", "--job", "job.toml"]).run();
        assert!(!output.stderr.contains("reading"), "the password\n{output}");
        output.failure()
    };
    let with = |name: &str, value: &str| {
        let tool = tool(&source, &target).env(name, value).env("OUTAGE_WAIT", "0");
        (format!("{name}={value}"), fails(tool))
    };
    assert_text_snapshot!(titled([
        with("SOURCE_URL", "http://127.0.0.1:1"),
        with("SOURCE_URL", "nonsense"),
        with("SOURCE_PASSWORD", "x"),
        with("SOURCE_DB", "nowhere"),
        with("SOURCE_DB", "default"),
        with("SOURCE_PASSWORD_FILE", "x"),
        with("CLICKHOUSE_URL", "http://127.0.0.1:1"),
    ]), @"
    # SOURCE_URL=http://127.0.0.1:1
    exit code 2
    error: cannot use the source's server
      because: the connection to http://127.0.0.1:1/ failed: [WORDS OF THE SYSTEM]
    hint: set --source-url or SOURCE_URL to the server's HTTP interface; its port is 8123 by default, 8443 for https

    # SOURCE_URL=nonsense
    exit code 2
    error: cannot use the source's server
      because: the ClickHouse URL has no scheme
    hint: --source-url http://nonsense:8123

    # SOURCE_PASSWORD=x
    exit code 2
    error: cannot use the source's server
      because: Code: 516. [WORDS OF THE SERVER] (AUTHENTICATION_FAILED)
    hint: set SOURCE_USER, and SOURCE_PASSWORD or --source-password-file
    hint: in .env, a password with $ or # needs single quotes

    # SOURCE_DB=nowhere
    exit code 2
    error: cannot use the source's server
      because: Code: 81. [WORDS OF THE SERVER] (UNKNOWN_DATABASE)
    hint: set --source-db or SOURCE_DB to the database of the tables

    # SOURCE_DB=default
    exit code 3
    error: the source table default.orders does not exist, or the user has no right to see it
    hint: --clickhouse-db names the database of the tables, --source-db that of source and lookup
    hint: the user needs SELECT ON default.orders

    # SOURCE_PASSWORD_FILE=x
    exit code 2
    error: SOURCE_PASSWORD and SOURCE_PASSWORD_FILE are both given; give one of them

    # CLICKHOUSE_URL=http://127.0.0.1:1
    exit code 2
    error: the connection to http://127.0.0.1:1/ failed: [WORDS OF THE SYSTEM]
    hint: set --clickhouse-url or CLICKHOUSE_URL to the server's HTTP interface; its port is 8123 by default, 8443 for https
    ");
    // The user and the password of the target's server are not for another one.
    let named = tool(&source, &target)
        .env("CLICKHOUSE_USER", "default")
        .env("SOURCE_USER", "")
        .env("SOURCE_PASSWORD", "");
    named.args(&["run", "--job", "job.toml", "--dry-run"]).run().expect(0);
    let same = tool(&source, &target)
        .env("CLICKHOUSE_URL", source.server.url())
        .env("CLICKHOUSE_USER", "reader")
        .env("CLICKHOUSE_PASSWORD", "reading");
    let same = same.env("SOURCE_USER", "writer").env("SOURCE_PASSWORD", "").env("SOURCE_URL", "");
    assert_text_snapshot!(fails(same), @"
    exit code 2
    error: cannot use the source's server
      because: Code: 516. [WORDS OF THE SERVER] (AUTHENTICATION_FAILED)
    hint: set SOURCE_USER, and SOURCE_PASSWORD or --source-password-file
    hint: in .env, a password with $ or # needs single quotes
    ");
}

#[test]
#[ignore = "slow: about 7 s"]
fn rows_with_quotes_in_their_keys_are_compared_and_mended() {
    let (source, target) = orders_apart();
    let tool =
        |arguments: &[&str]| tool(&source, &target).args(arguments).args(&["--job", "job.toml"]);
    tool(&["run"]).run().expect(0);
    tool(&["verify"]).run().expect(0);
    let filled =
        target.query("SELECT * FROM shipments FINAL ORDER BY customer, order_id FORMAT RowBinary");
    target.script(
        "ALTER TABLE shipments UPDATE letter = 'x' WHERE customer LIKE '%clock%' AND order_id = 1000003 SETTINGS mutations_sync = 2
         --;;
         INSERT INTO shipments SELECT * REPLACE (7 AS order_id) FROM shipments WHERE customer LIKE '%clock%' LIMIT 1",
    );
    let output = tool(&["verify"]).run().expect(4);
    for part in [
        "customer='o\'clock \\ `x`' order_id=1000003  in letter",
        "customer='o\'clock \\ `x`' order_id=7",
    ] {
        assert!(output.stdout.contains(part), "{part}\n{output}");
    }
    tool(&["repair", "--remove"]).run().expect(0);
    assert!(
        target.query("SELECT * FROM shipments FINAL ORDER BY customer, order_id FORMAT RowBinary")
            == filled
    );
}
