(
    run_id String COMMENT 'The load, as in load_state',
    claim_id String COMMENT 'The process, as in load_claims',
    sampled_at DateTime64(6, 'UTC') COMMENT 'When',
    worker String COMMENT 'Whose figures these are: worker, host and process',
    phase LowCardinality(String) COMMENT 'plan, lookup, stream or done',
    interval_seconds Float64 COMMENT 'How long ago the sample before was taken, to which rates and latencies refer',
    rows_read UInt64 COMMENT 'Rows that the process has read so far',
    rows_inserted UInt64 COMMENT 'Rows of it that were acknowledged',
    bytes_inserted UInt64 COMMENT 'Their bytes',
    rows_read_per_second Float64 COMMENT 'Over the interval',
    rows_inserted_per_second Float64 COMMENT 'Over the interval',
    bytes_inserted_per_second Float64 COMMENT 'Over the interval',
    inserts UInt64 COMMENT 'Batches acknowledged in the interval',
    insert_p50_seconds Nullable(Float64) COMMENT 'Half of them took no longer; NULL where there was none',
    insert_p95_seconds Nullable(Float64) COMMENT '95 % of them took no longer',
    insert_max_seconds Nullable(Float64) COMMENT 'The longest of them',
    active_parts Nullable(UInt64) COMMENT 'Active parts of the fullest partition of the target; NULL where that is not known',
    merges Nullable(UInt64) COMMENT 'Merges under way on the server',
    server_memory_bytes Nullable(UInt64) COMMENT 'Memory that the server holds',
    server_memory_limit_bytes Nullable(UInt64) COMMENT 'Memory that it may hold',
    client_memory_bytes Nullable(UInt64) COMMENT 'Memory that the process holds',
    queue_bytes UInt64 COMMENT 'Bytes of batches that wait or are on their way',
    inserts_in_flight UInt64 COMMENT 'Inserts under way',
    retries UInt64 COMMENT 'Statements that were tried again so far',
    waiting String COMMENT 'Why it starts no chunk; empty where it does not wait',
    settings String COMMENT 'What the process was started with, as JSON; in its first sample only' CODEC(ZSTD)
)
ENGINE = ReplacingMergeTree
ORDER BY (run_id, claim_id, sampled_at)
COMMENT 'How runs of clickhouse-backfill went, a row every ten seconds or so of each process'
