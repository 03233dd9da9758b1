"""for_each: one row, many requests, from extract to the table and the rejects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.gateways.sources.warehouse import Warehouse
from include.steps.extract import extract
from include.steps.files.extracted import read_extracted
from tests.fixtures.flow import FILES, Flow, write_pipeline

PROMPT = "Ticket: {{ body }} in {{ locale }}"
LOCALES = "for_each: {locale: [de-DE, fr-FR]}\n"


def fan_out(flow: Flow, folder: Path, yaml: str = LOCALES, user: str = PROMPT, **files: str) -> Flow:
    """The flow with these lines in pipeline.yaml."""
    texts = {"pipeline_yaml": FILES["pipeline.yaml"] + yaml, "user_md": user} | files
    return replace(flow, pipeline=load_pipeline(write_pipeline(folder / "each" / "tickets", **texts)))


def rows(flow: Flow) -> pa.Table:
    return pq.read_table(pa.BufferReader(flow.lake.read(flow.folder.rows)))


def prompts(flow: Flow) -> list[str]:
    return [json.loads(params)["messages"][0]["content"] for params in rows(flow)["params"].to_pylist()]


class Listed(Warehouse):
    """A source with a column of lists."""

    def __init__(self, kind: pa.DataType | None, lists: Sequence[Any]) -> None:
        self._types: Mapping[str, pa.DataType | None] = {"ticket": pa.string(), "body": pa.string(), "locales": kind}
        self._rows = [{"ticket": f"T{n}", "body": "x", "locales": each} for n, each in enumerate(lists, start=1)]

    @contextmanager
    def read(self, *_: Any, **__: Any) -> Any:
        yield self._types, iter([[row] for row in self._rows])


def test_every_row_is_requested_once_for_each_combination(flow: Flow, tmp_path: Path) -> None:
    yaml = "for_each: {locale: [de-DE, fr-FR], formal: [true, false], size: [40]}\n"
    flow = fan_out(flow, tmp_path, yaml, user="{{ body }} {{ locale }} {{ formal }} {{ size }}")
    manifest = flow.run_all("main")
    assert prompts(flow)[:4] == [
        "The invoice is wrong de-DE True 40",
        "The invoice is wrong de-DE False 40",
        "The invoice is wrong fr-FR True 40",
        "The invoice is wrong fr-FR False 40",
    ]
    table = flow.published()
    assert table.column_names[:5] == ["ticket", "locale", "formal", "size", "topic"]
    assert [field.type for field in table.schema][1:4] == [pa.string(), pa.bool_(), pa.int64()]
    assert not any(table.schema.field(name).nullable for name in ("ticket", "locale", "formal", "size"))
    assert table.select(["ticket", "locale", "formal"]).slice(3, 2).to_pylist() == [
        {"ticket": "T1", "locale": "fr-FR", "formal": False},
        {"ticket": "T2", "locale": "de-DE", "formal": True},
    ]
    assert (manifest.rows, manifest.requests, manifest.published) == (12, 12, 12)
    assert read_extracted(flow.lake, flow.folder).rows == 12


def test_samples_and_carried_columns_follow_its_names(flow: Flow, tmp_path: Path) -> None:
    yaml = (LOCALES + FILES["pipeline.yaml"] + "samples: 2\n").replace("[ticket]", "[ticket], carry: [body]")
    flow = fan_out(flow, tmp_path, pipeline_yaml=yaml)
    assert flow.run_all("main").published == 12
    table = flow.published()
    assert table.column_names[:5] == ["ticket", "locale", "_sample", "body", "topic"]
    assert table.select(["locale", "_sample"]).slice(0, 4).to_pylist() == [
        {"locale": locale, "_sample": sample} for locale in ("de-DE", "fr-FR") for sample in (1, 2)
    ]
    assert table["body"].to_pylist()[:4] == ["The invoice is wrong"] * 4


def test_one_more_value_pays_for_its_own_requests_only(flow: Flow, tmp_path: Path) -> None:
    fan_out(flow, tmp_path).run_all("main")
    assert flow.requests_sent() == 6
    again = replace(fan_out(flow, tmp_path / "2"), folder=flow.run("manual__2"))
    again.run_all("main")
    assert flow.requests_sent() == 6
    more = fan_out(flow, tmp_path / "3", "for_each: {locale: [it-IT, fr-FR, de-DE]}\n")
    more = replace(more, folder=flow.run("manual__3"))
    assert more.run_all("main").published == 9
    assert flow.requests_sent() == 9


def test_the_request_is_that_of_a_row_that_has_the_value_in_a_column(flow: Flow, tmp_path: Path) -> None:
    flow = fan_out(flow, tmp_path, "for_each: {locale: [de-DE]}\n")
    flow.extract()
    ids = rows(flow)["request_id"].to_pylist()
    sql = FILES["extract.sql"].replace("body", "body, 'de-DE' as locale")
    fan_out(flow, tmp_path / "2", "", extract_sql=sql).extract()
    assert rows(flow)["request_id"].to_pylist() == ids


def test_a_reject_is_one_combination_of_a_row(flow: Flow, tmp_path: Path) -> None:
    flow.emulator.set_faults([{"kind": "errored", "error_type": "permission_error", "match": "It crashes in fr-FR"}])
    flow = fan_out(flow, tmp_path, LOCALES + "limits: {max_reject_ratio: 1, retry_passes: 0}\n")
    assert flow.run_all("main").published == 5
    (reject,) = flow.rejected().to_pylist()
    assert (reject["ticket"], reject["locale"], reject["outcome"]) == ("T2", "fr-FR", "errored")
    flow.emulator.set_faults([])
    flow = replace(flow, folder=flow.run("manual__2"), pipeline=flow.pipeline.for_run(RunOptions(only_rejects=True)))
    flow.extract()
    assert flow.send() == {"succeeded": 1}


def test_a_run_of_only_the_rejects_sends_the_samples_of_the_rejected_combination(flow: Flow, tmp_path: Path) -> None:
    yaml = LOCALES + "limits: {max_reject_ratio: 1, retry_passes: 0}\nsamples: 2\n"
    flow.emulator.set_faults([{"kind": "errored", "error_type": "permission_error", "match": "It crashes in fr-FR"}])
    flow = fan_out(flow, tmp_path, yaml)
    flow.run_all("main")
    rejects = [(row["ticket"], row["locale"], row["_sample"]) for row in flow.rejected().to_pylist()]
    assert rejects == [("T2", "fr-FR", 1), ("T2", "fr-FR", 2)]
    flow.emulator.set_faults([])
    flow = replace(flow, folder=flow.run("manual__2"), pipeline=flow.pipeline.for_run(RunOptions(only_rejects=True)))
    assert flow.run_all("main").published == 12
    assert flow.requests_sent() == 14


def test_a_trial_and_min_rows_count_rows_of_the_source(flow: Flow, tmp_path: Path) -> None:
    flow = fan_out(flow, tmp_path, LOCALES + "limits: {min_rows: 4}\n")
    with pytest.raises(WarehouseError, match=r"The source has 3 rows .* is 4"):
        flow.extract()
    flow = fan_out(flow, tmp_path)
    flow = replace(flow, pipeline=flow.pipeline.for_run(RunOptions(rows=2)))
    flow.extract()
    assert rows(flow)["ticket"].to_pylist() == ["T1", "T1", "T2", "T2"]


def test_without_a_cached_prefix_the_system_prompt_may_use_it(flow: Flow, tmp_path: Path) -> None:
    flow = fan_out(flow, tmp_path, user="{{ body }}", system_md="Answer in {{ locale }}.")
    flow.extract()
    assert len(set(rows(flow)["request_id"].to_pylist())) == 6


class TestColumn:
    """The values of a column with lists."""

    YAML = "for_each: {locale: {column: locales}}\n"

    def extracted(self, flow: Flow, source: Listed) -> list[tuple[str, Any]]:
        extract(flow.pipeline, flow.folder, source=source, lake=flow.lake)
        return [(row["ticket"], row["locale"]) for row in rows(flow).to_pylist()]

    @pytest.mark.parametrize("kind", [None, pa.list_(pa.string()), pa.large_list(pa.large_string())])
    def test_each_row_has_its_own_values(
        self, flow: Flow, tmp_path: Path, kind: pa.DataType | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        flow = fan_out(flow, tmp_path, self.YAML)
        found = self.extracted(flow, Listed(kind, [None, ["de", "fr"], [], ["it"]]))
        assert found == [("T2", "de"), ("T2", "fr"), ("T4", "it")]
        assert rows(flow).schema.field("locale") == pa.field("locale", pa.string(), nullable=False)
        assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
            "2 rows make no requests: a list of for_each is NULL or empty"
        ]

    def test_a_typed_column_gives_the_type_of_the_key(self, flow: Flow, tmp_path: Path) -> None:
        flow = fan_out(flow, tmp_path, self.YAML)
        assert self.extracted(flow, Listed(pa.list_(pa.int16()), [[1, 2]])) == [("T1", 1), ("T1", 2)]
        assert rows(flow).schema.field("locale").type == pa.int64()

    @pytest.mark.parametrize(
        ("lists", "error", "fact"),
        [
            ([["de"], "fr"], WarehouseError, "must hold a list, but has .* type str.* row: ticket='T2'"),
            (
                [["it"], ["de", "fr", "de"]],
                WarehouseError,
                "^for_each.locale: the list in the column 'locales' contains 'de' 2 times, .* row: ticket='T2'",
            ),
            ([["de", None]], WarehouseError, "^for_each.locale: the list in .*'locales' contains NULL.*: ticket='T1'"),
            ([["de"], [{"a": 1}]], WarehouseError, "^The key column 'locale' has a value that is not string: {'a': 1}"),
            ([["de", 7]], WarehouseError, "^The key column 'locale' has a value that is not string: 7"),
            ([[n for n in range(10_001)]], WarehouseError, "gives 10,001 combinations .* row: ticket='T1'"),
            ([[0.5]], SpecError, r"tickets/pipeline\.yaml:3: for_each\.locale: .*'locales' is unknown"),
            ([None, []], SpecError, "'locales' is unknown: the source does not declare one, .* is None"),
        ],
    )
    def test_lists_that_cannot_be_a_key_stop_the_run(
        self, flow: Flow, tmp_path: Path, lists: list[Any], error: type[Exception], fact: str
    ) -> None:
        flow = fan_out(flow, tmp_path, self.YAML)
        with pytest.raises(error, match=fact):
            self.extracted(flow, Listed(None, lists))
        assert flow.lake.list("") == []

    def test_a_day_without_values_has_the_type_of_the_days_before(self, flow: Flow, tmp_path: Path) -> None:
        flow = fan_out(flow, tmp_path, self.YAML)
        self.extracted(flow, Listed(None, [[7]]))
        flow.send()
        flow.publish()
        flow = replace(flow, folder=flow.run("manual__2"))
        assert self.extracted(flow, Listed(None, [None, []])) == []
        assert rows(flow).schema.field("locale").type == pa.int64()
        with pytest.raises(SpecError, match=r"yaml:3: for_each: 'locale' is string, .* int64 .* write values of"):
            self.extracted(flow, Listed(pa.list_(pa.string()), [["de"]]))


@pytest.mark.parametrize(
    ("yaml", "fact"),
    [
        ("for_each: {locale: [de], body: [x]}", r"pipeline\.yaml:3: for_each\.body: the query has a column 'body' too"),
        (
            "for_each: {locale: {column: bodi}}",
            r"pipeline\.yaml:3: for_each\.locale: the query has no column 'bodi'; did you mean 'body'\?",
        ),
    ],
)
def test_a_name_that_does_not_fit_the_query_is_found_before_the_first_row(
    flow: Flow, tmp_path: Path, yaml: str, fact: str
) -> None:
    flow = fan_out(flow, tmp_path, yaml + "\n")
    with pytest.raises(SpecError, match=fact):
        flow.extract()
