"""asking.py: the requests of each variant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.enrichment.spec.pipeline import Pipeline
from tests.fixtures.folder import SCHEMA, YAML, Load

VARIANTS = """\
variants:
  short: {system: short.md, model: claude-opus-5-5, max_tokens: 100}
  eager: {effort: high, cache: 1h}
"""
SHORT = {"short.md": "Short."}


def _params(pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    renderers = pipeline.renderers(["id", "text"], run_id="run-1")
    rendered = {keys["_variant"]: renderer.render({"id": 1, "text": "Hello"}) for keys, renderer in renderers}
    return {name: json.loads(request.params) for name, request in rendered.items()}


def test_each_variant_asks_with_its_own_settings_and_files(load: Load) -> None:
    params = _params(load(yaml=YAML + VARIANTS, more=SHORT))
    own = params["current"]
    cached = {"type": "text", "text": "Classify.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    output = {"format": {"type": "json_schema", "schema": json.loads(SCHEMA)}, "effort": "high"}
    assert params == {
        "current": own,
        "short": {
            **own,
            "model": "claude-opus-5-5",
            "max_tokens": 100,
            "system": [{"type": "text", "text": "Short."}],
        },
        "eager": {**own, "output_config": output, "system": [cached]},
    }


def test_effort_is_sent_without_a_schema_too(load: Load) -> None:
    params = _params(load(yaml=f"{YAML}variants: {{deep: {{effort: max}}}}\n", schema=None))
    assert params["deep"]["output_config"] == {"effort": "max"}
    assert "output_config" not in params["current"]


def test_the_pipeline_of_a_variant_asks_as_the_variant_does(load: Load) -> None:
    pipeline = load(yaml=YAML + VARIANTS, more=SHORT)
    params = _params(pipeline)
    for name, one in pipeline.by_variant.items():
        request = one.renderer(["id", "text"], run_id="run-1").render({"id": 1, "text": "Hello"})
        assert json.loads(request.params) == params[name]
        assert one.caching == pipeline.askings[name].caching
        assert one.cached_prefix == pipeline.askings[name].cached_prefix


def test_a_variant_with_the_content_of_another_makes_the_same_request(load: Load) -> None:
    pipeline = load(
        yaml=f"{YAML}variants: {{copy: {{system: copy.md, max_tokens: 300}}}}\n", more={"copy.md": "Classify."}
    )
    renderers = pipeline.renderers(["id", "text"], run_id="run-1")
    assert len({renderer.render({"id": 1, "text": "Hello"}).request_id for _, renderer in renderers}) == 1


def test_a_variant_added_later_leaves_the_requests_of_the_others_as_they_are(load: Load) -> None:
    alone = load().renderer(["id", "text"], run_id="run-1").render({"id": 1, "text": "Hello"})
    (_, own), *_ = load(yaml=YAML + VARIANTS, more=SHORT).renderers(["id", "text"], run_id="run-1")
    assert own.render({"id": 1, "text": "Hello"}) == alone


def test_the_cache_of_each_variant_is_decided_for_itself(load: Load) -> None:
    variants = "variants: {short: {system: short.md}, plain: {cache: off}}\n"
    pipeline = load(yaml=f"{YAML}  cache: auto\n{variants}", system="word " * 5_000, more=SHORT)
    decided = pipeline.with_resolved_cache()
    assert {name: variant.request.cache for name, variant in decided.variants.items()} == {
        "current": "1h",
        "short": "off",
        "plain": "off",
    }
    assert decided.settings.request.cache == "1h"


@pytest.mark.parametrize("effort", ["low", "high"])
def test_requests_of_another_effort_have_another_prefix(load: Load, effort: str) -> None:
    pipeline = load(yaml=f"{YAML}  cache: 1h\nvariants: {{other: {{effort: {effort}}}}}\n")
    assert len({one.cached_prefix for one in pipeline.by_variant.values()}) == 2
