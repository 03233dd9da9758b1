"""Create bodies: large ones, unusual ones, and rejected ones."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import msgspec
import psutil
import pytest
from anthropic import Anthropic
from anthropic.types.messages import MessageBatch

from include.emulator.api_errors import ApiError
from include.emulator.engine import bodies
from tests.emulator.conftest import ended, request
from tests.fixtures.emulator import Emulator, EmulatorProcess

ROWS = 20_000


def post(client: Anthropic, content: bytes | Iterator[bytes]) -> MessageBatch:
    """Send a create with this body."""
    return client.post("/v1/messages/batches", content=content, cast_to=MessageBatch)


def body(count: int, text: str = "x") -> bytes:
    """Return a create body with this number of requests."""
    return msgspec.json.encode(
        {"requests": [{"custom_id": f"r-{index}", "params": request(f"{index} {text}")} for index in range(count)]}
    )


def test_a_large_batch_is_accepted_quickly_and_polls_continue(
    tmp_path: Path, client_of: Callable[[Emulator], Anthropic]
) -> None:
    with EmulatorProcess(tmp_path / "state", processing_seconds=0) as process:
        server = process.workspace()
        client, poller = client_of(server), client_of(server)
        payload = body(ROWS, "text " * 400)
        # CPU time of the server itself, which does not depend on how busy the machine is.
        cpu_times = psutil.Process(process.pid).cpu_times
        waits: list[float] = []
        done = threading.Event()

        def poll() -> None:
            while not done.is_set():
                started = sum(cpu_times()[:2])
                poller.messages.batches.list(limit=1)
                waits.append(sum(cpu_times()[:2]) - started)
                time.sleep(0.02)

        thread = threading.Thread(target=poll)
        thread.start()
        started = sum(cpu_times()[:2])
        batch = post(client, payload)
        took_seconds = sum(cpu_times()[:2]) - started
        counts = ended(client, batch.id).request_counts
        done.set()
        thread.join()
        assert counts.succeeded == ROWS
        assert took_seconds < 5
        assert max(waits) < 2
        with client.messages.batches.with_streaming_response.results(batch.id) as response:
            lines = b"".join(response.iter_bytes(1 << 20)).splitlines()
        assert len({json.loads(line)["custom_id"] for line in lines}) == ROWS
        peak_kilobytes = int(Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:")[1].split()[0])
        assert peak_kilobytes < 300_000


def test_a_body_may_come_in_pieces_without_a_length(client: Anthropic) -> None:
    content = body(3)
    pieces = (content[at : at + 100] for at in range(0, len(content), 100))
    assert post(client, pieces).request_counts.processing == 3


def test_a_body_over_256_mb_is_rejected_by_the_proxy_not_the_api(emulator: Emulator, client: Anthropic) -> None:
    piece = b" " * 1_000_000
    with pytest.raises(anthropic.APIStatusError) as caught:
        post(client, itertools.repeat(piece, 257))
    assert caught.value.status_code == 413
    assert caught.value.response.headers["content-type"].startswith("text/html")
    assert "request-id" not in caught.value.response.headers
    assert emulator.batches_made() == []


def test_more_than_100_000_requests_are_rejected(emulator: Emulator, client: Anthropic) -> None:
    params: dict[str, Any] = {}
    items = [{"custom_id": f"r-{index}", "params": params} for index in range(100_001)]
    with pytest.raises(anthropic.BadRequestError, match="at most 100000 items after validation, not 100001"):
        post(client, msgspec.json.encode({"requests": items}))
    assert emulator.batches_made() == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The request body is not valid JSON: "),
        (b"[1, 2", "The request body is not valid JSON: "),
        (b'{"requests": [{"custom_id": "a", "params": {}}]} x', "The request body is not valid JSON: "),
        (b"[" * 100_000, "The request body is not valid JSON: "),
        (b"[]", "body: Input should be a valid dictionary"),
        (b"{}", "requests: Field required"),
        (b'{"requests": {}}', "requests: Input should be a valid list"),
        (b'{"requests": [1]}', "requests.0: Input should be a valid dictionary"),
        (b'{"requests": [{"custom_id": 1, "params": {}}]}', "requests.0.custom_id: Input should be a valid string"),
        (b'{"requests": [{"custom_id": "a"}]}', "requests.0.params: Field required"),
        (b'{"requests": [{"custom_id": "a", "params": 1}]}', "requests.0.params: Input should be a valid dictionary"),
        (b'{"requests": [], "name": "x"}', "name: Extra inputs are not permitted"),
        (b'{"requests": [{"custom_id": "a", "params": {}, "b": 1}]}', "requests.0.b: Extra inputs are not permitted"),
        (b'{"requests": [{"custom_id": "", "params": {}}]}', "requests.0.custom_id: String should match pattern"),
    ],
)
def test_a_malformed_body_is_rejected_with_the_path(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "body"
    path.write_bytes(content)
    with pytest.raises(ApiError) as caught:
        bodies.check(bodies.open_items(path))
    assert caught.value.status == 400
    assert caught.value.message.startswith(message)


def test_invalid_utf_8_in_params_errors_only_its_own_line(client: Anthropic) -> None:
    good = msgspec.json.encode(request())
    content = (
        b'{"requests":[{"custom_id":"good","params":' + good + b'},{"custom_id":"bad","params":{"model":"\xff"}}]}'
    )
    counts = ended(client, post(client, content).id).request_counts
    assert (counts.succeeded, counts.errored) == (1, 1)
