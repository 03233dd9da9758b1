from __future__ import annotations

from pathlib import Path

import pytest

from claude_batch import pipelines
from include.enrichment.errors import SpecError
from tests.fixtures.flow import write_pipeline


def test_a_pipeline_without_a_folder_is_rejected_with_the_closest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pipeline(tmp_path / "tickets")
    monkeypatch.setattr(pipelines, "PIPELINES", tmp_path)
    pipelines.check_pipeline("tickets")
    with pytest.raises(SpecError, match=r"no pipeline 'tickts' .*did you mean 'tickets'"):
        pipelines.check_pipeline("tickts")
