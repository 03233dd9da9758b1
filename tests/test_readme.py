"""What the README names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NAMED_TESTS = re.findall(r"`([\w/]+\.py)::(\w+)`", README)
LINKS = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]


@pytest.mark.parametrize(("file", "name"), NAMED_TESTS)
def test_each_test_that_it_names_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("link", sorted(set(LINKS)))
def test_each_file_that_it_links_to_exists(link: str) -> None:
    assert (ROOT / link).exists()


def test_each_reason_why_a_run_may_be_cleared_names_its_test() -> None:
    section = README.partition("## Clear anything, at any time")[2].partition("\n## ")[0]
    reasons = [line for line in section.splitlines() if re.match(r"\d+\. ", line)]
    assert len(reasons) == 10
    assert [line for line in reasons if "test_" not in line] == []
