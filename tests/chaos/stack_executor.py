"""The executor of the chaos stack: Airflow's own, which has imported what every task needs before it forks workers."""

from __future__ import annotations

import importlib

from airflow.executors.local_executor import LocalExecutor

#: Two seconds of each task, were they imported there. None of them starts a thread, which a fork would not copy.
_NEEDED = ("airflow.providers.amazon.aws.hooks.base_aws", "airflow.providers.anthropic.hooks.anthropic")


class WarmExecutor(LocalExecutor):
    """LocalExecutor, whose tasks begin at once: a wave of kills then takes minutes on two cores."""

    def start(self) -> None:
        """Import, then start the workers."""
        for module in _NEEDED:
            importlib.import_module(module)
        super().start()
