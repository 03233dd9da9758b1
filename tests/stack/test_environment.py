"""What the environment makes of Airflow, seen without starting one."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy

from include.stack.environment import core_settings


def test_a_metadata_database_that_another_process_writes_to_is_waited_for_a_minute(tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(core_settings(str(tmp_path))["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("pragma busy_timeout")) == 60_000
    engine.dispose()
