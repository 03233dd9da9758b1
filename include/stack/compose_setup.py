"""
The setup of docker-compose's profile `local`: create the lake's bucket and load the sample into Postgres.

Run ``python -m include.stack.compose_setup`` with the environment of the containers. It can be run again at any time.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pandas
import pyarrow as pa
import sqlalchemy
from pyarrow.fs import S3FileSystem

from include.stack.sample_products import SAMPLE, read_ui_strings
from include.stack.sample_tickets.tickets import orders, tickets
from include.stack.stack import AWS, LAKE, WAREHOUSE


def main() -> None:
    """Create the bucket and the sample database."""
    make_bucket(os.environ[LAKE], json.loads(os.environ[AWS]))
    load_sample(json.loads(os.environ[WAREHOUSE]))


def make_bucket(lake: str, connection: dict[str, Any]) -> None:
    """Create the bucket of ``s3://bucket/…`` at the endpoint of an Airflow connection."""
    s3 = S3FileSystem(
        access_key=connection["login"],
        secret_key=connection["password"],
        region=connection["extra"]["region_name"],
        endpoint_override=connection["extra"]["endpoint_url"],
        allow_bucket_creation=True,
    )
    s3.create_dir(lake.removeprefix("s3://").partition("/")[0])


def load_sample(connection: dict[str, Any]) -> None:
    """Create the connection's database, and load the sample into its tables: see sample_products."""
    name = connection["schema"]
    address = sqlalchemy.URL.create(
        "postgresql+psycopg2",
        username=connection["login"],
        password=connection["password"],
        host=connection["host"],
        port=connection.get("port"),
        database=name,
    )
    # Postgres cannot create a database in a transaction.
    server = sqlalchemy.create_engine(address.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with server.connect() as postgres:
        if not postgres.scalar(sqlalchemy.text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}):
            postgres.execute(sqlalchemy.text(f'CREATE DATABASE "{name}"'))
    products = pandas.read_parquet(SAMPLE).assign(tags=lambda rows: rows["tags"].map(lambda tags: json.dumps([*tags])))
    strings = read_ui_strings().to_pandas(types_mapper={pa.int64(): pandas.Int64Dtype()}.get)  # integers with nulls
    warehouse = sqlalchemy.create_engine(address)
    letters, bought = pandas.DataFrame(tickets()), pandas.DataFrame(orders())
    tables = {"products": products, "ui_strings": strings, "tickets": letters, "orders": bought}
    for table, rows in tables.items():
        rows.to_sql(table, warehouse, if_exists="replace", index=False)


if __name__ == "__main__":
    main()
