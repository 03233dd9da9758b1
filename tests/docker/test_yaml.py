"""A lint of the YAML files of a deployment, for machines without Compose and Helm."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from include.stack.folder import ROOT

FILES = [
    ROOT / "docker-compose.yaml",
    ROOT / "tests/docker/override.yaml",
    *sorted((ROOT / "deploy").glob("*.yaml")),
    *sorted((ROOT / ".github/workflows").glob("*.yaml")),
]


def _duplicate_keys(node: yaml.Node | None) -> list[str]:
    """List the keys that a mapping has twice, with their lines: YAML loaders silently keep the last one."""
    if isinstance(node, yaml.SequenceNode):
        return [found for item in node.value for found in _duplicate_keys(item)]
    if not isinstance(node, yaml.MappingNode):
        return []
    keys = [key.value for key, _ in node.value]
    own = [
        f"line {key.start_mark.line + 1}: {key.value}"
        for number, (key, _) in enumerate(node.value)
        if key.value in keys[:number]
    ]
    return own + [found for _, value in node.value for found in _duplicate_keys(value)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_key_is_given_twice(file: Path) -> None:
    assert not _duplicate_keys(yaml.compose(file.read_text(encoding="utf-8")))


def test_a_duplicate_key_is_found_at_every_depth() -> None:
    assert _duplicate_keys(yaml.compose("a: 1\nb:\n  - c: 1\n    c: 2\na: 2\n")) == ["line 5: a", "line 4: c"]
