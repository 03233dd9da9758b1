"""setup_check.py: what would fail every request stops a run before it reads."""

from __future__ import annotations

import logging
from pathlib import Path

import anthropic
import pytest

from include.enrichment.errors import ApiError, EnrichmentError, SetupError, SpecError
from include.enrichment.runs.options import RunOptions
from include.gateways.claude import Claude
from include.steps.extracting.setup_check import check_setup
from tests.fixtures.flow import FILES, Flow
from tests.steps.test_extract import change


def test_the_context_window_of_each_model_is_known(flow: Flow, tmp_path: Path) -> None:
    assert check_setup(flow.pipeline, lake=flow.lake, claude=flow.claude) == {"claude-haiku-5-5": 1_000_000}
    yaml = f"{FILES['pipeline.yaml']}variants: {{small: {{model: claude-haiku-4-5}}, again: {{max_tokens: 9}}}}\n"
    change(flow, tmp_path, pipeline_yaml=yaml)
    assert check_setup(flow.pipeline, lake=flow.lake, claude=flow.claude) == {
        "claude-haiku-4-5": 200_000,
        "claude-haiku-5-5": 1_000_000,
    }


def test_each_variant_that_cannot_be_asked_is_reported_at_once(flow: Flow, tmp_path: Path) -> None:
    variants = "{a: {model: claude-nothing-1}, b: {model: claude-haiku-4-5, effort: low}, c: {max_tokens: 9000000}}"
    change(flow, tmp_path, pipeline_yaml=f"{FILES['pipeline.yaml']}variants: {variants}\n")
    with pytest.raises(SpecError) as raised:
        check_setup(flow.pipeline, lake=flow.lake, claude=flow.claude)
    one, two, three = str(raised.value).splitlines()
    assert "variants.a.model: the API knows no model 'claude-nothing-1'" in one
    assert "variants.b.model: claude-haiku-4-5 cannot do this: request.effort: low is not supported" in two
    assert "request.model: claude-haiku-5-5 cannot do this: request.max_tokens is 9,000,000" in three
    assert three.endswith("Nothing was read or sent.")


def test_the_setup_is_found_good(flow: Flow) -> None:
    check_setup(flow.pipeline, lake=flow.lake, claude=flow.claude)


def test_what_is_only_doubtful_is_logged_as_a_warning(
    flow: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(flow, tmp_path, output_schema_json=FILES["output.schema.json"].replace('"topic"', '"the topic"'))
    check_setup(flow.pipeline, lake=flow.lake, claude=flow.claude)
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.getMessage().startswith("tickets/output.schema.json:1: the API may reject 'the topic'")


@pytest.mark.parametrize(
    ("request_yaml", "fact"),
    [
        ("{model: claude-nothing-1, max_tokens: 9}", "knows no model 'claude-nothing-1'"),
        (
            "{model: claude-haiku-5.5, max_tokens: 9}",
            r"^tickets/pipeline\.yaml:2: request\.model: the API knows no model 'claude-haiku-5\.5'; did you mean"
            r" 'claude-haiku-5-5'\? Nothing",
        ),
        ("{model: claude-haiku-5-5, max_tokens: 9000000}", "request.max_tokens is 9,000,000, its maximum is"),
        ("{model: claude-opus-5-5, max_tokens: 9, thinking: disabled}", "request.thinking: disabled is not supported"),
    ],
)
def test_a_model_that_would_reject_every_request_stops_the_run(
    flow: Flow, tmp_path: Path, request_yaml: str, fact: str
) -> None:
    yaml = f"source: {{connection: w, key: [ticket]}}\nrequest: {request_yaml}\n"
    change(flow, tmp_path, pipeline_yaml=yaml)
    with pytest.raises(SpecError, match=fact):
        check_setup(flow.pipeline, lake=flow.lake, claude=flow.claude)


def test_a_model_that_retires_soon_is_reported_in_the_log(
    flow: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    yaml = "source: {connection: w, key: [ticket]}\nrequest: {model: claude-opus-4-5, max_tokens: 9}\n"
    change(flow, tmp_path, pipeline_yaml=yaml)
    with caplog.at_level("WARNING"):
        check_setup(flow.pipeline, lake=flow.lake, claude=flow.claude)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "pipeline.yaml:2: request.model: Model claude-opus-4-5-20251101 " in record.getMessage()
    assert "2027-01-22" in record.getMessage()


def test_a_model_that_does_not_is_not(flow: Flow, caplog: pytest.LogCaptureFixture) -> None:
    check_setup(flow.pipeline, lake=flow.lake, claude=flow.claude)
    assert caplog.records == []


@pytest.mark.parametrize(("status", "kind"), [(401, SetupError), (403, SetupError), (503, ApiError)])
def test_an_api_that_rejects_the_key_stops_the_run_before_it_reads(
    flow: Flow, status: int, kind: type[EnrichmentError]
) -> None:
    flow.emulator.set_faults([{"kind": "http_error", "on": "models", "status": status}])
    with pytest.raises(kind):
        check_setup(flow.pipeline, lake=flow.lake, claude=flow.claude)


def test_a_wrong_key_is_reported_with_its_connection(flow: Flow) -> None:
    client = anthropic.Anthropic(api_key="invalidx", base_url=flow.emulator.url, max_retries=0)
    with (
        Claude(client, name="my_conn") as claude,
        pytest.raises(SetupError, match="rejected the key of connection 'my_conn'"),
    ):
        check_setup(flow.pipeline, lake=flow.lake, claude=claude)


@pytest.mark.parametrize(
    ("other", "fact"),
    [
        ("claude-nothing-1", r"request\.other_models: the API knows no model 'claude-nothing-1'"),
        ("claude-opus-5-5", r"request\.other_models: claude-opus-5-5 cannot do this: .*thinking"),
    ],
)
def test_another_model_that_would_reject_every_request_stops_the_run(
    flow: Flow, tmp_path: Path, other: str, fact: str
) -> None:
    request = f"{{model: claude-haiku-5-5, other_models: [{other}], max_tokens: 9, thinking: disabled}}"
    change(flow, tmp_path, pipeline_yaml=f"source: {{connection: w, key: [ticket]}}\nrequest: {request}\n")
    with pytest.raises(SpecError, match=fact):
        check_setup(flow.pipeline.for_run(RunOptions(model=other)), lake=flow.lake, claude=flow.claude)
