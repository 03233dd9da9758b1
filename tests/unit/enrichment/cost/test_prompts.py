"""prompts.py: the tokens of prompts with attachments. Those of texts alone: test_estimate.py."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.enrichment.cost.attached_sizes import ATTACHED_SIZES_SCHEMA
from include.enrichment.cost.bounds import Bounds
from include.enrichment.cost.history import History
from include.enrichment.cost.prompts import PromptCase, prompt_cases
from include.enrichment.cost.token_sample import TokenSample, choose_sample, summarise_sample

MODEL = "claude-sonnet-5-5"
A_QUARTER = Bounds(low=0.25, expected=0.25, high=0.25)
COUNTED = TokenSample(
    requests=200,
    tokens={},
    frame_bytes=400,
    frame_tokens=100,
    per_byte=A_QUARTER,
    prefix_tokens=80,
    attachments=Bounds(low=0.8, expected=0.9, high=1.2),
)
#: Two pages of text in each: 3,200 tokens of pictures and 1,400 of text.
TWO_PAGES = {"attached_tokens": 4_600, "most_attached_tokens": 3_200 + round(1_400 * 4.5)}


def sizes_of(requests: int, **line: int) -> pa.Table:
    lines = [
        {"params_bytes": 1_000_000, "text_bytes": 800, "media_types": "application/pdf"}
        | line
        | {"request_id": f"r{n}"}
        for n in range(requests)
    ]
    return pa.Table.from_pylist(lines, ATTACHED_SIZES_SCHEMA)


def tokens(
    sizes: pa.Table, *, sample: TokenSample | None = COUNTED, history: History | None = None
) -> tuple[dict[str, float], str]:
    cases, source = prompt_cases(MODEL, len(sizes), 0, sizes, sample, history or History())

    def total(of_bound: list[PromptCase]) -> float:
        return sum(case.share * case.total for case in of_bound)

    return {bound: total(of_bound) for bound, of_bound in cases.items()}, source


def test_attachments_take_what_was_reckoned_times_what_the_sample_says() -> None:
    found, source = tokens(sizes_of(1_000, **TWO_PAGES))
    assert found["expected"] == pytest.approx(1_000 * (100 + 400 / 4 + 4_600 * 0.9))
    assert source == "200 counted, attachments: 90% of the tokens expected by page and pixel"


def test_attachments_are_named_as_a_source_only_if_there_are_any() -> None:
    assert tokens(sizes_of(10, attached_tokens=0, most_attached_tokens=0))[1] == "200 counted"


def test_bytes_of_attachments_are_no_text() -> None:
    few, many = (tokens(sizes_of(10, params_bytes=size, **TWO_PAGES))[0] for size in (1_000, 30_000_000))
    assert few == many


def test_the_bounds_are_close_for_many_documents_and_hold_for_a_kind_that_was_missed() -> None:
    many, few = (tokens(sizes_of(number, **TWO_PAGES))[0] for number in (10_000, 5))
    assert many["low"] < many["expected"] < many["high"] < 1.5 * many["expected"]
    assert few["high"] == pytest.approx(5 * (100 + 400 + TWO_PAGES["most_attached_tokens"]) * 1.03)


def test_a_counted_request_is_known_and_an_image_nearly_so() -> None:
    counted = COUNTED.model_copy(update={"tokens": {f"r{n}": 5_000 for n in range(10)}})
    assert tokens(sizes_of(10, **TWO_PAGES), sample=counted)[0]["high"] == pytest.approx(51_500)
    images = sizes_of(10, attached_tokens=1_500, most_attached_tokens=1_500, text_bytes=400)
    alike = COUNTED.model_copy(update={"attachments": Bounds(low=1, expected=1, high=1)})
    assert tokens(images, sample=alike)[0]["high"] == pytest.approx(10 * (100 + 1_500) * 1.03)


@pytest.mark.parametrize("sample", [None, COUNTED.model_copy(update={"attachments": None})])
def test_without_a_count_the_high_bound_is_the_most_that_documents_can_take(sample: TokenSample | None) -> None:
    found, source = tokens(sizes_of(100_000, **TWO_PAGES), sample=sample)
    assert found["high"] >= 100_000 * TWO_PAGES["most_attached_tokens"]
    assert found["low"] < 100_000 * 4_600 < found["expected"]
    assert source.endswith(", attachments: the tokens expected by page and pixel")


def test_earlier_batches_say_nothing_as_their_bytes_are_those_of_attachments_too() -> None:
    history = History(tokens_per_byte=Bounds(low=0.001, expected=0.001, high=0.001))
    sizes = sizes_of(10, **TWO_PAGES)
    assert tokens(sizes, sample=None, history=history) == tokens(sizes, sample=None)


def test_no_requests_take_no_tokens() -> None:
    arguments: dict[str, Any] = {"sample": COUNTED, "history": History()}
    for table in (sizes_of(0), sizes_of(10)[:0]):
        cases, _ = prompt_cases(MODEL, 0, 0, table, **arguments)
        assert {case.total for each in cases.values() for case in each} == {0}


#: Pages, bytes of text on each, and tokens per byte of it: scans, prose, Chinese, digits.
DOCUMENTS = st.lists(
    st.tuples(
        st.sampled_from([1, 3, 20, 150]),
        st.sampled_from([0, 40, 2_500, 9_000]),
        st.sampled_from([0.15, 0.25, 0.5, 1.0]),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(kinds=DOCUMENTS, size=st.sampled_from([20_000, 1_300_000]), seed=st.integers(0, 2**32))
def test_the_high_bound_holds_for_any_mixture_of_documents(
    kinds: list[tuple[int, int, float]], size: int, seed: int
) -> None:
    draw = Random(seed)
    lines, truth = [], {}
    for number in range(300):
        pages, text, per_byte = draw.choices(kinds, [1.0, 0.2, 0.05, 0.01][: len(kinds)])[0]
        pictures, reckoned, true = pages * 1_600, pages * math.ceil(text / 3.5), pages * math.ceil(text * per_byte)
        truth[f"r{number}"] = (pictures + reckoned, pictures + true)
        lines.append(
            {
                "request_id": f"r{number}",
                "params_bytes": size,
                "text_bytes": 800,
                "attached_bytes": size,
                "attached_tokens": pictures + reckoned,
                "most_attached_tokens": pictures + round(reckoned * 4.5),
                "media_types": "application/pdf",
            }
        )
    sizes = pa.Table.from_pylist(lines, ATTACHED_SIZES_SCHEMA)
    chosen = sorted(choose_sample(sizes))
    sample = summarise_sample(
        [(800, 200)] * len(chosen),
        prefix_tokens=0,
        frame=(400, 100),
        request_ids=chosen,
        attached=[truth[name] for name in chosen],
    )
    for sent in (sizes, sizes[:5], sizes[150:]):
        names = sent["request_id"].to_pylist()
        found, _ = tokens(sent, sample=sample)
        assert sum(200 + truth[name][1] for name in names) <= found["high"]
