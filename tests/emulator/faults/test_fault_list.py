"""Lists of faults in JSON and YAML, and the documentation of every kind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from include.emulator.faults.fault import Fault
from include.emulator.faults.fault_list import FaultError, parse
from include.emulator.faults.kinds import FAULT_BY_KIND
from include.emulator.faults.row_kinds import RowFault
from tests.fixtures.emulator import Emulator

DOCUMENTATION = (Path(__file__).parents[3] / "docs" / "emulator.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "http_eror", "status": 500}, "Did you mean 'http_error'"),
        ({"kind": "http_error"}, "missing required field `status`"),
        ({"kind": "http_error", "status": 200}, ">= 400"),
        ({"kind": "http_error", "status": 500, "on": "retrieve", "created": True}, "create"),
        ({"kind": "errored", "shre": 1}, "field 'shre' is unknown. Did you mean 'share'? Fields: after, chance, "),
        ({"kind": "stuck", "seconds": 1}, "field 'seconds' is unknown. Fields: after, chance, times."),
        ({"kind": "errored", "share": 1.5}, "<= 1"),
        ({"kind": "stuck", "times": 0}, ">= 1"),
        ({"kind": "stuck", "after": -1}, ">= 0"),
        ({"kind": "stuck", "chance": 0}, "> 0"),
        ({"kind": "stuck", "chance": 1.1}, "<= 1"),
        ({"kind": "queue_limit"}, "either `requests` or `batches`"),
        ({"kind": "queue_limit", "requests": 1, "batches": 1}, "either `requests` or `batches`"),
        ({}, f"Kinds: {next(iter(FAULT_BY_KIND))}"),
    ],
)
def test_an_invalid_fault_is_rejected_with_the_valid_names(
    emulator: Emulator, fault: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match="Fault 0") as caught:
        emulator.set_faults([fault])
    assert message in str(caught.value)


def test_faults_are_read_from_yaml_and_json_alike() -> None:
    yaml = "faults:\n  - kind: errored\n    share: 0.5\n    times: 2\n"
    assert parse(yaml) == parse('[{"kind": "errored", "share": 0.5, "times": 2}]')


@pytest.mark.parametrize("fault", FAULT_BY_KIND.values(), ids=FAULT_BY_KIND.keys())
def test_the_documentation_has_every_kind_with_its_fields(fault: type[Fault]) -> None:
    rows = [line for line in DOCUMENTATION.splitlines() if line.startswith(f"| `{fault.__struct_config__.tag}` |")]
    assert len(rows) == 1
    common = RowFault.__struct_fields__ if issubclass(fault, RowFault) else Fault.__struct_fields__
    assert all(f"`{name}`" in DOCUMENTATION for name in common)
    assert {name for name in fault.__struct_fields__ if name not in common and f"`{name}`" not in rows[0]} == set()


@pytest.mark.parametrize("faults", re.findall(r"`(\[\{.*?\}\])`", DOCUMENTATION))
def test_the_faults_of_the_documentation_are_valid(faults: str) -> None:
    assert parse(faults)


@pytest.mark.parametrize("text", ["{", "kind: stuck", "stuck", ""])
def test_anything_but_a_list_of_faults_is_rejected(text: str) -> None:
    with pytest.raises(FaultError):
        parse(text)
