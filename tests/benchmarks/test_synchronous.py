from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks.synchronous import calls_alone, loop, step, threads
from tests.fixtures.emulator import Emulator


@pytest.mark.parametrize("ask", [calls_alone, loop, threads])
def test_each_contender_asks_every_request_once(ask: Callable[[Emulator, int], int], emulator: Emulator) -> None:
    assert ask(emulator, 5) == 0
    bills = emulator.bills()
    assert (bills["requests"], bills["billed_twice"]) == (5, 0)


@pytest.mark.parametrize("ask", [calls_alone, loop, threads])
def test_requests_that_are_not_answered_are_counted(ask: Callable[[Emulator, int], int], emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "messages", "status": 400, "times": 2}])
    assert ask(emulator, 5) == 2


def test_the_step_asks_every_row_once(emulator: Emulator, tmp_path: Path) -> None:
    assert step(emulator, tmp_path, 5)() == 0
    assert (emulator.bills()["requests"], emulator.bills()["billed_twice"]) == (5, 0)
