"""pipeline_folder.py: a folder becomes one pipeline, or an error lists all its mistakes with their lines."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest

from include.enrichment.errors import SpecError
from include.enrichment.requests.chunk import MAX_BATCH_REQUESTS
from include.enrichment.runs.passes import DEFAULT_CANARY_ROWS, DEFAULT_RETRY_PASSES
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import find_warnings, load_pipeline
from include.enrichment.spec.variants.files import FILES
from tests.fixtures.folder import FILES_YAML, NAMES, SCHEMA, SQL, WHOLE, YAML, Load, Mistakes, in_schema, in_yaml


class TestWhole:
    """A folder without a mistake."""

    def test_it_has_its_folders_name_and_the_documented_defaults(self, load: Load) -> None:
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

    def test_it_survives_storage_with_the_run(self, load: Load) -> None:
        limits = "limits:\n  max_reject_ratio: 0\n  batch_requests: 7\n  canary_rows: 0\n  retry_passes: 5\n"
        pipeline = load(yaml=YAML + limits + "reuse: false\nsamples: 100\n")
        assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline
        assert pipeline.limits.max_requests == 7

    def test_a_run_stored_before_there_were_passes_and_samples_has_their_defaults(self, load: Load) -> None:
        stored = json.loads(load().model_dump_json())
        del stored["settings"]["samples"], stored["settings"]["limits"]["canary_rows"]
        del stored["settings"]["limits"]["retry_passes"]
        assert Pipeline.model_validate(stored) == load()

    def test_a_doubtful_part_gives_a_warning_with_its_line(self, load: Load) -> None:
        assert list(find_warnings(load())) == []
        (doubt,) = find_warnings(load(schema=SCHEMA.replace("label", "größe")))
        assert doubt.startswith("tickets/output.schema.json:6: the API may reject 'größe': ")

    def test_the_system_prompt_may_be_empty(self, load: Load) -> None:
        assert load(system="").system == ""

    def test_without_a_schema_the_answer_is_text(self, load: Load) -> None:
        pipeline = load(schema=None)
        assert pipeline.output.fields == [pa.field("text", pa.string(), nullable=False)]
        assert list(find_warnings(pipeline)) == []
        assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline

    def test_windows_line_ends_and_byte_order_marks_are_ignored(self, load: Load) -> None:
        files = {name: b"\xef\xbb\xbf" + WHOLE[file].replace("\n", "\r\n").encode() for name, file in NAMES.items()}
        request = load(**files).renderer(["id", "text"], run_id="r").render({"id": 1, "text": "a"})
        plain = load().renderer(["id", "text"], run_id="r").render({"id": 1, "text": "a"})
        assert request.params == plain.params

    def test_a_schema_may_be_indented_with_tabs(self, load: Load, mistakes: Mistakes) -> None:
        tabs = SCHEMA.replace("  ", "\t")
        assert [field.name for field in load(schema=tabs).output.fields] == ["label"]
        assert mistakes(schema=tabs.replace('"type": "string"', '"type": "string", "maxLength": 3'))[0].startswith(
            "output.schema.json:7: the API rejects 'maxLength'"
        )


class TestFiles:
    """Files that are missing or not text."""

    def test_a_missing_folder_names_the_closest_and_all_others(self, load: Load, tmp_path: Path) -> None:
        load()
        with pytest.raises(
            SpecError, match=r"no pipeline 'ticket' in .*; did you mean 'tickets'\?.*There are: tickets"
        ):
            load_pipeline(tmp_path / "ticket")
        with pytest.raises(SpecError, match=r"There are: none\."):
            load_pipeline(tmp_path / "nowhere" / "ticket")

    def test_all_missing_files_are_reported_at_once(self, mistakes: Mistakes) -> None:
        found = mistakes(sql=None, user=None)
        assert [line.partition(":")[0] for line in found] == ["extract.sql", "user.md"]
        assert all("is missing; a pipeline is pipeline.yaml, extract.sql, system.md" in line for line in found)

    @pytest.mark.parametrize("name", ["output.schmea.json", "output.schema.jsn", "Output.Schema.json", "output.json"])
    def test_a_schema_with_another_name_does_not_make_the_answer_text(
        self, mistakes: Mistakes, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "tickets").mkdir()
        (tmp_path / "tickets" / name).write_text(SCHEMA)
        (line,) = mistakes(schema=None)
        assert line.startswith(f"{name}: is not a file of a pipeline. Rename it to output.schema.json, or")

    def test_other_files_are_not_taken_for_a_schema(self, load: Load, tmp_path: Path) -> None:
        (tmp_path / "tickets").mkdir()
        for name in ("README.md", "words.json", "output.md"):
            (tmp_path / "tickets" / name).write_text("x")
        (tmp_path / "tickets" / "examples.jsonl").write_text('{"input": {"text": "a"}, "output": "b"}')
        assert load(schema=None).schema_text is None

    @pytest.mark.parametrize("name", NAMES)
    def test_a_file_that_is_not_utf8_is_rejected(self, mistakes: Mistakes, name: str) -> None:
        (line,) = mistakes(**{name: "Grüße".encode("latin-1")})
        assert line.startswith(f"{NAMES[name]}: is not UTF-8: ")

    @pytest.mark.parametrize(
        ("name", "line"),
        [
            ("yaml", "pipeline.yaml:1: must be a mapping of source, attachments, request, output"),
            ("sql", "extract.sql:1: uses neither :partition_start nor :partition_end"),
            ("user", "user.md:1: is empty"),
            ("schema", "output.schema.json:1: Expecting value"),
        ],
    )
    @pytest.mark.parametrize("content", ["", "\n  \n"])
    def test_an_empty_file_is_rejected(self, mistakes: Mistakes, name: str, line: str, content: str) -> None:
        (mistake,) = mistakes(**{name: content})
        assert re.sub(r":\d+:", ":1:", mistake).startswith(line)


class TestFilesAsTheSource:
    """``source.files`` instead of extract.sql."""

    def test_its_address_is_stored_with_the_run(self, load: Load) -> None:
        pipeline = load(yaml=FILES_YAML, sql=None)
        assert pipeline.settings.source.files == "s3://bucket/products/dt={partition}/"
        assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline

    def test_a_query_next_to_it_is_a_mistake(self, mistakes: Mistakes) -> None:
        (line,) = mistakes(yaml=FILES_YAML)
        assert line.startswith("extract.sql:1: is not used, because source.files replaces it")

    def test_a_mistake_in_the_settings_does_not_require_a_query_too(self, mistakes: Mistakes) -> None:
        (line,) = mistakes(yaml=FILES_YAML + "reuse: 3\n", sql=None)
        assert line.startswith("pipeline.yaml:8: reuse: ")


class TestYaml:
    @pytest.mark.parametrize("text", ["hello", "[a, b]", "5", "null", "# only a comment", "--- {}\n..."])
    def test_anything_but_a_mapping_of_the_sections_is_rejected(self, mistakes: Mistakes, text: str) -> None:
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
            (YAML + "source: {}\n", 7, "duplicate key 'source'"),
            (in_yaml("max_tokens: 300", "max_tokens: 300\n  model: x"), 7, "duplicate key 'model'"),
            (in_yaml("{id: int64}", "{id: int64, id: string}"), 3, "duplicate key 'id'"),
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
    def test_invalid_yaml_is_reported_in_one_line(self, mistakes: Mistakes, text: str, line: int, fact: str) -> None:
        (mistake,) = mistakes(yaml=text)
        assert mistake.startswith(f"pipeline.yaml:{line}: ")
        assert fact in mistake

    def test_a_huge_value_is_shortened(self, mistakes: Mistakes) -> None:
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
            (
                in_schema('"type": "string"', '"type": "string",\n      "minLength": 3'),
                8,
                "the API rejects 'minLength'",
            ),
            (in_schema('"type": "string"', '"type": "strng"'), 7, "'strng' is not a type; did you mean 'string'?"),
            (in_schema('"What it is about."', '""'), 6, "'label' has no description"),
            (in_schema('"additionalProperties": false', '"title": "x"'), 1, 'needs "additionalProperties": false'),
            (in_schema('["label"]', '["lable"]'), 4, "'lable' is required, but is not a property"),
            (in_schema('"label": {', '"label": {},\n    "label": {'), 7, "duplicate key 'label'"),
            (in_schema('"label": {', '"id": {'), 6, "'id' is also a key column: rename the output"),
        ],
        ids=lambda value: value if isinstance(value, str) and len(value) < 50 else "",
    )
    def test_each_mistake_has_its_line(self, mistakes: Mistakes, text: str, line: int, fact: str) -> None:
        text = text.replace('["label"]', "[]") if '"id": {' in text else text
        (mistake,) = mistakes(schema=text)
        assert mistake.startswith(f"output.schema.json:{line}: ")
        assert fact in mistake

    def test_a_key_column_is_also_found_behind_a_reference(self, mistakes: Mistakes) -> None:
        root = json.loads(SCHEMA.replace("label", "id"))
        (mistake,) = mistakes(schema=json.dumps({"$ref": "#/$defs/root", "$defs": {"root": root}}))
        assert "'id' is also a key column" in mistake


class TestText:
    @pytest.mark.parametrize("name", ["text", "Text"])
    def test_the_key_cannot_have_the_column_of_the_answer(self, mistakes: Mistakes, name: str) -> None:
        (line,) = mistakes(schema=None, yaml=in_yaml("{id: int64}", f"{{id: int64, {name}: string}}"))
        assert line.startswith(f"pipeline.yaml:3: source.key: {name!r} is a reserved column name: give it an alias")


class TestShared:
    """context/*.md and examples.jsonl, which all requests share."""

    EXAMPLE = '{"input": {"text": "It crashes"}, "output": {"label": "bug"}}'

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (folder := tmp_path / "tickets" / "context").mkdir(parents=True)
        return folder.parent

    def test_the_context_comes_in_the_order_of_its_names_and_before_the_examples(
        self, load: Load, folder: Path
    ) -> None:
        for name in ("b", "a", "10", "2"):
            (folder / "context" / f"{name}.md").write_bytes(f"\ufeffText {name} {{{{ sku }}}}\r\n".encode())
        (folder / "context" / ".DS_Store").write_bytes(b"\xff")
        (folder / "examples.jsonl").write_text(f"{self.EXAMPLE}\n")
        pipeline = load()
        context, _, examples = pipeline.shared.partition("\n\n<examples>\n")
        assert context == "\n\n".join(f"Text {name} {{{{ sku }}}}" for name in ("10", "2", "a", "b"))
        assert "It crashes" in examples
        assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline

    def test_without_them_nothing_is_shared(self, load: Load, folder: Path) -> None:
        assert load().shared == ""

    def test_a_run_stored_before_they_existed_shares_nothing(self, load: Load) -> None:
        stored = json.loads(load().model_dump_json())
        del stored["shared"]
        assert Pipeline.model_validate(stored) == load()

    def test_a_context_file_that_is_not_utf8_is_rejected(self, mistakes: Mistakes, folder: Path) -> None:
        (folder / "context" / "style.md").write_bytes("Grüße".encode("latin-1"))
        (line,) = mistakes()
        assert line.startswith("context/style.md: is not UTF-8: ")

    def test_an_empty_context_file_is_rejected(self, mistakes: Mistakes, folder: Path) -> None:
        (folder / "context" / "style.md").write_text(" \n")
        assert mistakes() == ["context/style.md:1: is empty: write what all requests share, or delete the file"]

    def test_what_is_no_context_file_is_rejected(self, mistakes: Mistakes, folder: Path) -> None:
        (folder / "context" / "words.txt").write_bytes(b"\xff")
        (folder / "context" / "more").mkdir()
        assert mistakes() == [
            f"context/{name}: is not read: rename it to *.md, or move it" for name in ("more", "words.txt")
        ]

    def test_examples_that_are_not_utf8_are_rejected(self, mistakes: Mistakes, folder: Path) -> None:
        (folder / "examples.jsonl").write_bytes(b"\xff")
        (line,) = mistakes()
        assert line.startswith("examples.jsonl: is not UTF-8: ")

    def test_a_wrong_example_is_reported_with_its_line(self, mistakes: Mistakes, folder: Path) -> None:
        (folder / "examples.jsonl").write_text(f"{self.EXAMPLE}\n" + self.EXAMPLE.replace('"label"', '"lable"'))
        (line,) = mistakes()
        assert line.startswith("examples.jsonl:2: the output is no usable answer: violates the schema: ")

    def test_examples_of_text_are_checked_as_text(self, load: Load, mistakes: Mistakes, folder: Path) -> None:
        (folder / "examples.jsonl").write_text(self.EXAMPLE)
        (line,) = mistakes(schema=None)
        assert "without output.schema.json it must be a string" in line
        (folder / "examples.jsonl").write_text('{"input": {"text": "It crashes"}, "output": "Sorry."}')
        assert "Sorry." in load(schema=None).shared

    def test_an_example_has_a_value_for_each_name_of_for_each_that_the_prompt_uses(
        self, load: Load, mistakes: Mistakes, folder: Path
    ) -> None:
        files = {"yaml": YAML + "for_each: {locale: [de, fr]}\n", "user": "{{ text }} in {{ locale }}\n"}
        (folder / "examples.jsonl").write_text(self.EXAMPLE)
        assert mistakes(**files) == ["examples.jsonl:1: the input has no column 'locale', which user.md:1 uses"]
        (folder / "examples.jsonl").write_text(self.EXAMPLE.replace('crashes"', 'crashes", "locale": "it"'))
        assert "It crashes in it" in load(**files).shared

    def test_a_warning_says_that_the_cache_is_off_where_it_would_pay(self, load: Load, folder: Path) -> None:
        (folder / "context" / "style.md").write_text("A rule that all rows share. " * 1_000)
        (line,) = find_warnings(load())
        assert line.startswith("tickets/pipeline.yaml: request.cache: is off, so every request pays the full price for")
        assert list(find_warnings(load(yaml=YAML + "  cache: auto\n"))) == []
        (folder / "context" / "style.md").write_text("Short.")
        assert list(find_warnings(load())) == []


class TestPrompts:
    @pytest.mark.parametrize(("name", "file"), [("system", "system.md"), ("user", "user.md")])
    def test_a_mistake_in_a_prompt_has_its_line_in_the_file(self, mistakes: Mistakes, name: str, file: str) -> None:
        (mistake,) = mistakes(**{name: "\n\nHello\n{{ text\n"})
        assert mistake.startswith(f"{file}:4: ")

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
    def test_a_query_of_the_whole_table_is_rejected(self, mistakes: Mistakes, sql: str) -> None:
        (mistake,) = mistakes(sql=sql)
        assert mistake.startswith("extract.sql:1: uses neither :partition_start nor :partition_end")

    @pytest.mark.parametrize("sql", ["where day = :partition_start", "where day < :partition_end"])
    def test_one_bound_of_the_partition_is_enough(self, load: Load, sql: str) -> None:
        assert load(sql=sql).sql == sql

    def test_an_unknown_parameter_is_reported_with_its_line(self, mistakes: Mistakes) -> None:
        (mistake,) = mistakes(sql="select 1\nwhere day >= :partition_start\nand day < :partition_ende")
        assert mistake.startswith("extract.sql:3: unknown parameter :partition_ende; did you mean 'partition_end'?")

    @pytest.mark.parametrize("cache", ["5m", "1h"])
    def test_a_cached_system_prompt_must_not_use_a_column(self, mistakes: Mistakes, cache: str) -> None:
        found = mistakes(yaml=YAML + f"  cache: {cache}\n", system="Classify\n{{ text }} of {{ text }}\n{{ id }}")
        assert found == [
            f"system.md:{line}: the column {name!r} differs from row to row, so the prompt cannot be cached: move it"
            f" to user.md, or set request.cache: off instead of {cache}"
            for line, name in ((2, "text"), (3, "id"))
        ]

    def test_the_mistakes_of_all_files_are_reported_at_once(self, mistakes: Mistakes) -> None:
        found = mistakes(yaml=YAML + "reus: 1\n", sql="select 1", system="{% if %}", user="{{ a", schema='{"a": 1}')
        assert {line.partition(":")[0] for line in found} == set(FILES)
