from __future__ import annotations

import pytest

from include.enrichment.synchronous.patience import LONGEST_WAIT_SECONDS, TRIES, Failure, failure_of, wait_seconds


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        *((status, None) for status in (200, 400, 401, 403, 404, 413, 422)),
        (429, "refused"),
        *((status, "failed") for status in (409, 500, 503, 529)),
        *((status, "unclear") for status in (408, 499, 502, 504)),
    ],
)
def test_a_status_tells_whether_the_call_may_succeed_later_and_may_have_been_billed(
    status: int, failure: Failure | None
) -> None:
    assert failure_of(status) == failure


def test_the_api_decides_on_the_wait() -> None:
    assert (wait_seconds(1, 7.5), wait_seconds(9, 8)) == (7.5, 8)


def test_a_request_for_no_wait_at_all_is_no_invitation_to_a_storm() -> None:
    assert wait_seconds(1, 0) == 1


def test_without_its_word_each_wait_is_twice_as_long_as_the_one_before() -> None:
    assert [wait_seconds(failures) for failures in range(1, 5)] == [2, 4, 8, 16]


def test_errors_of_the_api_are_given_up_before_a_wait_is_too_long_for_a_task() -> None:
    assert wait_seconds(TRIES - 1) < LONGEST_WAIT_SECONDS
