from __future__ import annotations

import re
from pathlib import Path

import pytest

from claude_batch.connections.claude_connection import open_claude
from claude_batch.connections.gateways import open_buckets, open_database, open_lake, open_source
from include.enrichment.errors import SetupError
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.gateways.conditional_writes import check_conditional_writes
from include.gateways.lake import Lake
from tests.fixtures.flow import DAY, FILES, Flow, write_pipeline
from tests.fixtures.postgres import Database
from tests.fixtures.s3_export import FOLDER, Export


def pipeline_with(folder: Path, source: str, **files: str) -> Pipeline:
    """The tickets pipeline with another source, as in pipeline.yaml."""
    settings = FILES["pipeline.yaml"].replace("{connection: warehouse, key: [ticket]}", f"{{{source}, key: [ticket]}}")
    write_pipeline(folder, pipeline_yaml=settings, **files)
    if not source.startswith("connection") or "files" in source:
        (folder / "extract.sql").unlink()
    return load_pipeline(folder)


def test_a_complete_set_of_connections_can_be_opened(connections: pytest.MonkeyPatch) -> None:
    open_lake("aws_default").check()
    with open_claude("anthropic_default") as claude:
        assert claude.model("claude-haiku-5-5") is not None
    with open_database("warehouse").connect() as connection:
        assert connection.exec_driver_sql("select 1").scalar() == 1


def test_a_folder_is_a_lake_for_development(connections: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connections.setenv("ENRICHMENT_LAKE", str(tmp_path / "folder lake"))
    open_lake("aws_default").write("a", b"1")
    assert (tmp_path / "folder lake" / "a").read_bytes() == b"1"


@pytest.mark.parametrize("text", ["True", "1", "yes", "", "no"])
def test_runs_never_race_must_be_true_or_false(connections: pytest.MonkeyPatch, text: str) -> None:
    connections.setenv("ENRICHMENT_RUNS_NEVER_RACE", text)
    with pytest.raises(SetupError, match=r"ENRICHMENT_RUNS_NEVER_RACE is .*true or false.*Nothing was read or sent"):
        open_lake("aws_default")


@pytest.mark.parametrize("text", [None, "false"])
def test_a_lake_must_support_conditional_writes_unless_runs_never_race(
    connections: pytest.MonkeyPatch, text: str | None
) -> None:
    connections.setenv("ENRICHMENT_LAKE", "s3://no-such-bucket")
    if text:
        connections.setenv("ENRICHMENT_RUNS_NEVER_RACE", text)
    with pytest.raises(SetupError, match="no-such-bucket"):
        check_conditional_writes(open_lake("aws_default"))
    connections.setenv("ENRICHMENT_RUNS_NEVER_RACE", "true")
    check_conditional_writes(open_lake("aws_default"))


@pytest.mark.parametrize("uri", ["", "gs://bucket", "s3://", "ftp://x/y", "my-bucket/enrichment", "~/lake"])
def test_an_invalid_lake_address_is_rejected_with_an_example(connections: pytest.MonkeyPatch, uri: str) -> None:
    connections.setenv("ENRICHMENT_LAKE", uri)
    with pytest.raises(SetupError, match=r"ENRICHMENT_LAKE is .*s3://"):
        open_lake("aws_default")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/lake#dev",
        "s3://bucket/lake?dev",
        "s3://bucket//lake",
        "s3://bucket/../lake",
        "s3://bucket/lake%23dev",
        "s3a://bucket/lake",
        "S3://bucket/lake",
        "{folder}/lake#dev",
        "file://{folder}/lake#dev",
        "{folder}/x/../lake",
        "{folder}//lake",
        "{folder}/lake%2fdev",
        "{folder}/lake\n",
        "file://localhost{folder}/lake",
    ],
)
def test_an_ambiguous_lake_address_is_rejected_before_anything_is_created(
    connections: pytest.MonkeyPatch, tmp_path: Path, uri: str
) -> None:
    connections.setenv("ENRICHMENT_LAKE", uri.format(folder=tmp_path))
    before = list(tmp_path.iterdir())
    with pytest.raises(SetupError, match=r"ENRICHMENT_LAKE is .*: the address .*Nothing was read or sent"):
        open_lake("aws_default")
    assert list(tmp_path.iterdir()) == before


def test_a_secret_in_an_address_is_not_shown(connections: pytest.MonkeyPatch) -> None:
    connections.setenv("ENRICHMENT_LAKE", "s3://AKIA:xyz/zy@bucket/lake")
    with pytest.raises(SetupError, match=r"s3://\*\*\*@bucket/lake.*belong in the AWS connection") as caught:
        open_lake("aws_default")
    assert not {"AKIA", "xyz", "zy"}.intersection(re.findall(r"\w+", str(caught.value)))


def test_attachments_are_in_any_bucket_of_a_connection(
    connections: pytest.MonkeyPatch, export: Export, tmp_path: Path
) -> None:
    connections.setenv("AIRFLOW_CONN_AWS_DEFAULT", export.bucket.aws_connection)
    export.bucket.put("a.pdf", b"1")
    assert open_buckets("aws_default").fetch(f"{export.bucket.uri}/a.pdf", tmp_path / "copy").size_bytes == 1


def test_or_in_one_folder_for_development(connections: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"1")
    assert open_buckets(str(tmp_path)).fetch(f"{tmp_path}/a.pdf", tmp_path / "copy").size_bytes == 1


def test_an_aws_connection_without_credentials_is_named(connections: pytest.MonkeyPatch) -> None:
    connections.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(SetupError, match=r"'unknown_aws' gives no credentials.*AIRFLOW_CONN_UNKNOWN_AWS"):
        open_lake("unknown_aws")


@pytest.mark.parametrize(
    ("connection", "fact"),
    [
        (None, "isn't defined"),
        ("anthropic://k", "is not a database"),
        ("nosuchtype://x", "[Uu]nknown hook type"),
    ],
)
def test_an_unusable_warehouse_connection_is_rejected_with_the_reason(
    connections: pytest.MonkeyPatch, connection: str | None, fact: str
) -> None:
    if connection is None:
        connections.delenv("AIRFLOW_CONN_WAREHOUSE")
    else:
        connections.setenv("AIRFLOW_CONN_WAREHOUSE", connection)
    with pytest.raises(SetupError, match=fact):
        open_database("warehouse")


def test_a_missing_sqlite_file_is_reported_and_not_created(connections: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "warehose.db"
    connections.setenv("AIRFLOW_CONN_WAREHOUSE", f"sqlite:///{file}")
    with pytest.raises(SetupError, match=rf"'warehouse' names the SQLite file /?{file}, which does not exist"):
        open_database("warehouse")
    assert not file.exists()


@pytest.mark.parametrize(
    ("extra", "driver"), [("", "psycopg"), ("?sqlalchemy_scheme=postgresql%2Bpsycopg2", "psycopg2")]
)
def test_a_postgres_connection_uses_the_driver_it_names(
    connections: pytest.MonkeyPatch, database: Database, tmp_path: Path, extra: str, driver: str
) -> None:
    connections.setenv("AIRFLOW_CONN_SHOP", f"{database.uri}{extra}")
    sql = "select n as ticket, '' as body from generate_series(1, 9) n where :partition_start < :partition_end"
    pipeline = pipeline_with(tmp_path / "shop", "connection: shop", extract_sql=sql)
    with open_source(pipeline, lake=open_lake("aws_default")).read(DAY) as (_, portions):
        assert [row["ticket"] for portion in portions for row in portion] == list(range(1, 10))
    declared = {"psycopg": "$1::DATE < $2::DATE", "psycopg2": "'2026-11-01'::date < '2026-11-02'::date"}[driver]
    assert any('DECLARE "' in line and declared in line for line in database.statements())


def test_files_are_opened_with_their_own_aws_connection(
    connections: pytest.MonkeyPatch, export: Export, tmp_path: Path
) -> None:
    export.write(f"{FOLDER.format(partition=DAY)}part.parquet", [{"ticket": "T1"}, {"ticket": "T2"}])
    connections.setenv("AIRFLOW_CONN_EXPORTS", export.bucket.aws_connection)
    connections.delenv("AIRFLOW_CONN_AWS_DEFAULT")
    files = f"files: '{export.bucket.uri}/{FOLDER}', where: ticket > 'T1'"
    pipeline = pipeline_with(tmp_path / "files", f"connection: exports, {files}")
    with open_source(pipeline, lake=Lake.in_folder(tmp_path / "lake")).read(DAY) as (_, portions):
        assert list(portions) == [[{"ticket": "T2"}]]


def test_files_without_credentials_are_rejected_with_the_connection(
    connections: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connections.setenv("AWS_EC2_METADATA_DISABLED", "true")
    pipeline = pipeline_with(tmp_path / "files", "connection: exports, files: 's3://bucket/{partition}/'")
    with pytest.raises(SetupError, match=r"'exports' gives no credentials for s3://bucket: .*AIRFLOW_CONN_EXPORTS"):
        open_source(pipeline, lake=Lake.in_folder(tmp_path / "lake"))


def test_a_table_is_read_from_the_runs_own_lake_and_needs_no_connection(flow: Flow, tmp_path: Path) -> None:
    flow.run_all("main")
    source = "table: tickets, where: ticket <> 'T2'"
    labels = pipeline_with(tmp_path / "pipelines" / "labels", source, user_md="{{ topic }}")
    with open_source(labels, lake=flow.lake).read(DAY, needed={"ticket"}) as (_, portions):
        assert [row for portion in portions for row in portion] == [{"ticket": "T1"}, {"ticket": "T3"}]


def test_objects_are_listed_with_their_own_aws_connection(
    connections: pytest.MonkeyPatch, export: Export, tmp_path: Path
) -> None:
    export.bucket.put("in/dt=2026-11-01/a.pdf", b"abc")
    source = f"{{connection: exports, objects: '{export.bucket.uri}/in/dt={{partition}}/', key: [name]}}"
    yaml = FILES["pipeline.yaml"].replace("{connection: warehouse, key: [ticket]}", source)
    folder = write_pipeline(tmp_path / "objects" / "tickets", pipeline_yaml=yaml, user_md="{{ name }}")
    (folder / "extract.sql").unlink()
    connections.setenv("AIRFLOW_CONN_EXPORTS", export.bucket.aws_connection)
    lake = open_lake("aws_default")
    with open_source(load_pipeline(folder), lake=lake).read(DAY) as (_, portions):
        assert [row["name"] for portion in portions for row in portion] == ["a.pdf"]
