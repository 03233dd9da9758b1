"""tools.py belongs to the setting `tools`: neither may stand without the other."""

from __future__ import annotations

from pathlib import Path

from include.enrichment.agent.settings import ToolSettings
from include.enrichment.agent.tool_reading import read_tool_file

SETTINGS = {"look_up": ToolSettings()}


def test_the_functions_that_the_setting_names_are_tools(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text('def look_up() -> str:\n    "Look up."\ndef other(): ...\n')
    (tool,), mistakes = read_tool_file(tmp_path, SETTINGS)
    assert (tool.name, mistakes) == ("look_up", [])


def test_a_file_without_the_setting_and_a_setting_without_the_file_are_mistakes(tmp_path: Path) -> None:
    assert read_tool_file(tmp_path, {}) == ([], [])
    assert read_tool_file(tmp_path, SETTINGS)[1] == ["tools.py: is missing; it holds the functions look_up"]
    (tmp_path / "tools.py").write_text("")
    (unused,) = read_tool_file(tmp_path, {})[1]
    assert unused.startswith("tools.py:1: is not used")


def test_a_mistake_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text("\ndef look_up() -> str: ...\n")
    assert read_tool_file(tmp_path, SETTINGS)[1][0].startswith("tools.py:2: look_up: has no docstring")
