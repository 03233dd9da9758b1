"""`make demo REAL=1`: the announcement of the cost, before anything is sent."""

from __future__ import annotations

import os
import sys

import yaml

from include.stack.folder import ROOT
from include.stack.progress import say


class NoKey(Exception):
    """The real API was requested without a key."""


def real_key_after_consent(pipeline: str, rows: int) -> str:
    """
    Print what will be spent, wait for Enter if there is a terminal, and return the key of the real API.

    Raises NoKey if ANTHROPIC_API_KEY is not set.
    """
    key = os.environ.get("ANTHROPIC_API_KEY", "").strip()
    if not key:
        raise NoKey(
            "REAL=1 needs ANTHROPIC_API_KEY in the environment. Nothing was started. Without REAL=1 the demo uses the"
            " emulator."
        )
    settings = yaml.safe_load((ROOT / "include" / "pipelines" / pipeline / "pipeline.yaml").read_text(encoding="utf-8"))
    request = settings["request"]
    say(
        f"\n  This calls the real Message Batches API with your key: {rows} requests to {request['model']}, each with"
        " at most"
        f"\n  {request['max_tokens']} output tokens. At batch prices that costs a few cents at most, with any model."
        "\n  Most batches end within an hour, all within 24 hours. Stopping the demo does not cancel the batch."
    )
    if sys.stdin.isatty():
        input("  Press Enter to start, Ctrl-C to quit: ")
    return key
