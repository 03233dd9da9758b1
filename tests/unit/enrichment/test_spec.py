"""spec.py: a pipeline's folder becomes one value, or every mistake in it is told with its line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.enrichment.chunk import MAX_BATCH_REQUESTS
from include.enrichment.errors import ParamError, SpecError
from include.enrichment.options import RunOptions
from include.enrichment.passes import DEFAULT_CANARY_ROWS, DEFAULT_RETRY_PASSES
from include.enrichment.request import Request, make_request
from include.enrichment.spec import FILES, Pipeline, load_pipeline

YAML = """\
source:
  connection: warehouse
  key: {id: int64}
request:
  model: claude-haiku-5-5
  max_tokens: 300
"""
SQL = "select id, text from tickets\nwhere day >= :partition_start and day < :partition_end\n"
SCHEMA = """\
{
  "type": "object",
  "additionalProperties": false,
  "required": ["label"],
  "properties": {
    "label": {
      "type": "string",
      "description": "What it is about."
    }
  }
}
"""
WHOLE = {
    "pipeline.yaml": YAML,
    "extract.sql": SQL,
    "system.md": "Classify.\n",
    "user.md": "{{ text }}\n",
    "output.schema.json": SCHEMA,
}
#: The keyword arguments of the fixtures below, and the files they stand for.
NAMES = {"yaml": "pipeline.yaml", "sql": "extract.sql", "system": "system.md", "user": "user.md", "schema": FILES[4]}

Load = Callable[..., Pipeline]
Mistakes = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads the whole pipeline ``tickets``, with the given files in the place of its own; None leaves one out."""

    def loaded(**changes: str | bytes | None) -> Pipeline:
        folder = tmp_path / "tickets"
        folder.mkdir(exist_ok=True)
        for file, content in {**WHOLE, **{NAMES[name]: content for name, content in changes.items()}}.items():
            if content is None:
                (folder / file).unlink(missing_ok=True)
            else:
                (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_pipeline(folder)

    return loaded


@pytest.fixture
def mistakes(load: Load) -> Mistakes:
    """The lines of the error that load() raises, without the folder's name."""

    def told(**changes: str | bytes | None) -> list[str]:
        with pytest.raises(SpecError) as raised:
            load(**changes)
        lines = str(raised.value).splitlines()
        assert all(line.startswith("tickets/") for line in lines), lines
        return [line.removeprefix("tickets/") for line in lines]

    return told


def _yaml(old: str, new: str) -> str:
    assert old in YAML
    return YAML.replace(old, new)


def _schema(old: str, new: str) -> str:
    assert old in SCHEMA
    return SCHEMA.replace(old, new)


class TestWhole:
    """A folder without a mistake."""

    def test_it_is_loaded_under_its_folders_name_with_the_documented_defaults(self, load: Load) -> None:
        pipeline = load()
        assert pipeline.name == "tickets"
        assert pipeline.sql == SQL
        assert pipeline.settings.request.cache == "off"
        assert pipeline.settings.request.thinking is None
        assert pipeline.settings.limits.max_reject_ratio == 0.02
        assert pipeline.settings.limits.canary_rows == DEFAULT_CANARY_ROWS == 5
        assert pipeline.settings.limits.retry_passes == DEFAULT_RETRY_PASSES == 1
        assert pipeline.settings.reuse is True
        assert pipeline.settings.samples == 1
        assert pipeline.limits.max_requests == MAX_BATCH_REQUESTS
        assert [field.name for field in pipeline.output.fields] == ["label"]

    def test_it_is_the_same_after_it_was_stored_with_the_run(self, load: Load) -> None:
        limits = "limits:\n  max_reject_ratio: 0\n  batch_requests: 7\n  canary_rows: 0\n  retry_passes: 5\n"
        pipeline = load(yaml=YAML + limits + "reuse: false\nsamples: 100\n")
        assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline
        assert pipeline.limits.max_requests == 7

    @pytest.mark.parametrize(
        ("key", "found"),
        [
            ("[id]", {"id": None}),
            ("[b, a]", {"b": None, "a": None}),
            ("{id: }", {"id": None}),
            ("{id: date, b: string}", {"id": "date", "b": "string"}),
            ("[output, model, batch_id]", {"output": None, "model": None, "batch_id": None}),
        ],
    )
    def test_a_key_is_a_list_or_a_mapping_to_types(self, load: Load, key: str, found: dict[str, str | None]) -> None:
        pipeline = load(yaml=_yaml("{id: int64}", key))
        assert pipeline.settings.source.key == found
        assert list(pipeline.settings.source.key) == list(found)

    @pytest.mark.parametrize(
        ("text", "cache"),
        [
            ("off", "off"),
            ("no", "off"),
            ("false", "off"),
            ('"off"', "off"),
            ("5m", "5m"),
            ("1h", "1h"),
            ("auto", "auto"),
        ],
    )
    def test_a_bare_off_is_off_although_yaml_reads_it_as_false(self, load: Load, text: str, cache: str) -> None:
        assert load(yaml=YAML + f"  cache: {text}\n").settings.request.cache == cache

    @pytest.mark.parametrize("ratio", ["0", "1", "0.5", "1e-1"])
    def test_a_ratio_may_be_written_as_a_whole_number(self, load: Load, ratio: str) -> None:
        text = YAML + f"limits: {{max_reject_ratio: {ratio if ratio != '1e-1' else '1.0e-1'}}}\n"
        assert load(yaml=text).settings.limits.max_reject_ratio == float(ratio)

    def test_a_run_that_was_stored_before_there_were_passes_and_samples_has_their_defaults(self, load: Load) -> None:
        stored = json.loads(load().model_dump_json())
        del stored["settings"]["samples"], stored["settings"]["limits"]["canary_rows"]
        del stored["settings"]["limits"]["retry_passes"]
        assert Pipeline.model_validate(stored) == load()

    @pytest.mark.parametrize("text", ["limits: {canary_rows: 1000, retry_passes: 0}", "limits: {canary_rows: 0}"])
    def test_the_bounds_of_the_passes_are_within_them(self, load: Load, text: str) -> None:
        load(yaml=YAML + text + "\n")

    def test_the_system_prompt_may_be_empty(self, load: Load) -> None:
        assert load(system="").system == ""

    def test_line_ends_and_byte_order_marks_of_windows_do_no_harm(self, load: Load) -> None:
        files = {name: b"\xef\xbb\xbf" + WHOLE[file].replace("\n", "\r\n").encode() for name, file in NAMES.items()}
        request = load(**files).renderer(["id", "text"], run_id="r").render({"id": 1, "text": "a"})
        plain = load().renderer(["id", "text"], run_id="r").render({"id": 1, "text": "a"})
        assert request.params == plain.params

    def test_a_schema_may_be_indented_with_tabs(self, load: Load, mistakes: Mistakes) -> None:
        tabs = SCHEMA.replace("  ", "\t")
        assert [field.name for field in load(schema=tabs).output.fields] == ["label"]
        assert mistakes(schema=tabs.replace('"type": "string"', '"type": "string", "maxLength": 3'))[0].startswith(
            "output.schema.json:7: 'maxLength' is refused"
        )


class TestFiles:
    """Files that are missing or not text."""

    def test_a_folder_that_is_not_there_names_the_nearest_and_all(self, load: Load, tmp_path: Path) -> None:
        load()
        with pytest.raises(
            SpecError, match=r"no pipeline 'ticket' in .*; did you mean 'tickets'\?.*There are: tickets"
        ):
            load_pipeline(tmp_path / "ticket")
        with pytest.raises(SpecError, match=r"There are: none\."):
            load_pipeline(tmp_path / "nowhere" / "ticket")

    def test_all_missing_files_are_told_at_once(self, mistakes: Mistakes) -> None:
        told = mistakes(sql=None, user=None)
        assert [line.partition(":")[0] for line in told] == ["extract.sql", "user.md"]
        assert all("is missing; a pipeline is pipeline.yaml, extract.sql, system.md" in line for line in told)

    @pytest.mark.parametrize("name", NAMES)
    def test_a_file_that_is_not_utf8_is_told(self, mistakes: Mistakes, name: str) -> None:
        (line,) = mistakes(**{name: "Grüße".encode("latin-1")})
        assert line.startswith(f"{NAMES[name]}: is not UTF-8: ")

    @pytest.mark.parametrize(
        ("name", "line"),
        [
            ("yaml", "pipeline.yaml:1: must be a mapping of source, request, limits, reuse"),
            ("sql", "extract.sql:1: uses neither :partition_start nor :partition_end"),
            ("user", "user.md:1: is empty"),
            ("schema", "output.schema.json:1: Expecting value"),
        ],
    )
    @pytest.mark.parametrize("content", ["", "\n  \n"])
    def test_an_empty_file_is_told(self, mistakes: Mistakes, name: str, line: str, content: str) -> None:
        (told,) = mistakes(**{name: content})
        assert re.sub(r":\d+:", ":1:", told).startswith(line)


FILES_YAML = YAML.replace("connection: warehouse", "connection: exports\n  files: s3://bucket/products/dt={partition}/")


class TestFilesAsTheSource:
    """``source.files`` in the place of extract.sql."""

    def test_it_says_what_is_read_and_is_stored_with_the_run(self, load: Load) -> None:
        pipeline = load(yaml=FILES_YAML, sql=None)
        assert pipeline.query == "s3://bucket/products/dt={partition}/"
        assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline
        assert load().query == SQL

    def test_a_query_beside_it_is_a_mistake(self, mistakes: Mistakes) -> None:
        (line,) = mistakes(yaml=FILES_YAML)
        assert line.startswith("extract.sql:1: is not used, as source.files says what is read")

    def test_a_mistake_in_the_settings_does_not_ask_for_a_query_too(self, mistakes: Mistakes) -> None:
        (line,) = mistakes(yaml=FILES_YAML + "reuse: 3\n", sql=None)
        assert line.startswith("pipeline.yaml:8: reuse: ")

    @pytest.mark.parametrize(
        "files",
        ["s3://b/{partition}/", "s3://b/year={year}/month={month}/day={day}/x/", "s3://b/a/{year}{month}{day}/"],
    )
    def test_a_prefix_has_the_whole_day_in_it(self, load: Load, files: str) -> None:
        pipeline = load(yaml=FILES_YAML.replace("s3://bucket/products/dt={partition}/", files), sql=None)
        assert pipeline.settings.source.files == files

    @pytest.mark.parametrize(
        ("files", "fact"),
        [
            ("s3://bucket/products/", "must tell the days apart"),
            ("s3://bucket/{year}/{month}/", "must tell the days apart"),
            ("s3://bucket/{month}/{day}/", "must tell the days apart"),
            ("s3://bucket/{year}/{day}/", "must tell the days apart"),
            ("s3://bucket/{partition}/{hour}/", "by nothing else"),
            ("s3://bucket/{{ partition }}/{partition}/", "by nothing else"),
            ("s3://bucket/dt={partition}", "with the slash at its end"),
            ("s3://bucket//dt={partition}/", "a name before each slash"),
            ("s3://bucket/a//dt={partition}/", "a name before each slash"),
            ("s3://bucket/../dt={partition}/", "a name before each slash"),
            ("s3://{partition}/", "must be a prefix such as s3://bucket/"),
            ("/folder/dt={partition}/", "must be a prefix such as s3://bucket/"),
            ("gs://bucket/dt={partition}/", "must be a prefix such as s3://bucket/"),
        ],
    )
    def test_one_that_days_would_share_is_told(self, mistakes: Mistakes, files: str, fact: str) -> None:
        yaml = FILES_YAML.replace("s3://bucket/products/dt={partition}/", f'"{files}"')
        (line,) = mistakes(yaml=yaml, sql=None)
        assert line.startswith("pipeline.yaml:3: source.files: ")
        assert fact in line


class TestYaml:
    @pytest.mark.parametrize("text", ["hello", "[a, b]", "5", "null", "# only a comment", "--- {}\n..."])
    def test_what_is_no_mapping_of_the_sections_is_told(self, mistakes: Mistakes, text: str) -> None:
        assert all(line.startswith("pipeline.yaml:1: ") for line in mistakes(yaml=text))

    @pytest.mark.parametrize(
        ("text", "line", "fact"),
        [
            (YAML + "\trequest: {}\n", 7, "found character '\\t'"),
            (YAML + "source: {}\n", 7, "the key 'source' stands twice"),
            (_yaml("max_tokens: 300", "max_tokens: 300\n  model: x"), 7, "the key 'model' stands twice"),
            (_yaml("{id: int64}", "{id: int64, id: string}"), 3, "the key 'id' stands twice"),
            (_yaml("claude-haiku-5-5", "{{ model }}"), 5, "a key must be a plain name"),
            ("? [a]\n: b\n", 1, "a key must be a plain name"),
            (YAML + "--- {}\n", 7, "another document"),
            (_yaml("warehouse", "ware: house"), 2, "mapping values are not allowed"),
            (_yaml("warehouse", "[a"), 3, "expected"),
            (_yaml("warehouse", "!!python/object:os.system x"), 2, "could not determine a constructor"),
            (_yaml("warehouse", "*nobody"), 2, "undefined alias"),
            (_yaml("warehouse", "2026-13-45"), 1, "is not YAML: month must be in 1..12"),
            (_yaml("300", "9" * 5_000), 1, "is not YAML: Exceeds the limit"),
            (_yaml("warehouse", "\x01"), 1, "is not YAML: unacceptable character"),
            ("a: &a [*a]\n", 1, "is not YAML: maximum recursion depth"),
        ],
        ids=lambda value: value[:40] if isinstance(value, str) else None,
    )
    def test_what_is_not_yaml_is_told_in_one_line(self, mistakes: Mistakes, text: str, line: int, fact: str) -> None:
        (told,) = mistakes(yaml=text)
        assert told.startswith(f"pipeline.yaml:{line}: ")
        assert fact in told

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (
                _yaml("max_tokens", "max_token"),
                [
                    "4: request.max_tokens: is missing",
                    "6: request.max_token: unknown key; did you mean 'max_tokens'? Known here: model, other_models,"
                    " max_tokens, thinking, cache",
                ],
            ),
            (YAML + "zzz: 1\n", ["7: zzz: unknown key. Known here: source, request, limits, reuse, samples"]),
            (YAML + "limit: {}\n", ["7: limit: unknown key; did you mean 'limits'? Known here: source, request"]),
            (YAML + "limits:\n  batch_request: 5\n", ["8: limits.batch_request: unknown key; did you mean 'batch_req"]),
            (_yaml("  connection: warehouse\n", ""), ["1: source.connection: is missing"]),
            (_yaml("warehouse", '""'), ["2: source.connection: String should have at least 1 character, got ''"]),
            (_yaml("warehouse", "no"), ["2: source.connection: Input should be a valid string, got False"]),
            (_yaml("warehouse", "2026-11-21"), ["2: source.connection: Input should be a valid string, got datetime"]),
            (_yaml("300", "0"), ["6: request.max_tokens: Input should be greater than or equal to 1, got 0"]),
            (_yaml("300", "-5"), ["6: request.max_tokens: Input should be greater than or equal to 1, got -5"]),
            (_yaml("300", "yes"), ["6: request.max_tokens: Input should be a valid integer, got True"]),
            (_yaml("300", '"300"'), ["6: request.max_tokens: Input should be a valid integer, got '300'"]),
            (_yaml("300", "300.0"), ["6: request.max_tokens: Input should be a valid integer, got 300.0"]),
            (_yaml("300", "[300]"), ["6: request.max_tokens: Input should be a valid integer, got [300]"]),
            (_yaml("300", ""), ["6: request.max_tokens: Input should be a valid integer, got None"]),
            (YAML + "  cache: 2h\n", ["7: request.cache: Input should be 'off', '5m', '1h' or 'auto', got '2h'"]),
            (YAML + "  cache: on\n", ["7: request.cache: Input should be 'off', '5m', '1h' or 'auto', got True"]),
            (YAML + "  thinking: off\n", ["7: request.thinking: Input should be 'adaptive' or 'disabled', got False"]),
            (YAML + "reuse: 0\n", ["7: reuse: Input should be a valid boolean, got 0"]),
            (YAML + 'reuse: "no"\n', ["7: reuse: Input should be a valid boolean, got 'no'"]),
            (YAML + "limits:\n", ["7: limits: Input should be a valid dictionary"]),
            (YAML + "limits: {max_reject_ratio: 2}\n", ["7: limits.max_reject_ratio: Input should be less than"]),
            (
                YAML + "limits: {max_reject_ratio: yes}\n",
                ["7: limits.max_reject_ratio: Input should be a valid number"],
            ),
            (YAML + "limits: {max_reject_ratio: .nan}\n", ["7: limits.max_reject_ratio: Input should be"]),
            (YAML + "limits: {batch_requests: 100001}\n", ["7: limits.batch_requests: Input should be less than"]),
            (
                YAML + "limits: {canary_rows: -1}\n",
                ["7: limits.canary_rows: Input should be greater than or equal to 0"],
            ),
            (
                YAML + "limits: {canary_rows: 1001}\n",
                ["7: limits.canary_rows: Input should be less than or equal to 1"],
            ),
            (YAML + "limits: {canary_rows: no}\n", ["7: limits.canary_rows: Input should be a valid integer, got F"]),
            (YAML + "limits: {retry_passes: 6}\n", ["7: limits.retry_passes: Input should be less than or equal to 5"]),
            (YAML + "limits: {retry_passes: -1}\n", ["7: limits.retry_passes: Input should be greater than or equal"]),
            (YAML + "limits: {retry_pases: 1}\n", ["7: limits.retry_pases: unknown key; did you mean 'retry_passes'?"]),
            (
                YAML + "limits: {budget: 25}\n",
                [
                    "7: limits.budget: unknown key; did you mean 'budget_usd'? Known here: max_reject_ratio,"
                    " batch_requests, canary_rows, retry_passes, budget_usd, budget_ceiling_usd, monthly_budget_usd"
                ],
            ),
            (YAML + "samples: 0\n", ["7: samples: Input should be greater than or equal to 1, got 0"]),
            (YAML + "samples: 101\n", ["7: samples: Input should be less than or equal to 100, got 101"]),
            (YAML + "samples: yes\n", ["7: samples: Input should be a valid integer, got True"]),
            (YAML + "1: 2\n", ["1: 1: Keys should be strings"]),
            (_yaml("{id: int64}", "[id, id]"), ["3: source.key: names 'id' twice"]),
            (_yaml("{id: int64}", "[]"), ["3: source.key: must be a list of column names, or a mapping"]),
            (_yaml("{id: int64}", "[no]"), ["3: source.key: must be a list of column names, or a mapping"]),
            (_yaml("{id: int64}", "id"), ["3: source.key: must be a list of column names, or a mapping"]),
            (_yaml("{id: int64}", "{id: integer}"), ["3: source.key.id: Input should be 'string', 'int64', 'boolean'"]),
            (_yaml("{id: int64}", "{1: int64}"), ["3: source.key: must be a list of column names, or a mapping"]),
            (
                _yaml("{id: int64}", "[id, text]"),
                ["3: source.key: 'text' is kept for our own columns: give it an alias"],
            ),
            (_yaml("{id: int64}", "{request_id: int64}"), ["3: source.key: 'request_id' is kept for our own columns"]),
            (_yaml("{id: int64}", "[_id]"), ["3: source.key: '_id' is kept for our own columns"]),
        ],
        ids=lambda value: value[0] if isinstance(value, list) else "",
    )
    def test_each_mistake_has_its_line_and_what_would_be_right(
        self, mistakes: Mistakes, text: str, told: list[str]
    ) -> None:
        found = sorted(line.removeprefix("pipeline.yaml:") for line in mistakes(yaml=text))
        assert len(found) == len(told), found
        for line, beginning in zip(found, told, strict=True):
            assert line.startswith(beginning)

    def test_a_huge_value_is_told_in_brief(self, mistakes: Mistakes) -> None:
        (line,) = mistakes(yaml=_yaml("300", "x" * 100_000))
        assert len(line) < 200


class TestSchema:
    @pytest.mark.parametrize(
        ("text", "line", "fact"),
        [
            ("{", 1, "Expecting property name"),
            (_schema('"string",', '"string"'), 8, "Expecting ',' delimiter"),
            ("[]", 1, "must be a JSON object"),
            ("[" * 100_000, 1, "recursion"),
            (_schema('"type": "string"', f'"minItems": {"9" * 5_000}'), 1, "Exceeds the limit"),
            (_schema('"type": "string"', '"type": "string",\n      "minLength": 3'), 8, "'minLength' is refused"),
            (_schema('"type": "string"', '"type": "strng"'), 7, "is not a valid JSON Schema"),
            (_schema('"What it is about."', '""'), 6, "'label' has no description"),
            (_schema('"additionalProperties": false', '"title": "x"'), 1, 'needs "additionalProperties": false'),
            (_schema('["label"]', '["lable"]'), 4, "'lable' is required, but is none of the properties"),
            (_schema('"label": {', '"label": {},\n    "label": {'), 7, "the key 'label' stands twice"),
            (_schema('"label": {', '"id": {'), 6, "'id' is a key column too: rename the output"),
        ],
        ids=lambda value: value if isinstance(value, str) and len(value) < 50 else "",
    )
    def test_each_mistake_has_its_line(self, mistakes: Mistakes, text: str, line: int, fact: str) -> None:
        text = text.replace('["label"]', "[]") if '"id": {' in text else text
        (told,) = mistakes(schema=text)
        assert told.startswith(f"output.schema.json:{line}: ")
        assert fact in told

    def test_a_key_column_is_found_behind_a_reference_too(self, mistakes: Mistakes) -> None:
        root = json.loads(SCHEMA.replace("label", "id"))
        (told,) = mistakes(schema=json.dumps({"$ref": "#/$defs/root", "$defs": {"root": root}}))
        assert "'id' is a key column too" in told


class TestPrompts:
    @pytest.mark.parametrize(("name", "file"), [("system", "system.md"), ("user", "user.md")])
    def test_a_mistake_in_a_prompt_has_its_line_in_the_file(self, mistakes: Mistakes, name: str, file: str) -> None:
        (told,) = mistakes(**{name: "\n\nHello\n{{ text\n"})
        assert told.startswith(f"{file}:4: ")

    @pytest.mark.parametrize("sql", ["select 1 where a > ':start'", "select * from t -- partition_start"])
    def test_a_query_of_everything_is_refused(self, mistakes: Mistakes, sql: str) -> None:
        (told,) = mistakes(sql=sql)
        assert told.startswith("extract.sql:1: uses neither :partition_start nor :partition_end")

    @pytest.mark.parametrize("sql", ["where day = :partition_start", "where day < :partition_end"])
    def test_one_end_of_the_partition_is_enough(self, load: Load, sql: str) -> None:
        assert load(sql=sql).sql == sql

    def test_mistakes_of_all_files_are_told_at_once(self, mistakes: Mistakes) -> None:
        told = mistakes(yaml=YAML + "reus: 1\n", sql="select 1", system="{% if %}", user="{{ a", schema='{"a": 1}')
        assert {line.partition(":")[0] for line in told} == set(FILES)


class TestRenderer:
    """A loaded pipeline meets the columns of its query."""

    def _params(self, pipeline: Pipeline) -> dict[str, Any]:
        return dict(json.loads(self._render(pipeline).params))

    def test_it_sends_what_the_spec_says(self, load: Load) -> None:
        params = self._params(load(yaml=YAML + "  thinking: disabled\n  cache: 1h\n"))
        assert params == {
            "model": "claude-haiku-5-5",
            "max_tokens": 300,
            "thinking": {"type": "disabled"},
            "output_config": {"format": {"type": "json_schema", "schema": json.loads(SCHEMA)}},
            "system": [{"type": "text", "text": "Classify.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            "messages": [{"role": "user", "content": "Hello"}],
        }

    def test_what_the_spec_leaves_out_is_not_sent(self, load: Load) -> None:
        params = self._params(load())
        assert "thinking" not in params
        assert params["system"] == [{"type": "text", "text": "Classify."}]

    def _render(self, pipeline: Pipeline, *, run_id: str = "run-1", sample: int = 1) -> Request:
        return pipeline.renderer(["id", "text"], run_id=run_id, sample=sample).render({"id": 1, "text": "Hello"})

    @pytest.mark.parametrize(("reuse", "same"), [("true", True), ("false", False)])
    def test_reuse_decides_whether_two_runs_share_their_answers(self, load: Load, reuse: str, same: bool) -> None:
        pipeline = load(yaml=YAML + f"reuse: {reuse}\n")
        first, second, again = (
            pipeline.renderer(["id", "text"], run_id=run_id).render({"id": 1, "text": "a"})
            for run_id in ("run-1", "run-2", "run-1")
        )
        assert (first == second) is same
        assert first == again

    @pytest.mark.parametrize("reuse", ["true", "false"])
    def test_each_sample_is_a_request_of_its_own_that_sends_the_same(self, load: Load, reuse: str) -> None:
        pipeline = load(yaml=YAML + f"reuse: {reuse}\nsamples: 3\n")
        requests = [self._render(pipeline, sample=sample) for sample in (1, 2, 3)]
        assert len({request.request_id for request in requests}) == 3
        assert len({request.params for request in requests}) == 1
        assert requests == [self._render(pipeline, sample=sample) for sample in (1, 2, 3)]

    @pytest.mark.parametrize("reuse", ["true", "false"])
    def test_more_samples_pay_for_those_that_were_not_asked_yet(self, load: Load, reuse: str) -> None:
        one = load(yaml=YAML + f"reuse: {reuse}\n")
        asked = self._render(one)
        three = load(yaml=YAML + f"reuse: {reuse}\nsamples: 3\n")
        assert asked == self._render(three, sample=1) == self._render(three)

    @pytest.mark.parametrize(("reuse", "same"), [("true", True), ("false", False)])
    def test_reuse_decides_for_every_sample(self, load: Load, reuse: str, same: bool) -> None:
        pipeline = load(yaml=YAML + f"reuse: {reuse}\nsamples: 2\n")
        first, second = (self._render(pipeline, run_id=run_id, sample=2) for run_id in ("run-1", "run-2"))
        assert (first == second) is same

    def test_the_ids_of_samples_and_runs_stay_the_same_from_release_to_release(self, load: Load) -> None:
        """Another id for the same row would have every stored answer paid again."""
        reused, fresh = (load(yaml=YAML + f"reuse: {reuse}\nsamples: 2\n") for reuse in ("true", "false"))
        params = self._render(reused).params.encode()
        for pipeline, sample, salt in [
            (reused, 1, ""),
            (reused, 2, "sample 2"),
            (fresh, 1, "run-1"),
            (fresh, 2, "run-1 sample 2"),
        ]:
            assert self._render(pipeline, sample=sample) == make_request(params, salt=salt)

    def test_columns_that_the_query_lacks_are_told_all_at_once_with_the_nearest(self, load: Load) -> None:
        pipeline = load(system="\n\n{{ tone }}", user="{{ txt }}\n{{ text }}\n\n{{ zzz }}", yaml=_yaml("{id:", "{idd:"))
        with pytest.raises(SpecError) as raised:
            pipeline.renderer(["id", "text"], run_id="r")
        assert str(raised.value).splitlines() == [
            "tickets/system.md:3: the query has no column 'tone'",
            "tickets/user.md:1: the query has no column 'txt'; did you mean 'text'?",
            "tickets/user.md:4: the query has no column 'zzz'",
            "tickets/pipeline.yaml: source.key: the query has no column 'idd'; did you mean 'id'?",
            "Columns of extract.sql: id, text. Nothing was sent.",
        ]

    def test_lines_stay_right_after_the_pipeline_was_stored(self, load: Load) -> None:
        stored = Pipeline.model_validate_json(load(user="\n\n{{ text.x.y }}").model_dump_json())
        with pytest.raises(SpecError, match=r"^tickets/user\.md:3: cannot be rendered"):
            stored.renderer(["id", "text"], run_id="r").render({"id": 1, "text": "a"})

    def test_columns_that_the_prompts_do_not_use_do_no_harm(self, load: Load) -> None:
        request = load().renderer(["id", "text", "more"], run_id="r").render({"id": 1, "text": "a", "more": object()})
        assert "more" not in request.params


#: Of some 2,000 tokens: claude-sonnet-4-6 keeps it, claude-haiku-4-5 does not.
LONG = "Classify. " + "A rule that all rows share. " * 300
AUTO = _yaml("claude-haiku-5-5", "claude-sonnet-4-6\n  other_models: [claude-haiku-4-5]\n  cache: auto")


class TestCaching:
    """What ``request.cache`` comes to."""

    def _marked(self, pipeline: Pipeline) -> Any:
        params = json.loads(pipeline.renderer(["id", "text"], run_id="r").render({"text": "x"}).params)
        return params["system"][0].get("cache_control", {}).get("ttl")

    def test_what_is_written_down_holds_without_a_decision(self, load: Load) -> None:
        for cache in ("off", "5m", "1h"):
            assert load(yaml=YAML + f"  cache: {cache}\n").caching.cache == cache

    def test_auto_marks_the_requests_as_it_decides(self, load: Load) -> None:
        assert self._marked(load(yaml=AUTO, system=LONG)) == "1h"
        assert self._marked(load(yaml=AUTO + "limits: {canary_rows: 0}\n", system=LONG)) == "5m"
        assert self._marked(load(yaml=AUTO)) is None

    def test_it_decides_anew_for_the_model_that_a_run_asks(self, load: Load) -> None:
        pipeline = load(yaml=AUTO, system=LONG)
        other = pipeline.for_run(RunOptions(model="claude-haiku-4-5"))
        assert (pipeline.caching.cache, other.caching.cache) == ("1h", "off")
        assert "claude-haiku-4-5 keeps no prefix of fewer than 4,096" in other.caching.why

    def test_the_decision_is_the_same_whatever_the_run(self, load: Load) -> None:
        pipeline = load(yaml=AUTO, system=LONG)
        runs = [RunOptions(), RunOptions(rows=1), RunOptions(reuse=False), RunOptions(only_rejects=True)]
        assert {pipeline.for_run(options).caching for options in runs} == {pipeline.caching}

    def test_what_is_stored_with_the_run_is_the_decision(self, load: Load) -> None:
        decided = load(yaml=AUTO, system=LONG).decided()
        stored = Pipeline.model_validate_json(decided.model_dump_json())
        assert stored.settings.request.cache == stored.caching.cache == "1h"
        assert load(yaml=AUTO).decided().settings.request.cache == "off"

    def test_auto_and_what_it_comes_to_give_the_same_requests(self, load: Load) -> None:
        by_hand = load(yaml=AUTO.replace("auto", "1h"), system=LONG)
        auto = load(yaml=AUTO, system=LONG)
        row = {"text": "x"}
        first, second = (one.renderer(["id", "text"], run_id="r").render(row) for one in (by_hand, auto))
        assert first == second
        assert by_hand.cached_prefix == auto.cached_prefix == auto.decided().cached_prefix

    @pytest.mark.parametrize("cache", ["5m", "1h"])
    def test_a_column_in_the_system_prompt_breaks_the_prefix(self, mistakes: Mistakes, cache: str) -> None:
        told = mistakes(yaml=YAML + f"  cache: {cache}\n", system="Classify\n{{ text }} of {{ text }}\n{{ id }}")
        assert told == [
            f"system.md:{line}: the column {name!r} makes it differ from row to row, and it cannot be cached: move it"
            f" to user.md, or say request.cache: off instead of {cache}"
            for line, name in ((2, "text"), (3, "id"))
        ]

    def test_with_auto_it_is_off_and_the_column_is_named(self, load: Load) -> None:
        caching = load(yaml=AUTO, system=LONG + "\n{{ text }}").caching
        assert caching.cache == "off"
        assert caching.why.startswith("tickets/system.md:2: the column 'text' makes it differ from row to row")

    def test_without_a_cache_a_column_may_stand_there(self, load: Load) -> None:
        pipeline = load(system="{{ text }}")
        assert (pipeline.caching.cache, pipeline.cached_prefix) == ("off", None)

    def test_without_a_system_prompt_nothing_is_kept(self, load: Load) -> None:
        assert load(yaml=YAML + "  cache: 1h\n", system="").cached_prefix is None

    def test_whatever_must_be_alike_to_be_read_makes_another_prefix(self, load: Load) -> None:
        cached = YAML + "  cache: 1h\n"
        others = [
            load(yaml=cached.replace("haiku", "sonnet")),
            load(yaml=cached.replace("1h", "5m")),
            load(yaml=cached + "  thinking: disabled\n"),
            load(yaml=cached, system="Classify it."),
            load(yaml=cached, schema=SCHEMA.replace("What", "All that")),
        ]
        prefixes = {pipeline.cached_prefix for pipeline in [load(yaml=cached), *others]}
        assert (len(prefixes), None in prefixes) == (6, False)

    def test_what_need_not_be_alike_makes_none(self, load: Load) -> None:
        cached = YAML + "  cache: 1h\n"
        others = [
            load(yaml=cached.replace("300", "400")),
            load(yaml=cached + "reuse: false\nsamples: 2\n"),
            load(yaml=cached, user="Now {{ text }}"),
        ]
        assert {pipeline.cached_prefix for pipeline in others} == {load(yaml=cached).cached_prefix}


class TestForRun:
    """The pipeline as one run has it."""

    OTHERS = _yaml("model: claude-haiku-5-5", "model: claude-haiku-5-5\n  other_models: [claude-sonnet-5-5]")

    def test_without_options_it_is_the_same(self, load: Load) -> None:
        assert load().for_run(RunOptions()) == load()

    def test_every_task_of_the_run_finds_its_options(self, load: Load) -> None:
        options = RunOptions(rows=5, dry_run=True, reuse=False, model="claude-sonnet-5-5")
        pipeline = load(yaml=self.OTHERS).for_run(options)
        assert Pipeline.model_validate_json(pipeline.model_dump_json()).options == options

    def test_a_run_that_was_stored_before_there_were_options_has_none(self, load: Load) -> None:
        stored = load().model_dump()
        del stored["options"], stored["settings"]["request"]["other_models"]
        assert Pipeline.model_validate_json(json.dumps(stored)) == load()

    @pytest.mark.parametrize("model", ["claude-haiku-5-5", "claude-sonnet-5-5"])
    def test_the_model_is_one_that_the_file_names(self, load: Load, model: str) -> None:
        pipeline = load(yaml=self.OTHERS).for_run(RunOptions(model=model))
        assert pipeline.settings.request.model == model
        assert json.loads(pipeline.renderer(["id", "text"], run_id="r").render({"text": "x"}).params)["model"] == model

    def test_a_model_that_the_file_does_not_name_is_refused_with_the_nearest(self, load: Load) -> None:
        with pytest.raises(
            ParamError, match=r"'claude-sonet-5-5', which tickets/pipeline\.yaml .*did you mean 'claude-sonnet-5-5'"
        ):
            load(yaml=self.OTHERS).for_run(RunOptions(model="claude-sonet-5-5"))

    @pytest.mark.parametrize(("asked", "same"), [(None, True), (True, True), (False, False)])
    @pytest.mark.parametrize("reuse", ["", "reuse: false\n"])
    def test_reuse_of_the_run_comes_before_the_pipelines(
        self, load: Load, reuse: str, asked: bool | None, same: bool
    ) -> None:
        pipeline = load(yaml=YAML + reuse).for_run(RunOptions(reuse=asked))
        ids = {
            pipeline.renderer(["id", "text"], run_id=run_id).render({"text": "x"}).request_id for run_id in ("r1", "r2")
        }
        assert (len(ids) == 1) == (not reuse if asked is None else same)

    @pytest.mark.parametrize(("reuse", "asked"), [("", False), ("reuse: false\n", None), ("reuse: false\n", False)])
    def test_the_rejects_alone_cannot_be_asked_for_where_no_answer_is_reused(
        self, load: Load, reuse: str, asked: bool | None
    ) -> None:
        with pytest.raises(ParamError, match=r"`only_rejects` needs answers that are reused.*Nothing was read"):
            load(yaml=YAML + reuse).for_run(RunOptions(only_rejects=True, reuse=asked))

    def test_a_run_that_reuses_answers_after_all_may_ask_for_the_rejects_alone(self, load: Load) -> None:
        load(yaml=YAML + "reuse: false\n").for_run(RunOptions(only_rejects=True, reuse=True))


class TestBudget:
    """A run may have a budget of its own, up to a ceiling."""

    @pytest.mark.parametrize(
        ("limits", "asked", "budget"),
        [
            ("{}", None, None),
            ("{}", 3, "3"),
            ("{budget_usd: 25}", None, "25"),
            ("{budget_usd: 25}", 0.1, "0.1"),
            ("{budget_usd: 25, budget_ceiling_usd: 100}", None, "25"),
            ("{budget_usd: 25, budget_ceiling_usd: 100}", 100, "100"),
        ],
    )
    def test_it_is_the_pipelines_unless_the_run_asks_for_another(
        self, load: Load, limits: str, asked: float | None, budget: str | None
    ) -> None:
        run = load(yaml=f"{YAML}limits: {limits}\n").for_run(RunOptions.model_validate({"budget_usd": asked}))
        assert run.settings.limits.budget_usd == (budget and Decimal(budget))
        assert Pipeline.model_validate_json(run.model_dump_json()) == run

    def test_a_ceiling_below_the_budget_is_a_mistake(self, mistakes: Mistakes) -> None:
        (told,) = mistakes(yaml=f"{YAML}limits: {{budget_usd: 5, budget_ceiling_usd: 2}}\n")
        assert "7: limits: budget_ceiling_usd (2) is below budget_usd (5)" in told

    @pytest.mark.parametrize("limits", ["{budget_usd: 25}", "{budget_usd: 1, budget_ceiling_usd: 25}"])
    def test_more_than_the_ceiling_is_refused(self, load: Load, limits: str) -> None:
        with pytest.raises(ParamError, match=r"allows a run 25 at most .*Nothing was read or sent"):
            load(yaml=f"{YAML}limits: {limits}\n").for_run(RunOptions(budget_usd=Decimal("25.01")))
