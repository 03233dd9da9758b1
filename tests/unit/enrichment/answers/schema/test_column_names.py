"""column_names.py: all readers return every published name as a column of its own."""

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

#: Letters that are equal if case is ignored, look alike or have a meaning for a reader.
_LETTERS = st.sampled_from("aAbdDtTsSßẞſkKıİiIéÉe\u0301\u212a_ .,:;=/\\\"'`%{}()<>\u200b\ufeff\u2028漢😀")
_ANY = st.characters(codec=None, exclude_categories=())
_names = st.text(_LETTERS, min_size=2, max_size=5) | st.sampled_from(["dt", "ID", "id", "_a", "straße", "STRASSE"])
_odd_names = _names | st.text(_LETTERS | _ANY, max_size=3)


@given(
    key=st.lists(_names, min_size=1, max_size=2, unique=True),
    flat=st.lists(_odd_names, max_size=1, unique=True),
    nested=st.dictionaries(_names, st.lists(_names, min_size=1, max_size=2, unique=True), min_size=1, max_size=2),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_every_published_name_is_read_back(key: list[str], flat: list[str], nested: dict[str, Any]) -> None:
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
    """Check that pyarrow, pandas and DuckDB, each with the partition, return the values of every column."""
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
def test_names_that_readers_distinguish_are_allowed(names: tuple[str, ...], tmp_path: Path) -> None:
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
def test_names_that_are_equal_to_some_reader_are_rejected(one: str, other: str) -> None:
    assert fold_case(one) == fold_case(other)
    fact = f"{other!r} and {one!r} are the same column to readers that ignore case (Athena, Hive, DuckDB): "
    assert list(key_problems([one, other])) == [
        (other, f"{fact}give it an alias in extract.sql, or another name in the export")
    ]
    fields = [pa.field(one, pa.string()), pa.field(other, pa.string())]
    assert list(output_problems(fields, [])) == [(other, f"{fact}rename the property")]
    for nested in (pa.struct(fields), pa.list_(pa.struct(fields)), pa.struct([("p", pa.list_(pa.struct(fields)))])):
        assert list(output_problems([pa.field("o", nested)], [])) == [("o", f"in 'o', {fact}rename the property")]


@pytest.mark.parametrize(("one", "other"), [("é", "e\u0301"), ("É", "e\u0301"), ("\u212b", "a\u030a")])
def test_names_that_look_the_same_are_shown_escaped(one: str, other: str) -> None:
    fact = f"{other!a} and {one!a} look the same: only the composition of their accents differs: "
    assert [mistake for _, mistake in key_problems([one, other])] == [
        f"{fact}give it an alias in extract.sql, or another name in the export"
    ]
    assert [mistake for _, mistake in output_problems([pa.field(other, pa.string())], [one])] == [
        f"compared with the key, {fact}rename the output"
    ]


class TestKey:
    """The errors in source.key, with the line of the column."""

    @pytest.mark.parametrize("name", ["dt", "DT", "Dt"])
    def test_the_name_of_the_partition_column_is_rejected(self, mistakes: Mistakes, name: str) -> None:
        (mistake,) = mistakes(yaml=in_yaml("{id: int64}", f"[id, {name}]"))
        assert mistake == (
            f"pipeline.yaml:3: source.key: {name!r} is the partition column, because the table is in folders"
            " dt=<day>: give it an alias in extract.sql, or another name in the export"
        )

    @pytest.mark.parametrize("name", [*sorted(RESERVED_NAMES), "Reason", "_id", "_request_id"])
    def test_reserved_names_are_rejected(self, mistakes: Mistakes, name: str) -> None:
        (mistake,) = mistakes(yaml=in_yaml("{id: int64}", f"[{name}]"))
        assert mistake.startswith(f"pipeline.yaml:3: source.key: {name!r} is a reserved column name: give it an alias")

    @pytest.mark.parametrize(
        ("key", "line"),
        [
            ("[id, ID]", 3),
            ("{id: int64, ID: string}", 3),
            ("\n    - id\n    - ID", 5),
            ("\n    id: int64\n    ID: string", 5),
        ],
    )
    def test_each_mistake_is_reported_with_its_line(self, mistakes: Mistakes, key: str, line: int) -> None:
        (mistake,) = mistakes(yaml=in_yaml(" {id: int64}", key if key.startswith("\n") else f" {key}"))
        assert mistake.startswith(
            f"pipeline.yaml:{line}: source.key: 'ID' and 'id' are the same column to readers that ignore case"
        )

    @pytest.mark.parametrize(
        ("name", "fact"),
        [
            ('""', "'' is not a valid column name"),
            ('" "', "' ' is not a valid column name"),
            (r'"a\0b"', r"'a\x00b' contains '\x00'"),
            (r'"a\nb"', r"'a\nb' contains '\n'"),
            (r'"a\ud800"', r"'a\ud800' contains '\ud800'"),
        ],
    )
    def test_a_name_that_readers_cut_or_lose_is_rejected(self, mistakes: Mistakes, name: str, fact: str) -> None:
        (mistake,) = mistakes(yaml=in_yaml("{id: int64}", f"[{name}]"))
        assert mistake.startswith(f"pipeline.yaml:3: source.key: {fact}")


class TestCarry:
    """The errors in source.carry, with the line of the column."""

    @pytest.mark.parametrize(
        ("name", "fact"),
        [
            ("dt", "'dt' is the partition column"),
            ("Reason", "'Reason' is a reserved column name: give it an alias"),
            ("_x", "'_x' is a reserved column name: give it an alias"),
            ("id", "'id' is a key column: the table has it anyway, so leave it out here"),
            ("ID", "'ID' and 'id' are the same column to readers that ignore case"),
            ("PRICE", "'PRICE' and 'price' are the same column to readers that ignore case"),
            (r'"a\0b"', r"'a\x00b' contains '\x00'"),
        ],
    )
    def test_a_name_that_cannot_be_published_is_rejected(self, mistakes: Mistakes, name: str, fact: str) -> None:
        for carry in (f"[price, {name}]", f"{{price: double, {name}: string}}"):
            (mistake,) = mistakes(yaml=in_yaml("{id: int64}", f"[id]\n  carry: {carry}"))
            assert mistake.startswith(f"pipeline.yaml:4: source.carry: {fact}")

    def test_a_mistake_in_the_key_is_reported_once(self, mistakes: Mistakes) -> None:
        (mistake,) = mistakes(yaml=in_yaml("{id: int64}", "[_id]\n  carry: [price]"))
        assert mistake.startswith("pipeline.yaml:3: source.key: '_id'")

    @pytest.mark.parametrize(
        ("carried", "fact"),
        [
            ("label", "'label' is also a carried column: rename the output"),
            (
                "Label",
                "compared with source.carry, 'label' and 'Label' are the same column to readers that ignore case",
            ),
        ],
    )
    def test_a_property_of_that_name_is_rejected(self, mistakes: Mistakes, carried: str, fact: str) -> None:
        (mistake,) = mistakes(yaml=in_yaml("{id: int64}", f"[id]\n  carry: [{carried}]"))
        assert mistake.startswith(f"output.schema.json:6: {fact}")


class TestForEach:
    """The errors in for_each, with the line of the name."""

    @pytest.mark.parametrize(
        ("name", "fact"),
        [
            ("dt", "'dt' is the partition column, because the table is in folders dt=<day>: choose another name"),
            ("outcome", "'outcome' is a reserved column name: choose another name"),
            ("_tone", "'_tone' is a reserved column name: choose another name"),
            ("id", "'id' is a key column: choose another name"),
            ("ID", "'ID' and 'id' are the same column to readers that ignore case"),
        ],
    )
    def test_a_name_that_cannot_be_a_key_column_is_rejected(self, mistakes: Mistakes, name: str, fact: str) -> None:
        yaml = f"{YAML}for_each:\n  tone: [plain]\n  {name}: [a, b]\n"
        (mistake,) = mistakes(yaml=yaml, user=f"{{{{ text }}}} {{{{ tone }}}} {{{{ {name} }}}}")
        assert mistake.startswith(f"pipeline.yaml:9: for_each: {fact}")

    def test_a_carried_column_or_a_property_of_its_name_is_rejected(self, mistakes: Mistakes) -> None:
        each = "for_each: {label: [a], tone: [b]}\n"
        carried, output = mistakes(
            yaml=in_yaml("{id: int64}", "[id]\n  carry: [tone]") + each, user="{{ text }} {{ label }} {{ tone }}"
        )
        assert carried.startswith("pipeline.yaml:4: source.carry: 'tone' is a key column")
        assert output.startswith("output.schema.json:6: 'label' is also a key column: rename the output")


class TestOutput:
    """The errors in output.schema.json, with the line of the property."""

    @pytest.mark.parametrize("name", ["dt", "DT", "dT"])
    def test_the_name_of_the_partition_column_is_rejected(self, mistakes: Mistakes, name: str) -> None:
        (mistake,) = mistakes(schema=_schema(_object("a", name)))
        assert mistake.startswith(f"output.schema.json:{_line_of(name, _object('a', name))}: {name!r} is")
        assert mistake.endswith("the table is in folders dt=<day>: rename the property")

    @pytest.mark.parametrize(
        ("name", "fact"),
        [
            ("id", "'id' is also a key column: rename the output"),
            (
                "ID",
                "compared with the key, 'ID' and 'id' are the same column to readers that ignore case (Athena, Hive,",
            ),
            ("_label", "'_label' begins with an underscore, which is reserved"),
        ],
    )
    def test_key_columns_and_reserved_names_are_rejected(self, mistakes: Mistakes, name: str, fact: str) -> None:
        schema = _object("a", name)
        (mistake,) = mistakes(schema=_schema(schema))
        assert mistake.startswith(f"output.schema.json:{_line_of(name, schema)}: {fact}")

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
    def test_names_that_differ_only_in_case_are_reported_at_any_depth(
        self, mistakes: Mistakes, schema: dict[str, Any]
    ) -> None:
        (mistake,) = mistakes(schema=_schema(schema))
        assert mistake == (
            f"output.schema.json:{_line_of('A', schema)}: 'A' and 'a' are the same column to readers that ignore case"
            " (Athena, Hive, DuckDB): rename the property"
        )

    @pytest.mark.parametrize("name", ["", " ", "a\0b", "\t", "a\x85"])
    def test_a_name_that_readers_cut_or_lose_is_rejected_at_any_depth(self, mistakes: Mistakes, name: str) -> None:
        for schema in (_object(name), object_schema(o=_object(name))):
            (mistake,) = mistakes(schema=json.dumps(schema))
            assert mistake.startswith(f"output.schema.json:1: {name!r} ")
            assert mistake.endswith(": rename the property")

    def test_a_property_dt_within_an_object_is_allowed(self, load: Load) -> None:
        assert load(schema=_schema(object_schema(o=object_schema(dt={}, _x={}, id={})))).output.fields[0].name == "o"


def test_a_mistake_in_another_setting_does_not_hide_one_in_the_schema(mistakes: Mistakes) -> None:
    mistake = mistakes(yaml=YAML + "zzz: 1\n", schema=_schema(object_schema(dt={})))
    assert [line.partition(":")[0] for line in mistake] == ["pipeline.yaml", "output.schema.json"]


def _object(*names: str) -> dict[str, Any]:
    properties: dict[str, Any] = {name: {"type": "string"} for name in names}
    return object_schema(**properties)


def _schema(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1)


def _line_of(name: str, schema: dict[str, Any]) -> int:
    lines = _schema(schema).splitlines()
    return next(number for number, line in enumerate(lines, start=1) if line.strip().startswith(f'"{name}": {{'))
