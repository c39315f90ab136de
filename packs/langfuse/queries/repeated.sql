-- The rows of a month, such as 202512, that readers without FINAL see beside a newer version, and the statement that removes them: it
-- rewrites the month and needs its size again on the disk. Merges remove such rows by and by. Nothing is executed.
SELECT tables.1 AS table, tables.2 AS rows, tables.2 - tables.3 AS repeated,
    if(repeated = 0, '', concat('OPTIMIZE TABLE ', table, ' PARTITION ID ''', {month:String}, ''' FINAL')) AS statement
FROM
(
    SELECT arrayJoin([
        ('events_full',
         (SELECT count() FROM events_full WHERE _partition_id = {month:String}),
         (SELECT count() FROM events_full FINAL WHERE _partition_id = {month:String})),
        ('events_core',
         (SELECT count() FROM events_core WHERE _partition_id = {month:String}),
         (SELECT count() FROM events_core FINAL WHERE _partition_id = {month:String}))
    ]) AS tables
)
