"""Decides whether a pass is sent in batches or asked synchronously."""

from __future__ import annotations

from include.enrichment.runs.modes import Mode
from include.enrichment.spec.settings import Settings


def choose_mode(settings: Settings, requests: int, *, batch_in_time: bool = True) -> Mode:
    """
    Return the mode of a pass.

    :param settings: of the run; those of an urgent one have the mode ``synchronous``
    :param requests: how many the pass sends
    :param batch_in_time: False if the run has a deadline that its answers would miss in a batch
    """
    mode = settings.request.mode
    if not batch_in_time:
        return "synchronous"
    if mode == "auto":
        return "synchronous" if requests < settings.limits.synchronous_below else "batch"
    return mode
