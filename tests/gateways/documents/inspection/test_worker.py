"""The inspector's child process, and its answer to each request."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from include.enrichment.documents.document import DOCX, Inspected
from include.gateways.documents.inspection import messages, worker
from tests.fixtures.documents import docx, image, pdf

WORKER = [sys.executable, "-m", worker.__name__]


def _messages(*requests: messages.Request, memory_bytes: int = 1 << 30) -> list[messages.Kind | messages.Reply]:
    """Run the process to the end of its input."""
    sent = b"".join(messages.LENGTH.pack(len(each)) + each for each in map(msgspec.msgpack.encode, requests))
    finished = subprocess.run([*WORKER, "10", str(memory_bytes)], input=sent, capture_output=True, check=True)
    data, found = finished.stdout, []
    while data:
        end = messages.LENGTH.size + messages.LENGTH.unpack_from(data)[0]
        found.append(data[messages.LENGTH.size : end])
        data = data[end:]
    assert found[0] == messages.READY
    return [msgspec.msgpack.decode(each, type=messages.Kind | messages.Reply) for each in found[1:]]


def _replies(*requests: messages.Request, memory_bytes: int = 1 << 30) -> list[messages.Reply]:
    told = _messages(*requests, memory_bytes=memory_bytes)
    return [each for each in told if not isinstance(each, messages.Kind)]


def _file(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


def test_each_request_has_its_reply_in_order_until_the_input_ends(tmp_path: Path) -> None:
    source, out = _file(tmp_path, "pdf", pdf("a", "b")), str(tmp_path / "out")
    replies = _replies(
        messages.Inspect(source),
        messages.Inspect(_file(tmp_path, "png", image())),
        messages.Inspect(_file(tmp_path, "text", b"Hello")),
        messages.Make(source, "pages 2-2", out),
        messages.Make(source, "30x20", out),
        messages.Make(source, "sideways", out),
        messages.Inspect(str(tmp_path / "missing")),
    )
    media_types = [reply.inspected.media_type for reply in replies if isinstance(reply, messages.Found)]
    assert media_types == ["application/pdf", "image/png", "text/plain"]
    assert replies[3:5] == [
        messages.Made(),
        messages.CannotMake("is application/pdf, from which '30x20' cannot be made"),
    ]
    assert isinstance(replies[5], messages.CannotMake)
    assert replies[6] == messages.DiskFailed(errno.ENOENT, "No such file or directory", str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            docx("", others={"footnotes": "<w:p>" * 5_000 + "</w:p>" * 5_000}),
            "cannot be read: its parts are nested too deeply",
        ),
        (docx("", others={"footnotes": "<w:p>"}), "cannot be read: ExpatError: mismatched tag"),
    ],
)
def test_whatever_a_library_raises_is_a_problem_of_the_document(tmp_path: Path, data: bytes, problem: str) -> None:
    (reply,) = _replies(messages.Inspect(_file(tmp_path, "docx", data)))
    assert isinstance(reply, messages.Found)
    assert reply.inspected.media_type == DOCX
    assert (reply.inspected.problem or "").startswith(problem)


def test_the_kind_of_a_document_is_told_before_what_is_in_it(tmp_path: Path) -> None:
    told = _messages(messages.Inspect(_file(tmp_path, "png", image())), messages.Inspect(_file(tmp_path, "none", b"")))
    assert [type(each) for each in told] == [messages.Kind, messages.Found, messages.Found]
    assert told[0] == messages.Kind("image/png")


def test_memory_is_limited(tmp_path: Path) -> None:
    (reply,) = _replies(messages.Inspect(_file(tmp_path, "text", b"x" * 30_000_000)), memory_bytes=120_000_000)
    assert reply == messages.Found(
        Inspected(media_type="text/plain", problem="needs more than 120 MB of memory to be read")
    )
