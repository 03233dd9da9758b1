"""settings.py: what a variant changes, and the names it may have."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from include.enrichment.spec.variants import CURRENT
from include.enrichment.spec.variants.settings import RequestSettings, VariantSettings, with_current
from tests.fixtures.folder import YAML, Load, Mistakes

OWN = RequestSettings(model="claude-haiku-5-5", max_tokens=300, effort="low", other_models=["claude-opus-5-5"])


def test_the_pipelines_own_settings_are_the_first_variant_unless_one_without_changes_has_a_name() -> None:
    changed, own = VariantSettings(max_tokens=9), VariantSettings()
    assert with_current({}) == {}
    assert list(with_current({"short": changed})) == [CURRENT, "short"]
    assert list(with_current({"short": changed, "today": own})) == ["short", "today"]


def test_a_variant_changes_what_it_names_and_keeps_the_rest() -> None:
    changed = VariantSettings(model="claude-opus-5-5", cache="1h").request(OWN)
    assert changed == RequestSettings(model="claude-opus-5-5", max_tokens=300, effort="low", cache="1h")
    assert VariantSettings().request(OWN) == OWN.model_copy(update={"other_models": []})


def test_a_variant_without_anything_has_no_changes(load: Load) -> None:
    assert load(yaml=f"{YAML}variants:\n  today:\n  short: {{max_tokens: 5}}\n").variants.keys() == {"today", "short"}


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../secret.md", "a\x00.md", "a/../b.md", "./short.md", ".", "a//b.md"]
)
def test_a_file_outside_the_folder_is_rejected(name: str) -> None:
    with pytest.raises(ValidationError):
        VariantSettings(system=name)


@pytest.mark.parametrize(
    ("variants", "expected"),
    [
        ("{short: {modle: x}}", "variants.short.modle: unknown key; did you mean 'model'? Known keys: model, escalat"),
        ("{a b: {}}", "variants: 'a b' is not a name for a variant: use up to 60 letters, digits"),
        ("{short: {effort: most}}", "variants.short.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"),
        ("{current: {max_tokens: 5}}", "variants: 'current' is the pipeline as it is, without changes: give this"),
        (str({f"v{number}": {} for number in range(21)}), "variants: has 21 variants; at most 20 are"),
    ],
    ids=["unknown key", "name", "value", "current", "too many"],
)
def test_each_mistake_has_its_line_and_the_remedy(mistakes: Mistakes, variants: str, expected: str) -> None:
    (line,) = mistakes(yaml=f"{YAML}variants: {variants}\n")
    assert line.startswith(f"pipeline.yaml:7: {expected}")


def test_current_may_have_changes_if_another_variant_has_none(load: Load) -> None:
    pipeline = load(yaml=f"{YAML}variants: {{current: {{max_tokens: 5}}, before: }}\n")
    assert {name: variant.request.max_tokens for name, variant in pipeline.variants.items()} == {
        "current": 5,
        "before": 300,
    }
