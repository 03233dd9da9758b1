"""`make demo REAL=1`: what it is going to cost, said before it costs anything."""

from __future__ import annotations

import os
import sys

import yaml

from include.stack.folder import ROOT
from include.stack.progress import say


class NoKey(Exception):
    """The real API was asked for, but there is no key."""


def real_key_after_consent(pipeline: str, rows: int) -> str:
    """
    The key for the real API, after saying what will be spent; on a terminal only after Enter.

    Raises NoKey if ANTHROPIC_API_KEY is not set.
    """
    key = os.environ.get("ANTHROPIC_API_KEY", "").strip()
    if not key:
        raise NoKey(
            "REAL=1 needs ANTHROPIC_API_KEY in the environment. Nothing was started. Without REAL=1 the emulator"
            " answers."
        )
    settings = yaml.safe_load((ROOT / "include" / "pipelines" / pipeline / "pipeline.yaml").read_text(encoding="utf-8"))
    request = settings["request"]
    say(
        f"\n  This calls the real Message Batches API, with your key: {rows} requests to {request['model']}, each of"
        " at most"
        f"\n  {request['max_tokens']} output tokens. At batch prices that is a few cents at most, on any model."
        "\n  A batch usually ends within an hour, at the latest after 24 hours. Leaving the demo does not cancel it."
    )
    if sys.stdin.isatty():
        input("  Enter starts it, Ctrl-C leaves: ")
    return key
