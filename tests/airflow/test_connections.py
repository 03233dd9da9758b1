from __future__ import annotations

from pathlib import Path

import pytest

from claude_batch.claude_connection import open_claude
from claude_batch.connections import open_lake, open_warehouse
from include.enrichment.errors import SetupError
from tests.fixtures.flow import DAY


def test_a_complete_set_of_connections_opens(connections: pytest.MonkeyPatch) -> None:
    open_lake("aws_default").check()
    with open_claude("anthropic_default") as claude:
        assert claude.model("claude-haiku-5-5") is not None
    with open_warehouse("warehouse").read("select 1 as a where :partition_start", DAY) as (columns, _):
        assert columns == ["a"]


def test_a_folder_is_a_lake_for_development(connections: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connections.setenv("ENRICHMENT_LAKE", str(tmp_path / "folder lake"))
    open_lake("aws_default").write("a", b"1")
    assert (tmp_path / "folder lake" / "a").read_bytes() == b"1"


@pytest.mark.parametrize("text", ["True", "1", "yes", "", "no"])
def test_whether_runs_race_is_true_or_false_and_nothing_else(connections: pytest.MonkeyPatch, text: str) -> None:
    connections.setenv("ENRICHMENT_RUNS_NEVER_RACE", text)
    with pytest.raises(SetupError, match=r"ENRICHMENT_RUNS_NEVER_RACE is .*true or false.*Nothing was read or sent"):
        open_lake("aws_default")


@pytest.mark.parametrize("text", [None, "false"])
def test_a_lake_has_to_prove_its_conditional_writes_unless_runs_never_race(
    connections: pytest.MonkeyPatch, text: str | None
) -> None:
    connections.setenv("ENRICHMENT_LAKE", "s3://no-such-bucket")
    if text:
        connections.setenv("ENRICHMENT_RUNS_NEVER_RACE", text)
    with pytest.raises(SetupError, match="no-such-bucket"):
        open_lake("aws_default").check_conditional_writes()
    connections.setenv("ENRICHMENT_RUNS_NEVER_RACE", "true")
    open_lake("aws_default").check_conditional_writes()


@pytest.mark.parametrize("uri", ["", "gs://bucket", "s3://", "ftp://x/y", "my-bucket/enrichment", "~/lake"])
def test_a_lake_that_is_none_is_told_with_an_example(connections: pytest.MonkeyPatch, uri: str) -> None:
    connections.setenv("ENRICHMENT_LAKE", uri)
    with pytest.raises(SetupError, match=r"ENRICHMENT_LAKE is .*s3://"):
        open_lake("aws_default")


def test_an_aws_connection_without_credentials_is_named(connections: pytest.MonkeyPatch) -> None:
    connections.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(SetupError, match=r"'unknown_aws' gives no credentials.*AIRFLOW_CONN_UNKNOWN_AWS"):
        open_lake("unknown_aws")


@pytest.mark.parametrize(
    ("connection", "fact"),
    [
        (None, "isn't defined"),
        ("anthropic://k", "is no database"),
        ("nosuchtype://x", "[Uu]nknown hook type"),
    ],
)
def test_a_warehouse_that_is_none_is_told(connections: pytest.MonkeyPatch, connection: str | None, fact: str) -> None:
    if connection is None:
        connections.delenv("AIRFLOW_CONN_WAREHOUSE")
    else:
        connections.setenv("AIRFLOW_CONN_WAREHOUSE", connection)
    with pytest.raises(SetupError, match=fact):
        open_warehouse("warehouse")
