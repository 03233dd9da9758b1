"""errors.py: the tree in its docstring, and which errors another attempt may mend."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime

import pytest

from include.enrichment import errors
from include.enrichment.errors import (
    ApiError,
    BatchError,
    BatchNotFound,
    EnrichmentError,
    LakeError,
    LoadError,
    NotYet,
    ParamError,
    PartitionError,
    SetupError,
    SpecError,
    WarehouseError,
    nearest,
    nearest_of,
)

AT = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    parents: list[str] = []
    drawn = {}
    for indent, name in re.findall(r"^([│├└─ ]*)([A-Z][A-Za-z]+)(?=\s|$)", errors.__doc__ or "", re.MULTILINE):
        if not (indent or name == "EnrichmentError"):
            continue
        depth = len(indent) // 4
        parents[depth:] = [name]
        drawn[name] = parents[depth - 1] if depth else "Exception"
    classes = inspect.getmembers(errors, lambda member: inspect.isclass(member) and issubclass(member, Exception))
    assert drawn == {name: cls.__base__.__name__ for name, cls in classes}


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (SpecError("x"), False),
        (PartitionError("x"), False),
        (ParamError("x"), False),
        (SetupError("x"), False),
        (WarehouseError("x"), False),
        (WarehouseError("x", retryable=True), True),
        (LakeError("x"), True),
        (LakeError("x", retryable=False), False),
        (ApiError("x", retryable=True), True),
        (BatchNotFound("x", retryable=False), False),
        (NotYet("x", again_at=AT), True),
        (BatchError("x"), False),
        (BatchError("x", retryable=True), True),
        (LoadError("x"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_says_whether_another_attempt_may_mend_it(error: EnrichmentError, retryable: bool) -> None:
    assert error.retryable is retryable
    assert str(error) == "x"


def test_saying_it_of_one_error_changes_no_other() -> None:
    LakeError("x", retryable=False)
    assert LakeError("x").retryable


def test_a_batch_error_carries_the_batches_that_are_known() -> None:
    assert BatchError("x").batch_ids == ()
    assert BatchError("x", batch_ids=["msgbatch_1", "msgbatch_2"]).batch_ids == ("msgbatch_1", "msgbatch_2")


def test_an_api_error_carries_how_long_the_api_asked_to_wait() -> None:
    assert ApiError("x", retryable=True).retry_after_seconds is None
    assert ApiError("x", retryable=True, retry_after_seconds=7.5).retry_after_seconds == 7.5


def test_what_cannot_be_done_yet_carries_when_to_come_back() -> None:
    assert NotYet("x", again_at=AT).again_at == AT


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("row", "; did you mean 'rows'?"),
        ("modell", "; did you mean 'model'?"),
        ("MODEL", "; did you mean 'model'?"),
        ("Rows", "; did you mean 'rows'?"),
        ("max_tokens", "; did you mean 'MaxTokens'?"),
        ("STRASSE", "; did you mean 'Straße'?"),
        ("budget", ""),
        ("", ""),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest_in_whatever_case_if_there_is_one(name: str, said: str) -> None:
    assert nearest(name, {"rows": 1, "model": 2, "MaxTokens": 3, "Straße": 4}) == said


def test_the_known_names_follow_the_nearest() -> None:
    assert nearest_of("row", ["rows", "model"]) == "; did you mean 'rows'? There are: rows, model"
    assert nearest_of("row", []) == ". There are: none"
