"""Our errors as Airflow's: retry what may pass, stop at once at what a person has to mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.enrichment.errors import EnrichmentError, NotSent, NotYet

#: Airflow 3.3 can fail a task whose trigger fires before the scheduler has seen the worker's exit (apache/airflow issue
#: 66374): no trigger of ours fires earlier after its start than this.
SOONEST_RESUME = timedelta(seconds=30)


@contextmanager
def airflow_failures() -> Iterator[None]:
    """
    Raises AirflowException for an EnrichmentError that may pass when the task runs again, AirflowFailException (no
    retries) for any other. NotYet and NotSent are no failures and stay what they are.
    """
    try:
        yield
    except (NotYet, NotSent):
        raise
    except EnrichmentError as error:
        raise airflow_failure(error) from None  # our message is whole; a client library's frames would bury it


def airflow_failure(error: EnrichmentError) -> AirflowException:
    """The Airflow exception for ``error``."""
    message = f"{type(error).__name__}: {error}"
    return AirflowException(message) if error.retryable else AirflowFailException(message)
