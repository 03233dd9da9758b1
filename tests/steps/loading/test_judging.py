"""judging.py: the lines of one download. What becomes of odd ones on the lake: test_load_odd_lines.py."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.enrichment.answers.schema.output import TextOutput
from include.enrichment.batches.usage import make_usage_record, sum_usage
from include.enrichment.cost.prices import prices
from include.enrichment.errors import LoadError
from include.enrichment.requests.request import Request
from include.gateways.lake import Lake
from include.gateways.result_store import Part
from include.steps.files.chunk_files import Chunk, read_chunk, write_chunk
from include.steps.loading.decoding import decode
from include.steps.loading.judging import Judge
from tests.fixtures.usage import facts_of

USAGE = {"input_tokens": 1_000, "output_tokens": 20}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path)


@pytest.fixture
def chunk(lake: Lake) -> Chunk:
    """Of three requests for free text."""
    params = json.dumps({"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]})
    requests = [Request(request_id=f"r-{number}", params=params) for number in range(3)]
    return read_chunk(lake, write_chunk(lake, requests, pipeline="p", schema_text=None))


def judge(lake: Lake, chunk: Chunk, *, final: bool, outstanding: Collection[str] = ("r-0", "r-1", "r-2")) -> Judge:
    return Judge(chunk=chunk, batch_id="b", output=TextOutput(), outstanding=outstanding, lake=lake, final=final)


def line(request_id: str, text: str = "x", **message: Any) -> bytes:
    content = [{"type": "text", "text": text}]
    whole = {"model": "claude-haiku-4-5", "content": content, "stop_reason": "end_turn", "usage": USAGE} | message
    return json.dumps({"custom_id": request_id, "result": {"type": "succeeded", "message": whole}}).encode() + b"\n"


def judged(judge: Judge, *lines: bytes) -> list[dict[str, Any]]:
    part = Part(data=b"".join(lines), first=8, lines=len(lines))
    return [outcome for batch in judge.outcomes(decode(part)) for outcome in batch.to_pylist()]


def test_a_line_that_cannot_be_read_needs_another_download(lake: Lake, chunk: Chunk) -> None:
    with pytest.raises(LoadError, match=r"Line 9 of batch b's results cannot be read \(.*\): the download") as caught:
        judged(judge(lake, chunk, final=False), line("r-0"), line("r-1", "\ud83d"))
    assert caught.value.retryable


def test_in_the_last_download_it_is_a_reject_that_says_what_it_used(lake: Lake, chunk: Chunk) -> None:
    reading = judge(lake, chunk, final=True)
    found = {one["request_id"]: one for one in judged(reading, line("r-0"), line("r-1", "\ud83d"), line("r-2"))}
    assert [found[name]["outcome"] for name in sorted(found)] == ["succeeded", "invalid", "succeeded"]
    assert (found["r-1"]["text"], found["r-1"]["output_tokens"], found["r-1"]["upper_bound"]) == ("\ufffd", 20, False)
    (said,) = reading.odd()
    assert said.startswith("1 of 3 result lines cannot be read (line 9: ")


def test_a_synchronous_answer_that_does_not_tell_its_tier_never_has_the_price_of_a_batch(
    lake: Lake, chunk: Chunk
) -> None:
    lines = [line("r-0"), line("r-1", usage=None), line("r-2", usage=USAGE | {"service_tier": "priority"})]
    asked = {
        one["request_id"]: one for one in judged(judge(lake, replace(chunk, synchronous=True), final=True), *lines)
    }
    assert [asked[name]["service_tier"] for name in sorted(asked)] == ["standard", "standard", "priority"]
    in_batch = {one["request_id"]: one for one in judged(judge(lake, chunk, final=True), *lines)}
    assert [in_batch[name]["service_tier"] for name in sorted(in_batch)] == [None, None, "priority"]


@pytest.mark.parametrize("usage", [None, USAGE | {"output_tokens": 2**62}])
def test_an_answer_that_does_not_say_what_it_used_gets_the_most_of_its_own_request(
    lake: Lake, chunk: Chunk, usage: Any
) -> None:
    reading = judge(lake, chunk, final=False)
    found = {one["request_id"]: one for one in judged(reading, line("r-2", usage=usage), line("r-0"))}
    assert [(found[name]["output_tokens"], found[name]["upper_bound"]) for name in ("r-0", "r-2")] == [
        (20, False),
        (9, True),
    ]
    (said,) = reading.odd()
    assert "The usage of 1 of 3 answers cannot be read: the usage record has the most that they can have cost" in said


def test_an_answer_of_a_stranger_is_passed_on(lake: Lake, chunk: Chunk) -> None:
    (found,) = judged(judge(lake, chunk, final=True), line("stranger", usage=None))
    assert (found["request_id"], found["upper_bound"], found["output_tokens"]) == ("stranger", True, 0)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(b"<p>Please log in</p>\n", id="nobody's"),
        pytest.param(line("r-1", "\ud83d"), id="one that is there already"),
        pytest.param(line("stranger", "\ud83d"), id="a stranger's"),
        pytest.param(line("r-0", "\ud83d")[:-1], id="without its line feed"),
    ],
)
def test_an_unreadable_line_that_may_not_be_ours_counts_as_missing(lake: Lake, chunk: Chunk, odd: bytes) -> None:
    reading = judge(lake, chunk, final=True, outstanding=("r-0", "r-2"))
    assert [one["request_id"] for one in judged(reading, line("r-2"), odd)] == ["r-2"]
    assert "1 of them could not be matched with a request and were left out." in reading.odd()


def test_of_a_download_in_which_all_is_well_there_is_nothing_to_say(lake: Lake, chunk: Chunk) -> None:
    reading = judge(lake, chunk, final=True)
    assert len(judged(reading, line("r-0"), line("r-1"))) == 2
    assert reading.odd() == []


@settings(
    deadline=None, max_examples=150, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_however_one_line_is_garbled_its_batch_is_loaded_and_has_a_cost(
    lake: Lake, chunk: Chunk, data: st.DataObject
) -> None:
    whole = line("r-1", "a\ud83db")
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    garbled = whole[:start] + data.draw(st.binary(max_size=20)) + whole[end:]
    part = Part(data=(body := line("r-0") + garbled.rstrip(b"\r\n") + b"\n"), first=1, lines=body.count(b"\n"))
    batches = list(judge(lake, chunk, final=True).outcomes(decode(part)))
    (booking,) = make_usage_record(facts_of(), pa.concat_tables(map(sum_usage, batches))).to_pylist()
    assert {"r-0"} <= {name for batch in batches for name in batch["request_id"].to_pylist()} <= {"r-0", "r-1"}
    # A line that is whole may name any model, and a price is never guessed.
    priced = set((booking["model"] or "").split(", ")) <= prices().models.keys()
    assert booking["cost_usd"] >= Decimal("0.00055") if priced else booking["cost_usd"] is None
