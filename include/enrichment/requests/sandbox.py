"""Jinja's sandbox for prompts: whatever a template writes, the same row gives the same text in every process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from functools import wraps
from typing import Any

import jinja2
import msgspec
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import do_xmlattr
from jinja2.runtime import Context, LoopContext, Macro, TemplateReference, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Cycler, Joiner, Namespace, pass_eval_context

from include.enrichment.requests.json_text import to_json
from include.enrichment.requests.prompt_values import (
    AS_IT_IS,
    NULL,
    Foreign,
    NoText,
    UnsupportedValue,
    settled,
    to_prompt_value,
    unwrap_value,
)

#: Filters of numbers, attributes and mappings that Jinja has fail on a text, and those that fail on an empty one.
_NULL_GIVES_NULL = (
    *("abs", "attr", "dictsort", "filesizeformat", "first", "items", "last", "max", "min", "round", "xmlattr"),
)
#: Filters of texts that make none of a date or a number themselves, as Jinja's others do.
_OF_TEXTS = ("indent", "truncate", "wordwrap")
#: Methods of a date that ask the worker's clock or zone.
_CLOCK = ("fromtimestamp", "now", "today", "utcfromtimestamp", "utcnow")


class _CodeGenerator(CodeGenerator):
    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        if node.ctx != "call":
            super().visit_Getattr(node, frame)
            return
        self.write("environment.method(")
        self.visit(node.node, frame)
        self.write(f", {node.attr!r})")


class _Missing(jinja2.StrictUndefined):
    """What is not there has no text within a list either."""

    __slots__ = ()
    __repr__ = jinja2.StrictUndefined.__str__


class _Nothing(jinja2.Undefined):
    """What ``'a' if b`` gives without an else."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "''"


class _Range(NoText):
    why = "range has no text of its own: call it, as in range(3)"

    def __call__(self, *arguments: int) -> range:
        return safe_range(*arguments)


class _Cycler(NoText, Cycler):
    why = "a cycler has no text of its own: call it, as in name.next()"


class _Joiner(NoText, Joiner):
    why = "a joiner has no text of its own: call it, as in name()"


class _Namespace(NoText, Namespace):
    why = "a namespace has no text of its own: name what is in it, as in name.total"


class _Macro(NoText, Macro):
    why = "a macro has no text of its own: call it, as in name()"


class _Loop(NoText, LoopContext):
    why = "`loop` has no text of its own within a for: name what is in it, as in loop.index"


class _Self(NoText, TemplateReference):
    why = "`self` has no text of its own in a file with blocks: name one, as in self.title()"


#: What a compiled template takes from Jinja by name, and takes from here instead.
RUNTIME = {"LoopContext": _Loop, "Macro": _Macro, "TemplateReference": _Self, "Undefined": _Nothing}


class Sandbox(ImmutableSandboxedEnvironment):
    """
    Jinja in which every expression gives values as values.py has them: rows come so, and what operators, filters,
    attributes and calls give is made so.
    """

    code_generator_class = _CodeGenerator
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)
    intercepted_unops = frozenset(ImmutableSandboxedEnvironment.default_unop_table)
    null = NULL

    def __init__(self) -> None:
        super().__init__(
            undefined=_Missing,
            keep_trailing_newline=False,
            finalize=lambda value: "" if value is None else value,
            autoescape=False,
        )
        self.globals.update(range=_Range(), cycler=_Cycler, joiner=_Joiner, namespace=_Namespace)
        del self.globals["lipsum"], self.filters["random"]
        self.filters.update(tojson=_tojson, xmlattr=_xmlattr)
        self.filters = {name: _settled(name, function) for name, function in self.filters.items()}
        for name in ("divisibleby", "even", "iterable", "odd", "sequence", "string"):  # what a NULL is not
            self.tests[name] = _not_null(self.tests[name])
        self.tests.update(none=_is_none, sameas=_is_same)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        try:
            found = self.binop_table[operator](left, right)
        except TypeError as error:
            if left is NULL or right is NULL:
                raise UnsupportedValue(
                    f"NULL `{operator}` a value is nothing: say what counts for it, as in (column or 0)"
                ) from error
            raise
        return found if type(found) in AS_IT_IS else settled(found, operator)

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        return settled(super().call_unop(context, operator, arg), operator)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if obj is NULL:
            return NULL
        if isinstance(obj, dict):  # a mapping has its keys, and its methods where they are called
            return self.getitem(obj, attribute)
        return self._value(self._found(super().getattr, obj, attribute), obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if obj is NULL:
            return NULL
        if isinstance(obj, dict):
            try:
                return obj[argument]
            except (KeyError, TypeError):
                return self.undefined(obj=obj, name=argument)
        return self._value(self._found(super().getitem, obj, argument), obj, argument)

    def _value(self, found: Any, obj: Any, name: object) -> Any:
        if type(found) in AS_IT_IS or isinstance(found, Undefined):
            return found
        if callable(found):
            return self.undefined(f"{name!r} is a method here and no value: call it, {name}(…)", obj=obj)
        return settled(found, f".{name}")

    def method(self, obj: Any, name: str) -> Any:
        """What is called by ``obj.name(…)``."""
        if obj is NULL:
            return NULL
        if isinstance(obj, date) and name in _CLOCK:
            raise UnsupportedValue(
                f"{name}() is another in each run, and the same row must be the same request: take it from a column"
            )
        return self._found(super().getattr, obj, name)

    @staticmethod
    def _found(look: Callable[[Any, Any], Any], obj: Any, name: Any) -> Any:
        """What a value has itself; of one that is a text here, else what the text has."""
        found = look(unwrap_value(obj), name)
        return look(str(obj), name) if isinstance(found, Undefined) and isinstance(obj, Foreign) else found

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        if obj is NULL:
            return NULL
        found = super().call(context, obj, *args, **kwargs)
        if type(found) in AS_IT_IS:
            return found
        if type(found) in (dict, list, tuple):
            return to_prompt_value(found)
        return settled(found, f"{getattr(obj, '__name__', 'a call')}()")


def _settled(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    source = f"| {name}"

    @wraps(function)
    def filtered(*args: Any, **kwargs: Any) -> Any:
        found = function(*args, **kwargs)
        return found if type(found) in AS_IT_IS else settled(found, source)

    @wraps(function)
    def filtered_or_null(*args: Any, **kwargs: Any) -> Any:
        return NULL if any(value is NULL for value in args) else filtered(*args, **kwargs)

    @wraps(function)
    def filtered_text(*args: Any, **kwargs: Any) -> Any:
        return filtered(*(str(v) if isinstance(v, date | time | timedelta | Decimal) else v for v in args), **kwargs)

    if name in _OF_TEXTS:
        return filtered_text
    return filtered_or_null if name in _NULL_GIVES_NULL else filtered


def _tojson(value: object, indent: int | None = None) -> str:
    text = to_json(value)
    return text if indent is None else msgspec.json.format(text, indent=indent)


@pass_eval_context
def _xmlattr(context: nodes.EvalContext, attributes: Mapping[str, Any], autospace: bool = True) -> str:
    return do_xmlattr(context, {name: None if v is NULL else v for name, v in attributes.items()}, autospace)


def _not_null(test: Any) -> Callable[..., bool]:
    return lambda value, *arguments: value is not NULL and test(value, *arguments)


def _is_none(value: object) -> bool:
    return value is None or value is NULL


def _is_same(value: object, other: object) -> bool:
    return value is other or (_is_none(value) and _is_none(other))
