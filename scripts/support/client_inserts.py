"""Inserts batches of metrics with a Python client, and prints its processor time: run by client_costs.py in an environment that has the clients.

    client_inserts.py WAY HOST HTTP_PORT TCP_PORT DATABASE TABLE BATCHES
"""

import json
import sys
import time
import uuid
from datetime import datetime, timezone

BATCH_ROWS = 100_000
# Equal batches count each.
SETTINGS = {"deduplicate_insert": "disable"}
COLUMNS = (
    "timestamp", "customer_id", "cloud_provider", "service_name", "instance_id", "instance_type", "region",
    "cost_per_hour", "utilization_percent", "is_spot", "is_reserved",
)  # fmt: skip


def row(number):
    """The rows of benches/client.rs."""
    return (
        datetime.fromtimestamp(1_790_000_000 + number % 86_400, timezone.utc), uuid.UUID(int=number // 1000), ("aws", "gcp", "azure")[number % 3],
        f"service {number % 5}", f"i-{number % 200}", "large", "eu", number % 1000 / 7, float(number % 101), number % 2, int(number % 3 == 0),
    )  # fmt: skip


def connect(host, http_port, database):
    import clickhouse_connect

    return clickhouse_connect.get_client(host=host, port=int(http_port), database=database)


def data_frames(arguments, table, rows):
    import pandas

    client = connect(arguments[0], arguments[1], arguments[3])
    frame = pandas.DataFrame(rows, columns=list(COLUMNS))
    types = {"utilization_percent": "float32", "is_spot": "uint8", "is_reserved": "uint8"}
    frame = frame.astype(types)
    return lambda: client.insert_df(table, frame, settings=SETTINGS)


def rows_of_connect(arguments, table, rows):
    client = connect(arguments[0], arguments[1], arguments[3])
    return lambda: client.insert(table, rows, column_names=COLUMNS, settings=SETTINGS)


def driver(arguments):
    import clickhouse_driver

    return clickhouse_driver.Client(host=arguments[0], port=int(arguments[2]), database=arguments[3], settings=SETTINGS)


def columns(arguments, table, rows):
    client = driver(arguments)
    data = [list(column) for column in zip(*rows)]
    return lambda: client.execute(f"INSERT INTO {table} ({', '.join(COLUMNS)}) VALUES", data, columnar=True)


def dictionaries(arguments, table, rows):
    client = driver(arguments)
    data = [dict(zip(COLUMNS, values)) for values in rows]
    return lambda: client.execute(f"INSERT INTO {table} ({', '.join(COLUMNS)}) VALUES", data)


WAYS = {"data-frames": data_frames, "rows": rows_of_connect, "columns": columns, "dictionaries": dictionaries}


def main():
    way, host, http_port, tcp_port, database, table, batches = sys.argv[1:]
    insert = WAYS[way]((host, http_port, tcp_port, database), table, [row(number) for number in range(BATCH_ROWS)])
    began = time.process_time()
    for _ in range(int(batches)):
        insert()
    print(json.dumps({"cpu_seconds": time.process_time() - began}))


main()
