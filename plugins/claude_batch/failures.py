"""
Translate our errors into Airflow's: retry transient errors, fail at once if a person has to act, and come back later if
nothing is wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, Protocol

import structlog
from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRescheduleException

from include.enrichment.errors import EnrichmentError, NotSent, NotYet


def shortest_deferral(environment: Mapping[str, str]) -> timedelta:
    """
    Return how long a deferred task waits at least: ENRICHMENT_SHORTEST_DEFERRAL_SECONDS, by default 30.

    Airflow 3.3 can fail a task whose trigger fires before the scheduler has seen the worker's exit (apache/airflow
    issue 66374). Raises ValueError for a value that is not a number of seconds.
    """
    text = environment.get(_VARIABLE, "30")
    if not text.isdecimal():
        raise ValueError(f"{_VARIABLE} is {text!r}: it must be a whole number of seconds (default: 30).")
    return timedelta(seconds=int(text))


_VARIABLE = "ENRICHMENT_SHORTEST_DEFERRAL_SECONDS"
SHORTEST_DEFERRAL = shortest_deferral(os.environ)
#: The XCom key under which a failing task stores the first line of its error.
REASON = "reason"


class Failed(AirflowFailException):
    """The task has failed and is not retried. The message is complete, so the log omits the stack trace."""


class FailedForNow(AirflowException):
    """This try has failed, and the next one may succeed. The message is complete here too."""


@contextmanager
def airflow_failures() -> Iterator[None]:
    """
    Raise FailedForNow for a retryable EnrichmentError, Failed (no retries) for any other EnrichmentError.

    NotYet and NotSent are not failures and pass through.
    """
    try:
        yield
    except (NotYet, NotSent):
        raise
    except EnrichmentError as error:
        raise airflow_failure(error) from None  # a client library's stack trace would bury our message


def airflow_failure(error: EnrichmentError) -> Failed | FailedForNow:
    """Return the Airflow exception for ``error``, and store its first line in XCom."""
    _hide_frames()
    message = f"{type(error).__name__}: {error}"
    with suppress(RuntimeError):  # no task is running
        get_current_context()["ti"].xcom_push(key=REASON, value=message.partition("\n")[0])
    return FailedForNow(message) if error.retryable else Failed(message)


class MayWait(Protocol):
    """
    A task that can free its worker.

    :param deferrable: wait in the triggerer. False: reschedule the task
    """

    deferrable: bool

    def defer(self, *, trigger: Any, method_name: str) -> NoReturn:
        """Wait in the triggerer, as every operator can."""


def leave_worker(task: MayWait, *, until: datetime) -> NoReturn:
    """
    Free the worker until ``until``, or for SHORTEST_DEFERRAL if that is later.

    Airflow then calls ``resume()``, or ``execute()`` again if the task is not deferrable.
    """
    moment = max(until, datetime.now(UTC) + SHORTEST_DEFERRAL)
    if not task.deferrable:
        raise AirflowRescheduleException(moment) from None  # type: ignore[no-untyped-call]  # not annotated
    task.defer(trigger=DateTimeTrigger(moment=moment), method_name="resume")


def _hide_frames() -> None:
    """
    Make this process log Failed and FailedForNow without a stack trace.

    Airflow logs the stack trace of every exception that ends a task and has no setting for it.
    """
    processors = structlog.get_config()["processors"]
    if _without_frames not in processors:
        processors.insert(0, _without_frames)  # in place: Airflow's loggers have this list


def _without_frames(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = sys.exception()
    if event.get("exc_info") and isinstance(error, Failed | FailedForNow):
        event["exc_info"] = (type(error), error, None)
    return event
