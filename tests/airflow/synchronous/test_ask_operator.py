"""ask_operator.py: the task that asks."""

from __future__ import annotations
