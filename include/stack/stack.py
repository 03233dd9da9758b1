"""
One running stack as a value: its ports, secrets and connections, stored in stack.json, which only the owner can read.
"""

from __future__ import annotations

import base64
import json
import secrets
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from include.stack.folder import StackFolder, write_private

LOOPBACK = "127.0.0.1"
BUCKET = "enrichment-lake"
ANTHROPIC, AWS, WAREHOUSE, LAKE = (
    "AIRFLOW_CONN_ANTHROPIC_DEFAULT",
    "AIRFLOW_CONN_AWS_DEFAULT",
    "AIRFLOW_CONN_WAREHOUSE",
    "ENRICHMENT_LAKE",
)
CONNECTION_VARIABLES = (ANTHROPIC, AWS, WAREHOUSE, LAKE)
#: Of the sample's refunds service, which only the tools of ticket_actions use.
REFUNDS = "AIRFLOW_CONN_REFUNDS"


class Ports(BaseModel):
    """The ports of the processes, all on loopback."""

    model_config = ConfigDict(frozen=True)

    airflow: int
    s3: int
    emulator: int
    refunds: int
    control: int
    postgres: int


class Stack(BaseModel):
    """
    The settings that the processes and the commands share.

    :param kept: as in StackFolder
    :param connections: environment variables. With the real API they do not include the Anthropic connection, because a
        key is never written to disk
    :param starting: the S3 server and the emulator cannot be used yet
    :param no_postgres: why Airflow's metadata is in SQLite; empty: it is in Postgres
    """

    model_config = ConfigDict(frozen=True)

    folder: Path
    kept: str = ""
    real_api: bool
    processing_seconds: float
    starting: bool = False
    ports: Ports
    connections: Mapping[str, str]
    ui_password: str
    control_password: str
    postgres_password: str
    no_postgres: str = ""
    fernet_key: str
    jwt_secret: str
    session_secret: str

    @property
    def airflow_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.airflow}"

    @property
    def postgres_uri(self) -> str:
        return postgres_uri(self.ports.postgres, self.postgres_password)

    @property
    def s3_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.s3}"

    @property
    def refunds_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.refunds}"

    @property
    def emulator_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.emulator}"

    def save(self, folder: StackFolder) -> None:
        """Write stack.json, readable only by its owner."""
        write_private(folder.stack_json, self.model_dump_json(indent=2))


def read_stack(folder: StackFolder) -> Stack | None:
    """Read the stack of this folder, None if there is none. A stack.json of an older version counts as none."""
    try:
        return Stack.model_validate_json(folder.stack_json.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def new_stack(folder: StackFolder, *, real_api: bool, processing_seconds: float, airflow_port: int = 0) -> Stack:
    """
    Return a stack with free ports and fresh secrets. Nothing is started or written.

    :param airflow_port: Airflow's port, if it is free. Two stacks that start at the same time must not request the same
        port, because it is free until Airflow listens on it.
    """
    ports = _free_ports(airflow_port)
    return Stack(
        folder=folder.path,
        kept=folder.kept,
        real_api=real_api,
        processing_seconds=processing_seconds,
        ports=ports,
        connections=_connections(folder, ports, real_api=real_api),
        ui_password=secrets.token_urlsafe(9),
        control_password=secrets.token_urlsafe(24),
        postgres_password=secrets.token_urlsafe(24),
        fernet_key=fernet_key(),
        jwt_secret=secrets.token_urlsafe(64),
        session_secret=secrets.token_urlsafe(32),
    )


def postgres_uri(port: int, password: str) -> str:
    """Return the SQLAlchemy URI of the database ``postgres`` of our server."""
    return f"postgresql+psycopg2://postgres:{password}@{LOOPBACK}:{port}/postgres"


def fernet_key() -> str:
    """Return a new encryption key for Airflow."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def anthropic_connection(key: str, host: str | None = None) -> str:
    """Return the value of AIRFLOW_CONN_ANTHROPIC_DEFAULT; without a host it is the real API."""
    return json.dumps({"conn_type": "anthropic", "password": key} | ({"host": host} if host else {}))


def aws_connection(endpoint_url: str) -> str:
    """Return the value of AIRFLOW_CONN_AWS_DEFAULT for an S3 server that accepts any credentials."""
    extra = {"region_name": "us-east-1", "endpoint_url": endpoint_url}
    return json.dumps({"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra})


def refunds_connection(port: int) -> str:
    """Return the value of AIRFLOW_CONN_REFUNDS for a refunds service of this machine."""
    return json.dumps({"conn_type": "http", "schema": "http", "host": LOOPBACK, "port": port})


def _connections(folder: StackFolder, ports: Ports, *, real_api: bool) -> dict[str, str]:
    emulator = {ANTHROPIC: anthropic_connection("sk-emulator", f"http://{LOOPBACK}:{ports.emulator}")}
    return ({} if real_api else emulator) | {
        AWS: aws_connection(f"http://{LOOPBACK}:{ports.s3}"),
        WAREHOUSE: json.dumps({"conn_type": "sqlite", "host": str(folder.warehouse)}),
        REFUNDS: refunds_connection(ports.refunds),
        LAKE: str(folder.lake) if folder.kept else f"s3://{BUCKET}",
    }


def free_port() -> int:
    """Return a port on which nothing listens at the moment."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


def _free_ports(airflow_port: int) -> Ports:
    """Return different free ports: each is held open until all are chosen."""
    with ExitStack() as held:

        def free(wanted: int = 0) -> int:
            listener = held.enter_context(socket.socket())
            try:
                listener.bind((LOOPBACK, wanted))
            except OSError:
                listener.bind((LOOPBACK, 0))
            return int(listener.getsockname()[1])

        return Ports(
            airflow=free(airflow_port), s3=free(), emulator=free(), refunds=free(), control=free(), postgres=free()
        )
