"""Which processes are the stack's, and that nothing else is ever touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from include.stack.environment import MARKER
from include.stack.folder import StackFolder
from include.stack.postgres_server import new_cluster
from include.stack.processes import AlreadyRunning, marked_processes, one_demo_at_a_time, running_demo, stop_all
from include.stack.stack import free_port, postgres_uri

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(3600)"


@pytest.fixture
def folder(tmp_path: Path) -> StackFolder:
    return StackFolder(path=tmp_path)


@contextmanager
def process(code: str, marker: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=os.environ | {MARKER: marker}, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()
        try:
            yield started
        finally:
            started.kill()


def test_everything_of_this_folder_is_stopped_and_nothing_else(
    folder: StackFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.stack.processes.STOP_SECONDS", 0.5)
    with process(DEAF, str(folder.path)) as ours, process(DEAF, f"{folder.path}-other") as other:
        assert [found.pid for found in marked_processes(folder)] == [ours.pid]
        assert stop_all(folder) == 1
        assert ours.wait(600) == -9
        assert other.poll() is None


def test_an_orphan_is_found(folder: StackFolder) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(3600)"]
    parent = f"import subprocess; subprocess.Popen({sleeper!r}); print(flush=True)"
    with process(parent, str(folder.path)) as started:
        started.wait(600)
    assert stop_all(folder) == 1
    assert marked_processes(folder) == []


def test_postgres_is_stopped_after_those_who_need_it_and_leaves_no_files(folder: StackFolder, tmp_path: Path) -> None:
    cluster, port, log = new_cluster(folder.postgres), free_port(), tmp_path / "log"
    cluster.create()
    cluster.set_password("secret")
    uri, wrote = postgres_uri(port, "secret").replace("+psycopg2", ""), tmp_path / "wrote"
    client = f"""
import pathlib, psycopg, signal, sys
def end(*_):
    connection.execute("select 1")
    pathlib.Path({str(wrote)!r}).write_text("the database answered")
    sys.exit()
connection = psycopg.connect({uri!r})
signal.signal(signal.SIGTERM, end)
print(flush=True)
while True: signal.pause()
"""
    with cluster.running(port, log, {MARKER: str(folder.path)}), process(client, str(folder.path)):
        assert stop_all(folder) >= 2
        assert wrote.read_text() == "the database answered"
        assert "database system is shut down" in log.read_text()
        assert marked_processes(folder) == []
    assert not cluster.folder.exists()


def test_one_demo_at_a_time(folder: StackFolder) -> None:
    assert running_demo(folder) is None
    with one_demo_at_a_time(folder):
        assert running_demo(folder) == os.getpid()
        with pytest.raises(AlreadyRunning, match=str(os.getpid())), one_demo_at_a_time(folder):
            pass
    assert running_demo(folder) is None
    with one_demo_at_a_time(folder):
        pass
