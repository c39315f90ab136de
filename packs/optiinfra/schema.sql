-- Raw metrics, as they arrive. Times are UTC, so that an hour lies in one month in every time zone of the server.
-- The deduplication window lets a repeated insert of a block with the same token count once.

CREATE TABLE IF NOT EXISTS cost_metrics_ts
(
    timestamp DateTime('UTC'),
    customer_id UUID,
    cloud_provider String,
    service_name String,
    instance_id String,
    instance_type String,
    region String,
    cost_per_hour Float64,
    utilization_percent Float32,
    is_spot UInt8,
    is_reserved UInt8
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (customer_id, cloud_provider, timestamp)
TTL timestamp + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS performance_metrics_ts
(
    timestamp DateTime('UTC'),
    customer_id UUID,
    service_id UUID,
    service_type String,
    model_name String,
    request_id UUID,
    latency_ms Float32,
    throughput_tokens_per_sec Float32,
    gpu_utilization Float32,
    kv_cache_utilization Float32,
    batch_size UInt32,
    prompt_tokens UInt32,
    completion_tokens UInt32,
    total_tokens UInt32
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (customer_id, service_id, timestamp)
TTL timestamp + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS resource_metrics_ts
(
    timestamp DateTime('UTC'),
    customer_id UUID,
    instance_id String,
    instance_type String,
    gpu_index UInt8,
    gpu_utilization Float32,
    gpu_memory_used_mb Float32,
    gpu_memory_total_mb Float32,
    gpu_temperature Float32,
    cpu_utilization Float32,
    memory_used_gb Float32,
    memory_total_gb Float32,
    network_rx_mbps Float32,
    network_tx_mbps Float32
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (customer_id, instance_id, timestamp)
TTL timestamp + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS quality_metrics_ts
(
    timestamp DateTime('UTC'),
    customer_id UUID,
    service_id UUID,
    request_id UUID,
    model_name String,
    relevance_score Float32,
    coherence_score Float32,
    factuality_score Float32,
    hallucination_detected UInt8,
    toxicity_score Float32,
    overall_quality_score Float32,
    prompt_hash String,
    latency_ms UInt32
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (customer_id, service_id, timestamp)
TTL timestamp + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000;

-- Roll-ups by the hour. They have no TTL: they outlive the raw rows.

CREATE TABLE IF NOT EXISTS cost_metrics_hourly
(
    hour DateTime('UTC'),
    customer_id UUID,
    cloud_provider String,
    service_name String,
    total_cost SimpleAggregateFunction(sum, Float64),
    avg_utilization AggregateFunction(avg, Float32),
    sample_count SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (customer_id, cloud_provider, service_name, hour)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS performance_metrics_hourly
(
    hour DateTime('UTC'),
    customer_id UUID,
    service_id UUID,
    service_type String,
    avg_latency AggregateFunction(avg, Float32),
    p95_latency AggregateFunction(quantileDD(0.01, 0.95), Float32),
    p99_latency AggregateFunction(quantileDD(0.01, 0.99), Float32),
    avg_throughput AggregateFunction(avg, Float32),
    avg_gpu_util AggregateFunction(avg, Float32),
    request_count SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (customer_id, service_id, service_type, hour)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS resource_metrics_hourly
(
    hour DateTime('UTC'),
    customer_id UUID,
    instance_id String,
    instance_type String,
    avg_gpu_util AggregateFunction(avg, Float32),
    max_gpu_util AggregateFunction(max, Float32),
    avg_gpu_memory AggregateFunction(avg, Float32),
    avg_cpu_util AggregateFunction(avg, Float32),
    sample_count SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (customer_id, instance_id, instance_type, hour)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS quality_metrics_hourly
(
    hour DateTime('UTC'),
    customer_id UUID,
    service_id UUID,
    model_name String,
    avg_quality AggregateFunction(avg, Float32),
    avg_relevance AggregateFunction(avg, Float32),
    avg_coherence AggregateFunction(avg, Float32),
    avg_factuality AggregateFunction(avg, Float32),
    hallucination_count SimpleAggregateFunction(sum, UInt64),
    request_count SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (customer_id, service_id, model_name, hour)
SETTINGS non_replicated_deduplication_window = 10000;

-- The views fill the roll-ups from every insert into the raw tables.

CREATE MATERIALIZED VIEW IF NOT EXISTS cost_metrics_hourly_mv TO cost_metrics_hourly AS
SELECT
    toStartOfHour(timestamp) AS hour,
    customer_id,
    cloud_provider,
    service_name,
    sum(cost_per_hour) AS total_cost,
    avgState(utilization_percent) AS avg_utilization,
    count() AS sample_count
FROM cost_metrics_ts
GROUP BY hour, customer_id, cloud_provider, service_name;

CREATE MATERIALIZED VIEW IF NOT EXISTS performance_metrics_hourly_mv TO performance_metrics_hourly AS
SELECT
    toStartOfHour(timestamp) AS hour,
    customer_id,
    service_id,
    service_type,
    avgState(latency_ms) AS avg_latency,
    quantileDDState(0.01, 0.95)(latency_ms) AS p95_latency,
    quantileDDState(0.01, 0.99)(latency_ms) AS p99_latency,
    avgState(throughput_tokens_per_sec) AS avg_throughput,
    avgState(gpu_utilization) AS avg_gpu_util,
    count() AS request_count
FROM performance_metrics_ts
GROUP BY hour, customer_id, service_id, service_type;

CREATE MATERIALIZED VIEW IF NOT EXISTS resource_metrics_hourly_mv TO resource_metrics_hourly AS
SELECT
    toStartOfHour(timestamp) AS hour,
    customer_id,
    instance_id,
    instance_type,
    avgState(gpu_utilization) AS avg_gpu_util,
    maxState(gpu_utilization) AS max_gpu_util,
    avgState(gpu_memory_used_mb) AS avg_gpu_memory,
    avgState(cpu_utilization) AS avg_cpu_util,
    count() AS sample_count
FROM resource_metrics_ts
GROUP BY hour, customer_id, instance_id, instance_type;

CREATE MATERIALIZED VIEW IF NOT EXISTS quality_metrics_hourly_mv TO quality_metrics_hourly AS
SELECT
    toStartOfHour(timestamp) AS hour,
    customer_id,
    service_id,
    model_name,
    avgState(overall_quality_score) AS avg_quality,
    avgState(relevance_score) AS avg_relevance,
    avgState(coherence_score) AS avg_coherence,
    avgState(factuality_score) AS avg_factuality,
    sum(hallucination_detected) AS hallucination_count,
    count() AS request_count
FROM quality_metrics_ts
GROUP BY hour, customer_id, service_id, model_name;
