"""What an evaluation would send, its judges included. Nothing is sent, and nothing stays on the lake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from include.enrichment.answers.manifest import Manifest
from include.enrichment.cost.estimate import estimate, estimate_output
from include.enrichment.cost.forecast import DryRun
from include.enrichment.cost.history import summarise_history
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import parse
from include.enrichment.synchronous.mode import choose_mode
from include.gateways.claude import Claude
from include.gateways.documents.buckets import Buckets
from include.gateways.lake import Lake
from include.gateways.sources.source import Source
from include.steps.dry_run import dry_run
from include.steps.evaluating.cost_lines import Part
from include.steps.extract import extract
from include.steps.extracting.setup_check import check_setup
from include.steps.planning.budgets import read_usage
from include.steps.planning.token_counts import count_sample

#: Bytes per token of an answer, for the size of a request that grades it.
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, kw_only=True)
class Gateways:
    """
    The lake and the API, and how to open what a pipeline reads.

    :param open_source: opens the source of a pipeline's rows
    :param open_buckets: opens the buckets of its attachments; None: it has none
    """

    lake: Lake
    claude: Claude
    open_source: Callable[[Pipeline], Source]
    open_buckets: Callable[[Pipeline], Buckets | None]


def forecast_evaluation(
    pipeline: Pipeline, judges: Sequence[Pipeline], partition: Partition, gateways: Gateways
) -> list[Part]:
    """
    Return what the pipeline and each of its judges would send now.

    The requests of a judge exist once all answers of the pipeline are published. Before, their number follows from the
    cases, the variants and the samples, and their size is rough.

    :param pipeline: with the options of its run
    :param judges: with theirs

    Raises what extract() and dry_run() raise.
    """
    forecast = _forecast(pipeline, partition, gateways)
    variants, samples = len(pipeline.variants) or 1, pipeline.settings.samples
    cases = forecast.rows // (variants * samples)
    factors = f"{cases:,} cases × {_count(variants, 'variant')} × {_count(samples, 'sample')}"
    what = f"{factors} = {forecast.rows:,} answers"
    parts = [Part.of(forecast, what)]
    published = forecast.answered == forecast.requests and _has_all(pipeline, partition, forecast.rows, gateways.lake)
    for judge in judges:
        if published:
            found = _forecast(judge, partition, gateways)
            parts.append(Part.of(found, f"{found.rows:,} grades"))
        else:
            # Its mistakes are found before its pipeline has spent anything.
            check_setup(judge, lake=gateways.lake, claude=gateways.claude)
            longest = _answer_tokens(forecast, pipeline)
            parts.append(_rough(judge, _grades(judge, pipeline, forecast.rows), longest, gateways.lake))
    return parts


def _has_all(pipeline: Pipeline, partition: Partition, rows: int, lake: Lake) -> bool:
    """Say whether the published table is of so many rows: it may be of other variants only."""
    key = layout.manifest(pipeline.name, partition)
    found = lake.find(key)
    return found is not None and parse(Manifest, found.data, lake.locate(key)).rows == rows


def _forecast(pipeline: Pipeline, partition: Partition, gateways: Gateways) -> DryRun:
    buckets = gateways.open_buckets(pipeline)
    context_tokens = check_setup(pipeline, lake=gateways.lake, claude=gateways.claude)
    with _temporary_run(pipeline, partition, gateways.lake) as run:
        extract(
            pipeline,
            run,
            source=gateways.open_source(pipeline),
            lake=gateways.lake,
            buckets=buckets,
            context_tokens=context_tokens,
        )
        count_sample(run, lake=gateways.lake, claude=gateways.claude, buckets=buckets)
        return dry_run(run, lake=gateways.lake)


@contextmanager
def _temporary_run(pipeline: Pipeline, partition: Partition, lake: Lake) -> Iterator[RunFolder]:
    """A run whose files are deleted at the end. It plans nothing, so no other run waits for it."""
    run = RunFolder(
        pipeline=pipeline.name, partition=partition, run_id=f"forecast__{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    )
    try:
        yield run
    finally:
        for listed in lake.objects(run.prefix):
            lake.delete(listed)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _grades(judge: Pipeline, pipeline: Pipeline, answers: int) -> int:
    """How many answers, or pairs in both orders, the judge will grade."""
    variants = len(pipeline.variants) or 1
    if (pairs := judge.settings.source.pairs) is None:
        return answers * judge.settings.samples
    pairs_of_case = variants - 1 if pairs.baseline else variants * (variants - 1) // 2
    return answers // variants * pairs_of_case * 2 * judge.settings.samples


def _answer_tokens(forecast: DryRun, pipeline: Pipeline) -> float:
    """The tokens of an answer to grade: those of the high estimate, else the most that it may have."""
    sending = [one.estimate for one in forecast.passes.values() if one.estimate and one.estimate.requests]
    if sending:
        return sum(one.output_tokens.high for one in sending) / sum(one.requests for one in sending)
    return max(one.settings.request.max_tokens for one in pipeline.by_variant.values())


def _rough(judge: Pipeline, grades: int, answer_tokens: float, lake: Lake) -> Part:
    settings = judge.settings.request
    known = summarise_history(read_usage(judge, lake), model=settings.model, run_id="")
    answers = 2 if judge.settings.source.pairs else 1
    prompt = sum(len(text.encode()) for text in (judge.system, judge.user, judge.shared, judge.schema_text or ""))
    return Part(
        pipeline=judge.name,
        what=f"{grades:,} grades",
        requests=grades,
        answered=0,
        estimates=[
            estimate(
                model=settings.model,
                requests=grades,
                size=grades * (prompt + int(answers * answer_tokens * _BYTES_PER_TOKEN)),
                sample=None,
                known=known,
                output=estimate_output([], known.output_tokens, requests=grades, max_tokens=settings.max_tokens),
                caching={},
                mode=choose_mode(judge.settings, grades),
            )
        ],
        rough=True,
        budget_usd=judge.settings.limits.budget_usd,
    )
