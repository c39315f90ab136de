"""One task a month, oldest first. Needs the `clickhouse-backfill` binary on the workers and a connection's password in a file there.

What Airflow needs to know is the exit code, of which README has the list, and the figures of --summary-json. A task that is killed or
fails is tried again by Airflow and goes on where the ledger says; months that are done say so, and take a second.
"""

from datetime import timedelta

import pendulum
from airflow.models.dag import DAG
from airflow.operators.bash import BashOperator

MONTHS = ["202509", "202510", "202511", "202512"]

COMMAND = "exec clickhouse-backfill run --partition {month} --log-format json --no-progress --summary-json /tmp/backfill-{month}.json"

with DAG(
    dag_id="clickhouse_backfill",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 20, "retry_delay": timedelta(minutes=2)},
) as dag:
    previous = None
    for month in MONTHS:
        task = BashOperator(
            task_id=f"fill_{month}",
            bash_command=COMMAND.format(month=month),
            env={"CLICKHOUSE_URL": "https://clickhouse.example:8443", "CLICKHOUSE_USER": "writer", "CLICKHOUSE_PASSWORD_FILE": "/run/secrets/clickhouse-password"},
            append_env=True,
        )
        if previous:
            previous >> task
        previous = task
