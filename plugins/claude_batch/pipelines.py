"""The folder of the pipelines, and the check that a pipeline exists when its Dag is parsed."""

from __future__ import annotations

from pathlib import Path

import include

PIPELINES = Path(include.__file__).parent / "pipelines"


def check_pipeline(name: str) -> None:
    """Raise SpecError, which names the closest pipeline, if there is none of this name."""
    if not (PIPELINES / name / "pipeline.yaml").is_file():
        from include.enrichment.spec.pipeline_folder import load_pipeline

        load_pipeline(PIPELINES / name)
