(
    job String COMMENT 'The job that fills',
    source_table String COMMENT 'What is read, with its database',
    target_table String COMMENT 'What is filled, with its database',
    partition_id String COMMENT 'The partition of the source',
    run_id String COMMENT 'The load that was current, as in load_state',
    verified_at DateTime64(6, 'UTC') COMMENT 'When the comparison ended',
    equal Bool COMMENT 'Whether the target was what the job makes of the source',
    expected_rows UInt64 COMMENT 'Rows that the job makes',
    target_rows UInt64 COMMENT 'Rows of the target that it answers for',
    differences UInt64 COMMENT 'Rows that differ',
    sample String COMMENT 'The share of keys that was compared; empty for all',
    seconds Float64 COMMENT 'How long it took',
    tool_version LowCardinality(String) COMMENT 'Version of clickhouse-backfill',
    report String COMMENT 'All that was found, as JSON: what verify --json prints' CODEC(ZSTD)
)
ENGINE = ReplacingMergeTree
ORDER BY (run_id, verified_at)
COMMENT 'Comparisons of targets with what jobs make of their sources, by clickhouse-backfill verify'
