"""The two ways to send the requests of a pass."""

from __future__ import annotations

from typing import Literal, get_args

#: ``batch``: in batches, at half price, within 24 hours. ``synchronous``: one by one, within seconds each.
Mode = Literal["batch", "synchronous"]
MODES: tuple[Mode, ...] = get_args(Mode)
