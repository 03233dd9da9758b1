"""Airflow's metadata database: on Postgres, and where that does not run on SQLite, which is said."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from include.stack import postgres_server
from include.stack.environment import METADATA, stack_environment
from include.stack.folder import StackFolder
from include.stack.metadata import give_airflow_home
from include.stack.postgres_server import cluster_at, remove_cluster
from include.stack.stack import new_stack
from include.stack.supervisor import configuration

POOLS = "select pool from slot_pool order by pool"


@pytest.fixture
def folder(stack_folder: StackFolder, tmp_path: Path) -> StackFolder:
    """A stack's folder that has the session's migrated databases."""
    (tmp_path / "cache").symlink_to(stack_folder.cache)
    return StackFolder(path=tmp_path)


def test_it_is_in_postgres_migrated_and_with_our_pools(folder: StackFolder, tmp_path: Path) -> None:
    stack = give_airflow_home(new_stack(folder, real_api=False, processing_seconds=5), folder)
    try:
        assert stack.no_postgres == ""
        uri = stack_environment(stack)[METADATA]
        with (
            cluster_at(folder.postgres).running(stack.ports.postgres, tmp_path / "log", {}),
            psycopg.connect(uri.replace("+psycopg2", "")) as connection,
        ):
            assert connection.execute(POOLS).fetchall() == [("claude_batches",), ("default_pool",)]
    finally:
        remove_cluster(folder.postgres)
    login = folder.airflow_home / "simple_auth_manager_passwords.json.generated"
    assert login.read_text(encoding="utf-8") == f'{{"admin": "{stack.ui_password}"}}'
    assert stat.S_IMODE(login.stat().st_mode) == 0o600


def test_where_postgres_does_not_run_it_is_in_sqlite(folder: StackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_server, "WHEEL", "no-such-wheel")
    stack = give_airflow_home(new_stack(folder, real_api=False, processing_seconds=5), folder)
    assert stack.no_postgres == "no-such-wheel is not installed"
    database = folder.airflow_home / "airflow.db"
    assert stack_environment(stack)[METADATA].startswith(f"sqlite:///{database}?")
    assert "[program:postgres]" not in configuration(stack)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute(POOLS).fetchall() == [("claude_batches",), ("default_pool",)]
