"""asker.py: requests are asked many at a time, and none is open before there is room to lose it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from include.enrichment.errors import LakeError, NotYet, SetupError
from include.enrichment.synchronous import lease
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.steps.asking import asker as asker_module
from include.steps.asking.asker import Asker, Unanswered
from include.steps.asking.lease import Lease, take_lease
from include.steps.asking.parts import Parts
from tests.steps.asking.test_lease import CHUNK

ANSWER = b'{"type":"succeeded"}'
Act = Callable[[str], Awaitable[bytes | None]]


class Place:
    """A chunk that is asked in a folder, and what happened."""

    def __init__(self, folder: Path) -> None:
        self.lake = Lake.in_folder(folder)
        self.ledger = Ledger(self.lake, pipeline="tickets")
        self.parts = Parts(self.lake, pipeline="tickets", chunk_id=CHUNK.chunk_id)
        self.open: set[str] = set()
        self.most_open = 0
        self.asked: list[str] = []
        self.stopping = threading.Event()

    def take(self) -> Lease:
        known = self.ledger.find(CHUNK.chunk_id)
        return take_lease(CHUNK, known, self.ledger, run_id="run-1", batch_id="asked_c")

    def ask(
        self, act: Act, *, requests: int = 20, at_once: int = 4, first_alone: bool = False, size_bytes: int = 10
    ) -> int:
        place = self

        class Answerer:
            async def answer(self, request_id: str, params: bytes) -> bytes | None:
                place.asked.append(request_id)
                place.open.add(request_id)
                place.most_open = max(place.most_open, len(place.open))
                try:
                    return await act(request_id)
                finally:
                    place.open.discard(request_id)

        async def unanswered() -> AsyncGenerator[Unanswered]:
            for number in range(requests):
                yield Unanswered(request_id=f"r{number:02}", size_bytes=size_bytes, params=_params)

        asker = Asker(Answerer(), self.parts, self.take(), at_once=at_once, stopping=self.stopping)
        asyncio.run(asker.ask(unanswered(), first_alone=first_alone))
        return asker.waiting


async def _params() -> bytes:
    return b"{}"


async def answered(_: str) -> bytes:
    await asyncio.sleep(0.001)
    return ANSWER


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_every_answer_is_stored_and_no_more_requests_are_open_than_may_be(place: Place) -> None:
    place.ask(answered)
    assert len(place.parts.request_ids()) == len(set(place.asked)) == 20
    assert 1 < place.most_open <= 4


def test_an_answer_has_no_place_free_before_it_is_stored(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[int] = []
    write = Parts.write

    def counted(parts: Parts, lines: Sequence[bytes]) -> None:
        assert len(place.asked) - sum(stored) <= 4
        stored.append(len(lines))
        write(parts, lines)

    monkeypatch.setattr(Parts, "write", counted)
    place.ask(answered)
    assert sum(stored) == 20
    assert len(stored) < 20, "answers that come while others are stored are stored together"


def test_the_first_request_is_alone_if_it_warms_the_cache(place: Place) -> None:
    async def act(request_id: str) -> bytes:
        assert request_id == "r00" or place.parts is not None
        if request_id == "r00":
            await asyncio.sleep(0.02)
            assert place.asked == ["r00"]
        return ANSWER

    place.ask(act, first_alone=True)
    assert len(place.parts.request_ids()) == 20


def test_large_requests_are_open_one_at_a_time(place: Place) -> None:
    place.ask(answered, requests=4, size_bytes=asker_module.MOST_BYTES)
    assert place.most_open == 1


def test_after_an_error_no_other_request_is_asked_and_open_ones_are_stored(place: Place) -> None:
    async def act(request_id: str) -> bytes:
        if request_id == "r05":
            raise SetupError("The key was rejected.")
        return await answered(request_id)

    with pytest.raises(SetupError, match="rejected"):
        place.ask(act)
    assert len(place.asked) < 20
    assert place.parts.request_ids() == set(place.asked) - {"r05"}


def test_a_task_that_is_stopped_asks_nothing_more_and_stores_what_is_open(place: Place) -> None:
    async def act(request_id: str) -> bytes:
        if request_id == "r05":
            place.stopping.set()
        return await answered(request_id)

    with pytest.raises(NotYet, match="was stopped"):
        place.ask(act)
    assert len(place.asked) < 20
    assert place.parts.request_ids() == set(place.asked)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asker_module, "_PAUSES_SECONDS", (0, 0, 0))


@pytest.mark.usefixtures("no_pauses")
def test_answers_that_cannot_be_stored_at_once_are_stored_later(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    write, tries = Parts.write, count()

    def fails_twice(parts: Parts, lines: Sequence[bytes]) -> None:
        if next(tries) < 2:
            raise LakeError("The store is down.")
        write(parts, lines)

    monkeypatch.setattr(Parts, "write", fails_twice)
    place.ask(answered)
    assert place.parts.request_ids() == set(place.asked)


@pytest.mark.usefixtures("no_pauses")
def test_a_store_that_stays_down_ends_it_and_no_other_request_is_asked(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(parts: Parts, lines: Sequence[bytes]) -> None:
        raise LakeError("The store is down.")

    monkeypatch.setattr(Parts, "write", fails)
    with pytest.raises(LakeError, match="down"):
        place.ask(answered)
    assert len(place.asked) <= 8


def test_answers_that_wait_for_a_person_are_counted_and_take_no_place(place: Place) -> None:
    async def act(request_id: str) -> bytes | None:
        return None if int(request_id[1:]) % 2 else ANSWER

    assert place.ask(act, at_once=2) == 10
    assert len(place.parts.request_ids()) == 10


def test_a_lost_lease_gives_up_the_open_requests_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_EVERY", timedelta(seconds=0.05))

    async def act(request_id: str) -> bytes:
        if request_id == "r00":
            place.take()  # another process
        await asyncio.sleep(60)
        return ANSWER

    with pytest.raises(NotYet, match="was taken over"):
        place.ask(act)
    assert place.asked == ["r00", "r01", "r02", "r03"]
    assert place.open == set()


def test_a_process_that_was_suspended_for_longer_than_its_lease_asks_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE", timedelta(seconds=-1))
    with pytest.raises(NotYet, match="has not been renewed in time"):
        place.ask(answered)
    assert place.asked == []
