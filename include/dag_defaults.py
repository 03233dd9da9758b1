"""What the nightly Dags have in common, as plain values."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

#: For ``@dag(**NIGHTLY)``. Every task is safe to run again, so retries are generous: they outlast a restart of Airflow
#: or of the object store.
NIGHTLY: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 4,
    "default_args": {
        "owner": "data-engineering",
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(minutes=15),
    },
}
