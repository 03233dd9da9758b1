"""evaluate: the published answers of a pipeline become scores, figures, a verdict and a report."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.errors import SpecError
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import EvaluationFolder, RunFolder
from include.evaluation.cases import Cases, number_cases, samples_of
from include.evaluation.evaluate import Figures
from include.evaluation.evaluate import evaluate as compute_figures
from include.evaluation.grading import grade_table
from include.evaluation.outputs.junit import junit_xml
from include.evaluation.outputs.metrics_file import metrics_table
from include.evaluation.outputs.scores_file import scores_table
from include.evaluation.result import EvaluationResult
from include.evaluation.scores import Scores, join_scores
from include.evaluation.spec.evaluation_file import read_evaluation
from include.evaluation.spec.settings import EvaluationSettings
from include.gateways.lake import Lake
from include.gateways.project.origin import read_origin
from include.reporting.evaluation.page import render_report
from include.steps.evaluating.baselines import Gate, find_latest, prepare_gate, read_pinned
from include.steps.evaluating.published import Published, check_judges, read_published, read_trial
from include.steps.evaluating.variant_facts import judges_usd, variant_facts

log = logging.getLogger(__name__)
