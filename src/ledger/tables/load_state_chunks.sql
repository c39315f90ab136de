(
    run_id String COMMENT 'The load, as in load_state',
    chunk UInt64 COMMENT 'Number of the chunk, from 0',
    range String COMMENT 'Its range as a predicate on the source; empty for the whole partition' CODEC(ZSTD),
    status LowCardinality(String) COMMENT 'pending, completed or failed; completed only when its stream ended cleanly and every row was acknowledged',
    worker String COMMENT 'Who did it: worker, host and process',
    attempts UInt64 COMMENT 'Attempts that the last run made',
    rows_read UInt64 COMMENT 'Rows read',
    rows_inserted UInt64 COMMENT 'Rows inserted',
    matched UInt64 COMMENT 'Rows that found attributes inside the lookup window',
    matched_late UInt64 COMMENT 'Rows that found attributes outside of it',
    unmatched UInt64 COMMENT 'Rows that found none',
    bytes_inserted UInt64 COMMENT 'Bytes inserted',
    batches UInt64 COMMENT 'Batches acknowledged',
    hash UInt128 COMMENT 'Sum of the hashes of its inserted rows, the same whatever their order',
    error String COMMENT 'Why it failed',
    started_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When its reading began',
    completed_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When its last batch was acknowledged, or it failed',
    updated_at DateTime64(6, 'UTC') COMMENT 'When this row was written; the last one counts'
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (run_id, chunk)
COMMENT 'Chunks of the loads of clickhouse-backfill, one row each; read it with FINAL'
