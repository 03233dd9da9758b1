"""The correction for many tests."""

from __future__ import annotations

from collections.abc import Sequence

from statsmodels.stats.multitest import multipletests


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's adjusted p-values, in the same order. None is no test, and stays None."""
    known = [p_value for p_value in p_values if p_value is not None]
    adjusted = iter(multipletests(known, method="holm")[1] if known else ())
    return [None if p_value is None else float(next(adjusted)) for p_value in p_values]
