"""The executor of the chaos stack: Airflow's own, but it imports every task's modules before it forks workers."""

from __future__ import annotations

import importlib

from airflow.executors.local_executor import LocalExecutor

#: Importing these would take two seconds of each task. None of them starts a thread, which a fork would not copy.
_NEEDED = ("airflow.providers.amazon.aws.hooks.base_aws", "airflow.providers.anthropic.hooks.anthropic")


class WarmExecutor(LocalExecutor):
    """A LocalExecutor whose tasks start at once, so that a wave of kills takes minutes on two cores."""

    def start(self) -> None:
        """Import, then start the workers."""
        for module in _NEEDED:
            importlib.import_module(module)
        super().start()
