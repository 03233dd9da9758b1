"""cleaning.py: working files that no run needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.enrichment.batches.cleaning import awaited_chunks, check_days, old_chunks, old_parts, old_raw, old_runs
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


class TestOldRuns:
    def test_a_run_is_old_after_writing_nothing_for_days(self) -> None:
        written = {"old/": ago(30.1), "young/": ago(29.9)}
        assert old_runs(written, [], now=NOW, days=30) == {"old/"}

    def test_a_run_whose_chunk_may_still_land_keeps_its_files(self) -> None:
        in_flight = [OpenChunk(folder="waits/", also_planned_by=["waits too/"], planned_at=ago(31))]
        written = {"waits/": ago(40), "waits too/": ago(40), "ended/": ago(40)}
        assert old_runs(written, in_flight, now=NOW, days=30) == {"ended/"}

    def test_a_run_that_may_wait_for_the_chunk_of_another_keeps_its_files(self) -> None:
        in_flight = [OpenChunk(folder="other/", planned_at=ago(35)), OpenChunk(folder="other/", planned_at=ago(1))]
        assert old_runs({"may wait/": ago(34.9), "cannot/": ago(35.1)}, in_flight, now=NOW, days=30) == {"cannot/"}


class TestAwaitedChunks:
    @pytest.mark.parametrize(
        ("known", "waited"),
        [
            (entry("submitted", "not loaded"), False),  # the API keeps no results of that age
            (entry("asking", "asked_c"), True),  # its answers are on the lake
            (entry("submitting").model_copy(update={"changed_at": ago(3)}), True),
            (entry("landed", "lately"), True),
            (entry("submitted", "lately"), True),
            (entry("landed", "long ago"), False),
            (entry("withdrawn"), False),
            (None, False),
        ],
    )
    def test_a_chunk_is_awaited_until_days_after_it_landed(self, known: Entry | None, waited: bool) -> None:
        opened = {"c": OpenChunk(folder="run/", planned_at=ago(40))}
        loaded = {"lately": ago(29), "long ago": ago(31)}
        assert awaited_chunks(opened, {"c": known}, loaded, now=NOW, days=30) == (opened if waited else {})


class TestOldChunks:
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
    def test_a_chunk_is_old_if_its_batch_was_loaded_or_will_never_exist(self, known: Entry | None, old: bool) -> None:
        found = old_chunks({"c": ago(31)}, {"c": known}, [], {"loaded": ago(31)}, now=NOW, days=30)
        assert found == ({"c"} if old else set())

    def test_a_chunk_whose_batch_was_loaded_recently_is_kept(self) -> None:
        known = {"c": entry("landed", "loaded")}
        assert old_chunks({"c": ago(31)}, known, [], {"loaded": ago(29)}, now=NOW, days=30) == set()

    def test_a_chunk_that_is_young_or_may_still_land_is_kept(self) -> None:
        entries = dict.fromkeys(("old", "young", "open"))
        written = {"old": ago(31), "young": ago(29), "open": ago(31)}
        assert old_chunks(written, entries, ["open"], {}, now=NOW, days=30) == {"old"}


def test_a_raw_copy_is_old_only_if_its_outcomes_are_stored() -> None:
    written = {"b1": ago(400), "b2": ago(400), "b3": ago(1)}
    assert old_raw(written, {"b1", "b3"}, now=NOW, days=365) == {"b1"}


def test_days_outside_the_allowed_range_are_rejected() -> None:
    check_days(2)
    check_days(36_500)
    for days in (1, 0, -3, 36_501, 10**10):
        with pytest.raises(SpecError, match=rf"DAYS is {days}\b.* Nothing was deleted"):
            check_days(days)


def test_parts_are_left_over_only_once_their_chunk_was_loaded_long_ago() -> None:
    written = dict.fromkeys(["loaded", "lately", "not loaded", "unknown"], ago(31)) | {"new": ago(1)}
    entries = {
        "loaded": entry("landed", "asked_loaded"),
        "lately": entry("landed", "asked_lately"),
        "not loaded": entry("asking", "asked_not_loaded"),
        "unknown": None,
        "new": entry("landed", "asked_loaded"),
    }
    loaded = {"asked_loaded": ago(31), "asked_lately": ago(1)}
    assert old_parts(written, entries, loaded, now=NOW, days=30) == {"loaded"}
