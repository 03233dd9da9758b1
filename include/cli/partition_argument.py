"""The PARTITION argument of the commands."""

from __future__ import annotations

import re
from datetime import date

from include.enrichment.errors import PartitionError
from include.enrichment.runs.partition import Partition, parse_partition


def read_partition(text: str, *, example: date) -> Partition:
    """Parse PARTITION. Raises PartitionError, whose message has the example, for anything but an existing day."""
    try:
        return parse_partition(text, "PARTITION")
    except PartitionError as error:
        looks_like_date = re.fullmatch(r"\d{4}-\d{2}-\d{2}", text)
        problem = "There is no such day" if looks_like_date else f"It must be a date, e.g. {example}"
        raise PartitionError(f"PARTITION is {text!r}. {problem}.") from error
