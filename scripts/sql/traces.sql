-- The lookup of the built-in job: one row per trace version.
-- Versions with timestamps on different dates do not collapse here, the newest must be chosen by event_ts.
CREATE TABLE traces
(
    id String,
    timestamp DateTime64(3),
    project_id String,
    environment LowCardinality(String) DEFAULT 'default',
    name String,
    user_id Nullable(String),
    session_id Nullable(String),
    release Nullable(String),
    version Nullable(String),
    metadata Map(LowCardinality(String), String),
    public Bool,
    bookmarked Bool,
    tags Array(String),
    input Nullable(String) CODEC(ZSTD(3)),
    output Nullable(String) CODEC(ZSTD(3)),
    created_at DateTime64(3) DEFAULT now64(3),
    updated_at DateTime64(3) DEFAULT now64(3),
    event_ts DateTime64(3),
    is_deleted UInt8,
    INDEX index_id id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX index_session_id session_id TYPE bloom_filter() GRANULARITY 1,
    INDEX index_user_id user_id TYPE bloom_filter() GRANULARITY 1
)
ENGINE = ReplacingMergeTree(event_ts, is_deleted)
PARTITION BY toYYYYMM(timestamp)
PRIMARY KEY (project_id, toDate(timestamp))
ORDER BY (project_id, toDate(timestamp), id);
