"""names.py: every name that is published is read back, by everybody and as a column of its own."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from include.enrichment.answers.schema.column_names import RESERVED_NAMES, fold_case, key_problems, output_problems
from include.enrichment.answers.table import Shape
from include.enrichment.errors import SpecError
from include.enrichment.spec.pipeline_folder import load_pipeline
from tests.fixtures.flow import FILES, write_pipeline
from tests.fixtures.folder import YAML, Load, Mistakes, in_yaml
from tests.fixtures.schemas import object_schema

#: Letters of which several are one where case is ignored, look alike or mean something to a reader.
_LETTERS = st.sampled_from("aAbdDtTsSßẞſkKıİiIéÉe\u0301\u212a_ .,:;=/\\\"'`%{}()<>\u200b\ufeff\u2028漢😀")
_ANY = st.characters(codec=None, exclude_categories=())
_names = st.text(_LETTERS, min_size=2, max_size=5) | st.sampled_from(["dt", "ID", "id", "_a", "straße", "STRASSE"])
_odd_names = _names | st.text(_LETTERS | _ANY, max_size=3)


@given(
    key=st.lists(_names, min_size=1, max_size=2, unique=True),
    flat=st.lists(_odd_names, max_size=1, unique=True),
    nested=st.dictionaries(_names, st.lists(_names, min_size=1, max_size=2, unique=True), min_size=1, max_size=2),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_every_name_that_is_published_is_read_back(key: list[str], flat: list[str], nested: dict[str, Any]) -> None:
    output = _object(*flat)
    for number, (name, names) in enumerate(nested.items()):
        child = _object(*names)
        output["properties"][name] = {"description": "x"} | ({"type": "array", "items": child} if number else child)
    with tempfile.TemporaryDirectory() as folder:
        yaml = FILES["pipeline.yaml"].replace("[ticket]", json.dumps(dict.fromkeys(key, "string")))
        written = write_pipeline(
            Path(folder) / "tickets", pipeline_yaml=yaml, output_schema_json=json.dumps(output), user_md="x"
        )
        try:
            pipeline = load_pipeline(written)
        except SpecError:
            event("refused")
            return
        event("published")
        shape = Shape(keys=[pa.field(name, pa.string()) for name in key], output=pipeline.output)
        assert_read_back(shape.table, Path(folder) / "table")


def assert_read_back(schema: pa.Schema, folder: Path) -> None:
    """pyarrow, pandas and DuckDB, each with the partition, give every column its own values."""
    row = {field.name: value for field, value in zip(schema, _values(list(schema)), strict=True)}
    (folder / "dt=2026-11-01").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([row], schema), folder / "dt=2026-11-01" / "data.parquet")
    assert ds.dataset(folder, partitioning="hive").to_table().to_pylist() == [row | {"dt": "2026-11-01"}]
    (line,) = pd.read_parquet(folder).to_dict("records")
    assert {name: list(value) if hasattr(value, "tolist") else value for name, value in line.items()} == row | {
        "dt": "2026-11-01"
    }
    read = duckdb.sql(f"select * from read_parquet('{folder}/*/*.parquet', hive_partitioning=true)")
    assert read is not None
    (values,) = read.fetchall()
    found = dict(zip(read.columns, values, strict=True))
    assert str(found.pop("dt")) == "2026-11-01"
    assert found == row


def _values(fields: list[pa.Field], start: str = "") -> Iterator[Any]:
    for number, field in enumerate(fields):
        if pa.types.is_struct(field.type):
            yield dict(zip((each.name for each in field.type), _values(list(field.type), f"{number}."), strict=True))
        elif pa.types.is_list(field.type):
            yield list(_values([field.type.value_field], f"{number}."))
        else:
            yield None if pa.types.is_decimal(field.type) else f"{start}{number}"


@pytest.mark.parametrize(
    "names",
    [
        ("ß", "ss", "ẛ"),
        ("ı", "i", "j"),
        ("ﬁ", "fi"),
        ("a", " a", "a ", "a\u200b"),
        ("order by", "a.b", "a=b", 'a"b', "`a`", "select", "漢", "😀"),
        ("o.n", "n", "o", "list.element", "schema", "filename", "rowid"),
    ],
    ids=str,
)
def test_names_that_readers_tell_apart_may_stand_beside_each_other(names: tuple[str, ...], tmp_path: Path) -> None:
    assert list(key_problems(names)) == []
    nested = pa.struct([(name, pa.string()) for name in (*names, "dt")])
    fields = [*(pa.field(name, pa.string()) for name in names), pa.field("nest", nested)]
    assert list(output_problems(fields, ["another"])) == []
    assert_read_back(pa.schema(fields), tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("id", "ID"),
        ("größe", "GRÖSSE".replace("SS", "ẞ")),
        ("k", "\u212a"),  # the sign of kelvin
        ("İ", "i\u0307"),
        ("σ", "Σ"),
    ],
)
def test_names_that_are_one_to_some_reader_are_not(one: str, other: str) -> None:
    assert fold_case(one) == fold_case(other)
    fact = f"{other!r} and {one!r} are one column where case is ignored (Athena, Hive, DuckDB): "
    assert list(key_problems([one, other])) == [
        (other, f"{fact}give it an alias in extract.sql, or another name in the export")
    ]
    fields = [pa.field(one, pa.string()), pa.field(other, pa.string())]
    assert list(output_problems(fields, [])) == [(other, f"{fact}rename the property")]
    for nested in (pa.struct(fields), pa.list_(pa.struct(fields)), pa.struct([("p", pa.list_(pa.struct(fields)))])):
        assert list(output_problems([pa.field("o", nested)], [])) == [("o", f"in 'o', {fact}rename the property")]


@pytest.mark.parametrize(("one", "other"), [("é", "e\u0301"), ("É", "e\u0301"), ("\u212b", "a\u030a")])
def test_names_that_look_the_same_are_told_letter_by_letter(one: str, other: str) -> None:
    fact = f"{other!a} and {one!a} look the same, as only their accents are composed in another way: "
    assert [told for _, told in key_problems([one, other])] == [
        f"{fact}give it an alias in extract.sql, or another name in the export"
    ]
    assert [told for _, told in output_problems([pa.field(other, pa.string())], [one])] == [
        f"beside the key, {fact}rename the output"
    ]


class TestKey:
    """What is told of source.key, with the line of the column."""

    @pytest.mark.parametrize("name", ["dt", "DT", "Dt"])
    def test_the_column_of_the_partition_is_taken(self, mistakes: Mistakes, name: str) -> None:
        (told,) = mistakes(yaml=in_yaml("{id: int64}", f"[id, {name}]"))
        assert told == (
            f"pipeline.yaml:3: source.key: {name!r} is the column of the partition, as the table lies in folders"
            " dt=<day>: give it an alias in extract.sql, or another name in the export"
        )

    @pytest.mark.parametrize("name", [*sorted(RESERVED_NAMES), "Reason", "_id", "_request_id"])
    def test_our_own_columns_have_their_names(self, mistakes: Mistakes, name: str) -> None:
        (told,) = mistakes(yaml=in_yaml("{id: int64}", f"[{name}]"))
        assert told.startswith(f"pipeline.yaml:3: source.key: {name!r} is kept for our own columns: give it an alias")

    @pytest.mark.parametrize(
        ("key", "line"),
        [
            ("[id, ID]", 3),
            ("{id: int64, ID: string}", 3),
            ("\n    - id\n    - ID", 5),
            ("\n    id: int64\n    ID: string", 5),
        ],
    )
    def test_each_mistake_has_its_line(self, mistakes: Mistakes, key: str, line: int) -> None:
        (told,) = mistakes(yaml=in_yaml(" {id: int64}", key if key.startswith("\n") else f" {key}"))
        assert told.startswith(f"pipeline.yaml:{line}: source.key: 'ID' and 'id' are one column where case is ignored")

    @pytest.mark.parametrize(
        ("name", "fact"),
        [
            ('""', "'' is not a name for a column"),
            ('" "', "' ' is not a name for a column"),
            (r'"a\0b"', r"'a\x00b' holds '\x00'"),
            (r'"a\nb"', r"'a\nb' holds '\n'"),
            (r'"a\ud800"', r"'a\ud800' holds '\ud800'"),
        ],
    )
    def test_a_name_that_readers_cut_or_lose_is_none(self, mistakes: Mistakes, name: str, fact: str) -> None:
        (told,) = mistakes(yaml=in_yaml("{id: int64}", f"[{name}]"))
        assert told.startswith(f"pipeline.yaml:3: source.key: {fact}")


class TestOutput:
    """What is told of output.schema.json, with the line of the property."""

    @pytest.mark.parametrize("name", ["dt", "DT", "dT"])
    def test_the_column_of_the_partition_is_taken(self, mistakes: Mistakes, name: str) -> None:
        (told,) = mistakes(schema=_schema(_object("a", name)))
        assert told.startswith(f"output.schema.json:{_line_of(name, _object('a', name))}: {name!r} is")
        assert told.endswith("the table lies in folders dt=<day>: rename the property")

    @pytest.mark.parametrize(
        ("name", "fact"),
        [
            ("id", "'id' is a key column too: rename the output"),
            (
                "ID",
                "beside the key, 'ID' and 'id' are one column where case is ignored (Athena, Hive, DuckDB)",
            ),
            ("_label", "'_label' begins with an underscore, which is kept for our own columns"),
        ],
    )
    def test_key_and_our_own_columns_have_their_names(self, mistakes: Mistakes, name: str, fact: str) -> None:
        schema = _object("a", name)
        (told,) = mistakes(schema=_schema(schema))
        assert told.startswith(f"output.schema.json:{_line_of(name, schema)}: {fact}")

    @pytest.mark.parametrize(
        "schema",
        [
            object_schema(a={}, A={}),
            object_schema(o=object_schema(a={}, A={})),
            object_schema(o={"type": "array", "items": object_schema(a={}, A={})}),
            object_schema(o={"anyOf": [object_schema(a={}, A={}), {"type": "null"}]}),
            object_schema(o={"allOf": [object_schema(a={}, A={})]}),
            {**object_schema(o={"$ref": "#/$defs/pair"}), "$defs": {"pair": object_schema(a={}, A={})}},
        ],
        ids=lambda schema: json.dumps(schema)[-60:],
    )
    def test_names_that_differ_in_case_are_told_at_any_depth(self, mistakes: Mistakes, schema: dict[str, Any]) -> None:
        (told,) = mistakes(schema=_schema(schema))
        assert told == (
            f"output.schema.json:{_line_of('A', schema)}: 'A' and 'a' are one column where case is ignored (Athena,"
            " Hive, DuckDB): rename the property"
        )

    @pytest.mark.parametrize("name", ["", " ", "a\0b", "\t", "a\x85"])
    def test_a_name_that_readers_cut_or_lose_is_none_at_any_depth(self, mistakes: Mistakes, name: str) -> None:
        for schema in (_object(name), object_schema(o=_object(name))):
            (told,) = mistakes(schema=json.dumps(schema))
            assert told.startswith(f"output.schema.json:1: {name!r} ")
            assert told.endswith(": rename the property")

    def test_a_column_dt_within_an_object_is_none_of_the_tables(self, load: Load) -> None:
        assert load(schema=_schema(object_schema(o=object_schema(dt={}, _x={}, id={})))).output.fields[0].name == "o"


def test_a_mistake_in_another_setting_does_not_hide_one_in_the_schema(mistakes: Mistakes) -> None:
    told = mistakes(yaml=YAML + "zzz: 1\n", schema=_schema(object_schema(dt={})))
    assert [line.partition(":")[0] for line in told] == ["pipeline.yaml", "output.schema.json"]


def _object(*names: str) -> dict[str, Any]:
    properties: dict[str, Any] = {name: {"type": "string"} for name in names}
    return object_schema(**properties)


def _schema(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1)


def _line_of(name: str, schema: dict[str, Any]) -> int:
    lines = _schema(schema).splitlines()
    return next(number for number, line in enumerate(lines, start=1) if line.strip().startswith(f'"{name}": {{'))
