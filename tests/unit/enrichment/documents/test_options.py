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
    ],
)
def test_a_mistake_in_the_columns_is_told(columns: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AttachmentSettings.model_validate({"columns": columns})
