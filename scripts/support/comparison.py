"""Comparing a target with its oracle: counts, keyed hashes of every column, and the rows that only one side has."""

from .database import literal, quoted
from .langfuse import SETTINGS

# The hash of a value is taken together with the row's key: else two values that changed places would cancel out.
KEY = ("project_id", "start_time", "trace_id", "span_id")


class Comparison:
    def __init__(self, database, oracle):
        self.database = database
        self.oracle = oracle
        self.key = [column for column in oracle.columns if column.name in KEY]

    def target(self, final=True):
        return f"SELECT * FROM {quoted(self.oracle.table)}{' FINAL' if final else ''} WHERE _partition_id = {literal(self.oracle.partition)}"

    def source_rows(self):
        """The spans of the partition, each counted where its newest row lies: the oracle itself must have as many."""
        key = "project_id, type, toDate(start_time), id"
        newest = (
            f"SELECT {key} FROM observations ORDER BY event_ts DESC, is_deleted DESC, _partition_id DESC, type DESC, toDate(start_time) DESC "
            "LIMIT 1 BY project_id, id"
        )
        partition = literal(self.oracle.partition)
        return int(
            self.database.value(f"SELECT count() FROM observations FINAL WHERE _partition_id = {partition} AND ({key}) IN ({newest})")
        )

    def column_hashes(self):
        """({column: (hash in the target, hash in the oracle)}, rows of the target, rows of the oracle)"""
        target = self.hashes(self.target(), "from_target")
        expected = self.hashes(self.oracle.select, "from_oracle")
        names = [column.name for column in self.oracle.columns]
        return dict(zip(names, zip(target[1:], expected[1:]))), int(target[0]), int(expected[0])

    def hashes(self, select, side):
        key = ", ".join(getattr(column, side)() for column in self.key)
        sums = ", ".join(f"sum(sipHash64(tuple({key}, {getattr(column, side)()})))" for column in self.oracle.columns)
        return self.database.rows(f"SELECT count(), {sums} FROM ({select})", **SETTINGS)[0]

    def row_hash(self, select, side):
        """(rows, one hash over all columns of all rows): cheaper, and as strict."""
        values = ", ".join(getattr(column, side)() for column in self.oracle.columns)
        rows, total = self.database.rows(f"SELECT count(), sum(sipHash64(tuple({values}))) FROM ({select})", **SETTINGS)[0]
        return int(rows), total

    def only_in_one(self):
        """(rows of the target that the oracle lacks, rows of the oracle that the target lacks), by EXCEPT"""
        target = self.selected(self.target(), "from_target")
        expected = self.selected(self.oracle.select, "from_oracle")
        return tuple(
            int(self.database.value(f"SELECT count() FROM ({one} EXCEPT {other})", **SETTINGS))
            for one, other in ((target, expected), (expected, target))
        )

    def selected(self, select, side):
        values = ", ".join(f"{getattr(column, side)()} AS {quoted('c_' + column.name)}" for column in self.oracle.columns)
        return f"SELECT {values} FROM ({select})"

    def not_default(self):
        """The columns that no rule fills and that still hold something."""
        if not self.oracle.defaults:
            return []
        counts = ", ".join(f"countIf({quoted(name)} != defaultValueOfArgumentType({quoted(name)}))" for name in self.oracle.defaults)
        row = self.database.rows(f"SELECT {counts} FROM ({self.target()})")[0]
        return [name for name, count in zip(self.oracle.defaults, row) if int(count)]

    def examples(self, limit=3):
        """Keys of rows that differ, for a person to look at."""
        target = self.selected(self.target(), "from_target")
        expected = self.selected(self.oracle.select, "from_oracle")
        return self.database.execute(
            f"SELECT DISTINCT c_project_id, c_trace_id, c_span_id FROM (({target} EXCEPT {expected}) UNION ALL ({expected} EXCEPT {target})) LIMIT {limit}",
            **SETTINGS,
        )
