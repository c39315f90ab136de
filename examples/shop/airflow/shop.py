"""A month of the shop: check the connection, load, dbt, verify.

What it needs is in environment variables of the scheduler and the workers, so that no password is in the code:

    OBJECTS_ROOT, CLICKHOUSE_URL, CLICKHOUSE_DB, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD   read by clickhouse-backfill itself
    SHOP_HOST, SHOP_PORT, SHOP_DB, SHOP_MARTS, SHOP_USER, DBT_ENV_SECRET_SHOP_PASSWORD  read by the profile of dbt
    SHOP_DBT           folder of the dbt project
    SHOP_MANIFEST      its manifest, which `dbt parse` writes
    DBT                the dbt executable, in an environment of its own
    BACKFILL           the clickhouse-backfill executable (default: the one on PATH)
"""

import os
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param
from cosmos import DbtTaskGroup, ExecutionConfig, LoadMode, ProfileConfig, ProjectConfig, RenderConfig

PROJECT = Path(os.environ.get("SHOP_DBT") or Path(__file__).resolve().parent.parent / "dbt")
MANIFEST = Path(os.environ.get("SHOP_MANIFEST") or PROJECT / "target" / "manifest.json")
BACKFILL = os.environ.get("BACKFILL") or "clickhouse-backfill"

# A run of the first of November loads October. A load of a month that was delivered anew fills all of its tables again.
MONTH = "{{ params.month or (logical_date - macros.timedelta(days=1)).strftime('%Y%m') }}"
JOB = f"--job shop/month --partition {MONTH}"


def command(name, arguments, **options):
    # No exit code means that the task was skipped.
    return BashOperator(
        task_id=name, bash_command=f'"{BACKFILL}" {arguments}', append_env=True, skip_on_exit_code=None, **options
    )


with DAG(
    dag_id="shop",
    description="A month of the shop, from its deliveries to the marts",
    schedule="@monthly",
    start_date=datetime(2025, 11, 1),
    catchup=False,
    max_active_runs=1,
    params={
        "month": Param("", type="string", pattern="^([0-9]{6})?$", description="The month as YYYYMM; empty: the one before the run"),
        "restart": Param(False, type="boolean", description="Fill all tables of the month again"),
    },
    tags=["clickhouse"],
):
    check = command("check_connection", "doctor")
    load = command(
        "load",
        f"run {JOB} --engine server --yes --no-progress" + "{{ ' --restart' if params.restart else '' }}",
        retries=2,
        retry_delay=timedelta(minutes=1),
    )
    marts = DbtTaskGroup(
        group_id="dbt",
        project_config=ProjectConfig(dbt_project_path=PROJECT, manifest_path=MANIFEST),
        profile_config=ProfileConfig(profile_name="shop", target_name="default", profiles_yml_filepath=PROJECT / "profiles.yml"),
        execution_config=ExecutionConfig(dbt_executable_path=os.environ.get("DBT") or "dbt"),
        # Listing the models with dbt would take longer than the import of a DAG may.
        render_config=RenderConfig(load_method=LoadMode.DBT_MANIFEST, emit_datasets=False),
    )
    verify = command("verify", f"verify {JOB}")
    check >> load >> marts >> verify
