"""Airflow's metadata database with our pools: made once for each Airflow version and config/pools.json, then copied."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from include.stack.environment import database_environment
from include.stack.folder import ROOT, StackFolder

POOLS = ROOT / "config" / "pools.json"


class MigrationFailed(Exception):
    """Airflow could not make its database; the message has the end of what it said."""


def give_database(folder: StackFolder, airflow_home: Path) -> None:
    """
    Put a migrated metadata database, empty but for the pools, into ``airflow_home``.

    The first time for an Airflow version takes about ten seconds, later ones none; several processes may ask at
    once.
    """
    airflow_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_template(folder), airflow_home / "airflow.db")


def make_database(environment: Mapping[str, str]) -> None:
    """
    Migrate the empty metadata database that ``environment`` names, and import the pools into it. Takes ten seconds.

    Raises MigrationFailed.
    """
    _airflow(environment, "db", "migrate")
    _airflow(environment, "pools", "import", str(POOLS))


def _template(folder: StackFolder) -> Path:
    folder.cache.mkdir(parents=True, exist_ok=True)
    pools = hashlib.sha256(POOLS.read_bytes()).hexdigest()[:8]
    template = folder.cache / f"airflow-{version('apache-airflow-core')}-{pools}.db"
    with (folder.cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            with tempfile.TemporaryDirectory(prefix="migration-", dir=folder.cache) as home:
                make_database(database_environment(folder, home))
                _copy_whole(Path(home, "airflow.db"), template)
    return template


def _copy_whole(database: Path, template: Path) -> None:
    """One file, with what Airflow may have left in the write-ahead log; there in full or not at all."""
    draft = template.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("VACUUM INTO ?", [str(draft)])
    draft.replace(template)


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
        said = "\n".join(ended.stdout.splitlines()[-15:])
        raise MigrationFailed(f"`airflow {' '.join(command)}` ended with status {ended.returncode}:\n{said}")
