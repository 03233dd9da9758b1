"""README and docs: short enough to read, and what they name exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MOST_LINES = 150


def found(pattern: str) -> list[tuple[str, ...]]:
    """Every match in every page, with the page's path first."""
    return sorted(
        {
            (page.relative_to(ROOT).as_posix(), *match.groups())
            for page in PAGES
            for match in re.finditer(pattern, page.read_text(encoding="utf-8"))
        }
    )


@pytest.mark.parametrize(("page", "file", "name"), found(r"`([\w/]+\.py)::(\w+)`"))
def test_each_test_that_a_page_names_exists(page: str, file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("page", "function"), found(r"\]\([^)]+\.py\)(?:,)? `(\w+)\(\)`"))
def test_each_function_that_a_page_names_after_its_file_exists(page: str, function: str) -> None:
    sources = (
        file.read_text(encoding="utf-8") for top in ("include", "plugins") for file in (ROOT / top).rglob("*.py")
    )
    assert any(f"\ndef {function}(" in source for source in sources)


@pytest.mark.parametrize(("page", "link"), found(r"\]\(([^)#:]+)(?:#[^)]*)?\)"))
def test_each_file_that_a_page_links_to_exists(page: str, link: str) -> None:
    assert ((ROOT / page).parent / link).exists()


@pytest.mark.parametrize(("page", "link", "anchor"), found(r"\]\(([^)#:]*)#([^)]+)\)"))
def test_each_heading_that_a_page_links_to_exists(page: str, link: str, anchor: str) -> None:
    target = (ROOT / page).parent / link if link else ROOT / page
    headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "target"), found(r"(?:`|\n)make ([a-z-]+)\b"))
def test_each_make_target_that_a_page_names_exists(page: str, target: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert target in targets


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("page", [page.name for page in (ROOT / "docs").glob("*.md")])
def test_the_readme_links_to_each_page_of_docs(page: str) -> None:
    assert f"(docs/{page}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_each_guarantee_names_its_test() -> None:
    section = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8").partition("\n## ")[0]
    reasons = [line for line in section.splitlines() if re.match(r"\d+\. ", line)]
    assert reasons
    assert [line for line in reasons if "test_" not in line] == []
