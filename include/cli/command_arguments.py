"""The arguments PIPELINE and PARTITION of the commands."""

from __future__ import annotations

from collections.abc import Iterable

from include.enrichment.errors import ParamError, PartitionError, nearest
from include.enrichment.runs.partition import Partition, date_problem, parse_partition
from include.stack.folder import ROOT


def check_pipeline(name: str, *, published: Iterable[str] = (), example: str) -> None:
    """
    Raise ParamError, which lists the known pipelines, if PIPELINE is missing or unknown.

    :param published: pipelines that are known besides those in include/pipelines
    :param example: a complete command, for the message
    """
    known = sorted({*published, *(path.parent.name for path in ROOT.glob("include/pipelines/*/pipeline.yaml"))})
    if not name:
        raise ParamError(f"PIPELINE is missing. Example: {example}\nKnown: {', '.join(known)}.")
    if name not in known:
        raise ParamError(f"There is no pipeline {name!r}{nearest(name, known) or '.'} Known: {', '.join(known)}.")


def read_partition(text: str, *, example: str) -> Partition:
    """Parse PARTITION. Raises PartitionError, which has the example, for anything but an existing day."""
    if not text:
        raise PartitionError(f"PARTITION is missing. Example: {example}")
    try:
        return parse_partition(text, "PARTITION")
    except PartitionError as error:
        raise PartitionError(f"PARTITION is {text!r}. {date_problem(text)} Example: {example}") from error
