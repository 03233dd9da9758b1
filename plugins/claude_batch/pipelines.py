"""Where the pipelines' folders are, and the check of one when its Dag is parsed."""

from __future__ import annotations

from pathlib import Path

import include

PIPELINES = Path(include.__file__).parent / "pipelines"


def check_pipeline(name: str) -> None:
    """Raises SpecError if there is no such pipeline: an import error of the Dag file, with the nearest name."""
    if not (PIPELINES / name / "pipeline.yaml").is_file():
        from include.enrichment.spec.pipeline_folder import load_pipeline

        load_pipeline(PIPELINES / name)
