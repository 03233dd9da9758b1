"""The configuration of supervisord, and the states of its processes."""

from __future__ import annotations

import shlex
import sys
from http.client import HTTPException
from pathlib import Path
from xmlrpc.client import Error, ServerProxy

from include.stack.environment import MARKER
from include.stack.folder import ROOT, StackFolder, write_private
from include.stack.postgres_server import cluster_at
from include.stack.stack import LOOPBACK, Stack


def configuration(stack: Stack) -> str:
    """
    Return supervisor.conf for this stack. It contains commands and the control password, never a connection.

    supervisord is controlled over a loopback port with a password instead of a unix socket, whose path is limited to
    about 100 characters. It restarts a process that ends, whatever the exit status.
    """
    folder = StackFolder(path=stack.folder, kept=stack.kept)
    head = f"""\
[supervisord]
nodaemon=true
silent=true
logfile={_value(folder.logs / "supervisord.log")}
pidfile={_value(folder.path / "supervisord.pid")}
childlogdir={_value(folder.logs)}

[inet_http_server]
port={LOOPBACK}:{stack.ports.control}
username=stack
password={stack.control_password}

[supervisorctl]
serverurl=http://{LOOPBACK}:{stack.ports.control}
username=stack
password={stack.control_password}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    database = "" if stack.no_postgres else _database(stack, folder)
    programs = [_program(name, command, folder) for name, command in _commands(stack, folder).items()]
    return head + database + "".join(programs)


def write_configuration(stack: Stack, folder: StackFolder) -> None:
    """Write supervisor.conf, readable only by its owner."""
    write_private(folder.supervisor_conf, configuration(stack))


def failed_processes(stack: Stack) -> list[str]:
    """Return the processes that supervisord has given up starting; none while supervisord itself is starting."""
    url = f"http://stack:{stack.control_password}@{LOOPBACK}:{stack.ports.control}/RPC2"
    try:
        with ServerProxy(url) as server:
            found = server.supervisor.getAllProcessInfo()
    except (OSError, HTTPException, Error):
        return []
    assert isinstance(found, list)
    return [str(process["name"]) for process in found if process["statename"] == "FATAL"]


def _commands(stack: Stack, folder: StackFolder) -> dict[str, list[str]]:
    python = sys.executable
    airflow = [python, "-m", "airflow"]
    emulator = [python, "-m", "include.emulator", "--port", str(stack.ports.emulator)]
    emulator += ["--state", str(folder.emulator_state), "--processing-seconds", f"{stack.processing_seconds:g}"]
    refunds = [python, "-m", "include.stack.refunds", "--port", str(stack.ports.refunds)]
    return {
        "refunds": [*refunds, "--file", str(folder.refunds)],
        "s3": [python, "-m", "moto.server", "--host", LOOPBACK, "--port", str(stack.ports.s3)],
        **({} if stack.real_api else {"emulator": emulator}),
        # All processes share a disk, from which task logs are read. No log server is needed.
        "api-server": [*airflow, "api-server"],
        # Tasks are forked from the scheduler, so they need not import what it has imported.
        "scheduler": ["env", "CLAUDE_BATCH_PRELOAD=True", *airflow, "scheduler", "--skip-serve-logs"],
        "dag-processor": [*airflow, "dag-processor"],
        "triggerer": [*airflow, "triggerer", "--skip-serve-logs"],
    }


def _database(stack: Stack, folder: StackFolder) -> str:
    """Return the program of Postgres. It starts first, with an empty environment and for root as another user."""
    cluster = cluster_at(folder.postgres)
    command = cluster.command(stack.ports.postgres, {MARKER: str(folder.path)})
    user = f"user={cluster.user}\n" if cluster.user else ""
    return f"{_program('postgres', command, folder, directory=cluster.folder)}priority=1\nstopsignal=INT\n{user}"


def _program(name: str, command: list[str], folder: StackFolder, *, directory: Path = ROOT) -> str:
    return f"""
[program:{name}]
command={_value(shlex.join(command))}
directory={_value(directory)}
autorestart=true
startsecs=3
startretries=3
stopwaitsecs=6
killasgroup=true
redirect_stderr=true
stdout_logfile={_value(folder.logs / name)}.log
"""


def _value(value: object) -> str:
    """Escape a value, because supervisord expands ``%(…)s`` everywhere."""
    return str(value).replace("%", "%%")
