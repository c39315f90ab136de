-- The tables of the ledger, for whoever creates them beforehand.

CREATE TABLE IF NOT EXISTS load_state (
    format_version UInt16 DEFAULT 1 COMMENT 'Form of this row',
    job String COMMENT 'The job',
    source_table String COMMENT 'The source table, with its database',
    target_table String COMMENT 'The target table, with its database',
    partition_id String COMMENT 'The id of the source\'s partition',
    run_id String COMMENT 'Identity of the load, the same each time it is resumed; query ids begin with clickhouse-backfill-<run_id>',
    load_version UInt32 DEFAULT 0 COMMENT 'Number of this version of the load, from 1; 0 if another one counts that was begun at the same time',
    is_current UInt8 COMMENT '1 for the version that readers may trust: the newest one that is completed',
    status LowCardinality(String) COMMENT 'started, staged, completed, superseded, failed or interrupted',
    error String COMMENT 'Why it failed',
    fingerprint String COMMENT 'Hash of the definition',
    definition String COMMENT 'What decides the result, as JSON: job, tables, types, keys, settings, server' CODEC(ZSTD),
    chunk_bounds String COMMENT 'The bounds of the chunks, as JSON: made once, so that merges do not change them' CODEC(ZSTD),
    chunks UInt64 COMMENT 'Number of chunks',
    chunks_completed UInt64 COMMENT 'Completed chunks; live figures are in load_state_chunks',
    chunks_failed UInt64 COMMENT 'Failed chunks',
    rows_expected Nullable(UInt64) COMMENT 'Rows of the source by an independent count when the load began',
    keys_expected Nullable(UInt64) DEFAULT NULL COMMENT 'Sum of the hashes of their sorting keys, to notice other rows at the end; NULL if unknown',
    rows_read UInt64 COMMENT 'Rows read, over all completed chunks',
    rows_inserted UInt64 COMMENT 'Rows inserted, over all completed chunks',
    is_untouched Bool DEFAULT 0 COMMENT '1 where it is certain that no row of it was inserted',
    publication String DEFAULT 'null' COMMENT 'What was built beside the target and published, as JSON; null where rows were inserted in place' CODEC(ZSTD),
    matched UInt64 COMMENT 'Rows with attributes inside the lookup window',
    matched_late UInt64 COMMENT 'Rows with attributes outside of it',
    unmatched UInt64 COMMENT 'Rows without attributes',
    tool_version LowCardinality(String) COMMENT 'Version of clickhouse-backfill',
    server_version LowCardinality(String) COMMENT 'Version of ClickHouse when the load began',
    started_at DateTime64(6, 'UTC') COMMENT 'When it began',
    completed_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was completed',
    updated_at DateTime64(6, 'UTC') COMMENT 'When this row was written; the last one counts'
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (job, source_table, target_table, partition_id, run_id)
COMMENT 'Loads of clickhouse-backfill, one row for each version; read it with FINAL';

CREATE TABLE IF NOT EXISTS load_state_chunks (
    format_version UInt16 DEFAULT 1 COMMENT 'Form of this row',
    run_id String COMMENT 'The load, as in load_state',
    chunk UInt64 COMMENT 'Number of the chunk, from 0; of a part of a divided chunk, the chunk\'s in the lower 32 bits and the part\'s place above',
    range String COMMENT 'Its range as a predicate on the source; empty for the whole partition' CODEC(ZSTD),
    status LowCardinality(String) COMMENT 'pending, completed, failed or divided; completed only when its stream ended without an error and every row was acknowledged',
    cuts String DEFAULT '' COMMENT 'Of a divided chunk, the bounds between its parts, as JSON' CODEC(ZSTD),
    worker String COMMENT 'Who wrote the row: worker, host and process; empty while it is pending',
    attempts UInt64 COMMENT 'Attempts of the last run',
    rows_read UInt64 COMMENT 'Rows read',
    rows_inserted UInt64 COMMENT 'Rows inserted',
    matched UInt64 COMMENT 'Rows with attributes inside the lookup window',
    matched_late UInt64 COMMENT 'Rows with attributes outside of it',
    unmatched UInt64 COMMENT 'Rows without attributes',
    bytes_inserted UInt64 COMMENT 'Bytes inserted',
    batches UInt64 COMMENT 'Batches acknowledged',
    hash UInt128 COMMENT 'Sum, modulo 2^128, of the hashes of its inserted rows, the same in any order; of blocks that are passed on, the hash of each block',
    batch_rows Nullable(UInt64) DEFAULT NULL COMMENT 'Rows of its batches, where the target recognizes repeated ones: written before the first is sent; 0 before that, NULL if unknown',
    stage_attempt UInt32 DEFAULT 0 COMMENT 'The attempt whose rows in the stage count; 0 without a stage',
    error String COMMENT 'Why it failed',
    started_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When its reading began',
    completed_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When its last batch was acknowledged, or it failed',
    updated_at DateTime64(6, 'UTC') COMMENT 'When this row was written; the last one counts'
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (run_id, chunk)
COMMENT 'Chunks of the loads of clickhouse-backfill, one row each; read it with FINAL';

CREATE TABLE IF NOT EXISTS load_claims (
    format_version UInt16 DEFAULT 1 COMMENT 'Form of this row',
    job String COMMENT 'The job',
    source_table String COMMENT 'The source table, with its database',
    target_table String COMMENT 'The target table, with its database',
    partition_id String COMMENT 'The id of the source\'s partition',
    claim_id String COMMENT 'The claim; query ids of its process contain it',
    worker UInt32 COMMENT 'The part of the load that its process works on, from 1',
    workers UInt32 COMMENT 'The number of parts',
    host String COMMENT 'The name of its machine',
    machine String COMMENT 'The boot of the machine and the namespace of its process ids; empty if the system does not report them',
    pid UInt32 COMMENT 'The process id',
    process_started UInt64 COMMENT 'Start of the process in clock ticks since the boot',
    run_id String COMMENT 'The load, as in load_state; empty until it is known',
    status LowCardinality(String) COMMENT 'held, released, or taken_over by another process',
    heartbeat_seconds UInt32 COMMENT 'Seconds between heartbeats',
    claimed_at DateTime64(6, 'UTC') COMMENT 'When it was made; the lowest wins',
    heartbeat_at DateTime64(6, 'UTC') COMMENT 'The last heartbeat of its process',
    version UInt64 MATERIALIZED toUInt64(toUnixTimestamp64Micro(heartbeat_at)) + if(status = 'held', 0, 4611686018427387904) COMMENT 'The later row counts, but never a heartbeat over the end of its claim'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (job, source_table, target_table, partition_id, claim_id)
COMMENT 'Processes at work on the loads of clickhouse-backfill, one row each; read it with FINAL';

CREATE TABLE IF NOT EXISTS load_samples (
    format_version UInt16 DEFAULT 1 COMMENT 'Form of this row',
    run_id String COMMENT 'The load, as in load_state',
    claim_id String COMMENT 'The process, as in load_claims',
    sampled_at DateTime64(6, 'UTC') COMMENT 'When',
    worker String COMMENT 'Whose figures these are: worker, host and process',
    phase LowCardinality(String) COMMENT 'plan, lookup, stream or done',
    interval_seconds Float64 COMMENT 'Time since the sample before, to which rates and latencies refer',
    rows_read UInt64 COMMENT 'Rows that the process has read so far',
    rows_inserted UInt64 COMMENT 'Rows of it that were acknowledged',
    bytes_inserted UInt64 COMMENT 'Their bytes',
    rows_read_per_second Float64 COMMENT 'Over the interval',
    rows_inserted_per_second Float64 COMMENT 'Over the interval',
    bytes_inserted_per_second Float64 COMMENT 'Over the interval',
    inserts UInt64 COMMENT 'Batches acknowledged in the interval',
    insert_p50_seconds Nullable(Float64) COMMENT 'Half of them took at most this time; NULL if there was none',
    insert_p95_seconds Nullable(Float64) COMMENT '95 % of them took at most this time',
    insert_max_seconds Nullable(Float64) COMMENT 'The time of the longest of them',
    active_parts Nullable(UInt64) COMMENT 'Active parts of the fullest partition of the target; NULL if unknown',
    merges Nullable(UInt64) COMMENT 'Merges in progress on the server',
    server_memory_bytes Nullable(UInt64) COMMENT 'Memory that the server uses',
    server_memory_limit_bytes Nullable(UInt64) COMMENT 'Memory that it may use',
    client_memory_bytes Nullable(UInt64) COMMENT 'Memory that the process uses',
    queue_bytes UInt64 COMMENT 'Bytes of batches that wait or are being sent',
    inserts_in_flight UInt64 COMMENT 'Inserts in flight',
    retries UInt64 COMMENT 'Statements that were retried so far',
    waiting String COMMENT 'Why it starts no chunk; empty if it does not wait',
    settings String COMMENT 'What the process was started with, as JSON; in its first sample only' CODEC(ZSTD)
)
ENGINE = ReplacingMergeTree
ORDER BY (run_id, claim_id, sampled_at)
COMMENT 'How runs of clickhouse-backfill went, a row every ten seconds or so of each process';

CREATE TABLE IF NOT EXISTS load_verifications (
    format_version UInt16 DEFAULT 1 COMMENT 'Form of this row',
    job String COMMENT 'The job',
    source_table String COMMENT 'The source table, with its database',
    target_table String COMMENT 'The target table, with its database',
    partition_id String COMMENT 'The id of the source\'s partition',
    run_id String COMMENT 'The newest version of the load, as in load_state',
    verified_at DateTime64(6, 'UTC') COMMENT 'When the comparison ended',
    equal Bool COMMENT 'Whether the target is what the job makes of the source',
    expected_rows UInt64 COMMENT 'Rows that the job makes',
    target_rows UInt64 COMMENT 'Rows of the target that it answers for',
    differences UInt64 COMMENT 'Rows that differ',
    sample String COMMENT 'The share of keys that was compared, such as 1/100; empty for all',
    seconds Float64 COMMENT 'How long it took',
    tool_version LowCardinality(String) COMMENT 'Version of clickhouse-backfill',
    report String COMMENT 'The result as JSON: what verify --json prints' CODEC(ZSTD),
    target_parts String DEFAULT '' COMMENT 'Parts of the target when it was compared, as JSON; empty if they are not known' CODEC(ZSTD)
)
ENGINE = ReplacingMergeTree
ORDER BY (run_id, verified_at)
COMMENT 'Comparisons of targets with what jobs make of their sources, by clickhouse-backfill verify';
