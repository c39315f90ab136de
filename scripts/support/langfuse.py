"""The built-in job's tables, data and oracle, from the files in scripts/sql."""

import string
from pathlib import Path

from .database import literal, quoted, statements

SQL = Path(__file__).resolve().parent.parent / "sql"
PARTITION = "202511"

# What the oracle and any insert of it need. The last three keep the values of a JSON column byte for byte: texts that look like
# dates stay texts, and the parser that they choose takes invalid UTF-8.
SETTINGS = {
    "join_use_nulls": 0,
    "type_json_skip_duplicated_paths": 1,
    "input_format_try_infer_dates": 0,
    "input_format_try_infer_datetimes": 0,
    "allow_simdjson": 0,
}


class Generation:
    """One of the three generations of the target."""

    def __init__(self, name, file, table, other_tables=()):
        self.name = name
        self.file = file
        self.table = table
        self.other_tables = other_tables

    def create(self, database):
        for name in ("observations.sql", "traces.sql", "dataset_run_items_rmt.sql", self.file):
            database.run_file(SQL / name)


GENERATIONS = {
    "2025-11": Generation("2025-11", "events_2025_11.sql", "events"),
    "2025-12": Generation("2025-12", "events_2025_12.sql", "events"),
    "2026": Generation("2026", "events_2026.sql", "events_full", ("events_core",)),
}


def make_data(database, rows, seed="demo"):
    database.run_file(SQL / "demo_data.sql", rows=rows, seed=seed)


class Column:
    """A column that both the target and the oracle have."""

    def __init__(self, name, type_name):
        self.name = name
        self.type_name = type_name
        self.is_json = type_name.startswith("JSON")

    def from_target(self):
        # Two JSON values can be equal and be stored differently. Their texts are sorted by path.
        return f"toString({quoted(self.name)})" if self.is_json else quoted(self.name)

    def from_oracle(self):
        cast = f"CAST({quoted(self.name)}, {literal(self.type_name)})"
        return f"toString({cast})" if self.is_json else cast


class Oracle:
    """scripts/sql/oracle_events.sql for one target table and partition."""

    def __init__(self, database, table, partition=PARTITION):
        self.partition = partition
        self.table = table
        target = database.rows(
            "SELECT name, type FROM system.columns WHERE database = currentDatabase() "
            f"AND table = {literal(table)} AND default_kind IN ('', 'DEFAULT') ORDER BY position"
        )
        attributes = ["name", "user_id", "session_id", "release", "version", "metadata", "public", "bookmarked", "tags"]
        template = statements((SQL / "oracle_events.sql").read_text(encoding="utf-8"))[0]
        self.select = string.Template(template).substitute(
            partition=partition.replace("\\", "\\\\").replace("'", "\\'"), attributes=", ".join(attributes)
        )
        known = {row[0] for row in database.rows(f"DESCRIBE TABLE (SELECT * FROM ({self.select}))")}
        self.columns = [Column(name, type_name) for name, type_name in target if name in known]
        self.defaults = [name for name, _ in target if name not in known]

    def insert(self, select=None):
        """The equivalent join, as the one statement that a user would write."""
        names = ", ".join(quoted(column.name) for column in self.columns)
        return f"INSERT INTO {quoted(self.table)} ({names})\nSELECT {names}\nFROM\n(\n{select or self.select}\n)"

    def without_join(self):
        """The same rows with no attributes: the work that is left when nothing is looked up."""
        empty = {
            "trace.name": "''", "trace.tags": "emptyArrayString()", "trace.public": "false", "trace.bookmarked": "false",
            "trace.metadata": "CAST(map(), 'Map(LowCardinality(String), String)')",
            **{f"trace.{name}": "CAST(NULL, 'Nullable(String)')" for name in ("user_id", "session_id", "release", "version")},
        }
        select = self.select[: self.select.index("LEFT ANY JOIN")]
        for name, value in empty.items():
            select = select.replace(name, value)
        return select
