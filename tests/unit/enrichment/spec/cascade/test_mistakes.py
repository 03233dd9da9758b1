from __future__ import annotations

from pathlib import Path

import pytest

from include.enrichment.errors import SpecError
from include.enrichment.spec.pipeline_folder import load_pipeline
from tests.fixtures.flow import write_pipeline

YAML = """
source: {connection: warehouse, key: [ticket]}
request:
  model: claude-haiku-5-5
  max_tokens: 200
"""
ESCALATE = """
  escalate:
    to: claude-opus-5-5
    when: topic = 'other'
"""
ALONE = f"{YAML.rstrip()}{ESCALATE}"
VARIED = f"""{YAML}
variants:
  small: {{}}
  cascade:
    escalate: {{to: claude-haiku-5-5, when: urgently}}
"""


@pytest.mark.parametrize(
    ("yaml", "mistake"),
    [
        (
            ALONE.replace("topic =", "topik ="),
            "tickets/pipeline.yaml:8: request.escalate.when: the output has no column 'topik'; did you mean 'topic'? It"
            " has: topic, urgent, words",
        ),
        (
            ALONE.replace("when: topic", "when: |\n      urgent\n      or now() is null"),
            "tickets/pipeline.yaml:10: request.escalate.when: must give the same result in every run, but now()"
            " changes",
        ),
        (
            ALONE.replace("topic = 'other'", "topic"),
            "tickets/pipeline.yaml:8: request.escalate.when: is VARCHAR, not a condition: write a comparison",
        ),
        (
            ALONE.replace("opus", "haiku"),
            "tickets/pipeline.yaml:7: request.escalate.to: claude-haiku-5-5 gave the doubtful answer: name a"
            " dearer model",
        ),
        (
            f"{ALONE}limits: {{retry_passes: 0}}\n",
            "tickets/pipeline.yaml:6: request.escalate: needs limits.retry_passes of 1 or more, as the retry pass"
            " asks the dearer model",
        ),
        (
            f"{ALONE}samples: 2\nkeep: {{best: len(topic)}}\n",
            "tickets/pipeline.yaml:6: request.escalate: cannot be combined with keep: both choose the answer of a row",
        ),
        (
            VARIED,
            "tickets/pipeline.yaml:10: variants.cascade.escalate.to: claude-haiku-5-5 gave the doubtful answer: name a"
            " dearer model\n"
            "tickets/pipeline.yaml:10: variants.cascade.escalate.when: the output has no column 'urgently'; did you"
            " mean 'urgent'? It has: topic, urgent, words",
        ),
    ],
)
def test_a_mistake_names_its_line_and_the_closest_column(tmp_path: Path, yaml: str, mistake: str) -> None:
    with pytest.raises(SpecError) as raised:
        load_pipeline(write_pipeline(tmp_path / "tickets", pipeline_yaml=yaml))
    assert str(raised.value) == mistake


def test_a_cascade_without_mistakes_loads(tmp_path: Path) -> None:
    assert load_pipeline(write_pipeline(tmp_path / "tickets", pipeline_yaml=ALONE)).settings.request.escalation
