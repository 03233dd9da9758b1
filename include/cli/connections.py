"""The connections of a command: the environment's, else those of the running stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from include.stack.folder import StackFolder
from include.stack.processes import marked_processes
from include.stack.stack import ANTHROPIC, CONNECTION_VARIABLES, read_stack

CONNECTION_PREFIX = "AIRFLOW_CONN_"


class MissingVariables(Exception):
    """
    The environment does not say where to read, ask and write, and no stack runs that could.

    :param names: the variables that are missing
    """

    def __init__(self, message: str, *, names: Sequence[str]) -> None:
        super().__init__(message)
        self.names = names


def connection_variables(
    folder: StackFolder, environment: Mapping[str, str], names: Sequence[str] = CONNECTION_VARIABLES
) -> dict[str, str]:
    """
    Where to read, ask and write: what the environment says, and where it is silent, what the running stack says.

    :param names: which of these variables are needed

    Raises MissingVariables if neither says it.
    """
    given = {name: environment[name] for name in names if environment.get(name)}
    missing = [name for name in names if name not in given]
    if not missing:
        return given
    stack = read_stack(folder)
    found = dict(stack.connections) if stack and marked_processes(folder) else {}
    if absent := [name for name in missing if name not in found]:
        why = "No stack runs here that could say."
        if found:
            why = (
                "The stack that runs here uses the real API and does not hand on its key."
                if ANTHROPIC in absent
                else "The stack that runs here has none of that name."
            )
        raise MissingVariables(
            f"Not set: {', '.join(absent)}. {why}\nSet what is missing, as docs/configuration.md shows"
            f"{'' if found else '; or start the embedded stack with `make demo`, and use its own'}.",
            names=absent,
        )
    return {name: given.get(name) or found[name] for name in names}
