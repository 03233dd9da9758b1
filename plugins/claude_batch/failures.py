"""Our errors as Airflow's: retry what may pass, stop at once at what a person has to mend."""

from __future__ import annotations

import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import structlog
from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.enrichment.errors import EnrichmentError, NotSent, NotYet

#: Airflow 3.3 can fail a task whose trigger fires before the scheduler has seen the worker's exit (apache/airflow issue
#: 66374): no trigger of ours fires earlier after its start than this.
SOONEST_RESUME = timedelta(seconds=30)
#: Under this key a task that fails leaves the first line of why in XCom.
REASON = "reason"


class Failed(AirflowFailException):
    """The task has failed, and is not tried again. Its message is whole: the log shows it without frames."""


class FailedForNow(AirflowException):
    """This try of the task has failed, and the next may succeed. Its message is whole as well."""


@contextmanager
def airflow_failures() -> Iterator[None]:
    """
    Raises FailedForNow for an EnrichmentError that may pass when the task runs again, Failed (no retries) for any
    other. NotYet and NotSent are no failures and stay what they are.
    """
    try:
        yield
    except (NotYet, NotSent):
        raise
    except EnrichmentError as error:
        raise airflow_failure(error) from None  # our message is whole; a client library's frames would bury it


def airflow_failure(error: EnrichmentError) -> Failed | FailedForNow:
    """The Airflow exception for ``error``."""
    _hide_frames()
    message = f"{type(error).__name__}: {error}"
    with suppress(RuntimeError):  # no task is running
        get_current_context()["ti"].xcom_push(key=REASON, value=message.partition("\n")[0])
    return FailedForNow(message) if error.retryable else Failed(message)


def _hide_frames() -> None:
    """
    Let this process log Failed and FailedForNow without frames. Airflow logs those of every exception that ends a task,
    and has no setting against it.
    """
    processors = structlog.get_config()["processors"]
    if _without_frames not in processors:
        processors.insert(0, _without_frames)  # in place: Airflow's loggers have this list


def _without_frames(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = sys.exception()
    if event.get("exc_info") and isinstance(error, Failed | FailedForNow):
        event["exc_info"] = (type(error), error, None)
    return event
