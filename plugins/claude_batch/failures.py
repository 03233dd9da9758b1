"""Our errors as Airflow's: retry what may pass, stop at once at what a person has to mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.enrichment.errors import EnrichmentError


@contextmanager
def airflow_failures() -> Iterator[None]:
    """
    Raises AirflowException for an EnrichmentError that may pass when the task runs again, AirflowFailException (no
    retries) for any other.
    """
    try:
        yield
    except EnrichmentError as error:
        raise airflow_failure(error) from None  # our message is whole; a client library's frames would bury it


def airflow_failure(error: EnrichmentError) -> AirflowException:
    """The Airflow exception for ``error``."""
    message = f"{type(error).__name__}: {error}"
    return AirflowException(message) if error.retryable else AirflowFailException(message)
