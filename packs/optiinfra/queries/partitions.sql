-- Rows, bytes and parts of each month.
SELECT
    table,
    partition,
    sum(rows) AS partition_rows,
    sum(bytes_on_disk) AS disk_bytes,
    count() AS parts,
    max(modification_time) AS last_written
FROM system.parts
WHERE active AND database = currentDatabase() AND match(table, '^(cost|performance|resource|quality)_metrics_(ts|hourly)$')
GROUP BY table, partition
ORDER BY table, partition
