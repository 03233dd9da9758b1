"""The transcript of one row of a published day."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.cli.output.transcripts import row_transcripts
from include.enrichment.agent.transcript import Turn
from include.enrichment.errors import ParamError
from tests.fixtures.agents import REQUEST_ID, World, answer, text
from tests.unit.enrichment.agent.test_markdown import AT

KEY = "tables/actions/dt=2026-11-01/data.parquet"


@pytest.fixture
def published(world: World) -> World:
    table = pa.table({"ticket": [17, 18], "reply": ["a", "b"], "_request_id": [REQUEST_ID, "s" * 22]})
    pq.write_table(table, sink := pa.BufferOutputStream())
    world.lake.write(KEY, sink.getvalue().to_pybytes())
    world.transcripts.add(REQUEST_ID, "001", Turn(fingerprint="f", message=answer(text("done")), at=AT))
    return world


@pytest.mark.parametrize("row", ["17", REQUEST_ID])
def test_a_row_is_found_by_its_key_and_by_its_request(published: World, row: str) -> None:
    assert row_transcripts(published.lake, "actions", row, [KEY]).startswith("# 17\n")


@pytest.mark.parametrize(("row", "fact"), [("18", "has no transcript"), ("171", "no row of this day has that key")])
def test_a_row_without_a_transcript_and_no_row_are_told_apart(published: World, row: str, fact: str) -> None:
    with pytest.raises(ParamError, match=fact):
        row_transcripts(published.lake, "actions", row, [KEY])
