"""One prompt file: sandboxed Jinja over a row's columns."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import wraps
from typing import Any

import jinja2
import jinja2.meta
import msgspec
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import do_xmlattr
from jinja2.runtime import Context, LoopContext, Macro, TemplateReference, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace, pass_eval_context
from jinja2.visitor import NodeTransformer

from include.enrichment.errors import SpecError
from include.enrichment.values import AS_IT_IS, NULL, NoText, Refused, bare, plain, settled, to_json

#: Filters of numbers and attributes that Jinja has fail on a text.
_NULL_GIVES_NULL = ("abs", "attr", "filesizeformat", "round")
#: Methods of a date that ask the worker's clock or zone.
_CLOCK = ("fromtimestamp", "now", "today", "utcfromtimestamp", "utcnow")
_WORDS: dict[object, tuple[str, str]] = {True: ("true", "True"), False: ("false", "False"), None: ("none", "None")}


class Template:
    """
    One prompt file: sandboxed Jinja over a row's columns. Whitespace around the text is dropped.

    The same row gives the same text in every process: nothing draws lots (``lipsum``, ``|random``) or asks the clock,
    and what has no text of its own is an error. values.py says what a value's text is.

    Raises SpecError on a syntax error, with the line.
    """

    def __init__(self, text: str, *, file: str) -> None:
        self.file = file
        source = text.strip()
        self._lines_before = text[: text.find(source)].count("\n")
        environment = self._environment = _Environment()
        try:
            self._tree = environment.parse(source)
            self._aliases = _prepare(self._tree, set(environment.globals))
            # from_string() would chain the globals of environment and template: walking through them for each row takes
            # longer than rendering it.
            self._template = environment.template_class.from_code(
                environment, environment.compile(self._tree), dict(environment.globals)
            )
            self._template.root_render_func.__globals__.update(_RUNTIME)
        except jinja2.TemplateSyntaxError as error:
            raise SpecError(f"{file}:{self._lines_before + error.lineno}: {error.message}") from error
        except (SyntaxError, ValueError, RecursionError) as error:  # what Jinja lets Python find
            raise SpecError(f"{file}:1: cannot be compiled: {error}") from error
        for node in self._tree.find_all((nodes.Extends, nodes.FromImport, nodes.Import, nodes.Include)):
            raise SpecError(f"{file}:{self._line(node)}: a prompt is one file and cannot take in another")
        for block in self._tree.find_all(nodes.Block):
            for name in block.find_all(nodes.Name):
                if name.name == "super":
                    raise SpecError(
                        f"{file}:{self._line(name)}: a prompt is one file: there is no block above this one"
                    )
        undeclared = jinja2.meta.find_undeclared_variables(self._tree) - set(environment.globals)
        #: What a column is called in the compiled template, and in the row.
        self._names = {name: self._aliases.get(name, name) for name in undeclared}
        self._constant: str | None = None

    @property
    def columns(self) -> dict[str, int]:
        """The columns it uses, each with the line of its first use."""
        first_lines: dict[str, int] = {}
        for name in self._tree.find_all(nodes.Name):
            if name.name in self._names:
                first_lines.setdefault(self._names[name.name], self._line(name))
        return first_lines

    @property
    def words(self) -> dict[str, int]:
        """The words it uses that stand for something of Jinja's, whatever columns there are, with their lines."""
        first_lines: dict[str, int] = {}
        for word, line in _words(self._tree):
            first_lines.setdefault(word, self._lines_before + line)
        return first_lines

    def render(self, row: Mapping[str, Any]) -> str:
        """The prompt for ``row``. Raises SpecError if the template fails on it."""
        if self._constant is not None:
            return self._constant
        try:
            text = self._template.render(self._values(row))
        except Exception as error:  # a template can raise whatever its expressions raise
            frames = traceback.extract_tb(error.__traceback__)
            line = next((frame.lineno or 1 for frame in reversed(frames) if frame.filename == "<template>"), 1)
            fact = (str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}").rstrip(".")
            raise SpecError(
                f"{self.file}:{self._lines_before + line}: cannot be rendered for a row: {fact}. Nothing was sent."
                " Mend the template and clear this task."
            ) from error
        if not self._names:
            self._constant = text
        return text

    def _values(self, row: Mapping[str, Any]) -> dict[str, object]:
        try:
            return {
                name: value if type(value := row[column]) in AS_IT_IS else plain(value)
                for name, column in self._names.items()
            }
        except KeyError:
            return {
                name: plain(row[column]) if column in row else self._environment.undefined(name=column)
                for name, column in self._names.items()
            }

    def _line(self, node: nodes.Node) -> int:
        return self._lines_before + node.lineno


def _prepare(tree: nodes.Template, helpers: set[str]) -> dict[str, str]:
    """
    Change the tree so that columns come before what Jinja has under the same name, and methods are only called.

    ``range``, ``dict`` … are Jinja's where they are called, as a value cannot be, and ``self`` is where the file has
    blocks, as there is nothing in it without them. Returns what stands for which column then.
    """
    names = list(tree.find_all(nodes.Name))
    calls = list(tree.find_all(nodes.Call))
    for call in calls:
        if isinstance(call.node, nodes.Getattr):
            call.node.ctx = "call"
    helped = {id(call.node) for call in calls if isinstance(call.node, nodes.Name) and call.node.name in helpers}
    taken = {name.name for name in names} | helpers
    own = {name.name for name in names if name.ctx != "load"} | {macro.name for macro in tree.find_all(nodes.Macro)}
    hidden = helpers if tree.find(nodes.Block) else helpers | {"self"}
    aliases: dict[str, str] = {}
    for name in names:
        if name.name in hidden - own and id(name) not in helped:
            alias = f"column_{name.name}"
            while alias in taken:
                alias += "_"
            aliases[alias] = name.name
            name.name = alias
    _Nulls(tree).visit(tree)
    return aliases


class _Nulls(NodeTransformer):
    """
    A ``none`` of the template is a NULL as well, but as an argument of a filter, a test or a method: there it says that
    none is given.
    """

    def __init__(self, tree: nodes.Template) -> None:
        self._kept = {
            id(argument)
            for node in tree.find_all((nodes.Filter, nodes.Test, nodes.Call))
            if isinstance(node, nodes.Filter | nodes.Test | nodes.Call) and _is_given_arguments(node)
            for argument in [*node.args, *(keyword.value for keyword in node.kwargs)]
        }

    def visit_Const(self, node: nodes.Const) -> nodes.Node:
        if node.value is not None or id(node) in self._kept:
            return node
        return nodes.EnvironmentAttribute("null", lineno=node.lineno, environment=node.environment)


def _is_given_arguments(node: nodes.Filter | nodes.Test | nodes.Call) -> bool:
    if isinstance(node, nodes.Call):
        return isinstance(node.node, nodes.Getattr) and node.node.attr != "format"
    return node.name != "format"


def _words(tree: nodes.Template) -> Iterator[tuple[str, int]]:
    for const in tree.find_all((nodes.Const, nodes.EnvironmentAttribute)):
        value = const.value if isinstance(const, nodes.Const) else None
        if value is None or isinstance(value, bool):
            yield from ((word, const.lineno) for word in _WORDS[value])
    bodies: list[tuple[set[str], list[nodes.Node]]] = [({"loop"}, loop.body) for loop in tree.find_all(nodes.For)]
    for macro in tree.find_all((nodes.Macro, nodes.CallBlock)):
        if isinstance(macro, nodes.Macro | nodes.CallBlock):
            bodies.append(({"caller", "kwargs", "varargs"}, macro.body))
    if tree.find(nodes.Block):
        bodies.append(({"self"}, tree.body))
    for words, body in bodies:
        for name in nodes.Output(body).find_all(nodes.Name):
            if name.name in words:
                yield name.name, name.lineno


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


#: What a compiled template takes from Jinja by name.
_RUNTIME = {"LoopContext": _Loop, "Macro": _Macro, "TemplateReference": _Self, "Undefined": _Nothing}


class _Environment(ImmutableSandboxedEnvironment):
    """
    Jinja in which every expression gives values as values.py has them: rows come so, and what operators, filters,
    attributes and calls give is made so.
    """

    code_generator_class = _CodeGenerator
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)
    intercepted_unops = frozenset(ImmutableSandboxedEnvironment.default_unop_table)
    null = NULL

    def __init__(self) -> None:
        super().__init__(undefined=_Missing, keep_trailing_newline=False, finalize=_final, autoescape=False)
        self.globals.update(cycler=_Cycler, joiner=_Joiner, namespace=_Namespace)
        del self.globals["lipsum"], self.filters["random"]
        self.filters.update(tojson=_tojson, xmlattr=_xmlattr)
        self.filters = {name: _settled(name, function) for name, function in self.filters.items()}
        for name in ("iterable", "sequence", "string"):  # what a NULL is not
            self.tests[name] = _not_null(self.tests[name])
        self.tests.update(none=_is_none, sameas=_is_same)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        found = self.binop_table[operator](left, right)
        return found if type(found) in AS_IT_IS else settled(found, operator)

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        return settled(super().call_unop(context, operator, arg), operator)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if obj is NULL:
            return NULL
        if isinstance(obj, dict):  # a mapping has its keys, and its methods where they are called
            return self.getitem(obj, attribute)
        return self._value(super().getattr(bare(obj), attribute), obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if obj is NULL:
            return NULL
        if isinstance(obj, dict):
            try:
                return obj[argument]
            except (KeyError, TypeError):
                return self.undefined(obj=obj, name=argument)
        return self._value(super().getitem(bare(obj), argument), obj, argument)

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
            raise Refused(
                f"{name}() gives another text in each run, and the same row must be the same request: take it from a column"
            )
        return super().getattr(bare(obj), name)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        if obj is NULL:
            return NULL
        found = super().call(context, obj, *args, **kwargs)
        if type(found) in AS_IT_IS:
            return found
        return (
            plain(found) if type(found) in (list, tuple) else settled(found, f"{getattr(obj, '__name__', 'a call')}()")
        )


def _final(value: object) -> object:
    """What stands for what an expression gave."""
    if callable(value) and not isinstance(value, Undefined | NoText):
        raise Refused(f"{getattr(value, '__name__', 'this')} is a function, not a value: name a column of the query")
    return "" if value is None else value


def _settled(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    source = f"| {name}"

    @wraps(function)
    def filtered(*args: Any, **kwargs: Any) -> Any:
        found = function(*args, **kwargs)
        return found if type(found) in AS_IT_IS else settled(found, source)

    @wraps(function)
    def filtered_or_null(*args: Any, **kwargs: Any) -> Any:
        return NULL if any(value is NULL for value in args) else filtered(*args, **kwargs)

    return filtered_or_null if name in _NULL_GIVES_NULL else filtered


def _tojson(value: object, indent: int | None = None) -> str:
    text = to_json(value)
    return text if indent is None else msgspec.json.format(text, indent=indent)


@pass_eval_context
def _xmlattr(context: nodes.EvalContext, attributes: Mapping[str, Any], autospace: bool = True) -> str:
    return do_xmlattr(context, {name: None if v is NULL else v for name, v in attributes.items()}, autospace)


def _not_null(test: Any) -> Callable[[Any], bool]:
    return lambda value: value is not NULL and test(value)


def _is_none(value: object) -> bool:
    return value is None or value is NULL


def _is_same(value: object, other: object) -> bool:
    return value is other or (_is_none(value) and _is_none(other))
