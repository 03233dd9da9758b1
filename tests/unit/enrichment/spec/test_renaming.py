"""renaming.py: the names of a source's columns in the pipeline."""

from __future__ import annotations

import pyarrow as pa
import pytest

from include.enrichment.errors import SpecError
from include.enrichment.spec.renaming import Renaming

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string()), ("_sample", pa.int64())])


def renaming(**names: str) -> Renaming:
    return Renaming(names=names, location="judge/pipeline.yaml:4: source.rename")


def test_each_column_has_its_new_name_and_the_others_keep_theirs() -> None:
    assert renaming(text="page", _sample="sample").stored(SCHEMA) == {"id": "id", "page": "text", "sample": "_sample"}
    assert renaming().stored(SCHEMA) == {"id": "id", "text": "text", "_sample": "_sample"}


def test_two_columns_may_swap_their_names() -> None:
    assert renaming(id="text", text="id").stored(SCHEMA) == {"text": "id", "id": "text", "_sample": "_sample"}


@pytest.mark.parametrize(
    ("names", "fact"),
    [
        ({"txet": "page"}, "the source has no column 'txet'; did you mean 'text'?"),
        ({"text": "id"}, "'text' cannot become 'id': the source has a column of that name; choose another name."),
    ],
)
def test_an_unknown_column_and_a_name_that_is_taken_are_reported_with_the_line(
    names: dict[str, str], fact: str
) -> None:
    with pytest.raises(SpecError) as raised:
        renaming(**names).stored(SCHEMA)
    assert str(raised.value) == (
        f"judge/pipeline.yaml:4: source.rename: {fact} Columns of the source: id, text, _sample. Nothing was sent."
    )
