//! Four tables of raw metrics, their hourly roll-ups with the views that keep them, and a job for each.
// A test fails by a panic. No test uses all of the helpers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, dead_code)]

use crate::support::{Binary, Server, binary};

/// The month that tests fill.
pub const PARTITION: &str = "202610";

/// A roll-up: raw table, hourly table, job.
pub struct Rollup {
    pub raw: &'static str,
    pub hourly: &'static str,
    /// The columns of the raw table.
    pub raw_columns: &'static str,
    pub raw_key: &'static str,
    /// The columns of the hourly table and the rest of its definition.
    pub hourly_definition: &'static str,
    /// The SELECT of the view, without FROM.
    pub view: &'static str,
    /// Values of a raw row of `numbers()`, without the time.
    pub values: &'static str,
    /// The keys and the aggregates of the job.
    pub job: &'static str,
    /// The keys, then SQL over the hourly table for the values that people read.
    pub keys: &'static str,
    pub read: &'static [&'static str],
    /// The same values over the raw table.
    pub direct: &'static [&'static str],
}

/// Hours with a customer for each of some minutes.
pub const ROLLUPS: [Rollup; 4] = [COST, PERFORMANCE, RESOURCE, QUALITY];

pub const COST: Rollup = Rollup {
    raw: "cost_metrics_ts",
    hourly: "cost_metrics_hourly",
    raw_columns: "timestamp DateTime('UTC'), customer_id UUID, cloud_provider String, service_name String, instance_id String, instance_type String, region String,
        cost_per_hour Float64, utilization_percent Float32, is_spot UInt8, is_reserved UInt8",
    raw_key: "customer_id, cloud_provider, timestamp",
    hourly_definition: "(hour DateTime('UTC'), customer_id UUID, cloud_provider String, service_name String,
        total_cost SimpleAggregateFunction(sum, Float64), avg_utilization AggregateFunction(avg, Float32), sample_count SimpleAggregateFunction(sum, UInt64))
        ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(hour) ORDER BY (customer_id, cloud_provider, service_name, hour)",
    view: "toStartOfHour(timestamp) AS hour, customer_id, cloud_provider, service_name, sum(cost_per_hour) AS total_cost,
        avgState(utilization_percent) AS avg_utilization, count() AS sample_count",
    values: "toUUID(concat('00000000-0000-0000-0000-00000000000', toString(r % 7))), ['aws', 'gcp', 'azure'][r % 3 + 1], concat('service ', toString(r % 5)),
        concat('i-', toString(r % 20)), 'large', 'eu', (r % 1000) / 7, r % 101, r % 2, r % 3 = 0",
    job: r#"[group]
hour = "toStartOfHour(source.timestamp)"
customer_id = "source.customer_id"
cloud_provider = "source.cloud_provider"
service_name = "source.service_name"

[columns]
total_cost = "sum(source.cost_per_hour)"
avg_utilization = "avgState(source.utilization_percent)"
sample_count = "count()"
"#,
    keys: "hour, customer_id, cloud_provider, service_name",
    read: &["sum(sample_count)", "sum(total_cost)", "avgMerge(avg_utilization)"],
    direct: &["count()", "sum(cost_per_hour)", "avg(utilization_percent)"],
};

pub const PERFORMANCE: Rollup = Rollup {
    raw: "performance_metrics_ts",
    hourly: "performance_metrics_hourly",
    raw_columns: "timestamp DateTime('UTC'), customer_id UUID, service_id UUID, service_type String, model_name String, request_id UUID, latency_ms Float32,
        throughput_tokens_per_sec Float32, gpu_utilization Float32, kv_cache_utilization Float32, batch_size UInt32, prompt_tokens UInt32, completion_tokens UInt32,
        total_tokens UInt32",
    raw_key: "customer_id, service_id, timestamp",
    hourly_definition: "(hour DateTime('UTC'), customer_id UUID, service_id UUID, service_type String, avg_latency AggregateFunction(avg, Float32),
        p95_latency AggregateFunction(quantile(0.95), Float32), p99_latency AggregateFunction(quantile(0.99), Float32),
        avg_throughput AggregateFunction(avg, Float32), avg_gpu_util AggregateFunction(avg, Float32), request_count SimpleAggregateFunction(sum, UInt64))
        ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(hour) ORDER BY (customer_id, service_id, service_type, hour)",
    view: "toStartOfHour(timestamp) AS hour, customer_id, service_id, service_type, avgState(latency_ms) AS avg_latency,
        quantileState(0.95)(latency_ms) AS p95_latency, quantileState(0.99)(latency_ms) AS p99_latency,
        avgState(throughput_tokens_per_sec) AS avg_throughput, avgState(gpu_utilization) AS avg_gpu_util, count() AS request_count",
    values: "toUUID(concat('00000000-0000-0000-0000-00000000000', toString(r % 7))), toUUID(concat('00000000-0000-0000-0000-0000000000', toString(10 + r % 11))),
        ['chat', 'batch'][r % 2 + 1], 'm', generateUUIDv4(), (r * 7919) % 5000, r % 300, r % 100, r % 100, r % 8, r % 900, r % 700, r % 1600",
    job: r#"[group]
hour = "toStartOfHour(source.timestamp)"
customer_id = "source.customer_id"
service_id = "source.service_id"
service_type = "source.service_type"

[columns]
avg_latency = "avgState(source.latency_ms)"
p95_latency = "quantileState(0.95)(source.latency_ms)"
p99_latency = "quantileState(0.99)(source.latency_ms)"
avg_throughput = "avgState(source.throughput_tokens_per_sec)"
avg_gpu_util = "avgState(source.gpu_utilization)"
request_count = "count()"
"#,
    keys: "hour, customer_id, service_id, service_type",
    read: &[
        "sum(request_count)",
        "avgMerge(avg_latency)",
        "quantileMerge(0.95)(p95_latency)",
        "quantileMerge(0.99)(p99_latency)",
        "avgMerge(avg_throughput)",
        "avgMerge(avg_gpu_util)",
    ],
    direct: &[
        "count()",
        "avg(latency_ms)",
        "quantile(0.95)(latency_ms)",
        "quantile(0.99)(latency_ms)",
        "avg(throughput_tokens_per_sec)",
        "avg(gpu_utilization)",
    ],
};

pub const RESOURCE: Rollup = Rollup {
    raw: "resource_metrics_ts",
    hourly: "resource_metrics_hourly",
    raw_columns: "timestamp DateTime('UTC'), customer_id UUID, instance_id String, instance_type String, gpu_index UInt8, gpu_utilization Float32,
        gpu_memory_used_mb Float32, gpu_memory_total_mb Float32, gpu_temperature Float32, cpu_utilization Float32, memory_used_gb Float32, memory_total_gb Float32,
        network_rx_mbps Float32, network_tx_mbps Float32",
    raw_key: "customer_id, instance_id, timestamp",
    hourly_definition: "(hour DateTime('UTC'), customer_id UUID, instance_id String, instance_type String, avg_gpu_util AggregateFunction(avg, Float32),
        max_gpu_util AggregateFunction(max, Float32), avg_gpu_memory AggregateFunction(avg, Float32), avg_cpu_util AggregateFunction(avg, Float32),
        sample_count SimpleAggregateFunction(sum, UInt64))
        ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(hour) ORDER BY (customer_id, instance_id, instance_type, hour)",
    view: "toStartOfHour(timestamp) AS hour, customer_id, instance_id, instance_type, avgState(gpu_utilization) AS avg_gpu_util,
        maxState(gpu_utilization) AS max_gpu_util, avgState(gpu_memory_used_mb) AS avg_gpu_memory, avgState(cpu_utilization) AS avg_cpu_util, count() AS sample_count",
    values: "toUUID(concat('00000000-0000-0000-0000-00000000000', toString(r % 7))), concat('i-', toString(r % 13)), ['small', 'large'][r % 2 + 1], r % 4,
        r % 100, r % 40000, 40000, r % 80, (r * 31) % 100, r % 64, 64, r % 900, r % 800",
    job: r#"[group]
hour = "toStartOfHour(source.timestamp)"
customer_id = "source.customer_id"
instance_id = "source.instance_id"
instance_type = "source.instance_type"

[columns]
avg_gpu_util = "avgState(source.gpu_utilization)"
max_gpu_util = "maxState(source.gpu_utilization)"
avg_gpu_memory = "avgState(source.gpu_memory_used_mb)"
avg_cpu_util = "avgState(source.cpu_utilization)"
sample_count = "count()"
"#,
    keys: "hour, customer_id, instance_id, instance_type",
    read: &[
        "sum(sample_count)",
        "avgMerge(avg_gpu_util)",
        "maxMerge(max_gpu_util)",
        "avgMerge(avg_gpu_memory)",
        "avgMerge(avg_cpu_util)",
    ],
    direct: &[
        "count()",
        "avg(gpu_utilization)",
        "max(gpu_utilization)",
        "avg(gpu_memory_used_mb)",
        "avg(cpu_utilization)",
    ],
};

pub const QUALITY: Rollup = Rollup {
    raw: "quality_metrics_ts",
    hourly: "quality_metrics_hourly",
    raw_columns: "timestamp DateTime('UTC'), customer_id UUID, service_id UUID, request_id UUID, model_name String, relevance_score Float32, coherence_score Float32,
        factuality_score Float32, hallucination_detected UInt8, toxicity_score Float32, overall_quality_score Float32, prompt_hash String, latency_ms UInt32",
    raw_key: "customer_id, service_id, timestamp",
    hourly_definition: "(hour DateTime('UTC'), customer_id UUID, service_id UUID, model_name String, avg_quality AggregateFunction(avg, Float32),
        avg_relevance AggregateFunction(avg, Float32), avg_coherence AggregateFunction(avg, Float32), avg_factuality AggregateFunction(avg, Float32),
        hallucination_count SimpleAggregateFunction(sum, UInt64), request_count SimpleAggregateFunction(sum, UInt64))
        ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(hour) ORDER BY (customer_id, service_id, model_name, hour)",
    view: "toStartOfHour(timestamp) AS hour, customer_id, service_id, model_name, avgState(overall_quality_score) AS avg_quality,
        avgState(relevance_score) AS avg_relevance, avgState(coherence_score) AS avg_coherence, avgState(factuality_score) AS avg_factuality,
        sum(hallucination_detected) AS hallucination_count, count() AS request_count",
    values: "toUUID(concat('00000000-0000-0000-0000-00000000000', toString(r % 7))), toUUID(concat('00000000-0000-0000-0000-0000000000', toString(10 + r % 11))),
        generateUUIDv4(), ['small', 'large'][r % 2 + 1], (r % 97) / 97, (r % 89) / 89, (r % 83) / 83, r % 5 = 0, (r % 79) / 79, (r % 73) / 73, 'h', r % 4000",
    job: r#"[group]
hour = "toStartOfHour(source.timestamp)"
customer_id = "source.customer_id"
service_id = "source.service_id"
model_name = "source.model_name"

[columns]
avg_quality = "avgState(source.overall_quality_score)"
avg_relevance = "avgState(source.relevance_score)"
avg_coherence = "avgState(source.coherence_score)"
avg_factuality = "avgState(source.factuality_score)"
hallucination_count = "sum(source.hallucination_detected)"
request_count = "count()"
"#,
    keys: "hour, customer_id, service_id, model_name",
    read: &[
        "sum(request_count)",
        "sum(hallucination_count)",
        "avgMerge(avg_quality)",
        "avgMerge(avg_relevance)",
        "avgMerge(avg_coherence)",
        "avgMerge(avg_factuality)",
    ],
    direct: &[
        "count()",
        "sum(hallucination_detected)",
        "avg(overall_quality_score)",
        "avg(relevance_score)",
        "avg(coherence_score)",
        "avg(factuality_score)",
    ],
};

impl Rollup {
    /// The raw table, with granules of 64 rows so that few rows make several chunks.
    pub fn create_raw(&self, server: &Server) {
        let Self { raw, raw_columns, raw_key, .. } = self;
        server.query(&format!(
            "CREATE TABLE {raw} ({raw_columns}) ENGINE = MergeTree PARTITION BY toYYYYMM(timestamp) ORDER BY ({raw_key}) SETTINGS index_granularity = 64"
        ));
    }

    pub fn create_hourly(&self, server: &Server) {
        let Self { hourly, hourly_definition, .. } = self;
        server.query(&format!("CREATE TABLE {hourly} {hourly_definition}"));
    }

    /// The same, partitioned by day.
    pub fn create_hourly_by_day(&self, server: &Server) {
        let Self { hourly, hourly_definition, .. } = self;
        let definition = hourly_definition.replace("toYYYYMM(hour)", "toYYYYMMDD(hour)");
        server.query(&format!("CREATE TABLE {hourly} {definition}"));
    }

    /// The view, which keeps the old name of the roll-up.
    pub fn create_view(&self, server: &Server) {
        let Self { hourly, .. } = self;
        let select = self.view_select();
        server.query(&format!("CREATE MATERIALIZED VIEW {hourly}_mv TO {hourly} AS {select}"));
    }

    fn view_select(&self) -> String {
        let Self { raw, view, keys, .. } = self;
        format!("SELECT {view} FROM {raw} GROUP BY {keys}")
    }

    /// Rows of October and a few of September, in several inserts.
    pub fn insert(&self, server: &Server, inserts: u64, rows: u64) {
        let Self { raw, values, .. } = self;
        for insert in 0..inserts {
            let first = insert * rows;
            server.query(&format!(
                "INSERT INTO {raw} SELECT toDateTime('2026-10-01 00:00:00', 'UTC') + (r * 997) % 172800, {values}
                FROM (SELECT number + {first} AS r FROM numbers({rows}))"
            ));
        }
        server.query(&format!(
            "INSERT INTO {raw} SELECT toDateTime('2026-09-30 20:00:00', 'UTC') + r, {values} FROM (SELECT number AS r FROM numbers(100))"
        ));
    }

    /// Inserts rows of this month, as a live writer does.
    pub fn write(&self, server: &Server, month: u32, rows: u64) -> Result<Vec<u8>, String> {
        server.try_query(&self.insert_of(month, rows))
    }

    /// An insert of rows of this month.
    pub fn insert_of(&self, month: u32, rows: u64) -> String {
        let Self { raw, values, .. } = self;
        format!(
            "INSERT INTO {raw} SELECT toDateTime('2026-{month:02}-03 00:00:00', 'UTC') + (r * 997) % 172800, {values}
            FROM (SELECT number AS r FROM numbers({rows}))"
        )
    }

    /// The job, as a file.
    pub fn job_file(&self) -> String {
        self.job_into(self.hourly)
    }

    /// The same with another target.
    pub fn job_into(&self, target: &str) -> String {
        let Self { raw, hourly, job, .. } = self;
        format!(
            "name = \"{hourly}\"\n\n[source]\ntable = \"{raw}\"\n\n[target]\ntable = \"{target}\"\npublish = \"replace\"\n\n{job}"
        )
    }

    /// The differences between the roll-up and the raw rows of the month, written by hand: groups on one
    /// side alone, groups with another count, groups with another value beyond 1e-9.
    pub fn differences(&self, server: &Server) -> [u64; 3] {
        let Self { raw, hourly, keys, read, direct, view, .. } = self;
        let hour = view.split(" AS hour").next().unwrap();
        let names = |values: &[&str]| {
            let named: Vec<_> =
                values.iter().enumerate().map(|(n, value)| format!("{value} AS v{n}")).collect();
            named.join(", ")
        };
        let (ours, theirs) = (names(read), names(direct));
        let other_value: Vec<_> = (1..read.len())
            .map(|n| {
                format!(
                    "abs(anyIf(v{n}, side = 1) - anyIf(v{n}, side = 2)) > 1e-9 * greatest(abs(anyIf(v{n}, side = 1)), abs(anyIf(v{n}, side = 2)))"
                )
            })
            .collect();
        let answer = server.text(&format!(
            "SELECT countIf(sides = 1), countIf(sides = 2 AND other_count), countIf(sides = 2 AND other_value) FROM (
                SELECT uniqExact(side) AS sides, anyIf(v0, side = 1) != anyIf(v0, side = 2) AS other_count, {} AS other_value
                FROM (
                    SELECT 1 AS side, {keys}, {ours} FROM {hourly} WHERE toYYYYMM(hour) = {PARTITION} GROUP BY {keys}
                    UNION ALL
                    SELECT 2 AS side, {keys}, {theirs} FROM (SELECT {hour} AS hour, * FROM {raw} WHERE toYYYYMM(timestamp) = {PARTITION}) GROUP BY {keys}
                ) GROUP BY {keys}
            ) FORMAT TSV",
            other_value.join(" OR ")
        ));
        let numbers: Vec<_> = answer.split('\t').map(|number| number.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    }
}

/// A command of the tool with a job and the month.
pub fn tool(server: &Server, command: &str, job: &str) -> Binary {
    let tool = binary().file("job.toml", job).envs(&server.environment());
    tool.args(&[command, "--job", "job.toml", "--partition", PARTITION])
}

/// `plan` by the server engine, in chunks of about 500 rows, without a measurement.
pub fn plan(server: &Server, job: &str) -> Binary {
    by_the_server(tool(server, "plan", job)).args(&["--measure", "0s"])
}

/// A command by the server engine, in chunks of about 500 rows.
pub fn by_the_server(tool: Binary) -> Binary {
    tool.args(&["--engine", "server", "--chunk-rows", "500"])
}
