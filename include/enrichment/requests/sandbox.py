"""Jinja's sandbox for prompts. Whatever the template contains, a row gives the same text in every process."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache, wraps
from typing import Any

import jinja2
import msgspec
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import FILTERS, do_xmlattr
from jinja2.runtime import Context, LoopContext, Macro, TemplateReference, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Cycler, Joiner, Namespace, pass_eval_context

from include.enrichment.requests.conversion import convert_result, to_prompt_value, unwrap_value
from include.enrichment.requests.json_text import to_json
from include.enrichment.requests.prompt_values import NULL, PROMPT_TYPES, Foreign, NoText, UnsupportedValue

#: Filters that return NULL for NULL: in Jinja they fail on a text, or on an empty one.
_NULL_GIVES_NULL = frozenset(
    ("abs", "attr", "dictsort", "filesizeformat", "first", "items", "last", "max", "min", "round", "xmlattr")
)
#: Filters of texts that, unlike Jinja's others, do not convert a date or a number themselves.
_TEXT_FILTERS = ("indent", "truncate", "wordwrap")
_TAG = re.compile(r"[A-Za-z][\w-]*", re.ASCII)
#: Characters within a tag that are invisible, or that a reader ignores.
_UNSEEN = r"[\s\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]*"
#: Methods of a date that read the worker's clock or zone.
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
    """A missing value, which has no text within a list either."""

    __slots__ = ()
    __repr__ = jinja2.StrictUndefined.__str__


class _Nothing(jinja2.Undefined):
    """The value of ``'a' if b`` without an else."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "''"


class _Range(NoText):
    why = "range has no text: call it, as in range(3)"

    def __call__(self, *arguments: int) -> range:
        return safe_range(*arguments)


class _Cycler(NoText, Cycler):
    why = "a cycler has no text: call it, as in name.next()"


class _Joiner(NoText, Joiner):
    why = "a joiner has no text: call it, as in name()"


class _Namespace(NoText, Namespace):
    why = "a namespace has no text: name an attribute, as in name.total"


class _Macro(NoText, Macro):
    why = "a macro has no text: call it, as in name()"


class _Loop(NoText, LoopContext):
    why = "`loop` has no text in a for: name an attribute, as in loop.index"


class _Self(NoText, TemplateReference):
    why = "`self` has no text in a file with blocks: call a block, as in self.title()"


#: Replacements for the names that a compiled template takes from Jinja.
RUNTIME = {"LoopContext": _Loop, "Macro": _Macro, "TemplateReference": _Self, "Undefined": _Nothing}


class Sandbox(ImmutableSandboxedEnvironment):
    """
    Jinja in which every expression has a type of prompt_values.py: rows are converted before, and the results of
    operators, filters, attributes and calls here.
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
        del self.globals["lipsum"]
        self.filters = _FILTERS
        for name in ("divisibleby", "even", "iterable", "odd", "sequence", "string"):  # a NULL is none of these
            self.tests[name] = _not_null(self.tests[name])
        self.tests.update(none=_is_none, sameas=_is_same)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        try:
            found = self.binop_table[operator](left, right)
        except TypeError as error:
            if left is NULL or right is NULL:
                raise UnsupportedValue(
                    f"NULL cannot be used with `{operator}`: give it a default, as in (column or 0)"
                ) from error
            raise
        return found if type(found) in PROMPT_TYPES else convert_result(found, operator)

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        return convert_result(super().call_unop(context, operator, arg), operator)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if obj is NULL:
            return NULL
        if isinstance(obj, dict):  # keys precede methods, which are found only in calls
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
        if type(found) in PROMPT_TYPES or isinstance(found, Undefined):
            return found
        if callable(found):
            return self.undefined(f"{name!r} is a method here, not a value: call it, {name}(…)", obj=obj)
        return convert_result(found, f".{name}")

    def method(self, obj: Any, name: str) -> Any:
        """Return the function that ``obj.name(…)`` calls."""
        if obj is NULL:
            return NULL
        if isinstance(obj, date) and name in _CLOCK:
            raise UnsupportedValue(
                f"{name}() differs in each run, but the same row must make the same request: use a column"
            )
        return self._found(super().getattr, obj, name)

    @staticmethod
    def _found(look: Callable[[Any, Any], Any], obj: Any, name: Any) -> Any:
        """Return the value's own attribute, else that of its text if it has become a text."""
        found = look(unwrap_value(obj), name)
        return look(str(obj), name) if isinstance(found, Undefined) and isinstance(obj, Foreign) else found

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        if obj is NULL:
            return NULL
        found = super().call(context, obj, *args, **kwargs)
        if type(found) in PROMPT_TYPES:
            return found
        if type(found) in (dict, list, tuple):
            return to_prompt_value(found)
        return convert_result(found, f"{getattr(obj, '__name__', 'a call')}()")


def _converting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter with its results, and where needed its arguments, converted."""
    source = f"| {name}"

    @wraps(function)
    def filtered(*args: Any, **kwargs: Any) -> Any:
        found = function(*args, **kwargs)
        return found if type(found) in PROMPT_TYPES else convert_result(found, source)

    @wraps(function)
    def filtered_or_null(*args: Any, **kwargs: Any) -> Any:
        return NULL if any(value is NULL for value in args) else filtered(*args, **kwargs)

    @wraps(function)
    def filtered_text(*args: Any, **kwargs: Any) -> Any:
        return filtered(*(str(v) if isinstance(v, date | time | timedelta | Decimal) else v for v in args), **kwargs)

    if name in _TEXT_FILTERS:
        return filtered_text
    return filtered_or_null if name in _NULL_GIVES_NULL else filtered


def _tojson(value: object, indent: int | None = None) -> str:
    text = to_json(value)
    return text if indent is None else msgspec.json.format(text, indent=indent)


@pass_eval_context
def _xmlattr(context: nodes.EvalContext, attributes: Mapping[str, Any], autospace: bool = True) -> str:
    return do_xmlattr(context, {name: None if v is NULL else v for name, v in attributes.items()}, autospace)


def _enclosed(value: object, tag: str, *others: str) -> str:
    """
    Return the text of a value between two tags, neither of which it contains.

    :param others: the names of other tags of the prompt that it must not contain either
    """
    for name in (tag, *others):
        if not isinstance(name, str) or not _TAG.fullmatch(name):
            raise UnsupportedValue(f"enclosed needs the name of a tag, as in enclosed('answer'), not {name!r}")
    text = "" if value is NULL else to_json(value) if isinstance(value, dict | list | tuple) else str(value)
    return f"<{tag}>\n{_tag_starts(tag, *others).sub('&lt;', text)}\n</{tag}>"


@lru_cache(maxsize=64)
def _tag_starts(*names: str) -> re.Pattern[str]:
    """Return a pattern for the ``<`` of each tag of these names, however it is written."""
    spelled = "|".join(_UNSEEN.join(map(re.escape, name)) for name in names)
    return re.compile(f"[<\uff1c\ufe64](?={_UNSEEN}/?{_UNSEEN}(?:{spelled}))", re.IGNORECASE)


#: Made once: for each template it would take longer than compiling most of them.
_FILTERS = {
    name: _converting(name, function)
    for name, function in {**FILTERS, "enclosed": _enclosed, "tojson": _tojson, "xmlattr": _xmlattr}.items()
    if name != "random"
}


def _not_null(test: Any) -> Callable[..., bool]:
    return lambda value, *arguments: value is not NULL and test(value, *arguments)


def _is_none(value: object) -> bool:
    return value is None or value is NULL


def _is_same(value: object, other: object) -> bool:
    return value is other or (_is_none(value) and _is_none(other))
