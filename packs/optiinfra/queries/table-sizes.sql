-- Rows, bytes and compression of each table of the pack.
SELECT
    table,
    sum(rows) AS table_rows,
    sum(bytes_on_disk) AS disk_bytes,
    sum(data_uncompressed_bytes) AS uncompressed_bytes,
    round(uncompressed_bytes / sum(data_compressed_bytes), 2) AS compression,
    count() AS parts
FROM system.parts
WHERE active AND database = currentDatabase() AND match(table, '^(cost|performance|resource|quality)_metrics_(ts|hourly)$')
GROUP BY table
ORDER BY table
