"""The settings of attachments."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from include.enrichment.documents.options import AttachmentSettings


def test_a_list_of_columns_gives_each_its_defaults() -> None:
    columns = AttachmentSettings.model_validate({"columns": ["scan", "photo"]}).columns
    assert list(columns) == ["scan", "photo"]
    assert (columns["scan"].kind, columns["scan"].send, columns["scan"].pages) == ("auto", "auto", None)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([], "at least one"),
        ("scan", "must be a list"),
        (["scan", "scan"], "names 'scan' twice"),
        ({"scan": {"pages": "20-1"}}, "must be a range of pages"),
        ({"scan": {"pages": "0-1"}}, "must be a range of pages"),
        ({"scan": {"as": "video"}}, "Input should be"),
        ({"scan": {"as": "image", "pages": "1-2"}}, "has neither `pages` nor `send`"),
        ({"scan": {"as": "image", "send": "text"}}, "has neither `pages` nor `send`"),
        ({"scan": {"as": "text", "send": "pages"}}, "`as: text` contradicts `send: pages`"),
    ],
)
def test_a_mistake_in_the_columns_is_told(columns: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AttachmentSettings.model_validate({"columns": columns})


def _problems(
    source: str, settings: dict[str, object], *, in_folder: bool = False
) -> list[tuple[tuple[str, ...], str]]:
    attachments = AttachmentSettings.model_validate(settings)
    return [(path, fact[:60]) for path, fact in attachments.problems(source, in_folder=in_folder)]


@pytest.mark.parametrize(
    ("source", "settings"),
    [
        ("", {"columns": ["scan", "photo"], "connection": "aws"}),
        ("table", {"columns": ["scan"], "connection": "aws", "split_pages": 50}),
        ("files", {"columns": ["scan"]}),
        ("objects", {"columns": ["uri"], "connection": "aws"}),
    ],
)
def test_settings_that_fit_their_source_have_no_problem(source: str, settings: dict[str, object]) -> None:
    assert _problems(source, settings) == []


@pytest.mark.parametrize(
    ("source", "settings", "path", "fact"),
    [
        ("", {"columns": ["scan"]}, (), "connection: is missing: name the AWS connection that can re"),
        ("table", {"columns": ["scan"]}, (), "connection: is missing"),
        ("objects", {"columns": ["name"]}, ("columns", "name"), "with source.objects, only its column 'uri'"),
        (
            "files",
            {"columns": ["a", "b"], "split_pages": 2},
            ("split_pages",),
            "needs one column, because a part is of",
        ),
    ],
)
def test_settings_that_contradict_their_source_are_told(
    source: str, settings: dict[str, object], path: tuple[str, ...], fact: str
) -> None:
    ((place, problem),) = _problems(source, settings)
    assert place == path
    assert problem.startswith(fact)


def test_a_folder_needs_no_connection() -> None:
    ((path, fact),) = _problems("objects", {"columns": ["uri"], "connection": "aws"}, in_folder=True)
    assert path == ("connection",)
    assert fact.startswith("is not used, because source.objects is a folder")
