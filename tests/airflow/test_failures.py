from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from claude_batch.failures import airflow_failures
from include.enrichment.errors import ApiError, EnrichmentError, LakeError, SpecError


@pytest.mark.parametrize("error", [LakeError("x"), ApiError("x", retryable=True)])
def test_what_may_pass_is_retried(error: EnrichmentError) -> None:
    with pytest.raises(AirflowException, match="x") as caught, airflow_failures():
        raise error
    assert not isinstance(caught.value, AirflowFailException)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("error", [SpecError("x"), ApiError("x", retryable=False)])
def test_what_a_person_must_mend_is_not_retried(error: EnrichmentError) -> None:
    with pytest.raises(AirflowFailException, match=f"{type(error).__name__}: x"), airflow_failures():
        raise error


def test_what_is_not_ours_is_left_alone() -> None:
    with pytest.raises(ZeroDivisionError), airflow_failures():
        _ = 1 / 0
