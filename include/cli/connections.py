"""The connections of a command: those of the environment, else those of the running stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from include.enrichment.errors import nearest_of
from include.stack.folder import StackFolder
from include.stack.processes import marked_processes, running_demo
from include.stack.stack import ANTHROPIC, AWS, CONNECTION_VARIABLES, LAKE, read_stack

if TYPE_CHECKING:
    from include.enrichment.spec.pipeline import Pipeline

CONNECTION_PREFIX = "AIRFLOW_CONN_"


class MissingVariables(Exception):
    """
    Connection variables are not set, and no running stack provides them.

    :param names: the missing variables
    """

    def __init__(self, message: str, *, names: Sequence[str]) -> None:
        super().__init__(message)
        self.names = names


def connection_variables(
    folder: StackFolder, environment: Mapping[str, str], names: Sequence[str] = CONNECTION_VARIABLES
) -> dict[str, str]:
    """
    Return the connection variables of the environment, completed by those of the running stack.

    :param names: the required variables

    Raises MissingVariables if neither has one of them.
    """
    given = {name: environment[name] for name in names if environment.get(name)}
    missing = [name for name in names if name not in given]
    if not missing:
        return given
    stack = read_stack(folder)
    up = stack is not None and not stack.starting and marked_processes(folder)
    found = dict(stack.connections) if stack and up else {}
    if absent := [name for name in missing if name not in found]:
        unset = f"Not set: {', '.join(absent)}."
        if not up and (pid := running_demo(folder)):
            raise MissingVariables(
                f"{unset} The demo (process {pid}) will provide them, but it is still starting. Wait until it says that"
                " it starts Airflow, usually half a minute.",
                names=absent,
            )
        why = "No demo is running that could provide them."
        if found:
            why = (
                "The running demo uses the real API and does not share its key."
                if ANTHROPIC in absent
                else "The running demo has no connection of that name."
            )
        raise MissingVariables(
            f"{unset} {why}\nSet them as docs/configuration.md shows"
            f"{'' if found else ', or start `make demo` to use its connections'}.",
            names=absent,
        )
    return {name: given.get(name) or found[name] for name in names}


def run_variables(folder: StackFolder, environment: Mapping[str, str], pipeline: Pipeline) -> dict[str, str]:
    """
    Return the connection variables that a run of the pipeline needs.

    Tools name their connections in code, so a pipeline with tools gets all those of the running stack besides. If only
    the pipeline's own is missing, MissingVariables has the closest name.
    """
    connection = pipeline.settings.source.connection
    source = f"{CONNECTION_PREFIX}{connection.upper()}" if connection else LAKE  # a table is on the lake
    try:
        needed = connection_variables(folder, environment, list(dict.fromkeys((ANTHROPIC, AWS, source, LAKE))))
    except MissingVariables as error:
        if connection is None or error.names != [source]:
            raise
        stack = read_stack(folder)
        names = [*environment, *(stack.connections if stack else ())]
        known = sorted(
            {name.removeprefix(CONNECTION_PREFIX).lower() for name in names if name.startswith(CONNECTION_PREFIX)}
        )
        raise MissingVariables(
            f"{pipeline.location('source.connection')}: there is no connection {connection!r}"
            f"{nearest_of(connection, known)}.\nName one of these, or set {source} as"
            " docs/configuration.md shows.",
            names=error.names,
        ) from None
    stack = read_stack(folder) if pipeline.tools else None
    others = stack.connections if stack and marked_processes(folder) else {}
    return {**others, **{name: environment[name] for name in others if environment.get(name)}, **needed}
