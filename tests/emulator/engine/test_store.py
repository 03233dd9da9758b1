"""Everything that the server has confirmed survives a SIGKILL at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import anthropic
import pytest
from anthropic import Anthropic

from tests.emulator.conftest import create, ended, request, results
from tests.fixtures.emulator import Emulator, EmulatorProcess

ClientOf = Callable[[Emulator], Anthropic]


@pytest.fixture
def process(tmp_path: Path) -> EmulatorProcess:
    """A process of the test's own, not yet started; it ends with the test."""
    return EmulatorProcess(tmp_path / "state", processing_seconds=0)


def test_a_killed_server_resumes_its_batches(process: EmulatorProcess, client_of: ClientOf) -> None:
    with process:
        server = process.workspace()
        server.set_faults([{"kind": "duration", "seconds": 3600, "times": 1}])
        client = client_of(server)
        running = create(client, request(), request())
        done = ended(client, create(client, request("another")).id)
        before = results(client, done.id)
        process.kill()
        process.start()
        assert client.messages.batches.retrieve(running.id) == running
        assert client.messages.batches.retrieve(done.id) == done
        assert results(client, done.id) == before
        server.advance_clock(3600)
        assert ended(client, running.id).request_counts.succeeded == 2
        assert len(server.batches_made()) == 2
        assert len(server.creates()) == 2


def test_a_batch_killed_in_processing_is_processed_after_the_restart(
    process: EmulatorProcess, client_of: ClientOf
) -> None:
    with process:
        client = client_of(process.workspace())
        batch = create(client, *[request()] * 20_000)
        process.kill()
        process.start()
        assert ended(client, batch.id).request_counts.succeeded == 20_000


def test_a_create_interrupted_by_a_kill_is_complete_or_absent(
    process: EmulatorProcess, client_of: ClientOf, tmp_path: Path
) -> None:
    with process:
        server = process.workspace()
        client = client_of(server)
        answered: list[str] = []

        def keep_creating() -> None:
            while True:
                try:
                    answered.append(create(client, *[request()] * 200).id)
                except anthropic.APIConnectionError:
                    return

        thread = threading.Thread(target=keep_creating)
        thread.start()
        time.sleep(0.5)
        process.kill()
        thread.join()
        process.start()
        made = [batch["id"] for batch in server.batches_made()]
        assert set(answered) <= set(made)
        assert len(made) <= len(answered) + 1
        for batch_id in made:
            assert ended(client, batch_id).request_counts.succeeded == 200
        assert not list((tmp_path / "state").rglob("*.part"))


def test_faults_and_clock_survive_a_restart(process: EmulatorProcess, client_of: ClientOf) -> None:
    with process:
        server = process.workspace()
        server.set_faults([{"kind": "http_error", "status": 529, "times": 2}])
        server.advance_clock(86_400)
        client = client_of(server)
        with pytest.raises(anthropic.APIStatusError):
            create(client, request())
        process.kill()
        process.start()
        assert [fault["remaining"] for fault in server.faults()] == [1]
        with pytest.raises(anthropic.APIStatusError):
            create(client, request())
        assert create(client, request()).created_at.timestamp() > time.time() + 86_000


def test_moving_all_clocks_keeps_them_equal(process: EmulatorProcess) -> None:
    with process as server:
        server.advance_clock(86_400)
        everybody, workspace = (
            datetime.fromisoformat(seen._call("GET", "clock")["now"]) for seen in (server, server.workspace())
        )
    assert abs(everybody - workspace) < timedelta(hours=12)


def test_the_chances_of_a_fault_survive_a_restart(process: EmulatorProcess, client_of: ClientOf) -> None:
    with process:
        server, unharmed = process.workspace(), process.workspace()
        for workspace in (server, unharmed):
            workspace.set_faults([{"kind": "http_error", "on": "list", "status": 529, "after": 3, "chance": 0.5}])

        def is_struck(workspace: Emulator) -> bool:
            try:
                client_of(workspace).messages.batches.list()
            except anthropic.APIStatusError:
                return True
            return False

        expected = [is_struck(unharmed) for _ in range(20)]
        before = [is_struck(server) for _ in range(8)]
        process.kill()
        process.start()
        assert before + [is_struck(server) for _ in range(12)] == expected


def test_a_batch_is_billed_once_even_if_its_processing_is_killed_repeatedly(
    process: EmulatorProcess, client_of: ClientOf, tmp_path: Path
) -> None:
    with process:
        server = process.workspace()
        client = client_of(server)
        batch = create(client, *[request(f"ticket {number}") for number in range(20_000)])
        for seconds in (0.3, 0.5, 0.7):
            time.sleep(seconds)
            process.kill()
            process.start()
        ended(client, batch.id)
        bills = server.bills()
        assert (bills["batches"], bills["requests"], bills["billed_twice"]) == (1, 20_000, 0)
        process.kill()
        process.start()
        assert server.bills() == bills
        assert server.orphans() == [batch.id]
        assert not list((tmp_path / "state").rglob("*.part"))


def test_a_faults_file_is_armed_once_and_not_again_after_a_restart(tmp_path: Path, client_of: ClientOf) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text("- {kind: http_error, status: 500, times: 1}\n")
    with EmulatorProcess(tmp_path / "state", faults=file, processing_seconds=0) as process:
        client = client_of(process.workspace())
        with pytest.raises(anthropic.InternalServerError):
            create(client, request())
        process.kill()
        process.start()
        create(client, request())


def test_two_servers_do_not_share_a_state_directory(process: EmulatorProcess, tmp_path: Path) -> None:
    with process, pytest.raises(RuntimeError, match="exit code 2"):
        EmulatorProcess(tmp_path / "state").start()
