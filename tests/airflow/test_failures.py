"""failures.py: how our errors end a task and appear in its log."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import structlog
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from structlog.testing import CapturingLogger

from claude_batch.failures import Failed, FailedForNow, airflow_failures, shortest_deferral
from include.enrichment.errors import ApiError, EnrichmentError, LakeError, SpecError


@pytest.mark.parametrize("error", [LakeError("x"), ApiError("x", retryable=True)])
def test_a_transient_error_is_retried(error: EnrichmentError) -> None:
    with pytest.raises(FailedForNow, match="x") as caught, airflow_failures():
        raise error
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("error", [SpecError("x"), ApiError("x", retryable=False)])
def test_an_error_that_needs_a_person_is_not_retried(error: EnrichmentError) -> None:
    with pytest.raises(Failed, match=f"{type(error).__name__}: x") as caught, airflow_failures():
        raise error
    assert isinstance(caught.value, AirflowFailException)


def test_a_foreign_error_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), airflow_failures():
        _ = 1 / 0


def logged(error: Exception) -> dict[str, Any]:
    """Return the log entry that Airflow writes for an exception that ends a task."""
    written = CapturingLogger()
    transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.ExceptionRenderer(transform), structlog.processors.JSONRenderer()],
        wrapper_class=structlog.BoundLogger,
        logger_factory=lambda *_: written,
    )
    try:
        with airflow_failures():
            raise error
    except Exception:  # whatever ended the task, as Airflow's task runner catches it
        structlog.get_logger("task").error("Task failed with exception", exc_info=True)
    finally:
        structlog.configure(**before)
    (call,) = written.calls
    (stack,) = json.loads(call.args[0])["exception"]
    assert isinstance(stack, dict)
    return stack


@pytest.mark.parametrize(
    ("error", "kind"),
    [(SpecError("line 1\nline 2"), "Failed"), (LakeError("line 1\nline 2"), "FailedForNow")],
)
def test_the_log_has_our_message_without_a_stack_trace(error: EnrichmentError, kind: str) -> None:
    stack = logged(error)
    assert (stack["exc_type"], stack["exc_value"]) == (kind, f"{type(error).__name__}: line 1\nline 2")
    assert stack["frames"] == []


def test_an_unexpected_error_is_logged_with_its_stack_trace() -> None:
    stack = logged(ZeroDivisionError("x"))
    assert stack["exc_type"] == "ZeroDivisionError"
    assert stack["frames"]


def test_the_shortest_deferral_is_half_a_minute_or_what_the_environment_says() -> None:
    assert shortest_deferral({}) == timedelta(seconds=30)
    assert shortest_deferral({"ENRICHMENT_SHORTEST_DEFERRAL_SECONDS": "15"}) == timedelta(seconds=15)


@pytest.mark.parametrize("value", ["", "soon", "-1", "1.5"])
def test_an_invalid_shortest_deferral_is_named(value: str) -> None:
    with pytest.raises(ValueError, match=r"ENRICHMENT_SHORTEST_DEFERRAL_SECONDS is .*whole number of seconds"):
        shortest_deferral({"ENRICHMENT_SHORTEST_DEFERRAL_SECONDS": value})
