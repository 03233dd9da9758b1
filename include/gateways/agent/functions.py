"""The functions of a pipeline's tools.py, which is run here and nowhere else."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError, validate_call

from include.enrichment.agent.tool_file import IDEMPOTENCY_KEY, Tool, read_tools
from include.enrichment.errors import SpecError

log = logging.getLogger(__name__)

#: How often a writing tool that raises is called, with the same idempotency key, and the pause before the second call.
WRITING_TRIES = 3
_PAUSE_SECONDS = 1.0
#: The longest result that the model gets; it is billed again with each turn that follows.
_RESULT_CHARACTERS = 50_000
#: User and password in an address, which no log may hold.
_CREDENTIALS = re.compile(r"://[^\s/@]*@")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What the model gets of a call."""

    content: str
    is_error: bool = False


class OutcomeUnknown(Exception):
    """A writing tool raised each time, and may have acted. The message names the tool and the type of the error."""


class Functions:
    """
    The functions behind a pipeline's tools.

    :param tools: as the run has them; see load_functions()
    """

    def __init__(self, tools: Sequence[Tool], functions: Mapping[str, Callable[..., Any]]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._functions = functions

    def call(self, name: str, given: Mapping[str, Any], *, idempotency_key: str) -> Result:
        """
        Call a tool with the input that the model gave, and return its result as text or JSON.

        The text of an exception never gets to the model: it can hold a password. The model learns its type, and the
        log has the rest without credentials. Raises OutcomeUnknown if a writing tool raised WRITING_TRIES times.
        """
        function, writes = self._functions[name], self._tools[name].writes
        try:
            arguments = _bind(function, {**given, **({IDEMPOTENCY_KEY: idempotency_key} if writes else {})})
        except ValidationError as error:
            facts = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            return Result(content=f"The input does not fit: {facts}", is_error=True)
        for number in range(1, WRITING_TRIES + 1 if writes else 2):
            try:
                return Result(content=_as_text(function(**arguments)))
            except Exception as error:
                kind = type(error).__name__
                log.warning("Tool %s raised %s: %s", name, kind, _CREDENTIALS.sub("://***@", str(error))[:1_000])
                if writes and number == WRITING_TRIES:
                    raise OutcomeUnknown(f"{name} raised {kind} {WRITING_TRIES} times, and may have acted") from error
            if writes:
                time.sleep(_PAUSE_SECONDS * number)
        return Result(content=f"The tool failed with {kind}.", is_error=True)


def load_functions(folder: Path, tools: Sequence[Tool]) -> Functions:
    """
    Run tools.py and return its functions.

    :param folder: of the pipeline
    :param tools: those of the run

    Raises SpecError if tools.py cannot be run, or defines other tools than the run has.
    """
    path = folder / "tools.py"
    where = f"{folder.name}/tools.py"
    try:
        now, _ = read_tools(path.read_text(encoding="utf-8-sig"), ask_first={one.name: one.ask_first for one in tools})
    except OSError as error:
        raise SpecError(f"{where}: cannot be read: {error.strerror}. Nothing was sent.") from error
    if now != list(tools):
        changed = ", ".join(one.name for one in tools if one not in now)
        raise SpecError(
            f"{where}: the definition of {changed} is not the one that this run has. Nothing was sent. Clear `extract`"
            " with downstream, which makes new requests, or restore the definition."
        )
    spec = importlib.util.spec_from_file_location(f"tools_of_{folder.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic finds the types of a function in the module of its name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SpecError(
            f"{where}: cannot be run: {type(error).__name__}: {_CREDENTIALS.sub('://***@', str(error))[:500]}. Nothing"
            " was sent. Correct the file and clear this task."
        ) from error
    return Functions(tools, {tool.name: getattr(module, tool.name) for tool in tools})


def _bind(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call as its annotations want them. Raises pydantic's ValidationError."""

    @wraps(function)
    def arguments(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return dict(inspect.signature(function).bind(*args, **kwargs).arguments)

    bound: dict[str, Any] = validate_call(arguments)(**given)
    return bound


def _as_text(result: object) -> str:
    text = result if isinstance(result, str) else msgspec.json.encode(result, enc_hook=str).decode()
    if len(text) <= _RESULT_CHARACTERS:
        return text
    return f"{text[:_RESULT_CHARACTERS]}\n(cut: the result has {len(text):,} characters)"
