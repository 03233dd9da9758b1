"""The synchronous client on the emulator, for the tests of both clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.gateways.claude import Claude
from tests.fixtures.emulator import Emulator
from tests.gateways.claude_api import client


@pytest.fixture
def claude(emulator: Emulator) -> Iterator[Claude]:
    with Claude(client(emulator), name="anthropic_default") as claude:
        yield claude
