"""matching.py: which of the answers to its request each row gets."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.outcome import OUTCOMES_SCHEMA, Outcome, OutcomeName, outcomes_batch
from include.enrichment.answers.table import rows_batch, rows_schema
from include.enrichment.batches.usage import total_usd
from include.enrichment.errors import LoadError
from include.steps.publishing import matching
from include.steps.publishing.matching import Matches, match_rows

#: From the best to the worst: what can be used, what was paid for, what was not.
UNBILLED: list[OutcomeName] = ["errored", "expired", "canceled", "missing"]
KINDS: list[OutcomeName] = ["succeeded", "invalid", *UNBILLED]
#: A million tokens of Haiku 4.5 cost 1 dollar as input and 5 as output; all is half in a batch.
PRICED: dict[str, Any] = {"model": "claude-haiku-4-5", "input_tokens": 1_000, "output_tokens": 201}
COST = Decimal("0.0010025")


def outcome(request_id: str, kind: OutcomeName = "invalid", **fields: Any) -> Outcome:
    return Outcome(request_id=request_id, outcome=kind, **fields)


def write_rows(folder: Path, request_ids: Iterable[str | None], *, rows_at_once: int = 1_000) -> Path:
    rows = [
        {"id": number, "request_id": request_id, "params": request_id and "{}", "problem": None if request_id else "no"}
        for number, request_id in enumerate(request_ids)
    ]
    schema = rows_schema([pa.field("id", pa.int64(), nullable=False)])
    with pq.ParquetWriter(path := folder / "rows.parquet", schema) as writer:
        for start in range(0, len(rows), rows_at_once):
            writer.write_batch(rows_batch(rows[start : start + rows_at_once], schema))
    return path


def write_results(folder: Path, *batches: Sequence[Outcome]) -> list[Path]:
    paths = [folder / f"{number}.parquet" for number in range(len(batches))]
    for path, outcomes in zip(paths, batches, strict=True):
        pq.write_table(pa.Table.from_batches([outcomes_batch(outcomes)], schema=OUTCOMES_SCHEMA), path)
    return paths


def repairs_of(**repairs: str) -> pa.Table:
    """The repairs of each request, by request id: the first one, the repair of that one, and so on, with blanks."""
    lines = [
        {"request_id": request_id, "repair_id": repair_id, "depth": depth}
        for request_id, chain in repairs.items()
        for depth, repair_id in enumerate(chain.split(), start=1)
    ]
    schema = pa.schema([("request_id", pa.string()), ("repair_id", pa.string()), ("depth", pa.int64())])
    return pa.Table.from_pylist(lines, schema)


class Found(dict[int, tuple[OutcomeName, int, str]]):
    """Outcome, batch and answered request of each row that has an answer; the cost of each beside it."""

    def __init__(self, matches: Matches, batches: Sequence[Sequence[Outcome]]) -> None:
        super().__init__()
        self.costs: dict[int, Decimal | None] = {}
        self.answered, self.unanswered, self.used = matches.answered, matches.unanswered, matches.used
        for number in matches.used:
            picked = matches.picked(number).to_pylist()
            assert [line["line"] for line in picked] == sorted(line["line"] for line in picked)
            for line in picked:
                assert line["position"] not in self, "a row has two answers"
                answer = batches[number][line["line"]]
                self[line["position"]] = (answer.outcome, number, answer.request_id)
                self.costs[line["position"]] = line["cost_usd"]


def find(
    folder: Path,
    request_ids: Sequence[str | None],
    *batches: Sequence[Outcome],
    own: Collection[int] | None = None,
    **repairs: str,
) -> Found:
    """
    What the rows get.

    :param own: as for matched(); None: all batches were made for the rows' partition
    """
    rows, results = write_rows(folder, request_ids), write_results(folder, *batches)
    own = range(len(results)) if own is None else own
    with match_rows(rows, results, repairs_of(**repairs), own=own, folder=folder) as matches:
        return Found(matches, batches)


@pytest.mark.parametrize("best_first", [True, False])
@pytest.mark.parametrize(
    ("best", "worse"),
    [("succeeded", "invalid"), *((paid, unpaid) for paid in ("succeeded", "invalid") for unpaid in UNBILLED)],
)
def test_what_can_be_used_comes_before_what_was_paid_for_and_that_before_the_rest(
    tmp_path: Path, best: OutcomeName, worse: OutcomeName, best_first: bool
) -> None:
    batches = [[outcome("r_1", best)], [outcome("r_1", worse)]]
    found = find(tmp_path, ["r_1"], *(batches if best_first else batches[::-1]))
    assert found == {0: (best, 0 if best_first else 1, "r_1")}


@pytest.mark.parametrize("kind", KINDS)
def test_of_several_alike_the_last_counts(tmp_path: Path, kind: OutcomeName) -> None:
    assert find(tmp_path, ["r_1"], *([outcome("r_1", kind)] for _ in range(12))) == {0: (kind, 11, "r_1")}


def test_of_several_alike_in_one_file_the_last_counts(tmp_path: Path) -> None:
    rows, lines = write_rows(tmp_path, ["r_1"]), [outcome("r_1")] * 3
    with match_rows(rows, write_results(tmp_path, lines), repairs_of(), own=[], folder=tmp_path) as matches:
        assert matches.picked(0)["line"].to_pylist() == [2]


@pytest.mark.parametrize(("first", "last"), [("errored", "expired"), ("missing", "errored"), ("expired", "missing")])
def test_what_was_not_paid_for_is_all_alike(tmp_path: Path, first: OutcomeName, last: OutcomeName) -> None:
    assert find(tmp_path, ["r_1"], [outcome("r_1", first)], [outcome("r_1", last)]) == {0: (last, 1, "r_1")}


def test_each_request_has_its_own(tmp_path: Path) -> None:
    batches = (
        [outcome("r_1", "succeeded"), outcome("r_2"), outcome("r_3", "expired"), outcome("not of this run")],
        [outcome("r_3", "succeeded"), outcome("r_1", "errored")],
    )
    found = find(tmp_path, ["r_3", "r_2", "r_1"], *batches)
    assert found == {0: ("succeeded", 1, "r_3"), 1: ("invalid", 0, "r_2"), 2: ("succeeded", 0, "r_1")}
    assert (found.answered, found.unanswered, found.used) == (3, 0, [0, 1])


@pytest.mark.parametrize("repair_first", [True, False])
@pytest.mark.parametrize("ended", ["succeeded", "invalid"])
def test_the_answer_of_a_repair_is_the_last_word_on_the_request_it_repairs(
    tmp_path: Path, ended: OutcomeName, repair_first: bool
) -> None:
    batches = [[outcome("r_1"), outcome("r_2", "succeeded")], [outcome("again_1", ended)]]
    found = find(tmp_path, ["r_1", "r_2"], *(batches[::-1] if repair_first else batches), r_1="again_1", r_2="again_2")
    assert found == {0: (ended, 0 if repair_first else 1, "again_1"), 1: ("succeeded", int(repair_first), "r_2")}


@pytest.mark.parametrize("ended", UNBILLED)
def test_a_repair_that_was_not_answered_leaves_the_invalid_answer_that_was_paid_for(
    tmp_path: Path, ended: OutcomeName
) -> None:
    found = find(tmp_path, ["r_1"], [outcome("r_1")], [outcome("again_1", ended)], r_1="again_1")
    assert found == {0: ("invalid", 0, "r_1")}


def test_a_usable_answer_comes_before_a_repair_that_failed(tmp_path: Path) -> None:
    batches = [outcome("r_1")], [outcome("again_1")], [outcome("r_1", "succeeded")]
    assert find(tmp_path, ["r_1"], *batches, r_1="again_1") == {0: ("succeeded", 2, "r_1")}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize(
    ("ended", "counts"),
    [
        (("invalid", "invalid"), 2),
        (("invalid", "succeeded"), 2),
        (("invalid", "expired"), 1),
        (("expired", "missing"), 0),
    ],
)
def test_of_the_repairs_of_repairs_the_deepest_that_was_answered_is_the_last_word(
    tmp_path: Path, ended: tuple[OutcomeName, OutcomeName], counts: int, order: tuple[int, ...]
) -> None:
    answers = [outcome("r_1", **PRICED), outcome("again", ended[0], **PRICED), outcome("once_more", ended[1])]
    found = find(tmp_path, ["r_1"], *([answers[number]] for number in order), r_1="again once_more")
    assert found == {0: (answers[counts].outcome, order.index(counts), answers[counts].request_id)}


def test_the_answers_of_all_repairs_are_part_of_the_cost(tmp_path: Path) -> None:
    answers = [[outcome(name, **PRICED)] for name in ("r_1", "again", "once_more")]
    assert find(tmp_path, ["r_1"], *answers, r_1="again once_more").costs == {0: 3 * COST}


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("seed", range(15))
def test_every_request_with_any_answer_gets_the_best_of_its_own(
    tmp_path: Path, seed: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    luck = random.Random(seed)
    repairs = {f"r_{number}": f"again_{number}" for number in range(0, 20, 2)}
    rows = [luck.choice([None, *(f"r_{number}" for number in range(20))]) for _ in range(40)]
    asked = [*(f"r_{number}" for number in range(20)), *repairs.values()]
    batches = [
        [outcome(name, luck.choice(KINDS)) for name in luck.sample(asked, luck.randrange(len(asked)))]
        for _ in range(luck.randrange(6))
    ]
    expected: dict[str, tuple[int, OutcomeName, int, str]] = {}
    for name in asked:
        request_id = name.replace("again", "r")
        for number, batch in enumerate(batches):
            for answer in (answer for answer in batch if answer.request_id == name):
                rank = min(KINDS.index(answer.outcome), 2)
                # Later ones replace those that are alike, and repairs come after all requests.
                if request_id not in expected or rank <= expected[request_id][0]:
                    expected[request_id] = (rank, answer.outcome, number, name)
    if parts > 1:
        monkeypatch.setattr(matching, "_REQUESTS_AT_ONCE", 17)
    found = find(tmp_path, rows, *batches, own=[], **repairs)
    assert found == {place: expected[name][1:] for place, name in enumerate(rows) if name in expected}
    asked_for = {name for name in rows if name}
    assert (found.answered, found.unanswered) == (len(asked_for & set(expected)), len(asked_for - set(expected)))


def others(folder: Path, request_ids: Sequence[str], *batches: Sequence[Outcome], **repairs: str) -> dict[int, Any]:
    """Batch and line of the other usable answers of each row, the best first."""
    rows, results = write_rows(folder, request_ids), write_results(folder, *batches)
    found: dict[int, list[tuple[int, int, int]]] = {}
    with match_rows(rows, results, repairs_of(**repairs), own=[], folder=folder, others=True) as matches:
        for number in matches.used:
            for line in matches.others(number).to_pylist():
                assert line["cost_usd"] is None
                found.setdefault(line["position"], []).append((line["preference"], number, line["line"]))
    return {position: [where for _, *where in sorted(answers)[::-1]] for position, answers in found.items()}


@pytest.mark.parametrize("parts", [1, 3])
def test_the_other_usable_answers_are_found_if_they_are_asked_for(
    tmp_path: Path, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if parts > 1:
        monkeypatch.setattr(matching, "_REQUESTS_AT_ONCE", 2)
    batches = (
        [outcome("r_2"), outcome("r_1", "succeeded"), outcome("r_3", "succeeded")],
        [outcome("again", "succeeded"), outcome("r_2", "succeeded")],
        [outcome("r_1", "succeeded"), outcome("r_2", "expired"), outcome("once_more")],
    )
    found = others(tmp_path, ["r_1", "r_2", "r_3", "r_1"], *batches, r_1="again once_more")
    assert found == {0: [[2, 0], [0, 1]], 3: [[2, 0], [0, 1]]}


@pytest.mark.parametrize("batches", [[], [[]], [[], []]])
def test_without_any_answer_every_request_is_unanswered(tmp_path: Path, batches: list[list[Outcome]]) -> None:
    found = find(tmp_path, ["r_1", "r_2", "r_1", None], *batches, r_1="again_1")
    assert (found, found.answered, found.unanswered, found.used) == ({}, 0, 2, [])


def test_without_any_row_there_is_nothing_to_match(tmp_path: Path) -> None:
    found = find(tmp_path, [], [outcome("r_1")])
    assert (found, found.answered, found.unanswered, found.used) == ({}, 0, 0, [])


def test_of_rows_that_render_alike_and_share_one_answer_the_first_bears_its_cost(tmp_path: Path) -> None:
    rows = [None, "r_2", "r_1", None, "r_2", "r_1", "r_1"]
    found = find(tmp_path, rows, [outcome("r_1", **PRICED), outcome("r_2", "succeeded", **PRICED)])
    assert {found[position] for position in (2, 5, 6)} == {("invalid", 0, "r_1")}
    assert (found.costs, found.answered) == ({1: COST, 2: COST, 4: 0, 5: 0, 6: 0}, 2)


def test_what_another_partition_has_paid_for_costs_these_rows_nothing(tmp_path: Path) -> None:
    unknown = PRICED | {"model": "new"}
    batches = (
        [outcome("r_1", "succeeded", **PRICED), outcome("r_2", **PRICED), outcome("r_3", "succeeded", **unknown)],
        [outcome("again", "succeeded", **PRICED), outcome("r_1", **PRICED)],
    )
    found = find(tmp_path, ["r_1", "r_2", "r_3"], *batches, own=[1], r_2="again")
    assert [found[position][1:] for position in range(3)] == [(0, "r_1"), (1, "again"), (0, "r_3")]
    assert found.costs == {0: COST, 1: COST, 2: 0}


@pytest.mark.parametrize("parts", [1, 3])
def test_every_paid_answer_to_the_rows_is_counted_once(
    tmp_path: Path, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    luck = random.Random(parts)
    names = [f"r_{number}" for number in range(30)]
    repairs = {name: f"again_{name}" for name in names[::2]}
    rows = [luck.choice([None, *names]) for _ in range(90)]
    batches = [[outcome(name, luck.choice(KINDS), **PRICED) for name in [*names, *repairs.values()]] for _ in range(4)]
    own = [0, 2, 3]
    of_rows = {*rows, *(repairs[name] for name in rows if name in repairs)}
    paid = [each for number in own for each in batches[number] if each.outcome in ("succeeded", "invalid")]
    monkeypatch.setattr(matching, "_REQUESTS_AT_ONCE", 1_000 if parts == 1 else 80)
    monkeypatch.setattr(matching, "_LINES_AT_ONCE", 7)
    costs = find(tmp_path, rows, *batches, own=own, **repairs).costs
    assert total_usd(costs.values()) == sum(each.request_id in of_rows for each in paid) * COST
    assert {cost for position, cost in costs.items() if rows[position] in rows[:position]} == {0}


@pytest.mark.parametrize("kind", UNBILLED)
def test_what_was_not_billed_costs_nothing_whatever_it_says(tmp_path: Path, kind: OutcomeName) -> None:
    assert find(tmp_path, ["r_1"], [outcome("r_1", kind, **PRICED)]).costs == {0: Decimal(0)}


def test_a_repair_that_is_no_better_costs_what_both_answers_cost(tmp_path: Path) -> None:
    found = find(tmp_path, ["r_1"], [outcome("r_1", **PRICED)], [outcome("repair", **PRICED)], r_1="repair")
    assert (found[0][2], found.costs) == ("repair", {0: 2 * COST})


def test_where_one_price_is_not_known_the_cost_of_all_answers_to_the_request_is_not(tmp_path: Path) -> None:
    batches = [outcome("r_1", **PRICED), outcome("r_2", **PRICED)], [outcome("r_1", **{**PRICED, "model": "new"})]
    assert find(tmp_path, ["r_1", "r_2"], *batches).costs == {0: None, 1: COST}


def test_results_without_a_column_that_came_later_are_matched_all_the_same(tmp_path: Path) -> None:
    rows, (old, new) = write_rows(tmp_path, ["r_1", "r_2"]), write_results(tmp_path, [outcome("r_1")], [outcome("r_2")])
    pq.write_table(pq.read_table(old).drop_columns(["error_type", "web_searches", "inference_geo"]), old)
    with match_rows(rows, [old, new], repairs_of(), own=[1], folder=tmp_path) as matches:
        assert matches.used == [0, 1]


@pytest.mark.parametrize("name", ["it's", "x'; drop table chosen; --", "größe ☃", "a,b"])
def test_neither_path_nor_id_is_read_as_sql(tmp_path: Path, name: str) -> None:
    (folder := tmp_path / name).mkdir()
    assert find(folder, [name, f"{name}\0"], [outcome(name), outcome(f"{name}\0")]) == {
        0: ("invalid", 0, name),
        1: ("invalid", 0, f"{name}\0"),
    }


def test_more_than_memory_holds_is_matched_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_MEMORY", "24MB")
    monkeypatch.setattr(matching, "_REQUESTS_AT_ONCE", 20_000)
    ids = [f"request-{number:014d}" for number in range(120_000)]
    rows = write_rows(tmp_path, ids, rows_at_once=10_000)
    results = write_results(tmp_path, [outcome(name, "succeeded", **PRICED) for name in reversed(ids)])
    with match_rows(rows, results, repairs_of(), own=[0], folder=tmp_path) as matches:
        picked = matches.picked(0)
    assert picked["position"].to_pylist() == list(range(119_999, -1, -1))
    assert pc.unique(picked["cost_usd"]).to_pylist() == [COST]


def test_too_little_memory_or_disk_fails_with_the_numbers_and_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "_MEMORY", "1MB")
    with pytest.raises(
        LoadError,
        match=r"2 rows could not be matched with the answers of 1 batches: .*MB left.*Nothing was sent or published",
    ) as caught:
        find(tmp_path, ["r_1", "r_2"], [outcome("r_1")])
    assert caught.value.retryable
