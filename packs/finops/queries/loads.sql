-- Loads of billing exports and their versions, the newest first, from the ledger; is_current marks the one that readers see.
SELECT
    job AS export,
    partition_id AS billing_period,
    load_version AS version,
    JSONExtractString(chunk_bounds, 'version') AS version_id,
    run_id,
    status,
    is_current,
    JSONLength(chunk_bounds, 'objects') AS file_count,
    rows_expected AS row_count,
    rows_inserted,
    started_at,
    completed_at,
    source_table AS location,
    target_table,
    error
FROM load_state FINAL
WHERE job IN ('aws-cur2', 'focus')
ORDER BY started_at DESC, load_version DESC
