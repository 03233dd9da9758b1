"""reject_messages.py: rejected rows, in words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from include.enrichment.answers.manifest import Manifest
from include.enrichment.answers.reject_messages import (
    UNSENDABLE,
    Reasons,
    Rejected,
    describe_load,
    describe_publication,
    describe_too_many,
)
from include.enrichment.cost.bounds import Bounds, Usd
from include.enrichment.cost.estimate import Estimate
from tests.fixtures.manifests import make_manifest


def estimate(usd: str) -> Estimate:
    bounds = Bounds(low=1, expected=1, high=1)
    cost = Usd(low=Decimal(0), expected=Decimal(usd), high=Decimal(9))
    return Estimate(
        requests=100,
        bytes=1,
        input_tokens=bounds,
        output_tokens=bounds,
        cost_usd=cost,
        synchronous_usd=None,
        sources="guesses",
    )


def rejected(**outcomes: int) -> Rejected:
    found = Rejected()
    for outcome, count in outcomes.items():
        for number in range(count):
            found.add(f"{outcome}-{number}", outcome, f"why {outcome}")
    return found


def manifest(outcomes: dict[str, int], **changes: Any) -> Manifest:
    costs = {"cost_usd": Decimal("0.5"), "partition_cost_usd": Decimal("0.9")}
    return make_manifest(published=100 - sum(outcomes.values()), rejected_by=outcomes, **costs | changes)


def message(
    outcomes: dict[str, int],
    *,
    again: int = 0,
    unbilled: int = 0,
    retry_passes: int = 1,
    left_out: str = "",
    **changes: object,
) -> str:
    return describe_too_many(
        manifest(outcomes, **changes),
        rejected(**outcomes),
        again=again,
        unbilled=unbilled,
        retry_passes=retry_passes,
        most=0.02,
        rejects="s3://l/own",
        left_out=left_out,
    )


def test_the_message_has_numbers_leftovers_and_next_steps() -> None:
    assert message({"expired": 5, "invalid": 3, UNSENDABLE: 2}, again=8, unbilled=5).splitlines() == [
        "10 of 100 rows of partition 2026-11-01 were rejected (5 expired, 3 invalid, 2 unsendable);"
        " limits.max_reject_ratio allows 2 %.",
        "Most common reasons:",
        "  why expired (5)",
        "  why invalid (3)",
        "  why unsendable (2)",
        "Nothing was published, and the table is unchanged. All answers are kept; the rejects are at s3://l/own",
        "Trigger the day again with Only the rejects (`only_rejects`; make run: ONLY_REJECTS=1): it sends only"
        " 8 requests, for about $0.0758.",
        "Or change the pipeline, then clear `extract` with downstream, or start a new run. A changed prompt, schema,"
        " max_tokens or query sends only the requests that it changes, and they are billed. A higher"
        " limits.max_reject_ratio publishes without the rejects.",
    ]


def test_failed_checks_are_counted_the_most_frequent_first_and_may_be_loosened_for_nothing() -> None:
    checks: dict[str, Any] = {"failed_checks": {"short": 2, "sku": 9}, "warned_checks": {"tone": 4}}
    lines = message({"invalid": 10}, **checks).splitlines()
    assert lines[0].startswith(
        "10 of 100 rows of partition 2026-11-01 were rejected (10 invalid; failed checks: sku (9), short (2)); limits."
    )
    assert lines[-1].startswith(
        "Change the pipeline, then clear `extract` with downstream, or start a new run. If a check is too strict,"
        " loosen it in tickets/checks.yaml: the paid answers are judged again for $0, and only those that still fail"
        " are repaired. A changed"
    )
    assert len(lines) == 6
    described = describe_publication(
        manifest({"invalid": 10}, **checks), Rejected(), rejects="s3://l/r", published=True
    )
    assert "\nFailed checks: sku (9), short (2)\nWarnings of checks: tone (4)\n" in described


def test_failed_checks_say_that_they_count_rows_that_were_not_kept_too() -> None:
    of_kept: dict[str, Any] = {"failed_checks": {"short": 142}, "rows": 230, "not_kept": 130, "samples": "s3://l/s"}
    assert "(10 invalid; failed checks, also of rows not kept: short (142)); limits." in message(
        {"invalid": 10}, **of_kept
    )
    described = describe_publication(manifest({"invalid": 10}, **of_kept), Rejected(), rejects="r", published=True)
    assert "\nFailed checks, also of rows not kept: short (142)\n" in described


def test_one_row_and_one_request_are_singular() -> None:
    lines = message({"invalid": 1}, again=1).splitlines()
    assert lines[0].startswith("1 of 100 rows of partition 2026-11-01 was rejected (1 invalid);")
    assert "it sends only 1 request, for" in lines[4]


def test_requests_that_a_budget_left_out_follow_the_reasons() -> None:
    lines = message({"expired": 5}, again=5, left_out="7 requests were not sent again.").splitlines()
    assert lines[1:4] == ["Most common reasons:", "  why expired (5)", "7 requests were not sent again."]


def test_only_rejects_is_not_suggested_if_nothing_can_be_sent_again() -> None:
    lines = message({"invalid": 12}).splitlines()
    assert "only_rejects" not in "".join(lines)
    assert lines[-2].endswith("would send nothing: the same requests would not succeed.")
    assert lines[-1].startswith("Change the pipeline")


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        ("invalid", "limits.retry_passes is 0, so invalid answers are not repaired."),
        (UNSENDABLE, "the same requests would not succeed."),
    ],
)
def test_without_a_retry_pass_that_is_why_a_run_of_the_rejects_sends_nothing(outcome: str, why: str) -> None:
    assert message({outcome: 12}, retry_passes=0).splitlines()[-2].endswith(f"would send nothing: {why}")


@pytest.mark.parametrize(
    ("cost", "unbilled", "estimates", "expected"),
    [
        ("0.9", 10, {}, "for about $0.1000."),
        ("0", 100, {"main": estimate("0.5")}, "for about $0.0500."),
        (None, 100, {"main": estimate("0.5")}, "for about $0.0500."),
        (None, 100, {}, "for an unknown amount."),
    ],
)
def test_the_cost_is_the_average_of_the_others_or_the_estimate(
    cost: str | None, unbilled: int, estimates: dict[str, Estimate], expected: str
) -> None:
    usd = None if cost is None else Decimal(cost)
    found = message({"expired": 10}, again=10, unbilled=unbilled, partition_cost_usd=usd, estimates=estimates)
    assert expected in found


def test_a_published_partition_is_described_one_fact_per_line() -> None:
    outcomes = {"errored": 1, "invalid": 6}
    found = describe_publication(manifest(outcomes), rejected(**outcomes), rejects="s3://l/r", published=True)
    assert found.splitlines() == [
        "Partition 2026-11-01 of tickets is published.",
        "100 rows read",
        "93 published",
        "7 rejected: 1 errored, 6 invalid",
        "  errored-0: errored, why errored",
        *(f"  invalid-{number}: invalid, why invalid" for number in range(4)),
        "  and 2 more",
        "Cost of this run: $0.5000 (expected $0)",
        "Cost of these rows in all runs: $0.9000",
        "Table: s3://l/table",
        "Rejects: s3://l/r",
    ]


def test_rows_that_were_not_kept_are_counted_and_located() -> None:
    kept = manifest({}).model_copy(update={"rows": 200, "not_kept": 100, "samples": "s3://l/s"})
    lines = describe_publication(kept, Rejected(), rejects="s3://l/r", published=True).splitlines()
    assert lines[1:5] == [
        "200 rows read",
        "100 published",
        "100 not kept: a better answer was published for the same row",
        "0 rejected",
    ]
    assert lines[-1] == "Samples: s3://l/s"
    unpublished = describe_publication(kept, Rejected(), rejects="s3://l/r", published=False)
    assert "\n100 not kept: a better answer was found for the same row\n" in unpublished


def test_an_unpublished_partition_names_no_table() -> None:
    lines = describe_publication(manifest({"invalid": 1}), rejected(invalid=1), rejects="s3://l/own", published=False)
    assert lines.startswith("Partition 2026-11-01 of tickets is not published.\n100 rows read\n99 with a usable answer")
    assert "Table:" not in lines
    assert "Rejects: s3://l/own" in lines


def test_emulated_answers_are_marked_as_simulated() -> None:
    found = describe_publication(
        manifest({}, batches=["msgbatch_simulated_1"]), Rejected(), rejects="s3://l/r", published=True
    )
    assert "$0.5000 (expected $0); simulated, not billed\n" in found


def test_a_batch_is_described_by_its_outcomes_and_sample_failures() -> None:
    assert describe_load("msgbatch_1", {"succeeded": 114, "invalid": 6}, rejected(invalid=6)).splitlines() == [
        "Batch msgbatch_1: 120 requests: 6 invalid, 114 succeeded.",
        "Without a usable answer:",
        *(f"  invalid-{number}: invalid, why invalid" for number in range(5)),
        "  and 1 more",
        "Most common reasons:",
        "  why invalid (6)",
    ]
    assert describe_load("msgbatch_1", {"succeeded": 114}, Rejected()) == (
        "Batch msgbatch_1: 114 requests: 114 succeeded."
    )


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (f"one\n two {'three ' * 99}", f"one two{' three' * 38} …"),
        ("x" * 500, f"{'x' * 240} …"),
        ("x" * 240, "x" * 240),
    ],
)
def test_a_reason_is_one_line_and_is_cut_after_a_word(reason: str, shown: str) -> None:
    found = Rejected()
    found.add("A", "invalid", reason)
    assert found.sample_lines() == [f"  A: invalid, {shown}"]


def counted(*reasons: str) -> list[str]:
    found = Reasons()
    for reason in reasons:
        found.add(reason)
    return found.most_common()


def test_reasons_that_differ_only_in_a_position_count_as_one_even_where_they_are_cut() -> None:
    assert counted(*(f"not JSON: {'x' * 225} (byte {number})" for number in (231, 186))) == [
        f"not JSON: {'x' * 225} (2)"
    ]


def test_answers_that_fail_the_same_check_count_as_one_reason_with_an_example() -> None:
    assert counted(
        "check length: Write about 60 words (65)", "refused", "check length: Write about 60 words (68); check tone: bad"
    ) == ["check length (2), for example: Write about 60 words (65)", "refused (1)"]


def test_the_outcome_before_a_check_is_part_of_its_reason() -> None:
    assert counted("invalid, check short: 9 words", "invalid, check short: 8 words") == [
        "invalid, check short (2), for example: 9 words"
    ]


def test_the_number_of_reasons_that_are_not_listed_is_given() -> None:
    assert counted(*"aaabbcde") == ["a (3)", "b (2)", "c (1)", "others (2)"]
