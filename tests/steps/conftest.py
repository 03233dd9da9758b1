"""The fixtures that several tests of the steps share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from include.enrichment.batches import submission
from tests.fixtures.flow import Flow, write_tickets
from tests.fixtures.loading import Submitted, submit_all


@pytest.fixture
def chunk(flow: Flow) -> str:
    flow.extract()
    (key,) = flow.plan()
    return key


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes minutes in production is over at once."""
    monkeypatch.setattr(submission, "LISTING_LAG", timedelta(0))
    monkeypatch.setattr(submission, "CREATE_WINDOW", timedelta(0))


@pytest.fixture
def within_create(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Lets something happen within the next create, after the API has made the batch."""
    create = type(flow.claude).create

    def arrange(meanwhile: Callable[[], object]) -> None:
        def slow_create(*arguments: object, **options: object) -> str:
            monkeypatch.setattr(type(flow.claude), "create", create)
            batch_id = create(*arguments, **options)  # type: ignore[arg-type]
            meanwhile()
            return batch_id

        monkeypatch.setattr(type(flow.claude), "create", slow_create)

    return arrange


@pytest.fixture
def submitted(flow: Flow) -> Submitted:
    """The chunk's key and its batch: twenty tickets."""
    write_tickets(flow.database, [(f"N{number}", f"Ticket {number}") for number in range(17)])
    return submit_all(flow)
