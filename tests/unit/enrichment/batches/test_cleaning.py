"""cleaning.py: what no run will miss."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.enrichment.batches.cleaning import check_days, old_chunks, old_raw, old_runs, waited_for
from include.enrichment.batches.ledger import Entry, OpenChunk, State
from include.enrichment.errors import SpecError

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def entry(state: State, batch_id: str | None = None) -> Entry:
    more: dict[str, Any] = {"state": state, "batch_id": batch_id}
    return Entry.planned(
        chunk_id="c", pipeline="p", chunk="chunks/p/c.parquet", requests=1, run_id="r", at=ago(40)
    ).model_copy(update=more)


class TestRuns:
    def test_the_files_of_a_run_are_old_when_it_has_written_nothing_for_so_long(self) -> None:
        written = {"old/": ago(30.1), "young/": ago(29.9)}
        assert old_runs(written, [], now=NOW, days=30) == {"old/"}

    def test_a_run_whose_own_chunk_may_still_land_keeps_its_files(self) -> None:
        in_flight = [OpenChunk(folder="waits/", also_planned_by=["waits too/"], planned_at=ago(31))]
        written = {"waits/": ago(40), "waits too/": ago(40), "ended/": ago(40)}
        assert old_runs(written, in_flight, now=NOW, days=30) == {"ended/"}

    def test_so_does_every_run_that_has_written_since_the_oldest_of_them_was_planned(self) -> None:
        in_flight = [OpenChunk(folder="other/", planned_at=ago(35)), OpenChunk(folder="other/", planned_at=ago(1))]
        assert old_runs({"may wait/": ago(34.9), "cannot/": ago(35.1)}, in_flight, now=NOW, days=30) == {"cannot/"}


class TestWaitedFor:
    @pytest.mark.parametrize(
        ("known", "waited"),
        [
            (entry("submitted", "not loaded"), False),  # the API keeps no results of that age
            (entry("submitting").model_copy(update={"changed_at": ago(3)}), True),
            (entry("landed", "lately"), True),
            (entry("submitted", "lately"), True),
            (entry("landed", "long ago"), False),
            (entry("withdrawn"), False),
            (None, False),
        ],
    )
    def test_a_chunk_is_waited_for_until_long_after_it_has_landed(self, known: Entry | None, waited: bool) -> None:
        opened = {"c": OpenChunk(folder="run/", planned_at=ago(40))}
        loaded = {"lately": ago(29), "long ago": ago(31)}
        assert waited_for(opened, {"c": known}, loaded, now=NOW, days=30) == (opened if waited else {})


class TestChunks:
    @pytest.mark.parametrize(
        ("known", "old"),
        [
            (entry("landed", "loaded"), True),
            (entry("submitted", "loaded"), True),
            (entry("withdrawn"), True),
            (entry("planned"), True),
            (None, True),
            (entry("submitted", "not loaded"), False),
            (entry("landed", "not loaded"), False),
            (entry("submitting"), False),
            (entry("unclear"), False),
        ],
    )
    def test_a_file_goes_when_its_batch_was_loaded_or_never_will_be_made(self, known: Entry | None, old: bool) -> None:
        found = old_chunks({"c": ago(31)}, {"c": known}, [], {"loaded": ago(31)}, now=NOW, days=30)
        assert found == ({"c"} if old else set())

    def test_a_file_stays_when_its_batch_was_loaded_lately(self) -> None:
        known = {"c": entry("landed", "loaded")}
        assert old_chunks({"c": ago(31)}, known, [], {"loaded": ago(29)}, now=NOW, days=30) == set()

    def test_what_is_young_or_may_still_land_stays(self) -> None:
        entries = dict.fromkeys(("old", "young", "open"))
        written = {"old": ago(31), "young": ago(29), "open": ago(31)}
        assert old_chunks(written, entries, ["open"], {}, now=NOW, days=30) == {"old"}


def test_a_raw_copy_goes_only_where_its_outcomes_are_in_the_result_store() -> None:
    written = {"b1": ago(400), "b2": ago(400), "b3": ago(1)}
    assert old_raw(written, {"b1", "b3"}, now=NOW, days=365) == {"b1"}


def test_an_age_that_a_run_may_have_or_that_nothing_has_is_refused() -> None:
    check_days(2)
    check_days(36_500)
    for days in (1, 0, -3, 36_501, 10**10):
        with pytest.raises(SpecError, match=rf"DAYS is {days}\b.* Nothing was deleted"):
            check_days(days)
