"""
The environment of the stack's processes: Airflow's settings, the connections, and the marker that identifies them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from include.stack.folder import ROOT, StackFolder
from include.stack.stack import CONNECTION_VARIABLES, LOOPBACK, Stack

#: On a busy laptop, a second's work can take a minute. Airflow's default limits would then fail healthy tasks, whose
#: worker misses heartbeats, and Dag files, which import slowly.
_PATIENT = {
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
    "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "600",
    "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": "600",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "120",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "900",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "1800",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "300",
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "30",
}

MARKER = "ENRICHMENT_STACK_MARKER"
METADATA = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


def stack_environment(stack: Stack, *, anthropic: str | None = None) -> dict[str, str]:
    """
    Return the environment of every process of the stack.

    :param anthropic: the connection of the real API. It is not in ``stack``, which is written to disk
    """
    connections = dict(stack.connections) | ({"AIRFLOW_CONN_ANTHROPIC_DEFAULT": anthropic} if anthropic else {})
    return _inherited() | _airflow(stack) | connections | {MARKER: str(stack.folder)}


def database_environment(folder: StackFolder, airflow_home: str, *, uri: str | None = None) -> dict[str, str]:
    """
    Return the environment of a process that only prepares a metadata database.

    :param uri: the database; None: a SQLite file in ``airflow_home``
    """
    return _inherited() | core_settings(airflow_home) | ({METADATA: uri} if uri else {}) | {MARKER: str(folder.path)}


def ignored_variables() -> list[str]:
    """Return the variables of the caller's environment that the stack overrides."""
    return [name for name in CONNECTION_VARIABLES if os.environ.get(name)]


def core_settings(airflow_home: str) -> dict[str, str]:
    """Return the settings of every Airflow of ours, with or without servers: home, this checkout's Dags, quiet logs."""
    return {
        "AIRFLOW_HOME": airflow_home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        # SQLite allows one writer at a time. On a busy machine the next one may wait longer than the default of 5 s.
        METADATA: f"sqlite:///{airflow_home}/airflow.db?timeout=60",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{airflow_home}/logs",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins"), str(ROOT / "config")]),
        "PYTHONWARNINGS": "ignore",
    }


def _inherited() -> dict[str, str]:
    """
    Return the caller's environment without the settings that would affect our Airflow, S3 or API.

    The caller's own connections stay, except those that the stack defines.
    """
    foreign = ("AIRFLOW", "AWS_", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ENRICHMENT_", "SUPERVISOR_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(foreign) or (name.startswith("AIRFLOW_CONN_") and name not in CONNECTION_VARIABLES)
    }
    return kept | _no_proxy_for_loopback(kept)


def _no_proxy_for_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    ours = f"{LOOPBACK},localhost"
    return {name: f"{environment[name]},{ours}" if environment.get(name) else ours for name in ("NO_PROXY", "no_proxy")}


def _airflow(stack: Stack) -> dict[str, str]:
    home = str(StackFolder(path=stack.folder).airflow_home)
    return (
        core_settings(home)
        | ({} if stack.no_postgres else _on_postgres(stack))
        | {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{stack.airflow_url}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": stack.fernet_key,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "AIRFLOW__API__HOST": LOOPBACK,
            "AIRFLOW__API__PORT": str(stack.ports.airflow),
            "AIRFLOW__API__BASE_URL": stack.airflow_url,
            "AIRFLOW__API__DEFAULT_WRAP": "True",
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": stack.session_secret,
            "AIRFLOW__API_AUTH__JWT_SECRET": stack.jwt_secret,
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            # A Dag file that changes is read at once all the same. Reading all every few seconds takes a processor;
            # so the form shows a changed pipeline.yaml a minute later, and a run reads it when it starts.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
            # How soon tasks are taken over that a dead scheduler had queued. Airflow's default is 5 minutes.
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
            # All processes are on this machine, so the scheduler sees at once that a worker has ended.
            "ENRICHMENT_SHORTEST_DEFERRAL_SECONDS": "15",
            **_PATIENT,
            # Otherwise setproctitle overwrites the environment in /proc, from which we read the marker.
            "SPT_NOENV": "1",
            "PYTHONUNBUFFERED": "1",
        }
    )


def _on_postgres(stack: Stack) -> dict[str, str]:
    # The API server handles up to 40 calls at once, and each of them needs a connection.
    return {METADATA: stack.postgres_uri, "AIRFLOW__DATABASE__SQL_ALCHEMY_MAX_OVERFLOW": "35"}
