"""Airflow's metadata database with our pools: created once per Airflow version and config/pools.json, then copied."""

from __future__ import annotations

import fcntl
import hashlib
import json
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from include.stack.environment import MARKER, database_environment
from include.stack.folder import ROOT, StackFolder, write_private
from include.stack.postgres_server import PostgresUnavailable, new_cluster, remove_cluster
from include.stack.stack import Stack, free_port, postgres_uri

POOLS = ROOT / "config" / "pools.json"


class MigrationFailed(Exception):
    """Airflow could not create its database. The message has the end of Airflow's output."""


def give_airflow_home(stack: Stack, folder: StackFolder) -> Stack:
    """
    Create the Airflow home of a stack that is not running yet, with the login and an empty metadata database.

    Returns the stack. If Postgres does not run on this machine, the database is SQLite and ``no_postgres`` is set. The
    first time per Airflow version takes about ten seconds, later ones less than one. Raises MigrationFailed.
    """
    folder.airflow_home.mkdir(parents=True, exist_ok=True)
    passwords = folder.airflow_home / "simple_auth_manager_passwords.json.generated"
    write_private(passwords, json.dumps({"admin": stack.ui_password}))
    try:
        _give_postgres(stack, folder)
    except PostgresUnavailable as error:
        remove_cluster(folder.postgres)
        give_sqlite(folder, folder.airflow_home)
        return stack.model_copy(update={"no_postgres": str(error)})
    return stack


def give_sqlite(folder: StackFolder, airflow_home: Path) -> None:
    """
    Create a migrated SQLite metadata database in ``airflow_home``, empty except for the pools.

    The first time per Airflow version takes about ten seconds. Several processes may do this at once. Raises
    MigrationFailed.
    """
    airflow_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_template(folder, "db", _make_sqlite), airflow_home / "airflow.db")


def _give_postgres(stack: Stack, folder: StackFolder) -> None:
    cluster = new_cluster(folder.postgres)
    cluster.copy_from(_template(folder, "postgres", _make_postgres))
    cluster.set_password(stack.postgres_password)


def _template(folder: StackFolder, kind: str, make: Callable[[StackFolder, Path, Path], None]) -> Path:
    """
    Return the database that is copied for each stack, and create it if necessary.

    :param make: creates it; its arguments are the stack's folder, an empty working folder and the path of the result
    """
    folder.cache.mkdir(parents=True, exist_ok=True)
    pools = hashlib.sha256(POOLS.read_bytes()).hexdigest()[:8]
    template = folder.cache / f"airflow-{version('apache-airflow-core')}-{pools}.{kind}"
    with (folder.cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            for left in folder.cache.glob("migration-*"):  # of a killed process
                remove_cluster(left / "postgres")
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix="migration-", dir=folder.cache) as workshop:
                draft = Path(workshop, "draft")
                make(folder, Path(workshop), draft)
                draft.rename(template)
    return template


def _make_sqlite(folder: StackFolder, workshop: Path, draft: Path) -> None:
    """Create one file that includes the write-ahead log."""
    _migrate(database_environment(folder, str(workshop)))
    with closing(sqlite3.connect(workshop / "airflow.db")) as connection:
        connection.execute("VACUUM INTO ?", [str(draft)])


def _make_postgres(folder: StackFolder, workshop: Path, draft: Path) -> None:
    password, port = secrets.token_urlsafe(24), free_port()
    cluster = new_cluster(workshop / "postgres")
    try:
        cluster.create()
        cluster.set_password(password)
        with cluster.running(port, workshop / "log", {MARKER: str(folder.path)}):
            _migrate(database_environment(folder, str(workshop), uri=postgres_uri(port, password)))
        shutil.copytree(cluster.data, draft)
    finally:
        remove_cluster(workshop / "postgres")


def _migrate(environment: Mapping[str, str]) -> None:
    _airflow(environment, "db", "migrate")
    _airflow(environment, "pools", "import", str(POOLS))


def _airflow(environment: Mapping[str, str], *command: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "airflow", *command],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode:
        output = "\n".join(ended.stdout.splitlines()[-15:])
        raise MigrationFailed(f"`airflow {' '.join(command)}` ended with status {ended.returncode}:\n{output}")
