"""When a wait says something, and when it ends."""

from __future__ import annotations

import pytest

from include.stack.patience import OutOfPatience, Patience


def test_a_wait_is_told_once_and_again_after_a_change(capsys: pytest.CaptureFixture[str]) -> None:
    patience = Patience(say_after=0)
    for state in (1, 1, 2, 2):
        patience.seen(state)
        patience.waited("Airflow has not answered")
    said = capsys.readouterr().out
    assert said.count("Airflow has not answered for 0 s; the machine is ") == 2
    assert said.count("Waiting.") == 2


def test_a_short_wait_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    Patience().waited("Airflow has not answered")
    assert capsys.readouterr().out == ""


def test_it_ends_when_nothing_has_moved_for_long() -> None:
    patience = Patience(give_up_after=0)
    with pytest.raises(
        OutOfPatience, match=r"^Not up: scheduler for 0 s; the machine is .*\(load .* on \d+ cores\)\.$"
    ):
        patience.waited("Not up: scheduler")


def test_it_ends_at_once_when_it_is_in_vain() -> None:
    def in_vain() -> None:
        raise ValueError("The scheduler has died.")

    with pytest.raises(ValueError, match="died"):
        Patience(in_vain).waited("Airflow has not answered")
