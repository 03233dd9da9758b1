"""The model catalogue, as a pre-flight check reads it."""

from __future__ import annotations

import anthropic
import pytest
from anthropic import Anthropic


def test_retired_models_are_listed_on_request_only(client: Anthropic) -> None:
    assert {model.lifecycle for model in client.models.list(limit=1000)} == {"active", "deprecated"}
    retired = client.models.list(limit=1000, lifecycle=["retired"])
    assert {model.lifecycle for model in retired} == {"retired"}


def test_models_are_listed_in_pages(client: Anthropic) -> None:
    whole = [model.id for model in client.models.list(limit=1000)]
    assert [model.id for model in client.models.list(limit=5)] == whole
    before = client.models.list(limit=2, before_id=whole[4])
    assert [model.id for model in before.data] == whole[2:4]
    assert before.has_more
    with pytest.raises(anthropic.BadRequestError):
        client.models.list(after_id="claude-does-not-exist-9")


@pytest.mark.parametrize(
    ("name", "lifecycle", "max_tokens"),
    [
        ("claude-haiku-5-5", "active", 128_000),
        ("claude-haiku-4-5", "active", 64_000),
        ("claude-sonnet-4-5", "deprecated", 64_000),
        ("claude-opus-4-5", "deprecated", 64_000),
        ("claude-opus-4-1", "retired", 32_000),
    ],
)
def test_a_model_has_its_lifecycle_and_limits(client: Anthropic, name: str, lifecycle: str, max_tokens: int) -> None:
    model = client.models.retrieve(name)
    assert (model.lifecycle, model.max_tokens) == (lifecycle, max_tokens)


def test_capabilities_list_the_kinds_of_thinking(client: Anthropic) -> None:
    capabilities = client.models.retrieve("claude-sonnet-5-5").capabilities
    assert capabilities is not None
    types = capabilities.thinking.types
    assert (types.adaptive.supported, types.disabled.supported, types.enabled.supported) == (True, False, False)
    assert capabilities.structured_outputs.supported
