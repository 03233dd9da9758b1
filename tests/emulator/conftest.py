"""Fixtures of the emulator's tests: SDK clients, requests, and one handle for the emulator and the real API."""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from anthropic import Anthropic
from anthropic.types.messages import MessageBatch
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from tests.fixtures.emulator import Emulator

REAL_API_KEY = "ANTHROPIC_API_KEY_CONTRACT"
MODEL = "claude-haiku-4-5"

Params = dict[str, Any]


@dataclass(frozen=True)
class Api:
    """The Message Batches API, of the emulator or of Anthropic."""

    client: Anthropic
    #: None for the real API.
    emulator: Emulator | None

    def hold_batches(self) -> None:
        """Make the emulator's batches take long enough to be seen in progress; real ones do anyway."""
        if self.emulator:
            self.emulator.set_faults([{"kind": "duration", "seconds": 3600}])

    def create(self, *params: Params, ids: list[str] | None = None) -> MessageBatch:
        """Create a batch of these requests, with the ids r-0, r-1, … by default."""
        return create(self.client, *params, ids=ids)

    def ended(self, batch_id: str) -> MessageBatch:
        """Wait until the batch has ended, which may take an hour on the real API, and return it."""
        pause, timeout = (0.02, 600.0) if self.emulator else (15.0, 3600.0)
        return ended(self.client, batch_id, pause_seconds=pause, timeout_seconds=timeout)


def create(client: Anthropic, *params: Params, ids: list[str] | None = None) -> MessageBatch:
    """Create a batch of these requests, with the ids r-0, r-1, … by default."""
    names = ids or [f"r-{index}" for index in range(len(params))]
    requests: Any = [{"custom_id": name, "params": one} for name, one in zip(names, params, strict=True)]
    return client.messages.batches.create(requests=requests)


def ended(
    client: Anthropic, batch_id: str, *, pause_seconds: float = 0.02, timeout_seconds: float = 600
) -> MessageBatch:
    """Wait until the batch has ended, and return it. Fails after ``timeout_seconds``."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        batch = client.messages.batches.retrieve(batch_id)
        if batch.processing_status == "ended":
            return batch
        time.sleep(pause_seconds)
    raise AssertionError(f"batch {batch_id} did not end within {timeout_seconds} s")


def results(client: Anthropic, batch_id: str) -> dict[str, Any]:
    """Return the results of a batch as plain objects by custom_id."""
    lines = [line.to_dict() for line in client.messages.batches.results(batch_id)]
    by_id: dict[str, Any] = {str(line["custom_id"]): line["result"] for line in lines}
    assert len(by_id) == len(lines)
    return by_id


def request(text: str = "The invoice total is wrong", **changes: Any) -> Params:
    """Return valid params with changes; a change to None removes the field."""
    params = {"model": MODEL, "max_tokens": 200, "messages": [{"role": "user", "content": text}], **changes}
    return {name: value for name, value in params.items() if value is not None}


def pdf(*pages: str, encrypt: str | None = None) -> bytes:
    """Return a PDF of these pages, line by line; a page without text is what a scan looks like to a reader of text."""
    file = io.BytesIO()
    canvas = Canvas(file, invariant=True, encrypt=encrypt)
    for page in pages:
        for number, line in enumerate(page.split("\n")):
            canvas.drawString(50, 800 - 15 * number, line)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def image(width: int = 1, height: int = 1, format: str = "PNG") -> bytes:
    """Return a white image."""
    file = io.BytesIO()
    Image.new("L", (width, height), 255).save(file, format)
    return file.getvalue()


def image_block(data: bytes | None = None, media_type: str = "image/png") -> dict[str, Any]:
    """Return an image as a content block; by default a small one."""
    return {"type": "image", "source": _source(image() if data is None else data, media_type)}


def document_block(data: bytes | str, media_type: str = "application/pdf", **fields: Any) -> dict[str, Any]:
    """Return a PDF, or a text given as a string, as a content block."""
    if isinstance(data, str):
        return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": data}, **fields}
    return {"type": "document", "source": _source(data, media_type), **fields}


def _source(data: bytes, media_type: str) -> dict[str, Any]:
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}


def asked(*blocks: dict[str, Any], question: str = "What does it say?") -> list[dict[str, Any]]:
    """Return one user turn with these blocks before the question."""
    return [{"role": "user", "content": [*blocks, {"type": "text", "text": question}]}]


@pytest.fixture
def client_of() -> Iterator[Callable[[Emulator], Anthropic]]:
    """A factory of SDK clients without retries, which are closed after the test."""
    clients: list[Anthropic] = []

    def make(server: Emulator) -> Anthropic:
        clients.append(Anthropic(api_key=server.api_key, base_url=server.url, max_retries=0))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(emulator: Emulator, client_of: Callable[[Emulator], Anthropic]) -> Anthropic:
    """An SDK client of this test's workspace."""
    return client_of(emulator)


_REAL = [pytest.param("real", marks=pytest.mark.real_api)] if REAL_API_KEY in os.environ else []


@pytest.fixture(params=["emulator", *_REAL])
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """The emulator, and with ``-m real_api`` the real API too if its key is set."""
    if request.param == "emulator":
        emulator = request.getfixturevalue("emulator")
        yield Api(request.getfixturevalue("client_of")(emulator), emulator)
        return
    with Anthropic(api_key=os.environ[REAL_API_KEY], max_retries=0) as client:
        yield Api(client, None)
