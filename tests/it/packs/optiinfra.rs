//! The pack `optiinfra`: its tables, its views, its queries against SELECTs of the raw rows.

use crate::support::{Server, binary};

/// Three inserts into each raw table, in which groups repeat; of yesterday, so that no TTL applies.
fn fill(server: &Server, base: &str) {
    for insert in 0..3 {
        for sql in [
            "INSERT INTO cost_metrics_ts SELECT BASE + number % 7200 AS timestamp, toUUID('11111111-1111-1111-1111-11111111111' || toString(number % 2)), \
             ['aws', 'gcp'][number % 3 % 2 + 1], 's' || toString(number % 5), 'i', 't', 'r', number / 8, number % 100, 0, 1 FROM numbers(20000)",
            "INSERT INTO performance_metrics_ts SELECT BASE + number % 7200, toUUID('11111111-1111-1111-1111-11111111111' || toString(number % 2)), \
             toUUID('21111111-1111-1111-1111-111111111111'), ['llm', 'embedding'][number % 3 % 2 + 1], 'm', generateUUIDv4(), 10 + number % 1000, number % 50, number % 100, 1, 2, 3, 4, 7 FROM numbers(20000)",
            "INSERT INTO resource_metrics_ts SELECT BASE + number % 7200, toUUID('11111111-1111-1111-1111-11111111111' || toString(number % 2)), \
             'gpu-' || toString(number % 3), 'a100', 0, number % 101, number % 80, 80, 60, number % 90, 1, 2, 3, 4 FROM numbers(20000)",
            "INSERT INTO quality_metrics_ts SELECT BASE + number % 7200, toUUID('11111111-1111-1111-1111-11111111111' || toString(number % 2)), \
             toUUID('21111111-1111-1111-1111-111111111111'), generateUUIDv4(), 'm' || toString(number % 2), number % 10 / 10, 1, 0.5, number % 20 = 0, 0, number % 7 / 7, 'h', 5 FROM numbers(20000)",
        ] {
            server.query_with(
                &sql.replace("BASE", base),
                &[("insert_deduplication_token", &format!("{insert}"))],
            );
        }
    }
    for table in ["cost", "performance", "resource", "quality"] {
        server.query(&format!("OPTIMIZE TABLE {table}_metrics_hourly FINAL"));
    }
}

fn query(server: &Server, name: &str, parameters: &[&str]) -> String {
    let mut binary = binary().envs(&server.environment()).args(&["query", name, "--format", "TSV"]);
    for parameter in parameters {
        binary = binary.args(&["--param", parameter]);
    }
    binary.run().expect(0).stdout
}

const CUSTOMER: &str = "customer_id=11111111-1111-1111-1111-111111111110";
const SERVICE: &str = "service_id=21111111-1111-1111-1111-111111111111";

#[test]
#[ignore = "slow: about 8 s"]
fn the_pack_is_created_and_every_query_equals_the_raw_rows() {
    let server = Server::shared();
    let apply = || {
        binary()
            .envs(&server.environment())
            .args(&["pack", "apply", "optiinfra"])
            .run()
            .expect(0)
            .stdout
    };
    assert!(apply().contains(": 12 created, 0 as in the pack, 0 different"));
    assert!(apply().contains(": 0 created, 12 as in the pack, 0 different"));
    let day = server.text("SELECT toStartOfDay(now('UTC') - 86400)");
    let base = format!("toDateTime('{day}', 'UTC')");
    fill(&server, &base);
    let (from, to) = (format!("from={day}"), format!("to={}", day.replace(" 00:00", " 01:00")));
    let times = [from.as_str(), to.as_str()];
    let first_hour = &"timestamp >= BASE AND timestamp < BASE + INTERVAL 1 HOUR \
        AND customer_id = '11111111-1111-1111-1111-111111111110'"
        .replace("BASE", &base);

    // Counts, sums and maxima exactly, averages to six digits, percentiles within the 1 % of their sketch.
    let costs = query(&server, "optiinfra/cost-hourly", &[&[CUSTOMER], &times[..]].concat());
    let direct = server.text(&format!(
        "SELECT toStartOfHour(timestamp) AS hour, cloud_provider, service_name, sum(cost_per_hour), avg(utilization_percent), count() \
         FROM cost_metrics_ts WHERE {first_hour} GROUP BY ALL ORDER BY ALL"
    ));
    assert_eq!(costs.trim_end(), direct);
    assert_eq!(costs.lines().count(), 10);

    let found =
        query(&server, "optiinfra/performance-p95", &[&[CUSTOMER, SERVICE], &times[..]].concat());
    let direct = server.text(&format!(
        "SELECT toStartOfHour(timestamp) AS hour, service_type, quantileExact(0.95)(latency_ms), quantileExact(0.99)(latency_ms), \
         avg(latency_ms), avg(throughput_tokens_per_sec), avg(gpu_utilization), count() FROM performance_metrics_ts WHERE {first_hour} GROUP BY ALL ORDER BY ALL"
    ));
    assert_eq!(found.lines().count(), 2);
    for (found, direct) in found.lines().zip(direct.lines()) {
        let (found, direct): (Vec<_>, Vec<_>) =
            (found.split('\t').collect(), direct.split('\t').collect());
        assert_eq!(
            (found[..2].to_vec(), found[4..].to_vec()),
            (direct[..2].to_vec(), direct[4..].to_vec())
        );
        for place in [2, 3] {
            let (found, direct): (f64, f64) =
                (found[place].parse().unwrap(), direct[place].parse().unwrap());
            assert!((found / direct - 1.0).abs() < 0.0101, "{found} for {direct}");
        }
    }

    let found = query(
        &server,
        "optiinfra/resource-utilization",
        &[&[CUSTOMER, "instance_id=gpu-1"], &times[..]].concat(),
    );
    let direct = server.text(&format!(
        "SELECT toStartOfHour(timestamp) AS hour, instance_type, avg(gpu_utilization), max(gpu_utilization), avg(gpu_memory_used_mb), avg(cpu_utilization), count() \
         FROM resource_metrics_ts WHERE {first_hour} AND instance_id = 'gpu-1' GROUP BY ALL ORDER BY ALL"
    ));
    assert_eq!(found.trim_end(), direct);

    let found =
        query(&server, "optiinfra/quality-trends", &[&[CUSTOMER, SERVICE], &times[..]].concat());
    let rounded = |text: &str| -> Vec<String> {
        let cell =
            |cell: &str| cell.parse().map_or(cell.to_owned(), |number: f64| format!("{number:.6}"));
        text.lines().flat_map(|line| line.split('\t')).map(cell).collect()
    };
    let direct = server.text(&format!(
        "SELECT toStartOfHour(timestamp) AS hour, model_name, avg(overall_quality_score), avg(relevance_score), avg(coherence_score), avg(factuality_score), \
         sum(hallucination_detected), count() FROM quality_metrics_ts WHERE {first_hour} GROUP BY ALL ORDER BY ALL"
    ));
    assert_eq!(rounded(&found), rounded(&direct));
    assert!(!direct.is_empty());

    // What the views have made is what the jobs make.
    let partition = day.replace('-', "");
    for job in ["cost", "performance", "resource", "quality"] {
        let run = |command: &str, more: &[&str]| {
            let name = format!("optiinfra/{job}-metrics-hourly");
            let all =
                [command, "--engine", "server", "--partition", &partition[..6], "--job", &name];
            let all: Vec<_> = all
                .into_iter()
                .filter(|word| command != "verify" || !["--engine", "server"].contains(word))
                .collect();
            binary().envs(&server.environment()).args(&all).args(more).run()
        };
        assert!(run("verify", &[]).expect(0).stdout.contains("equal"), "{job}");
        // The view of the pack writes into the partition that is replaced.
        let plan = run("plan", &["--measure", "0s", "--json"]).expect(0);
        let plan: serde_json::Value = serde_json::from_str(&plan.stdout).unwrap();
        let checks = plan["checks"].as_array().unwrap();
        let blocked: Vec<_> = checks.iter().filter(|check| check["verdict"] == "blocked").collect();
        assert!(blocked.is_empty(), "{plan}");
        let view = checks.iter().find(|check| check["name"] == "view-query");
        assert_eq!(view.unwrap()["verdict"], "ok", "{plan}");
    }

    // Every group of every roll-up has the count of its raw rows, after merges as before.
    for (table, keys, counter) in [
        ("cost", "customer_id, cloud_provider, service_name", "sample_count"),
        ("performance", "customer_id, service_id, service_type", "request_count"),
        ("resource", "customer_id, instance_id, instance_type", "sample_count"),
        ("quality", "customer_id, service_id, model_name", "request_count"),
    ] {
        let differing = server.text(&format!(
            "SELECT count(), sum(n) FROM (SELECT hour, {keys}, sum(raw) AS n, sum(rolled) AS m FROM (\
             SELECT toStartOfHour(timestamp) AS hour, {keys}, count() AS raw, 0 AS rolled FROM {table}_metrics_ts GROUP BY ALL \
             UNION ALL SELECT hour, {keys}, 0, sum({counter}) FROM {table}_metrics_hourly GROUP BY ALL) GROUP BY ALL HAVING n != m)"
        ));
        assert_eq!(differing, "0\t0", "{table}");
        assert_eq!(server.text(&format!("SELECT count() FROM {table}_metrics_ts")), "60000");
    }
}

#[test]
fn sizes_partitions_and_freshness_are_of_the_pack_alone() {
    let server = Server::shared();
    binary().envs(&server.environment()).args(&["pack", "apply", "optiinfra"]).run().expect(0);
    server
        .query("CREATE TABLE other_metrics_ts (x Int8) ENGINE = MergeTree ORDER BY x AS SELECT 1");
    assert_eq!(query(&server, "optiinfra/freshness", &[]), "");
    server.query("INSERT INTO cost_metrics_ts (timestamp, customer_id) SELECT now() - 100, generateUUIDv4() FROM numbers(7)");
    let first = |text: &str| text.split('\t').take(3).map(str::to_owned).collect::<Vec<_>>();
    let sizes = query(&server, "optiinfra/table-sizes", &[]);
    let rows: Vec<_> = sizes.lines().map(|line| first(line)[..2].join(" ")).collect();
    assert_eq!(rows, ["cost_metrics_hourly 7", "cost_metrics_ts 7"]);
    let partitions = query(&server, "optiinfra/partitions", &[]);
    let month = server.text("SELECT toYYYYMM(now('UTC') - 100)");
    assert_eq!(first(partitions.lines().last().unwrap()), ["cost_metrics_ts", month.as_str(), "7"]);
    let fresh = query(&server, "optiinfra/freshness", &[]);
    let cells: Vec<_> = fresh.split('\t').collect();
    assert_eq!((fresh.lines().count(), cells[0]), (1, "cost"));
    assert!((100..200).contains(&cells[2].parse::<u64>().unwrap()), "{fresh}");
}
