//! The pack `finops`: deliveries of AWS CUR 2.0 and of FOCUS to known totals, and the queries over them.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::faults::fixture::{SOON, held_at};
use crate::support::{Binary, Direction, Proxy, Server, binary, process};

/// Rows that a delivery has, the sum of their costs, and the number of their tags.
struct Delivery {
    /// Tells the line items of deliveries apart.
    name: &'static str,
    period: &'static str,
    rows: u64,
    cost: &'static str,
    tags: u64,
}

const OCTOBER: Delivery = Delivery {
    name: "first",
    period: "2025-10",
    rows: 60_000,
    cost: "2809269.3131735925",
    tags: 86_283,
};
const OCTOBER_AGAIN: Delivery = Delivery {
    name: "second",
    period: "2025-10",
    rows: 45_000,
    cost: "2120184.7433930701",
    tags: 64_635,
};
const NOVEMBER: Delivery = Delivery {
    name: "first",
    period: "2025-11",
    rows: 40_000,
    cost: "1877348.0176717297",
    tags: 57_734,
};

impl Delivery {
    /// The line items `first` to `first + count`, as an export has them: amounts are Float64, some columns are
    /// left out, one is unknown. The last line item makes the sum what it must be.
    fn items(&self, first: u64, count: u64) -> String {
        let Self { name, period, rows, cost, tags } = self;
        format!(
            "WITH (i -> toInt64(cityHash64(i, '{name}') % 936000000000)) AS price, \
             (SELECT sum(toInt64(cityHash64(number, '{name}') % 936000000000)) FROM numbers({rows} - 1)) AS others, \
             toInt64(toDecimal128('{cost}', 10) * 10000000000) AS total, \
             toDateTime64('{period}-01 00:00:00', 3, 'UTC') AS begin, \
             range(intDiv((number + 1) * {tags}, {rows}) - intDiv(number * {tags}, {rows})) AS tagged \
             SELECT concat('{name}-', toString(number)) AS identity_line_item_id, begin AS bill_billing_period_start_date, \
             '000000000001' AS bill_payer_account_id, leftPad(toString(number % 30), 12, '0') AS line_item_usage_account_id, \
             ['AmazonEC2', 'AmazonS3', 'AWSLambda'][number % 3 + 1] AS line_item_product_code, \
             if(number % 10 = 9, 'DiscountedUsage', 'Usage') AS line_item_line_item_type, \
             begin + toIntervalHour(number % 700) AS line_item_usage_start_date, 'USD' AS line_item_currency_code, \
             (if(number = {rows} - 1, total - assumeNotNull(others), price(number)) / 1e10)::Nullable(Float64) AS line_item_unblended_cost, \
             if(number % 10 = 9, 0.29, NULL) AS reservation_effective_cost, \
             if(number % 2 = 0, 1e-7, NULL) AS line_item_usage_amount, \
             mapFromArrays(arrayMap(i -> ['user_team', 'user_env'][i + 1], tagged), arrayMap(i -> toString(number % 5), tagged)) AS resource_tags, \
             map('region', 'eu-west-1') AS product, if(number % 4 = 0, 12.5, NULL) AS reservation_upfront_value, \
             1 AS line_item_of_the_future FROM numbers({first}, {count})"
        )
    }

    /// Rows, costs and tags, as [`Exports::digest`] has them.
    fn digest(&self) -> String {
        format!("{}\t{}\t{}", self.rows, self.cost, self.tags)
    }
}

/// A folder of exports, and a database with the pack's tables.
struct Exports {
    server: Server,
    folder: TempDir,
}

impl Exports {
    fn new() -> Self {
        let server = Server::shared_here();
        binary().envs(&server.environment()).args(&["pack", "apply", "finops"]).run().expect(0);
        Self { server, folder: TempDir::with_prefix("exports-").unwrap() }
    }

    fn path(&self, period: &str, name: &str) -> PathBuf {
        self.folder.path().join(format!("data/BILLING_PERIOD={period}/{name}"))
    }

    fn write(&self, path: &std::path::Path, format: &str, rows: &str) {
        let path = path.display();
        let sql = format!("INSERT INTO FUNCTION file('{path}', '{format}') {rows}");
        self.server.query_with(&sql, &[("engine_file_truncate_on_insert", "1")]);
    }

    /// Writes an object of CUR.
    fn cur(&self, delivery: &Delivery, name: &str, first: u64, count: u64) {
        let path = self.path(delivery.period, name);
        self.write(&path, "Parquet", &delivery.items(first, count));
    }

    /// Writes the manifest of a delivery, with the addresses that its objects had where it was made.
    fn manifest(&self, delivery: &Delivery, names: &[&str]) {
        let Delivery { name, period, .. } = delivery;
        let folder = format!("BILLING_PERIOD={period}");
        let address = |file: &&str| format!("s3://bucket/exports/cur2/data/{folder}/{file}");
        let files: Vec<_> = names.iter().map(address).collect();
        let manifest = serde_json::json!({ "executionId": name, "dataFiles": files });
        let folder = self.folder.path().join("metadata").join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("cur2-Manifest.json"), manifest.to_string()).unwrap();
    }

    fn command(&self, command: &[&str], period: &str) -> Binary {
        binary()
            .envs(&self.server.environment())
            .env("OBJECTS_ROOT", format!("file:{}/", self.folder.path().display()))
            .env("PARTITION", period)
            .args(command)
    }

    fn run(&self, period: &str) -> Binary {
        self.command(&["run", "--job", "finops/aws-cur2", "--engine", "server"], period)
    }

    fn verify(&self, job: &str, period: &str) {
        self.command(&["verify", "--job", job], period).run().expect(0);
    }

    fn text(&self, sql: &str) -> String {
        self.server.text(&format!("{sql} FORMAT TSV"))
    }

    fn digest(&self, period: &str) -> String {
        self.text(&format!(
            "SELECT count(), sum(line_item_unblended_cost), sum(length(resource_tags)) FROM aws_cur2 \
             WHERE bill_billing_period_start_date = '{period}-01 00:00:00'"
        ))
    }

    fn query(&self, name: &str, parameters: &[&str]) -> String {
        let mut query = binary().envs(&self.server.environment());
        query = query.args(&["query", &format!("finops/{name}"), "--format", "TSV"]);
        for parameter in parameters {
            query = query.args(&["--param", parameter]);
        }
        query.run().expect(0).stdout
    }

    /// The versions of the loads, the newest first: period, version, version id, state, whether it is current, files, rows.
    fn loads(&self) -> String {
        let all = self.query("loads", &[]);
        let columns = |line: &str| {
            let cells: Vec<_> = line.split('\t').collect();
            [1, 2, 3, 5, 6, 7, 8].map(|place| cells[place]).join(" ")
        };
        all.lines().map(columns).collect::<Vec<_>>().join("\n")
    }
}

#[test]
#[ignore = "slow: about 10 s"]
fn a_bill_is_loaded_once_and_replaced_by_its_next_delivery() {
    let exports = Exports::new();
    let october = OCTOBER.period;
    let names =
        ["cur-00001.snappy.parquet", "cur-00002.snappy.parquet", "cur-00003.snappy.parquet"];
    exports.cur(&OCTOBER, names[0], 0, 40_000);
    exports.cur(&OCTOBER, names[1], 40_000, 20_000);
    exports.manifest(&OCTOBER, &names[..2]);
    exports.cur(&NOVEMBER, names[0], 0, 40_000);
    exports.manifest(&NOVEMBER, &names[..1]);
    let run = exports.run(october).run().expect(0);
    assert!(run.stderr.contains("the column line_item_of_the_future of the objects: "), "{run}");
    assert_eq!(exports.digest(october), OCTOBER.digest());
    let exact = "SELECT countIf(reservation_effective_cost = toDecimal128('0.29', 18)), countIf(line_item_usage_amount = toDecimal128('0.0000001', 18)), \
        countIf(other = map('reservation_upfront_value', '12.5')), countIf(length(other) > 1), uniqExact(product) FROM aws_cur2";
    assert_eq!(exports.text(exact), "6000\t30000\t15000\t0\t1");
    let again = exports.run(october).run().expect(0);
    assert!(again.stderr.contains("there is nothing to do"), "{again}");
    exports.run(NOVEMBER.period).run().expect(0);

    // The next delivery of October: one object anew, one is left over, one is new. Its first run is killed before it
    // reads its second object.
    exports.cur(&OCTOBER_AGAIN, names[0], 0, 25_000);
    exports.cur(&OCTOBER_AGAIN, names[2], 25_000, 20_000);
    exports.manifest(&OCTOBER_AGAIN, &[names[2], names[0]]);
    let all = exports.path(october, "*").display().to_string();
    assert_eq!(exports.text(&format!("SELECT count() FROM file('{all}')")), "65000");
    let proxy = Proxy::start(exports.server.port());
    let one = exports.run(october).args(&["--inserters", "1"]);
    let running = held_at(&proxy, "-chunk2-", Direction::ToServer, one);
    // Two objects of October, one of November, and the first one now.
    let recorded = "SELECT count() FROM load_state_chunks FINAL WHERE status = 'completed'";
    assert!(process::wait_until(SOON, || exports.text(recorded) == "4"));
    running.signal("KILL");
    running.wait();
    assert_eq!(exports.digest(october), OCTOBER.digest());
    let run = exports.run(october).run().expect(0);
    assert!(
        run.stderr.contains("period 2025-10, version second: 45,000 rows in 2 objects"),
        "{run}"
    );
    assert!(run.stderr.contains("1 by earlier runs"), "{run}");
    assert_eq!(exports.digest(october), OCTOBER_AGAIN.digest());
    assert_eq!(exports.digest(NOVEMBER.period), NOVEMBER.digest());
    exports.verify("finops/aws-cur2", october);
    let versions = "2025-10 2 second completed 1 2 45000\n2025-11 1 first completed 1 1 40000\n2025-10 1 first completed 0 2 60000";
    assert_eq!(exports.loads(), versions);

    let back = ["rollback", "--job", "finops/aws-cur2", "--yes"];
    exports.command(&back, october).run().expect(0);
    assert_eq!(exports.digest(october), OCTOBER.digest());
}

#[test]
#[ignore = "slow: about 7 s"]
fn queries_equal_the_rows() {
    let exports = Exports::new();
    let october = Delivery { rows: 600, cost: "28092.6931317359", tags: 862, ..OCTOBER };
    let november = Delivery { rows: 400, cost: "18773.4801767172", tags: 577, ..NOVEMBER };
    for delivery in [october, november] {
        exports.cur(&delivery, "cur-00001.snappy.parquet", 0, delivery.rows);
        exports.manifest(&delivery, &["cur-00001.snappy.parquet"]);
        exports.run(delivery.period).run().expect(0);
    }
    let of = ["export=aws-cur2", "from=2025-10-01", "to=2025-11-01"];
    let october = "bill_billing_period_start_date = '2025-10-01 00:00:00'";
    let amortized = "sum(if(line_item_line_item_type = 'DiscountedUsage', reservation_effective_cost, line_item_unblended_cost))";
    for (query, key, order) in [
        ("cost-by-service", "line_item_product_code", "c DESC"),
        ("cost-by-account", "line_item_usage_account_id", "c DESC"),
        ("cost-by-day", "toDate(line_item_usage_start_date)", "k"),
        ("cost-by-tag", "resource_tags['user_team']", "c DESC"),
    ] {
        let tag: &[&str] = if query == "cost-by-tag" { &["tag=user_team"] } else { &[] };
        let found = exports.query(query, &[&of, tag].concat());
        let direct = exports.text(&format!(
            "SELECT {key} AS k, 'USD', sum(line_item_unblended_cost) AS c, {amortized}, count() FROM aws_cur2 \
             WHERE {october} AND line_item_usage_start_date < '2025-11-01 00:00:00' GROUP BY k ORDER BY {order}"
        ));
        assert_eq!(found.trim_end(), direct, "{query}");
        assert!(direct.lines().count() > 2, "{query}: {direct}");
    }
    assert_eq!(
        exports.query("month-over-month", &["export=aws-cur2"]),
        "2025-10-01\tUSD\t28092.6931317359\t\\N\t\\N\t\\N\n\
         2025-11-01\tUSD\t18773.4801767172\t28092.6931317359\t-9319.2129550187\t-33.17\n"
    );
    let movers = ["export=aws-cur2", "month=2025-11-15", "limit=4"];
    let direct = exports.text(
        "SELECT s, a, 'USD', n, o, n - o FROM (SELECT line_item_product_code AS s, line_item_usage_account_id AS a, \
         sumIf(line_item_unblended_cost, toMonth(bill_billing_period_start_date) = 11) AS n, \
         sumIf(line_item_unblended_cost, toMonth(bill_billing_period_start_date) = 10) AS o FROM aws_cur2 GROUP BY s, a) \
         ORDER BY abs(n - o) DESC LIMIT 4",
    );
    assert_eq!(exports.query("top-movers", &movers).trim_end(), direct);
}

/// 20,000 charges in one object, with texts of two lines, columns that are left out, and an unknown one.
const CHARGES: &str = "WITH (i -> toInt64(cityHash64(i, 'charges') % 992000000)) AS price, \
    (SELECT sum(toInt64(cityHash64(number, 'charges') % 992000000)) FROM numbers(19999)) AS others, \
    toDateTime('2025-10-01 00:00:00', 'UTC') + number * 100 AS begin \
    SELECT leftPad(toString(number % 30), 12, '0') AS BillingAccountId, 'USD' AS BillingCurrency, \
    '2025-10-01T00:00:00Z' AS BillingPeriodStart, '2025-11-01T00:00Z' AS BillingPeriodEnd, \
    formatDateTime(begin, '%FT%TZ') AS ChargePeriodStart, formatDateTime(begin + 3600, '%FT%TZ') AS ChargePeriodEnd, 'Usage' AS ChargeCategory, \
    if(number % 1000 = 7, 'two\\nlines, \"quoted\"', 'one line') AS ChargeDescription, \
    toString(if(number = 19999, 9928857052316 - assumeNotNull(others), price(number)) * toDecimal128('0.0000000001', 10)) AS BilledCost, \
    BilledCost AS EffectiveCost, '' AS ListCost, if(number % 2 = 0, 'leftover', '') AS SubAccountId, ['storage', 'compute'][number % 2 + 1] AS ServiceName, \
    toJSONString(map('team', toString(number % 3))) AS Tags, 'PutObject' AS x_Operation, 'x' AS x_OfMine FROM numbers(20000)";

#[test]
fn every_digit_of_charges_arrives() {
    let exports = Exports::new();
    let path = exports.path("2025-10", "focus-00001.csv.gz");
    exports.write(&path, "CSVWithNames", CHARGES);
    let period = "2025-10";
    let root = format!("file:{}", exports.folder.path().display());
    let run = ["run", "--job", "finops/focus", "--engine", "server", "--objects-root", &root];
    let run = exports.command(&run, period).env_remove("OBJECTS_ROOT").run().expect(0);
    // The next command has the flag, once.
    assert_eq!(run.stderr.matches("--objects-root").count(), 1, "{run}");
    assert!(run.stderr.contains("the column x_OfMine of the objects: "), "{run}");
    let found = exports.text(
        "SELECT count(), sum(BilledCost), countIf(ChargeDescription LIKE '%two\\nlines, \"quoted\"'), countIf(BillingAccountId = '000000000025'), \
         sum(ListCost), countIf(Tags['team'] IN ('0', '1', '2')), uniqExact(other), any(other['x_Operation']), min(ChargePeriodStart), any(BillingPeriodEnd) FROM focus",
    );
    let expected = "20000\t992.8857052316\t20\t666\t0\t20000\t1\tPutObject\t2025-10-01 00:00:00\t2025-11-01 00:00:00";
    assert_eq!(found, expected);
    exports.verify("finops/focus", period);
    let of = ["export=focus", "from=2025-10-01", "to=2025-11-01"];
    let accounts = exports.query("cost-by-account", &of);
    let direct = exports.text(
        "SELECT SubAccountId != '' ? SubAccountId : BillingAccountId AS a, 'USD', sum(BilledCost) AS c, sum(EffectiveCost), count() FROM focus GROUP BY a ORDER BY c DESC",
    );
    assert_eq!(accounts.trim_end(), direct);
    assert_eq!(direct.lines().count(), 16);
}

#[test]
fn a_job_without_an_address_of_its_objects_names_the_flag() {
    let exports = Exports::new();
    let run = exports.run("2025-10").env_remove("OBJECTS_ROOT").run().expect(2);
    assert!(run.stderr.contains("set --objects-root or OBJECTS_ROOT"), "{run}");
    let signed = exports.run("2025-10").env("OBJECTS_ROOT", "https://host/x?signature=secret");
    let signed = signed.run().expect(2);
    assert!(signed.stderr.contains("--objects-root is wrong: "), "{signed}");
    assert!(!signed.stderr.contains("secret"), "{signed}");
    let elsewhere = exports.run("2025-10").args(&["--objects-collection", "keys"]).run().expect(2);
    assert!(elsewhere.stderr.contains("which only objects in S3 can have"), "{elsewhere}");
}
