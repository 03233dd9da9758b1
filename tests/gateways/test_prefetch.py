"""prefetch.py: fetching or writing one item while the caller works on another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from threading import Event

import pytest

from include.enrichment.errors import LoadError
from include.gateways.prefetch import prefetch, write_behind

_SECONDS = 10


def _fail() -> None:
    raise OSError("the disk is full")


def test_all_calls_are_made_in_order() -> None:
    written: list[int] = []
    with write_behind() as do:
        for number in range(100):
            do(written.append, number)
    assert written == list(range(100))


def test_the_caller_continues_during_a_call() -> None:
    goes_on = Event()
    with write_behind() as do:
        do(goes_on.wait, _SECONDS)
        assert not goes_on.is_set()
        goes_on.set()


def test_a_call_waits_for_the_previous_one() -> None:
    """This bounds the memory."""
    first, begun = Event(), Event()

    def write() -> None:
        begun.set()
        assert first.wait(_SECONDS)

    with write_behind() as do:
        do(write)
        assert begun.wait(_SECONDS)
        threading.Timer(0.05, first.set).start()
        do(int)
        assert first.is_set()


def test_the_next_call_raises_the_error_of_the_previous_one_and_is_not_made() -> None:
    made: list[int] = []

    def block() -> None:
        with write_behind() as do:
            do(_fail)
            do(made.append, 1)

    with pytest.raises(OSError, match="the disk is full"):
        block()
    assert made == []


def test_the_error_of_the_last_call_is_raised_at_the_end_of_the_block() -> None:
    with pytest.raises(OSError, match="the disk is full"), write_behind() as do:
        do(_fail)


def test_an_error_of_the_block_takes_precedence_and_no_call_outlives_it() -> None:
    done = Event()

    def write() -> None:
        done.wait(0.05)
        done.set()
        _fail()

    def block() -> None:
        with write_behind() as do:
            do(write)
            raise KeyError

    with pytest.raises(KeyError):
        block()
    assert done.is_set()


def test_a_block_without_calls_waits_for_nothing() -> None:
    threads = threading.active_count()
    with write_behind():
        pass
    assert threading.active_count() == threads


def test_the_next_item_is_fetched_while_the_caller_works() -> None:
    got = [Event(), Event()]

    def pieces() -> Iterator[bytes]:
        for event in got:
            event.set()
            yield b"piece"

    with prefetch(pieces()) as arriving:
        next(arriving)
        assert got[1].wait(10)
        assert list(arriving) == [b"piece"]


def test_an_error_of_the_iterator_is_raised_in_the_caller() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"piece"
        raise LoadError("broke off")

    with prefetch(pieces()) as arriving:
        assert next(arriving) == b"piece"
        with pytest.raises(LoadError, match="broke off"):
            next(arriving)


def test_the_first_item_is_fetched_at_once() -> None:
    begun = Event()

    def pieces() -> Iterator[bytes]:
        begun.set()
        yield b"piece"

    with prefetch(pieces()):
        assert begun.wait(_SECONDS)


@pytest.mark.parametrize("taken", [0, 1])
def test_leaving_early_hangs_up_and_waits_for_the_thread(taken: int) -> None:
    hung_up, ended = Event(), Event()

    def pieces() -> Iterator[bytes]:
        for _ in range(taken):
            yield b"piece"
        assert hung_up.wait(_SECONDS)
        ended.set()

    with prefetch(pieces(), hang_up=hung_up.set) as arriving:
        for _ in range(taken):
            next(arriving)
    assert ended.is_set()


def test_reading_all_items_does_not_hang_up() -> None:
    hung_up = Event()
    with prefetch(iter([b"piece"]), hang_up=hung_up.set) as arriving:
        assert list(arriving) == [b"piece"]
    assert not hung_up.is_set()
