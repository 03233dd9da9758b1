"""Runs that compare variants: each is planned, sent, booked and paid for by itself."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from include.enrichment.errors import BatchError, BudgetExceeded, NotSent
from include.enrichment.runs import passes
from include.enrichment.storage import layout
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.steps import plan as plan_module
from include.steps.dry_run import dry_run
from include.steps.files.chunk_files import Chunk, params_of, read_chunk
from include.steps.planning.token_counts import count_sample, read_counted
from tests.fixtures.flow import SCHEMA, Flow, booked
from tests.fixtures.pricing import LONG_SYSTEM, cost, estimated, limit, reserved
from tests.fixtures.variants import with_variants

CANDIDATE = {"model": "claude-opus-5-5", "system": "Label it."}
_TONE = {"type": "string", "enum": ["calm", "angry"], "description": "How the author sounds."}
_RICHER: dict[str, Any] = json.loads(json.dumps(SCHEMA))
_RICHER["properties"]["tone"] = _TONE
_RICHER["required"].append("tone")
#: The output of the pipeline, and one field more.
RICHER = json.dumps(_RICHER)


@pytest.fixture
def compared(flow: Flow) -> Flow:
    """Three tickets, each for two variants, extracted."""
    return compare(flow, current={}, candidate=CANDIDATE)


def compare(flow: Flow, **variants: dict[str, Any]) -> Flow:
    flow.pipeline = with_variants(flow.pipeline, **variants)
    flow.extract()
    return flow


def chunks_of(flow: Flow, pass_name: str = passes.MAIN) -> dict[str, Chunk]:
    """The chunks of a pass by the variant, of which each has one."""
    chunks = [read_chunk(flow.lake, key) for key in flow.plan(pass_name)]
    found = {str(chunk.variant): chunk for chunk in chunks}
    assert len(found) == len(chunks)
    return found


def models_in(flow: Flow, chunk: Chunk) -> set[str]:
    return {msgspec.json.decode(text)["model"] for text in params_of(flow.lake, chunk, chunk.request_ids).values()}


def booked_for(flow: Flow) -> dict[str, Decimal]:
    """What was booked for each variant."""
    found: dict[str, Decimal] = {}
    for line in booked(flow):
        found[str(line["variant"])] = found.get(str(line["variant"]), Decimal(0)) + line["cost_usd"]
    return found


def published_for(flow: Flow) -> dict[str, Decimal]:
    """The costs of the published rows of each variant."""
    found: dict[str, Decimal] = {}
    for row in flow.published().select(["_variant", "_cost_usd"]).to_pylist():
        found[row["_variant"]] = found.get(row["_variant"], Decimal(0)) + row["_cost_usd"]
    return found


class TestChunks:
    def test_each_holds_the_requests_of_one_variant(self, compared: Flow) -> None:
        found = chunks_of(compared)
        assert {name: models_in(compared, chunk) for name, chunk in found.items()} == {
            "current": {"claude-haiku-5-5"},
            "candidate": {"claude-opus-5-5"},
        }
        assert [len(chunk.request_ids) for chunk in found.values()] == [3, 3]

    def test_each_has_the_cached_prefix_of_its_variant(self, flow: Flow) -> None:
        compare(flow, current={}, candidate={"system": LONG_SYSTEM, "cache": "1h"})
        found = chunks_of(flow)
        assert found["current"].cached is None
        assert found["candidate"].cached == flow.pipeline.by_variant["candidate"].cached_prefix is not None

    def test_a_request_that_two_variants_share_is_sent_once_for_the_first(self, flow: Flow) -> None:
        compare(flow, first=CANDIDATE, second={}, third={**CANDIDATE})
        assert {name: len(chunk.request_ids) for name, chunk in chunks_of(flow).items()} == {"first": 3, "second": 3}

    def test_the_limits_split_each_variant_by_itself(self, twenty: Flow) -> None:
        compare(twenty, current={}, candidate=CANDIDATE)
        limit(twenty, batch_requests=8)
        chunks = [read_chunk(twenty.lake, key) for key in twenty.plan()]
        assert [(chunk.variant, len(chunk.request_ids)) for chunk in chunks] == [
            ("current", 8),
            ("current", 8),
            ("current", 4),
            ("candidate", 8),
            ("candidate", 8),
            ("candidate", 4),
        ]
        assert len({request_id for chunk in chunks for request_id in chunk.request_ids}) == 40
        for chunk in chunks:
            assert len(models_in(twenty, chunk)) == 1

    def test_the_canary_covers_each_variant(self, twenty: Flow) -> None:
        compare(twenty, current={}, candidate=CANDIDATE)
        found = chunks_of(twenty, passes.CANARY)
        assert {name: len(chunk.request_ids) for name, chunk in found.items()} == {"current": 5, "candidate": 5}


class TestMoney:
    def test_the_books_and_the_table_of_each_variant_add_up_to_the_bill(self, flow: Flow) -> None:
        """Their schemas differ, and each has an answer that does not fit its own."""
        compared = compare(flow, current={}, candidate={**CANDIDATE, "schema_text": RICHER})
        compared.emulator.set_faults([{"kind": "violates_schema", "match": "It crashes", "times": 2}])
        for pass_name in (passes.CANARY, passes.MAIN):
            compared.send(pass_name)
        compared.emulator.set_faults([])
        repairs = chunks_of(compared, "retry")
        assert {name: len(chunk.request_ids) for name, chunk in repairs.items()} == {"current": 1, "candidate": 1}
        assert {name: models_in(compared, chunk).pop() for name, chunk in repairs.items()} == {
            "current": "claude-haiku-5-5",
            "candidate": "claude-opus-5-5",
        }
        compared.send("retry")
        manifest = compared.publish()
        assert (manifest.published, manifest.requests) == (6, 6)
        assert manifest.model == "claude-haiku-5-5, claude-opus-5-5"
        tones = compared.published().select(["_variant", "tone"]).to_pylist()
        assert {(row["_variant"], row["tone"] is None) for row in tones} == {("current", True), ("candidate", False)}
        assert booked_for(compared).keys() == {"current", "candidate"}
        assert booked_for(compared) == published_for(compared)
        assert sum(booked_for(compared).values()) == compared.emulator.billed_usd() == manifest.cost_usd
        compared.folder = compared.run("manual__2")
        assert compared.run_all().cost_usd == 0
        assert compared.requests_sent() == 8

    def test_a_variant_that_is_added_later_pays_for_itself_alone(self, flow: Flow) -> None:
        flow.pipeline = with_variants(flow.pipeline, current={})
        before = flow.run_all().cost_usd
        flow.folder = flow.run("manual__2")
        flow.pipeline = with_variants(flow.pipeline, current={}, candidate=CANDIDATE)
        manifest = flow.run_all()
        assert (manifest.published, flow.requests_sent()) == (6, 6)
        assert booked_for(flow) == {"current": before, "candidate": manifest.cost_usd}
        assert published_for(flow) == booked_for(flow)

    def test_answers_of_a_pipeline_without_variants_are_those_of_the_same_variant(self, flow: Flow) -> None:
        flow.run_all()
        flow.folder = flow.run("manual__2")
        compare(flow, current={}, candidate=CANDIDATE)
        assert chunks_of(flow).keys() == {"candidate"}

    def test_variants_in_flight_are_waited_for_and_not_sent_again(self, compared: Flow) -> None:
        compared.emulator.set_faults([{"kind": "duration", "seconds": 3600}])
        chunks = compared.plan()
        batches = [compared.submit(chunk) for chunk in chunks]
        other = replace(compared, folder=compared.run("manual__2"))
        other.extract()
        assert sorted(other.plan()) == sorted(chunks)
        assert {other.submit(chunk) for chunk in chunks} == set(batches)
        assert compared.requests_sent() == 6

    def test_what_another_run_takes_over_is_sent_once_and_the_rest_of_the_variant_too(self, twenty: Flow) -> None:
        """Both have planned, and neither has sent: the first variant's requests are partly the second run's."""
        compare(twenty, current={}, candidate=CANDIDATE)
        limit(twenty, batch_requests=40)
        first_chunks = twenty.plan()
        other = replace(
            twenty, folder=twenty.run("manual__2"), pipeline=with_variants(twenty.pipeline, other=CANDIDATE)
        )
        other.extract()
        (taken,) = [read_chunk(other.lake, key) for key in other.plan()]
        assert (taken.variant, len(taken.request_ids)) == ("other", 20)
        for run, chunks in ((twenty, first_chunks), (other, other.plan())):
            for chunk in chunks:
                with suppress(NotSent):
                    run.load(chunk)
        assert twenty.requests_sent() == 40
        for run in (twenty, other):
            run.send("retry")
            assert run.publish().rejected == 0
        assert (twenty.requests_sent(), twenty.emulator.bills()["billed_twice"]) == (40, 0)


class TestKilledPlans:
    """A plan that died is made again: the same chunks, none of them twice."""

    @pytest.mark.parametrize("write", ["write_open", "write_plan"])
    def test_wherever_a_plan_dies_the_next_makes_the_same_chunks(
        self, compared: Flow, monkeypatch: pytest.MonkeyPatch, write: str
    ) -> None:
        def die(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        place = Ledger if write == "write_open" else plan_module
        with monkeypatch.context() as patched:
            patched.setattr(place, write, die)
            with pytest.raises(KeyboardInterrupt):
                compared.plan()
        written = compared.lake.list("chunks/")
        assert len(written) == 2
        chunks = compared.plan()
        assert sorted(chunks) == written
        assert {layout.chunk_id_of(key) for key in chunks} == compared.ledger.open_chunks().keys()
        for chunk in chunks:
            compared.load(chunk)
        assert compared.publish().published == 6
        assert (compared.requests_sent(), compared.emulator.bills()["billed_twice"]) == (6, 0)

    def test_a_plan_after_one_variant_was_sent_sends_the_other_only(self, compared: Flow) -> None:
        compared.emulator.set_faults([{"kind": "duration", "seconds": 3600}])
        first, second = compared.plan()
        compared.submit(first)
        compared.pipeline = with_variants(compared.pipeline, candidate=CANDIDATE, current={})
        compared.extract()
        assert sorted(compared.plan()) == sorted([first, second])
        for chunk in (second, first):
            compared.submit(chunk)
        assert compared.requests_sent() == 6

    def test_a_chunk_file_lost_before_the_plan_took_effect_is_written_again(
        self, compared: Flow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_file, written = Lake.write_file, list[str]()

        def second_dies(self: Lake, key: str, path: Any) -> None:
            if written:
                raise KeyboardInterrupt
            written.append(key)
            write_file(self, key, path)

        with monkeypatch.context() as patched:
            patched.setattr(Lake, "write_file", second_dies)
            with pytest.raises(KeyboardInterrupt):
                compared.plan()
        assert compared.ledger.find_open() is None
        assert compared.send() == {"succeeded": 6}


class TestEstimates:
    def test_each_variant_has_its_own_counts_and_its_own_part_of_the_estimate(self, compared: Flow) -> None:
        found = count_sample(compared.folder, lake=compared.lake, claude=compared.claude)
        assert read_counted(compared.folder, compared.lake) == found
        assert {name: sample.requests for name, sample in found.items()} == {"current": 3, "candidate": 3}
        assert not found["current"].tokens.keys() & found["candidate"].tokens.keys()
        chunks = chunks_of(compared)
        whole = estimated(compared, passes.MAIN)
        assert whole.variants.keys() == {"current", "candidate"}
        assert cost(whole).high == sum(cost(part).high for part in whole.variants.values())
        assert reserved(compared) == {chunk.chunk_id: cost(whole.variants[name]).high for name, chunk in chunks.items()}
        compared.send()
        for name, part in whole.variants.items():
            assert cost(part).low <= booked_for(compared)[name] <= cost(part).high

    def test_a_dry_run_shows_each_variant(self, compared: Flow) -> None:
        table = dry_run(compared.folder, lake=compared.lake).table()
        assert "6 distinct requests to claude-haiku-5-5, claude-opus-5-5" in table
        for line in ("canary, current", "canary, candidate", "total, current", "total, candidate"):
            assert line in table

    def test_the_answers_of_the_canary_are_those_of_their_variant(self, twenty: Flow) -> None:
        compare(twenty, current={"max_tokens": 300}, candidate=CANDIDATE)
        twenty.send(passes.CANARY)
        twenty.plan()
        parts = estimated(twenty, passes.MAIN).variants
        assert all("from the canary's 5 answers" in part.sources for part in parts.values())

    def test_the_budget_holds_for_the_sum_and_its_error_names_each_part(self, compared: Flow) -> None:
        limit(compared, budget_usd=Decimal("0.001"))
        with pytest.raises(BudgetExceeded, match=r"of which candidate up to \$.*, current up to \$"):
            compared.plan()
        assert (compared.requests_sent(), compared.lake.list("ledger/")) == (0, [])


def test_a_canary_that_fails_for_one_variant_stops_the_run_and_names_it(twenty: Flow) -> None:
    compare(twenty, current={}, candidate=CANDIDATE)
    twenty.emulator.set_faults([{"kind": "violates_schema", "match": "claude-opus-5-5"}])
    twenty.send(passes.CANARY)
    with pytest.raises(BatchError, match="The canary of variant candidate failed: none of its 5 requests"):
        twenty.plan()
    assert twenty.requests_sent() == 10


def test_a_run_of_the_rejects_sends_those_of_their_variant(compared: Flow) -> None:
    limit(compared, max_reject_ratio=1.0)
    compared.emulator.set_faults([{"kind": "errored", "match": "claude-opus-5-5"}])
    for pass_name in (passes.MAIN, "retry"):
        compared.send(pass_name)
    assert (compared.publish().rejected, set(compared.rejected()["_variant"].to_pylist())) == (3, {"candidate"})
    compared.emulator.set_faults([])
    compared.folder = compared.run("manual__2")
    options = compared.pipeline.options.model_copy(update={"only_rejects": True})
    compared.pipeline = compared.pipeline.model_copy(update={"options": options})
    compared.extract()
    assert chunks_of(compared).keys() == {"candidate"}
    compared.send()
    assert compared.publish().published == 6
    assert compared.published().column_names[:2] == ["ticket", "_variant"]
