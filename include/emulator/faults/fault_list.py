"""Lists of faults: parsed from what a user writes, and stored as JSON."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import msgspec

from include.emulator.faults.fault import Fault
from include.emulator.faults.kinds import FAULT_BY_KIND, AnyFault

_DECODER = msgspec.json.Decoder(list[AnyFault])


class FaultError(ValueError):
    """An invalid fault list; the message names the entry and the valid names."""


def parse(text: str | bytes) -> list[Fault]:
    """
    Parse JSON or YAML: a list of faults, or an object with such a list as ``faults``.

    Raises FaultError if an entry is invalid.
    """
    try:
        document = msgspec.yaml.decode(text)
    except msgspec.DecodeError as error:
        raise FaultError(f"The faults are neither JSON nor YAML: {error}") from error
    if isinstance(document, dict) and set(document) == {"faults"}:
        document = document["faults"]
    if not isinstance(document, list):
        raise FaultError('Faults are a list of objects like {"kind": "http_error", "status": 529, "times": 2}.')
    return [_parse_entry(number, entry) for number, entry in enumerate(document)]


def _parse_entry(number: int, entry: object) -> Fault:
    given = entry if isinstance(entry, dict) else {}
    kind = given.get("kind")
    if kind not in FAULT_BY_KIND:
        kinds = ", ".join(FAULT_BY_KIND)
        raise FaultError(
            f"Fault {number}: kind {kind!r} is unknown.{_nearest(str(kind), FAULT_BY_KIND)} Kinds: {kinds}."
        )
    fields = sorted(FAULT_BY_KIND[kind].__struct_fields__)
    if unknown := [str(name) for name in given if name != "kind" and name not in fields]:
        raise FaultError(
            f"Fault {number} ({kind}): field {unknown[0]!r} is unknown.{_nearest(unknown[0], fields)}"
            f" Fields: {', '.join(fields)}."
        )
    try:
        fault: Fault = msgspec.convert(given, AnyFault)
    except msgspec.ValidationError as error:
        raise FaultError(f"Fault {number} ({kind}): {error}. Fields: {', '.join(fields)}.") from error
    return fault


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def encode(faults: Iterable[Fault]) -> bytes:
    """Encode faults as the JSON that ``decode`` reads."""
    return msgspec.json.encode(list(faults))


def decode(data: bytes) -> list[Fault]:
    """Decode faults that ``encode`` wrote."""
    return list(_DECODER.decode(data))
