"""
Print a new .env: .env.example with a fresh secret for each empty secret.

With ``--local`` the connections point to the emulated API, the S3 server and the sample warehouse of `--profile local`.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import secrets
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / ".env.example"
BUCKET = "enrichment-lake"


def new_env(example: str, *, local: bool) -> str:
    """Return the example with its empty variables filled in where we know a value."""
    values = _secrets()
    if local:
        values |= _local(values["POSTGRES_PASSWORD"])
    return re.sub(r"^(\w+)=$", lambda line: f"{line[1]}={values.get(line[1], '')}", example, flags=re.MULTILINE)


def _secrets() -> dict[str, str]:
    names = ("JWT_SECRET", "API_SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "ADMIN_PASSWORD")
    fernet_key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    # Hexadecimal: one of 64 base64 secrets starts with a dash and would be read as an option on a command line.
    return {"FERNET_KEY": fernet_key} | {name: secrets.token_hex(32) for name in names}


def _local(postgres_password: str) -> dict[str, str]:
    s3 = {"region_name": "us-east-1", "endpoint_url": "http://s3:5000"}
    connections = {
        "ANTHROPIC_DEFAULT": {"conn_type": "anthropic", "password": "sk-emulator", "host": "http://emulator:8090"},
        "AWS_DEFAULT": {"conn_type": "aws", "login": "testing", "password": "testing", "extra": s3},
        "WAREHOUSE": {"conn_type": "postgres", "host": "postgres", "schema": "warehouse", "login": "airflow"}
        | {"password": postgres_password},
    }
    return {f"AIRFLOW_CONN_{name}": f"'{json.dumps(value)}'" for name, value in connections.items()} | {
        "ENRICHMENT_LAKE": f"s3://{BUCKET}"
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--local", action="store_true", help="also fill in the connections of the local profile")
    sys.stdout.write(new_env(EXAMPLE.read_text(encoding="utf-8"), local=parser.parse_args().local))
