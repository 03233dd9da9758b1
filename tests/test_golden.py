"""
A row must always become the same request: with another id its answer would be paid for again. And newer code must read
what older code wrote: tests/golden has a lake of every version, as a run of the tickets pipeline left it. ``unstamped``
is from before Parquet files and plans had a version.
"""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.cli.foreground.unfinished import claim_run
from include.enrichment.cost.forecast import DryRun
from include.enrichment.errors import LakeError
from include.enrichment.requests.request import Renderer
from include.enrichment.requests.template import Template
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.version import VERSION
from include.gateways.documents.buckets import LocalFolder
from include.gateways.lake import Lake
from include.gateways.result_store import ResultStore
from include.stack.folder import StackFolder
from include.steps.files.chunk_files import read_chunk
from include.steps.files.extracted import read_pipeline
from include.steps.files.request_body import open_body
from tests.fixtures.flow import DAY, FILES, Flow, write_pipeline

GOLDEN = Path(__file__).with_name("golden")
#: The lake of a run that the version before sources, checks and for_each had begun: its canary is loaded, and its main
#: chunk is sent.
HALFWAY = Path(__file__).with_name("golden_halfway")
FORMS = sorted(path.name for path in GOLDEN.iterdir())
NEWEST = f"version-{VERSION}"
JSON, PARQUET = (
    sorted(path.relative_to(GOLDEN / NEWEST).as_posix() for path in (GOLDEN / NEWEST).rglob(f"*.{ending}"))
    for ending in ("json", "parquet")
)
#: No step reads these, or not their metadata.
_FOR_OTHERS = ("tables/", "rejects/", "dry_run.json")

ROW: dict[str, Any] = {
    "id": 17,
    "body": "  Grüße,\nNone of it at 0x7f00aa \U0001f600  ",
    "note": None,
    "done": True,
    "ratio": 0.1,
    "tiny": 1e-7,
    "price": Decimal("12.50"),
    "day": date(2026, 11, 1),
    "at": datetime(2026, 11, 1, 8, tzinfo=UTC),
    "local": datetime.fromisoformat("2026-11-01 10:30:00.000005"),
    "clock": time(10, 0),
    "took": timedelta(days=2, minutes=90),
    "uuid": UUID("0b1c2d3e-0000-4000-8000-000000000001"),
    "tags": ["x", "it's"],
    "payload": {"b": [1, 2.5, True], "a": {"c": "x"}},
}
#: Prompts by the id of their request for ROW, as the first versions computed it.
REQUESTS = {
    "Dq0pfhW3ghFHaPPZ15xVZr": "{{ id }} {{ body }} {{ note }} {{ done }}",
    "0KA3ok8BA77RL0igZdhP61": "{{ ratio }} {{ tiny }} {{ price }} {{ day }} {{ at }} {{ local }} {{ clock }} "
    "{{ took }} {{ uuid }}",
    "qMaKG_KQmHEZXW5prN_5Un": "{{ tags }} {{ payload }} {{ payload.a.c }} {{ tags | join(', ') }} "
    "{{ payload | tojson }}",
    "wHfFA2H6ry1dJ7ISZDIan5": "{% if note is none %}a{% endif %}{{ note or 'b' }}{{ note | default('c') }}"
    "{{ note | default('d', true) }}.",
    "aoGSof74nu5baefTb5pd3F": "{{ body | trim | upper }} {{ body.strip()[:5] }} {{ id + 1 }} "
    "{{ '%05d' | format(id) }} {{ 'a' ~ id }} {{ price * 2 }}",
    "Qt8a0cFAxe5ow7o_5L1C58": "{{ day.strftime('%d.%m.%Y') }} {{ at.year }} {{ (at - at).days }} "
    "{{ took.total_seconds() }} {{ uuid.hex }}",
    "oweOZg8brEXMpEIfcB6s41": "{% for tag in tags %}{{ loop.index }}/{{ loop.length }} {{ tag }}"
    "{% if not loop.last %}, {% endif %}{% endfor %}",
    "Yc1Xe0AzYx4WibYq6XV-UY": "{% for key, value in payload.items() %}{{ key }}={{ value }};{% endfor %}"
    "{% for i in range(3) %}{{ i }}{% endfor %}",
    "8PSk7w6itX9mgMeiMLQIOV": "{% set ns = namespace(n=0) %}{% for tag in tags %}{% set ns.n = ns.n + 1 %}"
    "{% endfor %}{{ ns.n }}",
    "OMqNVmbqSYNuh6W5Vdstrd": "{% macro m(x, y=none) %}[{{ x }}{{ y }}]{% endmacro %}{{ m(id) }}"
    "{{ tags | map('upper') | list }}{{ tags | sort }}",
}


@pytest.mark.parametrize("request_id", REQUESTS)
def test_a_row_always_becomes_the_same_request(request_id: str) -> None:
    user = Template(REQUESTS[request_id], file="user.md")
    renderer = Renderer(system=Template("", file="system.md"), user=user, constant={}, cache=None)
    assert renderer.render(ROW).request_id == request_id


#: For each pipeline, the number of the sample, and the ids of its request and of its cached prefix, as the first
#: versions computed them.
_REQUEST = FILES["pipeline.yaml"]
PIPELINES: dict[str, tuple[dict[str, str], int, str, str | None]] = {
    "plain": ({}, 1, "-ykaXNcwzsFeVtNEetmvt8", None),
    "second sample": ({"pipeline_yaml": f"{_REQUEST}samples: 2\n"}, 2, "T7qQQ2RYc41XrweuuBDFye", None),
    "thinking": (
        {"pipeline_yaml": _REQUEST.replace("200}", "200, thinking: disabled}")},
        1,
        "C1ivZBdUR202EezWVcmSqw",
        None,
    ),
    "cached": (
        {"pipeline_yaml": _REQUEST.replace("200}", "200, cache: 1h}")},
        1,
        "oZLYTQ61hC4UQ8okxjh-XU",
        "2Fz0KvAIETPUhf1vutlPbn",
    ),
    "cached by price": (
        {
            "pipeline_yaml": _REQUEST.replace("200}", "200, cache: auto}"),
            "system_md": "Label the ticket. " * 200,
        },
        1,
        "6TkSvw3Y-wCRmPUUh0NXAP",
        "Tnzv1NOm5jQ6dTnUYvETWu",
    ),
    "empty system prompt": ({"system_md": ""}, 1, "n4AJMbFxvzh4wb4TJXcHwy", None),
    "column in the system prompt": ({"system_md": "Label {{ body }}."}, 1, "JEyfCq4v4_kut91MbGI4st", None),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_always_makes_the_same_request_of_a_row(name: str, tmp_path: Path) -> None:
    changes, sample, request_id, prefix_id = PIPELINES[name]
    pipeline = load_pipeline(write_pipeline(tmp_path / "tickets", **changes))
    renderer = pipeline.renderer(["ticket", "body"], run_id="r", sample=sample)
    assert renderer.render({"ticket": "T1", "body": "The invoice is wrong"}).request_id == request_id
    assert (pipeline.cached_prefix and pipeline.cached_prefix.prefix_id) == prefix_id


@pytest.fixture(params=FORMS)
def golden(flow: Flow, request: pytest.FixtureRequest) -> Flow:
    """The flow on a copy of a golden lake."""
    return on_golden(flow, request.param)


def on_golden(flow: Flow, form: str) -> Flow:
    shutil.copytree(GOLDEN / form, flow.lake.uri, dirs_exist_ok=True)
    return flow


def rows(flow: Flow) -> list[dict[str, object]]:
    """The published rows, without the columns that some versions did not publish."""
    kept = [name for name in flow.published().column_names if name not in ("_batch_id", "_cost_usd")]
    return sorted(flow.published().select(kept).to_pylist(), key=lambda row: str(row["ticket"]))


def test_there_is_a_golden_lake_of_the_present_version() -> None:
    assert NEWEST in FORMS


def test_what_was_paid_for_is_found(golden: Flow) -> None:
    before = rows(golden)
    golden.folder = golden.run("manual__2")
    golden.pipeline = read_pipeline(golden.lake, golden.run("manual__1"))
    manifest = golden.run_all("main", "retry")
    assert (manifest.published, manifest.batches) == (3, manifest.reused)
    assert golden.requests_sent() == 0
    assert rows(golden) == before
    assert manifest.cost_usd == manifest.partition_cost_usd == 0


def test_the_rows_of_an_old_run_become_the_same_requests_in_the_same_columns(golden: Flow) -> None:
    before = pq.read_table(pa.BufferReader(golden.lake.read(golden.folder.rows)))
    golden.pipeline = read_pipeline(golden.lake, golden.folder)
    golden.folder = golden.run("manual__2")
    golden.extract()
    after = pq.read_table(pa.BufferReader(golden.lake.read(golden.folder.rows)))
    assert after.schema.equals(before.schema)
    assert after.equals(before)


def test_every_step_of_an_old_run_can_be_cleared(golden: Flow) -> None:
    before = rows(golden)
    (first, *others) = golden.lake.list("chunks/")
    assert golden.plan("main") == golden.plan("retry") == []
    for chunk in (first, *others):
        batch_id = golden.submit(chunk)
        assert golden.load(chunk, batch_id)
    assert golden.publish().published == 3
    assert golden.requests_sent() == 0
    assert rows(golden) == before


def test_a_run_that_an_older_version_has_begun_ends_after_the_upgrade(flow: Flow) -> None:
    shutil.copytree(HALFWAY, flow.lake.uri, dirs_exist_ok=True)
    ((chunk_id, opened),) = flow.ledger.open_chunks().items()
    chunk = layout.chunk("tickets", chunk_id)
    flow.emulator.set_faults([{"kind": "violates_schema", "match": "It crashes", "times": 1}])
    with open_body(flow.lake, read_chunk(flow.lake, chunk), open_buckets=LocalFolder) as body:
        batch_id = flow.claude.create(body, since=datetime.now(UTC))
    entry = flow.ledger.find(chunk_id)
    assert entry
    flow.ledger.write(entry.value.model_copy(update={"batch_id": batch_id}), over=entry)
    assert opened.folder == flow.folder.prefix
    assert flow.plan("main") == [chunk], "the batch in flight is waited for"
    assert flow.submit(chunk) == batch_id
    assert flow.load(chunk, batch_id) == {"succeeded": 1, "invalid": 1}
    assert flow.send("retry") == {"succeeded": 1}
    manifest = flow.publish()
    assert (manifest.rows, manifest.published, manifest.rejected) == (3, 3, 0)
    assert manifest.cost_usd == manifest.partition_cost_usd
    assert flow.requests_sent() == 3, "the two of the chunk, and the repair"
    flow.folder = flow.run("manual__2")
    assert flow.run_all().published == 3
    assert flow.requests_sent() == 3


@pytest.mark.parametrize("key", JSON)
def test_every_json_bears_the_version(key: str) -> None:
    assert json.loads((GOLDEN / NEWEST / key).read_text())["version"] == VERSION


@pytest.mark.parametrize("key", PARQUET)
def test_every_parquet_bears_the_version(key: str) -> None:
    assert pq.read_metadata(GOLDEN / NEWEST / key).metadata[b"version"] == str(VERSION).encode()


def test_a_dry_run_is_read(flow: Flow) -> None:
    on_golden(flow, NEWEST)
    assert DryRun.model_validate_json(flow.lake.read(flow.folder.dry_run_json)).rows == 3


@pytest.mark.parametrize("key", [key for key in (*JSON, *PARQUET) if not any(other in key for other in _FOR_OTHERS)])
def test_what_a_newer_version_wrote_is_rejected_and_left_as_it_is(flow: Flow, key: str, tmp_path: Path) -> None:
    on_golden(flow, NEWEST)
    make_newer(flow.lake, key, tmp_path / "newer.parquet")
    before = {each: flow.lake.read(each) for each in flow.lake.list("")}
    with pytest.raises(
        LakeError, match=rf"{re.escape(key)} has version {VERSION + 1}, .*Nothing was changed\. Upgrade"
    ) as caught:
        read(flow, key)
    assert not caught.value.retryable
    assert {each: flow.lake.read(each) for each in flow.lake.list("")} == before


def make_newer(lake: Lake, key: str, scratch: Path) -> None:
    if key.endswith(".json"):
        lake.write(key, json.dumps(json.loads(lake.read(key)) | {"version": VERSION + 1, "new": 1}).encode())
        return
    table = pq.read_table(Path(lake.locate(key)))
    stamp = {**table.schema.metadata, b"version": str(VERSION + 1).encode()}
    pq.write_table(table.replace_schema_metadata(stamp), scratch)
    lake.write_file(key, scratch)


def read(flow: Flow, key: str) -> None:
    """Run the step that reads such an object."""
    match key.split("/")[0]:
        case "chunks":
            flow.load(key, "msgbatch_1")
        case "index":
            ResultStore(flow.lake, pipeline="tickets").look_up(["x"])
        case "runs" if key.endswith("/foreground.json"):
            home = Path(flow.lake.uri).parent / "stack" / "runs" / "1"
            home.mkdir(parents=True)
            folder = StackFolder(path=home.parents[1])
            with claim_run(
                "tickets",
                DAY,
                options=RunOptions(),
                start_new=False,
                new_id=str,
                folder=folder,
                home=home,
                lake=flow.lake,
            ):
                pass
        case "ledger" if key.endswith("/open.json"):
            flow.plan("main")
        case _:
            flow.publish()
