"""version.py: an object that a newer release wrote is rejected, whatever else it contains."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from include.enrichment.answers.manifest import Manifest
from include.enrichment.batches.ledger import Entry, OpenChunks
from include.enrichment.batches.pass_plan import PassPlan
from include.enrichment.cost.forecast import DryRun
from include.enrichment.errors import LakeError
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage import version as versions
from include.enrichment.storage.version import VERSION, Versioned, check_stamp, with_stamp
from include.steps.files.extracted import Extracted


class Thing(Versioned):
    name: str


def read(**members: Any) -> Thing:
    return Thing.model_validate_json(json.dumps(members))


def test_an_object_begins_with_its_version() -> None:
    assert Thing(name="x").model_dump_json() == f'{{"version":{VERSION},"name":"x"}}'


def test_an_object_without_a_version_has_version_1() -> None:
    assert read(name="x") == Thing(name="x", version=1)


def test_a_newer_object_is_rejected_before_its_members_are_checked() -> None:
    with pytest.raises(LakeError, match=r"A stored Thing has version 9.*Nothing was changed\. Upgrade") as caught:
        read(version=9, other="member")
    assert not caught.value.retryable


def test_an_earlier_form_is_written_back_in_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = read(version=1, name="x")
    monkeypatch.setattr(versions, "VERSION", 2)
    assert json.loads(earlier.model_copy(update={"name": "y"}).model_dump_json()) == {"version": 2, "name": "y"}


@pytest.mark.parametrize("version", [0, -1, "x", None, {}])
def test_an_invalid_version_means_a_damaged_object(version: Any) -> None:
    with pytest.raises(ValidationError):
        read(version=version, name="x")


@pytest.mark.parametrize("kind", [Entry, OpenChunks, Manifest, PassPlan, Extracted, Pipeline, DryRun])
def test_every_stored_json_object_has_a_version(kind: type[Versioned]) -> None:
    with pytest.raises(LakeError, match=f"A stored {kind.__name__} has version 2"):
        kind.model_validate_json('{"version": 2}')


class TestParquet:
    SCHEMA = pa.schema([("x", pa.int64())])

    def test_a_file_has_its_version_next_to_its_other_metadata(self) -> None:
        assert with_stamp(self.SCHEMA, {"run_id": "r"}).metadata == {b"version": b"1", b"run_id": b"r"}
        check_stamp(with_stamp(self.SCHEMA).metadata, "file")

    @pytest.mark.parametrize("metadata", [None, {}, {b"run_id": b"r"}, {b"version": b"1"}])
    def test_a_file_without_a_version_is_readable(self, metadata: dict[bytes, bytes] | None) -> None:
        check_stamp(metadata, "file")

    def test_a_newer_file_is_rejected(self) -> None:
        with pytest.raises(LakeError, match=r"^results/x has version 12"):
            check_stamp({b"version": b"12"}, "results/x")
