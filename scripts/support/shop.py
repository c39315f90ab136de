"""The pack `shop` with what stands around it in examples/shop, dbt and Airflow: for scripts/demo."""

import re
import shutil
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

from clickhouse_launcher.client import split_credentials

from . import shop_data
from .database import Database
from .errors import ScriptError
from .python_tools import installed
from .rollups import Tool

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "shop"
ORDERS = 2000
# It loads the month before.
DAG_RUN = "2025-11-01"
# Of Airflow's own and of Python's; dbt's remark on its version is not one.
DEPRECATED = re.compile(r".*(?:DeprecationWarning|DeprecatedWarning|RemovedIn\w+Warning).*")


def demonstrate(binary, database, with_airflow, step, table):
    """Returns the problems."""
    dbt = installed("dbt", EXAMPLE / "dbt" / "requirements.txt") / "dbt"
    airflow = installed("airflow", EXAMPLE / "airflow" / "requirements.txt") / "airflow" if with_airflow else None
    marts = Database(database.url, f"{database.name}_marts")
    with tempfile.TemporaryDirectory(prefix="clickhouse-backfill-shop-") as folder:
        shop = Shop(binary, database, marts, dbt, Path(folder))
        try:
            step(f"making deliveries of the months {', '.join(shop_data.MONTHS)}")
            rows, amount = shop_data.write(shop.deliveries, ORDERS)
            database.recreate()
            marts.recreate()
            shop.tool.run("pack", "apply", "shop")
            if airflow:
                shop.run_dag(airflow, step, table)
            else:
                shop.load(shop_data.MONTHS, step)
                step("dbt: models and tests")
                table.add("dbt", shop.dbt("build"))
            problems = shop.compare(rows, amount, table)
            step("dbt has to notice an order of an unknown customer, in an unknown state")
            problems += shop.break_an_order()
        finally:
            marts.drop()
    return problems


class Airflow:
    """Commands of Airflow with a home of their own."""

    def __init__(self, program, home, environment):
        home.mkdir()
        self.program, self.home = program, home
        self.environment = {
            **environment,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLE / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *arguments):
        ran = subprocess.run(
            [self.program, *arguments],
            cwd=self.home, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        if ran.returncode != 0:
            raise ScriptError(f"{ran.stdout[-8000:]}\nairflow {' '.join(arguments)} ended with exit code {ran.returncode}")
        return ran.stdout


class Shop:
    """The deliveries, the databases and the dbt project."""

    def __init__(self, binary, database, marts, dbt, folder):
        self.database, self.marts, self.program, self.folder = database, marts, dbt, folder
        self.deliveries = folder / "deliveries"
        self.project = folder / "dbt"
        shutil.copytree(EXAMPLE / "dbt", self.project)
        self.tool = Tool(binary, database)
        url, user, password = split_credentials(database.url)
        address = urllib.parse.urlsplit(url)
        self.environment = {
            **self.tool.environment,
            "CLICKHOUSE_URL": url,
            "CLICKHOUSE_DB": database.name,
            "OBJECTS_ROOT": f"file:{self.deliveries}",
            "BACKFILL": str(binary),
            "DBT": str(dbt),
            "SHOP_DBT": str(self.project),
            "SHOP_HOST": address.hostname,
            "SHOP_PORT": str(address.port),
            "SHOP_SECURE": str(address.scheme == "https"),
            "SHOP_DB": database.name,
            "SHOP_MARTS": marts.name,
            "SHOP_USER": user or "default",
            "DBT_ENV_SECRET_SHOP_PASSWORD": password or "",
            "DO_NOT_TRACK": "1",
        }

    def load(self, months, step, *flags):
        root = ["--objects-root", f"file:{self.deliveries}"]
        for month in months:
            step(f"run --job shop/month --partition {month}")
            self.tool.run("run", "--job", "shop/month", "--partition", month, "--engine", "server", *root, *flags)
            self.tool.run("verify", "--job", "shop/month", "--partition", month, *root)

    def dbt(self, command):
        """Its last line. Raises if it fails."""
        code, said = self.run_dbt(command)
        if code != 0:
            raise ScriptError(f"{said[-4000:]}\ndbt {command} ended with exit code {code}")
        return said.strip().splitlines()[-1].split("Done. ")[-1]

    def run_dbt(self, command):
        ran = subprocess.run(
            [self.program, "--no-use-colors", command, "--profiles-dir", "."],
            cwd=self.project, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        return ran.returncode, ran.stdout

    def run_dag(self, program, step, table):
        """The DAG for the first month, as Airflow's own test runs it; the other month is there before."""
        self.load(shop_data.MONTHS[1:], step)
        self.dbt("parse")
        airflow = Airflow(program, self.folder / "airflow", self.environment)
        step("airflow: its database")
        airflow.run("db", "migrate")
        step(f"airflow dags test shop {DAG_RUN}: check the connection, load, dbt, verify")
        said = airflow.run("dags", "test", "shop", DAG_RUN)
        deprecated = DEPRECATED.findall(said)
        if deprecated:
            raise ScriptError("the DAG uses what is deprecated:\n" + "\n".join(deprecated[:5]))
        if not re.search(r"DagRun Finished: .*\bstate=success", said):
            raise ScriptError(f"{said[-8000:]}\nthe run of the DAG did not succeed")
        table.add("DAG", "success")
        step("airflow tasks test shop verify: it has to fail for a row that is gone")
        self.database.execute("DELETE FROM order_items_enriched WHERE order_id = 1")
        # The command ends with 0 for a task that failed.
        said = airflow.run("tasks", "test", "shop", "verify", DAG_RUN)
        if "missing in the target" not in said or "new_state=failed" not in said:
            raise ScriptError(f"{said[-8000:]}\nthe task verify did not fail although a row is gone")
        self.load(shop_data.MONTHS[:1], step, "--restart")

    def compare(self, rows, amount, table):
        """What was loaded and what dbt made of it, with what the generator wrote."""
        name = self.database.name
        found = {
            "customers": self.database.value("SELECT count() FROM customers FINAL"),
            "products": self.database.value("SELECT count() FROM products FINAL"),
            "orders": self.marts.value("SELECT count() FROM fct_orders"),
            "order_items": self.database.value("SELECT sum(items) FROM daily_sales"),
        }
        problems = [f"{kind}: {found[kind]} rows for {count}" for kind, count in rows.items() if int(found[kind]) != count]
        table.add("rows", ", ".join(f"{int(count):,} {kind}" for kind, count in found.items()))
        sums = {
            "order_items_enriched": f"SELECT toString(sum(amount)) FROM {name}.order_items_enriched",
            "daily_sales": f"SELECT toString(sum(amount)) FROM {name}.daily_sales",
            "fct_orders": "SELECT toString(sum(amount)) FROM fct_orders",
            "daily_sales_summary": "SELECT toString(sum(amount)) FROM daily_sales_summary",
        }
        for kind, sql in sums.items():
            value = self.marts.value(sql, output_format_decimal_trailing_zeros=1)
            if value != str(amount):
                problems.append(f"{kind}: the amount is {value} for {amount}")
        table.add("amount", f"{amount} in {', '.join(sums)}")
        return problems

    def break_an_order(self):
        self.database.execute("INSERT INTO orders VALUES (999999, 999999, '2025-10-02 00:00:00', 'lost', 'EUR')")
        code, said = self.run_dbt("build")
        failed = [kind for kind in ("relationships_stg_orders", "accepted_values_stg_orders") if re.search(rf"FAIL 1 {kind}", said)]
        return [] if code == 1 and len(failed) == 2 else [f"dbt ended with exit code {code}; of its tests failed: {', '.join(failed) or 'none'}"]
