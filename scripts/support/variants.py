"""The ways to fill the target that scripts/bench compares. Each does its work once; the measuring is left to others."""

import os

from . import program
from .langfuse import PARTITION, SETTINGS


class Variant:
    """`writes`: what the target must hold afterwards: "oracle", "count" (rows only) or "nothing"."""

    name = ""
    label = ""
    writes = "oracle"

    def __init__(self, database, oracle, binary):
        self.database = database
        self.oracle = oracle
        self.binary = binary

    def work(self):
        """Does the work; returns what is known of the client, {} where the client is only waiting."""
        raise NotImplementedError


class Run(Variant):
    name = "run"
    label = "clickhouse-backfill run"
    flags = ()

    def work(self):
        flags = list(self.flags)
        if self.oracle.table != "events":
            flags += ["--target-table", self.oracle.table]
        run = program.run(self.binary, self.database, PARTITION, *flags, quiet=True)
        return {
            "client_cpu_seconds": run.cpu_seconds,
            "client_peak_memory_bytes": run.peak_memory,
            "summary": run.summary,
        }


class ServerRun(Run):
    name = "run_server"
    label = "clickhouse-backfill run --engine server"
    flags = ("--engine", "server")


class DryRun(Run):
    name = "dry_run"
    label = "clickhouse-backfill run --dry-run"
    flags = ("--dry-run",)
    writes = "nothing"


class Join(Variant):
    """The equivalent join as one statement, at the server's defaults."""

    name = "join_defaults"
    label = "join, server's defaults"
    settings = {}

    def select(self):
        return self.oracle.select

    def work(self):
        self.database.execute(self.oracle.insert(self.select()), **SETTINGS, **self.settings)
        return {}


class TunedJoin(Join):
    name = "join_tuned"
    label = "join, tuned"
    settings = {
        "join_algorithm": "hash",
        "query_plan_join_swap_table": "false",
        "optimize_on_insert": 0,
        "max_insert_threads": len(os.sched_getaffinity(0)),
    }


class MergeJoin(Join):
    name = "join_full_sorting_merge"
    label = "join, full_sorting_merge"
    settings = {"join_algorithm": "full_sorting_merge"}


class Copy(Join):
    """The floor: the same columns written without looking anything up."""

    name = "copy"
    label = "copy without a join"
    writes = "count"

    def select(self):
        return self.oracle.without_join()


ALL = (Run, ServerRun, DryRun, Join, TunedJoin, MergeJoin, Copy)
