"""The options of graders and judges, below ``grade`` in evaluation.yaml."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from include.enrichment.spec.yaml_file import NodePath, describe_problem

Model = TypeVar("Model", bound=BaseModel)


class OptionMistakes(ValueError):
    """
    The setting ``grade`` has mistakes.

    :param mistakes: each fact with its place below ``grade``
    """

    def __init__(self, mistakes: list[tuple[NodePath, str]]) -> None:
        super().__init__("; ".join(fact for _, fact in mistakes))
        self.mistakes = mistakes


def read_options(kind: type[Model], options: object, *, below: NodePath = ()) -> Model:
    """
    Return the options as a model.

    :param below: where they are, below ``grade``

    Raises OptionMistakes.
    """
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        keys = list(kind.model_fields) or ["none"]
        facts = ((one["loc"], describe_problem("", one, lambda: keys).removeprefix(": ")) for one in error.errors())
        raise OptionMistakes([((*below, *path), fact) for path, fact in facts]) from error
