"""The functions of a pipeline's tools.py, which is run here and nowhere else."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, wraps
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
#: The most calls of tools that are made at a time.
_AT_ONCE = 32
#: User and password in an address, and the value of whatever is named like a secret: no log may hold them.
_CREDENTIALS = re.compile(
    r"(?P<before>://)[^\s/@]*(?P<after>@)"
    r"|(?P<name>(?:password|passwd|pwd|secret|token|api[_-]?key|authorization)\w*[\"']?\s*[=:]\s*)"
    r"(?:(?:bearer|basic)\s+)?(?:\"[^\"]*\"|'[^']*'|[^\s,;&)}]+)",
    re.IGNORECASE,
)


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
        #: Of tools alone: slow ones must not hold up the lake, or the lease on the chunk.
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="tool")
        self._binders = {tool.name: _binder(functions[tool.name]) for tool in tools}

    async def call_in_thread(self, name: str, given: Mapping[str, Any], *, idempotency_key: str) -> Result:
        """Return what call() returns, and let other rows go on meanwhile."""
        called = partial(self.call, name, given, idempotency_key=idempotency_key)
        return await asyncio.get_running_loop().run_in_executor(self._threads, called)

    def call(self, name: str, given: Mapping[str, Any], *, idempotency_key: str) -> Result:
        """
        Call a tool with the input that the model gave, and return its result as text or JSON.

        The text of an exception never gets to the model: it can hold a password. The model learns its type, and the
        log has the rest without credentials. Raises OutcomeUnknown if a writing tool raised WRITING_TRIES times.
        """
        function, writes = self._functions[name], self._tools[name].writes
        try:
            arguments = self._binders[name](**given, **({IDEMPOTENCY_KEY: idempotency_key} if writes else {}))
        except ValidationError as error:
            facts = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            return Result(content=f"The input does not fit: {facts}", is_error=True)
        for number in range(1, WRITING_TRIES + 1 if writes else 2):
            try:
                result = function(**arguments)
            # Everything: an exit of the tool must not end the task, which holds answers of other rows.
            except BaseException as error:
                kind = type(error).__name__
                log.warning("Tool %s raised %s: %s", name, kind, _readable(error)[:1_000])
                if writes and number == WRITING_TRIES:
                    raise OutcomeUnknown(f"{name} raised {kind} {WRITING_TRIES} times, and may have acted") from None
            else:
                return _as_result(result)
            if writes:
                time.sleep(_PAUSE_SECONDS * number)
        return Result(content=f"The tool failed with {kind}.", is_error=True)


def load_functions(folder: Path, tools: Sequence[Tool]) -> Functions:
    """
    Run tools.py and return its functions.

    :param folder: of the pipeline
    :param tools: those of the run

    Raises SpecError if tools.py cannot be run, defines other tools than the run has, or one that cannot be called.
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
        return Functions(tools, {tool.name: getattr(module, tool.name) for tool in tools})
    except (Exception, SystemExit) as error:
        raise SpecError(
            f"{where}: cannot be run: {type(error).__name__}: {_readable(error)[:500]}. Nothing was sent. Correct the"
            " file and clear this task."
        ) from None


def _readable(error: BaseException) -> str:
    """Return the text of an exception without credentials."""
    try:
        return _CREDENTIALS.sub(r"\g<name>\g<before>***\g<after>", str(error))
    except Exception:  # str() of an exception runs the tool's code, which can raise anything
        return "its text cannot be read"


def _binder(function: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """
    Return what turns the input of a call into arguments as its annotations want them. It raises ValidationError.

    Raises TypeError, NameError or pydantic's error if it is no function, or has a type that the file does not define.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def arguments(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return dict(signature.bind(*args, **kwargs).arguments)

    return validate_call(arguments)


def _as_result(result: object) -> Result:
    try:
        text = result if isinstance(result, str) else msgspec.json.encode(result, enc_hook=str).decode()
    except Exception as error:  # the tool has acted, and is not called again
        kind = type(error).__name__
        return Result(content=f"The tool has ended, but its result cannot be written as JSON ({kind}).", is_error=True)
    text = text.encode(errors="replace").decode()  # half a character cannot be stored or sent
    if len(text) <= _RESULT_CHARACTERS:
        return Result(content=text)
    return Result(content=f"{text[:_RESULT_CHARACTERS]}\n(cut: the result has {len(text):,} characters)")
