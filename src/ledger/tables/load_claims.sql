(
    job String COMMENT 'The job that fills',
    source_table String COMMENT 'What is read, with its database',
    target_table String COMMENT 'What is filled, with its database',
    partition_id String COMMENT 'The partition of the source',
    claim_id String COMMENT 'The claim; query ids of its process contain it',
    worker UInt32 COMMENT 'The part of the load that its process works on, from 1',
    workers UInt32 COMMENT 'How many parts there are',
    run_id String COMMENT 'The load, as in load_state; empty until it is known',
    status LowCardinality(String) COMMENT 'held, released, or superseded by another process',
    host String COMMENT 'Where its process runs',
    pid UInt32 COMMENT 'The process id',
    machine String COMMENT 'The boot of the host and the namespace of its process ids',
    process_started UInt64 COMMENT 'Start of the process in clock ticks since the boot',
    heartbeat_seconds UInt32 COMMENT 'Seconds between heartbeats',
    claimed_at DateTime64(6, 'UTC') COMMENT 'When it was made; the lowest wins',
    heartbeat_at DateTime64(6, 'UTC') COMMENT 'When its process last said that it lives',
    version UInt64 MATERIALIZED toUInt64(toUnixTimestamp64Micro(heartbeat_at)) + if(status = 'held', 0, 4611686018427387904)
        COMMENT 'The later row counts, but never a heartbeat over the end of its claim'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (job, source_table, target_table, partition_id, claim_id)
COMMENT 'Processes at work on the loads of clickhouse-backfill, one row each; read it with FINAL'
