"""spec.py: a pipeline's folder becomes one value, or every mistake in it is told with its line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from include.enrichment.errors import SpecError
from include.enrichment.requests.chunk import MAX_BATCH_REQUESTS
from include.enrichment.runs.passes import DEFAULT_CANARY_ROWS, DEFAULT_RETRY_PASSES
from include.enrichment.spec.pipeline import FILES, Pipeline
from include.enrichment.spec.pipeline_folder import find_warnings, load_pipeline
from tests.fixtures.folder import FILES_YAML, NAMES, SCHEMA, SQL, WHOLE, YAML, Load, Mistakes, in_schema, in_yaml


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

    def test_a_run_that_was_stored_before_there_were_passes_and_samples_has_their_defaults(self, load: Load) -> None:
        stored = json.loads(load().model_dump_json())
        del stored["settings"]["samples"], stored["settings"]["limits"]["canary_rows"]
        del stored["settings"]["limits"]["retry_passes"]
        assert Pipeline.model_validate(stored) == load()

    def test_what_is_only_doubtful_does_no_harm_and_is_told_with_its_line(self, load: Load) -> None:
        assert list(find_warnings(load())) == []
        (doubt,) = find_warnings(load(schema=SCHEMA.replace("label", "größe")))
        assert doubt.startswith("tickets/output.schema.json:6: 'größe' may be refused by the API: ")

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


class TestYaml:
    @pytest.mark.parametrize("text", ["hello", "[a, b]", "5", "null", "# only a comment", "--- {}\n..."])
    def test_what_is_no_mapping_of_the_sections_is_told(self, mistakes: Mistakes, text: str) -> None:
        assert all(line.startswith("pipeline.yaml:1: ") for line in mistakes(yaml=text))

    @pytest.mark.parametrize(
        ("text", "line", "fact"),
        [
            (YAML + "\trequest: {}\n", 7, "the line begins with a tab: indent with spaces"),
            (
                YAML + " limits: {}\n",
                7,
                "indentation is wrong: this line begins in column 2, its block (line 1) in column 1",
            ),
            (YAML + "limits: {}\n  samples: 2\n", 8, "indentation is wrong: this line begins in column 3"),
            ("  " + YAML, 4, "indentation is wrong: this line begins further left than the first line of the file"),
            (in_yaml("max_tokens: 300", "max_tokens 300\n  cache: off"), 6, "the line has no colon"),
            (in_yaml("warehouse", "'warehouse"), 2, "the quote that begins here is not closed"),
            (YAML + "source: {}\n", 7, "the key 'source' stands twice"),
            (in_yaml("max_tokens: 300", "max_tokens: 300\n  model: x"), 7, "the key 'model' stands twice"),
            (in_yaml("{id: int64}", "{id: int64, id: string}"), 3, "the key 'id' stands twice"),
            (in_yaml("claude-haiku-5-5", "{{ model }}"), 5, "a key must be a plain name"),
            ("? [a]\n: b\n", 1, "a key must be a plain name"),
            (YAML + "--- {}\n", 7, "another document"),
            (in_yaml("warehouse", "ware: house"), 2, "unexpected colon: indent the line like the one above it"),
            (in_yaml("warehouse", "[a"), 3, "expected"),
            (in_yaml("warehouse", "!!python/object:os.system x"), 2, "could not determine a constructor"),
            (in_yaml("warehouse", "*nobody"), 2, "undefined alias"),
            (in_yaml("warehouse", "2026-13-45"), 1, "is not YAML: month must be in 1..12"),
            (in_yaml("300", "9" * 5_000), 1, "is not YAML: Exceeds the limit"),
            (in_yaml("warehouse", "\x01"), 1, "is not YAML: unacceptable character"),
            ("a: &a [*a]\n", 1, "is not YAML: maximum recursion depth"),
        ],
        ids=lambda value: value[:40] if isinstance(value, str) else None,
    )
    def test_what_is_not_yaml_is_told_in_one_line(self, mistakes: Mistakes, text: str, line: int, fact: str) -> None:
        (told,) = mistakes(yaml=text)
        assert told.startswith(f"pipeline.yaml:{line}: ")
        assert fact in told

    def test_a_huge_value_is_told_in_brief(self, mistakes: Mistakes) -> None:
        (line,) = mistakes(yaml=in_yaml("300", "x" * 100_000))
        assert len(line) < 200


class TestSchema:
    @pytest.mark.parametrize(
        ("text", "line", "fact"),
        [
            ("{", 1, "Expecting property name"),
            (in_schema('"string",', '"string"'), 8, "Expecting ',' delimiter"),
            ("[]", 1, "must be a JSON object"),
            ("[" * 100_000, 1, "recursion"),
            (in_schema('"type": "string"', f'"minItems": {"9" * 5_000}'), 1, "Exceeds the limit"),
            (in_schema('"type": "string"', '"type": "string",\n      "minLength": 3'), 8, "'minLength' is refused"),
            (in_schema('"type": "string"', '"type": "strng"'), 7, "'strng' is not a type; did you mean 'string'?"),
            (in_schema('"What it is about."', '""'), 6, "'label' has no description"),
            (in_schema('"additionalProperties": false', '"title": "x"'), 1, 'needs "additionalProperties": false'),
            (in_schema('["label"]', '["lable"]'), 4, "'lable' is required, but is none of the properties"),
            (in_schema('"label": {', '"label": {},\n    "label": {'), 7, "the key 'label' stands twice"),
            (in_schema('"label": {', '"id": {'), 6, "'id' is a key column too: rename the output"),
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

    @pytest.mark.parametrize(
        "sql",
        [
            "select 1 where a > ':start'",
            "select * from t -- partition_start",
            "select * from t -- where day >= :partition_start",
            "select * from t /* where day >= :partition_start */",
            "select ':partition_start' from t",
            'select ":partition_start" from t',
            "select $$ :partition_start $$ from t",
            "",
        ],
    )
    def test_a_query_of_everything_is_refused(self, mistakes: Mistakes, sql: str) -> None:
        (told,) = mistakes(sql=sql)
        assert told.startswith("extract.sql:1: uses neither :partition_start nor :partition_end")

    @pytest.mark.parametrize("sql", ["where day = :partition_start", "where day < :partition_end"])
    def test_one_end_of_the_partition_is_enough(self, load: Load, sql: str) -> None:
        assert load(sql=sql).sql == sql

    def test_a_parameter_that_does_not_exist_is_told_with_its_line(self, mistakes: Mistakes) -> None:
        (told,) = mistakes(sql="select 1\nwhere day >= :partition_start\nand day < :partition_ende")
        assert told.startswith("extract.sql:3: there is no parameter :partition_ende; did you mean 'partition_end'?")

    @pytest.mark.parametrize("cache", ["5m", "1h"])
    def test_a_column_in_the_system_prompt_breaks_the_prefix(self, mistakes: Mistakes, cache: str) -> None:
        told = mistakes(yaml=YAML + f"  cache: {cache}\n", system="Classify\n{{ text }} of {{ text }}\n{{ id }}")
        assert told == [
            f"system.md:{line}: the column {name!r} makes it differ from row to row, and it cannot be cached: move it"
            f" to user.md, or say request.cache: off instead of {cache}"
            for line, name in ((2, "text"), (3, "id"))
        ]

    def test_mistakes_of_all_files_are_told_at_once(self, mistakes: Mistakes) -> None:
        told = mistakes(yaml=YAML + "reus: 1\n", sql="select 1", system="{% if %}", user="{{ a", schema='{"a": 1}')
        assert {line.partition(":")[0] for line in told} == set(FILES)
