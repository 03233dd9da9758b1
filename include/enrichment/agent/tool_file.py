"""
Reads the tools of a pipeline from the text of its tools.py, without running it: a Dag file that is parsed, `make check`
and a pipeline that is stored with its run need the definitions, and only the task that acts needs the functions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from include.enrichment.errors import nearest_of

#: The parameter that makes a tool a writing one. The model does not see it.
IDEMPOTENCY_KEY = "idempotency_key"
#: The API's rule for the name of a tool and of a property of its input.
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NAME_RULE = "the API takes names of up to 64 ASCII letters, digits, hyphens and underscores"
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_PARAM = re.compile(r":param (\w+):\s*")
_KNOWN = "str, int, float, bool, Literal[…], list[…] of them, or one of these | None"


class Tool(BaseModel):
    """
    A tool as the API gets it.

    :param description: the function's docstring without its parameters
    :param input_schema: the JSON schema of its parameters
    :param writes: it changes something outside, and gets an idempotency key
    :param ask_first: each call waits until a person has approved it
    """

    model_config = ConfigDict(frozen=True, strict=True)

    name: str
    description: str
    input_schema: dict[str, Any]
    writes: bool = False
    ask_first: bool = False

    @property
    def definition(self) -> dict[str, Any]:
        """The member of ``tools`` in a Messages request. The API then guarantees that an input fits the schema."""
        return {
            "name": self.name,
            "description": self.description,
            "strict": True,
            "input_schema": self.input_schema,
        }


class _Mistake(ValueError):
    def __init__(self, node: ast.AST, fact: str) -> None:
        super().__init__(fact)
        self.line = getattr(node, "lineno", 1)


def read_tools(source: str, *, ask_first: Mapping[str, bool]) -> tuple[list[Tool], list[tuple[int, str]]]:
    """
    Return the tools of a pipeline and the mistakes in tools.py, each with its line.

    A tool is a plain function with a docstring, whose parameters all have a type that JSON has. ``:param name:`` in the
    docstring describes a parameter. A tool that changes something outside takes a keyword ``idempotency_key: str``.

    :param ask_first: the names of the functions, each with whether a person approves its calls
    """
    try:
        functions = {node.name: node for node in ast.parse(source).body if isinstance(node, _FUNCTIONS)}
    except SyntaxError as error:
        return [], [(error.lineno or 1, f"is not Python: {error.msg}")]
    tools, mistakes = [], []
    for name, asks in ask_first.items():
        if name not in functions:
            mistakes.append((1, f"there is no function {name!r}{nearest_of(name, _public(functions))}"))
            continue
        try:
            tools.append(_tool(functions[name], ask_first=asks))
        except _Mistake as mistake:
            mistakes.append((mistake.line, f"{name}: {mistake}"))
    return tools, mistakes


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _public(names: Collection[str]) -> list[str]:
    return [name for name in names if not name.startswith("_")]


def _tool(function: ast.FunctionDef | ast.AsyncFunctionDef, *, ask_first: bool) -> Tool:
    if isinstance(function, ast.AsyncFunctionDef):
        raise _Mistake(function, "is async: write a plain function, which runs in a thread of its own")
    if not _NAME.fullmatch(function.name):
        raise _Mistake(function, _NAME_RULE)
    description, of_parameters = _described(ast.get_docstring(function) or "")
    if not description:
        raise _Mistake(function, "has no docstring: Claude knows a tool by its description")
    properties: dict[str, Any] = {}
    required: list[str] = []
    writes = False
    for parameter, has_default in _parameters(function):
        if parameter.arg == IDEMPOTENCY_KEY:
            if parameter not in function.args.kwonlyargs or has_default:
                raise _Mistake(parameter, f"{IDEMPOTENCY_KEY} must be a keyword without a default: *, {parameter.arg}")
            if _schema(parameter.annotation or parameter) != {"type": "string"}:
                raise _Mistake(parameter, f"{IDEMPOTENCY_KEY} must be a str")
            writes = True
            continue
        if not _NAME.fullmatch(parameter.arg):
            raise _Mistake(parameter, f"{parameter.arg}: {_NAME_RULE}")
        schema = _schema(parameter.annotation or parameter)
        about = of_parameters.get(parameter.arg)
        properties[parameter.arg] = {**schema, **({"description": about} if about else {})}
        if not has_default:
            required.append(parameter.arg)
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Tool(name=function.name, description=description, input_schema=schema, writes=writes, ask_first=ask_first)


def _parameters(function: ast.FunctionDef) -> Iterator[tuple[ast.arg, bool]]:
    """Yield each parameter with whether it has a default."""
    arguments = function.args
    for one in (arguments.vararg, arguments.kwarg, *arguments.posonlyargs):
        if one:
            raise _Mistake(one, f"{one.arg} cannot be a property of JSON: give each parameter a name of its own")
    first = len(arguments.args) - len(arguments.defaults)
    yield from ((one, number >= first) for number, one in enumerate(arguments.args))
    yield from (
        (one, value is not None) for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    )


def _schema(node: ast.AST) -> dict[str, Any]:
    """Return the JSON schema of an annotation."""
    match node:
        case ast.Name(id=name) if name in _TYPES:
            return {"type": _TYPES[name]}
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return {"type": "array", "items": _schema(item)}
        case ast.Subscript(value=ast.Name(id="Literal"), slice=values):
            chosen = values.elts if isinstance(values, ast.Tuple) else [values]
            if chosen and all(isinstance(one, ast.Constant) and type(one.value) in (str, int, bool) for one in chosen):
                return {"enum": list(dict.fromkeys(one.value for one in chosen if isinstance(one, ast.Constant)))}
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
            return {"anyOf": [_schema(left), {"type": "null"}]}
    fact = (
        f"the type of {node.arg} is missing"
        if isinstance(node, ast.arg)
        else f"{ast.unparse(node)!r} is not a JSON type"
    )
    raise _Mistake(node, f"{fact}. Use {_KNOWN}")


def _described(docstring: str) -> tuple[str, dict[str, str]]:
    """Return the description of the function and those of its parameters, each as one line."""
    whole, *pairs = _PARAM.split(docstring)
    texts = [" ".join(text.split()) for text in (whole, *pairs[1::2])]
    return texts[0], dict(zip(pairs[::2], texts[1:], strict=True))
