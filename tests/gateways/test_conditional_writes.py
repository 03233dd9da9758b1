"""conditional_writes.py: telling a store with conditional writes from one without."""

from __future__ import annotations

import pytest

from include.enrichment.errors import LakeError, SetupError
from include.gateways.conditional_writes import check_conditional_writes
from include.gateways.lake import Conflict, Lake
from tests.fixtures.s3 import Bucket
from tests.gateways.s3_proxy import on_s3, proxy


def test_a_store_with_conditional_writes_passes_every_check(lake: Lake) -> None:
    for _ in range(3):
        check_conditional_writes(lake)
    assert lake.list("ledger/") == ["ledger/_probe"]
    assert b"may be deleted" in lake.read("ledger/_probe")


def test_the_check_makes_three_calls(s3_bucket: Bucket) -> None:
    with proxy(s3_bucket.endpoint_url) as server:
        check_conditional_writes(on_s3(s3_bucket.uri, server.endpoint))
    assert len(server.calls) == 3


@pytest.mark.parametrize(
    ("handling", "fact"),
    [("ignored", "accepted a second create of the same object"), ("not implemented", "501")],
)
def test_a_store_without_conditional_writes_is_rejected_with_the_remedies(
    s3_bucket: Bucket, handling: str, fact: str
) -> None:
    with proxy(s3_bucket.endpoint_url, handling=handling) as server:
        lake = on_s3(s3_bucket.uri, server.endpoint)
        with pytest.raises(SetupError, match=f"does not support conditional writes: .*{fact}") as caught:
            check_conditional_writes(lake)
    for part in ("both pay", "Nothing was sent", "MinIO", "ENRICHMENT_RUNS_NEVER_RACE=true"):
        assert part in str(caught.value)


def test_a_store_that_checks_only_creates_is_rejected(
    s3_bucket: Bucket,
) -> None:
    with (
        proxy(s3_bucket.endpoint_url, handling="ignored", conditions=["if-match"]) as server,
        pytest.raises(SetupError, match="accepted a replace with a wrong ETag"),
    ):
        check_conditional_writes(on_s3(s3_bucket.uri, server.endpoint))


def test_a_lost_response_during_the_check_does_not_reject_the_store(s3_bucket: Bucket) -> None:
    with proxy(s3_bucket.endpoint_url, handling="responses lost") as server:
        check_conditional_writes(on_s3(s3_bucket.uri, server.endpoint))
    assert "lost" in server.calls


def test_a_check_without_a_connection_can_be_retried() -> None:
    with pytest.raises(LakeError) as caught:
        check_conditional_writes(on_s3("s3://bucket", "http://127.0.0.1:9"))
    assert caught.value.retryable


@pytest.mark.parametrize("handling", ["ignored", "not implemented"])
def test_a_store_without_conditional_writes_is_accepted_if_runs_never_race(s3_bucket: Bucket, handling: str) -> None:
    with proxy(s3_bucket.endpoint_url, handling=handling) as server:
        lake = on_s3(s3_bucket.uri, server.endpoint, runs_never_race=True)
        check_conditional_writes(lake)
        assert server.calls == []
        etag = lake.create("entry", b"1")
        with pytest.raises(Conflict):
            lake.create("entry", b"2")
        newer = lake.replace("entry", b"3", etag=etag)
        with pytest.raises(Conflict):
            lake.replace("entry", b"4", etag=etag)
        assert lake.find("entry") is not None
        lake.replace("entry", b"5", etag=newer)
        assert lake.read("entry") == b"5"
