"""
Airflow's local settings, which it imports when it starts.

If CLAUDE_BATCH_PRELOAD is set, as in the workers of docker-compose.yaml, the process imports the modules that tasks
need. Tasks are forked from the worker and inherit them, which saves each task seconds.
"""

from __future__ import annotations

import os
from importlib import import_module

NEEDED = (
    "airflow.providers.amazon.aws.hooks.base_aws",
    "airflow.providers.anthropic.hooks.anthropic",
    "airflow.providers.postgres.hooks.postgres",
    "claude_batch.connections.claude_connection",
    "claude_batch.connections.gateways",
    "claude_batch.task_group",
    "include.steps.extract",
    "include.steps.load",
    "include.steps.plan",
    "include.steps.publish",
    "include.steps.submit",
)

if os.environ.get("CLAUDE_BATCH_PRELOAD"):
    for module in NEEDED:
        import_module(module)
