"""What the environment makes of Airflow, seen without starting one."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import sqlalchemy

from include.stack.environment import core_settings

#: SQLite's own patience is 5 s.
LOCKED_SECONDS = 7


def test_a_metadata_database_that_another_process_writes_to_is_waited_for(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "airflow.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("create table slots (number integer)")
        other.execute("begin immediate")
        done = threading.Timer(LOCKED_SECONDS, lambda: other.execute("rollback"))
        done.start()
        engine = sqlalchemy.create_engine(core_settings(str(tmp_path))["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("insert into slots values (1)"))
        engine.dispose()
        done.join()
        assert other.execute("select number from slots").fetchall() == [(1,)]
