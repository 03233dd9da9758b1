"""The table of contenders; none is run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.benchmarks.contenders import ALONE, MEMORY_SIZE, PARTS, PEERS_PYTHON, PYTHON, Contender


def _with_all_before(contenders: Iterable[Contender]) -> Iterator[Contender]:
    for contender in contenders:
        yield from _with_all_before(contender.after)
        yield contender


SIZED = sorted(set(_with_all_before(one for part in PARTS.values() for one in part)), key=lambda one: one.command)


@pytest.mark.parametrize("contender", SIZED, ids=lambda contender: contender.command)
def test_every_command_is_a_function_of_its_module(contender: Contender) -> None:
    module, command = contender.command.split()
    tree = ast.parse(Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert command.replace("-", "_") in functions


@pytest.mark.parametrize("part", [*PARTS, *ALONE])
def test_a_part_begins_with_this_project(part: str) -> None:
    first, *_ = (PARTS | ALONE)[part]
    assert first.role == "ours"
    assert first.python == PYTHON


def test_peers_run_in_their_own_environment_and_not_at_the_largest_size() -> None:
    seed = next(one for one in PARTS["submit"] if one.command == "seed submit")
    assert seed.python == PEERS_PYTHON
    assert seed.most_rows < MEMORY_SIZE
