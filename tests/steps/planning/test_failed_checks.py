from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.checks.checks import Checks, Judge, Verdict
from include.enrichment.answers.repair import Repair
from include.enrichment.answers.table import CHECKED
from include.enrichment.errors import LoadError
from include.enrichment.requests.request import Request
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.gateways.result_store import ResultStore
from include.steps.files.extracted import ExtractedRun, open_run
from include.steps.planning.failed_checks import FailedAnswer, FailedChecks
from include.steps.planning.retrying.row_answers import RowAnswers
from include.steps.publishing import matching
from tests.fixtures.flow import FILES, Flow, write_pipeline, write_tickets

SAME = "- {name: same, field: topic, must_contain: ['{{ ticket }}'], message: Name the ticket.}\n"
YAML = f"{FILES['pipeline.yaml']}limits: {{max_reject_ratio: 1}}\n"
Answered = tuple[ExtractedRun, Checks, ResultStore]


@pytest.fixture
def answered(flow: Flow, tmp_path: Path) -> Iterator[Answered]:
    """Three tickets with an answer, and three more that share one."""
    write_tickets(flow.database, [("N1", "Same"), ("N2", "Same"), ("N3", "Same")])
    flow.pipeline = load_pipeline(
        write_pipeline(tmp_path / "checked" / "tickets", checks_yaml=SAME, pipeline_yaml=YAML)
    )
    flow.extract()
    flow.send("main")
    with open_run(flow.lake, flow.folder) as run:
        checks = run.pipeline.read_checks()
        assert checks
        yield run, checks, ResultStore(flow.lake, pipeline="tickets")


def find(
    run: ExtractedRun, checks: Checks, store: ResultStore, *, for_every_row: bool = False
) -> dict[str, FailedAnswer]:
    batches = store.look_up(run.request_ids).batches
    return FailedChecks(RowAnswers(run.rows, store), checks).find(run.request_ids, batches, for_every_row=for_every_row)


def test_an_answer_that_fails_for_any_of_its_rows_is_found_once(answered: Answered) -> None:
    run, checks, store = answered
    failed = find(run, checks, store)
    assert len(failed) == 4
    assert failed.keys() == run.request_ids
    assert all(answer.reason.startswith("check same: Name the ticket. (topic does not") for answer in failed.values())


def test_the_reason_does_not_depend_on_the_order_of_rows(answered: Answered) -> None:
    """Rows that share an answer fail for different reasons, and another reason would be another repair."""
    run, checks, store = answered
    failed = find(run, checks, store)
    assert [answer.reason for answer in failed.values() if "'N" in answer.reason] == [
        "check same: Name the ticket. (topic does not contain 'N1')"
    ]


def test_what_is_wrong_with_the_answer_for_one_row_is_told_rather_than_that_it_repeats_another_for_the_other(
    answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, checks, store = answered

    def judge(self: Judge, facts: Sequence[str | None], outputs: Sequence[str], *_: object) -> list[Verdict]:
        repeats = [Verdict(reason="alike", complaint="alike", repeats=True) for _ in outputs]
        return [Verdict(reason="no", complaint="no") if "N2" in str(fact) else repeats[0] for fact in facts]

    monkeypatch.setattr(Judge, "judge", judge)
    assert sorted(answer.complaint for answer in find(run, checks, store).values()) == ["alike", "alike", "alike", "no"]


def test_only_rows_of_these_requests_are_judged_and_an_answer_to_a_repair_by_the_row_of_the_first_one(
    answered: Answered,
) -> None:
    run, checks, store = answered
    one, other, *_ = run.request_ids
    batches = store.look_up(run.request_ids).batches
    as_own = FailedChecks(RowAnswers(run.rows, store), checks).find(RequestIds([other]), batches)
    repair = Repair(request=Request(request_id=one, params="{}"), of=other, depth=1)
    as_repair = FailedChecks(RowAnswers(run.rows, store), checks).find(RequestIds([other]), batches, [repair])
    assert ([*as_own], [*as_repair]) == ([other], [one])
    assert as_own[other].reason == as_repair[one].reason


def test_a_request_whose_answer_passes_for_another_row_can_be_left_out(
    answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, checks, store = answered

    def judge(self: Judge, facts: Sequence[str | None], outputs: Sequence[str], *_: object) -> list[Verdict]:
        return [Verdict(reason=None if "N1" in str(fact) else "no") for fact in facts]

    monkeypatch.setattr(Judge, "judge", judge)
    assert len(find(run, checks, store)) == 4
    assert len(find(run, checks, store, for_every_row=True)) == 3


def test_answers_are_judged_in_source_order(answered: Answered, monkeypatch: pytest.MonkeyPatch) -> None:
    run, checks, store = answered
    judged: list[str | None] = []

    def judge(self: Judge, facts: Sequence[str | None], outputs: Sequence[str], *_: object) -> list[Verdict]:
        judged.extend(facts)
        return [Verdict(reason=None)] * len(outputs)

    monkeypatch.setattr(Judge, "judge", judge)
    find(run, checks, store)
    assert judged == pq.read_table(run.rows)[CHECKED].to_pylist()


@pytest.mark.parametrize(("created_at", "judged"), [("2020-01-01", "first"), ("2030-01-01", "other")])
def test_of_several_answers_to_a_request_the_newest_is_the_best_as_in_publish(
    flow: Flow, answered: Answered, created_at: str, judged: str
) -> None:
    run, checks, store = answered
    (batch_id,) = store.look_up(run.request_ids).batches
    results = pq.read_table(pa.BufferReader(flow.lake.read(layout.results("tickets", batch_id))))
    answers = pa.array(['{"topic":"other","urgent":true}'] * len(results), results["output"].type)
    other = results.set_column(results.schema.get_field_index("output"), "output", answers)
    facts = results.schema.metadata | {b"created_at": f"{created_at}T00:00:00+00:00".encode()}
    pq.write_table(other.replace_schema_metadata(facts), sink := pa.BufferOutputStream())
    # The order of the ids says nothing.
    flow.lake.write(layout.results("tickets", f"{batch_id}_2"), sink.getvalue().to_pybytes())
    flow.folder = flow.run("manual__2")
    flow.extract()
    flow.send("main")
    flow.publish()
    failed = find(run, checks, store)
    best = dict(zip(*(results[name].to_pylist() for name in ("request_id", "output")), strict=True))
    expected = best if judged == "first" else dict.fromkeys(best, answers[0].as_py())
    assert {request_id: answer.text for request_id, answer in failed.items()} == expected
    assert dict(zip(*(flow.rejected()[name].to_pylist() for name in ("_request_id", "text")), strict=True)) == expected


def test_without_answers_nothing_fails(answered: Answered) -> None:
    run, checks, store = answered
    assert FailedChecks(RowAnswers(run.rows, store), checks).find(RequestIds(), []) == {}


def test_too_little_memory_is_an_error_that_may_pass(answered: Answered, monkeypatch: pytest.MonkeyPatch) -> None:
    run, checks, store = answered
    monkeypatch.setattr(matching, "_MEMORY", "1KB")
    with pytest.raises(LoadError, match=r"6 rows could not be matched .*Nothing was sent") as caught:
        find(run, checks, store)
    assert caught.value.retryable
