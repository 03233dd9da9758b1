"""Checks through a whole run: at publish, before the retry pass, and after a change of checks.yaml."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.manifest import Manifest
from include.enrichment.errors import BatchError, LoadError, SpecError
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline_folder import load_pipeline
from tests.fixtures.flow import FILES, ROWS, Flow, write_pipeline, write_tickets

pytestmark = pytest.mark.usefixtures("flow")

BILLING = "- {name: only_billing, field: topic, pattern: '^billing$', message: Only billing is allowed.}\n"
MANY = [(f"N{number}", f"Ticket {number}") for number in range(17)]


def checked(flow: Flow, folder: Path, checks: str | None, *, limits: str = "max_reject_ratio: 1") -> None:
    """The pipeline with this checks.yaml and these limits, in its next run."""
    changes = {} if checks is None else {"checks_yaml": checks}
    yaml = f"{FILES['pipeline.yaml']}limits: {{{limits}}}\n"
    flow.pipeline = load_pipeline(write_pipeline(folder / "tickets", pipeline_yaml=yaml, **changes))
    number = int(flow.folder.run_id.rpartition("_")[2]) + 1
    flow.folder = flow.run(f"manual__{number}")


def topics(flow: Flow) -> dict[str, str]:
    """The published topic of each ticket."""
    return dict(zip(*(flow.published()[name].to_pylist() for name in ("ticket", "topic")), strict=True))


def run_without_repairs(flow: Flow) -> Manifest:
    return flow.run_all("main")


def test_an_answer_that_fails_a_check_is_a_reject_with_its_text_and_the_reason(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, MANY)
    checked(flow, tmp_path / "1", BILLING)
    manifest = run_without_repairs(flow)
    rejects = flow.rejected().to_pylist()
    assert set(topics(flow).values()) == {"billing"}
    assert manifest.rows == 20
    assert manifest.failed_checks == {"only_billing": len(rejects)}
    assert manifest.rejected_by == {"invalid": len(rejects)}
    assert 0 < len(rejects) < 20
    for reject in rejects:
        assert reject["reason"] == ("check only_billing: Only billing is allowed. (topic does not match '^billing$')")
        assert json.loads(reject["text"])["topic"] != "billing"
        assert reject["_cost_usd"] > 0


def test_a_changed_check_judges_paid_answers_again_without_a_request(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, MANY)
    checked(flow, tmp_path / "1", BILLING, limits="max_reject_ratio: 1, retry_passes: 0")
    first = run_without_repairs(flow)
    rejected = {row["ticket"] for row in flow.rejected().to_pylist()}
    sent = flow.requests_sent()
    checked(flow, tmp_path / "2", BILLING.replace("billing$", "bug$"), limits="max_reject_ratio: 1, retry_passes: 0")
    second = run_without_repairs(flow)
    assert set(topics(flow).values()) == {"bug"}
    assert {row["ticket"] for row in flow.rejected().to_pylist()} != rejected
    assert second.rejected + second.published == first.rejected + first.published
    checked(flow, tmp_path / "3", None)
    assert flow.run_all().rejected == 0
    assert flow.requests_sent() == sent
    assert flow.published().num_rows == 20


def test_an_answer_that_fails_a_check_is_repaired_with_its_message(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, MANY)
    checked(flow, tmp_path / "1", BILLING)
    flow.extract()
    flow.send("main")
    without_repairs = flow.publish().rejected
    (chunk,) = flow.plan("retry")
    requests = pq.read_table(pa.BufferReader(flow.lake.read(chunk)), columns=["params"])["params"].to_pylist()
    repairs = [json.loads(params)["messages"] for params in requests]
    assert len(repairs) == without_repairs
    assert all("check only_billing: Only billing is allowed." in messages[2]["content"] for messages in repairs)
    assert all(json.loads(messages[1]["content"])["topic"] != "billing" for messages in repairs)
    assert flow.load(chunk) == {"succeeded": without_repairs}
    flow.plan("retry")
    assert flow.publish().rejected < without_repairs


def test_a_second_run_finds_the_repairs_and_publishes_the_same(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, MANY)
    checked(flow, tmp_path / "1", BILLING)
    first = flow.run_all("main", "retry")
    before, sent = flow.published(), flow.requests_sent()
    checked(flow, tmp_path / "2", BILLING)
    second = flow.run_all("canary", "main", "retry")
    assert flow.requests_sent() == sent
    assert flow.published() == before
    assert second.rejected == first.rejected


def test_without_the_check_the_first_answers_count_again_and_not_their_repairs(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, MANY)
    checked(flow, tmp_path / "1", None)
    run_without_repairs(flow)
    first = topics(flow)
    checked(flow, tmp_path / "2", BILLING)
    flow.run_all("main", "retry")
    assert topics(flow) != first
    checked(flow, tmp_path / "3", None)
    flow.run_all("main", "retry")
    assert topics(flow) == first


def test_rows_with_the_same_request_are_each_judged_by_their_own_columns(flow: Flow, tmp_path: Path) -> None:
    """Both share a prompt; what the check requires comes from the key, which the prompt does not have."""
    write_tickets(flow.database, [("true", "Hello"), ("false", "Hello")])
    checks = "- {name: same, sql: 'output.urgent = source.ticket', columns: {ticket: boolean}}\n"
    checked(flow, tmp_path / "1", checks)
    flow.database = write_tickets(tmp_path / "two.db", [("true", "Hello"), ("false", "Hello")])
    manifest = run_without_repairs(flow)
    assert (manifest.requests, manifest.published, manifest.rejected) == (1, 1, 1)
    assert flow.send("retry") == {"succeeded": 1}


def twins(flow: Flow, folder: Path, *, only_rejects: bool = False) -> None:
    """Rows in pairs: two share a request, and the check wants the opposite of each."""
    names = [f"{wanted} {number}" for number in range(8) for wanted in ("true", "false")]
    folder.mkdir()
    flow.database = write_tickets(folder / "twins.db", [(name, f"Ticket {name[-1]}") for name in names])
    wanted = "output.urgent = (source.ticket like 'true%')"
    checked(flow, folder, f"- {{name: as_wanted, sql: {json.dumps(wanted)}, columns: {{ticket: varchar}}}}\n")
    flow.pipeline = flow.pipeline.for_run(RunOptions(only_rejects=only_rejects))


def test_the_repair_for_one_row_does_not_take_the_passing_answer_of_another(flow: Flow, tmp_path: Path) -> None:
    twins(flow, tmp_path / "1")
    flow.extract()
    flow.send("main")
    first = flow.publish()
    before = {row["ticket"]: row["urgent"] for row in flow.published().to_pylist()}
    assert (first.requests, first.published, first.rejected) == (8, 8, 8)
    assert flow.send("retry") == {"succeeded": 8}
    second = flow.publish()
    after = {row["ticket"]: row["urgent"] for row in flow.published().to_pylist()}
    assert after.items() >= before.items()
    assert all(urgent == ticket.startswith("true") for ticket, urgent in after.items())
    assert second.published > 8, "some repairs pass for the other row"
    assert second.failed_checks == {"as_wanted": second.rejected}
    assert second.partition_cost_usd == second.cost_usd


def test_a_request_is_repaired_again_only_while_none_of_its_answers_passes_for_a_row(
    flow: Flow, tmp_path: Path
) -> None:
    twins(flow, tmp_path / "1")
    first = flow.run_all("main", "retry")
    sent = flow.requests_sent()
    assert 0 < first.rejected < 8
    twins(flow, tmp_path / "2")
    assert flow.run_all("main", "retry").rejected == first.rejected
    assert flow.requests_sent() == sent
    twins(flow, tmp_path / "3", only_rejects=True)
    third = flow.run_all("main", "retry")
    assert flow.requests_sent() == sent + first.rejected
    assert third.rejected <= first.rejected


def test_a_check_that_warns_publishes_the_row_with_its_name(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, MANY)
    checked(flow, tmp_path / "1", f"{BILLING.rstrip()[:-1]}, warn: true}}\n")
    manifest = flow.run_all("main", "retry")
    table = flow.published()
    warned = [row for row in table.to_pylist() if row["topic"] != "billing"]
    assert [row["_warnings"] for row in warned] == [["only_billing"]] * len(warned)
    assert all(row["_warnings"] == [] for row in table.to_pylist() if row["topic"] == "billing")
    assert manifest.warned_checks == {"only_billing": len(warned)}
    assert (manifest.published, manifest.rejected, manifest.failed_checks) == (20, 0, {})
    assert flow.requests_sent() == 20
    assert manifest.columns["_warnings"] == "list<item: string>"


def test_without_a_check_that_warns_the_table_has_no_column_of_warnings(flow: Flow, tmp_path: Path) -> None:
    checked(flow, tmp_path / "1", None)
    run_without_repairs(flow)
    columns = flow.published().column_names
    checked(flow, tmp_path / "2", BILLING)
    run_without_repairs(flow)
    assert flow.published().column_names == columns
    assert not {"_warnings", "_checked"} & set(columns)


def test_the_log_counts_rows_by_check(flow: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    checked(flow, tmp_path / "1", "- {name: never, field: topic, characters: {max: 1}}\n")
    run_without_repairs(flow)
    assert "Failed checks: never (3)" in caplog.text


def test_a_canary_whose_answers_all_fail_a_check_stops_the_run(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, MANY)
    checked(flow, tmp_path / "1", "- {name: never, field: topic, characters: {max: 1}}\n")
    flow.extract()
    flow.send("canary")
    with pytest.raises(
        BatchError, match=r"5 requests .* \(failed checks: never \(5\)\): invalid, check never \(5\), .*: topic"
    ):
        flow.plan("main")


def test_an_unknown_column_stops_extract_with_the_checks_line(flow: Flow, tmp_path: Path) -> None:
    checked(flow, tmp_path / "1", "- name: sku\n  field: topic\n  must_contain: ['{{ boddy }}']\n")
    with pytest.raises(SpecError, match=r"tickets/checks.yaml:3: the query has no column 'boddy'; did you mean 'body'"):
        flow.extract()
    assert flow.requests_sent() == 0


def test_a_template_that_fails_on_a_row_names_the_row(flow: Flow, tmp_path: Path) -> None:
    checked(flow, tmp_path / "1", "- {name: sku, field: topic, must_contain: ['{{ body / 2 }}']}\n")
    with pytest.raises(SpecError, match=r"tickets/checks.yaml:1: cannot be rendered.*The row: ticket='T1'"):
        flow.extract()


def test_checks_do_not_change_the_requests(flow: Flow, tmp_path: Path) -> None:
    checked(flow, tmp_path / "1", None)
    flow.extract()
    before: list[Any] = flow.plan("main")
    checked(flow, tmp_path / "2", f"{BILLING}- {{name: n, field: topic, numbers_from: row}}\n")
    flow.extract()
    assert flow.plan("main") == before


def test_a_run_of_only_the_rejects_repairs_the_repairs_that_fail(flow: Flow, tmp_path: Path) -> None:
    never = "- {name: never, field: topic, characters: {max: 1}}\n"
    checked(flow, tmp_path / "1", never)
    assert flow.run_all("main", "retry").rejected == 3
    assert flow.requests_sent() == 6
    checked(flow, tmp_path / "2", never)
    flow.pipeline = flow.pipeline.for_run(RunOptions(only_rejects=True))
    assert flow.run_all("main", "retry").rejected == 3
    assert flow.requests_sent() == 9


def test_a_failed_publish_names_the_checks_and_what_another_run_sends(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, MANY)
    checked(flow, tmp_path / "1", BILLING, limits="max_reject_ratio: 0")
    with pytest.raises(LoadError) as caught:
        run_without_repairs(flow)
    rejected = pq.read_metadata(pa.BufferReader(flow.lake.read(flow.folder.rejects))).num_rows
    assert f"({rejected} invalid; failed checks: only_billing ({rejected}))" in str(caught.value)
    assert f"it sends only {rejected} requests" in str(caught.value)


def test_a_text_without_a_schema_is_judged_in_its_column(flow: Flow, tmp_path: Path) -> None:
    checked(flow, tmp_path / "1", None)
    folder = tmp_path / "1" / "tickets"
    (folder / "output.schema.json").unlink()
    (folder / "checks.yaml").write_text(
        "- {name: never, field: text, pattern: '^never$'}\n- {name: sql, sql: output.text != ''}\n"
    )
    flow.pipeline = load_pipeline(folder)
    manifest = flow.run_all("main", "retry")
    assert manifest.failed_checks == {"never": 3}
    assert all(flow.rejected()["text"].to_pylist())


def test_checks_know_the_values_of_for_each(flow: Flow, tmp_path: Path) -> None:
    yaml = f"{FILES['pipeline.yaml']}limits: {{max_reject_ratio: 1}}\nfor_each: {{wanted: [billing, bug]}}\n"
    checks = "- {name: as_wanted, field: topic, must_contain: ['{{ wanted }}']}\n"
    folder = write_pipeline(
        tmp_path / "1" / "tickets", pipeline_yaml=yaml, user_md="{{ wanted }}: {{ body }}", checks_yaml=checks
    )
    flow.pipeline = load_pipeline(folder)
    manifest = run_without_repairs(flow)
    assert manifest.rows == 2 * len(ROWS)
    assert all(row["topic"] == row["wanted"] for row in flow.published().to_pylist())
    assert all(f"does not contain '{row['wanted']}'" in row["reason"] for row in flow.rejected().to_pylist())


def test_samples_are_judged_one_by_one(flow: Flow, tmp_path: Path) -> None:
    checked(flow, tmp_path / "1", BILLING)
    flow.pipeline = flow.pipeline.model_copy(
        update={"settings": flow.pipeline.settings.model_copy(update={"samples": 5})}
    )
    manifest = run_without_repairs(flow)
    assert manifest.rows == 5 * len(ROWS)
    assert set(topics(flow).values()) == {"billing"}
    assert manifest.failed_checks == {"only_billing": manifest.rejected}


OWN = "- {name: own, field: topic, unique: rows}\n"


def test_of_answers_that_are_the_same_the_first_in_source_order_is_published(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, MANY)
    checked(flow, tmp_path / "1", OWN)
    manifest = run_without_repairs(flow)
    assert len(set(topics(flow).values())) == manifest.published == len(topics(flow))
    by_topic = {topic: ticket for ticket, topic in topics(flow).items()}
    for reject in flow.rejected().to_pylist():
        first = by_topic[json.loads(reject["text"])["topic"]]
        assert reject["reason"] == (
            f"check own: topic is 100 % the same as that of ticket={first}; at most 90 % is allowed"
        )


def test_what_repeats_another_answer_is_repaired_once_and_judged_with_all_others(flow: Flow, tmp_path: Path) -> None:
    """The pass that plans the repairs and publish agree on who repeats whom, so a second run sends nothing."""
    write_tickets(flow.database, MANY)
    checked(flow, tmp_path / "1", OWN)
    first = flow.run_all("main", "retry")
    before, sent = flow.published(), flow.requests_sent()
    assert first.published == len(set(topics(flow).values()))
    checked(flow, tmp_path / "2", OWN)
    second = flow.run_all("canary", "main", "retry")
    assert (flow.requests_sent(), flow.published()) == (sent, before)
    assert second.rejected == first.rejected > 0
    checked(flow, tmp_path / "3", OWN)
    flow.pipeline = flow.pipeline.for_run(RunOptions(only_rejects=True))
    flow.run_all("main", "retry")
    assert flow.requests_sent() == sent + first.rejected


def test_a_repeated_answer_may_only_be_warned_of(flow: Flow, tmp_path: Path) -> None:
    checked(flow, tmp_path / "1", "- {name: own, field: topic, unique: rows, warn: true}\n")
    manifest = run_without_repairs(flow)
    assert (manifest.published, manifest.rejected) == (len(ROWS), 0)
    warned = [bool(row["_warnings"]) for row in flow.published().to_pylist()]
    assert manifest.warned_checks.get("own", 0) == sum(warned) == len(ROWS) - len(set(topics(flow).values()))


def test_samples_of_one_row_are_compared_with_each_other(flow: Flow, tmp_path: Path) -> None:
    checked(flow, tmp_path / "1", None)
    yaml = f"{FILES['pipeline.yaml']}samples: 6\nlimits: {{max_reject_ratio: 1}}\n"
    checks = "- {name: own, field: topic, unique: samples}\n"
    flow.pipeline = load_pipeline(write_pipeline(tmp_path / "2" / "tickets", pipeline_yaml=yaml, checks_yaml=checks))
    manifest = run_without_repairs(flow)
    published = [(row["ticket"], row["topic"]) for row in flow.published().to_pylist()]
    assert len(set(published)) == len(published) == manifest.published >= len(ROWS)
    assert {row["ticket"] for row in flow.published().to_pylist()} == {ticket for ticket, *_ in ROWS}
    assert "the same as that of sample 1;" in flow.rejected()["reason"][0].as_py()


def test_a_value_that_does_not_fit_its_type_stops_extract_with_its_row(flow: Flow, tmp_path: Path) -> None:
    checks = "- {name: a, sql: output.topic = source.body, columns: {body: date}}\n"
    checked(flow, tmp_path / "1", checks)
    with pytest.raises(
        SpecError, match=r"checks.yaml:1: a.columns: 'body' has '.*', which is not date.* The row: tick"
    ):
        flow.extract()
    assert flow.requests_sent() == 0
