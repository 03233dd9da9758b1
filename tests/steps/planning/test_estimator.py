"""estimator.py: the estimate of a pass, made before it is sent."""

from __future__ import annotations

import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from include.enrichment.cost import token_sample
from include.enrichment.errors import BudgetExceeded, NotYet
from include.enrichment.runs import passes
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.steps.dry_run import dry_run
from tests.fixtures.flow import Flow, booked, write_pipeline, write_tickets
from tests.fixtures.lake import delete
from tests.fixtures.priced_documents import count_documents, extract_documents, some_documents
from tests.fixtures.pricing import LONG_SYSTEM, cost, estimated, extract, limit, prepare, reserved, spent
from tests.fixtures.synchronous import ask_pass

# Estimates


@pytest.mark.parametrize(
    ("cache", "system"), [('"off"', "Label it."), ("1h", LONG_SYSTEM), ("5m", LONG_SYSTEM)], ids=["off", "1h", "5m"]
)
def test_once_the_canary_has_answered_the_cost_of_the_rest_lies_within_its_bounds(
    twenty: Flow, tmp_path: Path, cache: str, system: str
) -> None:
    prepare(twenty, tmp_path, cache=cache, system=system)
    for name in (passes.CANARY, passes.MAIN):
        twenty.send(name)
    found, true = cost(estimated(twenty, passes.MAIN)), spent(twenty, passes.MAIN)
    assert found.low <= true <= found.high


@pytest.mark.parametrize("cache", ["1h", "5m"])
def test_the_cost_of_a_synchronous_pass_with_a_cache_lies_within_its_bounds(
    twenty: Flow, tmp_path: Path, cache: str
) -> None:
    prepare(twenty, tmp_path, cache=cache, system=LONG_SYSTEM)
    twenty.pipeline = twenty.pipeline.for_run(RunOptions(urgent=True))
    extract(twenty)
    for name in (passes.CANARY, passes.MAIN):
        twenty.plan(name)
        ask_pass(twenty, name)
        made = estimated(twenty, name)
        assert cost(made).low <= spent(twenty, name) <= cost(made).high
        assert made.mode == "synchronous"
        assert made.modes_usd["synchronous"] == made.cost_usd
    assert spent(twenty, passes.MAIN) <= cost(estimated(twenty, passes.MAIN)).expected


def test_the_request_that_warms_the_cache_is_within_the_high_estimate(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, [(f"N{number}", f"Ticket {number}") for number in range(27)])
    prepare(flow, tmp_path, cache="1h", system=LONG_SYSTEM)
    (chunk,) = flow.plan(passes.MAIN)
    while True:
        with suppress(NotYet):
            flow.load(chunk, flow.submit(chunk))
            break
        time.sleep(0.05)
    assert {line["pass_name"] for line in booked(flow)} == {passes.MAIN, passes.WARM_UP}
    assert sum((line["cost_usd"] for line in booked(flow)), Decimal(0)) <= cost(estimated(flow, passes.MAIN)).high


def test_without_any_answer_the_ceiling_is_expected(twenty: Flow, tmp_path: Path) -> None:
    prepare(twenty, tmp_path)
    twenty.send(passes.CANARY)
    found = estimated(twenty, passes.CANARY)
    assert found.output_tokens.expected == 5 * 400
    assert spent(twenty, passes.CANARY) <= cost(found).high


def test_a_later_run_knows_from_usage_records_how_long_answers_are(twenty: Flow, tmp_path: Path) -> None:
    prepare(twenty, tmp_path)
    twenty.run_all()
    twenty.pipeline = twenty.pipeline.for_run(RunOptions(reuse=False))
    twenty.folder = twenty.run("manual__2")
    extract(twenty)
    twenty.plan(passes.CANARY)
    assert "answers: from earlier batches" in estimated(twenty, passes.CANARY).sources


def test_where_nothing_was_counted_usage_records_give_the_tokens_per_byte(twenty: Flow, tmp_path: Path) -> None:
    prepare(twenty, tmp_path)
    delete(twenty.lake, twenty.folder.counted_json)
    twenty.send(passes.CANARY)
    assert "not counted" in estimated(twenty, passes.CANARY).sources
    twenty.send(passes.MAIN)
    found, true = cost(estimated(twenty, passes.MAIN)), spent(twenty, passes.MAIN)
    assert "prompts: from earlier batches" in estimated(twenty, passes.MAIN).sources
    assert found.low <= true <= found.high


def test_a_dry_run_shows_the_cost_of_each_pass(twenty: Flow, tmp_path: Path) -> None:
    prepare(twenty, tmp_path)
    forecast = dry_run(twenty.folder, lake=twenty.lake)
    assert all(one.estimate for one in forecast.passes.values())
    assert "expected $" in forecast.table()
    assert twenty.requests_sent() == 0


def test_what_the_whole_run_will_cost_is_reported_before_the_canary(
    twenty: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    prepare(twenty, tmp_path)
    twenty.plan(passes.CANARY)
    assert "Expected cost, in US dollars:" in caplog.text
    assert f"{passes.MAIN}: prompts: 20 counted" in caplog.text


def test_a_model_without_a_price_has_no_cost_and_runs_all_the_same(twenty: Flow, tmp_path: Path) -> None:
    prepare(twenty, tmp_path)
    twenty.pipeline = twenty.pipeline.model_copy(
        update={
            "settings": twenty.pipeline.settings.model_copy(
                update={"request": twenty.pipeline.settings.request.model_copy(update={"model": "claude-fable-5-2"})}
            )
        }
    )
    extract(twenty)
    twenty.send(passes.CANARY)
    assert estimated(twenty, passes.CANARY).cost_usd is None
    assert {line["cost_usd"] for line in booked(twenty)} == {None}


def test_a_plan_reserves_the_high_estimate_of_each_chunk(twenty: Flow, tmp_path: Path) -> None:
    prepare(twenty, tmp_path)
    (chunk,) = twenty.plan(passes.CANARY)
    assert reserved(twenty) == {layout.chunk_id_of(chunk): cost(estimated(twenty, passes.CANARY)).high}


def test_a_chunk_reserves_by_the_sizes_of_its_own_requests(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, [(f"S{number}", f"short {number}") for number in range(20)])
    write_tickets(flow.database, [("L", "word " * 4_000)])
    prepare(flow, tmp_path, ", batch_requests: 1")
    flow.plan(passes.MAIN)
    *_, second, first = sorted(reserved(flow).values())
    # The answer of each is expected to have max_tokens.
    assert first - second > Decimal("0.0025")


# Sizes


def long_and_short(flow: Flow, tmp_path: Path, *, budget_usd: str) -> None:
    """Short tickets, and a few of a megabyte among them: five times the price a token."""
    write_tickets(flow.database, [(f"S{number:04}", f"short {number % 7} {number}") for number in range(300)])
    write_tickets(flow.database, [(f"L{number}", f"{number} " + "word " * 200_000) for number in range(8)])
    request = "source: {connection: w, key: [ticket]}\nrequest: {model: claude-haiku-5-5, max_tokens: 60}\n"
    yaml = f"{request}limits: {{canary_rows: 5, budget_usd: {budget_usd}}}\n"
    flow.pipeline = load_pipeline(write_pipeline(tmp_path / "sizes" / "tickets", pipeline_yaml=yaml))
    extract(flow)


def test_a_few_long_rows_among_short_ones_do_not_exceed_the_budget(flow: Flow, tmp_path: Path) -> None:
    long_and_short(flow, tmp_path, budget_usd="0.10")
    with pytest.raises(BudgetExceeded, match="up to 8 longer than 100,000 tokens"):
        flow.send(passes.CANARY)
    assert sum((line["cost_usd"] for line in booked(flow)), Decimal(0)) <= Decimal("0.10")
    assert flow.requests_sent() == 0


def test_their_cost_lies_within_close_bounds(flow: Flow, tmp_path: Path) -> None:
    long_and_short(flow, tmp_path, budget_usd="0.60")
    for name in (passes.CANARY, passes.MAIN):
        (chunk,) = flow.plan(name)
        batch = flow.submit(chunk)
        while not flow.claude.retrieve(batch).ended:  # megabytes take the emulator a moment
            time.sleep(0.05)
        flow.load(chunk, batch)
    found, true = cost(estimated(flow, passes.MAIN)), spent(flow, passes.MAIN)
    assert Decimal("0.3") < found.low <= true <= found.high < true * Decimal("1.1")
    assert sum((line["cost_usd"] for line in booked(flow)), Decimal(0)) <= Decimal("0.60")


@pytest.mark.parametrize(
    "text", ['{"a": "\\n"}\n\t' * 40, "発注書の数量が違います。" * 20, "🙂" * 120, "plain words " * 40]
)
def test_whatever_the_text_is_the_cost_stays_below_the_high_estimate(flow: Flow, tmp_path: Path, text: str) -> None:
    write_tickets(
        flow.database, [(f"N{number}", f"{number} {text[: 3 * number % len(text)]}") for number in range(250)]
    )
    prepare(flow, tmp_path)
    for name in (passes.CANARY, passes.MAIN):
        flow.send(name)
        assert spent(flow, name) <= cost(estimated(flow, name)).high


# Documents


def true_input(flow: Flow) -> int:
    return sum(line["input_tokens"] for line in booked(flow))


@pytest.mark.parametrize("send", ["pages", "text", "auto"])
def test_the_tokens_of_documents_are_known_from_a_few_that_were_counted(
    flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, send: str
) -> None:
    monkeypatch.setattr(token_sample, "_MOST", 4)
    extract_documents(flow, tmp_path / "documents", some_documents(), send=send)
    count_documents(flow, tmp_path / "documents")
    flow.send(passes.MAIN)
    found = estimated(flow, passes.MAIN)
    assert found.sources.startswith("prompts: 4 counted")
    assert found.input_tokens.expected == pytest.approx(true_input(flow), rel=0.15)
    assert found.input_tokens.low <= true_input(flow) <= found.input_tokens.high
    assert spent(flow, passes.MAIN) <= cost(found).high


def test_documents_that_nobody_counted_are_reckoned_by_pages_and_pixels(flow: Flow, tmp_path: Path) -> None:
    extract_documents(flow, tmp_path / "documents", some_documents(), send="pages")
    assert "attachments: the tokens expected by page" in dry_run(flow.folder, lake=flow.lake).table()
    flow.send(passes.MAIN)
    found = estimated(flow, passes.MAIN)
    assert found.input_tokens.expected == pytest.approx(true_input(flow), rel=0.15)
    assert found.input_tokens.high < 3 * true_input(flow)


def test_documents_that_do_not_fit_the_budget_are_not_sent(flow: Flow, tmp_path: Path) -> None:
    extract_documents(flow, tmp_path / "documents", some_documents(), send="pages")
    count_documents(flow, tmp_path / "documents")
    limit(flow, budget_usd=Decimal("0.03"))
    with pytest.raises(BudgetExceeded, match="attachments"):
        flow.send(passes.MAIN)
    assert flow.requests_sent() == 0
