(
    job String COMMENT 'The job that fills',
    source_table String COMMENT 'What is read, with its database',
    target_table String COMMENT 'What is filled, with its database',
    partition_id String COMMENT 'The partition of the source',
    run_id String COMMENT 'The identity of the load, the same however often it is resumed; query ids begin with clickhouse-backfill-<run_id>',
    is_current UInt8 COMMENT '1 for the version of the load that counts, 0 for those before a --restart',
    status LowCardinality(String) COMMENT 'started, completed, failed or interrupted',
    error String COMMENT 'Why it failed',
    fingerprint String COMMENT 'Hash of all that decides the result: statements, settings, types, keys, server',
    definition String COMMENT 'The parts of the fingerprint, as JSON' CODEC(ZSTD),
    chunk_bounds String COMMENT 'The bounds of the chunks, as JSON: made once, so that merges do not change them' CODEC(ZSTD),
    chunks UInt64 COMMENT 'How many chunks it has',
    chunks_completed UInt64 COMMENT 'How many of them are completed; live figures are in load_state_chunks',
    chunks_failed UInt64 COMMENT 'How many of them failed',
    rows_expected Nullable(UInt64) COMMENT 'Rows that an independent count of the source found when it began',
    rows_read UInt64 COMMENT 'Rows read, over all completed chunks',
    rows_inserted UInt64 COMMENT 'Rows inserted, over all completed chunks',
    matched UInt64 COMMENT 'Rows that found attributes inside the lookup window',
    matched_late UInt64 COMMENT 'Rows that found attributes outside of it',
    unmatched UInt64 COMMENT 'Rows that found none',
    tool_version LowCardinality(String) COMMENT 'Version of clickhouse-backfill',
    server_version LowCardinality(String) COMMENT 'Version of ClickHouse when it began',
    started_at DateTime64(6, 'UTC') COMMENT 'When it began',
    completed_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was completed',
    updated_at DateTime64(6, 'UTC') COMMENT 'When this row was written; the last one counts'
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (job, source_table, target_table, partition_id, run_id)
COMMENT 'Loads of clickhouse-backfill, one row each; read it with FINAL'
