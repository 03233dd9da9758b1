"""Simulated values fit every schema, and are marked as simulated."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import jsonschema_rs
import pytest

from include.emulator.answers.schema_values import compile_schema
from include.emulator.answers.source import Source
from include.emulator.answers.structured_outputs import FORMATS, check
from include.emulator.api_errors import RequestRejected
from include.emulator.draws import Draws
from tests.emulator.answers.test_structured_outputs import ACCEPTED, closed

TEXT = "Ticket 42: the billing page shows a wrong total. Please refund me, or I will cancel my subscription."
PATTERNS = [
    "^[A-Z]{3}-[0-9]{4}$",
    "^(red|green|blue)+$",
    "^\\d{1,3}(\\.\\d{1,3}){3}$",
    "^[^@\\s]+@[a-z]+\\.(com|org)$",
    "^v?\\d+\\.\\d+\\.\\d+(-[a-z0-9]+)?$",
    "colou?r",
    "^\\w{2,}$",
    "^[\\w.-]+$",
    "^a*b+?c{2,}$",
    "^\\$\\d+$",
    "^(?:ab|cd){2}$",
    "^[\\]x-]$",
]


def _random_schema(random: Random, depth: int, definitions: list[str]) -> dict[str, Any]:
    kinds = ["string", "integer", "number", "boolean", "null", "enum", "const", "format", "pattern", "types", "merged"]
    if definitions:
        kinds.append("reference")
    if depth > 0:
        kinds += ["object", "object", "array", "any"]
    kind = random.choice(kinds)
    match kind:
        case "enum":
            return {"enum": random.sample(["billing", "refund", "bug", "Other thing", 3, 2.5, True, None], 4)}
        case "const":
            return {"const": random.choice(["fixed", 7, False, None])}
        case "format":
            return {"type": "string", "format": random.choice(sorted(FORMATS))}
        case "pattern":
            return {"type": "string", "pattern": random.choice(PATTERNS)}
        case "types":
            return {"type": random.sample(["string", "integer", "boolean", "null"], 2)}
        case "merged":
            return {"allOf": [{"type": ["string", "null"]}, {"enum": ["billing", "bug", None]}], "description": "d"}
        case "reference":
            return {"$ref": f"#/$defs/{random.choice(definitions)}"}
        case "any":
            return {"anyOf": [_random_schema(random, depth - 1, definitions) for _ in range(2)]}
        case "array":
            items = _random_schema(random, depth - 1, definitions)
            return {"type": "array", "items": items, "minItems": random.randint(0, 1)}
        case "object":
            return _random_object(random, depth - 1, definitions)
    return {"type": kind}


def _random_object(random: Random, depth: int, definitions: list[str]) -> dict[str, Any]:
    names = random.sample(["label", "reason", "score", "when", "tags", "who"], random.randint(0, 4))
    properties = {name: _random_schema(random, depth, definitions) for name in names}
    return closed(properties, required=random.sample(names, random.randint(0, len(names))))


def _random_root(seed: int) -> dict[str, Any]:
    random = Random(seed)
    definitions = {f"d{index}": _random_schema(random, 1, []) for index in range(2)}
    return {**_random_object(random, 3, list(definitions)), "$defs": definitions}


def _within_limits(schema: dict[str, Any]) -> bool:
    """Return whether a generated schema is within the limits on unions and options; the rest is in the subset."""
    try:
        check(schema)
    except RequestRejected as rejection:
        if "at most" in rejection.message:
            return False
        raise
    return True


def _values(schema: dict[str, Any], count: int) -> list[Any]:
    make = compile_schema(schema)
    return [make(Draws(start), Source(TEXT)) for start in range(count)]


@pytest.mark.parametrize("schema", ACCEPTED.values(), ids=ACCEPTED)
def test_a_value_fits_each_supported_construct(schema: dict[str, Any]) -> None:
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    for value in _values(schema, 50):
        validator.validate(value)


def test_values_fit_generated_schemas() -> None:
    tried = 0
    for seed in range(600):
        schema = _random_root(seed)
        if not _within_limits(schema):
            continue
        tried += 1
        validator = jsonschema_rs.validator_for(schema, validate_formats=True)
        for value in _values(schema, 5):
            validator.validate(json.loads(json.dumps(value)))
    assert tried > 500


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_string_matches_its_pattern(pattern: str) -> None:
    validator = jsonschema_rs.validator_for({"type": "string", "pattern": pattern})
    for value in _values({"type": "string", "pattern": pattern}, 100):
        validator.validate(value)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_string_has_its_format(name: str) -> None:
    validator = jsonschema_rs.validator_for({"type": "string", "format": name}, validate_formats=True)
    for value in _values({"type": "string", "format": name}, 100):
        validator.validate(value)


def test_times_use_every_format_of_rfc_3339() -> None:
    moments = _values({"type": "string", "format": "date-time"}, 500)
    assert any("t" in moment for moment in moments)
    assert any(":60" in moment for moment in moments)
    assert any("T" in moment and ":60" not in moment for moment in moments)


def test_closed_parts_of_an_allof_allow_only_common_properties() -> None:
    both = closed({"a": {"type": "string"}, "b": {"type": "integer"}}, required=["a"])
    schema = {"allOf": [both, closed({"a": {"type": ["string", "null"]}})]}
    validator = jsonschema_rs.validator_for(schema)
    for value in _values(schema, 50):
        validator.validate(value)


def test_an_enum_prefers_values_in_the_request() -> None:
    labels = {"enum": ["shipping delay", "billing", "praise"]}
    assert set(_values(labels, 30)) == {"billing"}


def test_an_enum_without_values_in_the_request_is_random() -> None:
    assert set(_values({"enum": ["alpha", "beta", "gamma"]}, 60)) == {"alpha", "beta", "gamma"}


def test_required_properties_come_first_and_each_group_in_order() -> None:
    schema = closed({name: {"type": "null"} for name in "abcd"}, required=["d", "b"])
    assert any(list(value) == ["b", "d", "a", "c"] for value in _values(schema, 30))
    assert all(list(value)[:2] == ["b", "d"] for value in _values(schema, 30))


def test_free_texts_are_marked_as_simulated() -> None:
    assert all(value.startswith("simulated: ") for value in _values({"type": "string"}, 30))
