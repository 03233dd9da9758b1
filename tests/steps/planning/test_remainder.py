"""remainder.py: of a chunk that another plan took requests from, the run that planned it sends the others."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.enrichment.errors import NotSent, NotYet
from include.enrichment.storage import layout
from include.gateways.ledger_store import Ledger
from include.steps.files.chunk_files import request_ids_of
from tests.fixtures.flow import Flow, another_run


def test_what_is_left_of_a_chunk_goes_on_in_its_run(twenty: Flow, tmp_path: Path) -> None:
    """A trial takes three rows over while the chunk waits for a slot: the others are sent as planned."""
    (chunk,) = twenty.plan()
    trial = another_run(twenty, "trial", tmp_path, rows=3)
    trial.send()
    batch_id = twenty.submit(chunk)
    assert twenty.submit(chunk) == batch_id
    assert twenty.load(chunk, batch_id) == {"succeeded": 17}
    assert twenty.plan("retry") == []
    assert twenty.publish().published == 20
    assert twenty.requests_sent() == 20


def test_what_is_left_may_be_taken_over_again(twenty: Flow, tmp_path: Path) -> None:
    (chunk,) = twenty.plan()
    for number in (1, 2, 3):
        trial = another_run(twenty, f"trial-{number}", tmp_path, rows=3 * number)
        trial.plan()
        if number < 3:
            trial.send()
    trial.send()
    assert twenty.load(chunk) == {"succeeded": 11}
    assert twenty.plan("retry") == []
    assert twenty.publish().published == 20
    assert twenty.requests_sent() == 20


def test_a_chunk_that_a_run_waits_for_is_not_sent_by_it(twenty: Flow, tmp_path: Path) -> None:
    """Its create made nothing: the run that waits for it plans its own rows, and sends those."""
    (chunk,) = twenty.plan()
    twenty.emulator.set_faults([{"kind": "reset_before_create", "times": 1}])
    with pytest.raises(NotYet):
        twenty.submit(chunk)
    trial = another_run(twenty, "trial", tmp_path, rows=3)
    assert trial.plan() == [chunk]
    age(twenty, chunk, timedelta(minutes=26))
    with pytest.raises(NotSent, match="This run did not plan it"):
        trial.submit(chunk)
    assert trial.send("retry") == {"succeeded": 3}
    assert trial.publish().published == 3
    assert twenty.load(chunk) == {"succeeded": 17}
    assert twenty.plan("retry") == []
    assert twenty.publish().published == 20
    assert twenty.requests_sent() == 20


def age(flow: Flow, chunk: str, by: timedelta) -> None:
    """The entry of the chunk took its state so long ago."""
    known = flow.ledger.find(layout.chunk_id_of(chunk))
    assert known
    flow.ledger.write(known.value.model_copy(update={"changed_at": known.value.changed_at - by}), over=known)


@pytest.mark.parametrize("dies_at", ["write_open", "write"])
def test_a_process_that_dies_while_it_makes_the_remainder_is_made_up_for(
    twenty: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    (chunk,) = twenty.plan()
    another_run(twenty, "trial", tmp_path, rows=3).send()

    class Died(Exception):
        pass

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, dies_at, die)
        with pytest.raises(Died):
            twenty.submit(chunk)
    assert twenty.load(chunk) == {"succeeded": 17}
    assert twenty.requests_sent() == 20


def test_a_plan_that_is_made_meanwhile_is_seen(twenty: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (chunk,) = twenty.plan()
    another_run(twenty, "trial", tmp_path, rows=3).send()
    later = another_run(twenty, "later", tmp_path, rows=6)
    write_open = Ledger.write_open

    def late(self: Ledger, *arguments: object, **options: object) -> None:
        monkeypatch.setattr(Ledger, "write_open", write_open)
        later.plan()
        write_open(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "write_open", late)
    assert twenty.load(chunk) == {"succeeded": 14}
    later.send()
    assert twenty.requests_sent() == 20


def test_what_the_run_has_planned_again_is_not_sent_as_a_remainder(twenty: Flow, tmp_path: Path) -> None:
    """A trial took rows over, the run was cleared, and then the `submit` of its earlier plan is: all 20 went twice."""
    (earlier,) = twenty.plan()
    another_run(twenty, "trial", tmp_path, rows=3).plan()
    cleared = another_run(twenty, twenty.folder.run_id, tmp_path, "limits: {batch_requests: 7}\n")
    chunks = cleared.plan()
    with pytest.raises(NotSent, match="this run has nothing left to send"):
        cleared.submit(earlier)
    assert [cleared.load(chunk) for chunk in chunks] == [{"succeeded": 7}, {"succeeded": 7}, {"succeeded": 6}]
    assert twenty.requests_sent() == 20


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "goes on"])
def test_a_run_that_plans_a_chunk_while_it_is_withdrawn_sends_what_is_left(
    twenty: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    twenty.plan()
    second = another_run(twenty, "second", tmp_path)
    trial = another_run(twenty, "trial", tmp_path, rows=3)
    write_open = Ledger.write_open

    def meanwhile(self: Ledger, *arguments: Any, **options: Any) -> None:
        """The second run has looked, and is about to write."""

        def late(other: Ledger, *theirs: Any, **their_options: Any) -> None:
            """The trial has withdrawn the first run's chunk, which is the second's too by now."""
            monkeypatch.setattr(Ledger, "write_open", write_open)
            write_open(self, *arguments, **options)
            if killed:
                raise InterruptedError
            write_open(other, *theirs, **their_options)

        monkeypatch.setattr(Ledger, "write_open", late)
        with suppress(InterruptedError):
            trial.plan()

    monkeypatch.setattr(Ledger, "write_open", meanwhile)
    (chunk,) = second.plan()
    assert second.load(chunk) == {"succeeded": 20 if killed else 17}
    trial.send()
    assert twenty.requests_sent() == 20


def test_what_is_left_reserves_no_more_than_the_whole(twenty: Flow, tmp_path: Path) -> None:
    (chunk,) = twenty.plan()
    opened = twenty.ledger.find_open()
    assert opened
    whole = opened.value.chunks[layout.chunk_id_of(chunk)].expected_usd
    another_run(twenty, "trial", tmp_path, rows=5).send()
    twenty.emulator.set_faults([{"kind": "duration", "seconds": 3600}])
    twenty.submit(chunk)
    opened = twenty.ledger.find_open()
    assert opened
    assert whole
    (entry,) = twenty.ledger.latest([layout.chunk_id_of(chunk)])
    assert entry
    assert opened.value.chunks[entry.chunk_id].expected_usd == whole
    assert len(request_ids_of(twenty.lake, entry.chunk)) == 15
