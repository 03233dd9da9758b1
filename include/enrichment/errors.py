"""Every error this project raises on purpose.

EnrichmentError
├── SpecError         fix the repository: a pipeline's YAML, query, prompt or schema
├── PartitionError    fix the run: no partition, or not a date
├── ParamError        fix the run: a param that is not known, or that cannot be what it is
├── SetupError        fix the deployment: a connection, a variable, a bucket, a key, a permission
├── WarehouseError    the source could not be read, or what it gave cannot be used
├── LakeError         the object store did not answer as it must
├── ApiError          the API refused or could not be reached; nothing was spent by this call
│   └── BatchNotFound the API does not know the batch id
├── NotYet            the chunk cannot be sent now; nothing is wrong, come back later
├── NotSent           the chunk is not sent by this run; nothing is wrong, the run goes on without it
├── BudgetExceeded    what is to be sent could exceed a budget; nothing of it was sent
├── BatchError        money is spent or may be; carries the batch ids that are known
└── LoadError         results do not reconcile; nothing was published

A message says the fact with its numbers, what is left behind, and the next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from datetime import datetime


class EnrichmentError(Exception):
    """
    The base of all of them.

    ``retryable`` says whether the same task may succeed when it simply runs again; Airflow is told to stop retrying
    where it is false.
    """

    retryable = False

    def __init__(self, message: str, *, retryable: bool | None = None) -> None:
        super().__init__(message)
        if retryable is not None:
            self.retryable = retryable


class SpecError(EnrichmentError):
    """A pipeline's folder is wrong. The message has one line for each mistake: file, line, fact, nearest valid name."""


class PartitionError(EnrichmentError):
    """The run names no partition, or one that is not a date."""


class ParamError(EnrichmentError):
    """The run has a param that is not known, or a value that cannot be or cannot be met."""


class SetupError(EnrichmentError):
    """A connection, variable, bucket, key or permission is missing or refused."""


class WarehouseError(EnrichmentError):
    """The query failed, or its rows break a rule (a key that is null or repeated)."""


class LakeError(EnrichmentError):
    """The object store failed, or an object that must be there is not."""

    retryable = True


class ApiError(EnrichmentError):
    """
    The API refused a call or could not be reached; this call has cost nothing.

    :param retry_after_seconds: what the API asked for, None where it asked for nothing
    """

    def __init__(self, message: str, *, retryable: bool, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, retryable=retryable)
        self.retry_after_seconds = retry_after_seconds


class BatchNotFound(ApiError):
    """The API does not know the batch id, for now or in this workspace."""


class NotYet(EnrichmentError):
    """
    A chunk cannot be sent now, and nobody has to do anything about it but come back.

    :param again_at: when, UTC
    """

    retryable = True

    def __init__(self, message: str, *, again_at: datetime) -> None:
        super().__init__(message)
        self.again_at = again_at


class NotSent(EnrichmentError):
    """
    This run does not send the chunk: other runs have its requests, or a retry pass has no budget left for it. Nothing
    is wrong, and the run goes on without it.
    """


class BudgetExceeded(EnrichmentError):
    """What is to be sent would cost more than a budget allows, or nobody can tell what it costs."""


class BatchError(EnrichmentError):
    """
    Money is spent or may be.

    :param batch_ids: the batches concerned, as far as they are known
    """

    def __init__(self, message: str, *, batch_ids: Sequence[str] = (), retryable: bool = False) -> None:
        super().__init__(message, retryable=retryable)
        self.batch_ids = tuple(batch_ids)


class LoadError(EnrichmentError):
    """Results are not complete, or do not belong to what was sent. Nothing of them became visible."""


def nearest(name: str, known: Iterable[str]) -> str:
    """
    What a message says after a wrong name: the known one that is nearest to it, in whatever case, nothing if none is.
    """
    folded: dict[str, str] = {}
    for one in known:
        folded.setdefault(one.casefold(), one)
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""
