"""files.py: the files that a variant has in place of the pipeline's."""

from __future__ import annotations

from include.enrichment.spec.variants.files import PromptFiles
from include.enrichment.spec.variants.settings import VariantSettings


def test_a_variant_without_changes_has_the_files_of_the_pipeline() -> None:
    assert PromptFiles.of(VariantSettings()) == PromptFiles()
    assert PromptFiles().replaced == {}


def test_what_a_variant_names_replaces_a_file_of_the_pipeline() -> None:
    files = PromptFiles.of(VariantSettings(system="short/system.md", context="terse", schema="a.json"))  # type: ignore[call-arg]
    assert files.replaced == {"system.md": "short/system.md", "context": "terse", "output.schema.json": "a.json"}
    assert [files.is_context(file) for file in ("terse/a.md", "terse.md", "context/a.md")] == [True, False, False]
