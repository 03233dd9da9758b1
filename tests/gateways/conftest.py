"""The synchronous client on the emulator, and a lake of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from include.gateways.claude import Claude
from include.gateways.lake import Lake
from tests.fixtures.emulator import Emulator
from tests.fixtures.s3 import Bucket
from tests.gateways.claude_api import client
from tests.gateways.s3_proxy import on_s3


@pytest.fixture
def claude(emulator: Emulator) -> Iterator[Claude]:
    with Claude(client(emulator), name="anthropic_default") as claude:
        yield claude


@pytest.fixture(params=["s3", "s3 with a prefix", "folder"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, s3_bucket: Bucket) -> Lake:
    if request.param == "folder":
        return Lake.in_folder(tmp_path / "lake")
    prefix = "/team/a" if "prefix" in request.param else ""
    return on_s3(s3_bucket.uri + prefix, s3_bucket.endpoint_url)
