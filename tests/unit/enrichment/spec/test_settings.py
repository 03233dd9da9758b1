"""settings.py: valid settings, and the message for each invalid one."""

from __future__ import annotations

from typing import Any

import pytest

from include.enrichment.spec.settings import FromColumn
from tests.fixtures.folder import FILES_YAML, YAML, Load, Mistakes, in_yaml


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
def test_a_key_is_a_list_or_a_mapping_to_types(load: Load, key: str, found: dict[str, str | None]) -> None:
    pipeline = load(yaml=in_yaml("{id: int64}", key))
    assert pipeline.settings.source.key == found
    assert list(pipeline.settings.source.key) == list(found)


@pytest.mark.parametrize(
    ("carry", "found"),
    [
        ("[]", {}),
        ("[b, a]", {"b": None, "a": None}),
        ('{a: double, b: , c: "decimal(9,2)"}', {"a": "double", "b": None, "c": "decimal(9,2)"}),
    ],
)
def test_carried_columns_are_a_list_or_a_mapping_to_types_and_are_read(
    load: Load, carry: str, found: dict[str, str | None]
) -> None:
    pipeline = load(yaml=in_yaml("{id: int64}", f"[id]\n  carry: {carry}"))
    assert pipeline.settings.source.carry == found
    assert list(pipeline.settings.source.carry) == list(found)
    assert pipeline.columns == {"id", "text", *found}
    assert type(pipeline).model_validate_json(pipeline.model_dump_json()) == pipeline


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
def test_a_bare_off_is_off_and_not_false(load: Load, text: str, cache: str) -> None:
    assert load(yaml=YAML + f"  cache: {text}\n").settings.request.cache == cache


@pytest.mark.parametrize("ratio", ["0", "1", "0.5", "1e-1"])
def test_a_ratio_may_be_written_as_a_whole_number(load: Load, ratio: str) -> None:
    text = YAML + f"limits: {{max_reject_ratio: {ratio if ratio != '1e-1' else '1.0e-1'}}}\n"
    assert load(yaml=text).settings.limits.max_reject_ratio == float(ratio)


@pytest.mark.parametrize("text", ["limits: {canary_rows: 1000, retry_passes: 0}", "limits: {canary_rows: 0}"])
def test_the_bounds_of_the_passes_are_inclusive(load: Load, text: str) -> None:
    load(yaml=YAML + text + "\n")


@pytest.mark.parametrize(
    ("attachments", "connection"),
    [
        ("", None),
        ("attachments: {columns: [text]}\n", "exports"),
        ("attachments: {columns: [text], connection: scans}\n", "scans"),
    ],
)
def test_attachments_have_the_connection_of_the_source_or_their_own(
    load: Load, attachments: str, connection: str | None
) -> None:
    pipeline = load(yaml=FILES_YAML + attachments, sql=None)
    assert pipeline.settings.attachments_connection == connection


@pytest.mark.parametrize(
    "files",
    [
        "s3://b/{partition}/",
        "s3://b/year={year}/month={month}/day={day}/x/",
        "s3://b/a/{year}{month}{day}/",
        "s3://b/my exports/ü/at={partition} 00%3A00/",
    ],
)
def test_a_prefix_contains_the_whole_day(load: Load, files: str) -> None:
    pipeline = load(yaml=FILES_YAML.replace("s3://bucket/products/dt={partition}/", files), sql=None)
    assert pipeline.settings.source.files == files


@pytest.mark.parametrize(
    ("files", "fact"),
    [
        ("s3://bucket/products/", "must contain {partition}, or {year}"),
        ("s3://bucket/{year}/{month}/", "must contain {partition}, or {year}"),
        ("s3://bucket/{month}/{day}/", "must contain {partition}, or {year}"),
        ("s3://bucket/{year}/{day}/", "must contain {partition}, or {year}"),
        ("s3://bucket/{partition}/{hour}/", "no other placeholder"),
        ("s3://bucket/{{ partition }}/{partition}/", "no other placeholder"),
        ("s3://bucket/dt={partition}", "with a trailing slash"),
        ("s3://bucket//dt={partition}/", "no empty folder name"),
        ("s3://bucket/a//dt={partition}/", "no empty folder name"),
        ("s3://bucket/../dt={partition}/", "no empty folder name"),
        ("s3://{partition}/", "must be a prefix like s3://bucket/"),
        ("/folder/dt={partition}/", "must be a prefix like s3://bucket/"),
        ("gs://bucket/dt={partition}/", "must be a prefix like s3://bucket/"),
        ("S3://bucket/dt={partition}/", "must be a prefix like s3://bucket/"),
        ("s3a://bucket/dt={partition}/", "must be a prefix like s3://bucket/"),
        ("s3://bucket/a#b/dt={partition}/", "contains '#', where some readers cut it"),
        ("s3://bucket#a/dt={partition}/", "contains '#', where some readers cut it"),
        ("s3://bucket/a?b/dt={partition}/", "contains '?', where some readers cut it"),
        (r"s3://bucket/a\\b/dt={partition}/", r"contains '\\', where some readers cut it"),
        (r"s3://bucket/a\tb/dt={partition}/", r"contains '\t', an invisible character"),
        ("s3://user:pass@bucket/dt={partition}/", "contains a user name"),
        ("s3://bucket:9000/dt={partition}/", "has 'bucket:9000' instead of a bucket name"),
    ],
)
def test_a_prefix_that_days_would_share_is_rejected(mistakes: Mistakes, files: str, fact: str) -> None:
    yaml = FILES_YAML.replace("s3://bucket/products/dt={partition}/", f'"{files}"')
    (line,) = mistakes(yaml=yaml, sql=None)
    assert line.startswith("pipeline.yaml:3: source.files: ")
    assert fact in line


OBJECTS_YAML = FILES_YAML.replace("files: s3://bucket/products/", "objects: s3://bucket/contracts/").replace(
    "{id: int64}", "[name]"
)
#: A prompt of what objects have.
OF_OBJECTS = {"sql": None, "user": "Read {{ name }}"}


@pytest.mark.parametrize(
    ("objects", "connection"),
    [
        ("s3://b/dt={partition}/", "exports"),
        ("s3://b/my scans/ü/{year}/{month}/{day}/", "exports"),
        ("/srv/inbox/dt={partition}/", "/srv/inbox"),
        ("/{partition}/", "/"),
    ],
)
def test_objects_are_in_a_bucket_or_a_folder(load: Load, objects: str, connection: str) -> None:
    yaml = OBJECTS_YAML.replace("s3://bucket/contracts/dt={partition}/", f'"{objects}"')
    if objects.startswith("/"):
        yaml = yaml.replace("  connection: exports\n", "")
    settings = load(yaml=yaml, **OF_OBJECTS).settings
    assert (settings.source.objects, settings.source.instead_of_query) == (objects, "objects")
    assert settings.source.in_folder == objects.startswith("/")
    assert settings.attachments_connection == settings.source.objects_connection == connection
    assert list(settings.attached_columns) == ["uri"]


def test_a_pipeline_without_documents_reads_no_objects(load: Load) -> None:
    settings = load().settings
    assert (settings.attachments_connection, settings.attached_columns, settings.split_pages) == (None, {}, None)


def test_attachments_of_a_query_have_a_connection_and_a_column_that_is_read(load: Load) -> None:
    pipeline = load(yaml=YAML + "attachments: {columns: [scan], connection: aws, split_pages: 50}\n")
    assert pipeline.settings.attachments_connection == "aws"
    assert pipeline.columns == {"id", "text", "scan"}
    assert list(pipeline.settings.key_types) == ["id", "_part"]


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        (OBJECTS_YAML.replace("/dt={partition}", ""), "pipeline.yaml:3: source.objects: must contain {partition}, or"),
        (OBJECTS_YAML.replace("s3://bucket", "s3://b@d"), "pipeline.yaml:3: source.objects: contains a user name"),
        (OBJECTS_YAML.replace("s3://bucket", "data"), "pipeline.yaml:3: source.objects: must be a prefix like s3://bu"),
        (OBJECTS_YAML.replace("s3://bucket", ""), "pipeline.yaml:2: source.connection: is not used, because source.ob"),
        (OBJECTS_YAML.replace("  connection: exports\n", ""), "pipeline.yaml:1: source.connection: is missing"),
        (
            OBJECTS_YAML.replace("  key", "  table: tickets\n  key"),
            "pipeline.yaml:4: source.table: a source is either source.objects or source.table: remove one of the two",
        ),
        (
            OBJECTS_YAML.replace("  key", "  rename: {name: title}\n  key"),
            "pipeline.yaml:4: source.rename: is for source.files and source.table only: remove it",
        ),
        (OBJECTS_YAML.replace("[name]", "[pages]"), "pipeline.yaml:4: source.key: 'pages' is unknown for an object"),
        (
            OBJECTS_YAML.replace("[name]", "[name]\n  carry: [sha]"),
            "pipeline.yaml:5: source.carry: source.objects has no column 'sha'; did you mean 'sha256'?",
        ),
        (OBJECTS_YAML + "attachments: {columns: [name]}\n", "pipeline.yaml:8: attachments.columns: with source.object"),
        (
            OBJECTS_YAML + "attachments:\n  columns: {uri: {as: pdf}}\n",
            "pipeline.yaml:9: attachments.columns.uri.as: In",
        ),
    ],
)
def test_a_mistake_in_the_settings_of_objects_has_its_line(mistakes: Mistakes, yaml: str, expected: str) -> None:
    assert any(line.startswith(expected) for line in mistakes(yaml=yaml, **OF_OBJECTS)), mistakes(
        yaml=yaml, **OF_OBJECTS
    )


def test_a_mistake_in_the_place_of_objects_is_the_only_one_named(mistakes: Mistakes) -> None:
    yaml = OBJECTS_YAML.replace("s3://bucket/contracts/dt={partition}/", "/data/contracts").replace(
        "  connection: exports\n", ""
    )
    (line,) = mistakes(yaml=yaml, **OF_OBJECTS)
    assert line.startswith("pipeline.yaml:2: source.objects: must be a prefix")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            "output: {evidence: true}\n",
            "pipeline.yaml:7: output.evidence: needs documents: add attachments, or remove it",
        ),
        (
            "attachments: {columns: [scan]}\n",
            "pipeline.yaml:7: attachments: connection: is missing: name the AWS conne",
        ),
        (
            "attachments:\n  connection: aws\n  columns: [a, b]\n  split_pages: 3\n",
            "pipeline.yaml:10: attachments.split_pages: needs one column, because a part is of one document, but",
        ),
        (
            "attachments:\n  connection: aws\n  columns:\n    a: {pag: 1-2}\n",
            "pipeline.yaml:10: attachments.columns.a.pag: unknown key; did you mean 'pages'? Known keys: as, send",
        ),
        ("attachments: {connection: aws, columns: {a: []}}\n", "pipeline.yaml:7: attachments.columns.a: Input should"),
    ],
)
def test_a_mistake_in_the_attachments_has_its_line(mistakes: Mistakes, more: str, expected: str) -> None:
    (line,) = mistakes(yaml=YAML + more)
    assert line.startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            in_yaml("max_tokens", "max_token"),
            [
                "4: request.max_tokens: is missing",
                "6: request.max_token: unknown key; did you mean 'max_tokens'? Known keys: mode, model,"
                " other_models, escalate, max_tokens, thinking, effort, cache",
            ],
        ),
        (YAML + "zzz: 1\n", ["7: zzz: unknown key. Known keys: source, attachments, request, output, limits"]),
        (YAML + "limit: {}\n", ["7: limit: unknown key; did you mean 'limits'? Known keys: source, attachments"]),
        (YAML + "limits:\n  batch_request: 5\n", ["8: limits.batch_request: unknown key; did you mean 'batch_req"]),
        (in_yaml("  connection: warehouse\n", ""), ["1: source.connection: is missing"]),
        (in_yaml("warehouse", '""'), ["2: source.connection: String should have at least 1 character, got ''"]),
        (in_yaml("warehouse", "no"), ["2: source.connection: Input should be a valid string, got False"]),
        (
            in_yaml("warehouse", "2026-11-21"),
            ["2: source.connection: Input should be a valid string, got date"],
        ),
        (in_yaml("300", "0"), ["6: request.max_tokens: Input should be greater than or equal to 1, got 0"]),
        (in_yaml("300", "-5"), ["6: request.max_tokens: Input should be greater than or equal to 1, got -5"]),
        (in_yaml("300", "yes"), ["6: request.max_tokens: Input should be a valid integer, got True"]),
        (in_yaml("300", '"300"'), ["6: request.max_tokens: Input should be a valid integer, got '300'"]),
        (in_yaml("300", "300.0"), ["6: request.max_tokens: Input should be a valid integer, got 300.0"]),
        (in_yaml("300", "[300]"), ["6: request.max_tokens: Input should be a valid integer, got [300]"]),
        (in_yaml("300", ""), ["6: request.max_tokens: Input should be a valid integer, got None"]),
        (YAML + "  cache: 2h\n", ["7: request.cache: Input should be 'off', '5m', '1h' or 'auto', got '2h'"]),
        (YAML + "  cache: on\n", ["7: request.cache: Input should be 'off', '5m', '1h' or 'auto', got True"]),
        (YAML + "  thinking: off\n", ["7: request.thinking: Input should be 'adaptive' or 'disabled', got False"]),
        (YAML + "reuse: 0\n", ["7: reuse: Input should be a valid boolean, got 0"]),
        (YAML + 'reuse: "no"\n', ["7: reuse: Input should be a valid boolean, got 'no'"]),
        (YAML + "limits:\n", ["7: limits: Input should be a valid dictionary"]),
        (YAML + "limits: {min_rows: -1}\n", ["7: limits.min_rows: Input should be greater than or equal to 0, got -1"]),
        (YAML + "limits: {min_rows: 1.5}\n", ["7: limits.min_rows: Input should be a valid integer, got 1.5"]),
        (YAML + "limits: {batch_bytes: 32}\n", ["7: limits.batch_bytes: Input should be greater than or equal"]),
        (YAML + "limits: {batch_bytes: 300000000}\n", ["7: limits.batch_bytes: Input should be less than or equal"]),
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
                "7: limits.budget: unknown key; did you mean 'budget_usd'? Known keys: min_rows, max_reject_ratio,"
                " batch_requests, batch_bytes, canary_rows, retry_passes, budget_usd, budget_ceiling_usd,"
                " monthly_budget_usd"
            ],
        ),
        (YAML + "samples: 0\n", ["7: samples: Input should be greater than or equal to 1, got 0"]),
        (YAML + "samples: 101\n", ["7: samples: Input should be less than or equal to 100, got 101"]),
        (
            YAML + "keep: {best: len(label)}\n",
            ["7: keep.among: there is one answer for each row: set samples to 2 or more, or name a key column."],
        ),
        (
            YAML + "keep:\n  best: len(label)\n  among: idd\nsamples: 2\n",
            ["9: keep.among: 'idd' is not a key column; did you mean 'id'? The key is id, _sample"],
        ),
        (
            YAML + "keep: {best: len(label), among: id}\n",
            ["7: keep.among: 'id' is the only key column, so the table would have one row: add another"],
        ),
        (YAML + "keep: {among: _sample}\nsamples: 2\n", ["7: keep.best: is missing"]),
        (
            YAML + "keep: {best: len(label), most: 3}\nsamples: 2\n",
            ["7: keep.most: unknown key. Known keys: best, among"],
        ),
        (YAML + "samples: 2\nkeep:\n  best: |\n    1 +\n    + +\n", ["11: keep.best: is not an SQL expression"]),
        (YAML + "samples: 2\nkeep: {best: random()}\n", ["8: keep.best: must give the same result in every run"]),
        (YAML + "samples: 2\nkeep: {best: (select 1)}\n", ["8: keep.best: must be an expression over the columns"]),
        (
            YAML + "samples: 2\nkeep: {best: len(lable)}\n",
            ["8: keep.best: the table has no column 'lable'; did you mean 'label'?"],
        ),
        (YAML + "samples: 2\nkeep: {best: label}\n", ["8: keep.best: is VARCHAR, not a number or a boolean"]),
        (
            in_yaml("  key:", "  rename: {a: b}\n  key:"),
            ["3: source.rename: is for source.files and source.table only: write `a as b` in extract.sql"],
        ),
        (YAML + "samples: yes\n", ["7: samples: Input should be a valid integer, got True"]),
        (YAML + "for_each: {tone: []}\n", ["7: for_each.tone: must have at least one value, got []"]),
        (YAML + "for_each:\n  tone: plain\n", ["8: for_each.tone: must be a list of values, or {column: <the col"]),
        *(
            (YAML + f"for_each: {{tone: {values}}}\n", ["7: for_each.tone: must be a list of values, or {column: <the"])
            for values in ("{colum: tones}", "{column: 1}", "{column: ''}", "{column: tones, x: 1}", "{}", "3", "")
        ),
        (YAML + "for_each: {1: [a]}\n", ["7: for_each.1"]),
        (YAML + "for_each: {tone: [a, b, a]}\n", ["7: for_each.tone: has 'a' twice"]),
        *(
            (YAML + f"for_each: {{tone: {values}}}\n", ["7: for_each.tone: must have only strings, only integers or"])
            for values in ("[a, 1]", "[true, 1]", "[1.5]", "[2026-11-01]", "[null]", "[[a]]")
        ),
        (YAML + f"for_each: {{tone: [{2**63}]}}\n", ["7: for_each.tone: has an integer of more than 64 bits"]),
        (
            YAML + "for_each:\n" + "".join(f"  {name}: {[*range(10)]}\n" for name in "abcde"),
            ["7: for_each: makes 100,000 requests for each row; at most 10,000 are allowed: shorten the lists"],
        ),
        (YAML + "for_each: [tone]\n", ["7: for_each: Input should be a valid dictionary"]),
        (YAML + "1: 2\n", ["1: 1: Keys should be strings"]),
        (in_yaml("{id: int64}", "[id, id]"), ["3: source.key: names 'id' twice"]),
        (in_yaml("{id: int64}", "[]"), ["3: source.key: must be a list of column names, or a mapping"]),
        (in_yaml("{id: int64}", "[no]"), ["3: source.key: must be a list of column names, or a mapping"]),
        (in_yaml("{id: int64}", "id"), ["3: source.key: must be a list of column names, or a mapping"]),
        (
            in_yaml("{id: int64}", "{id: integer}"),
            ['3: source.key.id: must be one of string, int64, boolean, date, timestamp, uuid, "decimal(p,s)", got'],
        ),
        (in_yaml("{id: int64}", "{1: int64}"), ["3: source.key: must be a list of column names, or a mapping"]),
        (
            in_yaml("{id: int64}", "[id, text]"),
            ["3: source.key: 'text' is a reserved column name: give it an alias"],
        ),
        (
            in_yaml("{id: int64}", "{request_id: int64}"),
            ["3: source.key: 'request_id' is a reserved column name"],
        ),
        (in_yaml("{id: int64}", "[_id]"), ["3: source.key: '_id' is a reserved column name"]),
        (
            in_yaml("{id: int64}", "[id]\n  carry: price"),
            ["4: source.carry: must be a list of column names, or a mapping"],
        ),
        (in_yaml("{id: int64}", "[id]\n  carry: [a, a]"), ["4: source.carry: names 'a' twice"]),
        (
            in_yaml("{id: int64}", "[id]\n  carry: {price: float}"),
            ["4: source.carry.price: must be one of string, int64, boolean, date, timestamp, uuid, double, time,"],
        ),
        (in_yaml("{id: int64}", "[id]\n  carry: [id]"), ["4: source.carry: 'id' is a key column: the table has"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_each_mistake_has_its_line_and_the_remedy(mistakes: Mistakes, text: str, expected: list[str]) -> None:
    found = sorted(line.removeprefix("pipeline.yaml:") for line in mistakes(yaml=text))
    assert len(found) == len(expected), found
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "{tone: [plain, warm], size: [40, 80], formal: [true]}",
            {"tone": ["plain", "warm"], "size": [40, 80], "formal": [True]},
        ),
        ("{tone: {column: tones}}", {"tone": FromColumn(column="tones")}),
        (
            f"{{tone: {[*range(100)]}, size: {[*range(100)]}}}",  # as many as there may be
            {"tone": [*range(100)], "size": [*range(100)]},
        ),
        ("{}", {}),
    ],
    ids=lambda value: str(value)[:30],
)
def test_for_each_has_lists_of_one_type_or_columns_and_is_read_back(
    load: Load, text: str, found: dict[str, Any]
) -> None:
    user = "{{ text }}" + "".join(f"{{{{ {name} }}}}" for name in found)
    pipeline = load(yaml=f"{YAML}for_each: {text}\n", user=user)
    assert pipeline.settings.for_each == found
    assert list(pipeline.settings.for_each) == list(found)
    assert pipeline.columns == {"id", "text", *(["tones"] if "column" in text else [])}
    assert type(pipeline).model_validate_json(pipeline.model_dump_json()) == pipeline


def test_a_name_that_no_prompt_uses_is_a_mistake_because_it_would_pay_twice_for_one_request(mistakes: Mistakes) -> None:
    yaml = YAML + "for_each:\n  tone: [plain, warm]\n  locale: [de, fr]\n"
    (mistake,) = mistakes(yaml=yaml, user="{{ text }} {{ locale }}")
    assert mistake == (
        "pipeline.yaml:8: for_each: 'tone' changes no request: write {{ tone }} in user.md, or remove it"
    )
    (mistake,) = mistakes(yaml=yaml, user="{{ text }} {{ locale }}", system="{% if %}")
    assert mistake.startswith("system.md:1: ")


def test_a_cached_system_prompt_must_not_use_a_name_of_for_each(mistakes: Mistakes) -> None:
    (mistake,) = mistakes(yaml=f"{YAML}  cache: 1h\nfor_each: {{tone: [a, b]}}\n", system="Be {{ tone }}")
    assert mistake.startswith("system.md:1: the column 'tone' differs from row to row, so the prompt cannot be cached")


def test_a_ceiling_below_the_budget_is_a_mistake(mistakes: Mistakes) -> None:
    (mistake,) = mistakes(yaml=f"{YAML}limits: {{budget_usd: 5, budget_ceiling_usd: 2}}\n")
    assert "7: limits: budget_ceiling_usd (2) is below budget_usd (5)" in mistake


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        (
            in_yaml("model:", "mode: soon\n  model:"),
            "pipeline.yaml:5: request.mode: Input should be 'batch', 'synchronous' or 'auto'",
        ),
        (
            f"{YAML}limits: {{synchronous_requests: 0}}\n",
            "pipeline.yaml:7: limits.synchronous_requests: Input should be",
        ),
        (f"{YAML}limits: {{synchronous_below: -1}}\n", "pipeline.yaml:7: limits.synchronous_below: Input should be"),
        (
            f"{YAML}limits: {{deadline_budget_usd: -1}}\n",
            "pipeline.yaml:7: limits.deadline_budget_usd: Input should be",
        ),
    ],
)
def test_a_mistake_in_the_settings_of_synchronous_requests_has_its_line(
    mistakes: Mistakes, yaml: str, expected: str
) -> None:
    (line,) = mistakes(yaml=yaml)
    assert f"pipeline.yaml:{line.removeprefix('pipeline.yaml:')}".startswith(expected)
