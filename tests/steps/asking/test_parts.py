"""parts.py: the result lines of a synchronous chunk, stored as they come."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.enrichment.errors import LakeError
from include.gateways.lake import Lake
from include.steps.asking.parts import Parts, result_line


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(Lake.in_folder(tmp_path), pipeline="tickets", chunk_id="c")


def line(request_id: str, text: str = "a") -> bytes:
    return result_line(request_id, json.dumps({"type": "succeeded", "text": text}).encode())


def test_a_result_line_is_one_as_the_api_writes_it() -> None:
    assert json.loads(line("r")) == {"custom_id": "r", "result": {"type": "succeeded", "text": "a"}}
    assert line("r").endswith(b"\n")


def test_the_lines_of_all_parts_come_in_the_order_in_which_they_were_written(parts: Parts) -> None:
    parts.write([line("r2"), line("r1")])
    parts.write([line("r3")])
    assert list(parts.lines()) == [line("r2"), line("r1"), line("r3")]
    assert parts.request_ids() == {"r1", "r2", "r3"}


def test_of_two_answers_to_a_request_the_first_counts(parts: Parts) -> None:
    parts.write([line("r1", "first")])
    parts.write([line("r1", "second"), line("r2")])
    assert list(parts.lines()) == [line("r1", "first"), line("r2")]
    assert parts.repeated == 1


def test_the_last_part_tells_when_the_last_answer_came(parts: Parts) -> None:
    assert parts.ended_at() is None
    before = datetime.now(UTC)
    parts.write([line("r1")])
    ended_at = parts.ended_at()
    assert ended_at
    assert before <= ended_at <= datetime.now(UTC)


def test_deleted_parts_leave_nothing_and_touch_no_other_chunk(parts: Parts, tmp_path: Path) -> None:
    other = Parts(Lake.in_folder(tmp_path), pipeline="tickets", chunk_id="d")
    other.write([line("r9")])
    parts.write([line("r1")])
    parts.delete()
    assert parts.request_ids() == set()
    assert other.request_ids() == {"r9"}


def test_a_damaged_part_is_an_error_and_not_a_request_without_an_answer(parts: Parts, tmp_path: Path) -> None:
    lake = Lake.in_folder(tmp_path)
    parts.write([line("r1")])
    (key,) = lake.list("asked/")
    lake.write(key, b"garbage")
    with pytest.raises(LakeError, match=r"cannot be read.*answers that are paid for"):
        parts.request_ids()
