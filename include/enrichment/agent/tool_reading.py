"""Reads the tools.py of a pipeline's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from include.enrichment.agent.settings import ToolSettings
from include.enrichment.agent.tool_file import Tool, read_tools

#: The file in a pipeline's folder.
TOOLS = "tools.py"


def read_tool_file(folder: Path, settings: Mapping[str, ToolSettings]) -> tuple[list[Tool], list[str]]:
    """
    Return the tools of the pipeline in ``folder`` and the mistakes in tools.py: file, line, fact.

    :param settings: the setting ``tools``
    """
    try:
        source = (folder / TOOLS).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        missing = f"{TOOLS}: is missing; it holds the functions {', '.join(settings)}"
        return [], [missing] if settings else []
    except (OSError, UnicodeDecodeError) as error:
        return [], [f"{TOOLS}: cannot be read: {error}"]
    if not settings:
        return [], [f"{TOOLS}:1: is not used: name its functions under tools in pipeline.yaml, or delete it"]
    tools, mistakes = read_tools(source, ask_first={name: one.ask_first for name, one in settings.items()})
    return tools, [f"{TOOLS}:{line}: {fact}" for line, fact in mistakes]
