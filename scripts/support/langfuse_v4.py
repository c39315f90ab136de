"""docs/guide/langfuse-v3-to-v4.md on generated data: its commands and statements, from the top to the way back."""

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from clickhouse_launcher.client import split_credentials

from . import langfuse, program
from .errors import ScriptError

PAGE = program.ROOT / "docs" / "guide" / "langfuse-v3-to-v4.md"
MONTHS = ("202510", "202511", "202512")


def make(database, rows):
    """Data of three months in all tables; of a tenth of the last month the rows that dual writing has made."""
    database.recreate()
    langfuse.GENERATIONS["2026"].create(database)
    langfuse.make_data(database, max(rows // 3, 1))
    # Runs of a dataset over every tenth trace as a whole.
    database.execute(
        "INSERT INTO dataset_run_items_rmt (id, project_id, dataset_id, dataset_run_id, dataset_item_id, trace_id, dataset_run_name, "
        "dataset_run_metadata, created_at, event_ts, is_deleted) "
        "SELECT concat('whole-', id), project_id, 'answers', 'run-1', concat('question-', id), id, 'first run', map('model', 'small'), "
        f"created_at, event_ts, 0 FROM traces FINAL WHERE _partition_id = '{langfuse.PARTITION}' AND cityHash64(id) % 10 = 0"
    )
    for months, suffix in ((1, "december"), (-1, "october")):
        copy_month(database, months, suffix)
    database.execute(
        "INSERT INTO events_full (project_id, trace_id, span_id, start_time, name, type, source, created_at, event_ts) "
        "SELECT project_id, trace_id, id, start_time, name, type, 'ingestion-api-dual-write', created_at, event_ts "
        "FROM observations FINAL WHERE _partition_id = '202512' AND cityHash64(id) % 10 = 0"
    )


def copy_month(database, months, suffix):
    """The rows of the month once more, moved by this number of months, under other ids."""

    def moved(*names):
        return ", ".join(f"{name} + toIntervalMonth({months}) AS {name}" for name in names)

    def renamed(*names):
        return ", ".join(f"concat({name}, '-{suffix}') AS {name}" for name in names)

    month = f"_partition_id = '{langfuse.PARTITION}'"
    versions = moved("created_at", "updated_at", "event_ts")
    database.execute(
        f"INSERT INTO observations SELECT * REPLACE ({renamed('id', 'trace_id', 'parent_observation_id')}, "
        f"{moved('start_time', 'end_time')}, {versions}) FROM observations WHERE {month}"
    )
    database.execute(f"INSERT INTO traces SELECT * REPLACE ({renamed('id')}, {moved('timestamp')}, {versions}) FROM traces WHERE {month}")
    database.execute(
        f"INSERT INTO dataset_run_items_rmt SELECT * REPLACE ({renamed('id', 'trace_id', 'observation_id')}, {versions}) "
        "FROM dataset_run_items_rmt WHERE NOT match(id, '-(december|october)$')"
    )


def blocks():
    """The fenced blocks of the page before the way back: language and text."""
    text = PAGE.read_text(encoding="utf-8").split("\n## Go back\n")[0]
    return [(language, re.sub(r"(?m)^ {3}", "", body)) for language, body in re.findall(r"(?ms)^ *```(\w+)\n(.*?)^ *```$", text)]


class Walk:
    """Follows the page; each command and statement is shown with its time."""

    def __init__(self, binary, database, table):
        self.binary, self.database, self.table = binary, database, table
        url, user, password = split_credentials(database.url)
        self.environment = {name: value for name, value in os.environ.items() if name not in program.OWN_VARIABLES}
        self.environment |= {"CLICKHOUSE_DB": database.name}
        self.environment |= {name: value for name, value in (("CLICKHOUSE_USER", user), ("CLICKHOUSE_PASSWORD", password)) if value}
        self.url = url

    def run(self):
        last = []  # the tables that verify needs
        with tempfile.TemporaryDirectory(prefix="clickhouse-backfill-") as folder:
            for language, text in blocks():
                if language == "env":
                    settings = re.sub(r"(?m)^CLICKHOUSE_URL=.*$", f"CLICKHOUSE_URL={self.url}", text)
                    Path(folder, ".env").write_text(settings, encoding="utf-8")
                elif language == "sh":
                    for line in text.splitlines():
                        self.command(folder, line)
                elif text.startswith("DROP"):
                    last.append(text)
                elif not text.startswith("-- PostgreSQL"):
                    self.statement(text)
            for month in MONTHS:
                self.command(folder, f"clickhouse-backfill verify --job langfuse/v4 --partition {month}", again=True)
        for text in last:
            self.statement(text)

    def command(self, folder, line, again=False):
        began = time.monotonic()
        words = [str(self.binary), *line.split()[1:]]
        ended = subprocess.run(words, cwd=folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise ScriptError(f"{line}\n{(ended.stdout + ended.stderr)[-4000:]}\nexit code {ended.returncode}")
        name = line.removeprefix("clickhouse-backfill ")
        self.table.add(f"{name}, at the end" if again else name, f"exit code 0, {time.monotonic() - began:.1f} s")

    def statement(self, sql):
        began = time.monotonic()
        self.database.execute(sql.strip().rstrip(";"))
        name = " ".join(sql.split()[:3]).rstrip(";")
        self.table.add(name, f"{time.monotonic() - began:.1f} s")


def counts(database, table):
    """What is in the tables that readers without FINAL see."""
    for name in ("events_full", "events_core"):
        made, experiments, live, repeated = database.rows(
            f"SELECT countIf(endsWith(source, '-backfill')), countIf(experiment_id != ''), countIf(NOT endsWith(source, '-backfill')), "
            f"count() - (SELECT count() FROM {name} FINAL) FROM {name}"
        )[0]
        table.add(name, f"{int(made):,} rows filled, {int(experiments):,} of them of experiments; {int(live):,} of dual writing; {int(repeated):,} repeated")
