"""Every error this project raises on purpose.

EnrichmentError
├── SpecError         fix the repository: a pipeline's YAML, query, prompt or schema
├── PartitionError    fix the run: no partition, or not a date
├── ParamError        fix the run: an unknown param, or an invalid value
├── SetupError        fix the deployment: a connection, a variable, a bucket, a key, a permission
├── WarehouseError    the source could not be read, or its rows cannot be used
├── LakeError         the object store failed
├── ApiError          the API rejected the call or could not be reached; the call cost nothing
│   └── BatchNotFound the API does not know the batch id
├── NotYet            the chunk cannot be sent yet; nothing is wrong, try again later
├── NotSent           this run does not send the chunk; nothing is wrong, the run continues without it
├── BudgetExceeded    the requests could exceed a budget; none were sent
├── BatchError        money is spent or may be; carries the known batch ids
├── LoadError         the results do not reconcile; nothing was published
└── GateFailed        an evaluation is complete, and a variant does not meet its gate

A message gives the fact with its numbers, what is left behind, and the next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime


class EnrichmentError(Exception):
    """
    The base class.

    ``retryable`` says whether the same task may succeed if it runs again. Where it is false, Airflow does not retry.
    """

    retryable = False

    def __init__(self, message: str, *, retryable: bool | None = None) -> None:
        super().__init__(message)
        if retryable is not None:
            self.retryable = retryable


class SpecError(EnrichmentError):
    """A pipeline's folder is wrong. The message has one line per mistake: file, line, fact, closest valid name."""


class PartitionError(EnrichmentError):
    """The run names no partition, or one that is not a date."""


class ParamError(EnrichmentError):
    """The run has an unknown param, or a value that is invalid or not allowed."""


class SetupError(EnrichmentError):
    """A connection, variable, bucket, key or permission is missing or was rejected."""


class WarehouseError(EnrichmentError):
    """The query failed, or its rows break a rule (a null or repeated key)."""


class LakeError(EnrichmentError):
    """The object store failed, or an expected object is missing."""

    retryable = True


class ApiError(EnrichmentError):
    """
    The API rejected a call or could not be reached. The call cost nothing.

    :param retry_after_seconds: the delay that the API requested; None: it requested none
    """

    def __init__(self, message: str, *, retryable: bool, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, retryable=retryable)
        self.retry_after_seconds = retry_after_seconds


class BatchNotFound(ApiError):
    """The API does not know the batch id, for now or in this workspace."""


class NotYet(EnrichmentError):
    """
    A chunk cannot be sent yet. No action is needed except to try again.

    :param again_at: when, UTC
    """

    retryable = True

    def __init__(self, message: str, *, again_at: datetime) -> None:
        super().__init__(message)
        self.again_at = again_at


class NotSent(EnrichmentError):
    """
    This run does not send the chunk: other runs have its requests, or a retry pass has no budget left. Nothing is
    wrong, and the run continues without it.
    """


class BudgetExceeded(EnrichmentError):
    """The requests would cost more than a budget allows, or their cost is unknown."""


class BatchError(EnrichmentError):
    """
    Money is spent or may be.

    :param batch_ids: the affected batches, as far as they are known
    """

    def __init__(self, message: str, *, batch_ids: Sequence[str] = (), retryable: bool = False) -> None:
        super().__init__(message, retryable=retryable)
        self.batch_ids = tuple(batch_ids)


class LoadError(EnrichmentError):
    """Results are incomplete, or do not belong to the requests that were sent. Nothing was published."""


class GateFailed(EnrichmentError):
    """A variant is worse than its gate allows. The evaluation is complete and written."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` with the known name closest to ``name``, ignoring case; empty if none is close."""
    folded: dict[str, str] = {}
    for one in known:
        folded.setdefault(one.casefold(), one)
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""


def nearest_of(name: str, known: Collection[str]) -> str:
    """Return the end of a sentence about an unknown name: the closest known one, then all of them."""
    return f"{nearest(name, known) or '.'} There are: {', '.join(known) or 'none'}"


def sentence(facts: str) -> str:
    """Return the facts with a period, unless nearest() has ended them with a question."""
    return facts if facts.endswith("?") else f"{facts}."
