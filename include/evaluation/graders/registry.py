"""All graders by the name that evaluation.yaml gives them."""

from __future__ import annotations

from collections.abc import Mapping

from include.enrichment.errors import nearest
from include.enrichment.spec.yaml_file import NodePath
from include.evaluation.graders.evidence import Evidence
from include.evaluation.graders.grader import Grader, PairGrader
from include.evaluation.graders.sql import Sql
from include.evaluation.graders.structures.collection import List, Set
from include.evaluation.graders.structures.json_equality import Json
from include.evaluation.graders.structures.objects import Object
from include.evaluation.graders.values.date import Date
from include.evaluation.graders.values.exact import Exact
from include.evaluation.graders.values.number import Number
from include.evaluation.graders.values.pattern import Pattern
from include.evaluation.graders.values.text import Text
from include.evaluation.options import OptionMistakes, read_options

GRADERS: dict[str, type[Grader]] = {
    "exact": Exact,
    "text": Text,
    "number": Number,
    "date": Date,
    "set": Set,
    "list": List,
    "object": Object,
    "json": Json,
    "pattern": Pattern,
    "evidence": Evidence,
    "sql": Sql,
}


def read_grader(setting: object) -> Grader:
    """
    Return the grader that a setting names: its name, or a mapping of its name to its options.

    Raises OptionMistakes.
    """
    name, options = _parts(setting)
    kind = GRADERS.get(name)
    if kind is None:
        raise OptionMistakes(
            [((), f"unknown grader {name!r}{nearest(name, GRADERS) or '.'} Known graders: {', '.join(GRADERS)}")]
        )
    if not isinstance(options, dict):
        if not kind.main_option:
            raise OptionMistakes([((name,), f"must be a mapping of options: {', '.join(kind.model_fields) or 'none'}")])
        options = {kind.main_option: options}
    fields = options.get("fields")
    if kind is Object and isinstance(fields, dict):
        options = {**options, "fields": _read_fields(fields)}
    return read_options(kind, options, below=(name,))


def _read_fields(settings: Mapping[str, object]) -> dict[str, PairGrader]:
    """Return the graders of an object's fields. Raises OptionMistakes with those of all fields."""
    graders: dict[str, PairGrader] = {}
    mistakes: list[tuple[NodePath, str]] = []
    for field, setting in settings.items():
        path: NodePath = ("object", "fields", field)
        try:
            grader = read_grader(setting)
        except OptionMistakes as error:
            mistakes += [((*path, *below), fact) for below, fact in error.mistakes]
            continue
        if isinstance(grader, PairGrader):
            graders[field] = grader
        else:
            able = [name for name, kind in GRADERS.items() if issubclass(kind, PairGrader)]
            mistakes.append(
                (path, f"this grader is for whole answers. A field of an object has one of {', '.join(able)}")
            )
    if mistakes:
        raise OptionMistakes(mistakes)
    return graders


def _parts(setting: object) -> tuple[str, object]:
    if isinstance(setting, str):
        return setting, {}
    if isinstance(setting, dict) and len(setting) == 1:
        ((name, options),) = setting.items()
        return str(name), {} if options is None else options
    raise OptionMistakes([((), "must be the name of one grader, or a mapping of its name to its options")])
