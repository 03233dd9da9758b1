"""options.py: the options among a run's params, and invalid params."""

from __future__ import annotations

from typing import Any

import pytest

from include.enrichment.errors import ParamError
from include.enrichment.runs.options import RunOptions, run_options


def test_a_nightly_run_has_no_options() -> None:
    assert run_options({"partition": None}, others=["partition"]) == RunOptions()
    assert RunOptions() == RunOptions(rows=None, dry_run=False, reuse=None, model=None, only_rejects=False)


def test_the_options_are_picked_out_of_the_params() -> None:
    params = {"partition": "2026-11-21", "rows": 5, "dry_run": True, "reuse": False, "model": "m", "note": [1]}
    options = run_options(params, others={"partition", "note"})
    assert options == RunOptions(rows=5, dry_run=True, reuse=False, model="m")
    assert RunOptions.model_validate_json(options.model_dump_json()) == options


@pytest.mark.parametrize(
    ("params", "fact"),
    [
        ({"row": 5}, r"'row' is not known; did you mean 'rows'\?"),
        ({"dryrun": True}, r"'dryrun' is not known; did you mean 'dry_run'\?"),
        ({"Partition": "2026-11-21"}, r"'Partition' is not known; did you mean 'partition'\?"),
        (
            {"xyz": 1},
            r"'xyz' is not known\. Known are budget_usd, deadline, dry_run, model, only_rejects, partition, ",
        ),
        ({"row": 5, "xyz": 1}, r"'row' is not known; did you mean 'rows'\? 'xyz' is not known\. Known are "),
        ({"budget_usd": -1}, r"'budget_usd': .*greater than or equal to 0, got '-1'"),
        ({"budget_usd": True}, r"'budget_usd': .*must be a number of US dollars"),
        ({"budget_usd": "much"}, r"'budget_usd': .*valid decimal, got 'much'"),
        ({"rows": 0}, r"'rows': .*greater than or equal to 1, got 0"),
        ({"rows": "5"}, r"'rows': .*valid integer, got '5'"),
        ({"rows": True}, r"'rows': .*valid integer, got True"),
        ({"dry_run": "no"}, r"'dry_run': .*valid boolean, got 'no'"),
        ({"dry_run": None}, r"'dry_run': .*valid boolean, got None"),
        ({"only_rejects": 1}, r"'only_rejects': .*valid boolean, got 1"),
        ({"model": ["m"]}, r"'model': .*valid string, got \['m'\]"),
        ({"rows": 0, "reuse": "x"}, r"'rows': .*; 'reuse': "),
    ],
)
def test_unknown_and_invalid_params_are_rejected(params: dict[str, Any], fact: str) -> None:
    with pytest.raises(ParamError, match=fact) as rejected:
        run_options(params, others=["partition"])
    assert "Nothing was read or sent" in str(rejected.value)
    assert not rejected.value.retryable


def test_variants_are_chosen_in_the_order_of_the_file() -> None:
    assert RunOptions().choose_variants(["b", "a"], file="p") == ["b", "a"]
    assert RunOptions(variants=[]).choose_variants(["b", "a"], file="p") == ["b", "a"]
    assert RunOptions(variants=["a", "b", "a"]).choose_variants(["b", "c", "a"], file="p") == ["b", "a"]
    assert RunOptions(model="m").choose_variants([], file="p") == []


def test_the_same_choice_of_variants_is_the_same_option() -> None:
    assert RunOptions(variants=["b", "a", "b"]) == RunOptions(variants=["a", "b"])
    assert RunOptions(variants=[]) == RunOptions()


@pytest.mark.parametrize(
    ("options", "variants", "fact"),
    [
        (
            RunOptions(variants=["shrt"]),
            ["current", "short"],
            "not have: 'shrt'; did you mean 'short'\\? It has: current",
        ),
        (RunOptions(variants=["xyz"]), [], r"not have: 'xyz'\. It has: none\. Nothing was read"),
        (RunOptions(model="m"), ["current", "short"], "has variants, each with a model of its own"),
    ],
)
def test_an_unknown_variant_or_a_model_beside_variants_is_rejected(
    options: RunOptions, variants: list[str], fact: str
) -> None:
    with pytest.raises(ParamError, match=fact):
        options.choose_variants(variants, file="tickets/pipeline.yaml")
